//! From files and flags to a member that can run: found, join, or go on.
//!
//! * **Go on**: there is a write-ahead log. The newest snapshot file that the log knows of is
//!   the ground; the applied state is used if it fits between that snapshot and the log's
//!   end, and rebuilt from the snapshot otherwise. The flags about the cluster are ignored.
//! * **Found**: every founding member writes the same first snapshot (index 1, term 1, all
//!   members), so that all begin in the same state.
//! * **Join**: the running members are asked who we are; log and state stay empty until the
//!   leader sends a snapshot.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::peer::MembersRequest;
use raft::eraftpb::{ConfState, Entry, HardState, SnapshotMetadata};

use crate::cluster::members::{cluster_id, member_id};
use crate::cluster::{Member, Members};
use crate::config::Config;
use crate::consensus::log_view::LogView;
use crate::consensus::transport::{Identity, dial};
use crate::consensus::wal::{self, Recovered, SnapshotMarker, Wal, WalError, WalOptions};
use crate::discovery::{self, DiscoveryError};
use crate::founders::{Founders, FoundersError};
use crate::machine::{Position, State, side};
use crate::member::Directories;
use crate::net::tls::TlsError;
use crate::net::{Dialer, ListenError, SecurityError};
use crate::snapshots;
use crate::storage::data_dir::DataDirError;
use crate::storage::snapshot_file::{self, SnapshotError, SnapshotName, SnapshotWriter};
use crate::storage::store::{Compaction, Loaded, Store, StoreError, StoreOptions};

/// Why a member cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Load(#[from] snapshots::Error),
    #[error(transparent)]
    Directory(#[from] DataDirError),
    #[error(transparent)]
    Founders(#[from] FoundersError),
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    #[error(
        "member {0:x} has already been bootstrapped; its data directory is gone: remove the member from the cluster, add it again and start it with --initial-cluster-state existing"
    )]
    AlreadyBootstrapped(u64),
    #[error(
        "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs ({0})"
    )]
    NoPeers(String),
    #[error(
        "error validating peerURLs: unmatched member while checking PeerURLs; add this member to the cluster first (member add), with peer URLs {0}"
    )]
    NotAMember(String),
    #[error(
        "error validating peerURLs: the member count is unequal: --initial-cluster names {flags} members, the cluster has {cluster}"
    )]
    CountUnequal { flags: usize, cluster: usize },
    #[error(
        "the member has been permanently removed from the cluster; data-dir used by this member must be removed"
    )]
    Removed,
    #[error(
        "the log's snapshot at index {0} is gone: restore the data directory, or remove the member and add it again"
    )]
    SnapshotLost(u64),
    #[error(
        "the write-ahead log of this member is not in {}, but its snapshots or its applied state are there: start it with the --wal-dir it had; if the log is lost, remove the member from the cluster and add it again with an empty data directory",
        .0.display()
    )]
    LogLost(PathBuf),
    #[error("the log ends at {last} but the state before {first} is missing")]
    Gap { first: u64, last: u64 },
    #[error(transparent)]
    Login(#[from] crate::login::LoginError),
    #[error("the initial corruption check failed: {0}")]
    Inconsistent(String),
    #[error("traces cannot be sent: {0}: check --distributed-tracing-address")]
    Tracing(String),
    #[error("cannot start a runtime: {0}")]
    Runtime(std::io::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Security(#[from] SecurityError),
    #[error("raft: {0}")]
    Raft(#[from] crate::consensus::core::RaftError),
}

/// A member about to run.
pub struct Booted {
    pub identity: Identity,
    pub wal: Wal,
    pub store: Store,
    pub state: State,
    pub log: LogView,
    /// The members as far as known; for a joiner, what the others said.
    pub members: Members,
    /// Size of the newest snapshot file.
    pub snapshot_bytes: u64,
    /// A founder without others may elect itself at once.
    pub alone: bool,
}

const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Opens or makes everything a member needs.
pub async fn boot(
    config: &Config,
    directories: &Directories,
    directory_id: [u8; 16],
    store_options: StoreOptions,
    dialer: &Dialer,
) -> Result<Booted, Error> {
    snapshot_file::sweep(&directories.snapshots)?;
    if Wal::exists(&directories.wal)? {
        let (wal, recovered) = Wal::open(&directories.wal, wal_options(config), 0)?;
        if let Some(repaired) = &recovered.repaired {
            tracing::warn!("{repaired}");
        }
        if !recovered.markers.is_empty() {
            return go_on(config, directories, wal, recovered, store_options);
        }
        // Stopped before it had a state: nothing was acknowledged, though a joiner may have
        // voted.
        let wal = Some((wal, recovered));
        return begin(config, directories, wal, directory_id, store_options, dialer).await;
    }
    if outlived_its_log(directories)? {
        return Err(Error::LogLost(directories.wal.clone()));
    }
    begin(config, directories, None, directory_id, store_options, dialer).await
}

/// Whether there is what only a member with a log leaves: a state, or a snapshot later than the
/// one it is founded with. Beginning anew would forget what it acknowledged, and its votes.
fn outlived_its_log(directories: &Directories) -> Result<bool, Error> {
    let founding = |name: &SnapshotName| name.index <= 1;
    if !snapshot_file::list(&directories.snapshots)?.iter().all(founding) {
        return Ok(true);
    }
    let mut entries = std::fs::read_dir(&directories.state).map_err(|source| StoreError::Io {
        action: "read",
        path: directories.state.clone(),
        source,
    })?;
    Ok(entries.next().is_some())
}

/// The first start: the cluster is found or named, and then founded or joined.
async fn begin(
    config: &Config,
    directories: &Directories,
    wal: Option<(Wal, Recovered)>,
    directory_id: [u8; 16],
    store_options: StoreOptions,
    dialer: &Dialer,
) -> Result<Booted, Error> {
    let options = wal_options(config);
    let config = &discovery::resolved(config).await?;
    if config.bootstrap.existing {
        Founders::of(config).check_joining()?;
        return join(config, directories, wal, options, directory_id, store_options, dialer).await;
    }
    Founders::of(config).check(config.bootstrap.name_server).await?;
    let wal = wal.map(|(wal, recovered)| (wal, recovered.identity));
    found(config, directories, wal, options, directory_id, store_options, dialer).await
}

fn wal_options(config: &Config) -> WalOptions {
    WalOptions {
        unsafe_no_fsync: config.unsafe_no_fsync,
        faults: config.faults,
        ..WalOptions::default()
    }
}

fn founders(config: &Config) -> Members {
    let token = &config.bootstrap.token;
    let members: Vec<Member> = config
        .bootstrap
        .cluster
        .iter()
        .map(|(_, urls)| Member {
            id: member_id(urls, token, None),
            peer_urls: urls.clone(),
            ..Member::default()
        })
        .collect();
    Members::new(cluster_id(members.iter().map(|member| member.id)), members)
}

async fn found(
    config: &Config,
    directories: &Directories,
    wal: Option<(Wal, wal::Identity)>,
    options: WalOptions,
    directory_id: [u8; 16],
    store_options: StoreOptions,
    dialer: &Dialer,
) -> Result<Booted, Error> {
    let members = founders(config);
    let own = config.bootstrap.cluster.iter().find(|(name, _)| *name == config.name);
    let (_, own_urls) = own.ok_or_else(|| FoundersError::NotInCluster(config.name.clone()))?;
    let id = member_id(own_urls, &config.bootstrap.token, None);
    let others: Vec<String> = members
        .iter()
        .filter(|member| member.id != id)
        .flat_map(|member| member.peer_urls.clone())
        .collect();
    let known = |answer: &Members| {
        answer.get(id).is_some_and(|member| !member.directory_id.is_empty())
            || answer.is_removed(id)
    };
    for answer in ask_members(dialer, &others).await.into_iter().flatten() {
        if answer.cluster_id == members.cluster_id && known(&answer) {
            return Err(Error::AlreadyBootstrapped(id));
        }
    }
    let alone = others.is_empty();
    let mut state = State { members: members.clone(), ..State::default() };
    let voters: Vec<u64> = members.voters().map(|member| member.id).collect();
    state.applied = Position { index: 1, term: 1, voters, learners: Vec::new() };
    let header = snapshots::header(&state);
    let meta = snapshots::raft_meta(&header);
    let info = SnapshotWriter::create(&directories.snapshots, &header)?.finish()?;
    let (mut wal, identity) =
        open_new(wal, directories, members.cluster_id, id, directory_id, options)?;
    wal.mark_snapshot(&marker(&meta))?;
    let hard_state = first_hard_state();
    wal.append(&[], Some(&hard_state))?;
    wal.sync()?;
    let (store, _) = Store::open(&directories.state, store_options)?;
    let state = snapshots::load_into(&directories.snapshots, &store, 1, 1)?;
    let conf_state = meta.get_conf_state().clone();
    let log = LogView::new((1, 1), Vec::new(), hard_state, conf_state, meta);
    Ok(Booted { identity, wal, store, state, log, members, snapshot_bytes: info.size, alone })
}

fn first_hard_state() -> HardState {
    let mut hard_state = HardState::default();
    hard_state.term = 1;
    hard_state.commit = 1;
    hard_state
}

fn marker(meta: &SnapshotMetadata) -> SnapshotMarker {
    SnapshotMarker { index: meta.index, term: meta.term, conf_state: meta.get_conf_state().clone() }
}

fn open_new(
    existing: Option<(Wal, wal::Identity)>,
    directories: &Directories,
    cluster_id: u64,
    member_id: u64,
    directory_id: [u8; 16],
    options: WalOptions,
) -> Result<(Wal, Identity), Error> {
    let wanted = wal::Identity { cluster_id, member_id, directory_id };
    let (wal, made) = match existing {
        // The same member of the same cluster began here.
        Some((wal, found)) if (found.cluster_id, found.member_id) == (cluster_id, member_id) => {
            (wal, found)
        }
        other => {
            drop(other);
            if directories.wal.exists() && Wal::exists(&directories.wal)? {
                std::fs::remove_dir_all(&directories.wal).map_err(|source| WalError::Io {
                    op: "remove",
                    path: directories.wal.clone(),
                    source,
                })?;
            }
            (Wal::create(&directories.wal, &wanted, options)?, wanted)
        }
    };
    let identity = Identity {
        cluster_id: made.cluster_id,
        member_id: made.member_id,
        directory_id: made.directory_id,
    };
    Ok((wal, identity))
}

async fn join(
    config: &Config,
    directories: &Directories,
    wal: Option<(Wal, Recovered)>,
    options: WalOptions,
    directory_id: [u8; 16],
    store_options: StoreOptions,
    dialer: &Dialer,
) -> Result<Booted, Error> {
    let own_urls = &config.listen.advertise_peer;
    let others: Vec<String> = config
        .bootstrap
        .cluster
        .iter()
        .flat_map(|(_, urls)| urls.clone())
        .filter(|url| !own_urls.contains(url))
        .collect();
    let mut why = "no other member is named in --initial-cluster".to_owned();
    let mut answers = Vec::new();
    for answer in ask_members(dialer, &others).await {
        match answer {
            Ok(members) => answers.push(members),
            Err(error) => why = error,
        }
    }
    let Some(members) = answers.into_iter().max_by_key(|members| members.iter().count()) else {
        return Err(Error::NoPeers(why));
    };
    let flags = config.bootstrap.cluster.len();
    let cluster = members.iter().count();
    if flags != cluster {
        return Err(Error::CountUnequal { flags, cluster });
    }
    let own = members
        .iter()
        .find(|member| member.peer_urls.iter().any(|url| own_urls.contains(url)))
        .ok_or_else(|| Error::NotAMember(own_urls.join(",")))?;
    let resumes = wal.as_ref().is_some_and(|(_, recovered)| {
        let found = &recovered.identity;
        (found.cluster_id, found.member_id) == (members.cluster_id, own.id)
    });
    if !own.directory_id.is_empty() && !resumes {
        return Err(Error::AlreadyBootstrapped(own.id));
    }
    let earlier = wal.as_ref().filter(|_| resumes).map(|(_, recovered)| recovered.clone());
    let wal = wal.map(|(wal, recovered)| (wal, recovered.identity));
    let (mut wal, identity) =
        open_new(wal, directories, members.cluster_id, own.id, directory_id, options)?;
    wal.sync()?;
    let (store, loaded) = Store::open(&directories.state, store_options)?;
    if loaded.is_some() {
        store.reset()?;
    }
    let state = State::default();
    // A vote of an earlier start binds this one.
    let log = match earlier {
        Some(recovered) => log_view(recovered, &state, &SnapshotMetadata::default())?,
        None => LogView::default(),
    };
    Ok(Booted { identity, wal, store, state, log, members, snapshot_bytes: 0, alone: false })
}

/// Asks each URL for its list of members.
async fn ask_members(dialer: &Dialer, urls: &[String]) -> Vec<Result<Members, String>> {
    let ask = |url: String| async move {
        let answer = async {
            let channel = dial::connect(dialer, std::slice::from_ref(&url)).await?;
            let answer = dial::client(channel).members(MembersRequest {}).await;
            answer.map(tonic::Response::into_inner).map_err(|status| status.message().to_owned())
        };
        let answer = tokio::time::timeout(PROBE_TIMEOUT, answer)
            .await
            .map_err(|_| format!("{url}: no answer"))??;
        if answer.cluster_id == 0 || answer.members.is_empty() {
            return Err(format!("{url}: it does not know its cluster yet"));
        }
        let present = answer.members.into_iter().map(|member| Member {
            id: member.id,
            name: member.name,
            peer_urls: member.peer_urls,
            client_urls: member.client_urls,
            is_learner: member.is_learner,
            directory_id: member.directory_id.to_vec(),
        });
        let mut members = Members::new(answer.cluster_id, present);
        for id in answer.removed {
            members.restore_removed(id);
        }
        Ok(members)
    };
    futures::future::join_all(urls.iter().cloned().map(ask)).await
}

fn go_on(
    config: &Config,
    directories: &Directories,
    wal: Wal,
    recovered: Recovered,
    store_options: StoreOptions,
) -> Result<Booted, Error> {
    if config.bootstrap.discovery.is_some() {
        tracing::warn!(
            wal_dir = %directories.wal.display(),
            "discovery token is ignored since cluster already initialized; valid logs are found"
        );
    }
    let (found, snapshot) = newest_snapshot(&directories.snapshots, &recovered)?;
    let (store, loaded) = Store::open(&directories.state, store_options)?;
    let usable = |loaded: &Loaded| fits(loaded.mark.index, loaded.mark.term, &snapshot, &recovered);
    let state = match loaded.filter(usable) {
        Some(loaded) => load_store(&store, loaded),
        None => None,
    };
    let state = match state {
        Some(state) => state,
        None => {
            tracing::info!(index = snapshot.index, "rebuilding the applied state");
            snapshots::load_into(&directories.snapshots, &store, snapshot.index, snapshot.term)?
        }
    };
    let identity = Identity {
        cluster_id: recovered.identity.cluster_id,
        member_id: recovered.identity.member_id,
        directory_id: recovered.identity.directory_id,
    };
    if state.members.is_removed(identity.member_id) {
        return Err(Error::Removed);
    }
    let log = log_view(recovered, &state, &snapshot)?;
    let members = state.members.clone();
    let alone = state.applied.voters == [identity.member_id];
    let booted = Booted { identity, wal, store, state, log, members, snapshot_bytes: found, alone };
    if config.bootstrap.force_new_cluster {
        return crate::disaster::force_new_cluster(booted, directories);
    }
    Ok(booted)
}

/// The newest valid file that has its marker in the log.
pub(crate) fn newest_snapshot(
    directory: &Path,
    recovered: &Recovered,
) -> Result<(u64, SnapshotMetadata), Error> {
    for marker in recovered.markers.iter().rev() {
        match snapshots::find(directory, marker.index, marker.term) {
            Ok(Some(reader)) => {
                return Ok((reader.info().size, snapshots::raft_meta(reader.meta())));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a snapshot file is not usable"),
        }
    }
    Err(Error::SnapshotLost(recovered.markers.last().map_or(0, |marker| marker.index)))
}

/// Whether an applied state at `index` of `term` lies between the snapshot and the end of the
/// log.
pub(crate) fn fits(
    index: u64,
    term: u64,
    snapshot: &SnapshotMetadata,
    recovered: &Recovered,
) -> bool {
    index >= snapshot.index
        && index <= recovered.last_index
        && index + 1 >= recovered.first_index
        && recovered
            .entries
            .iter()
            .find(|entry| entry.index == index)
            .is_none_or(|entry| entry.term == term)
}

fn load_store(store: &Store, loaded: Loaded) -> Option<State> {
    let mut state = State::default();
    let outcome = store.load_records(&mut |record| state.kv.restore_record(&record));
    if let Err(error) = outcome {
        tracing::error!(%error, "the applied state is damaged");
        return None;
    }
    state.kv.restore_marks(loaded.mark.kv_revision, loaded.mark.compacted);
    for (table, key, value) in &loaded.side {
        if let Err(error) = side::load(&mut state, *table, key, value) {
            tracing::error!(%error, "the applied state is damaged");
            return None;
        }
    }
    state.applied = Position {
        index: loaded.mark.index,
        term: loaded.mark.term,
        voters: loaded.mark.voters,
        learners: loaded.mark.learners,
    };
    snapshots::attach_leases(&mut state);
    if loaded.mark.compacted > 0 {
        // The last stop may have come in the middle of it.
        let revision = loaded.mark.compacted;
        let keep = state.kv.keep_at(revision);
        if let Err(error) = store.resume_compaction(Compaction { revision, keep }) {
            tracing::error!(%error, "resuming a compaction failed");
            return None;
        }
    }
    Some(state)
}

/// The in-memory log: what the file has, from as early as its term is known.
pub(crate) fn log_view(
    recovered: Recovered,
    state: &State,
    snapshot: &SnapshotMetadata,
) -> Result<LogView, Error> {
    let Recovered { entries, mut hard_state, markers, last_index, first_index, .. } = recovered;
    let applied = &state.applied;
    let mut entries: std::collections::VecDeque<Entry> = entries.into();
    let first = entries.front().map_or(applied.index + 1, |entry| entry.index);
    let known = |index: u64| {
        markers
            .iter()
            .rev()
            .find(|marker| marker.index == index)
            .map(|marker| marker.term)
            .or((index == applied.index).then_some(applied.term))
    };
    let base = match known(first - 1) {
        Some(term) => (first - 1, term),
        None => match entries.pop_front() {
            Some(entry) => (entry.index, entry.term),
            None => (applied.index, applied.term),
        },
    };
    if base.0 > applied.index {
        return Err(Error::Gap { first: first_index, last: last_index });
    }
    // Raft refuses to start behind what is applied, or with a commit beyond the log.
    let last = entries.back().map_or(base.0, |entry| entry.index);
    hard_state.commit = hard_state.commit.max(applied.index).min(last);
    let mut conf_state = ConfState::default();
    conf_state.set_voters(applied.voters.clone());
    conf_state.set_learners(applied.learners.clone());
    Ok(LogView::new(base, entries.into(), hard_state, conf_state, snapshot.clone()))
}
