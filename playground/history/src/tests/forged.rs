//! Each way to break a promise, done to a history by hand, and found by its name.

use crate::record::{
    Answer, Event, Get, History, KeyRange, MemberHash, Operation, Outcome, Pair, Put, Request,
    Response, Watch, WatchEvent, WatchMessage,
};
use crate::verdict::Rule;
use crate::{Verdict, check};

fn pair(key: &str, value: &str, create: i64, revision: i64, version: i64, lease: i64) -> Pair {
    Pair {
        key: key.into(),
        value: value.into(),
        create_revision: create,
        mod_revision: revision,
        version,
        lease,
    }
}

fn operation(times: (u64, u64), request: Request, revision: i64, answer: Answer) -> Operation {
    Operation {
        client: 1,
        member: "n1".into(),
        invoked: times.0,
        finished: Some(times.1),
        request,
        outcome: Outcome::Ok(Response { revision, answer }),
    }
}

fn put(times: (u64, u64), value: &str, revision: i64) -> Operation {
    let request = Request::Put(Put { key: "a".into(), value: value.into(), lease: 0 });
    operation(times, request, revision, Answer::Done)
}

fn get(times: (u64, u64), serializable: bool, revision: i64, pairs: Vec<Pair>) -> Operation {
    let range = KeyRange::one("a");
    let request = Request::Get(Get { range, serializable, revision: 0 });
    operation(times, request, revision, Answer::Pairs(pairs))
}

/// `a` is put twice, then read, and watched.
fn good() -> History {
    let (first, second) = (pair("a", "1", 2, 2, 1, 0), pair("a", "2", 2, 3, 2, 0));
    let told = |pair: &Pair, previous: Option<&Pair>| WatchEvent {
        event: Event::Put(pair.clone()),
        previous: previous.cloned(),
    };
    let message =
        |received, revision, events| WatchMessage { received, revision, fragment: false, events };
    History {
        start_revision: 1,
        operations: vec![
            put((10, 20), "1", 2),
            put((30, 40), "2", 3),
            get((50, 60), false, 3, vec![second.clone()]),
            get((50, 70), true, 2, vec![first.clone()]),
        ],
        watches: vec![Watch {
            client: 2,
            member: "n2".into(),
            range: KeyRange { key: "a".into(), end: Some("b".into()) },
            start_revision: 2,
            no_put: false,
            no_delete: true,
            previous: true,
            created: Some(1),
            messages: vec![
                message(25, 2, vec![told(&first, None)]),
                message(45, 3, vec![told(&second, Some(&first))]),
                message(80, 3, Vec::new()),
            ],
            complete_to: 3,
        }],
        events: vec![Event::Put(first), Event::Put(second)],
        hashes: vec![hash("n1", 1), hash("n2", 1)],
        ..History::default()
    }
}

fn hash(member: &str, hash: u32) -> MemberHash {
    MemberHash { member: member.into(), revision: 3, compact_revision: -1, hash }
}

/// Breaks a good history, and wants that rule named.
#[track_caller]
fn forged(rule: Rule, forge: impl FnOnce(&mut History)) -> String {
    let mut history = good();
    assert_eq!(check(&history).verdict(), Verdict::Safe, "{}", check(&history));
    forge(&mut history);
    let report = check(&history);
    assert!(report.breaks(rule), "{rule:?} is not found: {report}");
    report.to_string()
}

#[test]
fn a_write_that_is_lost() {
    forged(Rule::LostWrite, |history| {
        history.events.pop();
        history.watches.clear();
        history.operations.truncate(2);
    });
}

#[test]
fn a_write_that_is_changed() {
    forged(Rule::LostWrite, |history| {
        history.events[1] = Event::Put(pair("a", "other", 2, 3, 2, 0));
        history.watches.clear();
        history.operations.truncate(2);
    });
}

#[test]
fn a_write_that_happens_twice() {
    let told = forged(Rule::DoubledWrite, |history| {
        history.events.push(Event::Put(pair("a", "2", 2, 4, 3, 0)));
    });
    assert!(told.contains("put a = \"2\""), "the write is shown: {told}");
}

#[test]
fn an_unknown_write_may_happen_once_and_only_once() {
    let unknown = Operation {
        finished: None,
        outcome: Outcome::Unknown("timeout".into()),
        ..put((45, 46), "3", 0)
    };
    let mut history = good();
    history.operations.push(unknown);
    assert_eq!(check(&history).verdict(), Verdict::Safe);
    history.events.push(Event::Put(pair("a", "3", 2, 4, 3, 0)));
    // The read that began later is allowed not to see it: nobody was told that it is done.
    assert_eq!(check(&history).verdict(), Verdict::Safe, "{}", check(&history));
    history.events.push(Event::Put(pair("a", "3", 2, 5, 4, 0)));
    assert!(check(&history).breaks(Rule::DoubledWrite), "{}", check(&history));
}

#[test]
fn a_refused_write_that_happens() {
    forged(Rule::PhantomWrite, |history| {
        history.events.push(Event::Put(pair("a", "3", 2, 4, 3, 0)));
        let outcome = Outcome::Refused("etcdserver: too many requests".into());
        history.operations.push(Operation { outcome, ..put((45, 46), "3", 0) });
    });
}

#[test]
fn a_write_that_nobody_made() {
    forged(Rule::PhantomWrite, |history| {
        history.events.push(Event::Put(pair("b", "?", 4, 4, 1, 0)));
    });
}

#[test]
fn a_stale_linearizable_read() {
    let told = forged(Rule::StaleRead, |history| {
        history.operations[2] = get((50, 60), false, 2, vec![pair("a", "1", 2, 2, 1, 0)]);
    });
    assert!(told.contains("Linearizability"), "the search finds it too: {told}");
}

#[test]
fn a_stale_read_that_only_a_watch_shows() {
    forged(Rule::StaleRead, |history| {
        history.operations[1].finished = None;
        history.operations[1].outcome = Outcome::Unknown("timeout".into());
        history.operations[2] = get((50, 60), false, 2, vec![pair("a", "1", 2, 2, 1, 0)]);
    });
}

#[test]
fn an_answer_that_is_not_the_state_at_its_revision() {
    for serializable in [true, false] {
        forged(Rule::WrongAnswer, |history| {
            history.operations[2] = get((50, 60), serializable, 3, Vec::new());
        });
    }
}

#[test]
fn a_read_of_what_was_not_yet_written() {
    forged(Rule::Future, |history| history.operations[1].invoked = 100);
}

#[test]
fn a_past_that_contradicts_itself() {
    forged(Rule::Events, |history| {
        history.events[1] = Event::Put(pair("a", "2", 2, 3, 5, 0));
    });
}

#[test]
fn watches_that_break_their_promises() {
    forged(Rule::WatchReliable, |history| drop(history.watches[0].messages.remove(0)));
    forged(Rule::WatchReliable, |history| {
        history.watches[0].messages.truncate(1);
    });
    forged(Rule::WatchOrdered, |history| history.watches[0].messages.swap(0, 1));
    forged(Rule::WatchUnique, |history| {
        let again = history.watches[0].messages[1].clone();
        history.watches[0].messages.push(again);
    });
    forged(Rule::WatchBookmarkable, |history| history.watches[0].messages.swap(1, 2));
    forged(Rule::WatchResumable, |history| history.watches[0].start_revision = 3);
    forged(Rule::WatchFilter, |history| history.watches[0].no_put = true);
    forged(Rule::WatchPrevious, |history| {
        history.watches[0].messages[1].events[0].previous = Some(pair("a", "x", 2, 2, 1, 0));
    });
    forged(Rule::WatchWrongEvent, |history| {
        // Told as created, which it was not.
        history.watches[0].messages[1].events[0].event = Event::Put(pair("a", "2", 3, 3, 1, 0));
    });
}

#[test]
fn a_revision_told_in_parts() {
    let mut history = good();
    history.events.push(Event::Put(pair("a", "3", 2, 4, 3, 0)));
    history.events.push(Event::Put(pair("aa", "3", 4, 4, 1, 0)));
    let put =
        |key: &str| crate::record::TxnOp::Put(Put { key: key.into(), value: "3".into(), lease: 0 });
    let txn = crate::record::Txn { success: vec![put("a"), put("aa")], ..Default::default() };
    let answer = Answer::Txn { succeeded: true, gets: Vec::new() };
    history.operations.push(operation((90, 91), Request::Txn(txn), 4, answer));
    let told = |event: &Event| WatchEvent { event: event.clone(), previous: None };
    let message = |at: usize, fragment| WatchMessage {
        received: 95,
        revision: 4,
        fragment,
        events: vec![told(&history.events[at])],
    };
    let (first, second) = (message(2, true), message(3, false));
    history.watches[0].messages.extend([first, second]);
    assert_eq!(check(&history).verdict(), Verdict::Safe, "{}", check(&history));
    history.watches[0].messages[3].fragment = false;
    assert!(check(&history).breaks(Rule::WatchAtomic), "{}", check(&history));
}

#[test]
fn members_that_differ() {
    forged(Rule::Hash, |history| history.hashes[1].hash = 2);
}

#[test]
fn keys_that_go_before_their_lease() {
    const SECOND: u64 = 1_000_000_000;
    let grant = Request::Grant { lease: 5, ttl_seconds: 10 };
    let keep = Request::KeepAlive { lease: 5 };
    let leased = Request::Put(Put { key: "l".into(), value: "x".into(), lease: 5 });
    let read = Request::Get(Get { range: KeyRange::one("l"), serializable: false, revision: 0 });
    let history = |gone_at: u64| History {
        start_revision: 1,
        operations: vec![
            operation((1, 2), grant.clone(), 1, Answer::Ttl(10)),
            operation((3, 4), leased.clone(), 2, Answer::Done),
            operation((5 * SECOND, 5 * SECOND + 1), keep.clone(), 2, Answer::Ttl(10)),
            operation((gone_at - 1, gone_at), read.clone(), 3, Answer::Pairs(Vec::new())),
        ],
        events: vec![
            Event::Put(pair("l", "x", 2, 2, 1, 5)),
            Event::Delete { key: "l".into(), revision: 3 },
        ],
        ..History::default()
    };
    assert_eq!(check(&history(16 * SECOND)).verdict(), Verdict::Safe);
    let report = check(&history(14 * SECOND));
    assert!(report.breaks(Rule::Lease), "{report}");
    // Who revokes it may expect it to go.
    let mut revoked = history(14 * SECOND);
    let revoke = Request::Revoke { lease: 5 };
    revoked.operations.push(operation((6 * SECOND, 7 * SECOND), revoke, 3, Answer::Done));
    assert_eq!(check(&revoked).verdict(), Verdict::Safe, "{}", check(&revoked));
}
