//! The process itself: what it logs, how it is configured and how it ends.

use serde_json::Value;

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
