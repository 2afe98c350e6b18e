//! The one watch stream that is open during a run.
//!
//! When events arrive is a matter of time, what arrives is not. So the events of a watch are
//! collected, and compared as one list when all watches have caught up: every watch gets a
//! last write in its range, and has caught up when that has come. How events are packed into
//! messages is not compared, only that no revision is split.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::mvccpb::Event;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::normal::Names;
use crate::support::PATIENCE;
use crate::support::client::Client;

/// A stream and its watches.
pub struct Watching {
    requests: Sender<pb::WatchRequest>,
    responses: tonic::Streaming<pb::WatchResponse>,
    watches: BTreeMap<i64, Watch>,
    /// Answers that belong to no watch, in order.
    answers: Vec<pb::WatchResponse>,
}

/// What is known of a watch.
#[derive(Default)]
struct Watch {
    request: pb::WatchCreateRequest,
    events: Vec<Event>,
    /// Why it ended.
    ended: Option<String>,
    /// A revision came in two messages without being marked as a fragment.
    split: bool,
    /// The last message was marked as to be continued.
    continued: bool,
}

impl Watching {
    pub fn open(client: &Client) -> Watching {
        let (requests, receiver) = channel(64);
        let mut watches =
            WatchClient::new(client.channel()).max_decoding_message_size(256 * 1024 * 1024);
        // etcd answers the call only with its first message, so one must be on its way.
        let first = pb::WatchCreateRequest { key: "unused".into(), ..Default::default() };
        let union = RequestUnion::CreateRequest(first);
        requests.try_send(pb::WatchRequest { request_union: Some(union) }).expect("room");
        let call = watches.watch(ReceiverStream::new(receiver));
        let responses = client.block_on(call).expect("a watch stream").into_inner();
        let mut watching =
            Watching { requests, responses, watches: BTreeMap::new(), answers: Vec::new() };
        let created = watching.answer(client, "the first watch");
        assert!(created.created && created.watch_id == 0, "{created:?}");
        watching
    }

    fn send(&self, client: &Client, union: RequestUnion) {
        let request = pb::WatchRequest { request_union: Some(union) };
        client.block_on(self.requests.send(request)).expect("an open stream");
    }

    /// Reads one message; false if none came in `limit`.
    fn read(&mut self, client: &Client, limit: Duration) -> bool {
        let message =
            client.block_on(async { tokio::time::timeout(limit, self.responses.message()).await });
        let Ok(message) = message else { return false };
        self.take(message.expect("an open stream").expect("not the end"));
        true
    }

    /// Files a message under its watch, or as an answer.
    fn take(&mut self, message: pb::WatchResponse) {
        let is_answer = message.created || message.watch_id == -1;
        let Some(watch) = self.watches.get_mut(&message.watch_id).filter(|_| !is_answer) else {
            // What a watch that is gone still gets counts for nothing.
            if is_answer {
                self.answers.push(message);
            }
            return;
        };
        if message.canceled {
            let reason = format!("{} {:?}", message.compact_revision, message.cancel_reason);
            watch.ended = Some(reason);
        }
        let before = watch.events.last().map(revision);
        let first = message.events.first().map(revision);
        watch.split |= before.is_some() && before == first && !watch.continued;
        watch.continued = message.fragment;
        watch.events.extend(message.events);
    }

    /// The next message that belongs to no watch.
    fn answer(&mut self, client: &Client, what: &str) -> pb::WatchResponse {
        while self.answers.is_empty() {
            assert!(self.read(client, PATIENCE), "{what}: no answer");
        }
        self.answers.remove(0)
    }

    pub fn create(&mut self, client: &Client, request: &pb::WatchCreateRequest) -> String {
        self.answers.clear();
        self.send(client, RequestUnion::CreateRequest(request.clone()));
        let answer = loop {
            let answer = self.answer(client, "a new watch");
            if answer.created {
                break answer;
            }
        };
        let told = format!(
            "created, watch {}, revision {:?}, canceled {} {:?}, compacted {}, {} events",
            answer.watch_id,
            answer.header.map(|header| header.revision),
            answer.canceled,
            answer.cancel_reason,
            answer.compact_revision,
            answer.events.len(),
        );
        if !answer.canceled {
            let watch = Watch { request: request.clone(), ..Default::default() };
            self.watches.insert(answer.watch_id, watch);
        }
        told
    }

    pub fn cancel(&mut self, client: &Client, id: i64) -> String {
        let request = pb::WatchCancelRequest { watch_id: id };
        self.send(client, RequestUnion::CancelRequest(request));
        let Some(watch) = self.watches.get(&id) else { return "no such watch".into() };
        let had_ended = watch.ended.is_some();
        while self.watches[&id].ended.is_none() {
            assert!(self.read(client, PATIENCE), "the end of watch {id} does not come");
        }
        // Events that were on their way came or did not: a matter of time.
        let watch = self.watches.remove(&id).unwrap_or_default();
        format!("watch {id} ended, before: {had_ended}, {:?}", watch.ended)
    }

    /// Waits until every watch has the newest event of its range; tells all events since the
    /// last time.
    /// What an event replaced is not compared where that is compacted: etcd looks it up when
    /// it sends and may not find it, we have it as long as the event is in memory.
    pub fn catch_up(&mut self, client: &Client, names: &Names, compacted: i64) -> String {
        let ids: Vec<i64> = self.watches.keys().copied().collect();
        let mut kvs = KvClient::new(client.channel());
        let mut last = BTreeMap::new();
        for id in ids {
            let key = self.watches[&id].request.key.clone();
            let key = if key.is_empty() { vec![0].into() } else { key };
            let put =
                pb::PutRequest { key: key.clone(), value: "last".into(), ..Default::default() };
            client.wait(kvs.put(put)).expect("a last write");
            let delete = pb::DeleteRangeRequest { key, ..Default::default() };
            let deleted = client.wait(kvs.delete_range(delete)).expect("a last delete");
            last.insert(id, deleted.header.expect("a header").revision);
        }
        let mut told = Vec::new();
        for (id, last) in last {
            self.wait_for(client, id, last);
            let watch = self.watches.get_mut(&id).expect("a watch");
            // What came after it are the last writes of other watches, all or in part.
            let later = watch.events.iter().position(|event| revision(event) > last);
            let later = watch.events.split_off(later.unwrap_or(watch.events.len()));
            let mut events = std::mem::replace(&mut watch.events, later);
            for event in &mut events {
                if revision(event) <= compacted {
                    event.prev_kv = None;
                }
                for kv in [&mut event.kv, &mut event.prev_kv].into_iter().flatten() {
                    names.kv(kv);
                }
            }
            told.push(format!(
                "watch {id}: split {}, ended {:?}, events {events:?}",
                watch.split, watch.ended
            ));
        }
        let ended: Vec<i64> = self
            .watches
            .iter()
            .filter(|(_, watch)| watch.ended.is_some())
            .map(|(id, _)| *id)
            .collect();
        for id in ended {
            // etcd counts a watch that it ended itself as one that never catches up, until
            // the client cancels it too. Nothing has to be answered to that.
            let request = pb::WatchCancelRequest { watch_id: id };
            self.send(client, RequestUnion::CancelRequest(request));
            self.watches.remove(&id);
        }
        told.join("\n")
    }

    /// Waits until the watch with this id has what happened up to revision `last`: the put
    /// before it, unless it filters puts, and the delete at it, unless it filters deletes.
    fn wait_for(&mut self, client: &Client, id: i64, last: i64) {
        let request = self.watches[&id].request.clone();
        let Some(expected) = last_revision(&request, last) else { return };
        if request.start_revision > expected {
            return;
        }
        loop {
            let watch = &self.watches[&id];
            let is_there = watch.events.last().is_some_and(|event| revision(event) >= expected);
            if watch.ended.is_some() || is_there && !watch.continued {
                return;
            }
            assert!(self.read(client, PATIENCE), "watch {id} gets no event of {expected}");
        }
    }

    /// Asks how far the stream is until an answer comes: etcd drops the question while a
    /// watch has not caught up. One that starts in the future, at `revision`, never has;
    /// only etcd 3.5.1 answers then.
    pub fn progress(
        &mut self,
        client: &Client,
        names: &Names,
        (revision, compacted): (i64, i64),
    ) -> String {
        let caught_up = self.catch_up(client, names, compacted);
        let future =
            |watch: &Watch| watch.ended.is_none() && watch.request.start_revision > revision;
        if self.watches.values().any(future) {
            return caught_up;
        }
        self.answers.clear();
        let ask = || RequestUnion::ProgressRequest(pb::WatchProgressRequest::default());
        for _ in 0..200 {
            self.send(client, ask());
            while self.answers.is_empty() && self.read(client, Duration::from_millis(300)) {}
            if !self.answers.is_empty() {
                break;
            }
        }
        let answer = self.answer(client, "the progress of the stream");
        let revision = answer.header.as_ref().map(|header| header.revision);
        let events = answer.events.len();
        format!("{caught_up}\nprogress of {}: {revision:?}, {events} events", answer.watch_id)
    }
}

/// Of a put and then a delete at `last`: the revision of the later one that a watch hears of.
pub fn last_revision(request: &pb::WatchCreateRequest, last: i64) -> Option<i64> {
    use pb::watch_create_request::FilterType::{Nodelete, Noput};
    let without = |kind| request.filters.contains(&(kind as i32));
    match (without(Noput), without(Nodelete)) {
        (true, true) => None,
        (false, true) => Some(last - 1),
        _ => Some(last),
    }
}

pub fn revision(event: &Event) -> i64 {
    event.kv.as_ref().expect("a key").mod_revision
}
