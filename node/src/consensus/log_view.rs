//! The part of the raft log that is in memory, as the raft crate reads it.
//!
//! The write-ahead log is only written while a member runs; what raft needs to read again
//! (entries for followers that lag a little) is held here, from the last compaction on. So
//! raft's reads never touch a disk and cannot fail.
//!
//! Invariant: `entries` is contiguous and begins at `base + 1`. Entries get in before the
//! disk has them; raft itself keeps track of what is persisted.
//!
//! Snapshots are files of the storage layer. Here is only the newest one's place in the log,
//! and the wish for a newer one ([`LogView::take_snapshot_wish`]).

use std::cell::Cell;
use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot, SnapshotMetadata};
use raft::{Error, GetEntriesContext, RaftState, Storage, StorageError};

/// The in-memory log; see the module.
#[derive(Default)]
pub struct LogView {
    entries: VecDeque<Entry>,
    /// Index and term of the entry just before the first one held.
    base: u64,
    base_term: u64,
    bytes: usize,
    hard_state: HardState,
    conf_state: ConfState,
    snapshot: SnapshotMetadata,
    snapshot_wish: Cell<bool>,
}

/// Bytes an entry takes, near enough for limits.
pub fn entry_bytes(entry: &Entry) -> usize {
    entry.data.len() + entry.context.len() + 32
}

impl LogView {
    /// A log that begins after `base` (index, term), as recovered at start.
    pub fn new(
        base: (u64, u64),
        entries: Vec<Entry>,
        hard_state: HardState,
        conf_state: ConfState,
        snapshot: SnapshotMetadata,
    ) -> Self {
        let bytes = entries.iter().map(entry_bytes).sum();
        Self {
            entries: entries.into(),
            base: base.0,
            base_term: base.1,
            bytes,
            hard_state,
            conf_state,
            snapshot,
            snapshot_wish: Cell::new(false),
        }
    }

    /// Index of the last entry.
    pub fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    /// Bytes held in entries.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Entries held.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no entry is held.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends what raft asked to persist, replacing any conflicting tail.
    pub fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        debug_assert!(first.index > self.base && first.index <= self.last() + 1);
        while self.last() >= first.index {
            if let Some(old) = self.entries.pop_back() {
                self.bytes -= entry_bytes(&old);
            }
        }
        for entry in entries {
            self.bytes += entry_bytes(entry);
            self.entries.push_back(entry.clone());
        }
    }

    /// Remembers the newest hard state.
    pub fn set_hard_state(&mut self, hard_state: &HardState) {
        self.hard_state = hard_state.clone();
    }

    /// Starts over behind an installed snapshot.
    pub fn install(&mut self, meta: &SnapshotMetadata) {
        self.entries.clear();
        self.bytes = 0;
        self.base = meta.index;
        self.base_term = meta.term;
        self.conf_state = meta.get_conf_state().clone();
        self.snapshot = meta.clone();
    }

    /// Forgets entries up to and including `index`, which must have been applied.
    pub fn compact(&mut self, index: u64) {
        while self.base < index {
            let Some(entry) = self.entries.pop_front() else { break };
            self.bytes -= entry_bytes(&entry);
            self.base = entry.index;
            self.base_term = entry.term;
        }
    }

    /// The index after which at most `bytes` of entries follow.
    pub fn index_with_bytes_after(&self, bytes: usize) -> u64 {
        let mut after = 0;
        for entry in self.entries.iter().rev() {
            after += entry_bytes(entry);
            if after > bytes {
                return entry.index;
            }
        }
        self.base
    }

    /// A newer snapshot file is there to be sent.
    pub fn set_snapshot(&mut self, meta: SnapshotMetadata) {
        if meta.index >= self.snapshot.index {
            self.snapshot = meta;
            self.snapshot_wish.set(false);
        }
    }

    /// The newest snapshot file's place in the log.
    pub fn snapshot_meta(&self) -> &SnapshotMetadata {
        &self.snapshot
    }

    /// Whether raft wanted a snapshot that is not there yet; asks once.
    pub fn take_snapshot_wish(&self) -> bool {
        self.snapshot_wish.replace(false)
    }

    fn fits(&self, request_index: u64, to: u64) -> bool {
        let conf = self.snapshot.get_conf_state();
        // A member that is not in the snapshot's configuration refuses it (raft's `restore`).
        let knows = conf.get_voters().contains(&to) || conf.get_learners().contains(&to);
        self.snapshot.index >= self.base.max(request_index).max(1) && knows
    }
}

impl Storage for LogView {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base {
            return Err(Error::Store(StorageError::Compacted));
        }
        if high > self.last() + 1 {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let max = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0u64;
        let first = (low - self.base - 1) as usize;
        let mut out = Vec::new();
        for entry in self.entries.range(first..(high - self.base - 1) as usize) {
            size = size.saturating_add(entry_bytes(entry) as u64);
            if size > max && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        Ok(out)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base {
            return Ok(self.base_term);
        }
        if index < self.base {
            return Err(Error::Store(StorageError::Compacted));
        }
        match self.entries.get((index - self.base - 1) as usize) {
            Some(entry) => Ok(entry.term),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        if self.fits(request_index, to) {
            let mut snapshot = Snapshot::default();
            snapshot.set_metadata(self.snapshot.clone());
            return Ok(snapshot);
        }
        self.snapshot_wish.set(true);
        Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
    }
}
