//! Backups: a member's state as a database file of etcd, and back.
//!
//! | module | what it does |
//! |---|---|
//! | `buckets` | what etcd keeps in which bucket, and how it is encoded |
//! | [`export`] | from the state of a member to a file |
//! | [`file`] | a file that came from anywhere: its trailing SHA-256, its contents |
//! | [`mod@status`] | what a file holds |
//! | [`mod@restore`] | from a file to the data directory of a member of a new cluster |
//! | [`offline`] | from the data directory of a stopped member to a file |
//!
//! # Invariants
//! - A file holds the state at exactly one position of the log, and of history exactly what
//!   compaction keeps. So two members at one position make files that differ only in what is the
//!   member's own.
//! - Nothing is made of a file before all of it has been read and found sound, and a directory
//!   gets its name when all in it is durable. A damaged file leaves nothing behind.
//! - The agreed version of the cluster is not in the file: etcd 3.5 refuses to start on a later
//!   one, and every cluster agrees on it again within seconds of its start.
//!
//! # What it leaves to others
//! The format of the file (`bbolt`), the way over the network (`api::snapshot`), and the command
//! line.

mod buckets;
pub mod export;
pub mod file;
pub mod offline;
pub mod restore;
pub mod status;
#[cfg(test)]
mod tests;

pub use offline::export as export_member;
pub use restore::{RestoreOptions, Restored, restore};
pub use status::{Status, status};

use std::io;
use std::path::{Path, PathBuf};

use crate::bbolt;
use crate::bootstrap;
use crate::consensus::wal::WalError;
use crate::storage::data_dir::DataDirError;
use crate::storage::snapshot_file::SnapshotError;
use crate::storage::store::StoreError;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {op} {}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: io::Error },
    #[error(transparent)]
    Database(#[from] bbolt::Error),
    #[error("bucket {bucket:?} of the database file holds an entry that cannot be read: {why}")]
    Entry { bucket: &'static str, why: &'static str },
    #[error("snapshot missing hash but --skip-hash-check=false")]
    NoHash,
    #[error("expected sha256 {expected}, got {found}: the snapshot file is damaged")]
    WrongHash { expected: String, found: String },
    #[error("data-dir \"{}\" not empty or could not be read", .0.display())]
    DataDirNotEmpty(PathBuf),
    #[error("wal-dir \"{}\" exists", .0.display())]
    WalDirExists(PathBuf),
    #[error("couldn't find local name \"{0}\" in the initial cluster configuration")]
    NameNotInCluster(String),
    #[error("revision {revision} cannot be raised by {by}")]
    BumpTooLarge { revision: i64, by: u64 },
    #[error("there is no member's data in {}", .0.display())]
    NoMember(PathBuf),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Bootstrap(#[from] bootstrap::Error),
}

impl Error {
    /// For `map_err`: what was being done to which path.
    fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_owned(), source }
    }
}
