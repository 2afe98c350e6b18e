//! What the log says, without the entries' contents: pure bookkeeping.
//!
//! The writer keeps it twice (as appended, and as durable) and recovery builds it again from
//! the same items in the same order, so both agree on what is a gap, what overwrites, and
//! what a snapshot replaces.

use std::sync::Arc;

use raft::eraftpb::HardState;

use super::SnapshotMarker;

/// Entries of one term that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    first: u64,
    term: u64,
}

/// Bounds, terms, hard state and last snapshot of a log.
#[derive(Clone, Debug, Default)]
pub(super) struct LogState {
    /// The index in front of the first entry.
    base: u64,
    last: u64,
    /// Terms of the entries from `base + 1` to `last`, oldest first.
    runs: Vec<Run>,
    pub hard_state: HardState,
    pub marker: Option<Arc<SnapshotMarker>>,
}

impl LogState {
    /// A log that goes on at `first_index` with what the segments before it left behind.
    pub(super) fn resumed(
        first_index: u64,
        hard_state: HardState,
        marker: Option<SnapshotMarker>,
    ) -> Self {
        let base = first_index.saturating_sub(1);
        let marker = marker.map(Arc::new);
        Self { base, last: base, runs: Vec::new(), hard_state, marker }
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    /// Index of the last snapshot; 0 without one.
    pub(super) fn snapshot_index(&self) -> u64 {
        self.marker.as_ref().map_or(0, |marker| marker.index)
    }

    /// Whether entries may be written from `first` on: behind the last snapshot (what it
    /// covers is committed and never changes) and without a gap.
    pub(super) fn accepts(&self, first: u64) -> bool {
        first > self.snapshot_index() && first <= self.last.saturating_add(1)
    }

    /// Writes entries of these terms from `first` on, in place of all from there on.
    pub(super) fn extend(&mut self, first: u64, terms: impl Iterator<Item = u64>) {
        debug_assert!(self.accepts(first));
        self.runs.retain(|run| run.first < first);
        self.base = self.base.min(first - 1);
        self.last = first - 1;
        for term in terms {
            self.last += 1;
            if self.runs.last().is_none_or(|run| run.term != term) {
                self.runs.push(Run { first: self.last, term });
            }
        }
    }

    /// Whether a snapshot takes the place of the log: it is ahead of it, or the log holds an
    /// entry of another term where the snapshot ends. An index older than the log is its own.
    pub(super) fn is_replaced_by(&self, marker: &SnapshotMarker) -> bool {
        marker.index > self.last
            || self.term_at(marker.index).is_some_and(|term| term != marker.term)
    }

    pub(super) fn note_snapshot(&mut self, marker: SnapshotMarker, installed: bool) {
        if installed {
            self.base = marker.index;
            self.last = marker.index;
            self.runs.clear();
        }
        self.marker = Some(Arc::new(marker));
    }

    /// Forgets the terms of entries that no segment holds any more.
    pub(super) fn forget_through(&mut self, index: u64) {
        let index = index.min(self.last);
        if index <= self.base {
            return;
        }
        self.base = index;
        let gone = self.runs.partition_point(|run| run.first <= index);
        // The run that `index` lies in goes on behind it.
        self.runs.drain(..gone.saturating_sub(1));
        if let Some(run) = self.runs.first_mut() {
            run.first = run.first.max(index + 1);
        }
        if self.base == self.last {
            self.runs.clear();
        }
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        if index <= self.base || index > self.last {
            return None;
        }
        let after = self.runs.partition_point(|run| run.first <= index);
        after.checked_sub(1).map(|at| self.runs[at].term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marker(index: u64, term: u64) -> SnapshotMarker {
        SnapshotMarker { index, term, ..Default::default() }
    }

    #[test]
    fn a_snapshot_replaces_the_log_only_when_they_disagree() {
        let mut state = LogState::default();
        state.extend(1, [1, 1, 2, 2].into_iter());
        assert!(!state.is_replaced_by(&marker(2, 1)));
        assert!(state.is_replaced_by(&marker(2, 3)), "another term at its index");
        assert!(state.is_replaced_by(&marker(5, 2)), "ahead of the log");
        state.note_snapshot(marker(9, 4), true);
        assert_eq!((state.base(), state.last()), (9, 9));
        assert!(!state.is_replaced_by(&marker(9, 4)));
        assert!(!state.accepts(9) && state.accepts(10) && !state.accepts(11));
    }

    proptest! {
        /// Against the plain list of (index, term).
        #[test]
        fn terms_agree_with_a_list(
            steps in prop::collection::vec((any::<bool>(), 0u64..12, 0usize..6, 1u64..4), 1..40)
        ) {
            let mut state = LogState::default();
            let mut list: Vec<(u64, u64)> = Vec::new();
            let (mut last, mut base) = (0u64, 0u64);
            for (forget, back, count, term) in steps {
                if forget {
                    let index = last.saturating_sub(back);
                    state.forget_through(index);
                    list.retain(|(at, _)| *at > index);
                    base = base.max(index);
                    continue;
                }
                let first = (last + 1).saturating_sub(back).max(1);
                prop_assert!(state.accepts(first));
                state.extend(first, std::iter::repeat_n(term, count));
                list.retain(|(at, _)| *at < first);
                list.extend((0..count as u64).map(|at| (first + at, term)));
                last = first + count as u64 - 1;
                base = base.min(first - 1);
            }
            prop_assert_eq!(state.last(), last);
            prop_assert_eq!(state.base(), base);
            for index in 0..last + 3 {
                let expected = list.iter().find(|(at, _)| *at == index).map(|(_, term)| *term);
                prop_assert_eq!(state.term_at(index), expected, "index {}", index);
            }
        }
    }
}
