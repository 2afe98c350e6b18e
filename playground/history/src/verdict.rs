//! What the checks found, and how it is told.

use std::fmt;

use crate::record::{Operation, Outcome, Request};

/// The promise that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// What the cluster tells of its own past contradicts itself.
    Events,
    /// An acknowledged write is missing or changed.
    LostWrite,
    /// A write happened twice.
    DoubledWrite,
    /// A change that nobody asked for, or that was refused.
    PhantomWrite,
    /// A linearizable operation did not see what had finished before it began.
    StaleRead,
    /// An answer differs from the state at its revision.
    WrongAnswer,
    /// An answer holds what had not been asked for yet.
    Future,
    WatchOrdered,
    WatchUnique,
    WatchAtomic,
    WatchReliable,
    WatchResumable,
    WatchBookmarkable,
    WatchFilter,
    WatchPrevious,
    WatchWrongEvent,
    /// Keys went before their lease had to end, or a lease that had ended was kept alive.
    Lease,
    /// Members hold different data.
    Hash,
    /// No order of the operations on a key explains their results.
    Linearizability,
}

/// One broken promise with the operations that show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    /// One sentence.
    pub what: String,
    /// The smallest history that shows it, a line each.
    pub history: Vec<String>,
}

impl Violation {
    pub fn new(rule: Rule, what: impl Into<String>) -> Self {
        Self { rule, what: what.into(), history: Vec::new() }
    }

    /// With the operations that show it, in the order they were invoked.
    #[must_use]
    pub fn shown_by<'a>(mut self, operations: impl IntoIterator<Item = &'a Operation>) -> Self {
        let mut operations: Vec<_> = operations.into_iter().collect();
        operations.sort_by_key(|operation| operation.invoked);
        self.history.extend(operations.into_iter().map(describe));
        self
    }

    /// With any other line.
    #[must_use]
    pub fn and(mut self, line: impl fmt::Display) -> Self {
        self.history.push(line.to_string());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)?;
        self.history.iter().try_for_each(|line| write!(f, "\n    {line}"))
    }
}

/// All that was found, and how much was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub violations: Vec<Violation>,
    /// Searches that gave up, and why. The replay has judged the same operations.
    pub undecided: Vec<String>,
    pub acknowledged_writes: usize,
    pub linearizable_reads: usize,
    pub serializable_reads: usize,
    /// Operations whose outcome nobody knows.
    pub unknown: usize,
    pub watch_events: usize,
    pub keys_searched: usize,
    pub hashes: usize,
}

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No promise was broken.
    Safe,
    /// A promise was broken; the violations are proof.
    Unsafe,
    /// Nothing was observed.
    Undecided,
}

impl Report {
    pub fn verdict(&self) -> Verdict {
        let observed = self.acknowledged_writes + self.linearizable_reads + self.watch_events;
        if !self.violations.is_empty() {
            Verdict::Unsafe
        } else if observed == 0 {
            Verdict::Undecided
        } else {
            Verdict::Safe
        }
    }

    /// Whether a violation of this rule was found.
    pub fn breaks(&self, rule: Rule) -> bool {
        self.violations.iter().any(|violation| violation.rule == rule)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?}: {} acknowledged writes, {} linearizable and {} serializable reads, \
             {} watch events, {} unknown outcomes, {} keys searched, {} hashes",
            self.verdict(),
            self.acknowledged_writes,
            self.linearizable_reads,
            self.serializable_reads,
            self.watch_events,
            self.unknown,
            self.keys_searched,
            self.hashes,
        )?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n{violation}"))?;
        self.undecided.iter().try_for_each(|why| write!(f, "\nnote: {why}"))
    }
}

/// `t+1.234s..1.240s client 3 at n1: put a = 7 -> revision 12`
pub fn describe(operation: &Operation) -> String {
    let seconds = |nanos: u64| nanos as f64 / 1e9;
    let finished = match operation.finished {
        Some(finished) => format!("{:.4}s", seconds(finished)),
        None => "never".into(),
    };
    let member = match operation.member.as_str() {
        "" => String::new(),
        member => format!(" at {member}"),
    };
    let outcome = match &operation.outcome {
        Outcome::Ok(response) => format!("revision {} {:?}", response.revision, response.answer),
        Outcome::Refused(why) => format!("refused: {why}"),
        Outcome::Unknown(why) => format!("unknown: {why}"),
    };
    let request = match &operation.request {
        Request::Put(put) => format!("put {} = {:?}", put.key, put.value),
        Request::Get(get) if get.end_is_none() => format!(
            "{}get {}{}",
            if get.serializable { "serializable " } else { "" },
            get.range.key,
            if get.revision > 0 { format!(" at revision {}", get.revision) } else { String::new() }
        ),
        other => format!("{other:?}"),
    };
    format!(
        "t+{:.4}s..{finished} client {}{member}: {request} -> {outcome}",
        seconds(operation.invoked),
        operation.client
    )
}
