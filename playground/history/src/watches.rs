//! etcd's promises about watches, against the committed order.
//!
//! Ordered, unique, atomic, reliable, resumable and bookmarkable are the words of etcd's API
//! guarantees; filters and previous values are told rightly besides.
//!
//! # Invariant
//! Only what a watch did tell, or must have told by what it told later, is held against it: a
//! watch that ends early has broken nothing.

use std::collections::BTreeSet;

use crate::committed::Committed;
use crate::record::{Event, History, Watch, WatchMessage};
use crate::verdict::{Report, Rule, Violation};

/// Checks all watches.
pub fn check(history: &History, committed: &Committed, report: &mut Report) {
    for watch in &history.watches {
        let mut found = Vec::new();
        order(watch, &mut found);
        atomic(watch, committed, &mut found);
        content(watch, committed, &mut found);
        complete(watch, committed, &mut found);
        report.watch_events += watch.messages.iter().map(|one| one.events.len()).sum::<usize>();
        let name = format!(
            "watch of client {} on {:?} from revision {}",
            watch.client, watch.range, watch.start_revision
        );
        report.violations.extend(found.into_iter().map(|violation| violation.and(&name)));
    }
}

/// The first revision that it may tell.
fn first(watch: &Watch) -> Option<i64> {
    if watch.start_revision > 0 {
        return Some(watch.start_revision);
    }
    watch.created.map(|created| created + 1)
}

/// Whether the watch is to tell of this event.
fn is_wanted(watch: &Watch, event: &Event) -> bool {
    let filtered = match event {
        Event::Put(_) => watch.no_put,
        Event::Delete { .. } => watch.no_delete,
    };
    watch.range.contains(event.key()) && !filtered
}

fn events(watch: &Watch) -> impl Iterator<Item = &Event> {
    watch.messages.iter().flat_map(|message| message.events.iter().map(|told| &told.event))
}

fn order(watch: &Watch, found: &mut Vec<Violation>) {
    let mut last = 0;
    let mut told = BTreeSet::new();
    let mut promised = 0;
    for message in &watch.messages {
        for WatchTold { key, revision } in message.events.iter().map(|one| told_of(&one.event)) {
            if revision < last {
                let what = format!("revision {revision} was told after revision {last}");
                found.push(Violation::new(Rule::WatchOrdered, what));
            }
            if !told.insert((revision, key.to_string())) {
                let what = format!("{key} at revision {revision} was told twice");
                found.push(Violation::new(Rule::WatchUnique, what));
            }
            if revision <= promised {
                let what = format!(
                    "revision {revision} was told after the promise that all up to {promised} \
                     had been"
                );
                found.push(Violation::new(Rule::WatchBookmarkable, what));
            }
            if first(watch).is_some_and(|first| revision < first) {
                let what = format!("revision {revision} is from before the watch begins");
                found.push(Violation::new(Rule::WatchResumable, what));
            }
            last = last.max(revision);
        }
        if message.events.is_empty() {
            promised = promised.max(message.revision);
        }
    }
}

struct WatchTold<'a> {
    key: &'a str,
    revision: i64,
}

fn told_of(event: &Event) -> WatchTold<'_> {
    WatchTold { key: event.key(), revision: event.revision() }
}

/// All events of a revision come in one message, or in fragments that follow each other.
fn atomic(watch: &Watch, committed: &Committed, found: &mut Vec<Violation>) {
    let mut at = 0;
    while at < watch.messages.len() {
        let mut last = at;
        while watch.messages[last].fragment && last + 1 < watch.messages.len() {
            last += 1;
        }
        let whole = &watch.messages[at..=last];
        at = last + 1;
        if whole.last().is_some_and(|message| message.fragment) {
            continue;
        }
        let told: BTreeSet<(i64, &str)> = whole
            .iter()
            .flat_map(|message| &message.events)
            .map(|one| (one.event.revision(), one.event.key()))
            .collect();
        let revisions: BTreeSet<i64> = told.iter().map(|(revision, _)| *revision).collect();
        for revision in revisions {
            for event in committed.events_at(revision) {
                if is_wanted(watch, event) && !told.contains(&(revision, event.key())) {
                    let what = format!(
                        "revision {revision} was told without its change of {}",
                        event.key()
                    );
                    found.push(Violation::new(Rule::WatchAtomic, what));
                }
            }
        }
    }
}

/// What is told is what happened, and was asked for.
fn content(watch: &Watch, committed: &Committed, found: &mut Vec<Violation>) {
    for told in watch.messages.iter().flat_map(|message| &message.events) {
        let event = &told.event;
        let (key, revision) = (event.key(), event.revision());
        if !is_wanted(watch, event) {
            let what = format!("{key} at revision {revision} was not asked for");
            found.push(Violation::new(Rule::WatchFilter, what));
        }
        if revision <= committed.start() {
            continue;
        }
        if !committed.events_at(revision).contains(event) {
            let held = committed.events_at(revision);
            let what = format!("{event:?} is not what revision {revision} holds");
            let violation = Violation::new(Rule::WatchWrongEvent, what);
            found.push(violation.and(format!("revision {revision}: {held:?}")));
        }
        let previous = committed.pair_at(key, revision - 1);
        let is_wrong = match &told.previous {
            // It may be compacted away, which only the server knows.
            None => false,
            Some(told) => !watch.previous || previous != Some(told),
        };
        if is_wrong {
            let what = format!("the previous value of {key} at revision {revision} is wrong");
            let violation = Violation::new(Rule::WatchPrevious, what);
            found.push(violation.and(format!("it was {previous:?}")));
        }
    }
}

/// Nothing is missing up to what was told last, promised, or waited for.
fn complete(watch: &Watch, committed: &Committed, found: &mut Vec<Violation>) {
    let Some(first) = first(watch) else { return };
    let reached = |message: &WatchMessage| {
        let last = message.events.iter().map(|one| one.event.revision()).max();
        let progress = message.events.is_empty().then_some(message.revision);
        // The revision of a message that is to be continued is not complete.
        last.map(|last| if message.fragment { last - 1 } else { last }).or(progress)
    };
    let told_to = watch.messages.iter().filter_map(reached).max().unwrap_or(0);
    let to = told_to.max(watch.complete_to);
    let told: BTreeSet<(i64, &str)> =
        events(watch).map(|event| (event.revision(), event.key())).collect();
    for (revision, events) in committed.between(first.max(committed.start() + 1) - 1, to) {
        for event in events {
            if is_wanted(watch, event) && !told.contains(&(revision, event.key())) {
                let what = format!(
                    "the change of {} at revision {revision} was not told, though all up to {to} \
                     should have been",
                    event.key()
                );
                found.push(Violation::new(Rule::WatchReliable, what));
            }
        }
    }
}
