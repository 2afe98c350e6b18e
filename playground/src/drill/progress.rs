//! A drill as it runs, for whoever watches: plain data, a copy of one moment.

use serde::{Deserialize, Serialize};

use super::machine::Phase;
use crate::applications::ApplicationReport;
pub use crate::workload::Cell;

/// How long a cell of a lane is.
pub const CELL_MS: u64 = 100;

/// Everything there is to show.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub drill: String,
    pub title: String,
    pub cluster: String,
    pub phase: Phase,
    /// Since the load began.
    pub elapsed_ms: u64,
    pub steps: Vec<StepProgress>,
    pub lanes: Vec<LaneCells>,
    pub leader: Vec<LeaderSpan>,
    pub feed: Vec<FeedLine>,
    /// What uses the cluster beside the load, if something does.
    pub application: Option<ApplicationReport>,
    /// What it ended with.
    pub verdict: Option<super::report::Verdict>,
    /// Why, in one sentence.
    pub why: String,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepProgress {
    pub text: String,
    pub state: StepState,
    /// Whether it changes something in the cluster.
    pub fault: bool,
    pub started_ms: Option<u64>,
    pub finished_ms: Option<u64>,
    /// What it answered.
    pub said: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    Waiting,
    Running,
    Done,
    Failed,
}

/// What a cell is drawn as in text.
pub fn block(cell: Cell) -> char {
    match cell {
        Cell::Empty => '·',
        Cell::Ok => '█',
        Cell::Late => '▓',
        Cell::Refused => '▒',
        Cell::Unknown => '░',
    }
}

/// One lane, a cell every [`CELL_MS`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneCells {
    pub name: String,
    pub cells: Vec<Cell>,
}

/// Who led from when on; nobody if there is no name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LeaderSpan {
    pub from_ms: u64,
    pub node: Option<String>,
    pub term: u64,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeedLine {
    pub at_ms: u64,
    pub text: String,
}
