//! Physical compaction: a walk over all blocks up to a revision, in small steps.
//!
//! A step reads a run of blocks, drops what nothing refers to any more, and packs what is
//! left of neighbouring blocks together, so that neither holes nor crumbs remain. It only
//! plans: the writer writes the result in one batch with the mark.
//!
//! # Invariant
//! Records above the revision, and those in `keep`, survive. Carrying a step out twice
//! changes nothing, so a walk that a restart cut short simply begins again.

use std::sync::Arc;
use std::time::Instant;

use crate::kv::{Record, Revision};

use super::cell::{CELL_LIMIT, Packer, Sums, Write};
use super::engine::{Block, Engine};
use super::writer::after;
use super::{Compaction, StoreError};

/// Encoded bytes that a step looks at.
const STEP_BYTES: u64 = 256 << 10;

/// A compaction under way.
pub(super) struct Walk {
    compaction: Arc<Compaction>,
    next: Revision,
    began: Instant,
}

/// What a step came to.
#[derive(Default)]
pub(super) struct Step {
    pub(super) cells: Vec<Write>,
    pub(super) removed: Sums,
    /// Encoded bytes in `cells`.
    pub(super) written: u64,
    pub(super) done: bool,
}

/// Neighbouring blocks that are packed anew together.
#[derive(Default)]
struct Group {
    keys: Vec<Vec<u8>>,
    kept: Vec<Record>,
    blocks: usize,
    has_holes: bool,
}

impl Walk {
    pub(super) fn new(compaction: Arc<Compaction>) -> Self {
        Self { compaction, next: Revision { main: 0, sub: 0 }, began: Instant::now() }
    }

    pub(super) fn began(&self) -> Instant {
        self.began
    }

    pub(super) fn revision(&self) -> i64 {
        self.compaction.revision
    }

    /// Looks at the next run of blocks.
    pub(super) fn step(&mut self, engine: &Engine) -> Result<Step, StoreError> {
        let run = engine.run(self.next, STEP_BYTES)?;
        let mut step = Step { done: run.at_end, ..Step::default() };
        let mut group = Group::default();
        for block in run.blocks {
            if block.first.main > self.compaction.revision {
                step.done = true;
                break;
            }
            if let Some(last) = block.records.last() {
                self.next = after(last.record.revision);
            }
            self.look_at(block, &mut group, &mut step);
        }
        group.close(&mut step);
        Ok(step)
    }

    fn look_at(&self, block: Block, group: &mut Group, step: &mut Step) {
        let is_small = block.bytes() < CELL_LIMIT as u64 / 2;
        let Compaction { revision, keep } = &*self.compaction;
        let stays = |at: &Revision| at.main > *revision || keep.contains(at);
        let has_holes = block.records.iter().any(|stored| !stays(&stored.record.revision));
        if !has_holes && !is_small {
            group.close(step);
            return;
        }
        group.blocks += 1;
        group.has_holes |= has_holes;
        group.keys.extend(block.keys);
        for stored in block.records {
            if stays(&stored.record.revision) {
                group.kept.push(stored.record);
            } else {
                step.removed.add(stored.sums);
            }
        }
    }
}

impl Group {
    /// Adds the new cells to the step and begins anew.
    fn close(&mut self, step: &mut Step) {
        let group = std::mem::take(self);
        if !group.has_holes && group.blocks < 2 {
            return;
        }
        step.cells.extend(group.keys.into_iter().map(|key| (key, None)));
        let mut packer = Packer::default();
        for record in &group.kept {
            packer.push(record);
        }
        // Written after the removals, which may name the same keys.
        let (cells, sums) = packer.finish();
        step.written += sums.bytes;
        step.cells.extend(cells);
    }
}
