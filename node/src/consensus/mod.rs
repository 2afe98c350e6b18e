//! Consensus: the raft log and what keeps it.

pub mod wal;
