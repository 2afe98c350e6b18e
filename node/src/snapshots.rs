//! Snapshots of the replicated state: made from the store, loaded into it.
//!
//! A snapshot file holds the small tables and every record up to a revision. Making one takes
//! the tables and the position at once ([`begin`]); the records follow from the store, which
//! keeps everything up to that revision while physical compaction pauses. Loading one fills
//! an empty store and builds the state in memory.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use raft::eraftpb::{ConfState, SnapshotMetadata};

use crate::kv::{Record, Revision};
use crate::machine::{Position, State, side};
use crate::member::Member;
use crate::storage::snapshot_file::{
    self, SnapshotError, SnapshotInfo, SnapshotMeta, SnapshotReader, SnapshotWriter,
};
use crate::storage::store::{AppliedMark, Batch, CompactionPause, SideWrite, Store, StoreError};

/// The table of a snapshot file that holds all rows of the small tables.
const ROWS_TAG: u8 = 1;
/// Records handed to the store at once while loading.
const LOAD_RECORDS: usize = 1024;

/// Why a snapshot could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    File(#[from] SnapshotError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Row(#[from] side::BadRow),
    #[error("the snapshot at index {0} is not in the snapshot directory")]
    Missing(u64),
}

/// What the store notes of a position.
pub fn mark(position: &Position, kv_revision: i64, compacted: i64) -> AppliedMark {
    AppliedMark {
        index: position.index,
        term: position.term,
        voters: position.voters.clone(),
        learners: position.learners.clone(),
        kv_revision,
        compacted,
    }
}

/// The header of a snapshot of `state`.
pub fn header(state: &State) -> SnapshotMeta {
    let mut conf_state = ConfState::default();
    conf_state.set_voters(state.applied.voters.clone());
    conf_state.set_learners(state.applied.learners.clone());
    SnapshotMeta {
        index: state.applied.index,
        term: state.applied.term,
        conf_state,
        kv_revision: state.kv.revision(),
        compacted: state.kv.compacted(),
        tables: vec![(ROWS_TAG, side::encode_rows(&side::dump(state)))],
    }
}

/// Raft's view of a snapshot.
pub fn raft_meta(meta: &SnapshotMeta) -> SnapshotMetadata {
    let mut out = SnapshotMetadata::default();
    out.index = meta.index;
    out.term = meta.term;
    out.set_conf_state(meta.conf_state.clone());
    out
}

/// A snapshot whose moment is fixed and whose records are still to be written.
pub struct Job {
    meta: SnapshotMeta,
    store: Store,
    directory: PathBuf,
    _pause: CompactionPause,
}

/// Fixes the moment of a snapshot: now. Call where the state stands still.
pub fn begin(member: &Arc<Member>) -> Job {
    let pause = member.store.pause_compaction();
    let meta = header(&member.state.read());
    Job {
        meta,
        store: member.store.clone(),
        directory: member.directories.snapshots.clone(),
        _pause: pause,
    }
}

impl Job {
    /// Writes the file; gives raft's view of it and its size in bytes.
    pub fn write(self) -> Result<(SnapshotMetadata, u64), Error> {
        let info = write_file(&self.directory, &self.meta, &self.store)?;
        Ok((raft_meta(&self.meta), info.size))
    }
}

/// Writes a snapshot file with all records that `meta` covers.
pub fn write_file(
    directory: &Path,
    meta: &SnapshotMeta,
    store: &Store,
) -> Result<SnapshotInfo, Error> {
    let mut writer = SnapshotWriter::create(directory, meta)?;
    let mut failed = None;
    store.scan(
        Revision::default(),
        meta.kv_revision,
        &mut |record| match writer.push(&record) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        },
    )?;
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(writer.finish()?),
    }
}

/// The snapshot file at (`index`, `term`), checked whole.
pub fn find(
    directory: &Path,
    index: u64,
    term: u64,
) -> Result<Option<SnapshotReader>, SnapshotError> {
    let names = snapshot_file::list(directory)?;
    let name = names.into_iter().find(|name| (name.index, name.term) == (index, term));
    name.map(|name| SnapshotReader::open(&name.path)).transpose()
}

/// Replaces the store by the snapshot at (`index`, `term`) and builds the state from it.
pub fn load(member: &Member, index: u64, term: u64) -> Result<State, Error> {
    load_into(&member.directories.snapshots, &member.store, index, term)
}

/// Like [`load`], before there is a member.
pub fn load_into(directory: &Path, store: &Store, index: u64, term: u64) -> Result<State, Error> {
    let reader = find(directory, index, term)?.ok_or(Error::Missing(index))?;
    let meta = reader.meta().clone();
    store.reset()?;
    let mut state = State::default();
    let mut records = Vec::with_capacity(LOAD_RECORDS);
    for record in reader {
        let record = record?;
        state.kv.restore_record(&record);
        records.push(record);
        if records.len() >= LOAD_RECORDS {
            let batch = Batch { records: std::mem::take(&mut records), ..Batch::default() };
            store.enqueue(batch)?;
        }
    }
    state.kv.restore_marks(meta.kv_revision, meta.compacted);
    state.applied = Position {
        index: meta.index,
        term: meta.term,
        voters: meta.conf_state.get_voters().to_vec(),
        learners: meta.conf_state.get_learners().to_vec(),
    };
    let mut rows = Vec::new();
    for row in side::decode_rows(meta.table(ROWS_TAG).unwrap_or_default())? {
        let value = row.value.unwrap_or_default();
        side::load(&mut state, row.table, &row.key, &value)?;
        rows.push(SideWrite { table: row.table, key: row.key, value: Some(value) });
    }
    attach_leases(&mut state);
    store.enqueue(last_batch(&state, records, rows))?;
    Ok(state)
}

/// Only the batch with the mark makes what was loaded count.
fn last_batch(state: &State, records: Vec<Record>, side: Vec<SideWrite>) -> Batch {
    let mark = mark(&state.applied, state.kv.revision(), state.kv.compacted());
    Batch { mark, records, side, compaction: None }
}

/// Keys find their leases again.
pub fn attach_leases(state: &mut State) {
    let State { kv, leases, .. } = state;
    for value in kv.current().filter(|value| value.lease != 0) {
        leases.attach(value.lease, &value.key);
    }
}
