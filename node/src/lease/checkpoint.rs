//! When to note what is left of a long lease (etcd's lease checkpoints).
//!
//! A new leader does not know when leases were renewed last and starts each at its full
//! time to live, so with frequent changes of leader a long lease nobody renews would never
//! end. With checkpoints the leader notes in the log, every [`INTERVAL`], what is left of
//! leases longer than that, and the next leader goes on from there.
//!
//! # Invariant
//! A renewal that was acknowledged is never undone by a checkpoint: as long as one is noted
//! ([`Checkpoints::noted`]), it is taken back through the log before the renewal counts.
//!
//! Pure like the lessor it belongs to: time is an argument.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

/// Between two checkpoints of a lease (etcd's).
pub const INTERVAL: Duration = Duration::from_secs(300);

/// The leases that have a checkpoint, and when the next ones are due.
#[derive(Clone, Debug, Default)]
pub struct Checkpoints {
    enabled: bool,
    due: BTreeSet<(Duration, i64)>,
    at: HashMap<i64, Duration>,
    noted: HashMap<i64, u64>,
    generation: u64,
}

impl Checkpoints {
    /// New ones are made only if `enabled`; those that are there are honoured anyway.
    pub fn new(enabled: bool) -> Self {
        Self { enabled, ..Self::default() }
    }

    /// Plans the next checkpoint of a lease with `left` of its time, unless one is planned.
    pub fn plan(&mut self, id: i64, left: Duration, now: Duration) {
        if self.enabled && left > INTERVAL && !self.at.contains_key(&id) {
            let time = now.saturating_add(INTERVAL);
            self.at.insert(id, time);
            self.due.insert((time, id));
        }
    }

    /// The leases whose checkpoint is due, at most `limit`; each must be planned again.
    pub fn take_due(&mut self, now: Duration, limit: usize) -> Vec<i64> {
        let mut ids = Vec::new();
        while ids.len() < limit
            && let Some(&(time, id)) = self.due.first()
            && time <= now
        {
            self.due.remove(&(time, id));
            self.at.remove(&id);
            ids.push(id);
        }
        ids
    }

    /// A checkpoint of this lease is in the log, or about to be.
    pub fn note(&mut self, id: i64) {
        self.generation += 1;
        self.noted.insert(id, self.generation);
    }

    /// Which checkpoint of the lease must be taken back before it may be renewed.
    pub fn noted(&self, id: i64) -> Option<u64> {
        self.noted.get(&id).copied()
    }

    /// That checkpoint was taken back; a newer one stays.
    pub fn taken_back(&mut self, id: i64, generation: u64) {
        if self.noted.get(&id) == Some(&generation) {
            self.noted.remove(&id);
        }
    }

    /// The lease is gone.
    pub fn forget(&mut self, id: i64) {
        if let Some(time) = self.at.remove(&id) {
            self.due.remove(&(time, id));
        }
        self.noted.remove(&id);
    }

    /// All leases are gone from here.
    pub fn clear(&mut self) {
        self.due.clear();
        self.at.clear();
        self.noted.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lessor;
    use super::*;

    const LONG: i64 = 1000;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn leader() -> Lessor {
        let mut lessor = Lessor::new(10).with_checkpoints(true);
        lessor.promote(seconds(0), seconds(0), [(1, LONG), (2, 200)]);
        lessor
    }

    #[test]
    fn long_leases_are_noted_every_interval_and_short_ones_never() {
        let mut lessor = leader();
        assert_eq!(lessor.checkpoints(seconds(299)), []);
        assert_eq!(lessor.checkpoints(seconds(300)), [(1, 700)]);
        assert_eq!(lessor.checkpoints(seconds(301)), []);
        assert_eq!(lessor.checkpoints(seconds(600)), [(1, 400)]);
        assert_eq!(lessor.checkpoints(seconds(900)), [(1, 100)]);
        // What is left now is too short to be worth another one.
        assert_eq!(lessor.checkpoints(seconds(1200)), []);
    }

    #[test]
    fn without_the_gate_nothing_is_noted() {
        let mut lessor = Lessor::new(10);
        lessor.promote(seconds(0), seconds(0), [(1, LONG)]);
        assert_eq!(lessor.checkpoints(seconds(400)), []);
        assert_eq!(lessor.noted(1), None);
    }

    #[test]
    fn the_next_leader_goes_on_from_the_checkpoint() {
        let mut lessor = leader();
        lessor.promote(seconds(50), seconds(1), [(1, LONG), (2, 200)]);
        lessor.resume(1, 700, seconds(51));
        assert_eq!(lessor.remaining(1, seconds(50)), Some(701));
        assert_eq!(lessor.remaining(2, seconds(50)), Some(201));
        assert_eq!(lessor.tick(seconds(751)), [2, 1]);
        // A longer time than was granted is nonsense, an ended lease stays ended.
        lessor.resume(2, 9_999, seconds(0));
        assert_eq!(lessor.remaining(2, seconds(0)), Some(251));
        lessor.resume(3, 10, seconds(0));
        assert_eq!(lessor.remaining(3, seconds(0)), None);
    }

    #[test]
    fn a_renewed_lease_asks_for_its_checkpoint_to_be_taken_back() {
        let mut lessor = leader();
        assert_eq!(lessor.noted(1), None);
        lessor.checkpoints(seconds(300));
        let first = lessor.noted(1).unwrap();
        // Another checkpoint comes between the asking and the answer.
        lessor.checkpoints(seconds(600));
        lessor.taken_back(1, first);
        let second = lessor.noted(1).unwrap();
        lessor.taken_back(1, second);
        assert_eq!(lessor.noted(1), None);
        assert_eq!(lessor.renew(1, seconds(600)), Ok(LONG));
        assert_eq!(lessor.checkpoints(seconds(900)), [(1, 700)]);
        lessor.revoked(1);
        assert_eq!(lessor.noted(1), None);
        assert_eq!(lessor.checkpoints(seconds(5000)), []);
    }

    #[test]
    fn a_lease_renewed_at_the_end_is_planned_again() {
        let mut lessor = leader();
        for time in [300, 600, 900] {
            lessor.checkpoints(seconds(time));
        }
        assert_eq!(lessor.renew(1, seconds(950)), Ok(LONG));
        assert_eq!(lessor.checkpoints(seconds(1249)), []);
        assert_eq!(lessor.checkpoints(seconds(1250)), [(1, 700)]);
    }
}
