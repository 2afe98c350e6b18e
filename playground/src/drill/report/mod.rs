//! What a drill found, for people and for programs: one model, four forms.
//!
//! [`Report`] is the JSON (with a schema version); [`markdown`], [`html`] and [`junit`] show the
//! same facts. [`compare`] sets two of them side by side, [`overview`] many. Nothing here measures
//! or judges.

pub mod compare;
pub mod html;
pub mod junit;
pub mod markdown;
mod markup;
pub mod overview;

use serde::{Deserialize, Serialize};

use super::progress::{LaneCells, LeaderSpan};
use crate::applications::ApplicationReport;

/// Raised when a reader could misunderstand. Since 2 an outage lasts between answers; before, it
/// was made of failures only.
pub const SCHEMA_VERSION: u32 = 2;

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// All was as expected, and no promise was broken.
    Pass,
    /// Something was not as expected.
    Fail,
    /// A promise to clients was broken; the history proves it.
    Unsafe,
    /// It could not be carried out.
    Aborted,
    /// It makes no sense here.
    Skipped,
    /// The checks came to no end.
    Unknown,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Fail => "FAIL",
            Self::Unsafe => "UNSAFE",
            Self::Aborted => "ABORTED",
            Self::Skipped => "SKIPPED",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Everything about one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    pub schema_version: u32,
    pub drill: String,
    pub title: String,
    pub engine: String,
    pub engine_version: String,
    pub tool_version: String,
    pub verdict: Verdict,
    /// One sentence.
    pub why: String,
    pub hypothesis: String,
    pub teaches: String,
    pub docs: Option<String>,
    pub seed: u64,
    pub cluster: String,
    pub nodes: usize,
    /// Whether somebody stopped it.
    pub interrupted: bool,
    /// RFC 3339 without a zone would lie; seconds since 1970 do not.
    pub started_unix: u64,
    pub duration_ms: u64,
    /// The command that does it again.
    pub repeat: String,
    /// Expected and observed, row by row.
    pub table: Vec<Row>,
    pub steps: Vec<StepReport>,
    pub lanes: Vec<LaneReport>,
    pub leader: Vec<LeaderSpan>,
    pub consistency: Consistency,
    /// What used the cluster beside the load, if something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<ApplicationReport>,
    pub members_before: Vec<String>,
    pub members_after: Vec<String>,
    /// What the rollback did, or what it could not.
    pub rollback: String,
    pub rolled_back: bool,
    /// When the rollback began.
    pub rollback_ms: u64,
    pub logs: Vec<Excerpt>,
}

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub what: String,
    pub expected: String,
    pub observed: String,
    pub ok: bool,
    /// The outage behind it, when it is about one.
    pub outage_ms: Option<u64>,
}

/// One step as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    pub text: String,
    pub fault: bool,
    pub at_ms: u64,
    pub took_ms: u64,
    pub ok: bool,
    pub said: String,
}

/// One lane as it was felt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LaneReport {
    pub name: String,
    pub ok: usize,
    pub refused: usize,
    pub unknown: usize,
    pub longest_outage_ms: u64,
    pub outages: Vec<OutageReport>,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub picture: LaneCells,
}

/// A time without service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutageReport {
    pub from_ms: u64,
    pub ms: u64,
    /// Requests that waited in it and failed.
    pub failed: usize,
    /// Requests that waited in it and were answered after it.
    pub late: usize,
    /// Whether it lasted until the end.
    pub open: bool,
}

/// What the history says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Why nothing was judged, if nothing was.
    pub unjudged: Option<String>,
    pub acknowledged_writes: usize,
    pub linearizable_reads: usize,
    pub serializable_reads: usize,
    pub watch_events: usize,
    pub unknown: usize,
    pub keys_searched: usize,
    pub equal_hashes: usize,
    /// Broken promises with the smallest history that shows them.
    pub violations: Vec<String>,
    pub undecided: Vec<String>,
}

/// Lines of a node's log around a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    pub step: String,
    pub node: String,
    pub lines: Vec<String>,
}

impl Report {
    /// As a file.
    pub fn json(&self) -> String {
        // Plain data with text keys always serialises.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A drill that passed; its puts had no outage, and the slowest took 12 ms.
    pub fn report(drill: &str) -> Report {
        let put = LaneReport {
            name: "put".into(),
            ok: 100,
            refused: 0,
            unknown: 0,
            longest_outage_ms: 0,
            outages: Vec::new(),
            p50_ms: 1.0,
            p99_ms: 5.0,
            p999_ms: 12.3,
            picture: LaneCells { name: "put".into(), cells: Vec::new() },
        };
        Report {
            schema_version: SCHEMA_VERSION,
            drill: drill.into(),
            title: drill.into(),
            engine: "builtin".into(),
            engine_version: "1".into(),
            tool_version: "1".into(),
            verdict: Verdict::Pass,
            why: String::new(),
            hypothesis: String::new(),
            teaches: String::new(),
            docs: None,
            seed: 1,
            cluster: "x".into(),
            nodes: 3,
            interrupted: false,
            started_unix: 0,
            duration_ms: 0,
            repeat: String::new(),
            table: Vec::new(),
            steps: Vec::new(),
            lanes: vec![put],
            leader: Vec::new(),
            consistency: Consistency::default(),
            application: None,
            members_before: Vec::new(),
            members_after: Vec::new(),
            rollback: String::new(),
            rolled_back: true,
            rollback_ms: 0,
            logs: Vec::new(),
        }
    }
}
