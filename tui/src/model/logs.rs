//! The nodes' log lines, merged by time and bounded.

use crate::text;
use std::collections::VecDeque;

/// About an hour of a busy cluster; the files hold the rest.
const LINES_KEPT: usize = 20_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    pub node: String,
    /// The time as the line writes it: comparable as text among lines of one format.
    pub at: String,
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub struct Logs {
    lines: VecDeque<LogLine>,
    /// Only this node's lines; `None` for all of them.
    pub node: Option<String>,
    pub filter: String,
    /// Lines between the bottom of the screen and the end; 0 follows.
    pub back: usize,
    /// Whether the end is followed even as lines arrive.
    pub paused: bool,
    /// Lines exactly as written, instead of readable.
    pub raw: bool,
    /// Long lines take several rows instead of being cut.
    pub wrap: bool,
    /// Whether files are being followed now.
    pub tailing: bool,
}

impl Logs {
    /// Adds lines of one node, each at its time among those of the others.
    pub fn add(&mut self, node: &str, lines: Vec<String>) {
        let mut last = self
            .lines
            .iter()
            .rev()
            .find(|line| line.node == node)
            .map(|line| line.at.clone())
            .unwrap_or_default();
        let mut shown = 0;
        for text in lines {
            // A line without a time belongs to the one before it (a panic's stack).
            let at = time_of(&text).map_or_else(|| last.clone(), str::to_owned);
            last.clone_from(&at);
            let line = LogLine { node: node.to_owned(), at, text };
            shown += usize::from(self.matches(&line));
            let mut index = self.lines.len();
            while index > 0 && self.lines[index - 1].at > line.at {
                index -= 1;
            }
            self.lines.insert(index, line);
            if self.lines.len() > LINES_KEPT {
                self.lines.pop_front();
            }
        }
        if self.paused {
            self.back += shown;
        }
    }

    /// Whether a line passes node and filter. `!text` keeps what does not contain it.
    pub fn matches(&self, line: &LogLine) -> bool {
        if self.node.as_ref().is_some_and(|node| *node != line.node) {
            return false;
        }
        text::passes(&line.text, &self.filter)
    }

    /// Matching lines, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &LogLine> {
        self.lines.iter().rev().filter(|line| self.matches(line))
    }

    pub fn clear(&mut self) {
        self.lines.clear();
        self.back = 0;
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Scrolls by lines: positive towards the end.
    pub fn scroll(&mut self, down: i64, height: usize) {
        let most = self.newest().count().saturating_sub(height);
        let back = (self.back as i64 - down).clamp(0, most as i64);
        self.back = back as usize;
        self.paused = self.back > 0;
    }
}

/// The time a JSON line (`"ts":"…"`) or a console line (`2026-…`) carries.
pub fn time_of(line: &str) -> Option<&str> {
    for field in ["\"ts\":\"", "\"timestamp\":\""] {
        if let Some(at) = line.find(field) {
            let rest = &line[at + field.len()..];
            return rest.find('"').map(|end| &rest[..end]);
        }
    }
    let stamp = line.split([' ', '\t']).next()?;
    (stamp.len() >= 19 && stamp.as_bytes()[4] == b'-' && stamp.as_bytes()[7] == b'-')
        .then_some(stamp)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: &str, text: &str) -> String {
        format!("{{\"level\":\"info\",\"ts\":\"2026-01-01T00:00:{at}Z\",\"msg\":\"{text}\"}}")
    }

    fn messages(logs: &Logs) -> Vec<String> {
        let mut all: Vec<String> = logs
            .newest()
            .map(|l| l.text.split("\"msg\":\"").nth(1).unwrap_or("?").to_owned())
            .collect();
        all.reverse();
        all.into_iter().map(|m| m.trim_end_matches("\"}").to_owned()).collect()
    }

    #[test]
    fn nodes_are_merged_by_time() {
        let mut logs = Logs::default();
        logs.add("n1", vec![line("01", "a"), line("04", "d")]);
        logs.add("n2", vec![line("02", "b"), line("03", "c"), line("05", "e")]);
        assert_eq!(messages(&logs), ["a", "b", "c", "d", "e"]);
        logs.node = Some("n2".into());
        assert_eq!(messages(&logs), ["b", "c", "e"]);
        logs.filter = "!c\"".into();
        assert_eq!(messages(&logs), ["b", "e"]);
    }

    #[test]
    fn a_line_without_time_stays_behind_its_own() {
        let mut logs = Logs::default();
        logs.add("n1", vec![line("09", "late")]);
        logs.add("n2", vec![line("01", "panic"), "goroutine 1 [running]".into()]);
        assert_eq!(logs.newest().nth(1).map(|l| l.text.as_str()), Some("goroutine 1 [running]"));
    }

    #[test]
    fn reading_back_holds_its_place_as_lines_arrive() {
        let mut logs = Logs::default();
        logs.add("n1", (10..40).map(|i| line(&i.to_string(), "x")).collect());
        logs.scroll(-5, 10);
        assert_eq!((logs.back, logs.paused), (5, true));
        logs.add("n1", vec![line("50", "y"), line("51", "z")]);
        assert_eq!(logs.back, 7);
        logs.scroll(100, 10);
        assert_eq!((logs.back, logs.paused), (0, false));
    }
}
