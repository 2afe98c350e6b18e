//! The applied state on disk: every record, the small tables and the log position they
//! stand for, in sled.
//!
//! It is a cache. What is acknowledged is in the write-ahead log and in snapshots; this
//! store may be behind, may be deleted at any moment, and is rebuilt from those. In return
//! it is cheap: the apply thread hands a [`Batch`] over and goes on, one writer thread
//! packs many batches into one write, and readers find in memory what is not written yet.
//!
//! # Invariants
//! - One write holds effects and mark together, so what is on disk is always the state at
//!   exactly one log position, older perhaps than the latest.
//! - A value that fails its checksum is never served. The read fails, the database is
//!   condemned, and the next open sets it aside.
//! - No read waits for the writer, except for the moment of one write.
//!
//! # Starting
//! [`Store::open`]; if it returns [`Loaded`], feed [`Store::load_records`] into the index.
//! Should that fail, throw the half-filled index away: the store is empty by then, and is
//! to be filled from snapshot and log like a new one. While filling, give every batch but
//! the last a mark with index 0.
//!
//! # What is where
//! `cell` bytes of one sled entry · `engine` sled itself · `place` directories · `queue`
//! the pending window · `writer` the thread · `compaction` removal · `mark` the position.

mod cell;
mod compaction;
mod condemned;
mod engine;
mod mark;
mod open;
mod place;
mod queue;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::kv::{History, HistoryError, KeyValue, Record, RecordKind, Revision};
use crate::metrics::{CompactionCounts, Histogram};

use cell::Sums;
pub use engine::SideEntry;
pub use mark::AppliedMark;
use queue::{Command, Shared, Source};
use writer::after;

/// Encoded bytes that a scan reads under one lock.
const SCAN_BYTES: u64 = 256 << 10;

/// Sizes and times of a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Memory for sled's pages.
    pub cache_bytes: u64,
    /// How long a batch waits for company before it is written.
    pub linger: Duration,
    /// Bytes that are written at once, and that end the waiting.
    pub batch_bytes: usize,
    /// Bytes in the pending window from which on `enqueue` blocks.
    pub pending_limit: usize,
    /// How long writes take.
    pub writes: Arc<Histogram>,
    /// What compaction does.
    pub compactions: Arc<CompactionCounts>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 16 << 20,
            linger: Duration::from_millis(100),
            batch_bytes: 1 << 20,
            pending_limit: 64 << 20,
            writes: Arc::default(),
            compactions: Arc::default(),
        }
    }
}

/// The effects of one apply round.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The log position after this round.
    pub mark: AppliedMark,
    /// In revision order, and newer than all before.
    pub records: Vec<Record>,
    /// Changes of the small tables, the later one wins.
    pub side: Vec<SideWrite>,
    /// Set when this round compacted the key space.
    pub compaction: Option<Compaction>,
}

/// One change of a small table: leases, members, alarms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideWrite {
    pub table: u8,
    /// At most 1 KiB.
    pub key: Vec<u8>,
    /// `None` removes the entry.
    pub value: Option<Vec<u8>>,
}

/// What physical compaction removes: records up to `revision` that are not in `keep`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compaction {
    pub revision: i64,
    pub keep: HashSet<Revision>,
}

/// What an existing store holds besides records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    pub mark: AppliedMark,
    /// The small tables, ordered by table and key length, then key.
    pub side: Vec<SideEntry>,
}

/// Why the store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("could not {action} {path}: {source}", path = path.display())]
    Io { action: &'static str, path: PathBuf, source: io::Error },
    #[error("the applied state is damaged: {0}")]
    Damaged(String),
    #[error("the applied state could not be written: {0}")]
    WriteFailed(String),
    #[error("the applied state takes no more writes after an error: {0}")]
    Failed(String),
    #[error("the applied state in {dir} is in use", dir = dir.display())]
    Locked { dir: PathBuf },
    #[error("record {revision:?} does not follow {last:?}, the newest one stored")]
    OutOfOrder { revision: Revision, last: Revision },
    #[error("a side key of {0} bytes is longer than {limit}", limit = cell::SIDE_KEY_LIMIT)]
    SideKeyTooLong(usize),
}

impl StoreError {
    fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }
}

/// The applied state. Clones share it; the last one to go writes what is pending.
#[derive(Clone)]
pub struct Store {
    handle: Arc<Handle>,
}

struct Handle {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has nothing left to write.
            let _ = writer.join();
        }
    }
}

impl Store {
    /// Opens the store in `dir`, or creates it.
    ///
    /// Whatever is odd about what is there is logged, the database is moved to
    /// `<dir>.bad-<n>`, and the store is new: `None`. Errors are left for a directory that
    /// cannot be used at all.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<(Self, Option<Loaded>), StoreError> {
        open::open(dir, options)
    }

    /// Hands over every record in revision order; to be called before anything is enqueued.
    ///
    /// When it fails with [`StoreError::Damaged`], what was handed over is worth nothing,
    /// and the store has been emptied.
    pub fn load_records(&self, f: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        match self.load_checked(f) {
            Err(StoreError::Damaged(why)) => {
                self.shared().run(|reply| Command::Replace(Some(why.clone()), reply))?;
                self.shared().place.started()?;
                Err(StoreError::Damaged(why))
            }
            Err(error) => Err(error),
            Ok(()) => self.shared().place.started(),
        }
    }

    fn load_checked(&self, f: &mut dyn FnMut(Record)) -> Result<(), StoreError> {
        let engine = self.shared().engine();
        let expected = engine.mark()?.unwrap_or_default().sums;
        let mut sums = Sums::default();
        let mut next = Revision::default();
        loop {
            let run = engine.run(next, SCAN_BYTES)?;
            for stored in run.blocks.into_iter().flat_map(|block| block.records) {
                if stored.record.revision < next {
                    return Err(StoreError::Damaged("records are stored out of order".into()));
                }
                next = after(stored.record.revision);
                sums.add(stored.sums);
                f(stored.record);
            }
            if run.at_end {
                break;
            }
        }
        if sums != expected {
            return Err(StoreError::Damaged("records are missing or doubled".into()));
        }
        Ok(())
    }

    /// Takes over the effects of an apply round. Returns at once, unless the window of
    /// unwritten batches is full.
    pub fn enqueue(&self, batch: Batch) -> Result<(), StoreError> {
        let too_long = batch.side.iter().find(|side| side.key.len() > cell::SIDE_KEY_LIMIT);
        if let Some(side) = too_long {
            return Err(StoreError::SideKeyTooLong(side.key.len()));
        }
        self.shared().enqueue(batch)
    }

    /// Hands over the records from `from` to the end of `to_main_inclusive`, in order.
    pub fn scan(
        &self,
        from: Revision,
        to_main_inclusive: i64,
        f: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut next = from;
        // Whether to go on after this record.
        let mut give =
            |record: Record| record.revision.main <= to_main_inclusive && f(record).is_continue();
        while next.main <= to_main_inclusive {
            match self.shared().source(next) {
                Source::Window(batches) => {
                    let mut records = batches.iter().flat_map(|pending| &pending.records);
                    records.by_ref().filter(|r| r.revision >= next).all(|r| give(r.clone()));
                    return Ok(());
                }
                Source::Database(engine, first_pending) => {
                    let run = self.judge(engine.run(next, SCAN_BYTES))?;
                    for stored in run.blocks.into_iter().flat_map(|block| block.records) {
                        let revision = stored.record.revision;
                        if revision < next {
                            continue;
                        }
                        next = after(revision);
                        if !give(stored.record) {
                            return Ok(());
                        }
                    }
                    match first_pending {
                        Some(first) if run.at_end => next = next.max(first),
                        None if run.at_end => return Ok(()),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// Keeps physical compaction waiting while the guard lives.
    pub fn pause_compaction(&self) -> CompactionPause {
        self.shared().pause();
        CompactionPause { store: self.clone() }
    }

    /// Continues a compaction that the last stop may have cut short.
    pub fn resume_compaction(&self, compaction: Compaction) -> Result<(), StoreError> {
        self.shared().post(Command::Resume(Arc::new(compaction)))
    }

    /// Waits until everything enqueued is written (not synced: see [`Store::flush`]).
    pub fn drain(&self) -> Result<(), StoreError> {
        self.shared().drain()
    }

    /// Waits until compaction up to `revision` is carried out, as far as it was asked for.
    pub fn wait_compacted(&self, revision: i64) -> Result<(), StoreError> {
        self.shared().wait_compacted(revision)
    }

    /// Writes and syncs everything enqueued, for a short next start.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.shared().run(Command::Flush)
    }

    /// Empties the store; batches that are not written yet are dropped.
    pub fn reset(&self) -> Result<(), StoreError> {
        self.shared().run(|reply| Command::Replace(None, reply))
    }

    /// Copies what is live into a new database and removes the old one. Reads go on;
    /// batches wait in the window.
    pub fn defragment(&self) -> Result<(), StoreError> {
        self.shared().run(Command::Defragment)
    }

    /// Bytes of the files.
    pub fn size_on_disk(&self) -> u64 {
        self.shared().engine().size_on_disk()
    }

    /// Encoded bytes of all records, written or pending.
    pub fn logical_bytes(&self) -> u64 {
        self.shared().logical_bytes()
    }

    /// Waits until a read has found damage; says which.
    pub async fn condemned(&self) -> String {
        self.shared().condemned.told().await
    }

    /// Why nothing is written any more. Final: the process has to end and start anew.
    pub fn is_failed(&self) -> Option<String> {
        self.shared().failed()
    }

    fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Condemns the database when a read found damage.
    fn judge<T>(&self, read: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(StoreError::Damaged(why)) = &read {
            self.shared().condemned.tell(why);
            self.shared().place.condemn(why);
        }
        read
    }
}

impl History for Store {
    fn put_at(&self, revision: Revision) -> Result<Option<Arc<KeyValue>>, HistoryError> {
        let record = match self.shared().find(revision) {
            Ok(record) => Some(record),
            Err(None) => None,
            Err(Some(engine)) => self
                .judge(engine.at(revision))
                .map_err(|error| HistoryError(error.to_string()))?
                .map(|stored| stored.record),
        };
        Ok(record.and_then(|record| match record.kind {
            RecordKind::Put(kv) => Some(kv),
            RecordKind::Tombstone(_) => None,
        }))
    }
}

/// Physical compaction waits while this lives.
pub struct CompactionPause {
    store: Store,
}

impl Drop for CompactionPause {
    fn drop(&mut self) {
        self.store.shared().resume();
    }
}
