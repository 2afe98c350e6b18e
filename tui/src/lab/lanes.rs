//! Three live lanes that the course itself asks: put, linearizable get, serializable get.
//!
//! Every request is put into the cell of the moment it was made, whenever its answer comes, so
//! an outage has the length it has for users. Pure: times are handed in, in milliseconds of
//! one clock; old cells and answers are forgotten.

use super::timeline::{Cell, Lane, Timeline};
use std::collections::VecDeque;

/// The lanes, in the order they are drawn.
pub const NAMES: [&str; 3] = ["put", "linearizable get", "serializable get"];
pub const CELL_MS: u64 = 100;
/// A minute and a half; wider terminals show it all.
const CELLS_KEPT: u64 = 900;
/// Answers of the last two minutes: longer gaps are measured from there.
const ANSWERS_KEPT: usize = 1_200;
/// An answer that took longer was felt.
const SLOW_MS: u64 = 500;
/// Without an answer for this long a lane has stopped.
const STOPPED_MS: u64 = 1_500;
/// Answers of this long must be steady for a lane to serve.
const STEADY_MS: u64 = 1_000;

/// One request that has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Index in [`NAMES`].
    pub lane: usize,
    pub made_ms: u64,
    pub took_ms: u64,
    /// `Ok`, `Refused` or `Unknown`.
    pub seen: Cell,
}

#[derive(Clone, Debug, Default)]
struct Ring {
    /// The number of the first cell kept.
    first: u64,
    cells: VecDeque<Cell>,
    /// When requests succeeded, in the order they did.
    answers: VecDeque<u64>,
    /// When the last request failed.
    failed: Option<u64>,
}

/// The live lanes.
#[derive(Clone, Debug, Default)]
pub struct Lanes {
    rings: [Ring; 3],
    /// The latest time heard of.
    now: u64,
}

/// How a lane is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// Too few answers to tell.
    Unknown,
    Serves,
    Stopped,
}

impl Lanes {
    /// Takes a sample in, and that it is `now`.
    pub fn add(&mut self, sample: Sample) {
        let Some(ring) = self.rings.get_mut(sample.lane) else { return };
        let ended = sample.made_ms + sample.took_ms;
        let seen = if sample.seen == Cell::Ok && sample.took_ms > SLOW_MS {
            Cell::Slow
        } else {
            sample.seen
        };
        ring.mark(sample.made_ms / CELL_MS, seen);
        if sample.seen == Cell::Ok {
            if ring.answers.len() == ANSWERS_KEPT {
                ring.answers.pop_front();
            }
            let at = ring.answers.partition_point(|answer| *answer <= ended);
            ring.answers.insert(at, ended);
        } else {
            ring.failed = ring.failed.max(Some(ended));
        }
        self.now = self.now.max(ended);
    }

    /// Time passes, even if nothing is answered.
    pub fn pass(&mut self, now: u64) {
        self.now = self.now.max(now);
    }

    pub fn now(&self) -> u64 {
        self.now
    }

    pub fn doing(&self, lane: usize) -> Doing {
        let Some(ring) = self.rings.get(lane) else { return Doing::Unknown };
        let Some(last) = ring.answers.back() else {
            let asked = ring.failed.is_some_and(|failed| failed >= STOPPED_MS);
            return if asked { Doing::Stopped } else { Doing::Unknown };
        };
        if self.now.saturating_sub(*last) >= STOPPED_MS {
            return Doing::Stopped;
        }
        let since = self.now.saturating_sub(STEADY_MS);
        let steady = ring.answers.iter().rev().take_while(|answer| **answer >= since).count();
        let failed = ring.failed.is_some_and(|failed| failed >= since);
        let enough = (STEADY_MS / CELL_MS / 2) as usize;
        if steady >= enough && !failed { Doing::Serves } else { Doing::Unknown }
    }

    /// The longest time without a successful answer that reached beyond `since`.
    pub fn gap_ms(&self, lane: usize, since: u64) -> u64 {
        let Some(ring) = self.rings.get(lane) else { return 0 };
        let mut longest = 0;
        let mut before: Option<u64> = None;
        let ends = ring.answers.iter().copied().chain([self.now]);
        for end in ends {
            let from = before.unwrap_or(since.min(end));
            if end > since {
                longest = longest.max(end - from);
            }
            before = Some(end);
        }
        longest
    }

    /// The picture of it.
    pub fn timeline(&self) -> Timeline {
        let last = self.now / CELL_MS;
        let first = self
            .rings
            .iter()
            .filter(|ring| !ring.cells.is_empty())
            .map(|ring| ring.first)
            .min()
            .unwrap_or(last)
            .max(last.saturating_sub(CELLS_KEPT));
        let lane = |(ring, name): (&Ring, &&str)| {
            let cells = (first..=last).map(|number| ring.at(number)).collect();
            Lane { name: (*name).to_owned(), cells }
        };
        Timeline {
            cell_ms: CELL_MS,
            from_ms: first * CELL_MS,
            lanes: self.rings.iter().zip(&NAMES).map(lane).collect(),
            ..Timeline::default()
        }
    }
}

impl Ring {
    fn mark(&mut self, number: u64, seen: Cell) {
        if self.cells.is_empty() {
            self.first = number;
        }
        if number < self.first {
            return;
        }
        // A clock that jumped must not fill memory.
        if number >= self.first + self.cells.len() as u64 + CELLS_KEPT {
            self.cells.clear();
            self.first = number;
        }
        while self.first + (self.cells.len() as u64) <= number {
            self.cells.push_back(Cell::Empty);
        }
        while self.cells.len() as u64 > CELLS_KEPT {
            self.cells.pop_front();
            self.first += 1;
        }
        let Some(at) = number.checked_sub(self.first) else { return };
        if let Some(cell) = self.cells.get_mut(at as usize) {
            *cell = (*cell).max(seen);
        }
    }

    fn at(&self, number: u64) -> Cell {
        let at = number.checked_sub(self.first).map(|at| at as usize);
        at.and_then(|at| self.cells.get(at)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(made_ms: u64, took_ms: u64, seen: Cell) -> Sample {
        Sample { lane: 0, made_ms, took_ms, seen }
    }

    fn steady(lanes: &mut Lanes, from: u64, to: u64) {
        for made in (from..to).step_by(100) {
            lanes.add(sample(made, 3, Cell::Ok));
        }
    }

    #[test]
    fn a_late_answer_marks_the_moment_it_was_asked() {
        let mut lanes = Lanes::default();
        steady(&mut lanes, 0, 1_000);
        lanes.add(sample(2_000, 3, Cell::Ok));
        lanes.add(sample(1_000, 900, Cell::Ok));
        lanes.add(sample(1_100, 1_000, Cell::Unknown));
        let cells = &lanes.timeline().lanes[0].cells;
        assert_eq!(cells[9..=13], [Cell::Ok, Cell::Slow, Cell::Unknown, Cell::Empty, Cell::Empty]);
        assert_eq!(cells[20], Cell::Ok);
    }

    #[test]
    fn a_gap_is_counted_between_answers_and_up_to_now() {
        let mut lanes = Lanes::default();
        steady(&mut lanes, 0, 1_000);
        assert_eq!(lanes.gap_ms(0, 500), 100);
        steady(&mut lanes, 2_200, 3_000);
        assert_eq!(lanes.gap_ms(0, 500), 1_300);
        assert_eq!(lanes.gap_ms(0, 2_500), 100, "what was before does not count");
        lanes.pass(6_000);
        assert_eq!(lanes.gap_ms(0, 2_500), 3_097, "it goes on");
    }

    #[test]
    fn a_lane_serves_stops_and_serves_again() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.doing(0), Doing::Unknown);
        steady(&mut lanes, 0, 2_000);
        assert_eq!(lanes.doing(0), Doing::Serves);
        lanes.add(sample(2_000, 400, Cell::Refused));
        assert_eq!(lanes.doing(0), Doing::Unknown, "an error is no service");
        lanes.pass(3_600);
        assert_eq!(lanes.doing(0), Doing::Stopped);
        steady(&mut lanes, 4_000, 6_000);
        assert_eq!(lanes.doing(0), Doing::Serves);
    }

    #[test]
    fn a_lane_that_never_worked_has_stopped() {
        let mut lanes = Lanes::default();
        for made in (0..2_000).step_by(100) {
            lanes.add(sample(made, 5, Cell::Refused));
        }
        assert_eq!(lanes.doing(0), Doing::Stopped);
    }

    #[test]
    fn old_cells_are_forgotten_and_jumps_do_not_fill_memory() {
        let mut lanes = Lanes::default();
        steady(&mut lanes, 0, 200_000);
        assert_eq!(lanes.timeline().lanes[0].cells.len() as u64, CELLS_KEPT);
        lanes.add(sample(u64::MAX / 2, 1, Cell::Ok));
        assert_eq!(lanes.rings[0].cells.len(), 1);
        lanes.add(sample(5, 1, Cell::Ok));
        assert_eq!(lanes.rings[0].cells.len(), 1, "too old to show");
    }
}
