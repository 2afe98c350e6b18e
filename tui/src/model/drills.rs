//! The drills there are, the one that runs, and what the last one found.

use crate::lab::application;
use crate::lab::drill::{DrillCard, DrillProgress, DrillReport};

#[derive(Clone, Debug, Default)]
pub struct Drills {
    /// The catalogue; empty until the supervisor's side tells it.
    pub cards: Vec<DrillCard>,
    pub cursor: usize,
    /// The application that the next drill runs with, if it has none of its own: a place in
    /// the list of them.
    pub application: Option<usize>,
    /// The drill that was asked for and has not reported yet.
    pub running: Option<String>,
    /// Whether it was asked to stop.
    pub stopping: bool,
    /// The latest picture of the drill that runs, or that ran last.
    pub progress: Option<DrillProgress>,
    pub report: Option<DrillReport>,
    /// Which drills have ended, each as often as it did.
    pub ended: Vec<String>,
    /// What the screen shows.
    pub shows: Shows,
    /// Lines scrolled in the description, or in the report.
    pub scroll: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shows {
    #[default]
    Catalogue,
    Run,
    Report,
}

impl Drills {
    /// The application that a drill would run with.
    pub fn application_of(&self, card: &DrillCard) -> Option<String> {
        let chosen = self.application.and_then(|at| application::ALL.get(at));
        card.application.clone().or_else(|| chosen.map(|(name, _)| (*name).to_owned()))
    }

    pub fn card(&self) -> Option<&DrillCard> {
        self.cards.get(self.cursor)
    }
}
