//! The process itself: what it logs, how it is configured and how it ends.

use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{CompactionRequest, DefragmentRequest};
use serde_json::{Value, json};

use crate::against_every_server;
use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::tools::Engine;

against_every_server!(
    log_lines_are_json,
    a_log_level_hides_the_rest,
    the_environment_is_a_flag,
    bootstrap_flags_do_not_count_on_a_restart,
    readiness_is_logged_last,
    what_happens_is_logged_in_etcds_words,
);

/// etcd 3.4 has zap's lines only in part.
fn has_zap_log(engine: Engine) -> bool {
    engine != Engine::Etcd34
}

fn log_lines(cluster: &Cluster) -> Vec<Value> {
    let log = cluster.nodes[0].log();
    let parse = |line: &str| match serde_json::from_str(line) {
        Ok(value) => value,
        Err(error) => panic!("{error}: {line}"),
    };
    // The gRPC library in etcd writes lines of its own into the log.
    let foreign = |line: &str| cluster.engine != Engine::Ours && line.starts_with("WARNING: ");
    log.lines().filter(|line| !foreign(line)).map(parse).collect()
}

fn log_lines_are_json(engine: Engine) {
    let mut cluster = Cluster::start(engine, 1, &[]);
    cluster.nodes[0].stop();
    if !has_zap_log(engine) {
        return;
    }
    let lines = log_lines(&cluster);
    assert!(lines.len() > 3, "{lines:?}");
    for line in lines {
        for field in ["level", "ts", "caller", "msg"] {
            assert!(line[field].is_string(), "{field} in {line}");
        }
        assert!(line["ts"].as_str().unwrap().ends_with('Z'), "{line}");
    }
}

fn a_log_level_hides_the_rest(engine: Engine) {
    let mut cluster = Cluster::start(engine, 1, &["--log-level=error"]);
    cluster.nodes[0].stop();
    if has_zap_log(engine) {
        let lines = log_lines(&cluster);
        let quiet =
            |line: &Value| !["debug", "info", "warn"].contains(&line["level"].as_str().unwrap());
        assert!(lines.iter().all(quiet), "{lines:?}");
    }
}

fn the_environment_is_a_flag(engine: Engine) {
    let mut cluster = Cluster::prepare(engine, 1, &[]);
    cluster.environment = vec![("ETCD_MAX_REQUEST_BYTES".into(), "1000".into())];
    if engine == Engine::Ours {
        // The flag wins, with a warning; etcd does not start with both.
        cluster.environment.push(("ETCD_NAME".into(), "x".into()));
    }
    cluster.spawn(0);
    cluster.nodes[0].wait_healthy();
    let client = cluster.client(0);
    let refusal = client.put("k", &"x".repeat(1_100)).expect_err("too large");
    assert_eq!(refusal.text, "etcdserver: request is too large");
    assert_eq!(client.members().unwrap()[0].name, "n1");
}

fn bootstrap_flags_do_not_count_on_a_restart(engine: Engine) {
    let mut cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    client.put("k", "v").unwrap();
    let before = client.status().unwrap().header.unwrap();
    cluster.nodes[0].stop();
    cluster.nodes[0].tell_another_cluster("n1=http://127.0.0.1:1,n2=http://127.0.0.1:2");
    cluster.restart(0);
    let client: Client = cluster.client(0);
    assert_eq!(client.get("k", false), Ok(Some("v".into())));
    let after = client.status().unwrap().header.unwrap();
    assert_eq!((before.cluster_id, before.member_id), (after.cluster_id, after.member_id));
    assert_eq!(client.members().unwrap().len(), 1);
}

fn readiness_is_logged_last(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    if !has_zap_log(engine) {
        return;
    }
    // Who waits for this line finds a member with a name that serves.
    eventually("the line that says it is ready", || {
        let log = cluster.nodes[0].log();
        log.contains("ready to serve client requests").then_some(()).ok_or(log)
    });
    let members = cluster.client(0).members().unwrap();
    assert_eq!(members[0].name, "n1");
}

fn what_happens_is_logged_in_etcds_words(engine: Engine) {
    if !has_zap_log(engine) {
        return;
    }
    let cluster = Cluster::start(engine, 1, &["--auto-compaction-retention=2"]);
    let client = cluster.client(0);
    let learner = "http://127.0.0.1:9";
    let added = client.add_member(learner, true).unwrap();
    let id = added.iter().find(|member| member.is_learner).unwrap().id;
    client.remove_member(id).unwrap();
    let request = DefragmentRequest::default();
    client.wait(MaintenanceClient::new(client.channel()).defragment(request)).unwrap();
    let own = client.status().unwrap().header.unwrap();
    let [id, own_id, cluster_id] =
        [id, own.member_id, own.cluster_id].map(|id| json!(format!("{id:x}")));
    let url = cluster.nodes[0].client_url();
    let told: &[(&str, &[(&str, Value)])] = &[
        (
            "starting an etcd server",
            &[
                ("listen-client-urls", json!([url])),
                ("election-timeout", json!("1s")),
                ("snapshot-catchup-entries", json!(5000)),
                ("auto-compaction-retention", json!("2h0m0s")),
                ("initial-cluster-state", json!("new")),
            ],
        ),
        ("published local member to cluster through raft", &[("local-member-id", own_id.clone())]),
        (
            "added member",
            &[
                ("local-member-id", own_id),
                ("added-peer-id", id.clone()),
                ("added-peer-peer-urls", json!([learner])),
            ],
        ),
        ("removed member", &[("cluster-id", cluster_id), ("removed-remote-peer-id", id)]),
        ("finished defragmenting directory", &[]),
    ];
    for (message, fields) in told {
        eventually(message, || {
            let lines = log_lines(&cluster);
            let is_it = |line: &&Value| {
                line["msg"] == *message
                    && fields.iter().all(|(name, value)| same(&line[*name], value))
            };
            lines.iter().find(is_it).map(|_| ()).ok_or(format!("{fields:?} in {lines:#?}"))
        });
    }
}

/// etcd 3.5 writes some spans of time as seconds.
fn same(written: &Value, value: &Value) -> bool {
    written == value
        || written.as_f64().is_some_and(|seconds| *value == format!("{}h0m0s", seconds / 3_600.0))
}

#[test]
fn a_start_gives_back_what_is_free() {
    let mut cluster =
        Cluster::start(Engine::Ours, 1, &["--bootstrap-defrag-threshold-megabytes=2"]);
    let client = cluster.client(0);
    let value = "v".repeat(1 << 20);
    let mut revision = 0;
    for _ in 0..8 {
        revision = client.put("k", &value).unwrap();
    }
    let compact = CompactionRequest { revision, physical: true };
    client.wait(KvClient::new(client.channel()).compact(compact)).unwrap();
    // Each start appends to the log of the one before.
    let told = |cluster: &Cluster, text: &str| cluster.nodes[0].log().matches(text).count();
    assert_eq!(told(&cluster, "Skipping defragmentation"), 1);
    assert_eq!(told(&cluster, "finished defragmenting directory"), 0);
    cluster.nodes[0].stop();
    cluster.restart(0);
    assert_eq!(told(&cluster, "finished defragmenting directory"), 1);
    let client = cluster.client(0);
    assert_eq!(client.get("k", false), Ok(Some(value)));
    cluster.nodes[0].stop();
    cluster.restart(0);
    assert_eq!(told(&cluster, "Skipping defragmentation"), 2);
}
