//! What the reducer wants done: data only, executed by the shell.
//!
//! Whether an effect may be sent at all is decided here once, for every screen: a read-only
//! session lets no write through, wherever it came from.

use crate::fleet::FleetCommand;
use crate::msg::RequestId;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// From now on ask these endpoints for their status.
    Poll(Vec<String>),
    /// Ask again now, without waiting for the next round.
    PollNow,
    List(RequestId, ListQuery),
    Get {
        id: RequestId,
        key: Vec<u8>,
        serializable: bool,
    },
    Count {
        id: RequestId,
        prefix: Vec<u8>,
        serializable: bool,
    },
    Lease {
        id: RequestId,
        lease: i64,
    },
    Write(RequestId, Write),
    /// Report changes under `prefix` from `revision` on; ends the watch before it.
    Watch {
        generation: u64,
        prefix: Vec<u8>,
        revision: i64,
    },
    Unwatch,
    /// Ask the lanes of the course from now on.
    Lanes,
    /// Look for `needle` in every key under `prefix`; ends the scan before it.
    Scan {
        generation: u64,
        prefix: Vec<u8>,
        needle: String,
        serializable: bool,
    },
    CancelScan,
    /// Sent to the leader, which is at `endpoint`.
    MoveLeader {
        id: RequestId,
        endpoint: String,
        target: u64,
    },
    Fleet(FleetCommand),
    /// Follow these files and no others; those followed already go on where they are.
    TailLogs(Vec<(String, PathBuf)>),
    Quit(Outcome),
}

/// Which children to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListQuery {
    pub prefix: Vec<u8>,
    /// First key to look at.
    pub from: Vec<u8>,
    /// Every key, not only the next level.
    pub flat: bool,
    pub want: usize,
    /// 0: the newest.
    pub revision: i64,
    pub serializable: bool,
}

/// A compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// `expect` is the revision of the version that was read; 0: the key must not exist.
    /// An existing key keeps its lease.
    Put {
        key: Vec<u8>,
        value: Vec<u8>,
        expect: i64,
    },
    Delete {
        key: Vec<u8>,
        expect: i64,
    },
}

/// How the session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The UI is gone, the cluster goes on.
    Detached,
    /// The user wants the local cluster stopped, and its data deleted if `purge`.
    StopAll { purge: bool },
}

impl Effect {
    /// Whether the effect changes the cluster.
    pub fn writes(&self) -> bool {
        match self {
            Self::Write(..) | Self::MoveLeader { .. } | Self::Lanes => true,
            Self::Fleet(command) => {
                !matches!(command, FleetCommand::Detach | FleetCommand::CourseDone(_))
            }
            Self::Poll(_)
            | Self::PollNow
            | Self::List(..)
            | Self::Get { .. }
            | Self::Count { .. }
            | Self::Lease { .. }
            | Self::Watch { .. }
            | Self::Unwatch
            | Self::Scan { .. }
            | Self::CancelScan
            | Self::TailLogs(_)
            | Self::Quit(_) => false,
        }
    }
}
