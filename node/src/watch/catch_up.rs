//! Catching up: watchers that need history get it in bounded portions.
//!
//! # How
//! [`Hub::next_catch_up`] takes a group of lagging watchers that need about the same
//! revisions and says which to read; the caller reads them, without holding the hub's lock,
//! and brings them to [`Hub::finish_catch_up`]. That goes through them once for the whole
//! group, adds what is still remembered of the revisions since, and watchers that thereby
//! reach the present are synced. The others wait for the next turn. In a turn every watcher
//! that waits is in one job, so one with a million revisions to read does not keep waiting
//! those that miss ten.
//!
//! # Invariant
//! A job's watchers are in no other place until the job is finished or abandoned, except
//! that they may end meanwhile. What is delivered by a job starts at each watcher's own next
//! revision and ends, for the whole group, at the same one.

use std::collections::BTreeSet;

use super::hub::{Hub, find};
use super::index::Index;
use super::stream::StreamId;
use super::watcher::{Place, Slot};
use crate::kv::Change;

/// History to be read for a group of watchers. It must be given back, to
/// [`Hub::finish_catch_up`] or [`Hub::abandon_catch_up`].
#[derive(Debug)]
#[must_use = "its watchers get nothing until it is finished or abandoned"]
pub struct CatchUp {
    from: i64,
    to: i64,
    /// Slots with the serial number of the watcher that had it.
    watchers: Vec<(Slot, u64)>,
}

impl CatchUp {
    /// First and last revision to read; `None` when what the group needs is in memory and
    /// the job can be finished at once, with no changes.
    pub fn read(&self) -> Option<(i64, i64)> {
        (self.from <= self.to).then_some((self.from, self.to))
    }

    /// The reader has stopped after `revision`, because it has read enough bytes. It must
    /// have read that revision to its end.
    pub fn stop_after(&mut self, revision: i64) {
        self.to = self.to.min(revision).max(self.from - 1);
    }
}

impl Hub {
    /// Whether [`Hub::next_catch_up`] has a job. Worth asking after every call that may have
    /// made a watcher lag or let one go on: create, take, notify, restore, finish.
    pub fn needs_catch_up(&self) -> bool {
        !self.lagging.is_empty()
    }

    /// The next job, if any watcher lags whose client is reading. Several may be under way.
    pub fn next_catch_up(&mut self) -> Option<CatchUp> {
        let &(turn, from, first) = self.lagging.first()?;
        self.turn = turn + 1;
        let (to, last) = if from > self.recent.floor() {
            (from - 1, i64::MAX)
        } else {
            let to = from.saturating_add(self.limits.job_revisions.max(1) - 1).min(self.revision);
            (to, to)
        };
        let group = self.lagging.range((turn, from, first)..=(turn, last, Slot::LAST));
        let group: Vec<_> = group.take(self.limits.job_watchers.max(1)).copied().collect();
        let mut watchers = Vec::with_capacity(group.len());
        for (_, next, slot) in group {
            watchers.extend(self.watchers.get(slot).map(|watcher| (slot, watcher.serial)));
            self.relocate(slot, Some(Place::Reading(next)));
        }
        Some(CatchUp { from, to, watchers })
    }

    /// Delivers what the job asked for: `changes` are all changes of the revisions it named,
    /// in order. Those before the compacted revision may be missing.
    pub fn finish_catch_up(&mut self, job: CatchUp, changes: &[Change], woken: &mut Vec<StreamId>) {
        let group = self.reading_of(&job);
        let mut index = Index::default();
        for slot in &group {
            if let Some(watcher) = self.watchers.get(*slot) {
                index.insert(&watcher.range, *slot);
            }
        }
        let main = |change: &Change| change.record.revision.main;
        for changes in changes.chunk_by(|one, other| main(one) == main(other)) {
            let revision = main(&changes[0]);
            if (job.from..=job.to).contains(&revision) {
                self.deliver(revision, changes, &find(&index, changes), woken);
            }
        }
        let mut reached = job.to;
        if reached >= self.recent.floor() {
            // Taken out and put back because delivering needs the whole hub, except this.
            let recent = std::mem::take(&mut self.recent);
            for (revision, changes) in recent.after(reached) {
                self.deliver(revision, changes, &find(&index, changes), woken);
            }
            self.recent = recent;
            reached = self.revision;
        }
        for slot in group {
            self.go_on(slot, reached + 1);
        }
        self.tell_all_progress(woken);
    }

    /// Gives a job back that could not be read. Its watchers wait for another turn.
    pub fn abandon_catch_up(&mut self, job: CatchUp) {
        for slot in self.reading_of(&job) {
            self.go_on(slot, job.from);
        }
    }

    /// The watchers of the job that are still there.
    fn reading_of(&self, job: &CatchUp) -> BTreeSet<Slot> {
        let alive = |slot: Slot, serial: u64| {
            self.watchers.get(slot).is_some_and(|watcher| watcher.serial == serial)
        };
        job.watchers.iter().filter(|(slot, serial)| alive(*slot, *serial)).map(|w| w.0).collect()
    }

    /// Sends a watcher that was in a job where it belongs when it has had everything before
    /// `next`. One that met a full outbox is parked already.
    fn go_on(&mut self, slot: Slot, next: i64) {
        let place = self.watchers.get(slot).and_then(|watcher| watcher.place);
        let Some(Place::Reading(needed)) = place else { return };
        let next = needed.max(next);
        if next > self.revision {
            self.relocate(slot, Some(Place::Synced));
        } else {
            self.make_lag(slot, next);
        }
    }
}
