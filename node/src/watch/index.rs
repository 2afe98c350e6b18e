//! Which watchers want a key: exact keys in a hash map, ranges in an interval map.
//!
//! # Invariant
//! A watcher is in the index at most once, so a key finds it at most once.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::interval::{End, IntervalMap};
use super::range::WatchRange;
use super::watcher::Slot;

/// Watchers by what they watch.
#[derive(Debug, Default)]
pub(super) struct Index {
    keys: HashMap<Bytes, BTreeSet<Slot>>,
    ranges: IntervalMap,
}

impl Index {
    pub(super) fn insert(&mut self, range: &WatchRange, watcher: Slot) {
        match range {
            WatchRange::Single(key) => {
                self.keys.entry(key.clone()).or_default().insert(watcher);
            }
            WatchRange::Range { start, end } => {
                self.ranges.insert(start, &End::Before(end.clone()), watcher);
            }
            WatchRange::From(start) => self.ranges.insert(start, &End::Never, watcher),
        }
    }

    pub(super) fn remove(&mut self, range: &WatchRange, watcher: Slot) {
        match range {
            WatchRange::Single(key) => {
                if let Some(watchers) = self.keys.get_mut(key) {
                    watchers.remove(&watcher);
                    if watchers.is_empty() {
                        self.keys.remove(key);
                    }
                }
            }
            WatchRange::Range { start, end } => {
                self.ranges.remove(start, &End::Before(end.clone()), watcher);
            }
            WatchRange::From(start) => self.ranges.remove(start, &End::Never, watcher),
        }
    }

    /// Calls `found` once with every watcher that wants `key`.
    pub(super) fn watching(&self, key: &[u8], mut found: impl FnMut(Slot)) {
        if let Some(watchers) = self.keys.get(key) {
            watchers.iter().copied().for_each(&mut found);
        }
        self.ranges.covering(key, &mut found);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.ranges.is_empty()
    }
}
