//! What the differential run found, each once more by itself.

use proto::etcdserverpb as pb;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use tonic::Code;

use crate::against_every_server;
use crate::support::client::{Client, Refusal};
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

against_every_server!(
    a_lone_member_is_healthy_at_once,
    an_unknown_member_goes_before_bad_urls,
    a_negative_revision_in_a_transaction,
    a_missing_key_goes_before_a_missing_lease_in_a_transaction,
    a_sort_without_an_order_stays_within_the_limit,
);

fn single(engine: Engine) -> (Cluster, Client) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    (cluster, client)
}

fn then(client: &Client, request: Request) -> Result<pb::TxnResponse, Refusal> {
    let success = vec![pb::RequestOp { request: Some(request) }];
    let request = pb::TxnRequest { success, ..Default::default() };
    client.wait(KvClient::new(client.channel()).txn(request))
}

fn refusal(code: Code, text: &str) -> Refusal {
    Refusal { code, text: text.into() }
}

fn a_lone_member_is_healthy_at_once(engine: Engine) {
    let (_cluster, client) = single(engine);
    let members = client.add_member("http://127.0.0.1:9", true).expect("no five seconds to wait");
    assert_eq!(members.len(), 2);
}

fn an_unknown_member_goes_before_bad_urls(engine: Engine) {
    let (_cluster, client) = single(engine);
    let request = pb::MemberUpdateRequest { id: 7, peer_ur_ls: vec!["nonsense".into()] };
    let answer = client.wait(ClusterClient::new(client.channel()).member_update(request));
    assert_eq!(answer.unwrap_err(), refusal(Code::NotFound, "etcdserver: member not found"));
}

fn a_negative_revision_in_a_transaction(engine: Engine) {
    let (_cluster, client) = single(engine);
    for value in ["1", "2"] {
        client.put("k", value).unwrap();
    }
    let range = || pb::RangeRequest { key: "k".into(), revision: -1, ..Default::default() };
    assert!(then(&client, Request::RequestRange(range())).is_ok());
    let compact = pb::CompactionRequest { revision: 2, physical: true };
    client.wait(KvClient::new(client.channel()).compact(compact)).unwrap();
    let text = "etcdserver: mvcc: required revision has been compacted";
    let inside = then(&client, Request::RequestRange(range()));
    assert_eq!(inside.unwrap_err(), refusal(Code::OutOfRange, text));
    assert_eq!(client.range(range()).unwrap().kvs.len(), 1, "outside it is the present");
}

fn a_missing_key_goes_before_a_missing_lease_in_a_transaction(engine: Engine) {
    let (_cluster, client) = single(engine);
    let put =
        || pb::PutRequest { key: "k".into(), lease: 7, ignore_value: true, ..Default::default() };
    let inside = then(&client, Request::RequestPut(put()));
    assert_eq!(inside.unwrap_err(), refusal(Code::InvalidArgument, "etcdserver: key not found"));
    let alone = client.wait(KvClient::new(client.channel()).put(put()));
    let text = "etcdserver: requested lease not found";
    assert_eq!(alone.unwrap_err(), refusal(Code::NotFound, text));
}

fn a_sort_without_an_order_stays_within_the_limit(engine: Engine) {
    let (_cluster, client) = single(engine);
    for (key, value) in [("a", "3"), ("b", "2"), ("c", "1")] {
        client.put(key, value).unwrap();
    }
    let first = |order: SortOrder, min_mod_revision: i64| {
        let request = pb::RangeRequest {
            key: "a".into(),
            range_end: "z".into(),
            limit: 1,
            sort_order: order as i32,
            sort_target: SortTarget::Value as i32,
            min_mod_revision,
            ..Default::default()
        };
        let answer = client.range(request).unwrap();
        assert!(answer.more && answer.kvs.len() == 1, "{answer:?}");
        String::from_utf8_lossy(&answer.kvs[0].key).into_owned()
    };
    // Two keys are fetched for a limit of one, and only they are sorted.
    assert_eq!(first(SortOrder::None, 0), "b");
    assert_eq!(first(SortOrder::None, 1), "c", "a filter has to see all");
    assert_eq!(first(SortOrder::Ascend, 0), "c");
}
