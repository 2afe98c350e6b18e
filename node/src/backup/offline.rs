//! From the data directory of a stopped member to a file that `etcdutl snapshot restore` takes.
//!
//! The member's snapshot is loaded into a store beside the file, and the log behind it is applied
//! as far as it is known to be committed: all of it in a cluster of one, otherwise up to what the
//! member noted or had applied. The data directory is locked meanwhile and stays as it is, but
//! for a torn tail of the log, which every start cuts as well.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::command::Command;
use raft::eraftpb::{ConfState, Entry, SnapshotMetadata};
use sha2::{Digest, Sha256};

use super::{Error, export as database};
use crate::applier::decode_change;
use crate::bootstrap;
use crate::consensus::configuration::Configuration;
use crate::consensus::core::is_change;
use crate::consensus::wal::{Recovered, Wal, WalOptions};
use crate::machine::{self, State};
use crate::snapshots;
use crate::storage::data_dir::DataDir;
use crate::storage::files;
use crate::storage::store::{Batch, Store, StoreOptions};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    pub revision: i64,
    pub index: u64,
    pub size: u64,
}

/// Writes `to`, which must not exist yet.
pub fn export(data_dir: &Path, wal_dir: Option<&Path>, to: &Path) -> Result<Exported, Error> {
    if !data_dir.join("member").is_dir() {
        return Err(Error::NoMember(data_dir.to_owned()));
    }
    let directory = DataDir::open(data_dir, wal_dir)?;
    if !Wal::exists(&directory.wal())? {
        return Err(Error::NoMember(data_dir.to_owned()));
    }
    let (_wal, recovered) = Wal::open(&directory.wal(), WalOptions::default(), 0)?;
    let (_, snapshot) = bootstrap::newest_snapshot(&directory.snap(), &recovered)?;
    let commit = committed(&directory, &recovered, &snapshot)?;
    let beside = to.with_extension(format!("{:016x}.tmp", rand::random::<u64>()));
    let work = Work(beside);
    files::create_directory(&work.0).map_err(Error::io("create", &work.0))?;
    let (store, _) = Store::open(&work.0.join("state"), StoreOptions::default())?;
    let mut state = snapshots::load_into(&directory.snap(), &store, snapshot.index, snapshot.term)
        .map_err(bootstrap::Error::from)?;
    replay(&mut state, &store, recovered.entries, commit)?;
    let part = work.0.join("db");
    let file = files::create_file(&part).map_err(Error::io("create", &part))?;
    let job = database::begin(&state, &store, store.pause_compaction());
    let (file, size) = job.write(file)?;
    append_hash(file).map_err(Error::io("write", &part))?;
    // Unlike rename, this never replaces a file.
    std::fs::hard_link(&part, to).map_err(Error::io("create", to))?;
    files::sync_parent(to).map_err(Error::io("sync the directory of", to))?;
    Ok(Exported { revision: state.kv.revision(), index: state.applied.index, size })
}

/// A directory that goes with all in it.
struct Work(PathBuf);

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "a temporary directory is left behind");
        }
    }
}

/// The last entry that is certain to be committed.
fn committed(
    directory: &DataDir,
    recovered: &Recovered,
    snapshot: &SnapshotMetadata,
) -> Result<u64, Error> {
    let changes = recovered.entries.iter().any(is_change);
    if snapshot.get_conf_state().get_voters() == [recovered.identity.member_id] && !changes {
        return Ok(recovered.last_index);
    }
    let (_, loaded) = Store::open(&directory.state(), StoreOptions::default())?;
    let applied = loaded
        .map(|loaded| loaded.mark)
        .filter(|mark| bootstrap::fits(mark.index, mark.term, snapshot, recovered))
        .map_or(0, |mark| mark.index);
    Ok(applied.max(recovered.hard_state.commit).min(recovered.last_index))
}

fn replay(state: &mut State, store: &Store, entries: Vec<Entry>, commit: u64) -> Result<(), Error> {
    let mut configuration = Configuration::new(ConfState::from((
        state.applied.voters.clone(),
        state.applied.learners.clone(),
    )));
    for entry in entries {
        if entry.index <= state.applied.index || entry.index > commit {
            continue;
        }
        state.applied.index = entry.index;
        state.applied.term = entry.term;
        if is_change(&entry) {
            if let Some((conf, change)) = decode_change(&entry)
                && machine::change_members(state, &change).is_ok()
            {
                configuration.change(&conf);
                state.applied.voters = configuration.current().get_voters().to_vec();
                state.applied.learners = configuration.current().get_learners().to_vec();
            }
        } else if !entry.data.is_empty()
            && let Ok(command) = Command::decode(entry.data)
        {
            let applied = machine::apply(state, store, command);
            let records = applied.changes.into_iter().flatten().map(|change| change.record);
            store.enqueue(Batch { records: records.collect(), ..Batch::default() })?;
        }
    }
    Ok(())
}

/// Puts the SHA-256 of a file behind it and makes all of it durable.
fn append_hash(mut file: File) -> std::io::Result<()> {
    file.rewind()?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => hash.update(&buffer[..length]),
        }
    }
    file.write_all(&hash.finalize())?;
    file.sync_all()
}
