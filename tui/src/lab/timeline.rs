//! What users of the cluster felt, in cells of time: one lane for each kind of request.
//!
//! Times are milliseconds since the timeline began. A cell is the worst that was seen in it;
//! where nothing was asked it stays empty, so that silence is never drawn as service.

/// One cell of a lane; the later ones are worse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// Nothing was asked, or the answer is still awaited.
    #[default]
    Empty,
    Ok,
    /// Answered, but late.
    Slow,
    /// An error that promises that nothing was done.
    Refused,
    /// No answer, or an error that leaves it open.
    Unknown,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    pub name: String,
    /// Oldest first; the first one begins at [`Timeline::from_ms`].
    pub cells: Vec<Cell>,
}

/// A fault and how long it lasted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Band {
    pub from_ms: u64,
    /// `None` while it lasts.
    pub to_ms: Option<u64>,
    pub label: String,
}

/// Who led from a moment on; nobody, if the name is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leader {
    pub from_ms: u64,
    pub name: String,
    pub term: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    pub cell_ms: u64,
    /// When the first cell of every lane begins.
    pub from_ms: u64,
    pub lanes: Vec<Lane>,
    pub bands: Vec<Band>,
    pub leaders: Vec<Leader>,
}

impl Timeline {
    /// Cells of the longest lane.
    pub fn length(&self) -> usize {
        self.lanes.iter().map(|lane| lane.cells.len()).max().unwrap_or(0)
    }

    /// The time the cell of this number begins.
    pub fn time_of(&self, cell: usize) -> u64 {
        self.from_ms + cell as u64 * self.cell_ms
    }

    /// Who led at a time.
    pub fn leader_at(&self, ms: u64) -> Option<&Leader> {
        self.leaders.iter().rev().find(|leader| leader.from_ms <= ms)
    }
}
