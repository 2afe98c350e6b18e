//! The watch behind live updates: changes under a prefix, gathered into a few messages a
//! second however many there are.
//!
//! It lives on one endpoint. A frozen server keeps the stream open and says nothing, so the
//! watch also ends when polling finds its endpoint silent or cut off; the reducer starts it
//! again from the revision it has reached, on a better one.

use super::pool::{MESSAGE_BYTES_MOST, Pool, Rank};
use super::reads::meta;
use crate::model::browser::prefix_end;
use crate::msg::{Change, Msg};
use crate::walk::range_start;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{WatchCreateRequest, WatchRequest, WatchResponse};
use proto::mvccpb::event::EventType;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

const GATHER_FOR: Duration = Duration::from_millis(60);
const CREATED_WITHIN: Duration = Duration::from_secs(3);
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Keys gathered before a message is sent early.
const CHANGES_MOST: usize = 4_096;

/// Changes of one stretch; only the last of a key counts.
#[derive(Default)]
struct Gathered {
    changes: HashMap<Vec<u8>, Change>,
    revision: i64,
    due: Option<Instant>,
}

impl Gathered {
    fn absorb(&mut self, answer: WatchResponse) {
        for event in answer.events {
            let deleted = event.r#type() == EventType::Delete;
            let Some(kv) = event.kv else { continue };
            self.revision = self.revision.max(kv.mod_revision);
            self.changes.insert(kv.key.to_vec(), Change { meta: meta(&kv), deleted });
        }
        if !self.changes.is_empty() && self.due.is_none() {
            self.due = Some(Instant::now() + GATHER_FOR);
        }
    }

    fn take(&mut self) -> (i64, Vec<Change>) {
        let mut changes: Vec<Change> = self.changes.drain().map(|(_, change)| change).collect();
        changes.sort_by_key(|change| change.meta.mod_revision);
        self.due = None;
        (self.revision, changes)
    }
}

/// A watch ended before its receiver did.
#[derive(Debug, Default)]
struct Lost {
    /// The revision it was to start from is not kept any more.
    compacted: bool,
}

pub async fn run(
    pool: Arc<Pool>,
    messages: mpsc::Sender<Msg>,
    generation: u64,
    prefix: Vec<u8>,
    revision: i64,
) {
    if let Err(Lost { compacted }) = follow(&pool, &messages, generation, &prefix, revision).await {
        // A closed channel means the UI is gone.
        let _ = messages.send(Msg::WatchLost { generation, compacted }).await;
    }
}

/// Follows until the receiver is gone (`Ok`) or the watch is lost.
async fn follow(
    pool: &Pool,
    messages: &mpsc::Sender<Msg>,
    generation: u64,
    prefix: &[u8],
    revision: i64,
) -> Result<(), Lost> {
    let Some((url, channel)) = pool.best().into_iter().next() else {
        return Err(Lost::default());
    };
    let create = WatchCreateRequest {
        key: range_start(prefix).into(),
        range_end: prefix_end(prefix).into(),
        start_revision: revision,
        ..WatchCreateRequest::default()
    };
    let (sender, receiver) = mpsc::channel(1);
    let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
    // The channel has room for one; the sender is kept, because closing it ends the watch.
    let _ = sender.try_send(request);
    let mut client = WatchClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MOST);
    let opened = timeout(CREATED_WITHIN, client.watch(ReceiverStream::new(receiver))).await;
    let Ok(Ok(response)) = opened else { return Err(Lost::default()) };
    let mut stream: Streaming<WatchResponse> = response.into_inner();
    let mut gathered = Gathered::default();
    let mut check = interval(CHECK_EVERY);
    loop {
        let due = gathered.due;
        let flush = async move {
            match due {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            answer = stream.message() => match answer {
                Ok(Some(answer)) if answer.canceled => {
                    return Err(Lost { compacted: answer.compact_revision > 0 });
                }
                Ok(Some(answer)) => gathered.absorb(answer),
                Ok(None) | Err(_) => return Err(Lost::default()),
            },
            () = flush => {}
            _ = check.tick() => {
                let cut_off = pool.rank(&url) == Rank::Alone && pool.leader_known();
                if cut_off || pool.rank(&url) == Rank::Silent {
                    return Err(Lost::default());
                }
            }
        }
        let ready = gathered.due.is_some_and(|at| at <= Instant::now());
        if ready || gathered.changes.len() >= CHANGES_MOST {
            let (revision, changes) = gathered.take();
            let message = Msg::Changes { generation, revision, changes };
            if messages.send(message).await.is_err() {
                return Ok(());
            }
        }
    }
}
