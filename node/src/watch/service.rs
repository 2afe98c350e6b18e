//! The hub behind its lock, and the tasks that it wakes.
//!
//! The applier tells it every change; each client stream has a [`WatchStream`] that takes
//! what is for it. History for watchers that are behind is read outside the lock.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use proto::etcdserverpb::RangeRequest;
use tokio::sync::Notify;

use super::{CatchUp, Counts, Delivery, Hub, Limits, StreamId, WatchRange, WatchSpec};
use crate::kv::{Change, History, KeyValue, Record, Revision};
use crate::machine::State;
use crate::storage::store::{Store, StoreError};

/// Bytes of history read for one portion.
const CATCH_UP_BYTES: usize = 4 << 20;

/// All watchers of one member; see the module.
pub struct Watchers {
    hub: Mutex<Hub>,
    wakers: Mutex<HashMap<StreamId, Arc<Notify>>>,
    behind: Notify,
}

impl Watchers {
    /// Watchers of a state at `revision`.
    pub fn new(revision: i64, compacted: i64) -> Self {
        let mut hub = Hub::new(Limits::default());
        hub.restore(revision, compacted, &mut Vec::new());
        Self { hub: Mutex::new(hub), wakers: Mutex::default(), behind: Notify::new() }
    }

    fn with_hub(&self, work: impl FnOnce(&mut Hub, &mut Vec<StreamId>)) {
        let mut woken = Vec::new();
        let behind = {
            let mut hub = self.hub.lock();
            work(&mut hub, &mut woken);
            hub.needs_catch_up()
        };
        self.wake(&woken);
        if behind {
            self.behind.notify_one();
        }
    }

    fn wake(&self, woken: &[StreamId]) {
        if woken.is_empty() {
            return;
        }
        let wakers = self.wakers.lock();
        for id in woken {
            if let Some(waker) = wakers.get(id) {
                waker.notify_one();
            }
        }
    }

    /// Changes of one revision after the other.
    pub fn notify(&self, changes: &[Vec<Change>]) {
        if changes.is_empty() {
            return;
        }
        self.with_hub(|hub, woken| {
            for changes in changes {
                if let Some(first) = changes.first() {
                    hub.notify(first.record.revision.main, changes, woken);
                }
            }
        });
    }

    /// History up to `revision` is about to go.
    pub fn compacted(&self, revision: i64) {
        self.with_hub(|hub, woken| hub.compacted(revision, woken));
    }

    /// The state was replaced.
    pub fn restored(&self, revision: i64, compacted: i64) {
        self.with_hub(|hub, woken| hub.restore(revision, compacted, woken));
    }

    /// Ends the watchers that are no longer allowed.
    pub fn judge<E: std::fmt::Display>(
        &self,
        allowed: impl Fn(Option<&str>, &WatchRange) -> Result<(), E>,
    ) {
        self.with_hub(|hub, woken| hub.judge(allowed, woken));
    }

    /// Tells idle watchers how far the store is.
    pub fn progress_tick(&self) {
        self.with_hub(|hub, woken| hub.progress_tick(woken));
    }

    /// How many there are.
    pub fn counts(&self) -> Counts {
        self.hub.lock().counts()
    }

    /// A new stream.
    pub fn open(self: &Arc<Self>) -> WatchStream {
        let id = self.hub.lock().open_stream();
        let waker = Arc::new(Notify::new());
        self.wakers.lock().insert(id, waker.clone());
        WatchStream { watchers: self.clone(), id, waker }
    }

    /// Waits until some watcher is behind.
    pub async fn catch_up_wanted(&self) {
        self.behind.notified().await;
    }

    /// Brings watchers up to date until none is behind. Blocks on the store.
    pub fn catch_up(&self, store: &Store, state: &RwLock<State>) -> Result<(), StoreError> {
        loop {
            let Some(mut job) = self.hub.lock().next_catch_up() else { return Ok(()) };
            match read(&mut job, store, state) {
                Ok(changes) => {
                    self.with_hub(|hub, woken| hub.finish_catch_up(job, &changes, woken));
                }
                Err(error) => {
                    self.with_hub(|hub, _| hub.abandon_catch_up(job));
                    return Err(error);
                }
            }
        }
    }
}

/// Reads the changes a job wants, up to a bounded number of bytes.
fn read(
    job: &mut CatchUp,
    store: &Store,
    state: &RwLock<State>,
) -> Result<Vec<Change>, StoreError> {
    let Some((from, to)) = job.read() else { return Ok(Vec::new()) };
    let mut records: Vec<Record> = Vec::new();
    let mut bytes = 0;
    let mut stopped = None;
    store.scan(Revision::new(from, 0), to, &mut |record| {
        let new_revision =
            records.last().is_some_and(|last| last.revision.main != record.revision.main);
        if new_revision && bytes > CATCH_UP_BYTES {
            stopped = records.last().map(|last| last.revision.main);
            return ControlFlow::Break(());
        }
        bytes += record.key().len() + 64;
        if let crate::kv::RecordKind::Put(kv) = &record.kind {
            bytes += kv.value.len();
        }
        records.push(record);
        ControlFlow::Continue(())
    })?;
    if let Some(revision) = stopped {
        job.stop_after(revision);
    }
    let with_previous =
        |record: Record| Change { previous: previous(&record, store, state), record };
    Ok(records.into_iter().map(with_previous).collect())
}

/// The version before `record`, if history still has it.
fn previous(record: &Record, store: &dyn History, state: &RwLock<State>) -> Option<Arc<KeyValue>> {
    let request = RangeRequest {
        key: bytes::Bytes::copy_from_slice(record.key()),
        revision: record.revision.main - 1,
        ..RangeRequest::default()
    };
    if request.revision < 1 {
        return None;
    }
    let found = state.read().kv.range(&request, store).ok()?.kvs.into_iter().next()?;
    Some(Arc::new(KeyValue {
        key: record.key().clone(),
        value: found.value,
        create_revision: found.create_revision,
        mod_revision: found.mod_revision,
        version: found.version,
        lease: found.lease,
    }))
}

/// One client's stream; closes with it.
pub struct WatchStream {
    watchers: Arc<Watchers>,
    id: StreamId,
    waker: Arc<Notify>,
}

impl WatchStream {
    /// Creates a watcher; the answer comes with [`WatchStream::take`].
    pub fn create(&self, spec: WatchSpec) {
        self.with_hub(|hub, id| hub.create(id, spec));
    }

    /// Answers that a watcher is not created, for this reason.
    pub fn refuse(&self, reason: &str) {
        self.with_hub(|hub, id| hub.refuse(id, reason));
    }

    /// Ends a watcher.
    pub fn cancel(&self, watch_id: i64) {
        self.with_hub(|hub, id| hub.cancel(id, watch_id));
    }

    /// Asks for a progress message.
    pub fn progress_request(&self) {
        self.with_hub(|hub, id| hub.progress_request(id));
    }

    fn with_hub(&self, work: impl FnOnce(&mut Hub, StreamId)) {
        self.watchers.with_hub(|hub, woken| {
            work(hub, self.id);
            // Whatever was asked has an answer waiting, or nothing at all.
            woken.push(self.id);
        });
    }

    /// What is to be sent, about `max_bytes` of it; empty when nothing waits.
    pub fn take(&self, max_bytes: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        self.watchers.with_hub(|hub, _| taken = hub.take(self.id, max_bytes));
        taken
    }

    /// Whether requests should wait until the client has read.
    pub fn is_full(&self) -> bool {
        self.watchers.hub.lock().is_full(self.id)
    }

    /// Waits until there may be something to take.
    pub async fn woken(&self) {
        self.waker.notified().await;
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.watchers.wakers.lock().remove(&self.id);
        self.watchers.hub.lock().close_stream(self.id);
    }
}
