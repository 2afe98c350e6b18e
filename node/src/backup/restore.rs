//! From a database file to the data directory of a member of a new cluster.
//!
//! Every member of the new cluster is restored from the same file with the same list of members,
//! and so begins with the same snapshot. It stands at index 2 of term 2, after everything a blank
//! member begins with (index 1, term 1): one that is started without being restored is brought
//! up to date by the others instead of being taken for one of them.
//!
//! Members, removed members and the agreed version are those of the new cluster; keys, leases,
//! alarms, users, roles and revisions are those of the file. A lease begins anew, with what its last checkpoint
//! says is left, or else with its whole time to live.

use std::path::{Path, PathBuf};

use raft::eraftpb::HardState;

use super::file::{Backup, Extent, Hash};
use super::{Error, buckets};
use crate::cluster::members::{cluster_id, member_id};
use crate::cluster::{Member, Members};
use crate::consensus::wal::{Identity, SnapshotMarker, Wal, WalOptions};
use crate::machine::{Position, State};
use crate::snapshots;
use crate::storage::data_dir::{DataDir, new_directory_id};
use crate::storage::files;
use crate::storage::snapshot_file::SnapshotWriter;

/// Where a restored cluster begins in its log.
const BEGIN_INDEX: u64 = 2;
const BEGIN_TERM: u64 = 2;

/// What to restore, and as whom.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    pub file: PathBuf,
    pub hash: Hash,
    pub data_dir: PathBuf,
    /// Where the write-ahead log goes, if not into the data directory.
    pub wal_dir: Option<PathBuf>,
    pub name: String,
    /// All members: names and peer URLs.
    pub cluster: Vec<(String, Vec<String>)>,
    pub token: String,
    /// Added to the last revision. Everything up to there then counts as compacted, so that
    /// clients that know later revisions than the file notice.
    pub bump_revision: u64,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    pub cluster_id: u64,
    pub member_id: u64,
    pub revision: i64,
    pub records: u64,
}

/// Restores one member. Whatever fails, nothing is left behind.
pub fn restore(options: &RestoreOptions) -> Result<Restored, Error> {
    refuse_used(&options.data_dir)?;
    if let Some(wal_dir) = options.wal_dir.as_ref().filter(|wal_dir| wal_dir.exists()) {
        return Err(Error::WalDirExists(wal_dir.clone()));
    }
    let members = founders(options);
    let Paths { file, data_dir, wal_dir, snap_dir } = Paths::of(options);
    tracing::info!(path = %file, %wal_dir, %data_dir, %snap_dir, "restoring snapshot");
    let own = options.cluster.iter().find(|(name, _)| *name == options.name);
    let (_, own_urls) = own.ok_or_else(|| Error::NameNotInCluster(options.name.clone()))?;
    let own_id = member_id(own_urls, &options.token, None);

    // Once to see that all of it is sound and where it ends, once to take it over.
    let (state, extent) = examine(options, members)?;
    let is_new = !options.data_dir.exists();
    let outcome = build(options, &state, own_id);
    if outcome.is_err() && is_new {
        // Only removed while empty; what fails here was reported already.
        let _ = std::fs::remove_dir(&options.data_dir);
    }
    outcome?;
    for member in state.members.voters() {
        tracing::info!(
            cluster_id = %format!("{:x}", state.members.cluster_id),
            local_member_id = "0",
            added_peer_id = %format!("{:x}", member.id),
            added_peer_peer_urls = ?member.peer_urls,
            added_peer_is_learner = false,
            "added member"
        );
    }
    tracing::info!(path = %file, %wal_dir, %data_dir, %snap_dir, "restored snapshot");
    Ok(Restored {
        cluster_id: state.members.cluster_id,
        member_id: own_id,
        revision: state.kv.revision(),
        records: extent.records,
    })
}

/// What a restoration reads and writes, for the log.
struct Paths {
    file: String,
    data_dir: String,
    wal_dir: String,
    snap_dir: String,
}

impl Paths {
    fn of(options: &RestoreOptions) -> Paths {
        let text = |path: &Path| path.display().to_string();
        let member = options.data_dir.join("member");
        Paths {
            file: text(&options.file),
            data_dir: text(&options.data_dir),
            wal_dir: text(options.wal_dir.as_deref().unwrap_or(&member.join("wal"))),
            snap_dir: text(&member.join("snap")),
        }
    }
}

fn refuse_used(data_dir: &Path) -> Result<(), Error> {
    let used = match std::fs::read_dir(data_dir) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if used { Err(Error::DataDirNotEmpty(data_dir.to_owned())) } else { Ok(()) }
}

fn founders(options: &RestoreOptions) -> Members {
    let founder = |(_, urls): &(String, Vec<String>)| Member {
        id: member_id(urls, &options.token, None),
        peer_urls: urls.clone(),
        ..Member::default()
    };
    let members: Vec<Member> = options.cluster.iter().map(founder).collect();
    Members::new(cluster_id(members.iter().map(|member| member.id)), members)
}

/// Reads the whole file; the state it stands for, but for the records.
fn examine(options: &RestoreOptions, members: Members) -> Result<(State, Extent), Error> {
    let mut backup = Backup::open(&options.file, options.hash)?;
    let mut state = State::default();
    let compacted = buckets::compacted(&backup.rows(buckets::META)?)?;
    buckets::restore_leases(&mut state, &backup.rows(buckets::LEASE)?)?;
    buckets::restore_alarms(&mut state, &backup.rows(buckets::ALARM)?)?;
    let (users, roles) = (backup.rows(buckets::AUTH_USERS)?, backup.rows(buckets::AUTH_ROLES)?);
    buckets::restore_auth(&mut state, &backup.rows(buckets::AUTH)?, &users, &roles)?;
    let extent = backup.records(&mut |_| Ok(()))?;
    // A database whose last changes were compacted away ends at its compaction.
    let mut revision = extent.revision.max(compacted).max(state.kv.revision());
    let mut compacted = compacted;
    if options.bump_revision > 0 {
        let too_large = Error::BumpTooLarge { revision, by: options.bump_revision };
        let bumped = revision.checked_add_unsigned(options.bump_revision).ok_or(too_large)?;
        tracing::info!(
            latest_revision = revision,
            bump_amount = options.bump_revision,
            new_latest_revision = bumped,
            "bumping latest revision"
        );
        revision = bumped;
        tracing::info!(revision, "marking revision compacted");
        compacted = revision;
    }
    state.kv.restore_marks(revision, compacted);
    let voters = members.voters().map(|member| member.id).collect();
    state.applied = Position { index: BEGIN_INDEX, term: BEGIN_TERM, voters, learners: Vec::new() };
    state.members = members;
    Ok((state, extent))
}

/// A directory that goes with all in it.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".restoring-{:016x}", rand::random::<u64>()));
        name.into()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.0.exists()
            && let Err(error) = std::fs::remove_dir_all(&self.0)
        {
            tracing::warn!(path = %self.0.display(), %error, "a temporary directory is left behind");
        }
    }
}

/// Makes the directories under other names first, so that what has its name is whole.
fn build(options: &RestoreOptions, state: &State, member_id: u64) -> Result<(), Error> {
    let data_dir = &options.data_dir;
    DataDir::claim(data_dir)?;
    let scratch = Scratch(data_dir.join(format!("restoring-{:016x}", rand::random::<u64>())));
    let wal_scratch = options.wal_dir.as_ref().map(|wal_dir| Scratch(Scratch::beside(wal_dir)));
    let made = DataDir::open(&scratch.0, wal_scratch.as_ref().map(|wal| wal.0.as_path()))?;
    write_snapshot(options, state, &made.snap())?;
    write_log(state, member_id, &made.wal())?;
    drop(made);
    if let (Some(from), Some(to)) = (&wal_scratch, &options.wal_dir) {
        publish(&from.0, to)?;
    }
    publish(&scratch.0.join("member"), &data_dir.join("member"))?;
    files::sync_parent(data_dir).map_err(Error::io("sync the directory of", data_dir))
}

fn publish(from: &Path, to: &Path) -> Result<(), Error> {
    std::fs::rename(from, to).map_err(Error::io("rename", from))?;
    files::sync_parent(to).map_err(Error::io("sync the directory of", to))
}

fn write_snapshot(options: &RestoreOptions, state: &State, to: &Path) -> Result<(), Error> {
    // Its SHA-256 was right a moment ago, and the format is checked while it is read.
    let mut backup = Backup::open(&options.file, Hash::Ignore)?;
    let mut writer = SnapshotWriter::create(to, &snapshots::header(state))?;
    backup.records(&mut |record| Ok(writer.push(&record)?))?;
    writer.finish()?;
    Ok(())
}

fn write_log(state: &State, member_id: u64, to: &Path) -> Result<(), Error> {
    let meta = snapshots::raft_meta(&snapshots::header(state));
    let identity = Identity {
        cluster_id: state.members.cluster_id,
        member_id,
        directory_id: new_directory_id(),
    };
    let mut wal = Wal::create(to, &identity, WalOptions::default())?;
    let conf_state = meta.get_conf_state().clone();
    wal.mark_snapshot(&SnapshotMarker { index: meta.index, term: meta.term, conf_state })?;
    let mut hard_state = HardState::default();
    hard_state.term = meta.term;
    hard_state.commit = meta.index;
    wal.append(&[], Some(&hard_state))?;
    Ok(wal.sync()?)
}
