//! The rules of the contract that are easily missed, one by one.

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{Compare, ResponseHeader};

use super::*;

fn sorted(request: RangeRequest, order: SortOrder, target: SortTarget) -> RangeRequest {
    RangeRequest { sort_order: order as i32, sort_target: target as i32, ..request }
}

fn keys(response: &RangeResponse) -> Vec<String> {
    pairs(response).into_iter().map(|(key, _)| key).collect()
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

fn compare(key: &str, result: CompareResult, target: CompareTarget, than: TargetUnion) -> Compare {
    Compare {
        result: result as i32,
        target: target as i32,
        key: bytes(key),
        range_end: Bytes::new(),
        target_union: Some(than),
    }
}

fn holds(store: &Store, compare: Compare) -> bool {
    let request = TxnRequest { compare: vec![compare], ..TxnRequest::default() };
    read_txn(&store.kv, &NoHistory, &request).unwrap().unwrap().succeeded
}

/// a=1 (2), b=2 (3), c=0 (4), a=3 (5)
fn sample() -> Store {
    let mut store = Store::new();
    for (key, value) in [("a", "1"), ("b", "2"), ("c", "0"), ("a", "3")] {
        store.set(key, value);
    }
    store
}

// --- revisions and versions

#[test]
fn an_empty_store_is_at_revision_one() {
    let mut store = Store::new();
    assert_eq!(store.kv.revision(), 1);
    assert_eq!(store.set("a", "1"), 2);
}

#[test]
fn deleting_nothing_does_not_move_the_revision() {
    let mut store = sample();
    let applied = store.delete(&delete_of("x", "\0")).unwrap();
    assert_eq!(applied.response.deleted, 0);
    assert_eq!(applied.changes, []);
    assert_eq!(store.kv.revision(), 5);
}

#[test]
fn a_recreated_key_starts_over() {
    let mut store = sample();
    assert_eq!(store.kv.get(b"a").unwrap().version, 2);
    assert_eq!(store.remove("a"), 6);
    store.set("a", "4");
    let version = store.kv.get(b"a").unwrap();
    assert_eq!((version.create_revision, version.mod_revision, version.version), (7, 7, 1));
}

#[test]
fn keys_deleted_together_share_a_main_revision_and_are_numbered_in_key_order() {
    let mut store = sample();
    let request = DeleteRangeRequest { prev_kv: true, ..delete_of("\0", "\0") };
    let applied = store.delete(&request).unwrap();
    assert_eq!(applied.response.deleted, 3);
    let previous = applied.response.prev_kvs.iter().map(|kv| kv.value.clone()).collect::<Vec<_>>();
    assert_eq!(previous, ["3", "2", "0"]);
    let revisions = applied.changes.iter().map(|change| change.record.revision);
    assert!(revisions.eq((0..3).map(|sub| Revision::new(6, sub))));
    assert_eq!(store.kv.key_count(), 0);
}

#[test]
fn a_stored_value_does_not_hold_the_receive_buffer() {
    let mut store = Store::new();
    let buffer = Bytes::from(vec![b'x'; 4096]);
    let request = PutRequest { key: bytes("a"), value: buffer.slice(7..9), ..Default::default() };
    store.put(&request).unwrap();
    let stored = &store.kv.get(b"a").unwrap().value;
    assert_eq!(stored, &buffer.slice(7..9));
    assert!(!buffer.as_ptr_range().contains(&stored.as_ptr()));
}

#[test]
fn a_key_is_in_memory_once() {
    let mut store = sample();
    let interned = store.kv.get(b"a").unwrap().key.clone();
    store.set("a", "4");
    assert!(Arc::ptr_eq(&interned, &store.kv.get(b"a").unwrap().key));
    store.remove("a");
    store.set("a", "5");
    assert!(Arc::ptr_eq(&interned, &store.kv.get(b"a").unwrap().key));

    // Records that come from a disk bring a copy of the key each.
    let mut kv = Kv::new();
    for main in [2, 3] {
        let version =
            KeyValue { key: Arc::from(&b"k"[..]), ..(**store.kv.get(b"a").unwrap()).clone() };
        kv.restore_record(&Record {
            revision: Revision::new(main, 0),
            kind: RecordKind::Put(Arc::new(version)),
        });
    }
    let (indexed, _) = kv.index.get_key_value(&b"k"[..]).unwrap();
    assert!(Arc::ptr_eq(indexed, &kv.get(b"k").unwrap().key));
}

// --- put

#[test]
fn put_checks_its_form() {
    let valid = put_of("a", "1");
    let cases = [
        (PutRequest { key: Bytes::new(), ..valid.clone() }, KvError::EmptyKey),
        (PutRequest { ignore_value: true, ..valid.clone() }, KvError::ValueProvided),
        (PutRequest { ignore_lease: true, lease: 7, ..valid.clone() }, KvError::LeaseProvided),
        (PutRequest { ignore_lease: true, ..valid.clone() }, KvError::KeyNotFound),
        (PutRequest { ignore_value: true, ..put_of("a", "") }, KvError::KeyNotFound),
        (PutRequest { lease: 9, ..valid }, KvError::LeaseNotFound),
    ];
    for (request, error) in cases {
        let mut store = Store::new();
        assert_eq!(store.put(&request), Err(error.clone()));
        // The same as the second operation of a transaction: the first is not applied.
        let both = success(vec![op_put(put_of("b", "1")), op_put(request)]);
        assert_eq!(store.txn(&both), Err(error));
        assert_eq!((store.kv.revision(), store.kv.key_count()), (1, 0));
        assert_eq!(store.kv.get(b"b"), None);
    }
}

#[test]
fn a_put_moves_its_key_between_leases() {
    let mut store = Store::new();
    store.put(&PutRequest { lease: 7, ..put_of("a", "1") }).unwrap();
    assert_eq!((store.leases.names(7), store.leases.names(8)), (vec!["a".into()], vec![]));
    store.put(&PutRequest { lease: 8, ..put_of("a", "2") }).unwrap();
    assert_eq!((store.leases.names(7), store.leases.names(8)), (vec![], vec!["a".to_string()]));
    store.put(&PutRequest { ignore_lease: true, ..put_of("a", "3") }).unwrap();
    assert_eq!(store.kv.get(b"a").unwrap().lease, 8);
    store.put(&PutRequest { lease: 8, ..put_of("a", "4") }).unwrap();
    assert_eq!(store.leases.names(8), ["a"]);
    store.set("a", "5");
    assert_eq!((store.leases.names(7), store.leases.names(8)), (vec![], vec![]));
    assert_eq!(store.kv.get(b"a").unwrap().lease, 0);
}

#[test]
fn a_put_that_ignores_the_value_keeps_it() {
    let mut store = Store::new();
    store.set("a", "1");
    let request = PutRequest { ignore_value: true, lease: 7, prev_kv: true, ..put_of("a", "") };
    let applied = store.put(&request).unwrap();
    assert_eq!(applied.response.prev_kv.unwrap().value, "1");
    let version = store.kv.get(b"a").unwrap();
    assert_eq!((version.value.as_ref(), version.version, version.lease), (&b"1"[..], 2, 7));
}

#[test]
fn a_revoked_lease_takes_its_keys_in_key_order_in_one_revision() {
    let mut store = Store::new();
    for key in ["b", "c", "a"] {
        store.put(&PutRequest { lease: 7, ..put_of(key, "1") }).unwrap();
    }
    let changes = store.revoke(7);
    let deleted = changes.iter().map(|change| change.record.key().as_ref()).collect::<Vec<_>>();
    assert_eq!(deleted, [b"a", b"b", b"c"]);
    assert!(changes.iter().all(|change| change.record.revision.main == 5));
    assert_eq!(store.kv.revision(), 5);
    assert_eq!(store.revoke(8), []);
    assert_eq!(store.kv.revision(), 5);
}

// --- range

#[test]
fn range_checks_its_form() {
    let store = sample();
    assert_eq!(store.range(&range_of("", "")), Err(KvError::EmptyKey));
    let order = RangeRequest { sort_order: 3, ..range_of("a", "") };
    assert_eq!(store.range(&order), Err(KvError::InvalidSortOption));
    let target = RangeRequest { sort_target: -1, ..range_of("a", "") };
    assert_eq!(store.range(&target), Err(KvError::InvalidSortOption));
}

#[test]
fn the_limit_says_whether_there_is_more_and_leaves_the_count() {
    let store = sample();
    let limited = |limit| store.range(&RangeRequest { limit, ..everything() }).unwrap();
    for (limit, found, more) in
        [(1, 1, true), (2, 2, true), (3, 3, false), (0, 3, false), (-1, 3, false)]
    {
        let response = limited(limit);
        assert_eq!((response.kvs.len(), response.more, response.count), (found, more, 3));
    }
}

#[test]
fn the_count_ignores_the_revision_filters_and_the_limit_does_not() {
    let store = sample();
    let request = RangeRequest { limit: 1, max_mod_revision: 4, ..everything() };
    let response = store.range(&request).unwrap();
    assert_eq!((keys(&response), response.more, response.count), (vec!["b".into()], true, 3));
    let request = RangeRequest { min_create_revision: 3, max_create_revision: 3, ..everything() };
    let response = store.range(&request).unwrap();
    assert_eq!((keys(&response), response.count), (vec!["b".into()], 3));
}

#[test]
fn a_told_sort_comes_before_the_limit() {
    let store = sample();
    let by_value = sorted(everything(), SortOrder::None, SortTarget::Value);
    assert_eq!(keys(&store.range(&by_value).unwrap()), ["c", "b", "a"]);
    // It ascends unless told; then only what the limit takes, and one more, is sorted.
    let first = store.range(&RangeRequest { limit: 1, ..by_value.clone() }).unwrap();
    assert_eq!((keys(&first), first.more), (vec!["b".into()], true));
    let filtered = RangeRequest { limit: 1, min_mod_revision: 1, ..by_value };
    assert_eq!(keys(&store.range(&filtered).unwrap()), ["c"]);
    let told = sorted(everything(), SortOrder::Ascend, SortTarget::Value);
    assert_eq!(keys(&store.range(&RangeRequest { limit: 1, ..told }).unwrap()), ["c"]);
    let by_key = sorted(everything(), SortOrder::Descend, SortTarget::Key);
    assert_eq!(keys(&store.range(&RangeRequest { limit: 2, ..by_key }).unwrap()), ["c", "b"]);
    // Equal versions stay in key order, in both directions.
    let by_version = sorted(everything(), SortOrder::Descend, SortTarget::Version);
    assert_eq!(keys(&store.range(&by_version).unwrap()), ["a", "b", "c"]);
}

#[test]
fn keys_only_still_sorts_by_value() {
    let store = sample();
    let request = sorted(everything(), SortOrder::Ascend, SortTarget::Value);
    let response = store.range(&RangeRequest { keys_only: true, ..request }).unwrap();
    assert_eq!(pairs(&response), owned(&[("c", ""), ("b", ""), ("a", "")]));
}

#[test]
fn count_only_returns_no_keys() {
    let response = sample().range(&RangeRequest { count_only: true, limit: 1, ..everything() });
    assert_eq!(response, Ok(RangeResponse { count: 3, ..RangeResponse::default() }));
}

#[test]
fn an_inverted_range_is_empty() {
    assert_eq!(sample().range(&range_of("c", "a")), Ok(RangeResponse::default()));
    assert_eq!(sample().delete(&delete_of("c", "a")).unwrap().response.deleted, 0);
}

#[test]
fn old_revisions_are_read_as_they_were() {
    let mut store = sample();
    store.remove("b");
    let at = |revision| store.read(&RangeRequest { revision, ..everything() });
    assert_eq!(at(1), []);
    assert_eq!(at(3), owned(&[("a", "1"), ("b", "2")]));
    assert_eq!(at(5), owned(&[("a", "3"), ("b", "2"), ("c", "0")]));
    assert_eq!(at(6), owned(&[("a", "3"), ("c", "0")]));
    assert_eq!(at(-1), at(6));
    let future = store.range(&RangeRequest { revision: 7, ..everything() });
    assert_eq!(future, Err(KvError::FutureRevision));
}

#[test]
fn an_old_revision_needs_the_history_only_for_versions_that_were_replaced() {
    let store = sample();
    let at_four = |key| RangeRequest { revision: 4, ..range_of(key, "") };
    assert_eq!(store.kv.range(&at_four("b"), &NoHistory), store.range(&at_four("b")));
    let error = HistoryError("asked".into());
    assert_eq!(store.kv.range(&at_four("a"), &NoHistory), Err(KvError::History(error)));
    // Nor do keys that are only counted.
    let counted = RangeRequest { count_only: true, ..at_four("a") };
    assert_eq!(store.kv.range(&counted, &NoHistory).unwrap().count, 1);
}

#[test]
fn a_value_that_history_lost_is_an_error_not_an_absence() {
    let store = sample();
    let request = RangeRequest { revision: 4, ..range_of("a", "") };
    let lost = store.kv.range(&request, &MemoryHistory::default());
    assert!(matches!(lost, Err(KvError::History(_))), "{lost:?}");
}

// --- compaction

#[test]
fn the_compacted_revision_itself_is_readable() {
    let mut store = sample();
    assert_eq!(store.kv.compact(3), Ok(()));
    assert_eq!(store.kv.compacted(), 3);
    let at = |revision| store.range(&RangeRequest { revision, ..everything() });
    assert_eq!(at(2), Err(KvError::Compacted));
    assert_eq!(pairs(&at(3).unwrap()), owned(&[("a", "1"), ("b", "2")]));
}

#[test]
fn compaction_goes_forward_and_not_beyond_the_present() {
    let mut store = sample();
    assert_eq!(store.kv.compact(-1), Err(KvError::Compacted));
    assert_eq!(store.kv.compact(0), Ok(()));
    assert_eq!(store.kv.compact(6), Err(KvError::FutureRevision));
    assert_eq!(store.kv.compact(4), Ok(()));
    assert_eq!(store.kv.compact(4), Err(KvError::Compacted));
    assert_eq!(store.kv.compact(0), Err(KvError::Compacted));
    assert_eq!(store.kv.compact(5), Ok(()));
}

#[test]
fn compaction_drops_dead_keys_from_the_index() {
    let mut store = Store::new();
    store.set("a", "1");
    store.set("b", "1");
    let deleted = store.remove("a");
    store.set("b", "2");
    store.kv.compact(deleted).unwrap();
    assert_eq!(store.kv.index.len(), 2, "the tombstone at the revision itself is kept");
    store.kv.compact(deleted + 1).unwrap();
    assert_eq!(store.kv.index.len(), 1);
}

#[test]
fn marks_are_restored_even_when_the_newest_changes_are_gone() {
    let mut store = Store::new();
    store.set("a", "1");
    store.remove("a");
    store.set("b", "1");
    store.remove("b");
    store.set("b", "2");
    store.remove("b");
    store.kv.compact(7).unwrap();
    let keep = store.kv.keep_at(7);
    assert_eq!(keep, [Revision::new(7, 0)].into());
    let kept = store.records.iter().filter(|record| keep.contains(&record.revision));
    let mut restored = Store::restored(kept.cloned().collect(), 7, 7, Leases::granted([7, 8]));
    assert_eq!((restored.kv.revision(), restored.kv.compacted()), (7, 7));
    assert_eq!(restored.set("b", "3"), 8);
    assert_eq!(restored.kv.get(b"b").unwrap().version, 1);
}

// --- transactions

#[test]
fn an_empty_transaction_succeeds() {
    let mut store = Store::new();
    let applied = store.txn(&TxnRequest::default()).unwrap();
    assert!(applied.response.succeeded);
    assert_eq!((applied.changes.len(), store.kv.revision()), (0, 1));
}

#[test]
fn the_writes_of_a_transaction_share_a_revision_and_its_reads_see_them() {
    let mut store = sample();
    let nested = success(vec![op_put(put_of("n", "1")), op_range(range_of("n", ""))]);
    let request = success(vec![
        op_range(everything()),
        op_delete(delete_of("x", "")),
        op_put(put_of("d", "4")),
        op_txn(nested),
        op_delete(delete_of("a", "c")),
        op_range(everything()),
        op_range(RangeRequest { revision: 5, ..everything() }),
    ]);
    let applied = store.txn(&request).unwrap();
    let revisions = applied.changes.iter().map(|change| change.record.revision);
    assert!(revisions.eq((0..4).map(|sub| Revision::new(6, sub))));

    let responses = applied.response.responses.into_iter().map(|op| op.response.unwrap());
    let responses = responses.collect::<Vec<_>>();
    let range = |at: usize| match &responses[at] {
        Response::ResponseRange(response) => response.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((keys(&range(0)).join(""), range(0).header), ("abc".into(), header(5)));
    let Response::ResponseDeleteRange(nothing) = &responses[1] else { panic!() };
    assert_eq!((nothing.deleted, nothing.header), (0, header(5)));
    let Response::ResponsePut(put) = &responses[2] else { panic!() };
    assert_eq!(put.header, header(6));
    let Response::ResponseTxn(nested) = &responses[3] else { panic!() };
    assert_eq!(nested.header, header(0));
    assert_eq!(nested.responses.len(), 2);
    assert_eq!((keys(&range(5)).join(""), range(5).header), ("cdn".into(), header(6)));
    // An explicit revision is the past, but the header names the present.
    assert_eq!((keys(&range(6)).join(""), range(6).header), ("abc".into(), header(6)));
}

#[test]
fn a_nested_condition_does_not_see_the_writes_around_it() {
    let absent =
        compare("new", CompareResult::Equal, CompareTarget::Version, TargetUnion::Version(0));
    let nested = TxnRequest { compare: vec![absent], ..success(vec![op_put(put_of("seen", ""))]) };
    let mut store = Store::new();
    let applied = store.txn(&success(vec![op_put(put_of("new", "1")), op_txn(nested)])).unwrap();
    assert_eq!(applied.changes.len(), 2);
    assert!(store.kv.get(b"seen").is_some());
}

#[test]
fn nothing_of_a_refused_transaction_is_applied() {
    let mut store = sample();
    store.kv.compact(3).unwrap();
    let before = format!("{:?}", (&store.kv, &store.leases));
    let write = || op_put(PutRequest { lease: 7, ..put_of("n", "1") });
    let last = |op| success(vec![write(), op_txn(success(vec![op]))]);
    let range_at = |revision| op_range(RangeRequest { revision, ..everything() });
    let no_lease = op_put(PutRequest { lease: 9, ..put_of("m", "1") });
    let cases = [
        (range_at(2), KvError::Compacted),
        // Not even the revision that the transaction itself would make.
        (range_at(6), KvError::FutureRevision),
        (no_lease, KvError::LeaseNotFound),
        (RequestOp { request: None }, KvError::KeyNotFound),
        (op_delete(delete_of("", "")), KvError::EmptyKey),
    ];
    for (op, error) in cases {
        assert_eq!(store.txn(&last(op)), Err(error));
        assert_eq!(format!("{:?}", (&store.kv, &store.leases)), before);
    }
    // A disk error comes before the first write too.
    let request = last(op_range(RangeRequest { revision: 4, ..range_of("a", "") }));
    let failed = txn(&mut store.kv, &mut store.leases, &NoHistory, &request);
    assert!(matches!(failed, Err(KvError::History(_))));
    assert_eq!(format!("{:?}", (&store.kv, &store.leases)), before);
}

#[test]
fn a_branch_not_taken_is_not_held_against_the_store() {
    let mut store = sample();
    let failure = vec![op_range(RangeRequest { revision: 99, ..everything() })];
    let request = TxnRequest { failure, ..success(vec![op_put(put_of("n", "1"))]) };
    assert!(store.txn(&request).unwrap().response.succeeded);
}

#[test]
fn conditions_on_a_missing_key() {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    use CompareTarget as Target;
    let store = sample();
    assert!(holds(&store, compare("x", Equal, Target::Version, TargetUnion::Version(0))));
    assert!(holds(&store, compare("x", Less, Target::Create, TargetUnion::CreateRevision(1))));
    assert!(holds(&store, compare("x", NotEqual, Target::Mod, TargetUnion::ModRevision(5))));
    assert!(holds(&store, compare("x", Equal, Target::Lease, TargetUnion::Lease(0))));
    assert!(!holds(&store, compare("x", Greater, Target::Version, TargetUnion::Version(0))));
    for result in [Equal, NotEqual, Less, Greater] {
        assert!(!holds(
            &store,
            compare("x", result, Target::Value, TargetUnion::Value(Bytes::new()))
        ));
    }
}

#[test]
fn a_condition_over_a_range_holds_for_every_key_in_it() {
    let store = sample();
    let over = |range_end: &str, version| Compare {
        range_end: bytes(range_end),
        ..compare("a", CompareResult::Equal, CompareTarget::Version, TargetUnion::Version(version))
    };
    assert!(holds(&store, over("b", 2)));
    assert!(!holds(&store, over("c", 2)));
    assert!(!holds(&store, over("\0", 1)));
    // An empty range is a missing key.
    let empty = |target, than| Compare {
        range_end: bytes("z"),
        ..compare("x", CompareResult::Equal, target, than)
    };
    assert!(holds(&store, empty(CompareTarget::Version, TargetUnion::Version(0))));
    assert!(!holds(&store, empty(CompareTarget::Value, TargetUnion::Value(Bytes::new()))));
}

#[test]
fn a_condition_on_the_lease() {
    let mut store = Store::new();
    store.put(&PutRequest { lease: 7, ..put_of("a", "1") }).unwrap();
    let on =
        |lease| compare("a", CompareResult::Equal, CompareTarget::Lease, TargetUnion::Lease(lease));
    assert!(holds(&store, on(7)));
    assert!(!holds(&store, on(0)));
}

#[test]
fn an_operand_of_another_kind_counts_as_none() {
    let store = sample();
    let mixed = |target| compare("a", CompareResult::Greater, target, TargetUnion::Lease(1 << 40));
    assert!(holds(&store, mixed(CompareTarget::Version)));
    assert!(holds(&store, mixed(CompareTarget::Value)));
}

#[test]
fn read_only_transactions_are_answered_without_a_log_entry() {
    let store = sample();
    let request = success(vec![
        op_range(everything()),
        op_range(RangeRequest { revision: 2, ..everything() }),
    ]);
    let response = read_txn(&store.kv, &store.history, &request).unwrap().unwrap();
    assert_eq!(response, store.clone().txn(&request).unwrap().response);
    let writes = success(vec![op_put(put_of("a", "1"))]);
    assert_eq!(read_txn(&store.kv, &store.history, &writes), Ok(None));
}

// --- what the edge decides by form

#[test]
fn the_operation_budget_is_shared_with_nested_transactions() {
    let reads = |count| vec![op_range(range_of("a", "")); count];
    let condition =
        compare("a", CompareResult::Equal, CompareTarget::Version, TargetUnion::Version(0));
    let conditions =
        |count| TxnRequest { compare: vec![condition.clone(); count], ..Default::default() };
    assert_eq!(check::txn(&success(reads(128)), 128), Ok(()));
    assert_eq!(check::txn(&success(reads(129)), 128), Err(KvError::TooManyOps));
    assert_eq!(check::txn(&conditions(128), 128), Ok(()));
    assert_eq!(check::txn(&conditions(129), 128), Err(KvError::TooManyOps));
    let nested = |outer: usize, inner| {
        let mut ops = reads(outer - 1);
        ops.push(op_txn(success(reads(inner))));
        success(ops)
    };
    assert_eq!(check::txn(&nested(100, 28), 128), Ok(()));
    assert_eq!(check::txn(&nested(100, 29), 128), Err(KvError::TooManyOps));
    // Siblings each have what is left, not a share of it.
    let siblings = success(vec![op_txn(success(reads(126))), op_txn(success(reads(126)))]);
    assert_eq!(check::txn(&siblings, 128), Ok(()));
}

#[test]
fn nesting_has_a_limit_of_its_own() {
    let nested =
        |depth| (1..depth).fold(TxnRequest::default(), |txn, _| success(vec![op_txn(txn)]));
    assert_eq!(check::txn(&nested(16), 128), Ok(()));
    assert_eq!(check::txn(&nested(17), 128), Err(KvError::TooManyOps));
    let mut store = Store::new();
    assert!(store.txn(&nested(16)).is_ok());
    assert_eq!(store.txn(&nested(17)), Err(KvError::TooManyOps));
}

#[test]
fn both_branches_are_checked_by_form() {
    let bad = [
        (op_range(range_of("", "")), KvError::EmptyKey),
        (op_put(put_of("", "")), KvError::EmptyKey),
        (op_delete(delete_of("", "")), KvError::EmptyKey),
        (op_put(PutRequest { ignore_value: true, ..put_of("a", "1") }), KvError::ValueProvided),
        (op_range(RangeRequest { sort_target: 9, ..everything() }), KvError::InvalidSortOption),
        (RequestOp { request: None }, KvError::KeyNotFound),
    ];
    for (op, error) in bad {
        let failure = TxnRequest { failure: vec![op.clone()], ..TxnRequest::default() };
        assert_eq!(check::txn(&failure, 128), Err(error.clone()));
        assert_eq!(check::txn(&success(vec![op_txn(failure)]), 128), Err(error));
    }
    let nameless = TxnRequest { compare: vec![Compare::default()], ..TxnRequest::default() };
    assert_eq!(check::txn(&nameless, 128), Err(KvError::EmptyKey));
    assert_eq!(Store::new().txn(&nameless), Err(KvError::EmptyKey));
}

#[test]
fn how_a_transaction_may_be_routed() {
    let serializable = || op_range(RangeRequest { serializable: true, ..everything() });
    let reads = success(vec![serializable(), op_range(everything())]);
    assert!(check::is_read_only(&reads) && !check::is_serializable(&reads));
    assert!(check::is_serializable(&success(vec![serializable()])));
    let other_way =
        TxnRequest { failure: vec![op_put(put_of("a", ""))], ..success(vec![serializable()]) };
    assert!(!check::is_read_only(&other_way) && !check::is_serializable(&other_way));
    let nested = success(vec![op_txn(success(vec![serializable()]))]);
    assert!(!check::is_read_only(&nested) && !check::is_serializable(&nested));
    let empty = TxnRequest::default();
    assert!(check::is_read_only(&empty) && !check::is_serializable(&empty));
}

#[test]
fn the_quota_cost_is_that_of_the_dearer_path_with_nested_puts() {
    assert_eq!(check::quota_cost_put(&put_of("ab", "xyz")), 261);
    let put = || op_put(put_of("ab", "xyz"));
    let nested = op_txn(TxnRequest { failure: vec![put()], ..TxnRequest::default() });
    let request = TxnRequest {
        compare: Vec::new(),
        success: vec![put()],
        failure: vec![put(), nested, op_delete(delete_of("a", ""))],
    };
    assert_eq!(check::quota_cost_txn(&request), 522);
    assert_eq!(check::quota_cost_txn(&success(vec![op_delete(delete_of("a", ""))])), 0);
}

#[test]
fn the_texts_are_those_that_clients_map() {
    let prefixed = [
        (KvError::EmptyKey, "key is not provided"),
        (KvError::KeyNotFound, "key not found"),
        (KvError::ValueProvided, "value is provided"),
        (KvError::LeaseProvided, "lease is provided"),
        (KvError::LeaseNotFound, "requested lease not found"),
        (KvError::TooManyOps, "too many operations in txn request"),
        (KvError::DuplicateKey, "duplicate key given in txn request"),
        (KvError::InvalidSortOption, "invalid sort option"),
        (KvError::Compacted, "mvcc: required revision has been compacted"),
        (KvError::FutureRevision, "mvcc: required revision is a future revision"),
    ];
    for (error, text) in prefixed {
        assert_eq!(error.to_string(), format!("etcdserver: {text}"));
    }
}
