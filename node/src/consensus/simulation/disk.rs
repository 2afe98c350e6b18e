//! What a simulated member has on disk, and what it would lose if it were killed now.
//!
//! Records wait in a queue, a sync takes all that wait, and only when it ends they are
//! durable. A crash during a sync keeps any beginning of what was being written, since the
//! kernel may have got that far. The real log's files have tests of their own; here is only
//! what they promise.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use raft::eraftpb::{ConfState, Entry, HardState, SnapshotMetadata};

use super::applied::Saved;
use super::random::Random;
use crate::consensus::core::Persist;
use crate::consensus::wal::{Identity, Recovered, SnapshotMarker};

/// What waits for the log's thread.
pub enum Job {
    /// A record, and the term of the entry before its first one.
    Persist(Persist, u64),
    /// A snapshot file is complete.
    Snapshot { meta: SnapshotMetadata, release: u64 },
}

/// Snapshot files that are kept, as the product does.
const KEPT_FILES: usize = 2;

/// See the module.
#[derive(Default)]
pub struct Disk {
    hard_state: HardState,
    entries: VecDeque<Entry>,
    /// The index in front of the first entry.
    base: u64,
    markers: Vec<SnapshotMarker>,
    pub snapshots: BTreeMap<(u64, u64), Rc<Saved>>,
    /// The applied state's files: any earlier state may be in them.
    pub saved: Option<Rc<Saved>>,
    pub queue: VecDeque<Job>,
    in_flight: Vec<Job>,
    /// Plants a fault: the vote is not written.
    pub forgets_votes: bool,
}

impl Disk {
    /// The disk of a founding member.
    pub fn founded(saved: Rc<Saved>) -> Self {
        let mut disk = Self { saved: Some(saved.clone()), ..Self::default() };
        let meta = saved.meta();
        disk.snapshots.insert((meta.index, meta.term), saved);
        disk.base = meta.index;
        disk.hard_state.term = meta.term;
        disk.hard_state.commit = meta.index;
        disk.markers.push(marker(&meta));
        disk
    }

    /// Takes up all that waits; false when nothing does or a sync is under way.
    pub fn begin_sync(&mut self) -> bool {
        if !self.in_flight.is_empty() || self.queue.is_empty() {
            return false;
        }
        self.in_flight = self.queue.drain(..).collect();
        true
    }

    /// The sync has ended: gives back what is durable now.
    pub fn end_sync(&mut self, random: &mut Random) -> Vec<Job> {
        let jobs = std::mem::take(&mut self.in_flight);
        for job in &jobs {
            self.write(job, random);
        }
        jobs
    }

    /// The member is killed.
    pub fn crash(&mut self, random: &mut Random) {
        let jobs = std::mem::take(&mut self.in_flight);
        let kept = random.between(0, jobs.len() as u64 + 1) as usize;
        for job in &jobs[..kept] {
            self.write(job, random);
        }
        self.queue.clear();
    }

    fn write(&mut self, job: &Job, random: &mut Random) {
        match job {
            Job::Persist(persist, _) => {
                if let Some(meta) = &persist.snapshot {
                    self.mark(meta);
                }
                self.append(&persist.entries);
                if let Some(hard_state) = &persist.hard_state {
                    let vote = self.hard_state.vote;
                    self.hard_state = hard_state.clone();
                    if self.forgets_votes {
                        self.hard_state.vote = vote;
                    }
                }
            }
            Job::Snapshot { meta, release } => {
                if meta.index >= self.newest_marker() {
                    self.mark(meta);
                }
                // Whole segments go, so some entries stay.
                let through = random.between(self.base, release.max(&self.base) + 1);
                while self.base < through.min(self.newest_marker()) {
                    if self.entries.pop_front().is_none() {
                        break;
                    }
                    self.base += 1;
                }
            }
        }
    }

    fn newest_marker(&self) -> u64 {
        self.markers.last().map_or(0, |marker| marker.index)
    }

    fn mark(&mut self, meta: &SnapshotMetadata) {
        let agrees = meta.index <= self.base || self.term_at(meta.index) == Some(meta.term);
        if !agrees {
            self.entries.clear();
            self.base = meta.index;
        }
        self.markers.push(marker(meta));
    }

    fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        assert!(first.index > self.newest_marker(), "entries behind a snapshot are overwritten");
        assert!(first.index <= self.last() + 1, "a gap in the log");
        while self.last() >= first.index {
            self.entries.pop_back();
        }
        self.entries.extend(entries.iter().cloned());
    }

    fn last(&self) -> u64 {
        self.base + self.entries.len() as u64
    }

    fn term_at(&self, index: u64) -> Option<u64> {
        let at = index.checked_sub(self.base + 1)?;
        self.entries.get(at as usize).map(|entry| entry.term)
    }

    /// Whether the entry at `index` of `term` would survive a crash.
    pub fn holds(&self, index: u64, term: u64) -> bool {
        index <= self.base || index <= self.newest_marker() || self.term_at(index) == Some(term)
    }

    /// Publishes a snapshot file that was made here or received.
    pub fn publish(&mut self, saved: Rc<Saved>) {
        self.snapshots.insert((saved.position.index, saved.position.term), saved);
    }

    /// Removes old snapshot files, but not those that the log may still be the last to name.
    pub fn prune(&mut self) {
        let marked = self.newest_marker();
        let old = self.snapshots.keys().filter(|place| place.0 <= marked).rev();
        let gone: Vec<_> = old.skip(KEPT_FILES).copied().collect();
        for place in gone {
            self.snapshots.remove(&place);
        }
    }

    /// The newest snapshot file that has its marker in the log.
    pub fn newest_snapshot(&self) -> Option<Rc<Saved>> {
        let known = |marker: &SnapshotMarker| self.snapshots.get(&(marker.index, marker.term));
        self.markers.iter().rev().find_map(known).cloned()
    }

    /// Whether the member has never had a snapshot: it is still to join.
    pub fn is_blank(&self) -> bool {
        self.markers.is_empty()
    }

    /// What the log says at a start.
    pub fn recover(&self) -> Recovered {
        Recovered {
            identity: Identity { cluster_id: 1, member_id: 0, directory_id: [0; 16] },
            hard_state: self.hard_state.clone(),
            entries: self.entries.iter().cloned().collect(),
            first_index: self.base + 1,
            last_index: self.last(),
            markers: self.markers.clone(),
            repaired: None,
        }
    }
}

fn marker(meta: &SnapshotMetadata) -> SnapshotMarker {
    let conf_state: ConfState = meta.get_conf_state().clone();
    SnapshotMarker { index: meta.index, term: meta.term, conf_state }
}
