//! The report as one HTML file: nothing is loaded from anywhere, the picture is SVG.
//!
//! # Invariant
//! Every text passes [`escaped`]: what a node logs can never become markup.

use std::fmt::Write as _;

use super::markup::escaped;
use super::{Report, Verdict};
use crate::drill::progress::{CELL_MS, Cell};

/// Width of the drawing without names.
const WIDTH: f64 = 900.0;
/// Room for names.
const NAMES: f64 = 180.0;
/// Height of a lane.
const LANE: f64 = 18.0;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;\
padding:0 1rem;color:#1c2024;background:#fff}table{border-collapse:collapse;margin:1rem 0}\
td,th{border-bottom:1px solid #d8dde3;padding:.3rem .8rem;text-align:left;vertical-align:top}\
pre{background:#f3f5f7;padding:.8rem;overflow-x:auto;font-size:13px}svg{width:100%;height:auto}\
.v{display:inline-block;padding:.1rem .6rem;border-radius:.3rem;color:#fff}\
.PASS{background:#1a7f4b}.FAIL,.UNSAFE{background:#b42318}.ABORTED,.UNKNOWN,.SKIPPED{background:#6b7280}\
.no td{background:#fdecea}";

/// The whole page.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = page(&mut out, report);
    out
}

fn page(out: &mut String, report: &Report) -> std::fmt::Result {
    let (title, word) = (escaped(&report.title), report.verdict.word());
    writeln!(out, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">")?;
    writeln!(out, "<title>{word}: {title}</title><style>{STYLE}</style></head><body>")?;
    writeln!(out, "<h1><span class=\"v {word}\">{word}</span> {title}</h1>")?;
    writeln!(out, "<p>{}</p>", escaped(&report.why))?;
    writeln!(out, "<p><b>Hypothesis.</b> {}</p>", escaped(&report.hypothesis))?;
    let seconds = report.duration_ms as f64 / 1000.0;
    writeln!(
        out,
        "<p>{} {}, {} nodes, seed {}, {seconds:.1} s. Again: <code>{}</code></p>",
        escaped(&report.engine),
        escaped(&report.engine_version),
        report.nodes,
        report.seed,
        escaped(&report.repeat)
    )?;
    rows(out, report)?;
    picture(out, report)?;
    lanes(out, report)?;
    steps(out, report)?;
    consistency(out, report)?;
    application(out, report)?;
    writeln!(out, "<h2>What this teaches</h2><p>{}</p>", escaped(report.teaches.trim()))?;
    for excerpt in &report.logs {
        let (step, node) = (escaped(&excerpt.step), escaped(&excerpt.node));
        let lines = escaped(&excerpt.lines.join("\n"));
        writeln!(out, "<h3>{step}: log of {node}</h3><pre>{lines}</pre>")?;
    }
    writeln!(out, "</body></html>")
}

fn rows(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "<table><tr><th></th><th>what</th><th>expected</th><th>observed</th></tr>")?;
    for row in &report.table {
        let (class, tick) = if row.ok { ("yes", "✓") } else { ("no", "✗") };
        let (what, expected) = (escaped(&row.what), escaped(&row.expected));
        let observed = escaped(&row.observed);
        writeln!(
            out,
            "<tr class=\"{class}\"><td>{tick}</td><td>{what}</td><td>{expected}</td>\
             <td>{observed}</td></tr>"
        )?;
    }
    writeln!(out, "</table>")
}

fn colour(cell: Cell) -> Option<&'static str> {
    match cell {
        Cell::Empty => None,
        Cell::Ok => Some("#2f9e5f"),
        Cell::Late => Some("#e0a800"),
        Cell::Refused => Some("#d9480f"),
        Cell::Unknown => Some("#b42318"),
    }
}

/// Lanes as coloured runs, steps and rollback as lines, who leads at the bottom.
fn picture(out: &mut String, report: &Report) -> std::fmt::Result {
    let cells = report.lanes.iter().map(|lane| lane.picture.cells.len()).max().unwrap_or(0);
    if cells == 0 {
        return Ok(());
    }
    let end_ms = (cells as u64 * CELL_MS) as f64;
    let x = |ms: f64| NAMES + (ms.min(end_ms) / end_ms) * WIDTH;
    let height = (report.lanes.len() as f64 + 3.0) * LANE;
    let width = NAMES + WIDTH + 10.0;
    writeln!(out, "<h2>Availability</h2><svg viewBox=\"0 0 {width} {height}\" role=\"img\">")?;
    for (row, lane) in report.lanes.iter().enumerate() {
        let y = (row as f64 + 1.0) * LANE;
        let name = escaped(&lane.name);
        writeln!(out, "<text x=\"0\" y=\"{}\" font-size=\"12\">{name}</text>", y + 12.0)?;
        let mut at = 0;
        for run in lane.picture.cells.chunk_by(|left, right| left == right) {
            let (from, to) = (at as u64 * CELL_MS, (at + run.len()) as u64 * CELL_MS);
            at += run.len();
            if let Some(colour) = run.first().and_then(|cell| colour(*cell)) {
                let (left, right) = (x(from as f64), x(to as f64));
                let wide = right - left;
                writeln!(
                    out,
                    "<rect x=\"{left:.1}\" y=\"{y}\" width=\"{wide:.1}\" height=\"{}\" \
                     fill=\"{colour}\"><title>{name} {from}–{to} ms</title></rect>",
                    LANE - 4.0
                )?;
            }
        }
    }
    let bottom = height - LANE * 1.5;
    let faults = report.steps.iter().filter(|step| step.fault);
    let marks = faults.map(|step| (step.at_ms, step.text.clone()));
    for (at_ms, text) in marks.chain([(report.rollback_ms, "rollback".to_string())]) {
        let (at, text) = (x(at_ms as f64), escaped(&text));
        writeln!(
            out,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"10\" y2=\"{bottom:.1}\" stroke=\"#1c2024\" \
             stroke-dasharray=\"3 2\"/><text x=\"{:.1}\" y=\"10\" font-size=\"10\">{text}</text>",
            at + 2.0
        )?;
    }
    for span in &report.leader {
        let (at, node) = (x(span.from_ms as f64), span.node.as_deref().unwrap_or("nobody"));
        let (y, node) = (height - 4.0, escaped(node));
        writeln!(
            out,
            "<text x=\"{at:.1}\" y=\"{y:.1}\" font-size=\"11\">▏{node} term {}</text>",
            span.term
        )?;
    }
    writeln!(out, "</svg>")
}

fn lanes(out: &mut String, report: &Report) -> std::fmt::Result {
    let heading = "<tr><th>lane</th><th>ok</th><th>refused</th><th>unknown</th>\
                   <th>longest outage</th><th>p50</th><th>p99</th></tr>";
    writeln!(out, "<table>{heading}")?;
    for lane in &report.lanes {
        writeln!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} ms</td><td>{:.1} ms</td>\
             <td>{:.1} ms</td></tr>",
            escaped(&lane.name),
            lane.ok,
            lane.refused,
            lane.unknown,
            lane.longest_outage_ms,
            lane.p50_ms,
            lane.p99_ms
        )?;
    }
    writeln!(out, "</table>")
}

fn steps(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "<h2>Steps</h2><table><tr><th>t+ms</th><th>step</th><th>answer</th></tr>")?;
    for step in &report.steps {
        let class = if step.ok { "yes" } else { "no" };
        let (text, said) = (escaped(&step.text), escaped(&step.said));
        let at = step.at_ms;
        writeln!(
            out,
            "<tr class=\"{class}\"><td>{at}</td><td><code>{text}</code></td><td>{said}</td></tr>"
        )?;
    }
    let (at, said) = (report.rollback_ms, escaped(&report.rollback));
    writeln!(out, "<tr><td>{at}</td><td>rollback</td><td>{said}</td></tr></table>")
}

fn consistency(out: &mut String, report: &Report) -> std::fmt::Result {
    let it = &report.consistency;
    writeln!(out, "<h2>Consistency</h2>")?;
    if let Some(why) = &it.unjudged {
        return writeln!(out, "<p>The history is not judged: {}.</p>", escaped(why));
    }
    writeln!(
        out,
        "<p>{} acknowledged writes, {} linearizable and {} serializable reads, {} watch events, \
         {} unknown outcomes.</p>",
        it.acknowledged_writes,
        it.linearizable_reads,
        it.serializable_reads,
        it.watch_events,
        it.unknown
    )?;
    for violation in &it.violations {
        writeln!(out, "<pre>{}</pre>", escaped(violation))?;
    }
    debug_assert!(it.violations.is_empty() || report.verdict == Verdict::Unsafe);
    Ok(())
}

/// What used the cluster, and whether what it was promised held.
fn application(out: &mut String, report: &Report) -> std::fmt::Result {
    let Some(it) = &report.application else { return Ok(()) };
    let (name, about, claim) = (escaped(&it.application), escaped(&it.about), escaped(&it.claim));
    let (verdict, counts) = (escaped(&it.verdict()), escaped(&it.counts()));
    writeln!(out, "<h2>Application: {name}</h2><p>{about}.</p>")?;
    writeln!(out, "<p><b>What must hold.</b> {claim}.</p><p><b>Observed.</b> {verdict}.</p>")?;
    writeln!(out, "<p>{counts}.</p><table><tr><th>client</th><th>in the end</th></tr>")?;
    for client in &it.clients {
        let (name, text) = (escaped(&client.name), escaped(&client.text));
        writeln!(out, "<tr><td>{name}</td><td>{}{text}</td></tr>", client.state.words())?;
    }
    if let Some(outside) = &it.outside {
        writeln!(out, "<tr><td>outside</td><td>{}</td></tr>", escaped(outside))?;
    }
    writeln!(out, "</table><table><tr><th>t+ms</th><th>what happened</th></tr>")?;
    for happened in &it.happened {
        let text = escaped(&happened.text);
        writeln!(out, "<tr><td>{}</td><td>{text}</td></tr>", happened.at_ms)?;
    }
    writeln!(out, "</table>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_says_is_never_markup() {
        let text = escaped("<script>alert('&\"')</script>\u{1b}[31m");
        assert!(!text.contains(['<', '>', '"', '\'', '\u{1b}']), "{text}");
        assert!(text.contains("&amp;") && text.starts_with("&lt;script&gt;"));
    }
}
