//! Following some keys: read them once, then watch from the revision they were read at.
//!
//! # Invariant
//! Between what was read and what is watched there is no gap: the watch begins right behind the
//! read, and one that broke off is opened again right behind the last change that was heard.
//! Only when the cluster has compacted that away is everything read again.
//!
//! A watch at a member that is cut off is silent, and this follower waits with it.

use std::time::Duration;

use history::record::{Answer, Event as Change, Get, KeyRange, Outcome, Pair, Request};

use super::client::{Effect, Event, Numbers, Question};

/// Before a request or a watch that failed is made again.
const AGAIN: Duration = Duration::from_millis(150);

#[derive(Debug)]
pub struct Follow {
    range: KeyRange,
    question: Question,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading {
        at: Duration,
    },
    /// From that revision on; to be opened at that time, or open.
    Watching {
        from: i64,
        open: Option<Duration>,
    },
}

/// What is new.
#[derive(Debug, PartialEq)]
pub enum News {
    Nothing,
    Read { pairs: Vec<Pair> },
    Changed(Vec<Change>),
}

impl Follow {
    pub fn new(range: KeyRange) -> Self {
        let state = State::Reading { at: Duration::ZERO };
        Self { range, question: Question::default(), state }
    }

    pub fn wake(&self) -> Option<Duration> {
        match self.state {
            State::Reading { at } => Some(at).filter(|_| !self.question.is_open()),
            State::Watching { open, .. } => open,
        }
    }

    /// Takes any event of its client.
    pub fn on<T>(
        &mut self,
        event: &Event,
        now: Duration,
        numbers: &mut Numbers,
        out: &mut Vec<Effect<T>>,
    ) -> News {
        let mut news = News::Nothing;
        if let Some(outcome) = self.question.answer(event) {
            self.state = State::Reading { at: now + AGAIN };
            if let Outcome::Ok(response) = outcome
                && let Answer::Pairs(pairs) = response.answer
            {
                self.state = State::Watching { from: response.revision + 1, open: Some(now) };
                news = News::Read { pairs };
            }
        }
        match (event, &mut self.state) {
            (Event::Changed(changes), State::Watching { from, .. }) => {
                let last = changes.iter().map(Change::revision).max().unwrap_or(0);
                *from = (*from).max(last + 1);
                news = News::Changed(changes.clone());
            }
            (Event::Broke { compacted: true }, state) => *state = State::Reading { at: now },
            (Event::Broke { .. }, State::Watching { open, .. }) => *open = Some(now + AGAIN),
            _ => {}
        }
        match &mut self.state {
            State::Reading { at } if now >= *at && !self.question.is_open() => {
                let range = self.range.clone();
                let get = Get { range, serializable: false, revision: 0 };
                self.question.ask(numbers, Request::Get(get), out);
            }
            State::Watching { from, open } if open.is_some_and(|at| now >= at) => {
                *open = None;
                out.push(Effect::Watch { range: self.range.clone(), from: *from });
            }
            _ => {}
        }
        news
    }
}

/// All keys that begin with this.
pub fn below(prefix: &str) -> KeyRange {
    KeyRange { key: prefix.into(), end: Some(format!("{prefix}\u{10ffff}")) }
}

#[cfg(test)]
mod tests {
    use history::record::Response;

    use super::*;

    #[test]
    fn a_watch_goes_on_right_behind_what_was_heard() {
        let (mut follow, mut numbers) = (Follow::new(below("x/")), Numbers::from(1));
        let at = Duration::from_secs;
        let mut take = |event: Event, now| {
            let mut out: Vec<Effect<()>> = Vec::new();
            let news = follow.on(&event, at(now), &mut numbers, &mut out);
            (news, out)
        };
        let (_, out) = take(Event::Born, 0);
        let Effect::Ask { number, .. } = &out[0] else { panic!("{out:?}") };
        let response = Response { revision: 7, answer: Answer::Pairs(Vec::new()) };
        let outcome = Outcome::Ok(response);
        let (news, out) = take(Event::Answered { number: *number, outcome }, 1);
        assert_eq!(news, News::Read { pairs: Vec::new() });
        assert_eq!(out, [Effect::Watch { range: below("x/"), from: 8 }]);
        let gone = Change::Delete { key: "x/1".into(), revision: 12 };
        assert_eq!(take(Event::Changed(vec![gone.clone()]), 2).0, News::Changed(vec![gone]));
        assert!(take(Event::Broke { compacted: false }, 3).1.is_empty(), "not at once");
        assert_eq!(take(Event::Woke, 4).1, [Effect::Watch { range: below("x/"), from: 13 }]);
        let (_, out) = take(Event::Broke { compacted: true }, 5);
        assert!(matches!(out[0], Effect::Ask { .. }), "what is compacted away is read again");
    }
}
