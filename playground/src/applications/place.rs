//! A place in a line of keys, which is how locks and elections are made of etcd.
//!
//! Everybody puts a key of their own, tied to their lease, under one prefix. Whose key has the
//! lowest create revision is first; everybody else watches the key before theirs. The create
//! revision is the token of the turn: whoever comes later has a higher one.
//!
//! # Invariant
//! A place is left by revoking its lease. So a request of it that is still on its way can never
//! come back as an entry nobody owns, and every turn has a lease and a key of its own.

use std::time::Duration;

use history::record::{Answer, Compare, Get, KeyRange, Outcome, Pair, Put, Request, Txn, TxnOp};

use super::client::{Effect, Event, Numbers, Question, earlier};
use super::session::{Session, Turn};

/// Before a request that failed is made again.
const AGAIN: Duration = Duration::from_millis(150);
/// A watch may be silent because its member is cut off: so often one looks oneself.
const LOOK: Duration = Duration::from_secs(1);

/// Somebody's place.
#[derive(Debug)]
pub struct Place {
    prefix: String,
    name: String,
    session: Session,
    question: Question,
    phase: Phase,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Not in the line before that time.
    Out {
        at: Duration,
    },
    Entering {
        again: Duration,
    },
    Queued {
        look: Duration,
    },
    First {
        token: i64,
    },
    /// The lease is being revoked; after that, out until `back`.
    Leaving {
        again: Duration,
        back: Duration,
    },
}

/// What an event did to a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    /// Somebody is before.
    Waits {
        behind: String,
    },
    /// It is their turn.
    First {
        token: i64,
        until: Duration,
    },
    /// Their turn holds until then.
    Renewed {
        until: Duration,
    },
    /// Their turn is over, though they did not leave.
    Lost,
}

impl Place {
    pub fn new(prefix: &str, name: &str, ttl_seconds: i64) -> Self {
        Self {
            prefix: prefix.into(),
            name: name.into(),
            session: Session::new(ttl_seconds),
            question: Question::default(),
            phase: Phase::Out { at: Duration::ZERO },
        }
    }

    /// The key of this turn.
    pub fn key(&self) -> String {
        format!("{}{:016x}", self.prefix, self.session.lease())
    }

    /// The lease of this turn.
    pub fn lease(&self) -> i64 {
        self.session.lease()
    }

    /// The token, if it is their turn.
    pub fn token(&self) -> Option<i64> {
        match self.phase {
            Phase::First { token } => Some(token),
            _ => None,
        }
    }

    pub fn wake(&self) -> Option<Duration> {
        let own = match self.phase {
            Phase::Out { at } => Some(at).filter(|_| self.session.until().is_some()),
            Phase::Entering { again } | Phase::Leaving { again, .. } => Some(again),
            Phase::Queued { look } => Some(look),
            Phase::First { .. } => None,
        };
        earlier(self.session.wake(), own.filter(|_| !self.question.is_open()))
    }

    /// Leaves the line, and comes back at that time.
    pub fn leave(&mut self, now: Duration, back: Duration) {
        self.question.forget();
        self.phase = match self.session.until() {
            Some(_) => Phase::Leaving { again: now, back },
            None => Phase::Out { at: back },
        };
    }

    /// Takes any event of its client.
    pub fn on<T>(
        &mut self,
        event: &Event,
        now: Duration,
        numbers: &mut Numbers,
        out: &mut Vec<Effect<T>>,
    ) -> Step {
        let mut step = Step::Nothing;
        match self.session.on(event, now, numbers, out) {
            Turn::Lost => return self.lost(now),
            Turn::Renewed if self.token().is_some() => {
                step = Step::Renewed { until: self.session.until().unwrap_or(now) };
            }
            _ => {}
        }
        if let Some(outcome) = self.question.answer(event) {
            step = self.answered(outcome, now, out);
        }
        if let (Event::Changed(_) | Event::Broke { .. }, Phase::Queued { look }) =
            (event, &mut self.phase)
        {
            *look = now;
        }
        self.go_on(now, numbers, out);
        step
    }

    fn lost(&mut self, now: Duration) -> Step {
        self.question.forget();
        let was_first = self.token().is_some();
        self.phase = match self.phase {
            Phase::Leaving { back, .. } => Phase::Out { at: back },
            _ => Phase::Out { at: now },
        };
        if was_first { Step::Lost } else { Step::Nothing }
    }

    /// What is due is asked.
    fn go_on<T>(&mut self, now: Duration, numbers: &mut Numbers, out: &mut Vec<Effect<T>>) {
        if let Phase::Out { at } = self.phase
            && now >= at
            && self.session.until().is_some()
        {
            self.phase = Phase::Entering { again: now };
        }
        if self.question.is_open() {
            return;
        }
        let request = match self.phase {
            Phase::Entering { again } if now >= again => self.enter(),
            Phase::Queued { look } if now >= look => {
                Request::Get(Get { range: self.line(), serializable: false, revision: 0 })
            }
            Phase::Leaving { again, .. } if now >= again => {
                Request::Revoke { lease: self.session.lease() }
            }
            _ => return,
        };
        self.question.ask(numbers, request, out);
    }

    /// All places.
    fn line(&self) -> KeyRange {
        KeyRange { key: self.prefix.clone(), end: Some(format!("{}\u{10ffff}", self.prefix)) }
    }

    /// Puts the own key unless it is there, and looks at the line.
    fn enter(&self) -> Request {
        let (key, lease) = (self.key(), self.session.lease());
        let look = TxnOp::Get { range: self.line() };
        Request::Txn(Txn {
            compares: vec![Compare::CreateRevisionIs { key: key.clone(), revision: 0 }],
            success: vec![TxnOp::Put(Put { key, value: self.name.clone(), lease }), look.clone()],
            failure: vec![look],
        })
    }

    fn answered<T>(&mut self, outcome: Outcome, now: Duration, out: &mut Vec<Effect<T>>) -> Step {
        let later = now + AGAIN;
        match (&mut self.phase, outcome) {
            (Phase::Leaving { back, .. }, Outcome::Ok(_) | Outcome::Refused(_)) => {
                // Refused: there is no such lease any more, which is what was wanted.
                self.phase = Phase::Out { at: *back };
                self.session.drop_lease(now);
            }
            (Phase::Leaving { again, .. } | Phase::Entering { again }, Outcome::Unknown(_)) => {
                *again = later;
            }
            (Phase::Entering { .. }, Outcome::Refused(_)) => {
                self.session.drop_lease(now);
                self.phase = Phase::Out { at: later };
            }
            (Phase::Entering { .. } | Phase::Queued { .. }, Outcome::Ok(response)) => {
                let pairs = match response.answer {
                    Answer::Pairs(pairs) => pairs,
                    Answer::Txn { gets, .. } => gets.into_iter().next().unwrap_or_default(),
                    _ => Vec::new(),
                };
                return self.placed(&pairs, response.revision, now, out);
            }
            (Phase::Queued { look }, _) => *look = later,
            (Phase::Out { .. } | Phase::First { .. }, _) => {}
        }
        Step::Nothing
    }

    /// Where in the line one is.
    fn placed<T>(
        &mut self,
        pairs: &[Pair],
        revision: i64,
        now: Duration,
        out: &mut Vec<Effect<T>>,
    ) -> Step {
        let key = self.key();
        let (Some(mine), Some(until)) =
            (pairs.iter().find(|pair| pair.key == key), self.session.until())
        else {
            // The lease has gone, and the key with it.
            self.session.drop_lease(now);
            self.phase = Phase::Out { at: now + AGAIN };
            return Step::Nothing;
        };
        let token = mine.create_revision;
        let before = pairs.iter().filter(|pair| pair.create_revision < token);
        match before.max_by_key(|pair| pair.create_revision) {
            None => {
                self.phase = Phase::First { token };
                Step::First { token, until }
            }
            Some(before) => {
                let range = KeyRange::one(before.key.clone());
                out.push(Effect::Watch { range, from: revision + 1 });
                self.phase = Phase::Queued { look: now + LOOK };
                Step::Waits { behind: before.value.clone() }
            }
        }
    }
}
