//! The history of one key: where its versions are, and the version it has now.
//!
//! A history is the row of marks of the key's changes in revision order, each a put or a
//! tombstone. Generations need no structure of their own: a put after a tombstone (or after
//! nothing) begins one, and the version and create revision of every put are stored with its
//! value.
//!
//! # Invariant
//! Marks rise strictly. The current value is there exactly when the last mark is a put, and
//! it is that put's value. A history without marks exists only between its creation and its
//! first change.
//!
//! # Size
//! Deleted keys wait here for the next compaction, and a million of them is not unusual. So
//! a mark takes 12 bytes and the first two marks live inside the history itself: a key that
//! was put and deleted costs no allocation beside its name.

use std::sync::Arc;

use smallvec::SmallVec;

use super::{KeyValue, Revision};

/// One change: main revision, sub revision and whether it is a tombstone, in 12 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    main_high: u32,
    main_low: u32,
    /// Sub revision times two, plus one for a tombstone.
    sub_and_kind: u32,
}

impl Mark {
    fn new(revision: Revision, tombstone: bool) -> Self {
        // A sub revision counts changes held in memory at once, far fewer than 2^31.
        debug_assert!(revision.main >= 0 && (0..1 << 31).contains(&revision.sub));
        Self {
            main_high: (revision.main >> 32) as u32,
            main_low: revision.main as u32,
            sub_and_kind: (revision.sub as u32) << 1 | u32::from(tombstone),
        }
    }

    fn main(self) -> i64 {
        i64::from(self.main_high) << 32 | i64::from(self.main_low)
    }

    fn revision(self) -> Revision {
        Revision::new(self.main(), i64::from(self.sub_and_kind >> 1))
    }

    fn is_tombstone(self) -> bool {
        self.sub_and_kind & 1 == 1
    }
}

/// Where the version that a reader of some revision sees is to be found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Located<'a> {
    /// The key did not exist at that revision.
    Absent,
    /// It is the version the key has now.
    Current(&'a Arc<KeyValue>),
    /// It is an older put, stored under this revision.
    Stored(Revision),
}

/// All that is known of one key.
#[derive(Clone, Debug, Default)]
pub(super) struct KeyHistory {
    current: Option<Arc<KeyValue>>,
    marks: SmallVec<[Mark; 2]>,
}

impl KeyHistory {
    /// The version the key has now; `None` for a deleted key.
    pub(super) fn current(&self) -> Option<&Arc<KeyValue>> {
        self.current.as_ref()
    }

    /// Records a put and gives the version it replaced.
    pub(super) fn put(&mut self, at: Revision, version: Arc<KeyValue>) -> Option<Arc<KeyValue>> {
        self.push(Mark::new(at, false));
        self.current.replace(version)
    }

    /// Records a tombstone and gives the version it deleted.
    pub(super) fn tombstone(&mut self, at: Revision) -> Option<Arc<KeyValue>> {
        self.push(Mark::new(at, true));
        self.current.take()
    }

    fn push(&mut self, mark: Mark) {
        debug_assert!(self.marks.last().is_none_or(|last| last.revision() < mark.revision()));
        self.marks.push(mark);
    }

    /// What a reader of main revision `main` sees: the newest change at or below it.
    pub(super) fn at(&self, main: i64) -> Located<'_> {
        let seen = self.marks_through(main);
        let Some(mark) = seen.checked_sub(1).map(|newest| self.marks[newest]) else {
            return Located::Absent;
        };
        if mark.is_tombstone() {
            return Located::Absent;
        }
        match &self.current {
            Some(version) if seen == self.marks.len() => Located::Current(version),
            _ => Located::Stored(mark.revision()),
        }
    }

    /// The one change at or below `main` that a compaction at `main` must keep.
    ///
    /// That is the newest, unless it is a tombstone from before `main`: then nobody can ask
    /// any more. A tombstone *at* `main` is kept, because a watcher that starts there is
    /// still owed the deletion, and a hash taken there covers it.
    pub(super) fn kept_at(&self, main: i64) -> Option<Revision> {
        let newest = self.marks[..self.marks_through(main)].last()?;
        let needed = !newest.is_tombstone() || newest.main() == main;
        needed.then(|| newest.revision())
    }

    /// Forgets every change that a compaction at `main` does not keep. False when nothing is
    /// left of the key.
    pub(super) fn compact(&mut self, main: i64) -> bool {
        let covered = self.marks_through(main);
        let kept = usize::from(self.kept_at(main).is_some());
        if covered > kept {
            self.marks.drain(..covered - kept);
            // A hot key may have had thousands; growing again is amortized.
            if self.marks.spilled() && self.marks.len() <= self.marks.capacity() / 4 {
                self.marks.shrink_to_fit();
            }
        }
        !self.marks.is_empty()
    }

    /// How many marks are at or below `main`. Readers mostly ask for the newest.
    fn marks_through(&self, main: i64) -> usize {
        match self.marks.last() {
            Some(last) if last.main() > main => {
                self.marks.partition_point(|mark| mark.main() <= main)
            }
            _ => self.marks.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn version(main: i64) -> Arc<KeyValue> {
        Arc::new(KeyValue {
            key: Arc::from(&b"k"[..]),
            value: Bytes::from(main.to_string()),
            create_revision: main,
            mod_revision: main,
            version: 1,
            lease: 0,
        })
    }

    /// put 2, put 4, tombstone 6, put 8
    fn sample() -> KeyHistory {
        let mut history = KeyHistory::default();
        history.put(Revision::new(2, 0), version(2));
        history.put(Revision::new(4, 3), version(4));
        history.tombstone(Revision::new(6, 1));
        history.put(Revision::new(8, 0), version(8));
        history
    }

    #[test]
    fn a_dead_key_stays_small() {
        assert!(size_of::<KeyHistory>() <= 40, "{}", size_of::<KeyHistory>());
        let mut history = KeyHistory::default();
        history.put(Revision::new(2, 0), version(2));
        history.tombstone(Revision::new(3, 0));
        assert!(!history.marks.spilled());
    }

    #[test]
    fn a_mark_keeps_large_numbers() {
        for main in [0, 1, i64::from(u32::MAX), i64::from(u32::MAX) + 1, i64::MAX] {
            for sub in [0, 1, (1 << 31) - 1] {
                for tombstone in [false, true] {
                    let mark = Mark::new(Revision::new(main, sub), tombstone);
                    assert_eq!(mark.revision(), Revision::new(main, sub));
                    assert_eq!(mark.is_tombstone(), tombstone);
                }
            }
        }
    }

    #[test]
    fn each_revision_sees_the_newest_change_before_it() {
        let history = sample();
        assert_eq!(history.at(1), Located::Absent);
        assert_eq!(history.at(3), Located::Stored(Revision::new(2, 0)));
        assert_eq!(history.at(4), Located::Stored(Revision::new(4, 3)));
        assert_eq!(history.at(5), Located::Stored(Revision::new(4, 3)));
        assert_eq!(history.at(6), Located::Absent);
        assert_eq!(history.at(7), Located::Absent);
        assert_eq!(history.at(8), Located::Current(&version(8)));
        assert_eq!(history.at(99), Located::Current(&version(8)));
    }

    #[test]
    fn within_one_transaction_the_last_change_is_seen() {
        let mut history = KeyHistory::default();
        history.put(Revision::new(2, 0), version(2));
        history.tombstone(Revision::new(2, 1));
        assert_eq!(history.at(2), Located::Absent);
        assert_eq!(history.kept_at(2), Some(Revision::new(2, 1)));
    }

    #[test]
    fn a_tombstone_is_kept_only_at_the_compacted_revision_itself() {
        assert_eq!(sample().kept_at(5), Some(Revision::new(4, 3)));
        assert_eq!(sample().kept_at(6), Some(Revision::new(6, 1)));
        assert_eq!(sample().kept_at(7), None);
        assert_eq!(sample().kept_at(8), Some(Revision::new(8, 0)));
    }

    #[test]
    fn compaction_keeps_what_it_promised_to_keep() {
        for at in 0..10 {
            let mut compacted = sample();
            assert!(compacted.compact(at));
            assert_eq!(compacted.kept_at(at), sample().kept_at(at), "at {at}");
            for later in at..10 {
                assert_eq!(compacted.at(later), sample().at(later), "at {at}, read at {later}");
                assert_eq!(compacted.kept_at(later), sample().kept_at(later));
            }
        }
    }

    #[test]
    fn nothing_is_left_of_a_key_that_was_deleted_before_the_compaction() {
        let mut history = KeyHistory::default();
        history.put(Revision::new(2, 0), version(2));
        history.tombstone(Revision::new(3, 0));
        assert!(history.compact(3));
        assert!(!history.compact(4));
    }

    #[test]
    fn compaction_gives_the_memory_of_a_hot_key_back() {
        let mut history = KeyHistory::default();
        for main in 2..1000 {
            history.put(Revision::new(main, 0), version(main));
        }
        history.compact(999);
        assert!(!history.marks.spilled());
        assert_eq!(history.at(999), Located::Current(&version(999)));
    }
}
