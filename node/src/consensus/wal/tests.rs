//! Real files in temporary directories. Syncs are skipped except where the order of files is
//! the point: what a crash can leave is made by copying and cutting files, not by luck.

use std::path::{Path, PathBuf};

use raft::eraftpb::{ConfState, Entry, EntryType, HardState};
use tempfile::TempDir;

use super::*;

mod crash;
mod damage;
mod model;
mod usage;

const IDENTITY: Identity = Identity { cluster_id: 0xc1, member_id: 0x3e, directory_id: [7; 16] };

fn options(segment_bytes: u64) -> WalOptions {
    WalOptions { segment_bytes, unsafe_no_fsync: true, faults: None }
}

fn entry(index: u64, term: u64, data: Vec<u8>) -> Entry {
    let mut entry = Entry::default();
    entry.set_entry_type(match index % 3 {
        0 => EntryType::EntryConfChangeV2,
        1 => EntryType::EntryNormal,
        _ => EntryType::EntryConfChange,
    });
    entry.index = index;
    entry.term = term;
    entry.data = data.into();
    entry.context = index.to_be_bytes().to_vec().into();
    entry
}

fn entries(indexes: std::ops::RangeInclusive<u64>, term: u64, size: usize) -> Vec<Entry> {
    indexes.map(|index| entry(index, term, vec![index as u8 | 1; size])).collect()
}

fn hard_state(term: u64, vote: u64, commit: u64) -> HardState {
    HardState { term, vote, commit, ..HardState::default() }
}

fn marker(index: u64, term: u64) -> SnapshotMarker {
    SnapshotMarker { index, term, conf_state: ConfState::from((vec![1, 2, 3], vec![index])) }
}

fn create(segment_bytes: u64) -> (TempDir, PathBuf, Wal) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("wal");
    let wal = Wal::create(&dir, &IDENTITY, options(segment_bytes)).unwrap();
    (temp, dir, wal)
}

/// Opens a log, looks at it, and closes it.
fn recovered(dir: &Path) -> Result<Recovered, WalError> {
    Wal::open(dir, options(4096), 0).map(|(_, recovered)| recovered)
}

fn put(wal: &mut Wal, entries: &[Entry]) {
    wal.append(entries, None).unwrap();
    wal.sync().unwrap();
}

/// Paths of the segments, oldest first.
fn segments(dir: &Path) -> Vec<PathBuf> {
    recover::list(dir).unwrap().into_iter().map(|(_, path)| path).collect()
}

/// Copies the segments as they stand at one moment, although old ones may be put away meanwhile:
/// newest first, until one is gone. A segment that still has its name after it was copied had
/// not been filled with zeros.
fn copy_segments(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for path in segments(from).into_iter().rev() {
        let copy = to.join(path.file_name().unwrap());
        match std::fs::copy(&path, &copy) {
            Ok(_) if path.exists() => {}
            Ok(_) => return std::fs::remove_file(copy).unwrap(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Bytes in front of the zeros at the end.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

fn files_with(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.to_str().unwrap().ends_with(ending));
    paths
}
