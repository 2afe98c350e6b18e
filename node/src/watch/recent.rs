//! The last few revisions, kept in memory.
//!
//! Reading history takes time, and meanwhile the store moves on. Without these a watcher
//! could run after a busy store for ever; with them the end of a catch-up meets the present
//! under one lock. They also spare the usual "list, then watch from the next revision" any
//! reading at all.
//!
//! # Invariant
//! Every change after `floor` up to the newest revision is here.

use std::collections::VecDeque;

use crate::kv::{Change, RecordKind};

#[derive(Debug, Default)]
pub(super) struct Recent {
    floor: i64,
    revisions: VecDeque<(i64, Box<[Change]>)>,
    bytes: usize,
}

impl Recent {
    /// The revision after which nothing is missing.
    pub(super) fn floor(&self) -> i64 {
        self.floor
    }

    /// Forgets everything; changes after `revision` will follow.
    pub(super) fn reset(&mut self, revision: i64) {
        *self = Self { floor: revision, ..Self::default() };
    }

    /// Adds the next revision and forgets the oldest ones beyond the limits.
    pub(super) fn push(
        &mut self,
        revision: i64,
        changes: &[Change],
        max_count: usize,
        max_bytes: usize,
    ) {
        self.bytes += size(changes);
        self.revisions.push_back((revision, changes.into()));
        while (self.bytes > max_bytes || self.revisions.len() > max_count)
            && let Some((revision, changes)) = self.revisions.pop_front()
        {
            self.bytes -= size(&changes);
            self.floor = revision;
        }
    }

    /// The revisions after `revision`, in order; `revision` must not be below the floor.
    pub(super) fn after(&self, revision: i64) -> impl Iterator<Item = (i64, &[Change])> {
        let first = self.revisions.partition_point(|(known, _)| *known <= revision);
        self.revisions.iter().skip(first).map(|(revision, changes)| (*revision, &**changes))
    }
}

/// What the changes hold on to, about: the values may have no other owner any more.
fn size(changes: &[Change]) -> usize {
    const FIXED: usize = 200;
    let size = |change: &Change| {
        let value = match &change.record.kind {
            RecordKind::Put(kv) => kv.value.len(),
            RecordKind::Tombstone(_) => 0,
        };
        let previous = change.previous.as_ref().map_or(0, |kv| kv.value.len());
        FIXED + change.record.key().len() + value + previous
    };
    changes.iter().map(size).sum()
}
