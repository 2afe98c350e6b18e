//! The supervisor: the process that owns the nodes of one cluster.
//!
//! It holds the cluster's lock for its life, starts every node from one thread, and executes
//! what the pure machines decide ([`crate::fleet`], [`crate::members`]). One task owns all
//! state and handles one input at a time; connections, probes and requests to the cluster run
//! in tasks of their own and report by message. A client that dies changes nothing here; when
//! the supervisor dies, the kernel kills every node.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    fs::File,
    path::PathBuf,
    process::Child,
    time::Duration,
};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, oneshot},
    time::Instant,
};
use tonic::transport::Channel;

use crate::{
    PlaygroundError,
    dirs::ClusterDirs,
    fleet::{Fleet, FleetEvent, Identity, Order, Signal},
    journal::Journal,
    links::Plane,
    members::{Answer, Procedure},
    probe::Report,
    process::{ProcessIdentity, Spawner},
    protocol::{Refusal, Reply, Request},
    spec::FleetSpec,
};

mod connection;
mod disaster;
mod effects;
mod faults;
mod links;
mod membership;
mod requests;
mod state;

use requests::Pending;

/// Requests that may wait for the supervisor. Clients are people and scripts; a full queue
/// makes them wait, nothing is lost.
const INBOX: usize = 64;
/// How often logs are looked at for rotation.
const ROTATION_INTERVAL: Duration = Duration::from_secs(5);
/// How long a new supervisor waits for the lock: clients hold it for moments to test it.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) type Answered = oneshot::Sender<Result<Reply, Refusal>>;

/// What the owning task is told.
pub(crate) enum Input {
    /// A client asks.
    Call(Request, Answered),
    /// A client subscribes to events after a number.
    Subscribe(u64, oneshot::Sender<connection::Subscription>),
    /// A probe of a node's epoch came back.
    Probed(String, u64, Option<Box<Report>>),
    /// Whether a node of an epoch has answered what needs the others.
    Touched(String, u64, bool),
    /// The cluster answered a step of the membership change with this number.
    Stepped(u64, Answer),
    /// A snapshot was taken.
    Saved(disaster::Saved),
    /// Data from a snapshot is ready to be put in place.
    Restored(disaster::Restored),
}

/// What is due at some time.
#[derive(Debug, Eq, PartialEq, Ord, PartialOrd)]
enum Due {
    Node(String, u64),
    Duty(String, u64),
    Procedure(u64),
    Pending,
    Rotation,
}

/// A process that has not been reaped.
struct Process {
    child: Child,
    epoch: u64,
    identity: Option<ProcessIdentity>,
    /// Where its part of the log begins.
    log_start: u64,
    prober: tokio::task::JoinHandle<()>,
    killed: bool,
    /// The member id that the state file has for this process.
    recorded: Option<u64>,
}

/// A membership change and who waits for it.
struct ActiveProcedure {
    number: u64,
    procedure: Procedure,
    /// Nodes still to be replaced after this one.
    queue: Vec<String>,
    said: Vec<String>,
    answered: Option<Answered>,
}

struct Supervisor {
    dirs: ClusterDirs,
    programs: Programs,
    spec: FleetSpec,
    fleet: Fleet,
    processes: BTreeMap<String, Process>,
    channels: HashMap<String, Channel>,
    spawner: Spawner,
    journal: Journal,
    due: BinaryHeap<Reverse<(Duration, Due)>>,
    pending: Vec<Pending>,
    active: Option<ActiveProcedure>,
    faults: faults::Faults,
    plane: Option<Plane>,
    procedures: u64,
    inbox: mpsc::Sender<Input>,
    started: Instant,
    _lock: File,
}

/// The programs that a supervisor starts.
#[derive(Clone, Debug)]
pub struct Programs {
    /// Its subcommand `node` is a node.
    pub node: PathBuf,
    /// This program, which becomes an etcd.
    pub guard: PathBuf,
}

/// Runs the supervisor of a cluster until it is told to end.
pub async fn supervise(dirs: ClusterDirs, programs: Programs) -> Result<(), PlaygroundError> {
    let lock = take_lock(&dirs).await?;
    let spec = FleetSpec::load(&dirs.spec())?;
    let known = state::load(&dirs.state());
    state::end_leftovers(&known, &dirs.state());
    let (inbox, inputs) = mpsc::channel(INBOX);
    let socket = dirs.socket()?;
    let listener = connection::listen(&socket)?;
    tokio::spawn(connection::accept(listener, inbox.clone()));

    let mut fleet = Fleet::default();
    for node in &spec.nodes {
        dirs.create_node(&node.name)?;
        fleet.enroll(Identity {
            name: node.name.clone(),
            client_url: node.client_url(),
            peer_url: node.peer_url(),
            log_path: dirs.log(&node.name).display().to_string(),
            member_id: known.member_id(&node.name),
        });
    }
    let mut supervisor = Supervisor {
        journal: Journal::open(&dirs.events()),
        spawner: Spawner::new()
            .map_err(PlaygroundError::file("start a thread for", dirs.path()))?,
        dirs,
        programs,
        spec,
        fleet,
        processes: BTreeMap::new(),
        channels: HashMap::new(),
        due: BinaryHeap::new(),
        pending: Vec::new(),
        active: None,
        faults: faults::Faults::default(),
        plane: Supervisor::start_plane(),
        procedures: 0,
        inbox,
        started: Instant::now(),
        _lock: lock,
    };
    let ended = supervisor.run(inputs).await;
    // The lock goes last: who sees it free finds no socket and no process.
    let _ = std::fs::remove_file(&socket);
    ended
}

async fn take_lock(dirs: &ClusterDirs) -> Result<File, PlaygroundError> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        if let Some(lock) = dirs.try_lock()? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(PlaygroundError::Refused(format!(
                "{} already has a supervisor",
                dirs.path().display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Supervisor {
    async fn run(&mut self, mut inputs: mpsc::Receiver<Input>) -> Result<(), PlaygroundError> {
        let handler = |kind| {
            signal(kind).map_err(PlaygroundError::file("handle signals for", self.dirs.path()))
        };
        let mut child = handler(SignalKind::child())?;
        let mut terminate = handler(SignalKind::terminate())?;
        let mut interrupt = handler(SignalKind::interrupt())?;
        // A terminal that closes is no reason to end.
        let mut hangup = handler(SignalKind::hangup())?;

        self.journal.note(None, format!("supervisor started, pid {}", std::process::id()));
        self.due.push(Reverse((ROTATION_INTERVAL, Due::Rotation)));
        let everyone = self.fleet.names();
        let now = self.now();
        match self.fleet.order(Order::Start, &everyone, now) {
            Ok(effects) => self.execute(effects).await,
            Err(why) => self.journal.note(None, why),
        }
        self.save_state();
        while !self.fleet.is_closed() {
            let next = self.due.peek().map(|Reverse((at, _))| self.started + *at);
            let wake = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The channel cannot close: this task holds a sender.
                Some(input) = inputs.recv() => self.on_input(input).await,
                _ = child.recv() => self.reap().await,
                _ = terminate.recv() => self.close(false).await,
                _ = interrupt.recv() => self.close(false).await,
                _ = hangup.recv() => {}
                () = wake => self.on_due().await,
            }
            self.settle_pending();
        }
        self.journal.note(None, "supervisor ends, every node is down".to_owned());
        self.save_state();
        // The answers to `down` are written by other tasks; let them reach the socket.
        self.pending.clear();
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok(())
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    async fn on_input(&mut self, input: Input) {
        match input {
            Input::Call(request, answered) => self.on_request(request, answered).await,
            Input::Subscribe(since, reply) => {
                // The client may have gone already.
                let _ = reply.send(self.journal.subscribe(since));
            }
            Input::Probed(node, epoch, report) => {
                self.feed(&node, epoch, FleetEvent::Probed(report)).await;
                self.refresh_identity(&node);
            }
            Input::Touched(node, epoch, yes) => {
                self.feed(&node, epoch, FleetEvent::Touched(yes)).await;
            }
            Input::Stepped(number, answer) => self.on_answer(number, answer).await,
            Input::Saved(saved) => self.on_saved(saved),
            Input::Restored(restored) => self.on_restored(restored),
        }
    }

    async fn on_due(&mut self) {
        let now = self.now();
        while let Some(Reverse((at, _))) = self.due.peek()
            && *at <= now
        {
            let Some(Reverse((_, due))) = self.due.pop() else { return };
            match due {
                Due::Node(node, epoch) => self.feed(&node, epoch, FleetEvent::TimerFired).await,
                Due::Duty(node, number) => self.take_duty(&node, number),
                Due::Procedure(number) => self.resume_procedure(number).await,
                Due::Pending => {}
                Due::Rotation => {
                    self.rotate_logs();
                    self.due.push(Reverse((now + ROTATION_INTERVAL, Due::Rotation)));
                }
            }
        }
    }

    /// Tells the fleet a fact and executes what follows.
    async fn feed(&mut self, node: &str, epoch: u64, event: FleetEvent) {
        let effects = self.fleet.step(node, epoch, event, self.now());
        self.execute(effects).await;
    }

    async fn close(&mut self, at_once: bool) {
        self.abandon_procedure("the cluster is going down").await;
        let effects = self.fleet.close(at_once, self.now());
        self.execute(effects).await;
    }
}

/// The member ids that the last supervisor knew.
pub(crate) fn known_member_ids(dirs: &ClusterDirs) -> impl Fn(&str) -> Option<u64> {
    let known = state::load(&dirs.state());
    move |name| known.member_id(name)
}

/// Kills a supervisor that does not answer, and its nodes if they outlive it.
pub(crate) fn end_by_force(dirs: &ClusterDirs) {
    let known = state::load(&dirs.state());
    if let Some(supervisor) = &known.supervisor {
        supervisor.signal(Signal::Kill);
    }
    state::end_leftovers(&known, &dirs.state());
}
