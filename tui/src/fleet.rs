//! The local cluster's supervisor as the terminal UI sees it.
//!
//! Plain data over two channels: commands go in, views come out. Whoever starts the UI on a
//! local cluster connects the other ends to the supervisor; on a remote cluster there is no
//! link, and everything that needs one is absent. This module decides nothing.

use crate::lab::drill::{DrillCard, DrillProgress, DrillReport};
use crate::lab::link::LinkState;
use std::path::PathBuf;
use tokio::sync::mpsc;

/// What the user asks of the supervisor. Nodes go by name, or by a selector (`leader`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetCommand {
    /// SIGKILL.
    Kill(String),
    /// SIGTERM, and SIGKILL after the grace period.
    Stop(String),
    Start(String),
    Restart(String),
    /// SIGSTOP.
    Pause(String),
    /// SIGCONT.
    Resume(String),
    /// Remove the member, add a new one on an empty data directory, wait until it caught up.
    Replace(String),
    /// Throw away the data of a stopped node.
    Wipe(String),
    /// Add members until there are this many, as learners first.
    Grow(usize),
    /// Remove the members added last until there are this many.
    Shrink(usize),
    /// What becomes of directed links, from and to.
    Links(Vec<(String, String, LinkState)>),
    /// Every link passes everything again.
    Heal,
    /// By its id in the catalogue, with an application that is to run meanwhile, on this cluster
    /// or on one made for it.
    StartDrill {
        id: String,
        application: Option<String>,
        own_cluster: bool,
    },
    /// Stop the drill that runs, and roll back.
    StopDrill,
    /// Save a snapshot beside the cluster's data.
    Backup,
    /// Kill every node, and throw away all data.
    LoseAll,
    /// A new cluster of all nodes, with the data of the last snapshot.
    Restore,
    /// A fault of a node, in the words of the command line.
    Fault(String, String),
    /// Stop every node.
    DownAll,
    /// These pages of the course have been read to their end.
    CourseDone(Vec<String>),
    /// The UI leaves; nodes keep running.
    Detach,
}

/// What the supervisor knows about a node's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FleetState {
    #[default]
    Starting,
    Running,
    Paused,
    Stopping,
    /// Ended because we asked.
    Stopped,
    /// Ended by itself, or was killed.
    Exited,
    Removed,
}

impl FleetState {
    /// The word shown, the same as in `ps --json`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
            Self::Removed => "removed",
        }
    }

    /// Reads the word of `ps --json`.
    pub fn from_word(word: &str) -> Option<Self> {
        [
            Self::Starting,
            Self::Running,
            Self::Paused,
            Self::Stopping,
            Self::Stopped,
            Self::Exited,
            Self::Removed,
        ]
        .into_iter()
        .find(|state| state.word() == word)
    }

    /// Whether there is a process to signal.
    pub fn has_process(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused | Self::Stopping)
    }
}

/// One supervised node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FleetNode {
    pub name: String,
    pub state: FleetState,
    pub pid: Option<u32>,
    pub uptime_s: u64,
    pub restarts: u32,
    /// Why the node is in this state, one sentence; empty when there is nothing to say.
    pub why: String,
    pub client_url: String,
    /// Known once the node has joined.
    pub member_id: Option<u64>,
    pub log_path: PathBuf,
    /// Whether it answers for itself, and nothing that needs the others.
    pub cut_off: bool,
}

/// A directed link between two nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerLink {
    pub from: String,
    pub to: String,
    pub state: LinkState,
    /// What passed in the last second.
    pub bytes_per_second: u64,
    pub connections: u64,
}

/// Something that may be done to the nodes, or the reason why it cannot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Capability {
    pub name: String,
    pub available: bool,
    pub reason: String,
}

/// What the supervisor reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FleetUpdate {
    /// All nodes as they are now; replaces the last view.
    View(Vec<FleetNode>),
    /// All links as they are now; replaces the last ones.
    Links(Vec<PeerLink>),
    /// What can be done to the nodes; replaces what was said before.
    Capabilities(Vec<Capability>),
    /// The catalogue of drills.
    Drills(Vec<DrillCard>),
    /// How the drill that was started is doing.
    Drill(Box<DrillProgress>),
    /// It has ended.
    DrillEnded(Box<DrillReport>),
    /// Something happened to a process: shown in the event feed.
    Event { node: String, text: String },
    /// New lines of a node's log.
    LogLines { node: String, lines: Vec<String> },
    /// A long operation (replace, grow) moved on; `done` ends it.
    Progress { what: String, step: String, done: bool },
    /// A command was refused or failed.
    CommandFailed(String),
}

/// Who delivers the log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogSource {
    /// The UI follows each node's `log_path` while logs are on screen.
    Files,
    /// The other side sends `FleetUpdate::LogLines`.
    Pushed,
}

/// The UI's two ends of the connection to the supervisor.
#[derive(Debug)]
pub struct FleetLink {
    pub commands: mpsc::Sender<FleetCommand>,
    pub updates: mpsc::Receiver<FleetUpdate>,
    pub logs: LogSource,
}

/// The supervisor's two ends.
#[derive(Debug)]
pub struct FleetPort {
    pub commands: mpsc::Receiver<FleetCommand>,
    pub updates: mpsc::Sender<FleetUpdate>,
}

/// Commands are rare; a full queue means the supervisor is gone or stuck, and is reported.
const COMMANDS_IN_FLIGHT: usize = 32;
/// Views are replaced by the next one; a slow UI makes the sender wait, not grow.
const UPDATES_IN_FLIGHT: usize = 256;

/// A connected pair.
pub fn link(logs: LogSource) -> (FleetLink, FleetPort) {
    let (command_sender, command_receiver) = mpsc::channel(COMMANDS_IN_FLIGHT);
    let (update_sender, update_receiver) = mpsc::channel(UPDATES_IN_FLIGHT);
    (
        FleetLink { commands: command_sender, updates: update_receiver, logs },
        FleetPort { commands: command_receiver, updates: update_sender },
    )
}
