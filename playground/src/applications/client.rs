//! What a small client hears and wants: the vocabulary between the pure clients of an
//! application and the shell that carries their wishes out.
//!
//! # Invariants
//! - A client is a function of what it has heard: events and the time go in, effects come out.
//! - An answer belongs to the question of its number; an answer nobody waits for is dropped.

use std::time::Duration;

use history::record::{Event as Change, KeyRange, Outcome, Request};

/// What a client hears.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Its life begins.
    Born,
    /// The time it asked for has come.
    Woke,
    /// To [`Effect::Ask`].
    Answered { number: u64, outcome: Outcome },
    /// Of the watch that was opened last.
    Changed(Vec<Change>),
    /// The watch ended; whether because its beginning is compacted away.
    Broke { compacted: bool },
    /// From what stands outside of the cluster.
    Outside(Outside),
}

/// What a resource outside of the cluster answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outside {
    Value(u64),
    Written,
    /// A newer token than the one that was shown.
    Refused {
        newest: i64,
    },
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect<T> {
    /// Ask some member, once.
    Ask { number: u64, request: Request },
    /// Watch from a revision on, instead of whatever was watched before.
    Watch { range: KeyRange, from: i64 },
    /// Tell the ledger, or act on what stands outside; it may answer at once.
    Tell(T),
}

/// A small client.
pub trait Client<T>: Send {
    /// Takes an event.
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<T>>;

    /// When it wants to be woken, if nothing else happens.
    fn wake(&self) -> Option<Duration>;
}

/// Numbers for questions; at most one is waited for.
#[derive(Debug, Default)]
pub struct Question {
    open: Option<u64>,
}

/// Gives numbers that no other question and no other lease of this client has.
#[derive(Debug)]
pub struct Numbers {
    next: u64,
}

impl Numbers {
    pub fn from(first: u64) -> Self {
        Self { next: first }
    }

    pub fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// A lease that nobody else has.
    pub fn lease(&mut self) -> i64 {
        // Half of all numbers are leases: above 0.
        (self.fresh() & (i64::MAX as u64)).max(1) as i64
    }
}

impl Question {
    /// Asks, unless an answer is still open.
    pub fn ask<T>(&mut self, numbers: &mut Numbers, request: Request, out: &mut Vec<Effect<T>>) {
        let number = numbers.fresh();
        self.open = Some(number);
        out.push(Effect::Ask { number, request });
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whatever comes now is dropped.
    pub fn forget(&mut self) {
        self.open = None;
    }

    /// The outcome, if it is the one that is waited for.
    pub fn answer(&mut self, event: &Event) -> Option<Outcome> {
        let Event::Answered { number, outcome } = event else { return None };
        if self.open != Some(*number) {
            return None;
        }
        self.open = None;
        Some(outcome.clone())
    }
}

/// The earlier of two times, where none is never.
pub fn earlier(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    [one, other].into_iter().flatten().min()
}
