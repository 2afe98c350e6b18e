//! `--force-new-cluster`: one member goes on alone with the data it has.
//!
//! For when a majority is lost for good. The whole log is applied first. Unlike etcd that
//! includes what this member does not know to be committed: it hears of that with a later
//! message, so an acknowledged write may well stand at the end of its log unconfirmed, and
//! nobody is left to contradict it. Then the state is written as a snapshot that has this
//! member as its only voter, one term above everything before, and the log starts over behind
//! it.

use prost::Message as _;
use proto::command::Command;
use raft::Storage;
use raft::eraftpb::HardState;

use crate::bootstrap::{Booted, Error};
use crate::cluster::Members;
use crate::consensus::core::is_change;
use crate::consensus::log_view::LogView;
use crate::consensus::wal::SnapshotMarker;
use crate::machine::{self, Position};
use crate::member::Directories;
use crate::snapshots;
use crate::storage::store::Batch;

/// Makes a one-member cluster of `booted`.
pub fn force_new_cluster(mut booted: Booted, directories: &Directories) -> Result<Booted, Error> {
    let id = booted.identity.member_id;
    let hard_state = booted.log.initial_state().map(|state| state.hard_state).unwrap_or_default();
    let last = booted.log.last_index().unwrap_or(hard_state.commit);
    replay(&mut booted, last.max(hard_state.commit))?;
    let own = booted.state.members.get(id).cloned();
    let cluster_id = booted.state.members.cluster_id;
    booted.state.members = Members::new(
        cluster_id,
        own.map(|mut member| {
            member.is_learner = false;
            member
        }),
    );
    let index = booted.state.applied.index;
    let term = hard_state.term + 1;
    booted.state.applied = Position { index, term, voters: vec![id], learners: Vec::new() };
    write(&mut booted, directories, term)?;
    tracing::warn!(index, "went on alone: this member is the only one of its cluster now");
    booted.members = booted.state.members.clone();
    booted.alone = true;
    Ok(booted)
}

fn replay(booted: &mut Booted, last: u64) -> Result<(), Error> {
    let from = booted.state.applied.index + 1;
    if from > last {
        return Ok(());
    }
    let context = raft::GetEntriesContext::empty(false);
    let entries = booted
        .log
        .entries(from, last + 1, None, context)
        .map_err(|error| Error::Raft(error.into()))?;
    for entry in entries {
        booted.state.applied.index = entry.index;
        booted.state.applied.term = entry.term;
        if is_change(&entry) || entry.data.is_empty() {
            continue;
        }
        if let Ok(command) = Command::decode(entry.data.clone()) {
            let applied = machine::apply(&mut booted.state, &booted.store, command);
            let records = applied.changes.into_iter().flatten().map(|change| change.record);
            let batch = Batch { records: records.collect(), ..Batch::default() };
            booted.store.enqueue(batch)?;
        }
    }
    Ok(())
}

fn write(booted: &mut Booted, directories: &Directories, term: u64) -> Result<(), Error> {
    let header = snapshots::header(&booted.state);
    let meta = snapshots::raft_meta(&header);
    let info = snapshots::write_file(&directories.snapshots, &header, &booted.store)?;
    booted.snapshot_bytes = info.size;
    let mut hard_state = HardState::default();
    hard_state.term = term;
    hard_state.commit = meta.index;
    let conf_state = meta.get_conf_state().clone();
    booted.wal.mark_snapshot(&SnapshotMarker {
        index: meta.index,
        term,
        conf_state: conf_state.clone(),
    })?;
    booted.wal.append(&[], Some(&hard_state))?;
    booted.wal.sync()?;
    booted.state = snapshots::load_into(&directories.snapshots, &booted.store, meta.index, term)?;
    booted.log = LogView::new((meta.index, term), Vec::new(), hard_state, conf_state, meta);
    Ok(())
}
