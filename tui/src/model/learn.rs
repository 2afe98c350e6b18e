//! Where the reader of the guided course is, and what the lanes below the text have shown.

use crate::fleet::FleetState;
use crate::lab::course::{Page, Step};
use crate::lab::lanes::Lanes;
use crate::lab::predicate::Facts;
use crate::lab::timeline::{Band, Leader, Timeline};
use std::collections::VecDeque;
use std::sync::Arc;

/// Faults and leaders that may still be in the picture.
const MARKS_KEPT: usize = 64;

/// What the current step waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// The reader's guess.
    #[default]
    Ask,
    /// The deed, and that its effects are seen.
    Act,
    /// Nothing: it explains.
    Reveal,
}

#[derive(Clone, Debug, Default)]
pub struct Learn {
    pub pages: Arc<Vec<Page>>,
    /// Pages that were read to their end.
    pub done: Vec<String>,
    pub page: usize,
    pub step: usize,
    pub stage: Stage,
    /// The answer under the cursor.
    pub answer: usize,
    pub chosen: Option<usize>,
    /// Whether the course did the step's deed on request.
    pub acted: bool,
    /// The cluster when the step's deed became possible.
    pub before: Facts,
    /// The same moment on the lanes' clock.
    pub began_ms: u64,
    /// Which ticks hold now.
    pub ticks: Vec<bool>,
    /// Since when all of them do, on the lanes' clock.
    pub held_since: Option<u64>,
    /// The explanation, with what was measured.
    pub told: String,
    /// Lines scrolled by hand; by itself the newest part is shown.
    pub scroll: Option<usize>,
    pub lanes: Lanes,
    pub bands: VecDeque<Band>,
    pub leaders: VecDeque<Leader>,
}

impl Learn {
    pub fn new(pages: Vec<Page>, done: Vec<String>) -> Self {
        let first = pages.iter().position(|page| !done.contains(&page.id)).unwrap_or(0);
        let mut learn = Self { pages: Arc::new(pages), done, page: first, ..Self::default() };
        learn.enter_step(0);
        learn
    }

    pub fn current(&self) -> Option<&Page> {
        self.pages.get(self.page)
    }

    pub fn current_step(&self) -> Option<&Step> {
        self.current()?.steps.get(self.step)
    }

    /// Begins a step of the current page.
    pub fn enter_step(&mut self, step: usize) {
        self.step = step;
        self.answer = 0;
        self.chosen = None;
        self.acted = false;
        self.held_since = None;
        self.ticks.clear();
        self.told.clear();
        self.scroll = None;
        let asks = self.current_step().is_some_and(|step| step.question.is_some());
        self.stage = if asks { Stage::Ask } else { Stage::Act };
    }

    /// Notes who is down and who leads, for the bands of the picture.
    pub fn note(&mut self, nodes: &[(String, FleetState)], leader: Option<(String, u64)>) {
        let now = self.lanes.now();
        for (name, state) in nodes {
            let open = self.bands.iter_mut().find(|b| b.label == *name && b.to_ms.is_none());
            let faulty = *state == FleetState::Paused || !state.has_process();
            match (faulty, open) {
                (true, None) => {
                    keep(&mut self.bands, Band { from_ms: now, to_ms: None, label: name.clone() });
                }
                (false, Some(band)) => band.to_ms = Some(now),
                _ => {}
            }
        }
        let gone = |band: &&mut Band| nodes.iter().all(|(name, _)| *name != band.label);
        for band in self.bands.iter_mut().filter(|band| band.to_ms.is_none()).filter(gone) {
            band.to_ms = Some(now);
        }
        let (name, term) = leader.unwrap_or_default();
        if self.leaders.back().is_none_or(|last| (&last.name, last.term) != (&name, term)) {
            keep(&mut self.leaders, Leader { from_ms: now, name, term });
        }
    }

    /// The lanes with faults and leaders.
    pub fn timeline(&self) -> Timeline {
        let bands = self
            .bands
            .iter()
            .map(|band| Band { label: format!("{} down", band.label), ..band.clone() });
        Timeline {
            bands: bands.collect(),
            leaders: self.leaders.iter().cloned().collect(),
            ..self.lanes.timeline()
        }
    }
}

fn keep<T>(list: &mut VecDeque<T>, item: T) {
    if list.len() == MARKS_KEPT {
        list.pop_front();
    }
    list.push_back(item);
}
