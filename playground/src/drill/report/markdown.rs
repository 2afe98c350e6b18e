//! The report as Markdown: for a terminal, a pull request, the summary of a CI step.

use std::fmt::Write as _;

use super::{LaneReport, Report};
use crate::drill::progress::{CELL_MS, Cell, block};

/// Cells in a line; more are joined.
const CELLS_MAX: usize = 100;

/// The whole report.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(&mut out, report);
    out
}

fn write_all(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# {}: {}\n", report.verdict.word(), report.title)?;
    writeln!(out, "{}\n", report.why)?;
    writeln!(out, "| | |\n|---|---|")?;
    writeln!(out, "| drill | `{}` |", report.drill)?;
    writeln!(out, "| engine | {} {} |", report.engine, report.engine_version)?;
    writeln!(out, "| cluster | {} nodes |", report.nodes)?;
    writeln!(out, "| seed | {} |", report.seed)?;
    writeln!(out, "| took | {:.1} s |", report.duration_ms as f64 / 1000.0)?;
    writeln!(out, "| again | `{}` |\n", report.repeat)?;
    writeln!(out, "**Hypothesis.** {}\n", report.hypothesis)?;
    table(out, report)?;
    availability(out, report)?;
    steps(out, report)?;
    consistency(out, report)?;
    application(out, report)?;
    members(out, report)?;
    writeln!(out, "## What this teaches\n\n{}\n", report.teaches.trim())?;
    if let Some(docs) = &report.docs {
        writeln!(out, "More: <{docs}>\n")?;
    }
    logs(out, report)
}

fn table(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.table.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Expected and observed\n\n| | what | expected | observed |")?;
    writeln!(out, "|---|---|---|---|")?;
    for row in &report.table {
        let tick = if row.ok { "✓" } else { "✗" };
        let (what, expected) = (cell(&row.what), cell(&row.expected));
        writeln!(out, "| {tick} | {what} | {expected} | {} |", cell(&row.observed))?;
    }
    writeln!(out)
}

/// Text that does not end a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

fn availability(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.lanes.is_empty() {
        return Ok(());
    }
    let width = report.lanes.iter().map(|lane| lane.name.chars().count()).max().unwrap_or(0);
    let cells = report.lanes.iter().map(|lane| lane.picture.cells.len()).max().unwrap_or(0);
    let join = cells.div_ceil(CELLS_MAX).max(1);
    let millis = join as u64 * CELL_MS;
    writeln!(
        out,
        "## Availability\n\nA cell is {millis} ms: █ ok, ▓ answered after an outage, ▒ refused, ░ no answer, · \
         nothing asked.\n"
    )?;
    writeln!(out, "```text")?;
    writeln!(out, "{:width$} {}", "faults", bands(report, cells.div_ceil(join), millis))?;
    for lane in &report.lanes {
        let shown = picture(lane, join);
        writeln!(out, "{:width$} {shown}", lane.name)?;
    }
    writeln!(out, "```\n")?;
    for span in &report.leader {
        let node = span.node.as_deref().unwrap_or("nobody");
        writeln!(out, "- t+{} ms: {node} leads, term {}", span.from_ms, span.term)?;
    }
    writeln!(out, "\n| lane | ok | refused | unknown | longest outage | p50 | p99 | p99.9 |")?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for lane in &report.lanes {
        let LaneReport { name, ok, refused, unknown, longest_outage_ms: outage, .. } = lane;
        writeln!(
            out,
            "| {name} | {ok} | {refused} | {unknown} | {outage} ms | {:.1} | {:.1} | {:.1} ms |",
            lane.p50_ms, lane.p99_ms, lane.p999_ms
        )?;
    }
    writeln!(out)
}

/// A line with a mark where a step changed something.
fn bands(report: &Report, cells: usize, millis: u64) -> String {
    let mut line = vec!['─'; cells];
    for (number, step) in report.steps.iter().filter(|step| step.fault).enumerate() {
        let at = (step.at_ms / millis.max(1)) as usize;
        if let Some(cell) = line.get_mut(at) {
            *cell = char::from_digit(number as u32 % 9 + 1, 10).unwrap_or('*');
        }
    }
    if let Some(cell) = line.get_mut((report.rollback_ms / millis.max(1)) as usize) {
        *cell = 'R';
    }
    line.into_iter().collect()
}

fn picture(lane: &LaneReport, join: usize) -> String {
    let worst = |cells: &[Cell]| block(cells.iter().copied().max().unwrap_or(Cell::Empty));
    lane.picture.cells.chunks(join).map(worst).collect()
}

fn steps(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.steps.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Steps\n\n| t+ms | took | step | answer |\n|---|---|---|---|")?;
    for step in &report.steps {
        let tick = if step.ok { "" } else { "✗ " };
        let (text, said) = (cell(&step.text), cell(&step.said));
        writeln!(out, "| {} | {} | `{text}` | {tick}{said} |", step.at_ms, step.took_ms)?;
    }
    writeln!(out, "| {} | | rollback | {} |\n", report.rollback_ms, cell(&report.rollback))
}

fn consistency(out: &mut String, report: &Report) -> std::fmt::Result {
    let it = &report.consistency;
    writeln!(out, "## Consistency\n")?;
    if let Some(why) = &it.unjudged {
        return writeln!(out, "The history is not judged: {why}.\n");
    }
    writeln!(
        out,
        "{} acknowledged writes, {} linearizable and {} serializable reads, {} watch events, {} \
         outcomes that nobody knows, {} keys searched for an order, {} members with equal hashes.\n",
        it.acknowledged_writes,
        it.linearizable_reads,
        it.serializable_reads,
        it.watch_events,
        it.unknown,
        it.keys_searched,
        it.equal_hashes
    )?;
    for violation in &it.violations {
        writeln!(out, "```text\n{violation}\n```\n")?;
    }
    it.undecided.iter().try_for_each(|why| writeln!(out, "- not decided: {why}"))
}

/// What used the cluster, and whether what it was promised held.
fn application(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(it) = &report.application else { return Ok(()) };
    writeln!(out, "## Application: {}\n\n{}.\n", it.application, it.about)?;
    writeln!(out, "**What must hold.** {}.\n\n**Observed.** {}.\n", it.claim, it.verdict())?;
    writeln!(out, "{}.\n\n| client | in the end |\n|---|---|", it.counts())?;
    for client in &it.clients {
        let text = cell(&client.text);
        writeln!(out, "| {} | {}{text} |", client.name, client.state.words())?;
    }
    if let Some(outside) = &it.outside {
        writeln!(out, "| outside | {} |", cell(outside))?;
    }
    writeln!(out)?;
    for happened in &it.happened {
        writeln!(out, "- t+{} ms: {}", happened.at_ms, happened.text)?;
    }
    writeln!(out)
}

fn members(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.members_before.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Members\n\n| before | after |\n|---|---|")?;
    let count = report.members_before.len().max(report.members_after.len());
    let line = |list: &[String], at: usize| list.get(at).cloned().unwrap_or_default();
    for at in 0..count {
        let (before, after) = (line(&report.members_before, at), line(&report.members_after, at));
        writeln!(out, "| {before} | {after} |")?;
    }
    writeln!(out)
}

fn logs(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.logs.is_empty() {
        return Ok(());
    }
    writeln!(out, "## Logs around the steps\n")?;
    for excerpt in &report.logs {
        writeln!(out, "`{}`, log of {}:\n\n```text", excerpt.step, excerpt.node)?;
        for line in &excerpt.lines {
            writeln!(out, "{}", line.replace("```", "'''"))?;
        }
        writeln!(out, "```\n")?;
    }
    Ok(())
}
