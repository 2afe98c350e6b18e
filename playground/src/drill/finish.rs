//! From what a run has left to its [`Report`]; takes a cluster of the drill's own down.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::judge::{self, Evidence};
use super::live;
use super::machine::{Ended, Machine};
use super::observe::Seen;
use super::report::{
    Consistency, Excerpt, LaneReport, OutageReport, Report, SCHEMA_VERSION, StepReport,
};
use super::run::{Load, Means};
use crate::launch;
use crate::workload::{self, Recording, Timeline};

/// Around a step, lines of logs are shown that came so long before or after.
const AROUND_MS: u64 = 2000;
/// Lines of one node around one step.
const LINES: usize = 6;

/// Everything about a run that is over.
pub async fn report(means: &Means, machine: &Machine, started: Instant) -> Report {
    let load = means.load.lock().take();
    let recording = means.recording.lock().take();
    let duration_ms = started.elapsed().as_millis() as u64;
    let mut report = head(means, machine, duration_ms);
    if let Some(load) = load {
        load.observer.abort();
        fill(&mut report, means, machine, &load, recording);
    }
    take_down(means).await;
    let put_back = machine.rollback.as_ref().is_none_or(Result::is_ok);
    if let Some(mark) = means.mark.lock().take()
        && (put_back || means.options.cluster.is_none())
    {
        mark.clear();
    }
    if let Some(application) = &mut report.application {
        application.excused.clone_from(&means.drill.workload.promises_may_break);
    }
    let application = report.application.as_ref();
    let (verdict, why) =
        judge::verdict(&means.drill, machine, &report.table, &report.consistency, application);
    (report.verdict, report.why) = (verdict, why);
    report
}

/// A cluster of the drill's own ends with it, however it ends.
async fn take_down(means: &Means) {
    if means.options.cluster.is_some() {
        return;
    }
    if let Err(error) = launch::down(&means.options.home, &means.cluster, true, true).await {
        tracing::debug!(%error, "the cluster of the drill is not there to be taken down");
    }
}

fn head(means: &Means, machine: &Machine, duration_ms: u64) -> Report {
    let (options, drill) = (&means.options, &means.drill);
    let engine = options.engine.engine.unwrap_or_default();
    let on = match &options.cluster {
        Some(name) => format!(" --cluster {name}"),
        None => options.engine.words().iter().map(|word| format!(" {word}")).collect(),
    };
    let used = options.application.map(|kind| format!(" --application {kind}"));
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_secs());
    Report {
        schema_version: SCHEMA_VERSION,
        drill: drill.id.clone(),
        title: drill.title.clone(),
        engine: engine.word().into(),
        engine_version: options.version.clone(),
        tool_version: options.version.clone(),
        verdict: super::report::Verdict::Aborted,
        why: String::new(),
        hypothesis: drill.hypothesis.clone(),
        teaches: drill.teaches.clone(),
        docs: drill.docs.clone(),
        seed: options.seed,
        cluster: means.cluster.clone(),
        nodes: drill.cluster.nodes,
        interrupted: machine.ended == Ended::Interrupted,
        started_unix: unix.saturating_sub(duration_ms / 1000),
        duration_ms,
        repeat: format!(
            "etcd-tui drill run {} --seed {}{on}{}",
            drill.id,
            options.seed,
            used.unwrap_or_default()
        ),
        table: Vec::new(),
        steps: Vec::new(),
        lanes: Vec::new(),
        leader: Vec::new(),
        consistency: Consistency::default(),
        application: means.application.lock().take(),
        members_before: Vec::new(),
        members_after: means.members_after.lock().clone(),
        rollback: match &machine.rollback {
            Some(Ok(said) | Err(said)) => said.clone(),
            None => "nothing was touched".into(),
        },
        rolled_back: machine.rollback.as_ref().is_none_or(Result::is_ok),
        rollback_ms: 0,
        logs: Vec::new(),
    }
}

fn fill(
    report: &mut Report,
    means: &Means,
    machine: &Machine,
    load: &Load,
    recording: Option<Recording>,
) {
    let millis = |at: std::time::Duration| at.saturating_sub(load.began).as_millis() as u64;
    (report.engine, report.engine_version) = load.engine.clone();
    report.nodes = load.stage.beginning.nodes;
    report.members_before.clone_from(&load.stage.beginning.members);
    report.rollback_ms = machine.rolled_back_at.map_or(0, millis);
    report.steps = machine
        .records
        .iter()
        .filter_map(|record| {
            let step = means.drill.steps.get(record.step)?;
            Some(StepReport {
                text: load.stage.substitute(&step.action.to_string()),
                fault: step.action.is_fault(),
                at_ms: millis(record.started),
                took_ms: millis(record.finished) - millis(record.started),
                ok: record.ok,
                said: record.said.clone(),
            })
        })
        .collect();
    let seen = load.seen.lock();
    report.leader.clone_from(&seen.leader);
    report.logs = excerpts(&report.steps, &seen);
    drop(seen);
    let Some(Recording { history, timeline }) = recording else { return };
    let aliases = load.stage.aliases.lock().clone();
    let evidence = Evidence {
        drill: &means.drill,
        machine,
        aliases: &aliases,
        members: &load.members,
        timeline: &timeline,
        load_began: load.began,
    };
    report.table = evidence.table();
    for row in &mut report.table {
        row.what = load.stage.substitute(&row.what);
    }
    report.lanes = lanes(&timeline, report.rollback_ms + 3000);
    report.consistency = match &means.drill.workload.unjudged {
        Some(why) => Consistency { unjudged: Some(why.clone()), ..Consistency::default() },
        None if machine.ended != Ended::Completed => Consistency {
            unjudged: Some("the drill did not come to its end".into()),
            ..Consistency::default()
        },
        None => consistency(&history::check(&history)),
    };
}

fn consistency(report: &history::Report) -> Consistency {
    Consistency {
        unjudged: None,
        acknowledged_writes: report.acknowledged_writes,
        linearizable_reads: report.linearizable_reads,
        serializable_reads: report.serializable_reads,
        watch_events: report.watch_events,
        unknown: report.unknown,
        keys_searched: report.keys_searched,
        equal_hashes: report.hashes,
        violations: report.violations.iter().map(ToString::to_string).collect(),
        undecided: report.undecided.clone(),
    }
}

fn lanes(timeline: &Timeline, until_ms: u64) -> Vec<LaneReport> {
    let pictures = live::lanes(timeline, until_ms);
    let lanes = timeline.lanes().zip(pictures).map(|(lane, picture)| {
        let count = |seen: workload::Seen| {
            timeline.samples(lane).filter(|sample| sample.seen == seen).count()
        };
        let millis =
            |share: f64| timeline.percentile(lane, share).map_or(0.0, |nanos| nanos as f64 / 1e6);
        let outage = |it: &workload::Outage| OutageReport {
            from_ms: it.from / 1_000_000,
            ms: it.millis(),
            failed: it.failed,
            late: it.late,
            open: it.open,
        };
        LaneReport {
            name: timeline.name(lane),
            ok: count(workload::Seen::Ok),
            refused: count(workload::Seen::Refused),
            unknown: count(workload::Seen::Unknown),
            longest_outage_ms: timeline.longest_outage(lane),
            outages: timeline.outages(lane).iter().map(outage).collect(),
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            p999_ms: millis(0.999),
            picture,
        }
    });
    lanes.collect()
}

/// What nodes logged around each step that changed something.
fn excerpts(steps: &[StepReport], seen: &Seen) -> Vec<Excerpt> {
    let mut excerpts = Vec::new();
    for step in steps.iter().filter(|step| step.fault) {
        let end = step.at_ms + step.took_ms + AROUND_MS;
        let window = step.at_ms.saturating_sub(AROUND_MS)..end;
        for (node, lines) in &seen.logs {
            let near = lines.iter().filter(|line| window.contains(&line.at_ms));
            let lines: Vec<String> = near.take(LINES).map(|line| line.text.clone()).collect();
            if !lines.is_empty() {
                excerpts.push(Excerpt { step: step.text.clone(), node: node.clone(), lines });
            }
        }
    }
    excerpts
}
