//! What becomes of the keys: every member has them, crashes and lost caches keep them, and
//! who comes late gets them in a snapshot.

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::tools::{self, Engine};

use super::http::open;
use super::{against_both, form, get, start};

against_both!(
    every_member_has_every_key,
    all_members_may_be_killed,
    a_write_survives_its_leader,
    without_a_quorum_only_local_reads,
);

/// Everything there is, and the events that are remembered since `index`.
fn everything(cluster: &Cluster, node: usize, index: u64) -> (Value, u64, Vec<Value>) {
    let tree = get(cluster, node, "?recursive=true&sorted=true&quorum=true").with_status(200);
    let now = tree.index();
    let mut events = Vec::new();
    let mut at = index;
    while at <= now {
        let path = format!("/v2/keys?wait=true&recursive=true&waitIndex={at}");
        let mut past = open(&cluster.nodes[node].client_url(), "GET", &path, &[], b"");
        let event = past.line().expect("an event of the past");
        at = event["node"]["modifiedIndex"].as_u64().unwrap() + 1;
        events.push(event);
    }
    (tree.json()["node"].clone(), now, events)
}

/// Some of everything; gives the index of the first change.
fn fill(cluster: &Cluster) -> u64 {
    let first = form(cluster, 0, "PUT", "/a", "value=1").with_status(201).index();
    form(cluster, 0, "PUT", "/d/e/f", "value=%e2%82%ac").with_status(201);
    form(cluster, 0, "POST", "/queue", "value=job").with_status(201);
    form(cluster, 0, "PUT", "/a?prevValue=1", "value=2").with_status(200);
    form(cluster, 0, "PUT", "/gone", "value=1").with_status(201);
    form(cluster, 0, "PUT", "/large", &format!("value={}", "x".repeat(100_000))).with_status(201);
    form(cluster, 0, "PUT", "/empty", "dir=true").with_status(201);
    form(cluster, 0, "DELETE", "/gone", "").with_status(200);
    first
}

fn every_member_has_every_key(engine: Engine) {
    let cluster = start(engine, 3);
    let first = fill(&cluster);
    let seen = everything(&cluster, 0, first);
    assert_eq!(seen.2.len(), 8);
    for node in [1, 2] {
        assert_eq!(everything(&cluster, node, first), seen);
    }
    for node in 0..3 {
        let key = format!("/from{node}");
        let set = form(&cluster, node, "PUT", &key, "value=1").with_status(201);
        // Who was asked has it at once.
        assert_eq!(get(&cluster, node, &key).json()["node"], set.json()["node"]);
    }
}

fn all_members_may_be_killed(engine: Engine) {
    let mut cluster = start(engine, 3);
    let first = fill(&cluster);
    let before = everything(&cluster, 0, first);
    cluster.nodes.iter_mut().for_each(|node| node.kill());
    (0..3).for_each(|node| cluster.spawn(node));
    cluster.nodes.iter_mut().for_each(|node| node.wait_healthy());
    // etcd counts the names that members publish when they start as changes of this store.
    let user_keys = |(tree, _, events): (Value, u64, Vec<Value>)| (tree, events);
    let before = user_keys(before);
    for node in 0..3 {
        let tree = get(&cluster, node, "?recursive=true&sorted=true&quorum=true");
        assert_eq!(tree.json()["node"], before.0);
        let path = format!("/a?wait=true&waitIndex={first}");
        assert_eq!(get(&cluster, node, &path).json(), before.1[0]);
    }
    form(&cluster, 1, "PUT", "/a?prevValue=2", "value=3").with_status(200);
}

fn a_write_survives_its_leader(engine: Engine) {
    let mut cluster = start(engine, 3);
    let leader = cluster.leader();
    form(&cluster, leader, "PUT", "/a", "value=1").with_status(201);
    cluster.nodes[leader].kill();
    let other = cluster.leader();
    assert_eq!(get(&cluster, other, "/a?quorum=true").json()["node"]["value"], "1");
    form(&cluster, other, "PUT", "/a", "value=2").with_status(200);
    cluster.restart(leader);
    assert_eq!(get(&cluster, leader, "/a?quorum=true").json()["node"]["value"], "2");
}

fn without_a_quorum_only_local_reads(engine: Engine) {
    let mut cluster = start(engine, 3);
    form(&cluster, 0, "PUT", "/a", "value=1").with_status(201);
    get(&cluster, 2, "/a?quorum=true").with_status(200);
    cluster.nodes[0].kill();
    cluster.nodes[1].kill();
    let refused = form(&cluster, 2, "PUT", "/a", "value=2").with_status(500);
    assert_eq!(refused.json()["errorCode"], 300);
    let cause = refused.json()["cause"].as_str().unwrap().to_owned();
    assert!(cause.starts_with("etcdserver: request timed out"), "{cause}");
    assert_eq!(get(&cluster, 2, "/a").with_status(200).json()["node"]["value"], "1");
    let during =
        super::request(&cluster.nodes[2].client_url(), "GET", "/v2/members/leader", &[], b"");
    assert_eq!((during.status, during.body.as_str()), (503, "{\"message\":\"During election\"}"));
}

/// The applied state is only a cache of the log: without it nothing is missing.
#[test]
fn the_applied_state_may_be_lost() {
    if !tools::are_there([Engine::Ours.program()]) {
        return;
    }
    let mut cluster = start(Engine::Ours, 3);
    let first = fill(&cluster);
    let before = everything(&cluster, 0, first);
    cluster.nodes[1].kill();
    std::fs::remove_dir_all(cluster.nodes[1].directory.join("member/state")).unwrap();
    cluster.restart(1);
    assert_eq!(everything(&cluster, 1, first), before);
}

/// A member that lags too far is given a snapshot: the keys and the history are in it, and
/// who waits there hears of what was in between.
#[test]
fn a_snapshot_brings_the_keys() {
    if !tools::are_there([Engine::Ours.program()]) {
        return;
    }
    let flags = ["--snapshot-count=50", "--snapshot-catchup-entries=5"];
    let mut cluster = Cluster::start(Engine::Ours, 3, &flags);
    let first = fill(&cluster);
    let late = cluster.follower();
    cluster.nodes[late].kill();
    let other = cluster.leader();
    for value in 0..300 {
        form(&cluster, other, "PUT", "/many", &format!("value={value}"));
    }
    cluster.restart(late);
    let expected = everything(&cluster, other, first);
    eventually("the snapshot", || {
        let log = cluster.nodes[late].log();
        log.contains("applying snapshot").then_some(()).ok_or("no snapshot yet".to_owned())
    });
    assert_eq!(everything(&cluster, late, first), expected);
}
