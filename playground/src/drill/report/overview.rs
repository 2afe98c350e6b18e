//! Many drills of many runs in one Markdown table: verdicts, outages, slowest puts.
//!
//! Every cell of figures has one figure a run, in the order of the runs; a drill that gave no
//! figures there (it was skipped, or is missing) has a dash, never a zero.

use std::fmt::Write as _;

use super::{LaneReport, Report, Verdict};

/// One run of many drills.
#[derive(Clone, Debug)]
pub struct Run {
    /// What it is called in the heading.
    pub name: String,
    pub reports: Vec<Report>,
}

impl Run {
    fn report(&self, drill: &str) -> Option<&Report> {
        self.reports.iter().find(|report| report.drill == drill)
    }
}

/// Each drill of `order` that somebody ran, then the others as they come.
pub fn render(runs: &[Run], order: &[String]) -> String {
    let mut drills: Vec<&str> = order.iter().map(String::as_str).collect();
    for report in runs.iter().flat_map(|run| &run.reports) {
        if !drills.contains(&report.drill.as_str()) {
            drills.push(&report.drill);
        }
    }
    drills.retain(|drill| runs.iter().any(|run| run.report(drill).is_some()));
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = table(&mut out, runs, &drills);
    out
}

fn table(out: &mut String, runs: &[Run], drills: &[&str]) -> std::fmt::Result {
    write!(out, "| drill |")?;
    runs.iter().try_for_each(|run| write!(out, " {} |", run.name.replace('|', "\\|")))?;
    writeln!(out, " outage of puts | outage of linearizable gets | slowest puts |")?;
    writeln!(out, "|---|{}---|---|---|", "---|".repeat(runs.len()))?;
    for drill in drills {
        let reports: Vec<Option<&Report>> = runs.iter().map(|run| run.report(drill)).collect();
        write!(out, "| {drill} |")?;
        for report in &reports {
            write!(out, " {} |", report.map_or("–", |it| it.verdict.word()))?;
        }
        let figures = |lane: &str, figure: fn(&LaneReport) -> u64| {
            let cell = |report: &Option<&Report>| {
                let report = report.filter(|it| it.verdict != Verdict::Skipped)?;
                report.lanes.iter().find(|it| it.name == lane).map(figure)
            };
            let cells = reports.iter().map(cell);
            let cells: Vec<String> =
                cells.map(|it| it.map_or_else(|| "–".into(), |ms| ms.to_string())).collect();
            cells.join(" / ")
        };
        let puts = figures("put", |lane| lane.longest_outage_ms);
        let gets = figures("linearizable get", |lane| lane.longest_outage_ms);
        let slowest = figures("put", |lane| lane.p999_ms.round() as u64);
        writeln!(out, " {puts} | {gets} | {slowest} |")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::report;
    use super::*;

    #[test]
    fn a_drill_that_gave_no_figures_has_dashes_and_each_run_its_column() {
        let run =
            |name: &str, reports: &[Report]| Run { name: name.into(), reports: reports.into() };
        let (mut ours, mut theirs) = (report("b"), report("b"));
        ours.lanes[0].longest_outage_ms = 40;
        theirs.lanes[0].longest_outage_ms = 1200;
        let skipped = Report { verdict: Verdict::Skipped, lanes: Vec::new(), ..report("a") };
        let runs =
            [run("ours", &[report("mine"), ours, report("a")]), run("etcd", &[skipped, theirs])];
        let text = render(&runs, &["a".into(), "b".into(), "never-run".into()]);
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(
            rows,
            [
                "| drill | ours | etcd | outage of puts | outage of linearizable gets | slowest puts |",
                "|---|---|---|---|---|---|",
                "| a | PASS | SKIPPED | 0 / – | – / – | 12 / – |",
                "| b | PASS | PASS | 40 / 1200 | – / – | 12 / 12 |",
                "| mine | PASS | – | 0 / – | – / – | 12 / – |",
            ]
        );
    }
}
