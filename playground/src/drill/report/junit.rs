//! The report as JUnit XML, which every CI reads: a suite for the drill, a case for each row.

use std::fmt::Write as _;

use super::markup::escaped;
use super::{Report, Verdict};

/// The whole file.
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = suite(&mut out, report);
    out
}

fn suite(out: &mut String, report: &Report) -> std::fmt::Result {
    let skipped = usize::from(report.verdict == Verdict::Skipped);
    let application = report.application.as_ref();
    let bad = report.table.iter().filter(|row| !row.ok).count()
        + usize::from(application.is_some_and(|it| !it.is_well()));
    let whole = usize::from(!matches!(report.verdict, Verdict::Pass | Verdict::Skipped));
    let seconds = report.duration_ms as f64 / 1000.0;
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        out,
        "<testsuite name=\"drill {}\" tests=\"{}\" failures=\"{}\" skipped=\"{skipped}\" \
         time=\"{seconds:.3}\">",
        escaped(&report.drill),
        report.table.len() + 1 + usize::from(application.is_some()),
        bad + whole
    )?;
    let class = format!("{}.{}", escaped(&report.engine), escaped(&report.drill));
    writeln!(out, "  <testcase classname=\"{class}\" name=\"verdict\" time=\"{seconds:.3}\">")?;
    let why = escaped(&report.why);
    match report.verdict {
        Verdict::Pass => {}
        Verdict::Skipped => writeln!(out, "    <skipped message=\"{why}\"/>")?,
        verdict => {
            let violations = escaped(&report.consistency.violations.join("\n"));
            let word = verdict.word();
            writeln!(out, "    <failure message=\"{word}: {why}\">{violations}</failure>")?;
        }
    }
    writeln!(out, "  </testcase>")?;
    if let Some(it) = &report.application {
        let name = escaped(&format!("application {}: {}", it.application, it.claim));
        write!(out, "  <testcase classname=\"{class}\" name=\"{name}\">")?;
        if !it.is_well() {
            write!(out, "<failure message=\"{}\"/>", escaped(&it.verdict()))?;
        }
        writeln!(out, "</testcase>")?;
    }
    for row in &report.table {
        let name = escaped(&format!("{}: {}", row.what, row.expected));
        write!(out, "  <testcase classname=\"{class}\" name=\"{name}\">")?;
        if !row.ok {
            write!(out, "<failure message=\"{}\"/>", escaped(&row.observed))?;
        }
        writeln!(out, "</testcase>")?;
    }
    writeln!(out, "</testsuite>")
}
