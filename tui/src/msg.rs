//! Everything that can happen to the UI.
//!
//! The shell turns terminal events, replies and supervisor views into these; the reducer
//! sees nothing else. Replies carry the id of the request they answer, watches and scans
//! their generation: what nobody waits for any more is dropped there.

use crate::fleet::FleetUpdate;
use crate::hit::Hit;
use crate::key::Key;
use crate::lab::lanes::Sample;

/// The number a request goes by.
pub type RequestId = u64;

#[derive(Clone, Debug, PartialEq)]
pub enum Msg {
    Key(Key),
    Paste(String),
    Click(Hit),
    /// Lines down (positive) or up over what the pointer is on.
    Wheel(Hit, i32),
    Resize(u16, u16),
    /// A second has passed while something on screen ages.
    Tick,
    Cluster(Report),
    Reply(RequestId, Result<Reply, Failure>),
    /// Changes under the watched prefix, oldest first, complete up to `revision`.
    Changes {
        generation: u64,
        revision: i64,
        changes: Vec<Change>,
    },
    /// The watch ended; it must be started again or the listing read anew.
    WatchLost {
        generation: u64,
        compacted: bool,
    },
    ScanProgress {
        generation: u64,
        progress: ScanProgress,
    },
    Fleet(FleetUpdate),
    /// The supervisor closed its end.
    FleetGone,
    Log {
        node: String,
        lines: Vec<String>,
    },
    /// What the course's lanes have found; sent even if they have not, to tell the time.
    Lanes {
        now_ms: u64,
        samples: Vec<Sample>,
    },
    /// SIGTERM, SIGHUP or SIGINT.
    Terminate,
}

/// What polling the cluster found out.
#[derive(Clone, Debug, PartialEq)]
pub enum Report {
    Status {
        endpoint: String,
        rtt_us: u64,
        outcome: Result<StatusFacts, Failure>,
    },
    /// Whether a member that knows a leader could read what the cluster has agreed on.
    InTouch {
        endpoint: String,
        yes: bool,
    },
    Members {
        from: u64,
        members: Vec<MemberFacts>,
    },
    Alarms(Vec<Alarm>),
    Probe {
        linearizable: bool,
        outcome: Result<u64, Failure>,
    },
    /// Every endpoint of a round has answered or timed out.
    Round,
}

/// One member's answer to Status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusFacts {
    pub cluster_id: u64,
    pub member_id: u64,
    pub revision: i64,
    pub term: u64,
    pub version: String,
    pub leader: u64,
    pub commit_index: u64,
    pub applied_index: u64,
    pub db_size: i64,
    pub db_in_use: i64,
    pub learner: bool,
    pub errors: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFacts {
    pub id: u64,
    pub name: String,
    pub peer_urls: Vec<String>,
    pub client_urls: Vec<String>,
    pub learner: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    pub member: u64,
    /// `NOSPACE`, `CORRUPT`.
    pub kind: String,
}

/// A key without its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyMeta {
    pub key: Vec<u8>,
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
    pub lease: i64,
}

/// One change a watch reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub meta: KeyMeta,
    pub deleted: bool,
}

/// What a directory holds, in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Child {
    /// Everything that begins with this; ends in the separator.
    Directory(Vec<u8>),
    Key(KeyMeta),
}

impl Child {
    /// What children are ordered by.
    pub fn name(&self) -> &[u8] {
        match self {
            Self::Directory(prefix) => prefix,
            Self::Key(meta) => &meta.key,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Children from where was asked; `next` is where to go on, `None` at the end.
    Listing {
        children: Vec<Child>,
        next: Option<Vec<u8>>,
        revision: i64,
    },
    Value {
        revision: i64,
        found: Option<(KeyMeta, Vec<u8>)>,
    },
    Count {
        count: i64,
    },
    Lease {
        ttl_s: i64,
        granted_s: i64,
    },
    Written {
        revision: i64,
    },
    /// The compare failed: what is there now.
    Conflict {
        current: Option<(KeyMeta, Vec<u8>)>,
    },
    Done,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanProgress {
    pub scanned: u64,
    pub total: u64,
    pub matches: Vec<KeyMeta>,
    pub done: bool,
    /// Why it stopped early: an error, or enough matches.
    pub stopped: Option<String>,
}

/// Why a request did not succeed, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub kind: FailureKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Nothing listens there.
    Refused,
    /// No answer in time. A write may or may not have happened.
    Timeout,
    /// The address cannot be used as written.
    Address,
    /// It answers, but not as an etcd server.
    NotEtcd,
    NoLeader,
    Compacted,
    /// The server wants another user, or none has logged in yet.
    Login,
    /// The user may not do this.
    Denied,
    /// The server said no.
    Server,
}

impl Failure {
    pub fn new(kind: FailureKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}
