//! The duplicate-key rule against its definition: every pair of operations, one by one.

use proptest::prelude::*;

use super::*;

/// A put or a delete, and where it stands: the position and branch at each level.
struct Write {
    key: Bytes,
    /// `None` for a put.
    range_end: Option<Bytes>,
    path: Vec<(usize, bool)>,
}

fn writes(ops: &[RequestOp], path: &[(usize, bool)], into: &mut Vec<Write>) {
    for (position, op) in ops.iter().enumerate() {
        let at = |branch| [path, &[(position, branch)]].concat();
        match op.request.as_ref().unwrap() {
            Request::RequestRange(_) => {}
            Request::RequestPut(put) => {
                into.push(Write { key: put.key.clone(), range_end: None, path: at(true) });
            }
            Request::RequestDeleteRange(delete) => into.push(Write {
                key: delete.key.clone(),
                range_end: Some(delete.range_end.clone()),
                path: at(true),
            }),
            Request::RequestTxn(nested) => {
                writes(&nested.success, &at(true), into);
                writes(&nested.failure, &at(false), into);
            }
        }
    }
}

/// Whether two writes may not be on one path.
fn clash(put: &Write, other: &Write) -> bool {
    if put.range_end.is_some() {
        return false;
    }
    let same_key = match &other.range_end {
        None => put.key == other.key,
        Some(range_end) => KeyRange::new(&other.key, range_end).contains(&put.key),
    };
    let level = put.path.iter().zip(&other.path).take_while(|(left, right)| left == right).count();
    let (mine, theirs) = (put.path[level], other.path[level]);
    let exclusive = mine.0 == theirs.0;
    let both_nested = put.path.len() > level + 1 && other.path.len() > level + 1;
    let deleted_by_later_sibling = other.range_end.is_some() && both_nested && mine.0 < theirs.0;
    same_key && !exclusive && !deleted_by_later_sibling
}

fn duplicate(ops: &[RequestOp]) -> bool {
    let mut all = Vec::new();
    writes(ops, &[], &mut all);
    let pairs = |(index, write)| all.iter().enumerate().map(move |other| (index, write, other));
    all.iter()
        .enumerate()
        .flat_map(pairs)
        .any(|(index, write, (at, other))| index != at && clash(write, other))
}

fn key() -> impl Strategy<Value = Bytes> {
    "[a-e]{1,2}".prop_map(Bytes::from)
}

fn write_op() -> impl Strategy<Value = RequestOp> {
    let put = key().prop_map(|key| op_put(PutRequest { key, ..PutRequest::default() }));
    let end = prop_oneof![
        3 => Just(Bytes::new()),
        1 => Just(Bytes::from_static(&[0])),
        4 => key(),
    ];
    let delete = (key(), end).prop_map(|(key, range_end)| {
        op_delete(DeleteRangeRequest { key, range_end, prev_kv: false })
    });
    let leaf = prop_oneof![4 => put, 1 => delete];
    leaf.prop_recursive(3, 10, 3, |inner| {
        let branch = prop::collection::vec(inner, 0..3);
        (branch.clone(), branch).prop_map(|(success, failure)| {
            op_txn(TxnRequest { compare: Vec::new(), success, failure })
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn a_key_is_written_once_on_every_path(ops in prop::collection::vec(write_op(), 0..4)) {
        let expected = match duplicate(&ops) {
            true => Err(KvError::DuplicateKey),
            false => Ok(()),
        };
        prop_assert_eq!(check::txn(&success(ops.clone()), 128), expected.clone());
        let failure = TxnRequest { failure: ops, ..TxnRequest::default() };
        prop_assert_eq!(check::txn(&failure, 128), expected);
    }
}

#[test]
fn a_put_beside_a_put_or_under_a_delete_is_refused() {
    let refused = [
        vec![op_put(put_of("a", "1")), op_put(put_of("a", "1"))],
        vec![op_put(put_of("a", "1")), op_delete(delete_of("a", ""))],
        vec![op_delete(delete_of("a", "c")), op_put(put_of("b", "1"))],
        vec![op_put(put_of("b", "1")), op_delete(delete_of("a", "\0"))],
        vec![op_put(put_of("a", "1")), op_txn(success(vec![op_put(put_of("a", "1"))]))],
        vec![op_put(put_of("a", "1")), op_txn(success(vec![op_delete(delete_of("a", ""))]))],
    ];
    for ops in refused {
        assert_eq!(check::txn(&success(ops.clone()), 128), Err(KvError::DuplicateKey));
        // Applying does not rely on the edge.
        let mut store = Store::new();
        assert_eq!(store.txn(&success(ops)), Err(KvError::DuplicateKey));
        assert_eq!(store.kv.revision(), 1);
    }
}

#[test]
fn branches_that_exclude_each_other_may_share_keys() {
    let nested = TxnRequest {
        compare: Vec::new(),
        success: vec![op_put(put_of("a", "1"))],
        failure: vec![op_put(put_of("a", "2"))],
    };
    let alone =
        TxnRequest { failure: vec![op_put(put_of("a", "3"))], ..success(vec![op_txn(nested)]) };
    assert_eq!(check::txn(&alone, 128), Ok(()));
}

#[test]
fn deletes_may_overlap() {
    let ops = vec![op_delete(delete_of("a", "c")), op_delete(delete_of("b", "\0"))];
    assert_eq!(check::txn(&success(ops), 128), Ok(()));
}

#[test]
fn a_hundred_thousand_operations_are_checked_by_search() {
    // Quadratic work here would take minutes: this is about finishing at all.
    let name = |number: usize| format!("{number:06}");
    let mut ops = Vec::new();
    for number in (0..100_000).step_by(2) {
        ops.push(op_put(put_of(&name(number), "")));
        ops.push(op_delete(delete_of(&name(number + 1), &name(number + 2))));
    }
    assert_eq!(check::txn(&success(ops), usize::MAX), Ok(()));
}
