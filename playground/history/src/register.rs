//! A search for an order of the operations on one key that explains their results.
//!
//! The algorithm of Wing and Gong (1993) with the memory of visited states by Lowe (2017), as
//! in the checkers of Jepsen and porcupine: try every operation that may come next, go back
//! when a result does not fit, and never enter the same set of done operations with the same
//! value twice.
//!
//! # Invariant
//! Revisions are not looked at, only values, results and times. An operation without an answer
//! may come at any time after it began, or never. Where values are unique and the cluster told
//! at the end what was written, this is narrowed by what was seen, or the search would never
//! end: a value that is nowhere was never written, and one that a watch told of was written
//! before that.
//!
//! Keys that anything but single-key operations may have touched are left out; [`crate::replay`]
//! judges those.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use crate::record::{
    Answer, Compare, Event, History, KeyRange, Nanos, Outcome, Pair, Request, Response, Txn, TxnOp,
};
use crate::verdict::{Report, Rule, Violation};

/// A value by number; 0 is "no such key".
type Value = u32;

/// What an operation does to a single key, and with what result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Write(Value),
    Read(Value),
    /// Deletes it; whether it was there, if known.
    Delete(Option<bool>),
    /// Writes `to` if the key is `from`; whether it was, if known.
    Swap {
        from: Value,
        to: Value,
        done: Option<bool>,
    },
}

#[derive(Clone, Copy, Debug)]
struct Step {
    action: Action,
    invoked: Nanos,
    finished: Option<Nanos>,
    /// Where it is in the history.
    operation: usize,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Order,
    NoOrder,
    GaveUp,
}

/// Checks every key that only single-key operations touched.
pub fn check(history: &History, states_max: usize, report: &mut Report) {
    let skipped = touched_otherwise(history);
    for (key, steps) in steps_by_key(history, &skipped) {
        report.keys_searched += 1;
        let start = steps.start;
        match search(&steps.steps, start, states_max) {
            Found::Order => {}
            Found::GaveUp => report.undecided.push(format!(
                "the search for an order on {key} gave up after {states_max} states"
            )),
            Found::NoOrder => {
                let small = shrink(steps.steps, start, states_max);
                let what = format!("no order of the operations on {key} explains their results");
                let shown = small.iter().map(|step| &history.operations[step.operation]);
                report.violations.push(Violation::new(Rule::Linearizability, what).shown_by(shown));
            }
        }
    }
}

/// Keys with operations that this model does not have.
struct Otherwise {
    keys: BTreeSet<String>,
    ranges: Vec<KeyRange>,
}

impl Otherwise {
    fn contains(&self, key: &str) -> bool {
        self.keys.contains(key) || self.ranges.iter().any(|range| range.contains(key))
    }
}

fn touched_otherwise(history: &History) -> Otherwise {
    let mut skipped = Otherwise { keys: BTreeSet::new(), ranges: Vec::new() };
    for operation in &history.operations {
        match &operation.request {
            Request::Put(put) if put.lease != 0 => drop(skipped.keys.insert(put.key.clone())),
            Request::Delete { range } if range.end.is_some() => skipped.ranges.push(range.clone()),
            Request::Txn(txn) if as_swap(txn).is_none() => {
                for one in txn.success.iter().chain(&txn.failure) {
                    match one {
                        TxnOp::Put(put) => drop(skipped.keys.insert(put.key.clone())),
                        TxnOp::Delete { range } => skipped.ranges.push(range.clone()),
                        TxnOp::Get { .. } => {}
                    }
                }
            }
            _ => {}
        }
    }
    skipped
}

/// A compare of one key's value that puts the same key, and does nothing else.
fn as_swap(txn: &Txn) -> Option<(&str, Option<&str>, &str)> {
    let ([compare], [TxnOp::Put(put)]) = (&txn.compares[..], &txn.success[..]) else { return None };
    let (key, from) = match compare {
        Compare::ValueIs { key, value } => (key, Some(value.as_str())),
        Compare::CreateRevisionIs { key, revision: 0 }
        | Compare::ModRevisionIs { key, revision: 0 } => (key, None),
        _ => return None,
    };
    let reads_only = txn.failure.iter().all(|one| matches!(one, TxnOp::Get { .. }));
    (*key == put.key && put.lease == 0 && reads_only).then_some((key, from, &put.value))
}

/// The steps on one key, and its value at the start.
#[derive(Default)]
struct Steps {
    start: Value,
    steps: Vec<Step>,
    numbers: HashMap<String, Value>,
}

impl Steps {
    fn number(&mut self, value: &str) -> Value {
        let next = self.numbers.len() as Value + 1;
        *self.numbers.entry(value.to_string()).or_insert(next)
    }

    fn found(&mut self, pairs: &[Pair]) -> Value {
        pairs.first().map_or(0, |pair| self.number(&pair.value))
    }
}

/// When each value of a key was first told of by a watch, if it was written at all.
struct Written<'a>(HashMap<(&'a str, &'a str), Option<Nanos>>);

impl<'a> Written<'a> {
    /// Nothing if the cluster told nothing at the end.
    fn new(history: &'a History) -> Option<Self> {
        let put = |event: &'a Event| match event {
            Event::Put(pair) => Some((pair.key.as_str(), pair.value.as_str())),
            Event::Delete { .. } => None,
        };
        let mut written: HashMap<_, Option<Nanos>> =
            history.events.iter().filter_map(put).map(|written| (written, None)).collect();
        for message in history.watches.iter().flat_map(|watch| &watch.messages) {
            for known in message.events.iter().filter_map(|told| put(&told.event)) {
                let first = written.entry(known).or_default();
                *first = Some(first.map_or(message.received, |first| first.min(message.received)));
            }
        }
        (!history.events.is_empty()).then_some(Self(written))
    }

    /// For a write without an answer: nothing if it never happened, else when it had, at last.
    fn of(&self, request: &Request) -> Option<Option<Nanos>> {
        let written = match request {
            Request::Put(put) => (put.key.as_str(), put.value.as_str()),
            Request::Txn(txn) => {
                let (key, _, to) = as_swap(txn)?;
                (key, to)
            }
            _ => return Some(None),
        };
        self.0.get(&written).copied()
    }
}

fn steps_by_key(history: &History, skipped: &Otherwise) -> BTreeMap<String, Steps> {
    let written = Written::new(history);
    let mut keys: BTreeMap<String, Steps> = BTreeMap::new();
    for (index, operation) in history.operations.iter().enumerate() {
        let Some(key) = key_of(&operation.request) else { continue };
        if skipped.contains(key) || matches!(operation.outcome, Outcome::Refused(_)) {
            continue;
        }
        let steps = keys.entry(key.to_string()).or_default();
        let answer = match &operation.outcome {
            Outcome::Ok(Response { answer, .. }) => Some(answer),
            _ => None,
        };
        if let Some(action) = action(&operation.request, answer, steps) {
            let finished = match (answer, &written) {
                (Some(_), _) => operation.finished,
                (None, None) => None,
                (None, Some(written)) => match written.of(&operation.request) {
                    Some(seen) => seen.map(|seen| seen.max(operation.invoked)),
                    None => continue,
                },
            };
            let invoked = operation.invoked;
            steps.steps.push(Step { action, invoked, finished, operation: index });
        }
    }
    for pair in &history.start {
        if let Some(steps) = keys.get_mut(&pair.key) {
            steps.start = steps.number(&pair.value);
        }
    }
    keys
}

fn key_of(request: &Request) -> Option<&str> {
    match request {
        Request::Put(put) => Some(&put.key),
        Request::Delete { range } if range.end.is_none() => Some(&range.key),
        Request::Get(get) if get.end_is_none() && !get.serializable && get.revision == 0 => {
            Some(&get.range.key)
        }
        Request::Txn(txn) => as_swap(txn).map(|(key, ..)| key),
        _ => None,
    }
}

/// None for what tells nothing: a read without an answer.
fn action(request: &Request, answer: Option<&Answer>, steps: &mut Steps) -> Option<Action> {
    match request {
        Request::Put(put) => Some(Action::Write(steps.number(&put.value))),
        Request::Delete { .. } => {
            let deleted = answer.and_then(|answer| match answer {
                Answer::Deleted(count) => Some(*count > 0),
                _ => None,
            });
            Some(Action::Delete(deleted))
        }
        Request::Txn(txn) => {
            let (_, from, to) = as_swap(txn)?;
            let from = from.map_or(0, |from| steps.number(from));
            let to = steps.number(to);
            let done = answer.and_then(|answer| match answer {
                Answer::Txn { succeeded, .. } => Some(*succeeded),
                _ => None,
            });
            Some(Action::Swap { from, to, done })
        }
        _ => match answer? {
            Answer::Pairs(pairs) => Some(Action::Read(steps.found(pairs))),
            _ => None,
        },
    }
}

/// The value after the action, if its result fits.
fn apply(value: Value, action: Action) -> Option<Value> {
    match action {
        Action::Write(to) => Some(to),
        Action::Read(seen) => (seen == value).then_some(value),
        Action::Delete(was_there) => was_there.is_none_or(|was| was == (value != 0)).then_some(0),
        Action::Swap { from, to, done } => {
            let fits = value == from;
            done.is_none_or(|done| done == fits).then_some(if fits { to } else { value })
        }
    }
}

/// Beginnings and ends in the order of time, as a list that entries can be lifted from.
struct Timeline {
    /// The step, and whether this is its end.
    entries: Vec<(usize, bool)>,
    next: Vec<usize>,
    previous: Vec<usize>,
    /// Where each step's end is.
    ends: Vec<Option<usize>>,
    /// Ends that are still in the list.
    open: usize,
}

/// Where the list begins and ends.
const ROOT: usize = 0;

impl Timeline {
    fn new(steps: &[Step]) -> Self {
        let mut order: Vec<(Nanos, bool, usize)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            order.push((step.invoked, false, number));
            order.extend(step.finished.map(|finished| (finished, true, number)));
        }
        // At one moment beginnings come first: then the two overlap, which proves less.
        order.sort_unstable();
        let mut ends = vec![None; steps.len()];
        let mut entries = vec![(0, true)];
        for (_, is_end, number) in order {
            if is_end {
                ends[number] = Some(entries.len());
            }
            entries.push((number, is_end));
        }
        let count = entries.len();
        let next = (0..count).map(|at| (at + 1) % count).collect();
        let previous = (0..count).map(|at| (at + count - 1) % count).collect();
        let open = ends.iter().flatten().count();
        Self { entries, next, previous, ends, open }
    }

    fn unlink(&mut self, at: usize) {
        let (next, previous) = (self.next[at], self.previous[at]);
        self.next[previous] = next;
        self.previous[next] = previous;
    }

    fn link(&mut self, at: usize) {
        let (next, previous) = (self.next[at], self.previous[at]);
        self.next[previous] = at;
        self.previous[next] = at;
    }

    /// Takes a step out that begins at this entry.
    fn lift(&mut self, at: usize) {
        self.unlink(at);
        if let Some(end) = self.ends[self.entries[at].0] {
            self.unlink(end);
            self.open -= 1;
        }
    }

    /// Puts back what was lifted last.
    fn put_back(&mut self, at: usize) {
        if let Some(end) = self.ends[self.entries[at].0] {
            self.link(end);
            self.open += 1;
        }
        self.link(at);
    }
}

/// Which steps are done.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Done(Vec<u64>);

impl Done {
    fn flip(&mut self, step: usize) {
        self.0[step / 64] ^= 1 << (step % 64);
    }
}

fn search(steps: &[Step], start: Value, states_max: usize) -> Found {
    search_counted(steps, start, states_max).0
}

/// The same, and how many states it looked at.
fn search_counted(steps: &[Step], start: Value, states_max: usize) -> (Found, usize) {
    let mut list = Timeline::new(steps);
    let mut done = Done(vec![0; steps.len().div_ceil(64)]);
    let mut visited: HashSet<(Done, Value)> = HashSet::new();
    let mut path: Vec<(usize, Value)> = Vec::new();
    let mut value = start;
    let mut at = list.next[ROOT];
    while list.open > 0 {
        let (step, is_end) = list.entries[at];
        if is_end {
            // This operation ended before anything else could come: go back.
            let Some((last, before)) = path.pop() else { return (Found::NoOrder, visited.len()) };
            value = before;
            done.flip(list.entries[last].0);
            list.put_back(last);
            at = list.next[last];
            continue;
        }
        if let Some(after) = apply(value, steps[step].action) {
            done.flip(step);
            if visited.insert((done.clone(), after)) {
                if visited.len() > states_max {
                    return (Found::GaveUp, visited.len());
                }
                path.push((at, value));
                value = after;
                list.lift(at);
                at = list.next[ROOT];
                continue;
            }
            done.flip(step);
        }
        at = list.next[at];
    }
    (Found::Order, visited.len())
}

/// A smaller set of steps for which there is no order either.
///
/// A write may go only if nothing left depends on its value: then the rest is impossible by
/// itself, and proves as much as the whole.
///
/// All attempts together may look at `states_max` states: what is left then is longer than it
/// could be, and as wrong.
fn shrink(mut steps: Vec<Step>, start: Value, states_max: usize) -> Vec<Step> {
    let (mut at, mut left) = (steps.len(), states_max);
    while at > 0 && left > 0 {
        at -= 1;
        let candidate = steps[at];
        if is_needed(candidate.action, &steps) {
            continue;
        }
        steps.remove(at);
        let (found, seen) = search_counted(&steps, start, left);
        // A candidate that needs no search costs something too.
        left = left.saturating_sub(seen.max(1));
        if found != Found::NoOrder {
            steps.insert(at, candidate);
        }
    }
    steps
}

fn is_needed(action: Action, steps: &[Step]) -> bool {
    let written = match action {
        Action::Write(value) | Action::Swap { to: value, .. } => value,
        Action::Delete(_) => 0,
        Action::Read(_) => return false,
    };
    let depends = |other: &Action| match other {
        Action::Read(value) | Action::Swap { from: value, .. } => *value == written,
        // Whether the key was there depends on every write.
        Action::Delete(known) => known.is_some(),
        Action::Write(_) => false,
    };
    steps.iter().filter(|step| step.action != action).any(|step| depends(&step.action))
}

/// For tests: whether there is an order, by trying them all.
#[cfg(test)]
pub(crate) fn brute_force(operations: &[crate::record::Operation], key: &str) -> bool {
    let history = History { operations: operations.to_vec(), ..History::default() };
    let skipped = Otherwise { keys: BTreeSet::new(), ranges: Vec::new() };
    let Some(steps) = steps_by_key(&history, &skipped).remove(key) else { return true };
    fn try_all(left: &[Step], value: Value) -> bool {
        let ended = left.iter().filter_map(|step| step.finished).min();
        let Some(first_end) = ended else { return true };
        (0..left.len()).any(|index| {
            let step = left[index];
            let Some(after) = apply(value, step.action) else { return false };
            let rest: Vec<Step> =
                left.iter().enumerate().filter(|(at, _)| *at != index).map(|(_, s)| *s).collect();
            step.invoked <= first_end && try_all(&rest, after)
        })
    }
    try_all(&steps.steps, steps.start)
}
