//! What happened to a cluster, numbered: `events.jsonl` and those who listen.
//!
//! Events carry a sequence number that never goes back, also across supervisors, so a client
//! that reconnects asks for what it has not seen. The latest are kept in memory; the file is
//! for people, and writing it is never allowed to stop the supervisor.

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::logs;

/// Events kept for clients that come late.
const KEPT: usize = 1000;
/// Events a slow client may fall behind before it loses some.
const BEHIND_MAX: usize = 1024;

/// One thing that happened.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number, from 1.
    pub seq: u64,
    /// When, in milliseconds since 1970.
    pub unix_ms: u64,
    /// The node it is about.
    pub node: Option<String>,
    /// One clause, whose subject is the node.
    pub text: String,
}

/// The events of one cluster.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Option<File>,
    recent: VecDeque<Event>,
    seq: u64,
    live: broadcast::Sender<Event>,
}

impl Journal {
    /// Opens the file and continues its numbers.
    pub fn open(path: &Path) -> Self {
        let lines = logs::tail(path, 0, KEPT).unwrap_or_default();
        let recent: VecDeque<Event> =
            lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let seq = recent.iter().map(|event| event.seq).max().unwrap_or(0);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        if let Err(error) = &file {
            tracing::warn!(%error, path = %path.display(), "events are not recorded");
        }
        let (live, _) = broadcast::channel(BEHIND_MAX);
        Self { path: path.to_owned(), file: file.ok(), recent, seq, live }
    }

    /// The number of the latest event.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Records an event and tells everyone who listens.
    pub fn note(&mut self, node: Option<String>, text: String) {
        self.seq += 1;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let unix_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let event = Event { seq: self.seq, unix_ms, node, text };
        tracing::info!(node = event.node.as_deref(), "{}", event.text);
        if let Some(file) = &mut self.file
            && let Ok(mut line) = serde_json::to_vec(&event)
        {
            line.push(b'\n');
            if let Err(error) = file.write_all(&line) {
                tracing::warn!(%error, "an event was not recorded");
            }
        }
        if self.recent.len() == KEPT {
            self.recent.pop_front();
        }
        self.recent.push_back(event.clone());
        // Fails when nobody listens.
        let _ = self.live.send(event);
    }

    /// Events after `since` that are still kept, and those to come.
    pub fn subscribe(&self, since: u64) -> (Vec<Event>, broadcast::Receiver<Event>) {
        let missed = self.recent.iter().filter(|event| event.seq > since).cloned().collect();
        (missed, self.live.subscribe())
    }

    /// Keeps the file small.
    pub fn rotate(&self) {
        if let Err(error) = logs::rotate(&self.path, logs::SIZE_MAX) {
            tracing::warn!(%error, "the event file cannot be rotated");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_continue_across_supervisors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("events.jsonl");
        let mut journal = Journal::open(&path);
        journal.note(Some("n1".into()), "started".into());
        journal.note(None, "x".into());
        drop(journal);
        let mut journal = Journal::open(&path);
        assert_eq!(journal.seq(), 2);
        journal.note(None, "y".into());
        let (missed, _) = journal.subscribe(1);
        let seen: Vec<(u64, &str)> =
            missed.iter().map(|event| (event.seq, event.text.as_str())).collect();
        assert_eq!(seen, [(2, "x"), (3, "y")]);
    }

    #[test]
    fn a_subscriber_misses_nothing_between_the_past_and_the_present() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(&dir.path().join("events.jsonl"));
        journal.note(None, "past".into());
        let (missed, mut live) = journal.subscribe(0);
        journal.note(None, "present".into());
        assert_eq!(missed.len(), 1);
        assert_eq!(live.try_recv().unwrap().seq, missed[0].seq + 1);
    }

    #[test]
    fn a_directory_that_cannot_be_written_stops_nothing() {
        let mut journal = Journal::open(Path::new("/nonexistent/events.jsonl"));
        journal.note(None, "x".into());
        assert_eq!(journal.seq(), 1);
    }
}
