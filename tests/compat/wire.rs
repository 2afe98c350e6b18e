//! What `etcdctl` cannot say, said in gRPC: filters, nested transactions, headers, codes.

use proto::etcdserverpb as pb;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use tonic::Code;

use crate::against_every_server;
use crate::support::client::{Client, Refusal};
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

against_every_server!(
    revision_filters,
    sorting_rules,
    odd_ranges,
    put_refusals,
    nested_transactions,
    range_compares,
    transaction_refusals,
    operation_budget_of_nested_transactions,
    headers,
    lease_numbers,
    lease_refusals,
    member_refusals,
    leader_moves_are_the_leaders,
    negative_numbers,
);

fn single(engine: Engine) -> (Cluster, Client) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    (cluster, client)
}

fn txn(client: &Client, request: pb::TxnRequest) -> Result<pb::TxnResponse, Refusal> {
    client.wait(KvClient::new(client.channel()).txn(request))
}

fn put(client: &Client, request: pb::PutRequest) -> Result<pb::PutResponse, Refusal> {
    client.wait(KvClient::new(client.channel()).put(request))
}

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn put_op(key: &'static str, value: &'static str) -> pb::RequestOp {
    op(Request::RequestPut(pb::PutRequest {
        key: key.into(),
        value: value.into(),
        ..Default::default()
    }))
}

fn delete_op(key: &'static str, range_end: &'static str) -> pb::RequestOp {
    let (key, range_end) = (key.into(), range_end.into());
    op(Request::RequestDeleteRange(pb::DeleteRangeRequest { key, range_end, prev_kv: false }))
}

fn get_op(key: &'static str) -> pb::RequestOp {
    op(Request::RequestRange(pb::RangeRequest { key: key.into(), ..Default::default() }))
}

fn txn_op(request: pb::TxnRequest) -> pb::RequestOp {
    op(Request::RequestTxn(request))
}

fn then(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { success, ..Default::default() }
}

fn all() -> pb::RangeRequest {
    pb::RangeRequest { key: vec![0].into(), range_end: vec![0].into(), ..Default::default() }
}

fn keys(answer: &pb::RangeResponse) -> Vec<String> {
    answer.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, code: Code, text: &str) {
    let refusal = outcome.expect_err(text);
    assert_eq!((refusal.code, refusal.text.as_str()), (code, text));
}

/// a@2, b@3, c@4, then b again @5.
fn some_keys(client: &Client) {
    for (key, value) in [("a", "3"), ("b", "2"), ("c", "1"), ("b", "2")] {
        client.put(key, value).unwrap();
    }
}

fn revision_filters(engine: Engine) {
    let (_cluster, client) = single(engine);
    some_keys(&client);
    let filtered = |request: pb::RangeRequest| {
        let answer = client.range(request).unwrap();
        assert_eq!(answer.count, 3, "the count is of the range, not of the filter");
        keys(&answer)
    };
    assert_eq!(filtered(pb::RangeRequest { min_mod_revision: 4, ..all() }), ["b", "c"]);
    assert_eq!(filtered(pb::RangeRequest { max_mod_revision: 4, ..all() }), ["a", "c"]);
    assert_eq!(filtered(pb::RangeRequest { min_create_revision: 4, ..all() }), ["c"]);
    assert_eq!(filtered(pb::RangeRequest { max_create_revision: 3, ..all() }), ["a", "b"]);
    // The limit counts what the filter left.
    let request = pb::RangeRequest { min_mod_revision: 4, limit: 1, ..all() };
    let answer = client.range(request).unwrap();
    assert_eq!((keys(&answer), answer.more), (vec!["b".to_string()], true));
}

fn sorting_rules(engine: Engine) {
    let (_cluster, client) = single(engine);
    some_keys(&client);
    let sorted = |order: SortOrder, target: SortTarget| {
        let (sort_order, sort_target) = (order as i32, target as i32);
        keys(&client.range(pb::RangeRequest { sort_order, sort_target, ..all() }).unwrap())
    };
    // Another target than the key without an order is ascending.
    assert_eq!(sorted(SortOrder::None, SortTarget::Value), ["c", "b", "a"]);
    assert_eq!(sorted(SortOrder::None, SortTarget::Key), ["a", "b", "c"]);
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Mod), ["b", "c", "a"]);
    assert_eq!(sorted(SortOrder::Descend, SortTarget::Create), ["c", "b", "a"]);
    let answer = client.range(pb::RangeRequest { count_only: true, ..all() }).unwrap();
    assert_eq!((answer.count, answer.kvs.len(), answer.more), (3, 0, false));
}

fn odd_ranges(engine: Engine) {
    let (_cluster, client) = single(engine);
    some_keys(&client);
    let range = |key: &[u8], end: &[u8]| {
        let (key, range_end) = (key.to_vec().into(), end.to_vec().into());
        keys(&client.range(pb::RangeRequest { key, range_end, ..Default::default() }).unwrap())
    };
    assert_eq!(range(b"b", b"\0"), ["b", "c"], "a zero byte as the end has no end");
    assert_eq!(range(b"\0", b"\0"), ["a", "b", "c"]);
    assert_eq!(range(b"c", b"a"), [""; 0]);
    let no_key = pb::RangeRequest::default();
    refused(client.range(no_key), Code::InvalidArgument, "etcdserver: key is not provided");
    let future = pb::RangeRequest { revision: 6, ..all() };
    let text = "etcdserver: mvcc: required revision is a future revision";
    refused(client.range(future), Code::OutOfRange, text);
}

fn put_refusals(engine: Engine) {
    let (_cluster, client) = single(engine);
    let request = || pb::PutRequest { key: "k".into(), ..Default::default() };
    let value = pb::PutRequest { value: "v".into(), ignore_value: true, ..request() };
    refused(put(&client, value), Code::InvalidArgument, "etcdserver: value is provided");
    let lease = pb::PutRequest { lease: 7, ignore_lease: true, ..request() };
    refused(put(&client, lease), Code::InvalidArgument, "etcdserver: lease is provided");
    let missing = pb::PutRequest { ignore_value: true, ..request() };
    refused(put(&client, missing), Code::InvalidArgument, "etcdserver: key not found");
    let unknown = pb::PutRequest { lease: 7, ..request() };
    refused(put(&client, unknown), Code::NotFound, "etcdserver: requested lease not found");
    let no_key = pb::PutRequest::default();
    refused(put(&client, no_key), Code::InvalidArgument, "etcdserver: key is not provided");
}

fn version_is(key: &'static str, version: i64) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Version as i32,
        key: key.into(),
        target_union: Some(TargetUnion::Version(version)),
        range_end: Default::default(),
    }
}

fn nested_transactions(engine: Engine) {
    let (_cluster, client) = single(engine);
    client.put("a", "1").unwrap();
    let inner = pb::TxnRequest {
        // Compares see what was before the whole transaction, also those inside it.
        compare: vec![version_is("a", 1)],
        success: vec![put_op("b", "inner"), get_op("a")],
        failure: vec![put_op("b", "wrong")],
    };
    let answer = txn(&client, then(vec![put_op("a", "2"), txn_op(inner), get_op("b")])).unwrap();
    assert_eq!(answer.header.as_ref().unwrap().revision, 3);
    let Some(Response::ResponseTxn(inner)) = &answer.responses[1].response else {
        panic!("{answer:?}")
    };
    assert!(inner.succeeded && inner.responses.len() == 2, "{inner:?}");
    let Some(Response::ResponseRange(range)) = &answer.responses[2].response else {
        panic!("{answer:?}")
    };
    assert_eq!(&range.kvs[0].value[..], b"inner");
    assert_eq!(range.kvs[0].mod_revision, 3);
    assert_eq!(client.get("a", false), Ok(Some("2".into())));
}

fn range_compares(engine: Engine) {
    let (_cluster, client) = single(engine);
    some_keys(&client);
    let holds = |target: CompareTarget, result: CompareResult, union: TargetUnion, end: &str| {
        let compare = pb::Compare {
            result: result as i32,
            target: target as i32,
            key: "a".into(),
            target_union: Some(union),
            range_end: end.to_string().into(),
        };
        let request = pb::TxnRequest { compare: vec![compare], ..Default::default() };
        txn(&client, request).unwrap().succeeded
    };
    use CompareResult::{Equal, Greater, Less, NotEqual};
    // It must hold for each key of the range: versions are 1, 2, 1.
    assert!(holds(CompareTarget::Version, Less, TargetUnion::Version(3), "z"));
    assert!(!holds(CompareTarget::Version, Equal, TargetUnion::Version(1), "z"));
    assert!(holds(CompareTarget::Version, Equal, TargetUnion::Version(1), "b"));
    assert!(holds(CompareTarget::Mod, Greater, TargetUnion::ModRevision(1), "z"));
    assert!(holds(CompareTarget::Value, NotEqual, TargetUnion::Value("9".into()), "z"));
    assert!(!holds(CompareTarget::Value, NotEqual, TargetUnion::Value("2".into()), "z"));
    assert!(holds(CompareTarget::Lease, Equal, TargetUnion::Lease(0), "z"));
}

fn transaction_refusals(engine: Engine) {
    let (_cluster, client) = single(engine);
    let invalid = Code::InvalidArgument;
    let duplicate = "etcdserver: duplicate key given in txn request";
    let nothing = then(vec![pb::RequestOp { request: None }]);
    refused(txn(&client, nothing), invalid, "etcdserver: key not found");
    let no_key = then(vec![get_op("")]);
    refused(txn(&client, no_key), invalid, "etcdserver: key is not provided");
    let across = then(vec![put_op("k", "1"), txn_op(then(vec![put_op("k", "2")]))]);
    refused(txn(&client, across), invalid, duplicate);
    let deleted = then(vec![put_op("k", "1"), txn_op(then(vec![delete_op("a", "z")]))]);
    refused(txn(&client, deleted), invalid, duplicate);
    // The branches of one nested transaction exclude each other.
    let branches = pb::TxnRequest {
        compare: vec![],
        success: vec![put_op("k", "1")],
        failure: vec![put_op("k", "2")],
    };
    assert!(txn(&client, then(vec![txn_op(branches)])).is_ok());
    let empty = txn(&client, pb::TxnRequest::default()).unwrap();
    assert!(empty.succeeded && empty.responses.is_empty());
}

fn operation_budget_of_nested_transactions(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &["--max-txn-ops=3"]);
    let client = cluster.client(0);
    let with_inner =
        |inner: Vec<pb::RequestOp>| txn(&client, then(vec![get_op("a"), txn_op(then(inner))]));
    assert!(with_inner(vec![get_op("b")]).is_ok());
    let too_many = "etcdserver: too many operations in txn request";
    refused(with_inner(vec![get_op("b"), get_op("c")]), Code::InvalidArgument, too_many);
    // The longest list counts, whichever it is.
    let compares = pb::TxnRequest { compare: vec![version_is("a", 0); 4], ..Default::default() };
    refused(txn(&client, compares), Code::InvalidArgument, too_many);
}

fn headers(engine: Engine) {
    let (_cluster, client) = single(engine);
    let first = client.range(all()).unwrap().header.unwrap();
    assert_eq!(first.revision, 1, "an empty store is at revision 1");
    assert!(first.cluster_id != 0 && first.member_id != 0 && first.raft_term > 0);
    assert_eq!(client.put("k", "v").unwrap(), 2, "the first write makes revision 2");
    let answer = txn(&client, then(vec![put_op("a", "1"), get_op("a")])).unwrap();
    for response in &answer.responses {
        let header = match response.response.as_ref().unwrap() {
            Response::ResponsePut(put) => put.header.as_ref().unwrap(),
            Response::ResponseRange(range) => range.header.as_ref().unwrap(),
            other => panic!("{other:?}"),
        };
        // Inside a transaction a header has the revision and nothing else.
        assert_eq!((header.revision, header.member_id, header.raft_term), (3, 0, 0));
    }
    let list = pb::MemberListRequest::default();
    let members = client.wait(ClusterClient::new(client.channel()).member_list(list)).unwrap();
    assert_eq!(members.header.as_ref().unwrap().revision, 0, "members have no revision");
    let status = client.status().unwrap();
    assert_eq!(status.header.as_ref().unwrap().revision, 3);
    assert_eq!(status.leader, status.header.as_ref().unwrap().member_id);
    let defragment = pb::DefragmentRequest::default();
    let answer =
        client.wait(MaintenanceClient::new(client.channel()).defragment(defragment)).unwrap();
    assert!(answer.header.is_none());
}

fn grant(client: &Client, id: i64, ttl: i64) -> Result<pb::LeaseGrantResponse, Refusal> {
    let mut leases = LeaseClient::new(client.channel());
    client.wait(leases.lease_grant(pb::LeaseGrantRequest { id, ttl }))
}

fn lease_numbers(engine: Engine) {
    let (_cluster, client) = single(engine);
    assert_eq!(grant(&client, 7, 100).unwrap().id, 7);
    assert!(grant(&client, 0, 100).unwrap().id > 0, "the server picks a positive id");
    assert_eq!(grant(&client, -5, 100).unwrap().id, -5);
    // Below the election timeout a lease could not be kept; the floor is told.
    for ttl in [-1, 0, 1] {
        assert_eq!(grant(&client, 0, ttl).unwrap().ttl, 2);
    }
    assert_eq!(grant(&client, 0, 9_000_000_000).unwrap().ttl, 9_000_000_000);
    let ask = pb::LeaseTimeToLiveRequest { id: 7, keys: false };
    let mut leases = LeaseClient::new(client.channel());
    let answer = client.wait(leases.lease_time_to_live(ask)).unwrap();
    assert_eq!((answer.granted_ttl, answer.ttl > 90, answer.keys.len()), (100, true, 0));
    let ask = pb::LeaseTimeToLiveRequest { id: 8, keys: true };
    let answer = client.wait(leases.lease_time_to_live(ask)).unwrap();
    assert_eq!((answer.id, answer.ttl, answer.granted_ttl), (8, -1, 0), "gone is no error");
}

/// etcd before 3.6 may leave out keys that its leader did not apply yet, so it is not asked.
#[test]
fn a_lease_has_the_keys_that_another_member_took() {
    let cluster = Cluster::start(Engine::Ours, 3, &[]);
    let clients = [0, 1, 2].map(|member| cluster.client(member));
    grant(&clients[0], 7, 100).unwrap();
    for round in 0..100 {
        let request =
            pb::PutRequest { key: format!("k{round}").into(), lease: 7, ..Default::default() };
        put(&clients[round % 3], request).unwrap();
        let asked = &clients[(round + 1 + round / 3 % 2) % 3];
        let ask = pb::LeaseTimeToLiveRequest { id: 7, keys: true };
        let answer = asked.wait(LeaseClient::new(asked.channel()).lease_time_to_live(ask)).unwrap();
        assert_eq!(answer.keys.len(), round + 1);
    }
}

fn lease_refusals(engine: Engine) {
    let (_cluster, client) = single(engine);
    grant(&client, 7, 100).unwrap();
    let exists = "etcdserver: lease already exists";
    refused(grant(&client, 7, 100), Code::FailedPrecondition, exists);
    let too_large = "etcdserver: too large lease TTL";
    refused(grant(&client, 0, 9_000_000_001), Code::OutOfRange, too_large);
    let mut leases = LeaseClient::new(client.channel());
    let revoke = client.wait(leases.lease_revoke(pb::LeaseRevokeRequest { id: 8 }));
    refused(revoke, Code::NotFound, "etcdserver: requested lease not found");
}

fn member_refusals(engine: Engine) {
    let (_cluster, client) = single(engine);
    let bad = "etcdserver: given member URLs are invalid";
    for url in ["", "nonsense", "http://no-port", "ftp://127.0.0.1:1"] {
        refused(client.add_member(url, false), Code::InvalidArgument, bad);
    }
    let missing = "etcdserver: member not found";
    refused(client.remove_member(7), Code::NotFound, missing);
    // etcd's raft forgets a change that comes while the one before, answered already, is not
    // yet behind it. A write in between is a round in between.
    client.put("k", "v").unwrap();
    refused(client.promote_member(7), Code::NotFound, missing);
    assert_eq!(client.members().unwrap().len(), 1);
}

fn leader_moves_are_the_leaders(engine: Engine) {
    let cluster = Cluster::start(engine, 3, &[]);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let (target, _) = cluster.client(follower).leader().unwrap();
    let asked = |index: usize, target_id: u64| {
        let client = cluster.client(index);
        let mut maintenance = MaintenanceClient::new(client.channel());
        client.wait(maintenance.move_leader(pb::MoveLeaderRequest { target_id }))
    };
    let precondition = Code::FailedPrecondition;
    refused(asked(follower, target), precondition, "etcdserver: not leader");
    refused(asked(leader, 7), precondition, "etcdserver: bad leader transferee");
    assert!(asked(leader, target).unwrap().header.is_none());
    assert_eq!(cluster.leader(), follower);
}

fn negative_numbers(engine: Engine) {
    let (_cluster, client) = single(engine);
    some_keys(&client);
    let answer = client.range(pb::RangeRequest { revision: -1, limit: -1, ..all() }).unwrap();
    assert_eq!((answer.kvs.len(), answer.more), (3, false), "as if they were not given");
    let compact = |revision: i64| {
        let request = pb::CompactionRequest { revision, physical: false };
        client.wait(KvClient::new(client.channel()).compact(request))
    };
    let compacted = "etcdserver: mvcc: required revision has been compacted";
    refused(compact(-1), Code::OutOfRange, compacted);
    assert_eq!(compact(3).unwrap().header.unwrap().revision, 5);
    refused(compact(0), Code::OutOfRange, compacted);
}
