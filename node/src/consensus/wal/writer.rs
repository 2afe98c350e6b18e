//! The log in use: appending, syncing, cutting.
//!
//! The writer keeps the log's state twice: `staged` includes what has been appended and is
//! still in memory, `durable` only what a sync has covered. A new segment's header repeats the
//! durable one, never the other: a commit index must not reach the disk before its entries.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use raft::eraftpb::{Entry, HardState};

use super::record::{HEADER_BYTES, PAYLOAD_BYTES_MAX, framed_bytes};
use super::segment::{Blank, Header, Name, Segment};
use super::spare::Spares;
use super::state::LogState;
use super::{Identity, Recovered, SnapshotMarker, WalError, WalOptions, batch, recover};
use crate::storage::files;

/// A buffer larger than this is given back after the sync that needed it.
const BUFFER_BYTES_KEPT: usize = 4 << 20;

/// The write-ahead log of one member, open for appending.
#[derive(Debug)]
pub struct Wal {
    dir: PathBuf,
    options: WalOptions,
    identity: Identity,
    segments: Segments,
    staged: LogState,
    durable: LogState,
    pending: Pending,
    poisoned: bool,
}

#[derive(Debug)]
struct Segments {
    active: Segment,
    /// Those before the active one, oldest first.
    full: VecDeque<FullSegment>,
    spares: Spares,
    /// Where in the active segment the first spare is wanted; `None` afterwards.
    spare_from: Option<u64>,
    /// Bytes of records since the one that holds the last snapshot marker.
    bytes_since_snapshot: u64,
}

/// A segment that is only read again.
#[derive(Debug)]
pub(super) struct FullSegment {
    pub path: PathBuf,
    pub name: Name,
    /// Bytes of it that are in use.
    pub used: u64,
}

/// What the next sync will write.
#[derive(Debug)]
struct Pending {
    /// Room for a record's header, then the payload.
    buffer: Vec<u8>,
    has_marker: bool,
}

impl Pending {
    fn new() -> Self {
        Self { buffer: vec![0; HEADER_BYTES], has_marker: false }
    }

    fn is_empty(&self) -> bool {
        self.buffer.len() == HEADER_BYTES
    }

    fn clear(&mut self) {
        if self.buffer.capacity() > BUFFER_BYTES_KEPT {
            *self = Self::new();
        } else {
            self.buffer.truncate(HEADER_BYTES);
            self.buffer.fill(0);
            self.has_marker = false;
        }
    }
}

/// What recovery hands to the writer.
pub(super) struct Resume {
    pub identity: Identity,
    pub active: Segment,
    pub full: VecDeque<FullSegment>,
    pub state: LogState,
    pub bytes_since_snapshot: u64,
}

impl Wal {
    /// Whether `dir` holds a log. A missing directory holds none.
    pub fn exists(dir: &Path) -> Result<bool, WalError> {
        Ok(!recover::list(dir)?.is_empty())
    }

    /// Begins a log for a member that has none. The directory is made if need be; the log is
    /// there as a whole when this returns, and not at all when it fails or the machine does.
    pub fn create(dir: &Path, identity: &Identity, options: WalOptions) -> Result<Self, WalError> {
        files::create_directory(dir).map_err(WalError::io("create directory", dir))?;
        if Self::exists(dir)? {
            return Err(WalError::AlreadyExists { dir: dir.to_owned() });
        }
        recover::sweep(dir)?;
        let blank = Blank::prepare(dir.join("first.tmp"), options, &Default::default())?;
        let header = Header {
            identity: *identity,
            name: Name { sequence: 1, first_index: 1 },
            epoch: new_epoch(),
            previous: 0,
            hard_state: HardState::default(),
            marker: None,
        };
        let active = Segment::begin(blank, dir, &header, 0, options)?;
        let resume = Resume {
            identity: *identity,
            active,
            full: VecDeque::new(),
            state: LogState::default(),
            bytes_since_snapshot: 0,
        };
        Self::resume(dir, options, resume)
    }

    /// Reads the log in `dir` and opens it for appending. `keep_from` is the first entry
    /// wanted, usually the one behind the snapshot that is going to be loaded; it is an error
    /// if the log begins behind it. 0 asks for whatever there is.
    pub fn open(
        dir: &Path,
        options: WalOptions,
        keep_from: u64,
    ) -> Result<(Self, Recovered), WalError> {
        let (resume, recovered) = recover::recover(dir, options, keep_from)?;
        Ok((Self::resume(dir, options, resume)?, recovered))
    }

    fn resume(dir: &Path, options: WalOptions, resume: Resume) -> Result<Self, WalError> {
        let Resume { identity, active, full, state, bytes_since_snapshot } = resume;
        let spares = Spares::start(dir, options)?;
        let soon = active.offset as u64 + active.bytes / 16;
        let spare_from = Some(soon.min(active.bytes / 4 * 3));
        Ok(Self {
            dir: dir.to_owned(),
            options,
            identity,
            segments: Segments { active, full, spares, spare_from, bytes_since_snapshot },
            staged: state.clone(),
            durable: state,
            pending: Pending::new(),
            poisoned: false,
        })
    }

    /// Adds entries and a new hard state; both reach the disk together with the next sync, or
    /// not at all. Entries replace those from their first index on. Their indexes must follow
    /// one another and leave no gap, and lie behind the last snapshot.
    pub fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<&HardState>,
    ) -> Result<(), WalError> {
        self.guarded(|wal| {
            if let Some(hard_state) = hard_state {
                batch::put_hard_state(&mut wal.pending.buffer, hard_state);
                wal.staged.hard_state = hard_state.clone();
            }
            let Some(first) = entries.first().map(|entry| entry.index) else { return Ok(()) };
            if !wal.staged.accepts(first) {
                return Err(wal.out_of_order(first));
            }
            wal.staged.extend(first, entries.iter().map(|entry| entry.term));
            let indexes = first..;
            if let Some((entry, _)) =
                entries.iter().zip(indexes).find(|(entry, index)| entry.index != *index)
            {
                return Err(wal.out_of_order(entry.index));
            }
            batch::put_entries(&mut wal.pending.buffer, entries);
            Ok(())
        })
    }

    /// Notes a durable snapshot file; reaches the disk with the next sync. A snapshot that is
    /// ahead of the log, or of another history than the log, takes the log's place: the next
    /// entry is the one behind it.
    pub fn mark_snapshot(&mut self, marker: &SnapshotMarker) -> Result<(), WalError> {
        self.guarded(|wal| {
            if marker.index < wal.staged.snapshot_index() {
                return Err(wal.out_of_order(marker.index));
            }
            let installed = wal.staged.is_replaced_by(marker);
            batch::put_snapshot(&mut wal.pending.buffer, marker, installed);
            wal.staged.note_snapshot(marker.clone(), installed);
            wal.pending.has_marker = true;
            Ok(())
        })
    }

    /// Bytes that the next [`Wal::sync`] will write.
    pub fn pending_bytes(&self) -> usize {
        if self.pending.is_empty() { 0 } else { self.pending.buffer.len() }
    }

    /// Makes all that was appended durable: one write, one `fdatasync`. Does nothing when
    /// there is nothing to write.
    pub fn sync(&mut self) -> Result<(), WalError> {
        self.guarded(|wal| {
            wal.segments.spares.check()?;
            if wal.pending.is_empty() {
                return Ok(());
            }
            let payload = wal.pending.buffer.len() - HEADER_BYTES;
            if payload > PAYLOAD_BYTES_MAX {
                return Err(WalError::TooLarge { bytes: payload });
            }
            let record_bytes = framed_bytes(payload);
            if !wal.segments.active.has_room_for(record_bytes) {
                wal.roll(record_bytes)?;
            }
            wal.segments.active.write(&mut wal.pending.buffer, wal.options)?;
            let written = wal.segments.active.offset as u64;
            if wal.segments.spare_from.take_if(|from| written >= *from).is_some() {
                wal.segments.spares.want();
            }
            let since = &mut wal.segments.bytes_since_snapshot;
            *since = if wal.pending.has_marker { 0 } else { *since + record_bytes as u64 };
            wal.durable.clone_from(&wal.staged);
            wal.pending.clear();
            Ok(())
        })
    }

    /// Lets go of segments that hold only entries up to `index`. Never goes beyond the last
    /// durable snapshot marker, nor does it touch the active segment. Returns at once; the
    /// files go in the background.
    pub fn release(&mut self, index: u64) -> Result<(), WalError> {
        self.guarded(|wal| {
            let index = index.min(wal.durable.snapshot_index());
            let Segments { active, full, spares, .. } = &mut wal.segments;
            while !full.is_empty() {
                // All entries of a segment that still count are below the next one's first.
                let next = full.get(1).map_or(active.name, |segment| segment.name);
                if next.first_index > index.saturating_add(1) {
                    break;
                }
                if let Some(segment) = full.pop_front() {
                    spares.put_away(segment.path);
                }
                wal.staged.forget_through(next.first_index.saturating_sub(1));
                wal.durable.forget_through(next.first_index.saturating_sub(1));
            }
            Ok(())
        })
    }

    /// Index of the last entry appended (durable or not), or of the snapshot in its place.
    pub fn last_index(&self) -> u64 {
        self.staged.last()
    }

    /// Index of the last snapshot noted (durable or not); 0 before the first.
    pub fn snapshot_index(&self) -> u64 {
        self.staged.snapshot_index()
    }

    /// Index of the last entry that is durable, or of the snapshot in its place.
    pub fn durable_index(&self) -> u64 {
        self.durable.last()
    }

    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Bytes written since the last snapshot marker: when to take the next snapshot.
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.segments.bytes_since_snapshot
    }

    /// Bytes of all segments that are in use.
    pub fn bytes(&self) -> u64 {
        let full: u64 = self.segments.full.iter().map(|segment| segment.used).sum();
        full + self.segments.active.offset as u64
    }

    /// Bytes that can be written before the next segment is begun.
    pub fn bytes_left_in_segment(&self) -> u64 {
        self.segments.active.bytes.saturating_sub(self.segments.active.offset as u64)
    }

    /// Why the next segment cannot be prepared, while that is so (as a rule, the disk is full).
    /// The current segment still takes records; running out of it is an error of [`Wal::sync`].
    #[cfg(test)]
    pub fn trouble_ahead(&self) -> Option<String> {
        self.segments.spares.trouble()
    }

    fn roll(&mut self, record_bytes: usize) -> Result<(), WalError> {
        let old = &self.segments.active;
        let header = Header {
            identity: self.identity,
            name: Name { sequence: old.name.sequence + 1, first_index: self.durable.last() + 1 },
            epoch: new_epoch(),
            previous: old.chain.previous,
            hard_state: self.durable.hard_state.clone(),
            marker: self.durable.marker.as_deref().cloned(),
        };
        let blank = self.segments.spares.take()?;
        let new = Segment::begin(blank, &self.dir, &header, record_bytes, self.options)?;
        let old = std::mem::replace(&mut self.segments.active, new);
        let used = old.offset as u64;
        self.segments.full.push_back(FullSegment { path: old.path, name: old.name, used });
        Ok(())
    }

    fn out_of_order(&self, index: u64) -> WalError {
        let (last, snapshot) = (self.staged.last(), self.staged.snapshot_index());
        WalError::OutOfOrder { index, last, snapshot }
    }

    /// Runs one call; after the first error no call runs any more.
    fn guarded<T>(
        &mut self,
        call: impl FnOnce(&mut Self) -> Result<T, WalError>,
    ) -> Result<T, WalError> {
        if self.poisoned {
            return Err(WalError::Poisoned);
        }
        let result = call(self);
        self.poisoned = result.is_err();
        result
    }
}

/// Random, so that no two lives of a file share one. Never 0, the epoch of headers.
fn new_epoch() -> u64 {
    rand::random::<u64>() | 1
}
