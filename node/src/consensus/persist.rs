//! The write-ahead log's thread: one write and one fdatasync for all that waits.
//!
//! While a sync runs, the next records gather in the queue; the next sync covers them all.
//! That is the whole of group commit: no timer, so a lone write never waits for company.
//!
//! A message that promises something leaves here, right after the sync that made it true.
//! An error of the log ends the process: what the kernel did with the pages is unknown.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use raft::eraftpb::SnapshotMetadata;

use super::core::Persist;
use super::drive::{ApplyJob, Input, LogJob};
use super::transport::Transport;
use super::wal::{SnapshotMarker, Wal, WalError};
use crate::mailbox::{Receiver, Sender};
use crate::metrics::WalCounts;
use crate::storage::snapshot_file;

/// The log's thread.
pub struct LogThread {
    pub wal: Wal,
    pub jobs: Receiver<LogJob>,
    pub inbox: Sender<Input>,
    pub applier: Sender<ApplyJob>,
    pub transport: Arc<Transport>,
    pub counts: Arc<WalCounts>,
    /// Bytes of log after which a snapshot is made, so that the log can be cut. Grows with
    /// the snapshot, so that making snapshots costs no more than writing the log.
    pub snapshot_bytes: u64,
    pub snapshot_asked: bool,
    /// Where the snapshot files are.
    pub snapshots: PathBuf,
}

/// Snapshot files that are kept: the newest that the log names, and one before it.
const SNAPSHOTS_KEPT: usize = 2;

/// Below this much log a snapshot is not worth its while.
pub const SNAPSHOT_BYTES_MIN: u64 = 128 << 20;

impl LogThread {
    /// Runs until told to stop; an error ends the process.
    pub fn run(mut self) {
        if let Err(error) = self.work() {
            tracing::error!(%error, "the write-ahead log failed, the member cannot go on");
            std::process::exit(1);
        }
    }

    fn work(&mut self) -> Result<(), WalError> {
        let mut batch = Vec::new();
        loop {
            self.jobs.take(&mut batch);
            if !self.one_sync(&mut batch)? {
                return Ok(());
            }
        }
    }

    /// Writes a batch; false when it told us to stop.
    fn one_sync(&mut self, batch: &mut Vec<LogJob>) -> Result<bool, WalError> {
        let mut done = Vec::with_capacity(batch.len());
        let mut release = None;
        let mut running = true;
        for job in batch.drain(..) {
            match job {
                LogJob::Persist(persist) => {
                    self.append(&persist)?;
                    done.push((persist.number, persist.after));
                }
                LogJob::Snapshot { meta, release: index, size } => {
                    self.snapshot_bytes = size.max(SNAPSHOT_BYTES_MIN);
                    // A newer snapshot may have been installed meanwhile.
                    if meta.index >= self.newest_marker() {
                        self.wal.mark_snapshot(&marker(&meta))?;
                    }
                    release = Some(index);
                    self.snapshot_asked = false;
                }
                LogJob::Stop => running = false,
            }
        }
        self.counts.bytes.fetch_add(self.wal.pending_bytes() as u64, Ordering::Relaxed);
        let begin = Instant::now();
        self.wal.sync()?;
        self.counts.fsync.observe(begin.elapsed());
        for (number, after) in done {
            // Raft hears of it first: an answer to what leaves now must find it informed.
            let _ = self.inbox.send(Input::Persisted(number));
            self.transport.send(after);
        }
        if let Some(index) = release {
            self.wal.release(index)?;
            self.prune_snapshots();
        }
        if !self.snapshot_asked && self.wal.bytes_since_snapshot() > self.snapshot_bytes {
            self.snapshot_asked = true;
            let _ = self.applier.send(ApplyJob::Snapshot);
        }
        Ok(running)
    }

    /// Old snapshot files go only now that a newer one's marker is durable; aside, since
    /// removing a large file takes its time.
    fn prune_snapshots(&self) {
        let (directory, marked) = (self.snapshots.clone(), self.newest_marker());
        let prune = move || {
            if let Err(error) = snapshot_file::prune(&directory, marked, SNAPSHOTS_KEPT) {
                tracing::warn!(%error, "old snapshots were not removed");
            }
        };
        let _ = std::thread::Builder::new().name("prune".to_owned()).spawn(prune);
    }

    fn newest_marker(&self) -> u64 {
        self.wal.snapshot_index()
    }

    fn append(&mut self, persist: &Persist) -> Result<(), WalError> {
        if let Some(meta) = &persist.snapshot {
            self.wal.mark_snapshot(&marker(meta))?;
        }
        self.wal.append(&persist.entries, persist.hard_state.as_ref())
    }
}

fn marker(meta: &SnapshotMetadata) -> SnapshotMarker {
    SnapshotMarker { index: meta.index, term: meta.term, conf_state: meta.get_conf_state().clone() }
}
