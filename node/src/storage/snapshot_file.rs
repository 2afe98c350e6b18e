//! Snapshot files: the whole replicated state at one index, in one file.
//!
//! ```text
//! <index>-<term>.snap
//! ┌──────────┬─────────────┬───────────────────────────────────┬────────┐
//! │ preamble │ meta blocks │ record blocks, in revision order  │ footer │
//! └──────────┴─────────────┴───────────────────────────────────┴────────┘
//! ```
//!
//! The meta section holds index, term, configuration and small side tables (leases, members,
//! alarms …) whose contents are their owners' business. Records are a stream cut into blocks
//! of at most 64 KiB, each with a checksum over its number and contents; a record may lie
//! across many blocks. The footer repeats index and term, counts the records, and holds the
//! SHA-256 of everything before it.
//!
//! # Invariants
//! - A file gets its name when it is complete and durable; anything under a temporary name is
//!   left over from a crash, and swept.
//! - [`SnapshotReader::open`] reads and checks the whole file before it gives out anything, and
//!   every block is checked again when it is read. No byte of a damaged file is used.
//! - Writing and reading take memory for one block and one record, not for the file (only the
//!   meta section is held as a whole).
//!
//! # What it leaves to others
//! When to take a snapshot, and telling the log about it (`consensus::wal` cuts nothing before
//! it has a marker); moving the bytes to another member; what a side table means.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use raft::eraftpb::ConfState;
use sha2::{Digest, Sha256};

use super::codec::CodecError;
use super::files;
use crate::kv::Revision;

mod block;
mod meta;
mod reader;
mod receiver;
mod temporary;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::SnapshotReader;
pub use receiver::SnapshotReceiver;
pub use writer::SnapshotWriter;

/// Version of the file format written by this program, and the only one it reads.
pub const FORMAT_VERSION: u32 = 1;

/// What a snapshot says before its records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotMeta {
    /// Last entry whose effects are included.
    pub index: u64,
    pub term: u64,
    pub conf_state: ConfState,
    pub kv_revision: i64,
    /// Revision up to which history has been compacted.
    pub compacted: i64,
    /// Further replicated state, by a tag that its owner knows.
    pub tables: Vec<(u8, Vec<u8>)>,
}

impl SnapshotMeta {
    /// The contents of the table with this tag.
    pub fn table(&self, tag: u8) -> Option<&[u8]> {
        self.tables.iter().find(|(found, _)| *found == tag).map(|(_, bytes)| &bytes[..])
    }
}

/// A complete snapshot file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    pub path: PathBuf,
    pub index: u64,
    pub term: u64,
    pub size: u64,
    /// Of the whole file.
    pub sha256: [u8; 32],
}

/// The name of a snapshot file; nothing is known about its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotName {
    pub path: PathBuf,
    pub index: u64,
    pub term: u64,
}

/// Why a snapshot cannot be written, read or received.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("snapshot: cannot {op} {}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: io::Error },
    #[error("snapshot: {} is corrupt at offset {offset}: {why}", file.display())]
    Corrupt { file: PathBuf, offset: u64, why: String },
    #[error(
        "snapshot: {} has format version {found}, this program reads version {supported}",
        file.display()
    )]
    UnsupportedVersion { file: PathBuf, found: u32, supported: u32 },
    #[error("snapshot: {} does not have the SHA-256 that was announced", file.display())]
    WrongHash { file: PathBuf },
    #[error("snapshot: a record of revision {after:?} was to follow one of {before:?}")]
    RecordOutOfOrder { before: Revision, after: Revision },
    #[error("snapshot: a chunk for offset {got} came when offset {expected} was next")]
    ChunkOutOfOrder { expected: u64, got: u64 },
    #[error("snapshot: the chunk for offset {offset} does not match its checksum")]
    BadChunk { offset: u64 },
    #[error("snapshot: {received} bytes came, {expected} were announced")]
    WrongSize { received: u64, expected: u64 },
}

impl SnapshotError {
    /// For `map_err`: what was being done to which path.
    fn io(op: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { op, path: path.to_owned(), source }
    }

    fn corrupt(file: &Path, offset: u64, why: impl Into<String>) -> Self {
        Self::Corrupt { file: file.to_owned(), offset, why: why.into() }
    }

    fn codec(file: &Path, offset: u64) -> impl FnOnce(CodecError) -> Self {
        move |error| Self::corrupt(file, offset, error.to_string())
    }
}

/// The newest snapshot that is whole, and what was wrong with those newer than it.
#[derive(Debug)]
pub struct Newest {
    pub reader: Option<SnapshotReader>,
    /// One error a file, newest first. The files are left as they are.
    pub rejected: Vec<SnapshotError>,
}

/// All snapshot files in `dir` by their names, newest first.
pub fn list(dir: &Path) -> Result<Vec<SnapshotName>, SnapshotError> {
    let mut names = Vec::new();
    for path in file_paths(dir)? {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(parse_name);
        if let Some((index, term)) = name {
            names.push(SnapshotName { path, index, term });
        }
    }
    names.sort_by_key(|name| std::cmp::Reverse((name.index, name.term)));
    Ok(names)
}

/// Opens the newest snapshot of `dir` that is whole.
pub fn newest_valid(dir: &Path) -> Result<Newest, SnapshotError> {
    let mut rejected = Vec::new();
    for name in list(dir)? {
        match SnapshotReader::open(&name.path) {
            Ok(reader) => return Ok(Newest { reader: Some(reader), rejected }),
            Err(error) => rejected.push(error),
        }
    }
    Ok(Newest { reader: None, rejected })
}

/// Of the snapshots up to index `marked`, removes all but the newest `keep`; returns what was
/// removed. `marked` is the newest one that the log is known to name: a start looks for that
/// one, however many files newer than it there are.
pub fn prune(dir: &Path, marked: u64, keep: usize) -> Result<Vec<PathBuf>, SnapshotError> {
    let old = list(dir)?.into_iter().filter(|name| name.index <= marked);
    let removed: Vec<PathBuf> = old.skip(keep).map(|name| name.path).collect();
    remove(dir, &removed)?;
    Ok(removed)
}

/// Removes what a crash left of snapshots in the making. Only for when none is being made.
pub fn sweep(dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let mut temporary = file_paths(dir)?;
    temporary.retain(|path| path.extension().is_some_and(|extension| extension == "tmp"));
    remove(dir, &temporary)?;
    Ok(temporary)
}

/// Checks the SHA-256 of a whole file.
pub fn verify(path: &Path, sha256: &[u8; 32]) -> Result<(), SnapshotError> {
    let mut file = File::open(path).map_err(SnapshotError::io("open", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; block::PAYLOAD_BYTES_MAX];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => hasher.update(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(SnapshotError::io("read", path)(error)),
        }
    }
    if hasher.finalize()[..] != sha256[..] {
        return Err(SnapshotError::WrongHash { file: path.to_owned() });
    }
    Ok(())
}

fn file_name(index: u64, term: u64) -> String {
    format!("{index:016x}-{term:016x}.snap")
}

/// Only the exact form counts.
fn parse_name(name: &str) -> Option<(u64, u64)> {
    let (index, term) = name.strip_suffix(".snap")?.split_once('-')?;
    let index = u64::from_str_radix(index, 16).ok()?;
    let term = u64::from_str_radix(term, 16).ok()?;
    (file_name(index, term) == name).then_some((index, term))
}

fn file_paths(dir: &Path) -> Result<Vec<PathBuf>, SnapshotError> {
    let entries = std::fs::read_dir(dir).map_err(SnapshotError::io("list directory", dir))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(SnapshotError::io("list directory", dir))
}

fn remove(dir: &Path, paths: &[PathBuf]) -> Result<(), SnapshotError> {
    for path in paths {
        std::fs::remove_file(path).map_err(SnapshotError::io("remove", path))?;
    }
    if paths.is_empty() {
        return Ok(());
    }
    files::sync_directory(dir).map_err(SnapshotError::io("sync directory", dir))
}
