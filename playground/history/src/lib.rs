//! Judges what a cluster did by what its clients saw.
//!
//! A fault test is worth as much as the check behind it. This crate takes the recorded
//! history of all clients (when each request was made, when it was answered and how, which
//! ones stayed unanswered) and what the cluster holds in the end, and says whether a key-value
//! store with etcd's promises can have behaved like that. It knows nothing of networks,
//! processes or drills; anyone can fill in a [`History`].
//!
//! Two checkers that do not trust each other's reasoning:
//!
//! * [`replay`] follows the revisions. Every answer carries one, every write makes one, so the
//!   order of everything is known and each answer can be compared with the state at its
//!   revision, in `n log n`. [`watches`] and [`leases`] lean on the same order.
//! * [`register`] does not trust revisions. It searches for any order of the operations on a
//!   key that explains their results (Wing and Gong, with Lowe's memory of states).
//!
//! # Invariants
//! - A violation is proof: it names operations that no correct store can have answered so. In
//!   doubt (an unanswered write may have happened or not) the store is right.
//! - A history in which nothing was observed is no evidence, and is said to be so.
//!
//! Left to others: recording, waiting until watchers are drained, and reading the committed
//! events at the end.

pub mod committed;
pub mod expect;
pub mod leases;
pub mod record;
pub mod register;
pub mod replay;
#[cfg(test)]
mod tests;
pub mod verdict;
pub mod watches;

pub use record::History;
pub use verdict::{Report, Rule, Verdict, Violation};

/// How many states the search of one key may visit before it gives up.
const SEARCH_STATES: usize = 500_000;

/// Applies every check.
pub fn check(history: &History) -> Report {
    let mut report = Report::default();
    let committed = match committed::Committed::new(history) {
        Ok(committed) => committed,
        Err(violations) => {
            report.violations = violations;
            return report;
        }
    };
    replay::check(history, &committed, &mut report);
    watches::check(history, &committed, &mut report);
    leases::check(history, &committed, &mut report);
    replay::check_hashes(history, &mut report);
    register::check(history, SEARCH_STATES, &mut report);
    report
}
