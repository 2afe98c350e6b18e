//! The watchers of v2 on this member: who waits for which key.
//!
//! # Invariant
//! A watcher is told of every event from its index on that concerns it, in order and once;
//! if it cannot keep up it is ended instead. Events that were applied before it came are
//! taken from the history; [`Hub::watch`] is called with the state held still, so none falls
//! in between.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::error::Error;
use super::event::Event;
use super::path;
use super::store::{Notice, Store};

/// Events that may wait for one watcher; etcd's number.
const EVENTS_MAX: usize = 100;

struct Watcher {
    id: u64,
    recursive: bool,
    stream: bool,
    since: u64,
    events: mpsc::Sender<Arc<Event>>,
}

impl Watcher {
    /// Tells it; false when it is done with.
    fn tell(&mut self, event: &Arc<Event>) -> bool {
        if event.index < self.since {
            return true;
        }
        self.since = event.index + 1;
        self.events.try_send(event.clone()).is_ok() && self.stream
    }
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wish {
    pub key: String,
    pub recursive: bool,
    /// More than one event.
    pub stream: bool,
    /// The first index of interest; 0 is the next.
    pub since: u64,
}

/// See the module.
#[derive(Default)]
pub struct Hub {
    watchers: Mutex<HashMap<String, Vec<Watcher>>>,
    next_id: AtomicU64,
}

/// A watcher's end. It is forgotten when this is dropped.
pub struct Watch {
    pub events: mpsc::Receiver<Arc<Event>>,
    /// The store's index when it began.
    pub index: u64,
    hub: Arc<Hub>,
    key: String,
    id: u64,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.hub.with(&self.key, |watchers| watchers.retain(|watcher| watcher.id != self.id));
    }
}

impl Hub {
    /// Begins to watch. The caller holds the state, whose store this is.
    pub fn watch(self: &Arc<Self>, store: &Store, wish: Wish) -> Result<Watch, Error> {
        let now = store.index();
        let since = if wish.since == 0 { now + 1 } else { wish.since };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut watcher =
            Watcher { id, recursive: wish.recursive, stream: wish.stream, since, events: sender };
        let goes_on = catch_up(&mut watcher, store, &wish.key)?;
        if goes_on {
            self.watchers.lock().entry(wish.key.clone()).or_default().push(watcher);
        }
        Ok(Watch { events, index: now, hub: self.clone(), key: wish.key, id })
    }

    fn with(&self, key: &str, change: impl FnOnce(&mut Vec<Watcher>)) {
        let mut all = self.watchers.lock();
        if let Some(watchers) = all.get_mut(key) {
            change(watchers);
            if watchers.is_empty() {
                all.remove(key);
            }
        }
    }

    /// Tells everybody of an applied event.
    pub fn notify(&self, notice: &Notice) {
        let Notice { event, removed } = notice;
        if event.refresh || self.watchers.lock().is_empty() {
            return;
        }
        // Who watches something that is gone hears of it, whatever its name.
        for key in removed {
            self.with(key, |watchers| watchers.retain_mut(|watcher| watcher.tell(event)));
        }
        let at = &event.node.key;
        for above in path::ancestry(at) {
            let own = above == at;
            if !own && path::is_hidden_from(above, at) {
                continue;
            }
            self.with(above, |watchers| {
                watchers.retain_mut(|watcher| !(own || watcher.recursive) || watcher.tell(event));
            });
        }
    }

    /// The store was replaced by a later one: everybody is told what happened meanwhile, or
    /// ended when that is no longer known.
    pub fn restored(&self, store: &Store) {
        let mut all = self.watchers.lock();
        for (key, watchers) in all.iter_mut() {
            watchers.retain_mut(|watcher| catch_up(watcher, store, key).unwrap_or(false));
        }
        all.retain(|_, watchers| !watchers.is_empty());
    }

    /// Watchers that wait now.
    pub fn count(&self) -> u64 {
        self.watchers.lock().values().map(|watchers| watchers.len() as u64).sum()
    }
}

/// Tells a watcher of what has been; false when it needs no more.
fn catch_up(watcher: &mut Watcher, store: &Store, key: &str) -> Result<bool, Error> {
    let past = store.history().since(key, watcher.recursive, watcher.since, store.index())?;
    for event in past {
        if !watcher.tell(event) {
            return Ok(false);
        }
    }
    Ok(true)
}
