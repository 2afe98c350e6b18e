//! The one thread that changes the database.
//!
//! It takes batches from the window, packs their records into cells and writes cells, side
//! values and mark in one sled batch. Between batches it runs commands and, at half speed,
//! steps of compaction.
//!
//! # Invariant
//! Each write carries a mark whose sums are exactly those of what is stored after it. A
//! failed write ends the thread: nothing is written on top of an unknown state.
//!
//! A round with very many records (one request that deletes a million keys) is written in
//! several pieces, because sled holds a whole write in memory several times over. Until the
//! last piece the mark says "not complete", so a process that is killed in between finds an
//! empty store and rebuilds it; readers find the round in the window all the while.

use std::collections::HashMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::kv::Revision;

use super::cell::{self, Packer, Sums, Write};
use super::compaction::Walk;
use super::engine::Engine;
use super::mark::StoredMark;
use super::queue::{Command, Pending, Shared, Work};
use super::{Compaction, SideWrite, StoreError};

/// sled queues full buffers without limit; after so many bytes the writer waits for them.
/// What sled writes, and holds until then, is several times what it was given.
const FLUSH_BYTES: u64 = 4 << 20;
/// Encoded bytes from which on a write is divided; far more than rounds of puts ever have.
const PIECE_BYTES: u64 = 4 << 20;
/// Encoded bytes that a defragmentation copies at a time.
const COPY_BYTES: u64 = 1 << 20;

pub(super) struct Writer {
    pub(super) shared: Arc<Shared>,
    pub(super) engine: Arc<Engine>,
    pub(super) generation: u64,
    pub(super) mark: StoredMark,
    /// How many cells each side value takes, for those that take more than one.
    pub(super) side_cells: HashMap<Vec<u8>, u32>,
    pub(super) walk: Option<Walk>,
    pub(super) next_compaction: Option<Arc<Compaction>>,
    pub(super) compact_at: Instant,
    pub(super) unflushed: u64,
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Nobody must wait for a writer that is gone. An earlier reason stands.
        self.shared.fail("its writer has ended".into());
    }
}

impl Writer {
    /// Works until the store is dropped or a write fails.
    pub(super) fn work(mut self) {
        if let Err(error) = self.work_until_stopped() {
            if matches!(error, StoreError::Damaged(_)) {
                self.shared.place.condemn(&error.to_string());
            }
            tracing::error!(%error, "the applied state cannot be written");
            self.shared.fail(error.to_string());
        }
    }

    fn work_until_stopped(&mut self) -> Result<(), StoreError> {
        loop {
            let compact_at = self.walk.as_ref().map(|_| self.compact_at);
            match self.shared.next_work(compact_at) {
                Work::Write(batches) => self.write(&batches)?,
                Work::Run(command) => self.run(command)?,
                Work::CompactionStep => self.compaction_step()?,
                Work::Stop => return self.engine.flush(),
            }
        }
    }

    fn write(&mut self, batches: &[Arc<Pending>]) -> Result<(), StoreError> {
        let mut packer = Packer::default();
        for record in batches.iter().flat_map(|pending| &pending.records) {
            packer.push(record);
            if packer.bytes() >= PIECE_BYTES {
                self.mark.applied.index = 0;
                self.mark.last = record.revision;
                self.write_packed(std::mem::take(&mut packer), Vec::new())?;
            }
        }
        let mut side_cells = Vec::new();
        for side in batches.iter().flat_map(|pending| &pending.side) {
            self.write_side(side, &mut side_cells);
        }
        if let Some(newest) = batches.last() {
            self.mark.applied = newest.mark.clone();
            self.mark.last = newest.last;
        }
        self.write_packed(packer, side_cells)?;
        self.shared.written(self.mark.sums.bytes);
        for compaction in batches.iter().filter_map(|pending| pending.compaction.as_ref()) {
            self.schedule(compaction.clone());
        }
        Ok(())
    }

    /// One write: the packed records, further cells, and the mark as it is now.
    fn write_packed(&mut self, packer: Packer, more: Vec<Write>) -> Result<(), StoreError> {
        let (mut cells, sums) = packer.finish();
        cells.extend(more);
        self.mark.sums.add(sums);
        let begin = Instant::now();
        self.engine.write(cells, Some(&self.mark))?;
        self.shared.options.writes.observe(begin.elapsed());
        self.flush_after(sums.bytes)
    }

    pub(super) fn flush_after(&mut self, bytes: u64) -> Result<(), StoreError> {
        self.unflushed += bytes;
        if self.unflushed >= FLUSH_BYTES {
            self.unflushed = 0;
            self.engine.flush()?;
        }
        Ok(())
    }

    fn write_side(&mut self, side: &SideWrite, cells: &mut Vec<Write>) {
        let stem = cell::side_key(side.table, &side.key);
        let before = self.side_cells.remove(&stem).unwrap_or(1);
        let now = match &side.value {
            Some(value) => cell::spread(&cell::part_key(&stem, 0), &stem, value, cells),
            None => 0,
        };
        cells.extend((now..before).map(|part| (cell::part_key(&stem, part), None)));
        if now > 1 {
            self.side_cells.insert(stem, now);
        }
    }

    fn run(&mut self, command: Command) -> Result<(), StoreError> {
        match command {
            Command::Flush(reply) => {
                // A failed sync is final: what the kernel dropped is not written by a retry.
                self.engine.sync()?;
                let _ = reply.send(Ok(()));
            }
            Command::Defragment(reply) => {
                // The old database goes on when the copy fails.
                let _ = reply.send(self.defragment());
            }
            Command::Replace(aside, reply) => {
                self.replace(aside)?;
                let _ = reply.send(Ok(()));
            }
            Command::Resume(compaction) => self.schedule(compaction),
        }
        Ok(())
    }

    fn schedule(&mut self, compaction: Arc<Compaction>) {
        let done = self.mark.compacted;
        if compaction.revision <= done {
            self.shared.with(|state| state.compacted = state.compacted.max(done));
        } else if self.walk.is_none() {
            self.walk = Some(Walk::new(compaction));
            self.compact_at = Instant::now();
        } else if self.next_compaction.as_ref().is_none_or(|c| c.revision < compaction.revision) {
            // A newer compaction removes all that an older one would.
            self.next_compaction = Some(compaction);
        }
    }

    fn compaction_step(&mut self) -> Result<(), StoreError> {
        let Some(walk) = &mut self.walk else { return Ok(()) };
        let began = Instant::now();
        let step = walk.step(&self.engine)?;
        self.mark.sums.subtract(step.removed);
        let counts = self.shared.options.compactions.clone();
        counts.keys.fetch_add(step.removed.count, Ordering::Relaxed);
        if step.done {
            counts.total.observe_ms(walk.began().elapsed());
            counts.ended();
            self.mark.compacted = walk.revision();
            tracing::info!(
                compact_revision = walk.revision(),
                took = ?walk.began().elapsed(),
                "finished scheduled compaction"
            );
            self.walk = self.next_compaction.take().map(Walk::new);
        }
        if step.done || !step.cells.is_empty() {
            self.engine.write(step.cells, Some(&self.mark))?;
        }
        self.flush_after(step.written)?;
        self.shared.stepped(self.mark.sums.bytes, self.mark.compacted);
        // Half speed: as long a rest as the step took leaves the core to consensus.
        let now = Instant::now();
        counts.pause.observe_ms(now - began);
        self.compact_at = now + (now - began);
        Ok(())
    }

    /// Copies everything into a new database and goes on with that.
    fn defragment(&mut self) -> Result<(), StoreError> {
        let place = self.shared.place.clone();
        let generation = place.begin()?;
        let dir = place.generation(generation);
        let copied = Engine::open(&dir, self.shared.options.cache_bytes)
            .and_then(|fresh| self.copy_to(&fresh).map(|()| fresh))
            .and_then(|fresh| place.publish(generation).map(|()| fresh));
        match copied {
            Ok(fresh) => {
                let old = self.swap(generation, fresh);
                remove(&old);
                Ok(())
            }
            Err(error) => {
                if place.current() != Some(generation) {
                    let _ = fs::remove_dir_all(&dir);
                }
                Err(error)
            }
        }
    }

    fn copy_to(&self, fresh: &Engine) -> Result<(), StoreError> {
        let mut sums = Sums::default();
        let mut next = Revision { main: 0, sub: 0 };
        loop {
            let run = self.engine.run(next, COPY_BYTES)?;
            let mut packer = Packer::default();
            for stored in run.blocks.iter().flat_map(|block| &block.records) {
                packer.push(&stored.record);
                next = after(stored.record.revision);
            }
            let (cells, copied) = packer.finish();
            sums.add(copied);
            fresh.write(cells, None)?;
            fresh.flush()?;
            if run.at_end {
                break;
            }
        }
        if sums != self.mark.sums {
            return Err(StoreError::Damaged("records are missing or doubled".into()));
        }
        let mut cells = Vec::new();
        for ((table, key, value), _) in self.engine.sides()? {
            let stem = cell::side_key(table, &key);
            cell::spread(&cell::part_key(&stem, 0), &stem, &value, &mut cells);
        }
        fresh.write(cells, Some(&self.mark))?;
        fresh.sync()
    }

    /// Goes on with an empty database.
    fn replace(&mut self, aside: Option<String>) -> Result<(), StoreError> {
        let place = self.shared.place.clone();
        let old_generation = self.generation;
        let generation = place.begin()?;
        let fresh = Engine::open(&place.generation(generation), self.shared.options.cache_bytes)?;
        fresh.sync()?;
        place.publish(generation)?;
        self.mark = StoredMark::default();
        self.side_cells.clear();
        self.walk = None;
        self.next_compaction = None;
        self.unflushed = 0;
        let old = self.swap(generation, fresh);
        self.shared.with(|state| {
            state.stored_bytes = 0;
            state.last = Revision::default();
            state.compacted = 0;
            state.scheduled = 0;
        });
        match aside {
            Some(reason) => {
                let kept = place.set_aside(old_generation)?;
                tracing::warn!(reason, kept = %kept.display(), "a damaged applied state was set aside");
            }
            None => remove(&old),
        }
        Ok(())
    }

    /// Makes `fresh` the database that everybody uses; returns the old one. Whoever still
    /// reads the old one keeps its open files.
    fn swap(&mut self, generation: u64, fresh: Engine) -> Arc<Engine> {
        self.generation = generation;
        let fresh = Arc::new(fresh);
        self.shared.with(|state| state.engine = fresh.clone());
        std::mem::replace(&mut self.engine, fresh)
    }
}

/// Removes the files of a database that nothing points to; a leftover is swept at open.
fn remove(engine: &Engine) {
    if let Err(error) = fs::remove_dir_all(engine.dir()) {
        tracing::warn!(%error, "an old applied state could not be removed");
    }
}

/// The smallest revision greater than `revision`.
pub(super) fn after(revision: Revision) -> Revision {
    Revision { main: revision.main, sub: revision.sub + 1 }
}
