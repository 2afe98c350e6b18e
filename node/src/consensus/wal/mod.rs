//! The write-ahead log: what this member has promised to the others.
//!
//! # What it is
//! A row of segment files that hold raft's entries, its hard state (term, vote, commit) and a
//! marker for every snapshot. A vote or an acknowledgement may leave the member only after
//! [`Wal::sync`] has returned. Everything else the member keeps can be rebuilt from here and
//! from a snapshot file.
//!
//! ```text
//! 0000000000000007-00000000000186a0.wal          sequence number - first index
//! ┌──────────┬────────────────┬───────┬───────┬─────────────────────────┐
//! │ preamble │ segment header │ batch │ batch │ zeros, written in advance│
//! └──────────┴────────────────┴───────┴───────┴─────────────────────────┘
//! ```
//!
//! Appends are collected in memory; one `sync` makes them **one record**, one write and one
//! `fdatasync`. Since a record is begun only when the one before it is durable, a crash can
//! damage one record at most, and nothing can follow it. Recovery rests on this: a bad record
//! with anything behind it was not torn by a crash.
//!
//! # Invariants
//! - A file gets the name of a segment only when it is full of zeros but for its header, and
//!   durable. So a segment of the normal size never needs metadata written by `fdatasync`.
//! - Every checksum begins with the segment's random epoch and the checksum before it, across
//!   segments. Bytes of an earlier life of a recycled file, a record out of place or a missing
//!   segment cannot pass for the log.
//! - A segment's header carries the hard state and the last snapshot marker, so an old segment
//!   is needed for its entries only, and goes when a snapshot covers them.
//! - The log is cut only behind a durable snapshot marker, whatever the caller asks for.
//! - Only a torn tail (see `tail.rs`) is repaired, and a copy of it is kept. Anything else that
//!   is odd is an error that names file and offset, and no file is changed: a log shortened in
//!   silence would make a voter forget what it acknowledged.
//! - After an error of a write or a sync, every later call fails: what the kernel did with the
//!   pages is unknown, and a second `fsync` may lie. The caller ends the process.
//!
//! # What it leaves to others
//! Threads: one thread uses a [`Wal`], and only the preparation of the next segment runs beside
//! it. The lock on the directory: `storage::data_dir`. The snapshots themselves, and whether
//! one is good: `storage::snapshot_file`. What the entries mean: raft, and above it `machine`.

use std::io;
use std::path::{Path, PathBuf};

use raft::eraftpb::{ConfState, Entry, HardState};

use crate::faults::DiskFaults;

mod batch;
mod record;
mod recover;
mod segment;
mod spare;
mod state;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use writer::Wal;

/// Version of the file format written by this program, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

/// Whose log this is. All three stay the same for the life of a data directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster_id: u64,
    pub member_id: u64,
    /// Random, drawn when the directory was made: tells a wiped member from itself.
    pub directory_id: [u8; 16],
}

/// The log's note that a snapshot exists, and the configuration it holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotMarker {
    pub index: u64,
    pub term: u64,
    pub conf_state: ConfState,
}

/// How a log is kept.
#[derive(Clone, Copy, Debug)]
pub struct WalOptions {
    /// Size of a segment file. A record too large for it gets a larger file of its own.
    pub segment_bytes: u64,
    /// Skips every sync: what was acknowledged may be lost with the machine (not with the
    /// process). For tests and throw-away clusters.
    pub unsafe_no_fsync: bool,
    /// What is wrong with the disk, on request; `None` in production.
    pub faults: Option<&'static DiskFaults>,
}

impl Default for WalOptions {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, unsafe_no_fsync: false, faults: None }
    }
}

/// What a log held when it was opened.
#[derive(Clone, Debug)]
pub struct Recovered {
    pub identity: Identity,
    pub hard_state: HardState,
    /// Contiguous; all entries from the wanted index (or from the first there is) to the last.
    pub entries: Vec<Entry>,
    /// The first index the log still has an entry for, whatever was asked for.
    pub first_index: u64,
    /// The last entry, or the snapshot that stands for it when there is none behind it.
    pub last_index: u64,
    /// Every snapshot noted in the segments that are left, oldest first. A whole snapshot file
    /// that is newer than all of them was published just before a crash: whoever loads it
    /// marks it before anything else is appended.
    pub markers: Vec<SnapshotMarker>,
    /// Set when a torn tail was cut off: one sentence for the log of the process.
    pub repaired: Option<String>,
}

/// Why the log cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    #[error("write-ahead log: cannot {op} {}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: io::Error },
    #[error(
        "write-ahead log: {} is corrupt at offset {offset}: {why}; the file was left as it is",
        file.display()
    )]
    Corrupt { file: PathBuf, offset: u64, why: String },
    #[error(
        "write-ahead log: {} has format version {found}, this program reads version {supported}",
        file.display()
    )]
    UnsupportedVersion { file: PathBuf, found: u32, supported: u32 },
    #[error("write-ahead log: {} already holds a log", dir.display())]
    AlreadyExists { dir: PathBuf },
    #[error("write-ahead log: {} holds no log", dir.display())]
    Missing { dir: PathBuf },
    #[error(
        "write-ahead log: {} belongs to {found:?}, the segments before it to {expected:?}",
        file.display()
    )]
    WrongIdentity { file: PathBuf, expected: Box<Identity>, found: Box<Identity> },
    #[error(
        "write-ahead log: entries from index {needed} are needed, but the log begins at {first}"
    )]
    MissingEntries { needed: u64, first: u64 },
    #[error(
        "write-ahead log: an entry with index {index} cannot be written: the log ends at {last}, \
         and a snapshot covers it up to {snapshot}"
    )]
    OutOfOrder { index: u64, last: u64, snapshot: u64 },
    #[error("write-ahead log: {bytes} bytes are too many for one record")]
    TooLarge { bytes: usize },
    #[error("write-ahead log: an earlier error made it unusable")]
    Poisoned,
}

impl WalError {
    /// For `map_err`: what was being done to which path.
    fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_owned(), source }
    }

    fn corrupt(file: &Path, offset: usize, why: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset: offset as u64, why: why.into() }
    }
}
