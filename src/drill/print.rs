//! What the command line says of drills: plain text, one fact a line.

use std::io::Write as _;

use playground::drill::progress::{Progress, StepState};
use playground::drill::{Drill, Report, Verdict, report};
use serde::Serialize;

use crate::output;

/// One line of `drill list --json`.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    number: u32,
    title: &'a str,
    level: &'a str,
    hypothesis: &'a str,
    nodes: usize,
    application: Option<&'static str>,
    engines: &'a [String],
    capabilities: Vec<String>,
}

pub fn list_json(drills: &[Drill]) -> anyhow::Result<String> {
    let listed = drills.iter().map(|drill| Listed {
        id: &drill.id,
        number: drill.number,
        title: &drill.title,
        level: drill.level.word(),
        hypothesis: &drill.hypothesis,
        nodes: drill.cluster.nodes,
        application: drill.application.map(|kind| kind.word()),
        engines: &drill.requires.engines,
        capabilities: drill.capabilities().into_iter().collect(),
    });
    Ok(serde_json::to_string_pretty(&listed.collect::<Vec<_>>())? + "\n")
}

pub fn list(drills: &[Drill]) -> String {
    let mut rows = vec![["DRILL", "LEVEL", "NODES", "WHAT"].map(str::to_owned).to_vec()];
    rows.extend(drills.iter().map(|drill| {
        vec![
            drill.id.clone(),
            drill.level.word().to_owned(),
            drill.cluster.nodes.to_string(),
            drill.title.clone(),
        ]
    }));
    output::table(&rows) + "\netcd-tui drill run ID runs one on a cluster of its own.\n"
}

/// A drill for people.
pub fn drill(drill: &Drill) -> String {
    let mut text = format!(
        "{} — {}\nlevel {}, {} nodes\n\nHypothesis: {}\n\nSteps:\n",
        drill.id,
        drill.title,
        drill.level.word(),
        drill.cluster.nodes,
        drill.hypothesis
    );
    if let Some(kind) = drill.application {
        let used = format!("Application {kind}: {}\n\nSteps:\n", kind.about());
        text = text.replace("Steps:\n", &used);
    }
    for (number, step) in drill.steps.iter().enumerate() {
        let named = step.alias.as_ref().map(|alias| format!("  as {{{alias}}}"));
        let after = step.after.map(|after| format!("after {after}: "));
        let refused = step.refused.as_ref().map(|text| format!("  must be refused: {text}"));
        let rest = [named, refused].into_iter().flatten().collect::<String>();
        let after = after.unwrap_or_default();
        text.push_str(&format!("  {:>2}. {after}{}{rest}\n", number + 1, step.action));
    }
    text.push_str("  always: faults undone, nodes started, members as before, members compared\n");
    text.push_str("\nExpected:\n");
    for step in drill.steps.iter().filter(|step| step.says.is_some()) {
        let says = step.says.as_deref().unwrap_or_default();
        text.push_str(&format!("  {}: {says}\n", step.action));
    }
    for it in &drill.expectations {
        let at = if it.at == "cluster" { String::new() } else { format!(" at {}", it.at) };
        text.push_str(&format!("  {}{at}: {}\n", it.lane.title(), it.says));
    }
    text.push_str(&format!("\nWhat this teaches:\n{}\n", wrapped(drill.teaches.trim(), 78)));
    if let Some(docs) = &drill.docs {
        text.push_str(&format!("\nMore: {docs}\n"));
    }
    text
}

/// Lines of at most `width`, broken at blanks.
fn wrapped(text: &str, width: usize) -> String {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + word.chars().count() <= width - 2 => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Tells each step once, when it is over.
#[derive(Default)]
pub struct Teller {
    told: usize,
    phase: Option<String>,
}

impl Teller {
    /// What is new.
    pub fn hear(&mut self, progress: &Progress) -> Vec<String> {
        let mut lines = Vec::new();
        let over = |state: StepState| matches!(state, StepState::Done | StepState::Failed);
        while let Some(step) = progress.steps.get(self.told).filter(|step| over(step.state)) {
            let tick = if step.state == StepState::Done { "ok  " } else { "FAIL" };
            let at = step.started_ms.unwrap_or(0) as f64 / 1000.0;
            lines.push(format!("  {at:6.2}s {tick} {}: {}", step.text, step.said));
            self.told += 1;
        }
        let phase = format!("{:?}", progress.phase);
        if self.phase.as_ref() != Some(&phase) {
            let text = match phase.as_str() {
                "Rollback" => Some("rolling back"),
                "Settle" => Some("comparing what members hold"),
                _ => None,
            };
            lines.extend(text.map(|text| format!("          … {text}")));
            self.phase = Some(phase);
        }
        lines
    }
}

/// One line, for machines.
pub fn line(report: &Report) -> String {
    let seconds = report.duration_ms as f64 / 1000.0;
    format!("{:<8} {:<24} {seconds:5.1}s  {}\n", report.verdict.word(), report.drill, report.why)
}

/// The table and the verdict.
pub fn report(report: &Report) -> String {
    let mut rows = vec![["", "WHAT", "EXPECTED", "OBSERVED"].map(str::to_owned).to_vec()];
    rows.extend(report.table.iter().map(|row| {
        let tick = if row.ok { "ok" } else { "NO" };
        let cell = |text: &str| text.chars().take(70).collect::<String>();
        vec![tick.into(), cell(&row.what), cell(&row.expected), cell(&row.observed)]
    }));
    let table = if report.table.is_empty() { String::new() } else { output::table(&rows) + "\n" };
    let application = report.application.as_ref();
    let application = application
        .map(|it| format!("application {}: {}\n  {}\n", it.application, it.verdict(), it.counts()));
    let violations: String =
        report.consistency.violations.iter().map(|it| format!("{it}\n")).collect();
    format!(
        "{table}{}{violations}{}: {}\nrollback: {}\nagain: {}\n",
        application.unwrap_or_default(),
        report.verdict.word(),
        report.why,
        report.rollback,
        report.repeat
    )
}

/// All of them, in the end.
pub fn summary(reports: &[Report]) -> String {
    let count = |verdict: Verdict| reports.iter().filter(|it| it.verdict == verdict).count();
    let all = [
        Verdict::Pass,
        Verdict::Fail,
        Verdict::Unsafe,
        Verdict::Aborted,
        Verdict::Skipped,
        Verdict::Unknown,
    ];
    let words = all.iter().filter(|verdict| count(**verdict) > 0);
    let words: Vec<String> = words.map(|it| format!("{} {}", count(*it), it.word())).collect();
    format!("{} drills: {}\n", reports.len(), words.join(", "))
}

/// Where GitHub shows what a step has found.
pub fn step_summary(reports: &[Report]) -> std::io::Result<()> {
    let Some(path) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path)?;
    reports.iter().try_for_each(|it| file.write_all(report::markdown::render(it).as_bytes()))
}
