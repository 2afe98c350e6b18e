//! The composition root: opens everything, wires the threads, and takes them down again.
//!
//! | thread | what runs there |
//! |---|---|
//! | main | clients: gRPC, HTTP, watch streams, lease clock (one `current_thread` runtime) |
//! | peers | messages between members (a runtime of its own) |
//! | raft | [`Drive`] |
//! | wal | [`LogThread`] |
//! | apply | [`Applier`] |
//! | store | the applied state's writer (started by the store) |
//!
//! Going down: leadership is handed over, clients are refused, then raft, log and applier
//! end in this order, and the applied state is synced for a quick next start.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{mpsc, oneshot, watch};

use crate::api;
use crate::api::spans::Spans;
use crate::applier::Applier;
use crate::auth::Tokens;
use crate::bootstrap::{self, Booted, Error};
use crate::config::Config;
use crate::consensus::core::RaftCore;
use crate::consensus::drive::{ApplyJob, Drive, Input, Leadership, LogJob, Progress};
use crate::consensus::handle::{Handle, Parts};
use crate::consensus::log_view::LogView;
use crate::consensus::logger;
use crate::consensus::pending;
use crate::consensus::persist::{LogThread, SNAPSHOT_BYTES_MIN};
use crate::consensus::router::{Retention, Router};
use crate::consensus::transport::{Expelled, Transport};
use crate::consensus::wal::Wal;
use crate::features::Feature;
use crate::lease::Lessor;
use crate::login::Login;
use crate::machine::State;
use crate::mailbox::{Receiver, Sender, mailbox};
use crate::member::{Directories, Member};
use crate::metrics::Metrics;
use crate::ports::Ports;
use crate::storage::data_dir::{DataDir, new_directory_id};
use crate::storage::filesystem;
use crate::storage::store::StoreOptions;
use crate::tasks;
use crate::upkeep;
use crate::watch::service::Watchers;

/// Leases revoked at one tick of the lease clock, twice a second.
const REVOCATIONS_PER_TICK: usize = 500;
/// A follower that is asked to take over has this long.
const HANDOVER: Duration = Duration::from_secs(1);

/// A member that runs.
pub struct Server {
    member: Arc<Member>,
    handle: Handle,
    inbox: Sender<Input>,
    log: Sender<LogJob>,
    applier: Sender<ApplyJob>,
    threads: Vec<JoinHandle<()>>,
    expelled: mpsc::UnboundedReceiver<Expelled>,
    peers: PeerRuntime,
    ready: Option<oneshot::Receiver<()>>,
    // Last: its lock goes when everything else is closed.
    _directory: DataDir,
}

/// Why a member stopped by itself.
pub type Ended = String;

impl Server {
    /// Starts a member. Call on the runtime that is to serve clients.
    pub async fn start(config: Config) -> Result<Self, Error> {
        let directory = DataDir::open(&config.data_dir, config.wal_dir.as_deref())?;
        for place in [directory.root(), &directory.wal()] {
            if let Some(why) = filesystem::doubt(place) {
                tracing::warn!(directory = %place.display(), why, "the data is not safe here");
            }
        }
        let directories = Directories {
            wal: directory.wal(),
            snapshots: directory.snap(),
            state: directory.state(),
        };
        // Ports first: a busy one is found before anything is written.
        let ports = Ports::open(&config)?;
        let peers = PeerRuntime::start()?;
        let login = Login::open(&config.auth)?;
        let metrics = Metrics::default();
        let spans = config.tracing.as_ref().map(Spans::start).transpose();
        let spans = spans.map_err(Error::Tracing)?;
        let store = StoreOptions {
            writes: metrics.backend_commit.clone(),
            compactions: metrics.compaction.clone(),
            ..Default::default()
        };
        let booted = {
            let id = new_directory_id();
            bootstrap::boot(&config, &directories, id, store, &ports.dialer).await?
        };
        let (inbox, inputs) = mailbox();
        let (expel, expelled) = mpsc::unbounded_channel();
        let transport = Transport::new(
            booted.identity.clone(),
            inbox.clone(),
            directories.snapshots.clone(),
            ports.dialer.clone(),
            peers.handle.clone(),
            expel.clone(),
        );
        transport.set_members(&booted.members);
        let mut server = wire(Open {
            config,
            directories,
            directory,
            booted,
            transport,
            inbox,
            inputs,
            peers,
            expelled,
            expel,
            metrics,
            spans,
            login,
        })?;
        let service = api::Service::new(server.member.clone(), server.handle.clone());
        upkeep::corruption::before_serving(&service).await.map_err(Error::Inconsistent)?;
        ports.serve(&server.peers.handle, &service);
        server.start_tasks(&service);
        Ok(server)
    }

    /// Hears once that this member has joined its cluster and serves.
    pub fn take_ready(&mut self) -> Option<oneshot::Receiver<()>> {
        self.ready.take()
    }

    fn start_tasks(&mut self, service: &api::Service) {
        let (ready, hears) = oneshot::channel();
        self.ready = Some(hears);
        tokio::spawn(tasks::publish(self.member.clone(), self.handle.clone(), ready));
        tokio::spawn(tasks::serve_without_leader(self.member.clone()));
        tokio::spawn(tasks::lease_clock(self.member.clone(), self.handle.clone()));
        tokio::spawn(tasks::catch_up_watchers(self.member.clone()));
        tokio::spawn(tasks::watch_progress(self.member.clone()));
        tokio::spawn(tasks::auto_compaction(self.member.clone(), self.handle.clone()));
        tokio::spawn(crate::v2::clock::run(self.member.clone(), self.handle.clone()));
        upkeep::start(service);
    }

    /// Waits until the member must end by itself.
    pub async fn ended(&mut self) -> Ended {
        match self.expelled.recv().await {
            Some(Expelled(why)) => why,
            None => std::future::pending().await,
        }
    }

    /// Hands leadership over and stops, in about a second at most.
    pub async fn stop(self) {
        self.hand_over().await;
        let _ = self.inbox.send(Input::Stop);
        let Self { log, applier, threads, member, peers, _directory, .. } = self;
        let mut threads = threads.into_iter();
        // Raft first, then what it feeds.
        join(threads.next());
        let _ = log.send(LogJob::Stop);
        join(threads.next());
        let _ = applier.send(ApplyJob::Stop);
        join(threads.next());
        if let Err(error) = member.store.flush() {
            tracing::warn!(%error, "the applied state was not synced; the next start rebuilds it");
        }
        if member.spans.is_some() {
            let stop = move || member.spans.as_ref().map(Spans::stop);
            let _ = tokio::task::spawn_blocking(stop).await;
        }
        drop(peers.stop);
    }

    async fn hand_over(&self) {
        if !self.handle.leadership().is_leader {
            return;
        }
        let own = self.member.id();
        let voters = self.member.state.read().applied.voters.clone();
        let progress = self.handle.inspect().await;
        let heir = progress
            .iter()
            .filter(|other| other.member != own && voters.contains(&other.member))
            .filter(|other| self.member.transport.connected_for(other.member).is_some())
            .max_by_key(|other| (other.recently_active, other.matched));
        let Some(heir) = heir else { return };
        tracing::info!(to = %format!("{:x}", heir.member), "handing leadership over");
        let _ = tokio::time::timeout(HANDOVER, self.handle.transfer(heir.member)).await;
    }
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        let _ = thread.join();
    }
}

/// The peers' runtime, on a thread of its own until `stop` is dropped.
struct PeerRuntime {
    handle: tokio::runtime::Handle,
    stop: tokio::sync::oneshot::Sender<()>,
}

impl PeerRuntime {
    fn start() -> Result<Self, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        spawn("peers", move || {
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, stop })
    }
}

fn raft_config(config: &Config, id: u64, applied: u64) -> raft::Config {
    raft::Config {
        id,
        election_tick: config.timing.election_ticks(),
        heartbeat_tick: 1,
        applied,
        // 0 would mean one entry a message.
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: 256,
        check_quorum: true,
        pre_vote: config.pre_vote,
        read_only_option: raft::ReadOnlyOption::Safe,
        batch_append: true,
        max_uncommitted_size: 64 << 20,
        max_committed_size_per_ready: 16 << 20,
        ..raft::Config::default()
    }
}

/// What is open and not yet running.
struct Open {
    config: Config,
    directories: Directories,
    directory: DataDir,
    booted: Booted,
    transport: Arc<Transport>,
    inbox: Sender<Input>,
    inputs: Receiver<Input>,
    peers: PeerRuntime,
    expelled: mpsc::UnboundedReceiver<Expelled>,
    expel: mpsc::UnboundedSender<Expelled>,
    metrics: Metrics,
    spans: Option<Spans>,
    login: Login,
}

/// The queues between the threads, beside the inbox.
struct Queues {
    log: Sender<LogJob>,
    log_jobs: Receiver<LogJob>,
    applier: Sender<ApplyJob>,
    apply_jobs: Receiver<ApplyJob>,
}

impl Queues {
    fn new() -> Self {
        let (log, log_jobs) = mailbox();
        let (applier, apply_jobs) = mailbox();
        Self { log, log_jobs, applier, apply_jobs }
    }
}

fn raft_core(
    config: &Config,
    id: u64,
    state: &State,
    log: LogView,
    alone: bool,
) -> Result<RaftCore, Error> {
    let raft_config = raft_config(config, id, state.applied.index);
    let mut core = RaftCore::new(&raft_config, log, &logger::slog_to_tracing())?;
    if alone {
        core.campaign();
    } else if config.timing.advance_first_election {
        // The first election need not wait a whole timeout; pre-vote keeps this harmless.
        core.advance_election(raft_config.election_tick.saturating_sub(1));
    }
    Ok(core)
}

fn lessor(config: &Config) -> Lessor {
    let checkpoints = config.upkeep.features.enabled(Feature::LeaseCheckpoint);
    Lessor::new(REVOCATIONS_PER_TICK).with_checkpoints(checkpoints)
}

/// Makes the threads and what they share, and starts them.
fn wire(open: Open) -> Result<Server, Error> {
    let Open { config, directories, directory, booted, transport, .. } = open;
    let Booted { identity, wal, store, state, log, snapshot_bytes, alone, .. } = booted;
    let replayed = log.last();
    let tokens = Tokens::new(config.auth.token_ttl);
    let core = raft_core(&config, identity.member_id, &state, log, alone)?;
    let queues = Queues::new();
    let (answers, answered) = mpsc::unbounded_channel();
    let (leadership, leadership_seen) = watch::channel(Default::default());
    let (applied_now, applied_seen) = watch::channel(state.applied.index);
    let progress = Arc::<Progress>::default();
    let parts = Parts {
        inbox: open.inbox.clone(),
        timeout: config.timing.request_timeout(),
        leadership: leadership_seen,
        applied: applied_seen,
        progress: progress.clone(),
        answers: answered,
    };
    let (handle, replies) = Handle::new(parts, pending::first_id(rand::random()));
    let member = Arc::new(Member {
        lessor: Mutex::new(lessor(&config)),
        config,
        identity,
        directories,
        watchers: Arc::new(Watchers::new(state.kv.revision(), state.kv.compacted())),
        state: RwLock::new(state),
        store,
        login: open.login,
        tokens: Mutex::new(tokens),
        replayed,
        v2: Default::default(),
        metrics: open.metrics,
        spans: open.spans,
        transport,
        started: Instant::now(),
        expelled: open.expel,
        serving: watch::Sender::new(true),
        caught_up: watch::Sender::new(false),
        skipped: watch::Sender::new(()),
        size: Default::default(),
    });
    let drive = drive(&member, core, &queues, open.inputs, (answers, leadership, progress));
    let log_thread =
        log_thread(&member, wal, queues.log_jobs, &open.inbox, &queues.applier, snapshot_bytes);
    let apply_thread = Applier {
        member: member.clone(),
        jobs: queues.apply_jobs,
        inbox: open.inbox.clone(),
        log: queues.log.clone(),
        replies,
        applied: applied_now,
        building: Arc::new(AtomicBool::new(false)),
    };
    let raft = spawn("raft", move || drive.run())?;
    let wal = spawn("wal", move || log_thread.run())?;
    let apply = spawn("apply", move || apply_thread.run())?;
    Ok(Server {
        member,
        handle,
        inbox: open.inbox,
        log: queues.log,
        applier: queues.applier,
        threads: vec![raft, wal, apply],
        expelled: open.expelled,
        peers: open.peers,
        ready: None,
        _directory: directory,
    })
}

fn log_thread(
    member: &Member,
    wal: Wal,
    jobs: Receiver<LogJob>,
    inbox: &Sender<Input>,
    applier: &Sender<ApplyJob>,
    snapshot_bytes: u64,
) -> LogThread {
    LogThread {
        wal,
        jobs,
        inbox: inbox.clone(),
        applier: applier.clone(),
        transport: member.transport.clone(),
        counts: member.metrics.wal.clone(),
        snapshot_bytes: snapshot_bytes.max(SNAPSHOT_BYTES_MIN),
        snapshot_asked: false,
        snapshots: member.directories.snapshots.clone(),
    }
}

/// What the consensus thread tells others: read indexes, leadership, counters.
type Tells = (mpsc::UnboundedSender<(u64, Option<u64>)>, watch::Sender<Leadership>, Arc<Progress>);

fn drive(
    member: &Member,
    core: RaftCore,
    queues: &Queues,
    inbox: Receiver<Input>,
    (answers, leadership, progress): Tells,
) -> Drive {
    let Config { timing, limits, .. } = &member.config;
    let applied = member.state.read().applied.index;
    let proposal_ticks = ticks(timing.request_timeout(), timing.heartbeat);
    let retention =
        Retention { snapshot_count: limits.snapshot_count, catch_up: limits.catch_up_entries };
    Drive {
        router: Router::new(member.id(), core, applied, proposal_ticks, retention),
        inbox,
        transport: member.transport.clone(),
        log: queues.log.clone(),
        applier: queues.applier.clone(),
        answers,
        leadership,
        progress,
        tick: timing.heartbeat,
    }
}

fn ticks(time: Duration, tick: Duration) -> u64 {
    u64::try_from(time.as_millis() / tick.as_millis().max(1)).unwrap_or(u64::MAX)
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(Error::Runtime)
}
