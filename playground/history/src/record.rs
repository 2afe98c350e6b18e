//! What is recorded: operations, watches, and what the cluster held in the end.
//!
//! Every type reads and writes as JSON, so that a history can be kept beside a report and be
//! judged again. Times are nanoseconds on one monotonic clock of the recorder. Keys and values
//! are text; whoever writes other bytes encodes them.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

/// Nanoseconds on the recorder's monotonic clock.
pub type Nanos = u64;

/// Everything that was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    pub operations: Vec<Operation>,
    pub watches: Vec<Watch>,
    /// The state the recording began with, at `start_revision`.
    pub start: Vec<Pair>,
    pub start_revision: i64,
    /// All events after `start_revision`, as the healed cluster tells them at the end.
    pub events: Vec<Event>,
    pub hashes: Vec<MemberHash>,
}

/// One request of one client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub client: u32,
    /// The member that was asked; empty when the client may have asked several.
    #[serde(default)]
    pub member: String,
    pub invoked: Nanos,
    /// When the answer came; nothing when none did.
    pub finished: Option<Nanos>,
    pub request: Request,
    pub outcome: Outcome,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Put(Put),
    Delete { range: KeyRange },
    Get(Get),
    Txn(Txn),
    Grant { lease: i64, ttl_seconds: i64 },
    Revoke { lease: i64 },
    KeepAlive { lease: i64 },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    pub key: String,
    /// Unique in the history, or a doubled write cannot be told from two.
    pub value: String,
    #[serde(default)]
    pub lease: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Get {
    pub range: KeyRange,
    #[serde(default)]
    pub serializable: bool,
    /// An old revision; 0 is the current one.
    #[serde(default)]
    pub revision: i64,
}

/// If all comparisons hold, `success`, else `failure`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Txn {
    pub compares: Vec<Compare>,
    pub success: Vec<TxnOp>,
    pub failure: Vec<TxnOp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// False when there is no such key.
    ValueIs {
        key: String,
        value: String,
    },
    /// 0 for a key that is not there.
    ModRevisionIs {
        key: String,
        revision: i64,
    },
    CreateRevisionIs {
        key: String,
        revision: i64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TxnOp {
    Put(Put),
    Delete { range: KeyRange },
    Get { range: KeyRange },
}

/// One key, or all from `key` up to and without `end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRange {
    pub key: String,
    #[serde(default)]
    pub end: Option<String>,
}

impl KeyRange {
    /// Exactly this key.
    pub fn one(key: impl Into<String>) -> Self {
        Self { key: key.into(), end: None }
    }

    /// Whether `key` is in it.
    pub fn contains(&self, key: &str) -> bool {
        match &self.end {
            None => key == self.key,
            Some(end) => key >= self.key.as_str() && key < end.as_str(),
        }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Ok(Response),
    /// An error that promises that nothing was done.
    Refused(String),
    /// No answer, or an error that leaves it open.
    Unknown(String),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// `header.revision`; 0 if the answer carries none.
    pub revision: i64,
    pub answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    Done,
    Deleted(i64),
    Pairs(Vec<Pair>),
    Txn {
        succeeded: bool,
        /// What each `Get` of the branch found, in order.
        gets: Vec<Vec<Pair>>,
    },
    /// Time to live that was granted; 0 or less: the lease is gone.
    Ttl(i64),
}

/// A key as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    pub key: String,
    pub value: String,
    pub create_revision: i64,
    pub mod_revision: i64,
    pub version: i64,
    #[serde(default)]
    pub lease: i64,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    Put(Pair),
    Delete { key: String, revision: i64 },
}

impl Event {
    pub fn key(&self) -> &str {
        match self {
            Event::Put(pair) => &pair.key,
            Event::Delete { key, .. } => key,
        }
    }

    pub fn revision(&self) -> i64 {
        match self {
            Event::Put(pair) => pair.mod_revision,
            Event::Delete { revision, .. } => *revision,
        }
    }
}

/// One watch of one client: reopened after a break, it is another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub client: u32,
    #[serde(default)]
    pub member: String,
    pub range: KeyRange,
    /// 0: from now.
    pub start_revision: i64,
    #[serde(default)]
    pub no_put: bool,
    #[serde(default)]
    pub no_delete: bool,
    #[serde(default)]
    pub previous: bool,
    /// `header.revision` of the answer that it was created; nothing if none came.
    pub created: Option<i64>,
    pub messages: Vec<WatchMessage>,
    /// The client waited until everything up to this revision had to be here; 0: it did not.
    #[serde(default)]
    pub complete_to: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchMessage {
    pub received: Nanos,
    /// `header.revision`.
    pub revision: i64,
    /// More of the same revision follows in the next message.
    #[serde(default)]
    pub fragment: bool,
    /// Empty for a notification of progress.
    pub events: Vec<WatchEvent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchEvent {
    pub event: Event,
    #[serde(default)]
    pub previous: Option<Pair>,
}

/// A member's hash of the key space.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberHash {
    pub member: String,
    pub revision: i64,
    pub compact_revision: i64,
    pub hash: u32,
}

/// One line of a history file.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Start { revision: i64, pairs: Vec<Pair> },
    Operation(Operation),
    Watch(Watch),
    Event(Event),
    Hash(MemberHash),
}

/// A history file that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("cannot read the history: {0}")]
    Io(#[from] io::Error),
    #[error("line {line} of the history is not understood: {reason}")]
    Line { line: usize, reason: String },
}

impl History {
    /// Writes one JSON object a line.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let start = Line::Start { revision: self.start_revision, pairs: self.start.clone() };
        let mut line = |line: &Line| -> io::Result<()> {
            serde_json::to_writer(&mut *out, line)?;
            out.write_all(b"\n")
        };
        line(&start)?;
        for operation in &self.operations {
            line(&Line::Operation(operation.clone()))?;
        }
        for watch in &self.watches {
            line(&Line::Watch(watch.clone()))?;
        }
        for event in &self.events {
            line(&Line::Event(event.clone()))?;
        }
        for hash in &self.hashes {
            line(&Line::Hash(hash.clone()))?;
        }
        Ok(())
    }

    /// Reads what [`History::write`] wrote.
    ///
    /// # Errors
    /// Those of the reader, and the first line that is no part of a history.
    pub fn read(from: &mut dyn BufRead) -> Result<Self, ReadError> {
        let mut history = Self::default();
        for (number, line) in from.lines().enumerate() {
            let line = serde_json::from_str(&line?)
                .map_err(|error| ReadError::Line { line: number + 1, reason: error.to_string() })?;
            match line {
                Line::Start { revision, pairs } => {
                    history.start_revision = revision;
                    history.start = pairs;
                }
                Line::Operation(operation) => history.operations.push(operation),
                Line::Watch(watch) => history.watches.push(watch),
                Line::Event(event) => history.events.push(event),
                Line::Hash(hash) => history.hashes.push(hash),
            }
        }
        Ok(history)
    }
}

impl Get {
    /// Whether it is a read of a single key.
    pub fn end_is_none(&self) -> bool {
        self.range.end.is_none()
    }
}
