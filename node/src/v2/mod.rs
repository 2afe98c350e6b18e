//! etcd's v2 keys: a tree of directories and values with an index and a short history.
//!
//! A store of its own beside the v3 key space, as in etcd: the two share the log and nothing
//! else.
//!
//! # Invariants
//! [`store`], [`event`], [`history`] and [`rows`] are pure and replicated: every member that
//! applies the same log has the same tree, index and history, and makes the same events. What
//! needs a clock is decided before the log: a request carries its time, and nodes expire by a
//! command of the leader ([`clock`]), not by themselves.
//!
//! [`hub`] and [`stats`] are this member's own: its watchers and its counters.
//!
//! Left to others: HTTP (`api::v2`), and order and durability (the log).

pub mod clock;
pub mod error;
pub mod event;
pub mod history;
pub mod hub;
pub mod latency;
pub mod path;
pub mod rows;
pub mod stats;
pub mod store;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use error::{Code, Error};
pub use event::{Action, Event, View};
pub use store::{Outcome, Store};

/// What a member keeps beside the replicated store.
#[derive(Default)]
pub struct Local {
    pub hub: Arc<hub::Hub>,
    pub stats: stats::Stats,
}

impl Local {
    /// Commands were applied.
    pub fn publish(&self, outcomes: &[Outcome]) {
        for outcome in outcomes {
            self.stats.count(outcome);
            outcome.notices.iter().for_each(|notice| self.hub.notify(notice));
        }
    }
}
