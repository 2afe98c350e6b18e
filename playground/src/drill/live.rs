//! From the means of a run to [`Progress`]: one look, nothing kept.

use super::machine::{Machine, Phase};
use super::observe;
use super::progress::{CELL_MS, FeedLine, LaneCells, Progress, StepProgress, StepState};
use super::run::Means;
use crate::applications::report::Happened;
use crate::workload::Timeline;

/// What there is to see now.
pub fn progress(means: &Means, machine: &Machine) -> Progress {
    let mut progress = Progress {
        drill: means.drill.id.clone(),
        title: means.drill.title.clone(),
        cluster: means.cluster.clone(),
        phase: machine.phase,
        ..Progress::default()
    };
    let load = means.load.lock();
    let began = load.as_ref().map_or(std::time::Duration::ZERO, |load| load.began);
    let millis = |at: std::time::Duration| at.saturating_sub(began).as_millis() as u64;
    progress.steps = means
        .drill
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| {
            let record = machine.records.iter().find(|record| record.step == index);
            let runs = machine.phase == Phase::Steps && machine.next_step() == index;
            StepProgress {
                text: match &load.as_ref() {
                    Some(load) => load.stage.substitute(&step.action.to_string()),
                    None => step.action.to_string(),
                },
                fault: step.action.is_fault(),
                state: match record {
                    Some(record) if record.ok => StepState::Done,
                    Some(_) => StepState::Failed,
                    None if runs => StepState::Running,
                    None => StepState::Waiting,
                },
                started_ms: record.map(|record| millis(record.started)),
                finished_ms: record.map(|record| millis(record.finished)),
                said: record.map(|record| record.said.clone()).unwrap_or_default(),
            }
        })
        .collect();
    if let Some(load) = load.as_ref() {
        progress.elapsed_ms = observe::millis(load.origin);
        let elapsed = progress.elapsed_ms;
        progress.lanes = load.monitor.with(|timeline| lanes(timeline, elapsed));
        progress.application = match means.application.lock().as_ref() {
            Some(last) => Some(last.clone()),
            None => load.stage.uses.get().map(crate::applications::Application::report),
        };
        let seen = load.seen.lock();
        progress.leader.clone_from(&seen.leader);
        progress.feed.clone_from(&seen.feed);
        drop(seen);
        if let Some(application) = &progress.application {
            // Its clock began a moment after the load's.
            let lines = application.happened.iter();
            let line = |it: &Happened| FeedLine { at_ms: it.at_ms, text: it.text.clone() };
            progress.feed.extend(lines.map(line));
            progress.feed.sort_by_key(|line| line.at_ms);
        }
    }
    progress
}

/// Every lane as cells.
pub fn lanes(timeline: &Timeline, until_ms: u64) -> Vec<LaneCells> {
    let (width, until) = (CELL_MS * 1_000_000, until_ms.saturating_mul(1_000_000));
    let lanes = timeline.lanes().map(|lane| LaneCells {
        name: timeline.name(lane),
        cells: timeline.cells(lane, width, until),
    });
    lanes.collect()
}
