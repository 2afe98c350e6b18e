//! What the apply thread, readers and the writer share: the pending window.
//!
//! Batches wait here until the writer has written them, and answer reads meanwhile, so
//! nobody waits for sled to see fresh data. A batch leaves the window only after its write,
//! and the window and the database are looked up under one lock, so every record is found
//! in one of the two at any moment.
//!
//! # Invariant
//! Records in the window are in revision order and newer than all that is written. Commands
//! run after the batches that were enqueued before them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use parking_lot::{Condvar, Mutex};

use crate::kv::{Record, RecordKind, Revision};

use super::condemned::Condemned;
use super::engine::Engine;
use super::place::Place;
use super::{AppliedMark, Batch, Compaction, SideWrite, StoreError, StoreOptions};

/// Bytes of bookkeeping counted for a record or side write in the window.
const OVERHEAD: usize = 64;

/// A batch in the window.
pub(super) struct Pending {
    pub(super) mark: AppliedMark,
    pub(super) records: Vec<Record>,
    pub(super) side: Vec<SideWrite>,
    pub(super) compaction: Option<Arc<Compaction>>,
    /// The greatest revision enqueued so far, this batch included.
    pub(super) last: Revision,
    bytes: usize,
}

/// Work for the writer besides batches. A reply is sent when it is done.
pub(super) enum Command {
    Flush(Sender<Result<(), StoreError>>),
    Defragment(Sender<Result<(), StoreError>>),
    /// Begin an empty database; with a reason the old one is set aside, else removed.
    Replace(Option<String>, Sender<Result<(), StoreError>>),
    Resume(Arc<Compaction>),
}

/// What the writer does next.
pub(super) enum Work {
    Write(Vec<Arc<Pending>>),
    Run(Command),
    CompactionStep,
    Stop,
}

/// Where a scan reads next.
pub(super) enum Source {
    Window(Vec<Arc<Pending>>),
    /// The database, and the first revision in the window.
    Database(Arc<Engine>, Option<Revision>),
}

pub(super) struct State {
    pub(super) engine: Arc<Engine>,
    /// Encoded length of what is in the database.
    pub(super) stored_bytes: u64,
    pub(super) last: Revision,
    /// Compaction that is done, and that is done or scheduled.
    pub(super) compacted: i64,
    pub(super) scheduled: i64,
    pub(super) failed: Option<String>,
    pending: VecDeque<Arc<Pending>>,
    pending_bytes: usize,
    /// How many batches at the front of the window are being written.
    in_flight: usize,
    /// Batches ever enqueued and written; somebody waits for the first `awaited`.
    enqueued: u64,
    written: u64,
    awaited: u64,
    commands: VecDeque<(u64, Command)>,
    pauses: usize,
    stepping: bool,
    stopping: bool,
}

pub(super) struct Shared {
    pub(super) place: Place,
    pub(super) options: StoreOptions,
    pub(super) condemned: Condemned,
    state: Mutex<State>,
    /// Something to do for the writer.
    work: Condvar,
    /// Something is done.
    progress: Condvar,
}

impl Shared {
    pub(super) fn new(place: Place, options: StoreOptions, engine: Arc<Engine>) -> Self {
        let state = State {
            engine,
            stored_bytes: 0,
            last: Revision::default(),
            compacted: 0,
            scheduled: 0,
            failed: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            in_flight: 0,
            enqueued: 0,
            written: 0,
            awaited: 0,
            commands: VecDeque::new(),
            pauses: 0,
            stepping: false,
            stopping: false,
        };
        let (work, progress) = (Condvar::new(), Condvar::new());
        let condemned = Condemned::default();
        Self { place, options, condemned, state: Mutex::new(state), work, progress }
    }

    /// Looks at or changes the state; whoever waits for progress looks again.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        let result = look(&mut self.state.lock());
        self.progress.notify_all();
        result
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        self.state.lock().engine.clone()
    }

    pub(super) fn failed(&self) -> Option<String> {
        self.state.lock().failed.clone()
    }

    pub(super) fn logical_bytes(&self) -> u64 {
        let state = self.state.lock();
        state.stored_bytes + state.pending_bytes as u64
    }

    /// Adds a batch to the window; waits only while the window is full.
    pub(super) fn enqueue(&self, batch: Batch) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        while state.pending_bytes > self.options.pending_limit && state.failed.is_none() {
            self.progress.wait(&mut state);
        }
        state.check()?;
        let mut last = state.last;
        for record in &batch.records {
            if record.revision <= last {
                return Err(StoreError::OutOfOrder { revision: record.revision, last });
            }
            last = record.revision;
        }
        let bytes = weight(&batch);
        if let Some(compaction) = &batch.compaction {
            state.scheduled = state.scheduled.max(compaction.revision);
        }
        let before = (state.pending.is_empty(), state.pending_bytes);
        state.last = last;
        state.pending_bytes += bytes;
        state.enqueued += 1;
        let Batch { mark, records, side, compaction } = batch;
        let compaction = compaction.map(Arc::new);
        let pending = Pending { mark, records, side, compaction, last, bytes };
        state.pending.push_back(Arc::new(pending));
        // The writer lingers after the first batch until a good portion is there; waking it
        // for each would cost more than the write.
        let portion = self.options.batch_bytes;
        if before.0 || (before.1 < portion && state.pending_bytes >= portion) {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Waits until everything that is enqueued is written.
    pub(super) fn drain(&self) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let target = state.enqueued;
        state.awaited = state.awaited.max(target);
        self.work.notify_one();
        while state.written < target.min(state.enqueued) && state.failed.is_none() {
            self.progress.wait(&mut state);
        }
        state.check()
    }

    /// Waits until compaction up to `revision`, or to what is scheduled of it, is done.
    pub(super) fn wait_compacted(&self, revision: i64) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.awaited = state.enqueued;
        self.work.notify_one();
        while state.compacted < revision.min(state.scheduled) && state.failed.is_none() {
            self.progress.wait(&mut state);
        }
        state.check()
    }

    /// Keeps compaction from beginning a step, and waits for the current one.
    pub(super) fn pause(&self) {
        let mut state = self.state.lock();
        state.pauses += 1;
        while state.stepping && state.failed.is_none() {
            self.progress.wait(&mut state);
        }
    }

    pub(super) fn resume(&self) {
        self.state.lock().pauses -= 1;
        self.work.notify_one();
    }

    /// Has the writer run a command, and waits for it.
    pub(super) fn run(
        &self,
        make: impl FnOnce(Sender<Result<(), StoreError>>) -> Command,
    ) -> Result<(), StoreError> {
        let (reply, done): (_, Receiver<_>) = crossbeam_channel::bounded(1);
        {
            let mut state = self.state.lock();
            state.check()?;
            let command = make(reply);
            if matches!(command, Command::Replace(..)) {
                state.forget_unwritten();
            }
            let after = state.enqueued;
            state.commands.push_back((after, command));
            self.work.notify_one();
        }
        // The writer drops the reply when it fails.
        done.recv().unwrap_or_else(|_| self.state.lock().check())
    }

    pub(super) fn post(&self, command: Command) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.check()?;
        if let Command::Resume(compaction) = &command {
            state.scheduled = state.scheduled.max(compaction.revision);
        }
        let after = state.enqueued;
        state.commands.push_back((after, command));
        self.work.notify_one();
        Ok(())
    }

    pub(super) fn stop(&self) {
        self.state.lock().stopping = true;
        self.work.notify_one();
    }

    /// The record at `revision` if it is in the window, else the database to look in.
    pub(super) fn find(&self, revision: Revision) -> Result<Record, Option<Arc<Engine>>> {
        let state = self.state.lock();
        let index = state.pending.partition_point(|pending| pending.last < revision);
        let Some(pending) = state.pending.get(index) else {
            return Err((revision <= state.last).then(|| state.engine.clone()));
        };
        let records = &pending.records;
        match records.binary_search_by_key(&revision, |record| record.revision) {
            Ok(found) => Ok(records[found].clone()),
            Err(_) => Err(Some(state.engine.clone())),
        }
    }

    /// Where the records from `next` on are.
    pub(super) fn source(&self, next: Revision) -> Source {
        let state = self.state.lock();
        let first = state.pending.iter().find_map(|pending| pending.records.first());
        let first = first.map(|record| record.revision);
        if first.is_some_and(|first| first <= next) {
            let index = state.pending.partition_point(|pending| pending.last < next);
            return Source::Window(state.pending.range(index..).cloned().collect());
        }
        Source::Database(state.engine.clone(), first)
    }

    /// Waits for work. `compact_at`: when the next step of a compaction is due.
    pub(super) fn next_work(&self, compact_at: Option<Instant>) -> Work {
        let mut state = self.state.lock();
        let mut linger_until = None;
        loop {
            if state.commands.front().is_some_and(|(after, _)| *after <= state.written)
                && let Some((_, command)) = state.commands.pop_front()
            {
                return Work::Run(command);
            }
            let now = Instant::now();
            if state.pending.is_empty() {
                if state.stopping {
                    return Work::Stop;
                }
            } else {
                let until = *linger_until.get_or_insert_with(|| now + self.options.linger);
                if now >= until || state.is_urgent(self.options.batch_bytes) {
                    return Work::Write(state.take(self.options.batch_bytes));
                }
            }
            let compact_at = compact_at.filter(|_| state.pauses == 0);
            if compact_at.is_some_and(|due| now >= due) {
                state.stepping = true;
                return Work::CompactionStep;
            }
            match [linger_until, compact_at].into_iter().flatten().min() {
                Some(until) => {
                    let time = until.saturating_duration_since(now).max(Duration::from_micros(50));
                    self.work.wait_for(&mut state, time);
                }
                None => self.work.wait(&mut state),
            }
        }
    }

    /// The batches that [`Work::Write`] gave out are in the database now.
    pub(super) fn written(&self, stored_bytes: u64) {
        self.with(|state| {
            let count = std::mem::take(&mut state.in_flight);
            let bytes: usize = state.pending.drain(..count).map(|pending| pending.bytes).sum();
            state.pending_bytes -= bytes;
            state.written += count as u64;
            state.stored_bytes = stored_bytes;
        });
    }

    pub(super) fn stepped(&self, stored_bytes: u64, compacted: i64) {
        self.with(|state| {
            state.stepping = false;
            state.stored_bytes = stored_bytes;
            state.compacted = state.compacted.max(compacted);
        });
    }

    /// The writer ends: nothing will be written any more.
    pub(super) fn fail(&self, reason: String) {
        self.with(|state| {
            state.failed.get_or_insert(reason);
            state.stepping = false;
            state.commands.clear();
        });
    }
}

impl State {
    fn check(&self) -> Result<(), StoreError> {
        self.failed.clone().map_or(Ok(()), |reason| Err(StoreError::Failed(reason)))
    }

    fn is_urgent(&self, portion: usize) -> bool {
        self.stopping
            || self.awaited > self.written
            || self.pending_bytes >= portion
            || !self.commands.is_empty()
    }

    /// The first batches of the window, up to a portion, and not past a command.
    fn take(&mut self, portion: usize) -> Vec<Arc<Pending>> {
        let before_command = self.commands.front().map_or(usize::MAX, |(after, _)| {
            usize::try_from(after - self.written).unwrap_or(usize::MAX)
        });
        let mut bytes = 0;
        let mut taken = Vec::new();
        for pending in self.pending.iter().take(before_command) {
            bytes += pending.bytes;
            if !taken.is_empty() && bytes > portion {
                break;
            }
            taken.push(pending.clone());
        }
        self.in_flight = taken.len();
        taken
    }

    /// Drops the batches that the writer has not taken: what they add to is going away.
    fn forget_unwritten(&mut self) {
        let bytes: usize = self.pending.drain(self.in_flight..).map(|pending| pending.bytes).sum();
        self.pending_bytes -= bytes;
        self.enqueued = self.written + self.in_flight as u64;
        for (after, _) in &mut self.commands {
            *after = (*after).min(self.enqueued);
        }
    }
}

fn weight(batch: &Batch) -> usize {
    let records = batch.records.iter().map(|record| {
        let value = match &record.kind {
            RecordKind::Put(kv) => kv.value.len(),
            RecordKind::Tombstone(_) => 0,
        };
        record.key().len() + value + OVERHEAD
    });
    let sides = batch
        .side
        .iter()
        .map(|side| side.key.len() + side.value.as_ref().map_or(0, |value| value.len()) + OVERHEAD);
    OVERHEAD + records.sum::<usize>() + sides.sum::<usize>()
}
