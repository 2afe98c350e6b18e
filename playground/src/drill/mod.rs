//! Drills: a fault, a claim about what will happen, and a verdict.
//!
//! A drill is a file ([`format`], steps in [`action`]); those that come with the program are in
//! [`catalogue`]. [`machine`] is its course, pure; [`run`] is the shell that carries it out on a
//! cluster through [`crate::Client`] and etcd's API, while [`crate::workload`] asks the cluster
//! all the time. [`judge`] compares what was expected with what was seen, the `history` crate
//! says whether clients were told the truth, and [`report`] tells people. [`progress`] is what
//! there is to see meanwhile.
//!
//! # Invariants
//! - Whatever ends a drill, the cluster is put back ([`rollback`]); a program that dies leaves a
//!   [`mark`] by which the next one knows.
//! - A drill speaks to the supervisor like any client. What it cannot do, a user cannot do.

pub mod action;
pub mod catalogue;
mod conditions;
mod cuts;
mod disaster;
mod etcd;
mod finish;
pub mod format;
pub mod judge;
mod live;
pub mod machine;
pub mod mark;
mod nodes;
mod observe;
mod perform;
pub mod place;
pub mod progress;
pub mod report;
pub mod rollback;
pub mod run;
mod stage;

pub use format::Drill;
pub use progress::Progress;
pub use report::{Report, Verdict};
