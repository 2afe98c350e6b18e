//! The metrics page: names, types and labels are etcd 3.6's, and the values are true.
//!
//! `metrics-3.6.txt` is what etcd 3.6.6 exports with `--metrics=extensive` after a write, a
//! read, a delete and a lease (`name type labels`), without Go's own runtime numbers (`go_*`),
//! which cannot mean anything here.

use std::collections::{BTreeMap, BTreeSet};

use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use tonic::Code;
use tonic::metadata::MetadataValue;

use crate::run_on_wire;
use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

/// Names that mean nothing here, and why.
const ABSENT: [(&str, &str); 18] = [
    ("etcd_debugging_disk_backend_commit_rebalance_duration_seconds", "a phase of bbolt's commit"),
    ("etcd_debugging_disk_backend_commit_spill_duration_seconds", "a phase of bbolt's commit"),
    ("etcd_debugging_disk_backend_commit_write_duration_seconds", "a phase of bbolt's commit"),
    ("etcd_debugging_snap_save_marshalling_duration_seconds", "a snapshot is streamed to its file"),
    ("etcd_debugging_store_watch_requests_total", "the v2 store counts watchers, not requests"),
    ("etcd_disk_wal_write_duration_seconds", "write and fdatasync are one step, timed as fsync"),
    ("etcd_mvcc_db_open_read_transactions", "there are no bbolt transactions"),
    ("etcd_server_go_version", "there is no Go"),
    ("etcd_snap_db_fsync_duration_seconds", "part of etcd_snap_db_save_total_duration_seconds"),
    ("etcd_snap_fsync_duration_seconds", "part of etcd_debugging_snap_save_total_duration_seconds"),
    ("etcd_debugging_store_reads_total", "there when the v2 store was read"),
    ("etcd_debugging_store_writes_total", "there when the v2 store was written"),
    ("etcd_grpc_proxy_cache_hits_total", "there is no gRPC proxy"),
    ("etcd_grpc_proxy_cache_keys_total", "there is no gRPC proxy"),
    ("etcd_grpc_proxy_cache_misses_total", "there is no gRPC proxy"),
    ("etcd_grpc_proxy_events_coalescing_total", "there is no gRPC proxy"),
    ("etcd_grpc_proxy_watchers_coalescing_total", "there is no gRPC proxy"),
    ("etcd_debugging_server_watch_send_loop_watch_stream_duration_seconds", "of Go's send loop"),
];

mod ours {
    #[test]
    fn names_types_and_labels_are_etcds() {
        super::run_on_wire(super::Engine::Ours, super::names_types_and_labels_are_etcds);
    }

    #[test]
    fn basic_metrics_have_no_times_of_calls() {
        super::run_on_wire(super::Engine::Ours, super::basic_metrics_have_no_times_of_calls);
    }

    #[test]
    fn counts_are_those_of_etcd() {
        super::run_on_wire(super::Engine::Ours, super::counts_are_those_of_etcd);
    }

    #[test]
    fn clients_versions_are_counted() {
        super::run_on_wire(super::Engine::Ours, super::clients_versions_are_counted);
    }
}

mod etcd35 {
    #[test]
    fn counts_are_those_of_etcd() {
        super::run_on_wire(super::Engine::Etcd35, super::counts_are_those_of_etcd);
    }
}

/// A family: its type, and the labels of its samples without `le`.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// Reads a page, and fails on anything that Prometheus would not read.
fn families(page: &str) -> Families {
    let mut families = Families::new();
    let mut current = String::new();
    let mut helped = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            helped = rest.split(' ').next().unwrap().to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert_eq!(name, helped, "help and type stand together");
            let known = families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert!(known.is_none(), "{name} twice");
            current = name.to_owned();
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"));
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let (kind, known) = families.get_mut(&current).unwrap();
            let family = match kind.as_str() {
                "histogram" => ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end))
                    .unwrap_or_else(|| panic!("{line}")),
                _ => name,
            };
            assert_eq!(family, current, "{line}");
            for label in labels.strip_suffix('}').unwrap().split(',').filter(|l| !l.is_empty()) {
                let (label, value) = label.split_once('=').unwrap_or_else(|| panic!("{line}"));
                assert!(value.starts_with('"') && value.ends_with('"'), "{line}");
                if label != "le" {
                    known.insert(label.to_owned());
                }
            }
        }
    }
    families
}

fn golden() -> Families {
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let (name, kind) = (words.next().unwrap(), words.next().unwrap());
        let labels = words.next().unwrap_or_default().split(',').filter(|word| !word.is_empty());
        (name.to_owned(), (kind.to_owned(), labels.map(str::to_owned).collect()))
    };
    include_str!("metrics-3.6.txt").lines().map(parse).collect()
}

fn page(cluster: &Cluster, index: usize) -> String {
    let (status, body) = cluster.nodes[index].http("/metrics").unwrap();
    assert_eq!(status, 200);
    body
}

/// The value of one series.
fn value(page: &str, series: &str) -> Option<f64> {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.map(|value| value.parse().unwrap())
}

fn used(client: &Client) {
    client.put("a", "b").unwrap();
    client.get("a", false).unwrap();
    let kv = || KvClient::new(client.channel());
    let delete = pb::DeleteRangeRequest { key: "a".into(), ..Default::default() };
    client.wait(kv().delete_range(delete)).unwrap();
    let grant = pb::LeaseGrantRequest { id: 0, ttl: 100 };
    client.wait(LeaseClient::new(client.channel()).lease_grant(grant)).unwrap();
}

fn names_types_and_labels_are_etcds(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &["--metrics=extensive"]);
    used(&cluster.client(0));
    assert_eq!(cluster.nodes[0].http("/readyz").unwrap().0, 200);
    let ours = families(&page(&cluster, 0));
    let etcds = golden();
    let absent: BTreeMap<&str, &str> = ABSENT.into_iter().collect();
    for (name, expected) in &etcds {
        match ours.get(name) {
            Some(found) => {
                assert_eq!(found, expected, "{name}");
                assert!(!absent.contains_key(name.as_str()), "{name} is there after all");
            }
            None => assert!(absent.contains_key(name.as_str()), "{name} is missing"),
        }
    }
    for name in ours.keys() {
        assert!(etcds.contains_key(name), "{name} is not etcd's");
    }
    // A cluster has families more.
    let cluster = Cluster::start(engine, 3, &[]);
    cluster.client(0).put("a", "b").unwrap();
    let more = families(&page(&cluster, 0));
    let label = |name: &str| more.get(name).map(|(_, labels)| labels.iter().cloned().collect());
    let both: Vec<String> = vec!["Local".into(), "Remote".into()];
    assert_eq!(label("etcd_network_active_peers"), Some(both.clone()));
    assert_eq!(label("etcd_network_known_peers"), Some(both));
    for (name, direction) in [("sent_bytes_total", "To"), ("received_bytes_total", "From")] {
        let name = format!("etcd_network_peer_{name}");
        assert_eq!(label(&name), Some(vec![direction.to_owned()]), "{name}");
    }
}

fn basic_metrics_have_no_times_of_calls(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    used(&cluster.client(0));
    let families = families(&page(&cluster, 0));
    assert!(!families.contains_key("grpc_server_handling_seconds"));
    assert!(families.contains_key("grpc_server_handled_total"));
}

/// What etcd's own tests ask of the numbers, and a little more.
fn counts_are_those_of_etcd(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    let kv = || KvClient::new(client.channel());
    let put = |key: &'static str| pb::PutRequest {
        key: key.into(),
        value: "value".into(),
        ..Default::default()
    };
    let op = |request| pb::RequestOp { request: Some(request) };
    client.wait(kv().put(put("a"))).unwrap();
    let delete = pb::DeleteRangeRequest { key: "x".into(), ..Default::default() };
    client.wait(kv().delete_range(delete.clone())).unwrap();
    let txn = pb::TxnRequest {
        success: vec![
            op(pb::request_op::Request::RequestPut(put("b"))),
            op(pb::request_op::Request::RequestDeleteRange(delete)),
            op(pb::request_op::Request::RequestRange(pb::RangeRequest {
                key: "a".into(),
                ..Default::default()
            })),
        ],
        ..Default::default()
    };
    client.wait(kv().txn(txn)).unwrap();
    let page = page(&cluster, 0);
    let is = |series: &str, expected: f64| {
        assert_eq!(value(&page, series), Some(expected), "{series} of {engine}");
    };
    is("etcd_mvcc_put_total", 2.0);
    is("etcd_mvcc_delete_total", 2.0);
    is("etcd_mvcc_txn_total", 1.0);
    is("etcd_debugging_mvcc_keys_total", 2.0);
    is("etcd_debugging_mvcc_current_revision", 3.0);
    is("etcd_debugging_mvcc_compact_revision", -1.0);
    is("etcd_debugging_mvcc_total_put_size_in_bytes", 12.0);
    is("etcd_server_has_leader", 1.0);
    is("etcd_server_is_leader", 1.0);
    is("etcd_server_quota_backend_bytes", 2_147_483_648.0);
    let unary = "grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}";
    is(&format!("grpc_server_started_total{{grpc_method=\"Put\",{unary}"), 1.0);
    is(&format!("grpc_server_msg_sent_total{{grpc_method=\"Put\",{unary}"), 1.0);
    is(&format!("grpc_server_msg_received_total{{grpc_method=\"Txn\",{unary}"), 1.0);
    is(&format!("grpc_server_handled_total{{grpc_code=\"OK\",grpc_method=\"Txn\",{unary}"), 1.0);
}

fn clients_versions_are_counted(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    let kv = || KvClient::new(client.channel());
    let get = |version: &[u8]| {
        let range = pb::RangeRequest { key: "a".into(), ..Default::default() };
        let mut request = tonic::Request::new(range);
        let version = MetadataValue::try_from(version).unwrap();
        request.metadata_mut().insert("client-api-version", version);
        client.wait(kv().range(request))
    };
    get(b"3.6").unwrap();
    get(b"a\"b\\c").unwrap();
    let refused = get(b"\xff\xfe").unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(refused.text, "etcdserver: invalid client api version");
    let page = page(&cluster, 0);
    let count = |version: &str| {
        let labels = format!("client_api_version=\"{version}\",type=\"unary\"");
        value(&page, &format!("etcd_server_client_requests_total{{{labels}}}"))
    };
    assert_eq!(count("3.6"), Some(1.0));
    assert_eq!(count("a\\\"b\\\\c"), Some(1.0));
}
