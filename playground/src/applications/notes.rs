//! What a ledger keeps for people: what happened, and which promises were broken. Bounded, so an
//! application that runs for days costs nothing.

use std::collections::VecDeque;
use std::time::Duration;

/// Lines that are kept.
const LINES_MAX: usize = 400;
/// Lines of weight that are kept; they are what a report shows.
const NOTABLE_MAX: usize = 60;
/// Broken promises that are told; the first is enough for a verdict.
const VIOLATIONS_MAX: usize = 12;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at: Duration,
    pub text: String,
}

/// All of it.
#[derive(Debug, Default)]
pub struct Notes {
    lines: VecDeque<Line>,
    dropped: usize,
    notable: Vec<Line>,
    violations: Vec<String>,
}

impl Notes {
    /// Daily business.
    pub fn line(&mut self, at: Duration, text: impl Into<String>) {
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(Line { at, text: text.into() });
    }

    /// Something the reader of a report wants to know.
    pub fn notable(&mut self, at: Duration, text: impl Into<String>) {
        let text = text.into();
        if self.notable.len() < NOTABLE_MAX {
            self.notable.push(Line { at, text: text.clone() });
        }
        self.line(at, text);
    }

    /// A promise was broken.
    pub fn violation(&mut self, at: Duration, text: impl Into<String>) {
        let text = text.into();
        self.notable(at, format!("BROKEN: {text}"));
        if self.violations.len() < VIOLATIONS_MAX {
            self.violations.push(text);
        }
    }

    /// Lines from number `from` on, and the number of the next one.
    pub fn since(&self, from: usize) -> (Vec<Line>, usize) {
        let skip = from.saturating_sub(self.dropped);
        (self.lines.iter().skip(skip).cloned().collect(), self.dropped + self.lines.len())
    }

    pub fn notables(&self) -> &[Line] {
        &self.notable
    }

    pub fn violations(&self) -> &[String] {
        &self.violations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_when_old_ones_go() {
        let mut notes = Notes::default();
        (0..LINES_MAX + 5).for_each(|n| notes.line(Duration::ZERO, n.to_string()));
        let (lines, next) = notes.since(LINES_MAX + 3);
        assert_eq!((lines[0].text.as_str(), lines.len(), next), ("403", 2, LINES_MAX + 5));
        assert_eq!(notes.since(0).0.len(), LINES_MAX);
    }
}
