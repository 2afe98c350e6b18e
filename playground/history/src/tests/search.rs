//! The search against trying every order, and what it shows when there is none.

use proptest::prelude::*;

use crate::record::{
    Answer, Compare, Get, History, KeyRange, Operation, Outcome, Pair, Put, Request, Response, Txn,
    TxnOp,
};
use crate::register::{brute_force, check};
use crate::verdict::{Report, Rule};

/// Any few operations on one key, with any results: most are impossible.
fn operations() -> impl Strategy<Value = Vec<Operation>> {
    let one = (0..40u64, 1..20u64, 0..4u8, 0..3u8, 0..3u8, 0..8u8);
    prop::collection::vec(one, 1..7).prop_map(|all| all.into_iter().map(operation).collect())
}

fn found(value: u8) -> Answer {
    let pair = |value: u8| Pair { key: "k".into(), value: value.to_string(), ..Pair::default() };
    Answer::Pairs((value > 0).then(|| pair(value)).into_iter().collect())
}

fn operation((invoked, takes, kind, a, b, luck): (u64, u64, u8, u8, u8, u8)) -> Operation {
    let put = |value: u8| Put { key: "k".into(), value: value.to_string(), lease: 0 };
    let (request, answer) = match kind {
        0 => (Request::Put(put(a + 1)), Answer::Done),
        1 => {
            let range = KeyRange::one("k");
            let get = Get { range, serializable: false, revision: 0 };
            (Request::Get(get), found(a))
        }
        2 => (Request::Delete { range: KeyRange::one("k") }, Answer::Deleted((a % 2).into())),
        _ => {
            let compare = Compare::ValueIs { key: "k".into(), value: a.to_string() };
            let success = vec![TxnOp::Put(put(b + 1))];
            let txn = Txn { compares: vec![compare], success, failure: Vec::new() };
            (Request::Txn(txn), Answer::Txn { succeeded: luck % 2 == 0, gets: Vec::new() })
        }
    };
    let is_known = luck != 7;
    let outcome = match is_known {
        true => Outcome::Ok(Response { revision: 0, answer }),
        false => Outcome::Unknown("no answer".into()),
    };
    let finished = is_known.then_some(invoked + takes);
    Operation { client: 0, member: String::new(), invoked, finished, request, outcome }
}

fn judge(operations: &[Operation]) -> Report {
    let history = History { operations: operations.to_vec(), ..History::default() };
    let mut report = Report::default();
    check(&history, 1_000_000, &mut report);
    report
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]

    #[test]
    fn it_agrees_with_trying_every_order(operations in operations()) {
        let report = judge(&operations);
        prop_assert_eq!(report.violations.is_empty(), brute_force(&operations, "k"));
    }

    /// What is shown is impossible by itself.
    #[test]
    fn what_is_shown_is_a_proof(operations in operations()) {
        let report = judge(&operations);
        for violation in &report.violations {
            let lines: Vec<_> = operations.iter().map(crate::verdict::describe).collect();
            let shown: Vec<Operation> = operations
                .iter()
                .zip(lines)
                .filter(|(_, line)| violation.history.contains(line))
                .map(|(operation, _)| operation.clone())
                .collect();
            prop_assert!(!brute_force(&shown, "k"), "{violation}");
        }
    }
}

#[test]
fn of_many_operations_it_shows_the_few_that_matter() {
    let at = |number: u64, kind: u8, a: u8| operation((number * 100, 10, kind, a, 0, 0));
    let mut operations: Vec<_> = (0..300).map(|n| at(2 * n, 0, (n % 3) as u8)).collect();
    operations.extend((0..300).map(|n| at(2 * n + 1, 1, (n % 3) as u8 + 1)));
    assert!(judge(&operations).violations.is_empty());
    // A read of what was overwritten.
    operations.push(operation((20_550, 10, 1, 2, 0, 0)));
    let report = judge(&operations);
    assert!(report.breaks(Rule::Linearizability));
    let shown = report.violations[0].history.len();
    assert!(shown < 210, "{shown} operations are no explanation");
}

#[test]
fn it_gives_up_aloud() {
    let operations: Vec<_> =
        (0..12).map(|n| operation((n, 100, 0, (n % 3) as u8, 0, 0))).chain([at_end()]).collect();
    let history = History { operations, ..History::default() };
    let mut report = Report::default();
    check(&history, 10, &mut report);
    assert_eq!(report.undecided.len(), 1);
    assert!(report.violations.is_empty());
}

fn at_end() -> Operation {
    operation((1000, 1, 1, 0, 0, 0))
}
