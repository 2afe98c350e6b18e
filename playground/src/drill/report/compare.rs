//! Two reports of a drill side by side, as Markdown: what each observed, and by how much their
//! outages differ.

use std::fmt::Write as _;

use super::{Report, Row};

/// Left and right, row by row. Rows are matched by what they are about and what was expected.
pub fn render(left: &Report, right: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = both(&mut out, left, right);
    out
}

fn both(out: &mut String, left: &Report, right: &Report) -> std::fmt::Result {
    if left.drill != right.drill {
        writeln!(out, "These are two drills: {} and {}.\n", left.drill, right.drill)?;
    }
    let name = |it: &Report| format!("{} {}", it.engine, it.engine_version);
    writeln!(out, "| {} | {} | {} | |", left.drill, name(left), name(right))?;
    writeln!(out, "|---|---|---|---|")?;
    let (one, other) = (left.verdict.word(), right.verdict.word());
    writeln!(out, "| verdict | {one} | {other} | |")?;
    let key = |row: &Row| row.expected.clone();
    let mut rest: Vec<&Row> = right.table.iter().collect();
    for row in &left.table {
        let at = rest.iter().position(|it| key(it) == key(row) && same_kind(row, it));
        let matched = at.map(|at| rest.remove(at));
        let observed = matched.map_or("–", |it| it.observed.as_str());
        let difference = match (row.outage_ms, matched.and_then(|it| it.outage_ms)) {
            (Some(left), Some(right)) => format!("{:+} ms", right as i64 - left as i64),
            _ => String::new(),
        };
        line(out, row, &row.observed, observed, &difference)?;
    }
    rest.into_iter().try_for_each(|row| line(out, row, "–", &row.observed, ""))
}

/// A lane may be about other nodes in another run: leaders differ.
fn same_kind(left: &Row, right: &Row) -> bool {
    let word = |row: &Row| row.what.split(' ').next().unwrap_or_default().to_string();
    word(left) == word(right) && left.outage_ms.is_some() == right.outage_ms.is_some()
}

fn line(
    out: &mut String,
    row: &Row,
    left: &str,
    right: &str,
    difference: &str,
) -> std::fmt::Result {
    let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    writeln!(
        out,
        "| {}: {} | {} | {} | {difference} |",
        cell(&row.what),
        cell(&row.expected),
        cell(left),
        cell(right)
    )
}
