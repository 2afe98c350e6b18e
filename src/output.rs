//! Printing: whole texts to standard output, tables with aligned columns.

use std::io::{self, Write};

/// Prints a text. A reader that has closed our output wants no more: that ends the program
/// well, as `etcd-tui ps | head -1` expects.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result,
    }
}

/// Prints sentences, one per line.
pub fn print_lines(lines: &[String]) -> io::Result<()> {
    print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())
}

/// Rows as aligned columns, two blanks apart; the first row is the heading.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// An error and what it came from, each cause said once: many name theirs already.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !said.contains(&cause) {
            said = if said.is_empty() { cause } else { format!("{said}: {cause}") };
        }
    }
    said
}

/// A number of bytes for people.
pub fn bytes(count: i64) -> String {
    const UNITS: [&str; 4] = ["B", "kB", "MB", "GB"];
    // Exact enough below 2^52 bytes.
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let cause = || io::Error::other("the disk is gone");
        let named = anyhow::Error::new(cause()).context("cannot open x: the disk is gone; buy one");
        assert_eq!(sentence(&named), "cannot open x: the disk is gone; buy one");
        let unnamed = anyhow::Error::new(cause()).context("cannot open x");
        assert_eq!(sentence(&unnamed), "cannot open x: the disk is gone");
    }

    #[test]
    fn columns_line_up_and_lines_do_not_trail() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = table(&[row(["NODE", "ÄÖ", "WHY"]), row(["n1", "x", ""])]);
        assert_eq!(text, "NODE  ÄÖ  WHY\nn1    x\n");
    }

    #[test]
    fn bytes_are_readable() {
        let shown = [0, 999, 1000, 20_480, 2_147_483_648].map(bytes);
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "20.5 kB", "2.1 GB"]);
    }
}
