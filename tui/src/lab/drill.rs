//! What a drill says about itself, while it runs and when it has ended.

use super::application::ApplicationPicture;
use super::timeline::Timeline;

/// A drill of the catalogue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillCard {
    pub id: String,
    pub title: String,
    pub level: String,
    pub hypothesis: String,
    /// Every step in words.
    pub steps: Vec<String>,
    /// What is expected of which lane, in words.
    pub expected: Vec<(String, String)>,
    pub teaches: String,
    pub docs: Option<String>,
    /// Members it needs.
    pub nodes: usize,
    /// The application that runs meanwhile, by itself.
    pub application: Option<String>,
    /// Why it would make a cluster of its own and leave this one alone, if it would.
    pub own_cluster: Option<String>,
    /// Why it would not be run here.
    pub skipped: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StepState {
    #[default]
    Waiting,
    Running,
    Done,
    Failed,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillStep {
    pub text: String,
    pub state: StepState,
    /// Since the load began.
    pub started_ms: Option<u64>,
    /// What it answered.
    pub said: String,
}

/// A drill as it runs; the last one has the verdict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillProgress {
    pub id: String,
    pub title: String,
    /// The cluster that was made for it, if one was.
    pub own_cluster: Option<String>,
    /// What it is doing, in words.
    pub phase: String,
    pub elapsed_ms: u64,
    pub steps: Vec<DrillStep>,
    pub timeline: Timeline,
    /// What happened when, since the load began.
    pub feed: Vec<(u64, String)>,
    /// What uses the cluster meanwhile, if something does.
    pub application: Option<ApplicationPicture>,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DrillReport {
    pub id: String,
    pub title: String,
    /// `PASS`, `FAIL`, `UNSAFE`, `ABORTED`, `SKIPPED`, `UNKNOWN`.
    pub verdict: String,
    /// One sentence.
    pub why: String,
    /// The whole report, in Markdown.
    pub text: String,
}
