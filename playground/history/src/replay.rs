//! Every answer against the state at its revision, in real time.
//!
//! # Invariant
//! Each committed revision has exactly one cause: an acknowledged request, one whose outcome
//! is unknown, or the end of a lease. Each acknowledged write has exactly one revision. An
//! unknown request causes one revision at most.
//!
//! Real time: a linearizable operation gets a revision no older than anything that was
//! answered (or watched) before it began; nothing is seen before it was asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::committed::Committed;
use crate::expect::{Expected, expect};
use crate::record::{Answer, Event, History, Nanos, Operation, Outcome, Request, Response};
use crate::verdict::{Report, Rule, Violation, describe};

/// Who caused which revision: the index of the operation.
type Causes = BTreeMap<i64, usize>;

/// What is known of who caused what.
#[derive(Default)]
struct Ledger {
    causes: Causes,
    /// Acknowledged transactions that may have caused their revision, or have come right after
    /// it and found nothing left to do.
    either: BTreeSet<usize>,
}

/// Checks all operations.
pub fn check(history: &History, committed: &Committed, report: &mut Report) {
    let mut ledger = Ledger::default();
    for (index, operation) in history.operations.iter().enumerate() {
        count(operation, report);
        if let Outcome::Ok(response) = &operation.outcome {
            let violation = answered(index, history, response, committed, &mut ledger);
            report.violations.extend(violation);
        }
    }
    let seen = Seen::new(history);
    unclaimed(history, committed, &seen, &mut ledger, report);
    real_time(history, &seen, &ledger, report);
    no_future(history, &seen, &ledger.causes, report);
}

fn count(operation: &Operation, report: &mut Report) {
    match (&operation.outcome, &operation.request) {
        (Outcome::Ok(_), Request::Get(get)) if get.serializable => report.serializable_reads += 1,
        (Outcome::Ok(_), Request::Get(_)) => report.linearizable_reads += 1,
        (Outcome::Ok(_), Request::Put(_) | Request::Delete { .. } | Request::Txn(_)) => {
            report.acknowledged_writes += 1;
        }
        (Outcome::Unknown(_), _) => report.unknown += 1,
        _ => {}
    }
}

/// Judges one acknowledged operation by the state at its revision.
fn answered(
    index: usize,
    history: &History,
    response: &Response,
    committed: &Committed,
    ledger: &mut Ledger,
) -> Option<Violation> {
    let operation = &history.operations[index];
    let revision = response.revision;
    match &operation.request {
        // Their header is filled in when they are answered, not when they happen.
        Request::Grant { .. } | Request::KeepAlive { .. } | Request::Revoke { .. } => return None,
        _ if revision == 0 => return None,
        Request::Get(get) => {
            let at = if get.revision > 0 { get.revision } else { revision };
            let expected = Answer::Pairs(committed.state_at(&get.range, at));
            return wrong_answer(operation, &response.answer, &expected, at, committed);
        }
        _ => {}
    }
    let write = expect(&operation.request, committed, revision - 1, revision);
    let read = expect(&operation.request, committed, revision, revision + 1);
    let changed = !write.events.is_empty() && happened(&write, committed, revision);
    if changed && write.answer == response.answer {
        if read.events.is_empty() && read.answer == response.answer {
            ledger.either.insert(index);
            return None;
        }
        return claim(index, revision, history, &mut ledger.causes);
    }
    if read.events.is_empty() {
        return wrong_answer(operation, &response.answer, &read.answer, revision, committed);
    }
    if changed {
        return wrong_answer(operation, &response.answer, &write.answer, revision, committed);
    }
    let what = format!("an acknowledged write is not what revision {revision} holds");
    let held = committed.events_at(revision);
    let violation = Violation::new(Rule::LostWrite, what).shown_by([operation]);
    let elsewhere = match &operation.request {
        Request::Put(put) => committed.revisions_of(&put.key, &put.value),
        _ => Vec::new(),
    };
    Some(
        violation
            .and(format!("revision {revision}: {held:?}"))
            .and(format!("the value was written at revisions {elsewhere:?}")),
    )
}

/// Whether exactly these changes are what the revision holds.
fn happened(expected: &Expected, committed: &Committed, revision: i64) -> bool {
    let events = committed.events_at(revision);
    events.len() == expected.events.len()
        && events.iter().all(|event| expected.events.get(event.key()) == Some(event))
}

fn claim(index: usize, revision: i64, history: &History, causes: &mut Causes) -> Option<Violation> {
    let other = causes.insert(revision, index)?;
    let what = format!("two acknowledged writes claim revision {revision}");
    let both = [&history.operations[other], &history.operations[index]];
    Some(Violation::new(Rule::LostWrite, what).shown_by(both))
}

fn wrong_answer(
    operation: &Operation,
    answer: &Answer,
    expected: &Answer,
    revision: i64,
    committed: &Committed,
) -> Option<Violation> {
    // What was before the recording began is not known.
    if answer == expected || revision < committed.start() {
        return None;
    }
    let what = format!("the answer is not the state at revision {revision}");
    let violation = Violation::new(Rule::WrongAnswer, what).shown_by([operation]);
    Some(violation.and(format!("expected: {expected:?}")))
}

/// Finds a cause for each revision that no acknowledged write claims.
fn unclaimed(
    history: &History,
    committed: &Committed,
    seen: &Seen,
    ledger: &mut Ledger,
    report: &mut Report,
) {
    let Ledger { causes, either } = ledger;
    let is_unknown =
        |index: &usize| matches!(history.operations[*index].outcome, Outcome::Unknown(_));
    let possible: Vec<usize> = (0..history.operations.len())
        .filter(|index| is_unknown(index) || either.contains(index))
        .collect();
    let revisions: Vec<i64> = committed
        .between(committed.start(), i64::MAX)
        .map(|(revision, _)| revision)
        .filter(|revision| !causes.contains_key(revision))
        .collect();
    let candidates: Vec<Vec<usize>> = revisions
        .iter()
        .map(|revision| {
            let first = seen.first(*revision).unwrap_or(Nanos::MAX);
            let fits = |index: &&usize| {
                let Operation { request, invoked, outcome, .. } = &history.operations[**index];
                *invoked <= first
                    && may_be_at(outcome, *revision)
                    && touches(request, committed.events_at(*revision))
                    && happened(
                        &expect(request, committed, revision - 1, *revision),
                        committed,
                        *revision,
                    )
            };
            possible.iter().filter(fits).copied().collect()
        })
        .collect();
    let matched = match_up(&candidates);
    for (revision, cause) in revisions.into_iter().zip(matched) {
        match cause {
            Some(index) => drop(causes.insert(revision, index)),
            None if is_end_of_lease(committed, revision) => {}
            None => report.violations.push(phantom(history, committed, causes, revision)),
        }
    }
}

/// An acknowledged operation happened at its revision and nowhere else.
fn may_be_at(outcome: &Outcome, revision: i64) -> bool {
    !matches!(outcome, Outcome::Ok(response) if response.revision != revision)
}

/// A cheap test before the costly one.
fn touches(request: &Request, events: &[Event]) -> bool {
    match request {
        Request::Put(put) => events.len() == 1 && events[0].key() == put.key,
        Request::Get(_) | Request::Grant { .. } | Request::KeepAlive { .. } => false,
        _ => true,
    }
}

/// Gives each row one of its candidates, none to two rows, to as many rows as possible.
fn match_up(candidates: &[Vec<usize>]) -> Vec<Option<usize>> {
    let mut taken: HashMap<usize, usize> = HashMap::new();
    for row in 0..candidates.len() {
        augment(row, candidates, &mut taken, &mut BTreeSet::new());
    }
    let mut matched = vec![None; candidates.len()];
    for (candidate, row) in taken {
        matched[row] = Some(candidate);
    }
    matched
}

fn augment(
    row: usize,
    candidates: &[Vec<usize>],
    taken: &mut HashMap<usize, usize>,
    tried: &mut BTreeSet<usize>,
) -> bool {
    for candidate in &candidates[row] {
        if !tried.insert(*candidate) {
            continue;
        }
        let free = match taken.get(candidate).copied() {
            None => true,
            Some(other) => augment(other, candidates, taken, tried),
        };
        if free {
            taken.insert(*candidate, row);
            return true;
        }
    }
    false
}

/// Whether the revision is all keys of one lease going.
pub fn is_end_of_lease(committed: &Committed, revision: i64) -> bool {
    lease_that_ended(committed, revision).is_some()
}

/// The lease whose keys, all of them, went at this revision.
pub fn lease_that_ended(committed: &Committed, revision: i64) -> Option<i64> {
    let events = committed.events_at(revision);
    let lease = committed.pair_at(events.first()?.key(), revision - 1)?.lease;
    let keys = committed.keys_of_lease(lease, revision - 1);
    let gone = events
        .iter()
        .all(|event| matches!(event, Event::Delete { .. }) && keys.contains(event.key()));
    (lease != 0 && gone && keys.len() == events.len()).then_some(lease)
}

fn phantom(history: &History, committed: &Committed, causes: &Causes, revision: i64) -> Violation {
    let events = committed.events_at(revision);
    let request_of = |operation: &&Operation| {
        let expected = expect(&operation.request, committed, revision - 1, revision);
        touches(&operation.request, events) && happened(&expected, committed, revision)
    };
    let refused = history.operations.iter().find(|operation| {
        matches!(operation.outcome, Outcome::Refused(_)) && request_of(operation)
    });
    if let Some(operation) = refused {
        let what = format!("a refused write happened, at revision {revision}");
        return Violation::new(Rule::PhantomWrite, what).shown_by([operation]);
    }
    let written = |event: &Event| match event {
        Event::Put(pair) => committed.revisions_of(&pair.key, &pair.value),
        Event::Delete { .. } => Vec::new(),
    };
    let others = events.iter().flat_map(written).filter(|other| *other != revision);
    let first = others.filter_map(|other| causes.get(&other)).next();
    if let Some(cause) = first {
        let what = format!("a write happened once more, at revision {revision}");
        return Violation::new(Rule::DoubledWrite, what)
            .shown_by([&history.operations[*cause]])
            .and(format!("revision {revision}: {events:?}"));
    }
    let what = format!("nobody asked for what happened at revision {revision}");
    Violation::new(Rule::PhantomWrite, what).and(format!("revision {revision}: {events:?}"))
}

/// When which revision was seen by anybody, in the order of time.
pub struct Seen {
    /// Time, the highest revision seen until then, and a line that shows it.
    highest: Vec<(Nanos, i64, String)>,
    /// Revision and the first time that it or a later one was seen.
    earliest: Vec<(i64, Nanos)>,
}

impl Seen {
    pub fn new(history: &History) -> Self {
        let of_operation = |operation: &Operation| match (&operation.outcome, operation.finished) {
            (Outcome::Ok(response), Some(finished)) if response.revision > 0 => {
                Some((finished, response.revision, describe(operation)))
            }
            _ => None,
        };
        let mut all: Vec<(Nanos, i64, String)> =
            history.operations.iter().filter_map(of_operation).collect();
        for watch in &history.watches {
            for message in &watch.messages {
                let last = message.events.iter().map(|event| event.event.revision()).max();
                if let Some(last) = last {
                    let line = format!("client {} watched revision {last}", watch.client);
                    all.push((message.received, last, line));
                }
            }
        }
        all.sort_by_key(|(at, revision, _)| (*at, *revision));
        let mut by_revision: Vec<(i64, Nanos)> =
            all.iter().map(|(at, revision, _)| (*revision, *at)).collect();
        by_revision.sort_unstable();
        let mut first = Nanos::MAX;
        for (_, at) in by_revision.iter_mut().rev() {
            first = first.min(*at);
            *at = first;
        }
        let mut highest = 0;
        all.retain(|(_, revision, _)| {
            let is_higher = *revision > highest;
            highest = highest.max(*revision);
            is_higher
        });
        Self { highest: all, earliest: by_revision }
    }

    /// The highest revision seen before `time`, and what shows it.
    fn before(&self, time: Nanos) -> Option<(i64, &str)> {
        let count = self.highest.partition_point(|(at, ..)| *at < time);
        let (_, revision, line) = self.highest[..count].last()?;
        Some((*revision, line))
    }

    /// When this revision, or a later one, was first seen.
    pub fn first(&self, revision: i64) -> Option<Nanos> {
        let at = self.earliest.partition_point(|(known, _)| *known < revision);
        self.earliest.get(at).map(|(_, time)| *time)
    }
}

fn real_time(history: &History, seen: &Seen, ledger: &Ledger, report: &mut Report) {
    for (index, operation) in history.operations.iter().enumerate() {
        let linearizable = match &operation.request {
            Request::Get(get) => !get.serializable,
            Request::Grant { .. } | Request::KeepAlive { .. } => false,
            _ => true,
        };
        let Outcome::Ok(response) = &operation.outcome else { continue };
        if !linearizable || response.revision == 0 {
            continue;
        }
        let Some((floor, line)) = seen.before(operation.invoked) else { continue };
        let wrote = ledger.causes.get(&response.revision) == Some(&index)
            && !ledger.either.contains(&index);
        if response.revision < floor || (wrote && response.revision == floor) {
            let what = format!(
                "it got revision {}, and revision {floor} had been seen before it began",
                response.revision
            );
            let violation = Violation::new(Rule::StaleRead, what).and(line);
            report.violations.push(violation.shown_by([operation]));
        }
    }
}

fn no_future(history: &History, seen: &Seen, causes: &Causes, report: &mut Report) {
    for (revision, index) in causes {
        let operation = &history.operations[*index];
        let Some(first) = seen.first(*revision) else { continue };
        if first < operation.invoked {
            let what = format!("revision {revision} was seen before anybody asked for it");
            report.violations.push(Violation::new(Rule::Future, what).shown_by([operation]));
        }
    }
}

/// Members that hash the same revisions must get the same.
pub fn check_hashes(history: &History, report: &mut Report) {
    report.hashes += history.hashes.len();
    for (index, one) in history.hashes.iter().enumerate() {
        for other in &history.hashes[..index] {
            let same =
                (one.revision, one.compact_revision) == (other.revision, other.compact_revision);
            if same && one.hash != other.hash {
                let what = format!(
                    "{} and {} hold different data at revision {}",
                    other.member, one.member, one.revision
                );
                let violation = Violation::new(Rule::Hash, what);
                let line = |hash: &crate::record::MemberHash| {
                    format!("{}: {:08x}", hash.member, hash.hash)
                };
                report.violations.push(violation.and(line(other)).and(line(one)));
            }
        }
    }
}
