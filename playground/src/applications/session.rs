//! A lease that is kept alive: what ties keys of a client to its life.
//!
//! # Invariant
//! A session counts from when a renewal was *sent*, the cluster from when it arrived. So a
//! session that says it holds is right, for whatever runs on clocks of the same speed: it stops
//! believing before the cluster lets go.

use std::time::Duration;

use history::record::{Answer, Outcome, Request};

use super::client::{Effect, Event, Numbers, Question, earlier};

/// Before a request that failed is made again.
const AGAIN: Duration = Duration::from_millis(150);

/// A lease and the one who keeps it.
#[derive(Debug)]
pub struct Session {
    /// What is asked for; the cluster may grant more.
    ttl_seconds: i64,
    lease: i64,
    question: Question,
    /// When the question that is open was sent.
    sent: Duration,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    /// To be asked for at that time.
    None {
        at: Duration,
    },
    Asked,
    Alive {
        until: Duration,
        renew: Duration,
    },
}

/// What an event did to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    Nothing,
    Begun,
    Renewed,
    /// It is over, whether the cluster says so or the own clock.
    Lost,
}

impl Session {
    pub fn new(ttl_seconds: i64) -> Self {
        Self {
            ttl_seconds,
            lease: 0,
            question: Question::default(),
            sent: Duration::ZERO,
            state: State::None { at: Duration::ZERO },
        }
    }

    pub fn lease(&self) -> i64 {
        self.lease
    }

    /// How long it is known to hold; nothing without a lease.
    pub fn until(&self) -> Option<Duration> {
        match self.state {
            State::Alive { until, .. } => Some(until),
            _ => None,
        }
    }

    /// When something is to be done.
    pub fn wake(&self) -> Option<Duration> {
        match self.state {
            State::None { at } => Some(at),
            State::Asked => None,
            State::Alive { until, renew, .. } => {
                earlier(Some(until), Some(renew).filter(|_| !self.question.is_open()))
            }
        }
    }

    /// Gives the lease up; the next one is asked for at once.
    pub fn drop_lease(&mut self, now: Duration) {
        self.question.forget();
        self.state = State::None { at: now + AGAIN };
    }

    /// Takes any event of its client.
    pub fn on<T>(
        &mut self,
        event: &Event,
        now: Duration,
        numbers: &mut Numbers,
        out: &mut Vec<Effect<T>>,
    ) -> Turn {
        let turn = match self.question.answer(event) {
            Some(outcome) => self.answered(&outcome, now),
            None => Turn::Nothing,
        };
        if let State::Alive { until, .. } = self.state
            && now >= until
        {
            self.drop_lease(now);
            return Turn::Lost;
        }
        match self.state {
            State::None { at } if now >= at => {
                self.lease = numbers.lease();
                let (lease, ttl_seconds) = (self.lease, self.ttl_seconds);
                self.sent = now;
                self.state = State::Asked;
                self.question.ask(numbers, Request::Grant { lease, ttl_seconds }, out);
            }
            State::Alive { renew, .. } if now >= renew && !self.question.is_open() => {
                self.sent = now;
                self.question.ask(numbers, Request::KeepAlive { lease: self.lease }, out);
            }
            _ => {}
        }
        turn
    }

    fn answered(&mut self, outcome: &Outcome, now: Duration) -> Turn {
        let granted = match outcome {
            Outcome::Ok(response) => match response.answer {
                Answer::Ttl(seconds) => Some(u64::try_from(seconds).unwrap_or(0)),
                _ => None,
            },
            _ => None,
        };
        let ttl = granted.map(Duration::from_secs);
        match (&mut self.state, ttl) {
            (State::Asked, Some(ttl)) if !ttl.is_zero() => {
                self.state = State::Alive { until: self.sent + ttl, renew: now + ttl / 4 };
                Turn::Begun
            }
            // Whether it was granted or not, another one is asked for: nobody has keys of it.
            (State::Asked, _) => {
                self.state = State::None { at: now + AGAIN };
                Turn::Nothing
            }
            (State::Alive { .. }, Some(Duration::ZERO)) => {
                self.drop_lease(now);
                Turn::Lost
            }
            (State::Alive { until, renew }, Some(ttl)) => {
                (*until, *renew) = (self.sent + ttl, now + ttl / 4);
                Turn::Renewed
            }
            (State::Alive { renew, .. }, None) => {
                *renew = now + AGAIN;
                Turn::Nothing
            }
            (State::None { .. }, _) => Turn::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use history::record::Response;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// The number of the only question among the effects.
    fn asked(out: &mut Vec<Effect<()>>) -> (u64, Request) {
        match out.pop() {
            Some(Effect::Ask { number, request }) => (number, request),
            other => panic!("{other:?}"),
        }
    }

    fn answer(number: u64, ttl: i64) -> Event {
        let response = Response { revision: 0, answer: Answer::Ttl(ttl) };
        Event::Answered { number, outcome: Outcome::Ok(response) }
    }

    #[test]
    fn a_session_believes_no_longer_than_since_it_asked() {
        let (mut session, mut numbers, mut out) = (Session::new(2), Numbers::from(7), Vec::new());
        session.on(&Event::Born, seconds(10), &mut numbers, &mut out);
        let (number, request) = asked(&mut out);
        assert!(matches!(request, Request::Grant { ttl_seconds: 2, .. }));
        // The cluster grants more than was asked for, and the answer takes a second.
        let turn = session.on(&answer(number, 4), seconds(11), &mut numbers, &mut out);
        assert_eq!((turn, session.until()), (Turn::Begun, Some(seconds(14))));
        assert_eq!(session.on(&Event::Woke, seconds(12), &mut numbers, &mut out), Turn::Nothing);
        let (number, _) = asked(&mut out);
        let turn = session.on(&answer(number, 4), seconds(13), &mut numbers, &mut out);
        assert_eq!((turn, session.until()), (Turn::Renewed, Some(seconds(16))));
        assert_eq!(session.on(&Event::Woke, seconds(16), &mut numbers, &mut out), Turn::Lost);
        assert_eq!(session.until(), None);
    }

    #[test]
    fn a_lease_that_is_gone_is_lost_and_an_old_answer_changes_nothing() {
        let (mut session, mut numbers, mut out) = (Session::new(2), Numbers::from(7), Vec::new());
        session.on(&Event::Born, seconds(0), &mut numbers, &mut out);
        let (first, _) = asked(&mut out);
        session.on(&answer(first, 2), seconds(0), &mut numbers, &mut out);
        session.on(&Event::Woke, seconds(1), &mut numbers, &mut out);
        let (second, _) = asked(&mut out);
        assert_eq!(
            session.on(&answer(first, 9), seconds(1), &mut numbers, &mut out),
            Turn::Nothing
        );
        assert_eq!(session.on(&answer(second, 0), seconds(1), &mut numbers, &mut out), Turn::Lost);
        assert!(session.wake().is_some_and(|at| at > seconds(1)), "it asks for another one");
    }
}
