//! What waits in a stream's outbox, and how it becomes responses.
//!
//! # Invariant
//! A [`Delivery`] of events holds whole revisions in order. Only a watcher that asked for
//! fragments ever sees one revision spread over several responses, and then all but the last
//! say so.

use std::sync::Arc;

use prost::Message;
use proto::etcdserverpb::{ResponseHeader, WatchResponse};
use smallvec::SmallVec;

use super::event::Event;

/// The id of responses that belong to no watcher, or to all of a stream.
pub const NO_WATCHER: i64 = -1;

/// One message to the client of a stream.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub watch_id: i64,
    /// The store's revision when this was put into the outbox.
    pub revision: i64,
    pub content: Content,
}

/// What a [`Delivery`] says.
#[derive(Clone, Debug)]
pub enum Content {
    /// The watcher exists from now on.
    Created,
    /// The watcher was never created, for this reason.
    Refused(String),
    /// The watcher ended because the client asked.
    Canceled,
    /// The watcher ended for this reason, which the client did not ask for.
    Ended(String),
    /// The watcher ended because history it still needed was compacted up to this revision.
    Compacted(i64),
    /// Every event up to the header's revision was delivered before.
    Progress,
    Events(Events),
}

/// Events of one watcher.
#[derive(Clone, Debug)]
pub struct Events {
    pub events: SmallVec<[Arc<Event>; 1]>,
    pub prev_kv: bool,
    /// The client can put a response together from several.
    pub fragment: bool,
    /// Bytes the events take in a response.
    pub size: usize,
}

impl Delivery {
    /// Bytes this takes on the wire, about: fields of the response and header are counted as
    /// a constant.
    pub fn size(&self) -> usize {
        const FIXED: usize = 48;
        FIXED
            + match &self.content {
                Content::Events(events) => events.size,
                Content::Refused(reason) | Content::Ended(reason) => reason.len(),
                _ => 0,
            }
    }

    /// How many events are in it.
    pub fn events(&self) -> usize {
        match &self.content {
            Content::Events(events) => events.events.len(),
            _ => 0,
        }
    }

    /// The responses to send, in order: one, or several for a watcher that allows fragments
    /// and whose events do not fit into `max_response_bytes`. The header's revision is set
    /// here, its other fields come from the caller.
    pub fn into_proto(
        self,
        header: ResponseHeader,
        max_response_bytes: usize,
    ) -> SmallVec<[WatchResponse; 1]> {
        let mut response = WatchResponse {
            header: Some(ResponseHeader { revision: self.revision, ..header }),
            watch_id: self.watch_id,
            ..WatchResponse::default()
        };
        match self.content {
            Content::Created => response.created = true,
            Content::Canceled => response.canceled = true,
            Content::Progress => {}
            Content::Compacted(revision) => {
                response.canceled = true;
                response.compact_revision = revision;
            }
            Content::Refused(reason) => {
                response.created = true;
                response.canceled = true;
                response.cancel_reason = reason;
            }
            Content::Ended(reason) => {
                response.canceled = true;
                response.cancel_reason = reason;
            }
            Content::Events(events) => return events.into_proto(response, max_response_bytes),
        }
        SmallVec::from_buf([response])
    }
}

impl Events {
    pub(super) fn none(prev_kv: bool, fragment: bool) -> Self {
        Self { events: SmallVec::new(), prev_kv, fragment, size: 0 }
    }

    pub(super) fn push(&mut self, event: Arc<Event>) {
        self.size += event.size(self.prev_kv);
        self.events.push(event);
    }

    fn into_proto(
        self,
        frame: WatchResponse,
        max_response_bytes: usize,
    ) -> SmallVec<[WatchResponse; 1]> {
        // A fragment has one more field, two bytes long.
        let room = max_response_bytes.saturating_sub(frame.encoded_len() + 2);
        let mut responses = SmallVec::new();
        let mut response = frame.clone();
        let mut used = 0;
        for event in &self.events {
            let size = event.size(self.prev_kv);
            if self.fragment && !response.events.is_empty() && used + size > room {
                response.fragment = true;
                responses.push(std::mem::replace(&mut response, frame.clone()));
                used = 0;
            }
            response.events.push(event.to_proto(self.prev_kv));
            used += size;
        }
        responses.push(response);
        responses
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::kv::{Change, KeyValue, Record, RecordKind, Revision};

    fn event(sub: i64, size: usize) -> Arc<Event> {
        let kv = Arc::new(KeyValue {
            key: Arc::from(sub.to_be_bytes().as_slice()),
            value: Bytes::from(vec![b'v'; size]),
            create_revision: 5,
            mod_revision: 5,
            version: 1,
            lease: 0,
        });
        let record = Record { revision: Revision::new(5, sub), kind: RecordKind::Put(kv) };
        Arc::new(Event::new(&Change { record, previous: None }))
    }

    fn delivery(sizes: &[usize], fragment: bool) -> Delivery {
        let events: SmallVec<[_; 1]> = sizes.iter().zip(0..).map(|(s, n)| event(n, *s)).collect();
        let size = events.iter().map(|event| event.size(false)).sum();
        let events = Events { events, prev_kv: false, fragment, size };
        Delivery { watch_id: 3, revision: 9, content: Content::Events(events) }
    }

    fn header() -> ResponseHeader {
        ResponseHeader { cluster_id: u64::MAX, member_id: u64::MAX, revision: 0, raft_term: 7 }
    }

    #[test]
    fn fragments_fit_are_marked_and_lose_nothing() {
        let sizes = [100, 100, 900, 20, 20, 20, 400, 10];
        let limit = 500;
        let whole = delivery(&sizes, false).into_proto(header(), limit);
        assert_eq!(whole.len(), 1, "a watcher that did not ask gets no fragments");
        assert!(!whole[0].fragment);
        let parts = delivery(&sizes, true).into_proto(header(), limit);
        assert!(parts.len() > 1);
        let (last, others) = parts.split_last().unwrap();
        assert!(!last.fragment && others.iter().all(|part| part.fragment));
        for part in &parts {
            assert!(part.encoded_len() <= limit || part.events.len() == 1);
            assert_eq!((part.watch_id, part.header.as_ref().unwrap().revision), (3, 9));
        }
        let joined: Vec<_> = parts.into_iter().flat_map(|part| part.events).collect();
        assert_eq!(joined, whole[0].events);
    }

    #[test]
    fn what_fits_is_not_fragmented() {
        let whole = delivery(&[10, 10], true).into_proto(header(), 500);
        assert_eq!((whole.len(), whole[0].fragment), (1, false));
        let single = delivery(&[1000], true).into_proto(header(), 500);
        assert_eq!((single.len(), single[0].fragment), (1, false));
    }

    #[test]
    fn compaction_has_its_revision_and_no_reason() {
        let delivery = Delivery { watch_id: 3, revision: 9, content: Content::Compacted(6) };
        let responses = delivery.into_proto(header(), 500);
        assert!(responses[0].canceled && !responses[0].created);
        assert_eq!((responses[0].compact_revision, responses[0].cancel_reason.as_str()), (6, ""));
    }
}
