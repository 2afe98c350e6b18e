//! [`Kv`]: the index of all keys, and how it is read, restored and compacted.
//!
//! # Invariant
//! `compacted <= revision`. No reply depends on which index entries a compaction has already
//! dropped: whether an old revision may be read is decided by the `compacted` mark alone,
//! and that mark moves by a replicated request. So a member that restarted from every record
//! it still had and one that restarted from only the kept ones answer alike.
//!
//! # What it leaves to others
//! Changing anything by request is `write`'s and `txn`'s work; values of old revisions are
//! in [`History`]; removing old records from disk is storage's, which asks [`Kv::keep_at`].

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use proto::etcdserverpb::{RangeRequest, RangeResponse};

use super::index::KeyHistory;
use super::key_range::KeyRange;
use super::range::{self, Query};
use super::{History, KeyValue, KvError, Record, RecordKind, Revision};

/// The revision of a store that was never written.
const EMPTY_REVISION: i64 = 1;

/// The key space: the history of every key, and the current value of every live one.
#[derive(Clone, Debug)]
pub struct Kv {
    pub(super) index: BTreeMap<Arc<[u8]>, KeyHistory>,
    pub(super) revision: i64,
    compacted: i64,
    /// How many keys of the index are live.
    pub(super) live: usize,
}

impl Default for Kv {
    fn default() -> Self {
        Self::new()
    }
}

impl Kv {
    /// An empty store.
    pub fn new() -> Self {
        Self { index: BTreeMap::new(), revision: EMPTY_REVISION, compacted: 0, live: 0 }
    }

    /// The main revision of the newest change.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// The revision of the last compaction; 0 when there was none.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// The number of live keys.
    pub fn key_count(&self) -> usize {
        self.live
    }

    /// The current version of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.index.get(key)?.current()
    }

    /// The current version of every live key, in key order.
    pub fn current(&self) -> impl Iterator<Item = &Arc<KeyValue>> {
        self.index.values().filter_map(|history| history.current())
    }

    /// Answers a range request. The header is left to the caller.
    ///
    /// A read of the present never touches `history`.
    pub fn range(
        &self,
        request: &RangeRequest,
        history: &dyn History,
    ) -> Result<RangeResponse, KvError> {
        range::answer(self, &Query::new(request)?, history)
    }

    /// The histories of the keys in a range, in key order, those of deleted keys included.
    pub(super) fn histories<'a>(
        &'a self,
        keys: &'a KeyRange,
    ) -> impl Iterator<Item = &'a KeyHistory> {
        // A point read is the most frequent of all and needs only one search of the map.
        let (one, many) = match keys {
            KeyRange::Single(key) => (self.index.get(key.as_ref()), None),
            _ => (None, Some(self.index.range::<[u8], _>(keys.bounds()))),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|(_, history)| history))
    }

    /// Whether a reader may ask for `revision`. The compacted revision itself may be read.
    pub(super) fn check_readable(&self, revision: i64) -> Result<(), KvError> {
        if revision > self.revision {
            Err(KvError::FutureRevision)
        } else if revision < self.compacted {
            Err(KvError::Compacted)
        } else {
            Ok(())
        }
    }

    /// Takes a stored record back in. Records come in revision order; when all are in, call
    /// [`Kv::restore_marks`].
    pub fn restore_record(&mut self, record: &Record) {
        let entry = self.index.entry(record.key().clone());
        let key = entry.key().clone();
        let history = entry.or_default();
        let was_live = history.current().is_some();
        match &record.kind {
            RecordKind::Put(version) => {
                history.put(record.revision, with_key(version, key));
                self.live += usize::from(!was_live);
            }
            RecordKind::Tombstone(_) => {
                history.tombstone(record.revision);
                self.live -= usize::from(was_live);
            }
        }
        self.revision = self.revision.max(record.revision.main);
    }

    /// Sets the revision and the compaction mark once all records are in, and drops what a
    /// compaction that was still on its way to disk had left.
    ///
    /// The newest changes may have been compacted away, so neither follows from the records.
    pub fn restore_marks(&mut self, revision: i64, compacted: i64) {
        self.revision = self.revision.max(revision);
        self.compacted = compacted;
        self.drop_compacted();
    }

    /// Compacts: revisions below `revision` are no longer readable from here on.
    ///
    /// Compacting a fresh store at 0 does nothing and is allowed, as in etcd.
    pub fn compact(&mut self, revision: i64) -> Result<(), KvError> {
        let nothing_to_do = revision == 0 && self.compacted == 0;
        if revision <= self.compacted && !nothing_to_do {
            return Err(KvError::Compacted);
        }
        if revision > self.revision {
            return Err(KvError::FutureRevision);
        }
        self.compacted = revision;
        self.drop_compacted();
        Ok(())
    }

    /// Of the changes at or below `compact_revision`, those a compaction there must keep.
    ///
    /// The same before and after older entries are dropped, as long as `compact_revision` is
    /// not below [`Kv::compacted`].
    ///
    /// Whoever removes the others from disk does so in revision order: a tombstone that goes
    /// before the put it deletes would bring the key back at the next restart.
    pub fn keep_at(&self, compact_revision: i64) -> HashSet<Revision> {
        self.index.values().filter_map(|history| history.kept_at(compact_revision)).collect()
    }

    fn drop_compacted(&mut self) {
        let compacted = self.compacted;
        // Nothing is at or below 0; a walk over every key would find that out slowly.
        if compacted > 0 {
            self.index.retain(|_, history| history.compact(compacted));
        }
    }
}

/// The same version with the key that the index holds, so that each key is in memory once.
fn with_key(version: &Arc<KeyValue>, key: Arc<[u8]>) -> Arc<KeyValue> {
    if Arc::ptr_eq(&version.key, &key) {
        return version.clone();
    }
    Arc::new(KeyValue { key, ..(**version).clone() })
}
