//! What the fleet is told, and what it answers: orders, facts, effects. Plain data.

use std::time::Duration;

use crate::{classify::Diagnosis, probe::Report};

/// What the user wants of some nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Order {
    /// Run a node that is down.
    Start,
    /// End a node: SIGTERM, and SIGKILL after the grace.
    Stop,
    /// End a node with SIGKILL, as a crash would.
    Kill,
    /// Stop, then start, one node after the other.
    Restart,
    /// Freeze with SIGSTOP.
    Pause,
    /// Continue after [`Order::Pause`].
    Resume,
}

/// A fact from the shell about the process of one epoch.
#[derive(Clone, Debug, PartialEq)]
pub enum FleetEvent {
    /// The process exists.
    Spawned {
        /// Its id.
        pid: u32,
    },
    /// There is no process, and this is why.
    SpawnFailed {
        /// One sentence.
        why: String,
    },
    /// The process has ended.
    Exited(Diagnosis),
    /// A probe came back, or did not.
    Probed(Option<Box<Report>>),
    /// Whether a read that needs the leader has come back since this was said last.
    Touched(bool),
    /// A timer this machine asked for.
    TimerFired,
}

/// A signal to a node.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names are those of the signals")]
pub enum Signal {
    Term,
    Kill,
    Stop,
    Continue,
}

/// What the shell must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum FleetEffect {
    /// Start a process for this epoch.
    Spawn {
        /// The node.
        node: String,
        /// The epoch its facts must carry.
        epoch: u64,
    },
    /// Signal the node's process.
    Signal {
        /// The node.
        node: String,
        /// Which signal.
        signal: Signal,
    },
    /// Send [`FleetEvent::TimerFired`] at this time.
    Timer {
        /// The node.
        node: String,
        /// The epoch the event must carry.
        epoch: u64,
        /// When.
        at: Duration,
    },
    /// Tell the user.
    Note {
        /// The node it is about.
        node: Option<String>,
        /// One clause.
        text: String,
    },
}

/// What a node is, apart from what it does.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are etcd's")]
pub struct Identity {
    pub name: String,
    pub client_url: String,
    pub peer_url: String,
    pub log_path: String,
    /// As known from an earlier run.
    pub member_id: Option<u64>,
}
