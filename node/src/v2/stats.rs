//! What a member counts of v2: requests by kind and outcome, and since when who leads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use parking_lot::Mutex;

use super::event::Action;
use super::store::Outcome;

/// Successes and failures of one kind of request.
#[derive(Default)]
pub struct Pair {
    done: AtomicU64,
    refused: AtomicU64,
}

impl Pair {
    /// Counts one request.
    pub fn count(&self, done: bool) {
        let counter = if done { &self.done } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Successes, failures.
    pub fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }
}

/// See the module.
#[derive(Default)]
pub struct Stats {
    pub gets: Pair,
    pub sets: Pair,
    pub deletes: Pair,
    pub updates: Pair,
    pub creates: Pair,
    pub swaps: Pair,
    pub compared_deletes: Pair,
    pub expired: AtomicU64,
    /// The leader, and since when it leads.
    pub leader: Mutex<Option<(u64, SystemTime)>>,
}

impl Stats {
    /// Counts an applied command.
    pub fn count(&self, outcome: &Outcome) {
        let pair = match outcome.action {
            Action::Get => &self.gets,
            Action::Set => &self.sets,
            Action::Create => &self.creates,
            Action::Update => &self.updates,
            Action::CompareAndSwap => &self.swaps,
            Action::Delete => &self.deletes,
            Action::CompareAndDelete => &self.compared_deletes,
            Action::Expire => {
                self.expired.fetch_add(outcome.notices.len() as u64, Ordering::Relaxed);
                return;
            }
        };
        pair.count(outcome.done);
    }

    /// Member `leader` leads now; 0 is nobody.
    pub fn led_by(&self, leader: u64) {
        let mut known = self.leader.lock();
        if known.is_none_or(|(before, _)| before != leader) {
            *known = Some((leader, crate::wall_clock::now()));
        }
    }
}
