//! The launcher with real processes: what users and scripts rely on, from outside.
//!
//! Each test has a state directory of its own and ends its cluster when it ends, however it
//! ends. Nothing here sleeps for a fixed time: conditions are awaited, with a deadline that
//! only a failure reaches.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod support;

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Stdio},
    time::Duration,
};

use proto::etcdserverpb::{
    PutRequest, RangeRequest, kv_client::KvClient, maintenance_client::MaintenanceClient,
};
use serde_json::Value;
use support::{
    eventually,
    machine::{Machine, is_alive, kill},
};

fn running(machine: &Machine) -> Vec<i64> {
    machine.nodes("default").iter().filter_map(|node| node["pid"].as_i64()).collect()
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn put(url: &str, key: &str, value: &str) -> Result<(), tonic::Status> {
    let channel = playground::probe::channel(url).unwrap();
    let request = PutRequest {
        key: key.as_bytes().to_vec().into(),
        value: value.as_bytes().to_vec().into(),
        ..PutRequest::default()
    };
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(2));
    KvClient::new(channel).put(request).await.map(drop)
}

async fn get(url: &str, key: &str, serializable: bool) -> Result<Option<Vec<u8>>, tonic::Status> {
    let channel = playground::probe::channel(url).unwrap();
    let request =
        RangeRequest { key: key.as_bytes().to_vec().into(), serializable, ..Default::default() };
    let mut request = tonic::Request::new(request);
    request.set_timeout(Duration::from_secs(2));
    let response = KvClient::new(channel).range(request).await?.into_inner();
    Ok(response.kvs.first().map(|kv| kv.value.to_vec()))
}

async fn hash(url: &str) -> u32 {
    let channel = playground::probe::channel(url).unwrap();
    let request = proto::etcdserverpb::HashKvRequest { revision: 0 };
    MaintenanceClient::new(channel).hash_kv(request).await.unwrap().into_inner().hash
}

fn urls(nodes: &[Value]) -> Vec<String> {
    nodes.iter().map(|node| node["client_url"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn up_kill_start_down_and_up_again_keep_names_ports_ids_and_data() {
    let machine = Machine::new();
    let said = machine.ok(&["up", "-d"]);
    assert!(said.contains("cluster default is up: healthy"), "{said}");
    let before = machine.ps("default");
    assert_eq!(before["cluster"], "default");
    assert_eq!(before["engine"], "builtin");
    let nodes = machine.nodes("default");
    assert_eq!(nodes.len(), 3);
    assert_eq!(nodes.iter().filter(|node| node["role"] == "leader").count(), 1);
    assert!(nodes.iter().all(|node| node["state"] == "running"));
    on_runtime(put(&urls(&nodes)[0], "k", "v")).unwrap();

    let said = machine.ok(&["kill", "leader"]);
    assert!(said.contains("is killed (it was the leader)"), "{said}");
    let degraded = eventually("another leader", || {
        let ps = machine.ps("default");
        let led = ps["nodes"].as_array().unwrap().iter().any(|node| node["role"] == "leader");
        if ps["health"] == "at-risk" && led { Ok(ps) } else { Err(ps.to_string()) }
    });
    let exited = degraded["nodes"].as_array().unwrap().iter();
    assert_eq!(exited.filter(|node| node["state"] == "exited").count(), 1);
    machine.ok(&["start", "all"]);
    machine.await_health("default", "healthy");

    let pids = running(&machine);
    machine.ok(&["down"]);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    let stopped = machine.ps("default");
    assert_eq!(stopped["health"], "no-quorum");
    assert!(stopped["nodes"].as_array().unwrap().iter().all(|node| node["state"] == "stopped"));

    let said = machine.ok(&["up", "-d"]);
    assert!(said.contains("is up again"), "{said}");
    let facts = |ps: &Value| {
        ps["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| ["name", "client_url", "peer_url", "member_id"].map(|it| node[it].clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(facts(&machine.ps("default")), facts(&before));
    let urls = urls(&nodes);
    assert_eq!(on_runtime(get(&urls[2], "k", false)).unwrap().unwrap(), b"v");

    machine.ok(&["down", "--purge"]);
    assert!(!machine.directory("default").exists());
    assert!(machine.fails(1, &["ps"]).contains("no cluster named default"));
}

#[test]
fn a_dead_client_touches_nothing_and_a_dead_supervisor_leaves_nothing() {
    let machine = Machine::new();
    machine.ok(&["up", "-d"]);
    let pids = running(&machine);
    assert_eq!(pids.len(), 3);

    let mut follower: Child =
        machine.command(&["logs", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(follower.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with('n') && line.contains(" | "), "{line}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert_eq!(running(&machine), pids);

    let supervisor = machine.supervisor("default");
    kill(supervisor);
    eventually("all nodes die with their supervisor", || {
        let alive: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
        if alive.is_empty() { Ok(()) } else { Err(format!("{alive:?} run")) }
    });
    let complaint = machine.fails(1, &["kill", "n1"]);
    assert!(complaint.contains("not running: start it with `etcd-tui up default`"), "{complaint}");
    machine.ok(&["up", "-d"]);
    assert_ne!(machine.supervisor("default"), supervisor);
    machine.await_health("default", "healthy");
}

#[test]
fn without_a_majority_only_serializable_reads_work_and_the_cluster_heals() {
    let machine = Machine::new();
    machine.ok(&["up", "-d"]);
    on_runtime(put(&urls(&machine.nodes("default"))[0], "k", "v")).unwrap();
    machine.ok(&["kill", "majority"]);
    machine.await_health("default", "no-quorum");
    let alive: Vec<Value> =
        machine.nodes("default").into_iter().filter(|node| !node["pid"].is_null()).collect();
    assert_eq!(alive.len(), 1);
    let url = urls(&alive)[0].clone();
    assert!(on_runtime(put(&url, "k", "w")).is_err());
    assert!(on_runtime(get(&url, "k", false)).is_err());
    assert_eq!(on_runtime(get(&url, "k", true)).unwrap().unwrap(), b"v");
    machine.ok(&["start", "all"]);
    machine.await_health("default", "healthy");
    on_runtime(put(&url, "k", "x")).unwrap();

    machine.ok(&["kill", "all"]);
    assert!(running(&machine).is_empty());
    let said = machine.ok(&["start", "n1"]);
    assert!(said.contains("n1 is started and will serve once 2 nodes run"), "{said}");
    let said = machine.ok(&["start", "all"]);
    assert!(said.contains("n2 is ready") && said.contains("n3 is ready"), "{said}");
    machine.await_health("default", "healthy");
    assert_eq!(on_runtime(get(&url, "k", false)).unwrap().unwrap(), b"x");
}

#[test]
fn a_paused_node_can_be_resumed_and_can_be_stopped() {
    let machine = Machine::new();
    machine.ok(&["up", "-d"]);
    machine.ok(&["pause", "n2"]);
    let state = |name: &str| {
        let nodes = machine.nodes("default");
        let node = nodes.iter().find(|node| node["name"] == name).unwrap();
        node["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("n2"), "paused");
    machine.await_health("default", "at-risk");
    assert!(machine.fails(1, &["pause", "n2"]).contains("already paused"));
    machine.ok(&["resume", "n2"]);
    machine.await_health("default", "healthy");
    machine.ok(&["pause", "n3"]);
    machine.ok(&["stop", "n3"]);
    assert_eq!(state("n3"), "stopped");
    machine.ok(&["restart", "all"]);
    machine.await_health("default", "healthy");
}

#[test]
fn replace_grow_and_shrink_keep_the_data_on_every_member() {
    let machine = Machine::new();
    machine.ok(&["up", "-d"]);
    let first = urls(&machine.nodes("default"))[0].clone();
    on_runtime(async {
        for number in 0..50 {
            put(&first, &format!("k{number}"), "v").await.unwrap();
        }
    });
    let old = machine.nodes("default")[1]["member_id"].clone();
    machine.ok(&["kill", "n2"]);
    machine.ok(&["wipe", "n2"]);
    let said = machine.ok(&["replace", "n2"]);
    assert!(said.contains("n2 is replaced, every member holds the same data"), "{said}");
    let ps = machine.await_health("default", "healthy");
    assert_ne!(ps["nodes"][1]["member_id"], old);

    let said = machine.ok(&["grow"]);
    assert!(said.contains("5 nodes"), "{said}");
    machine.await_health("default", "healthy");
    let nodes = machine.nodes("default");
    assert_eq!(nodes.len(), 5);
    let hashes = on_runtime(async {
        let mut hashes = Vec::new();
        for url in urls(&nodes) {
            hashes.push(hash(&url).await);
        }
        hashes
    });
    assert!(hashes.windows(2).all(|pair| pair[0] == pair[1]), "{hashes:?}");
    // Five may lose two.
    machine.ok(&["kill", "minority"]);
    eventually("a write", || {
        on_runtime(put(&first_alive(&machine), "after", "v")).map_err(|status| status.to_string())
    });
    machine.ok(&["start", "all"]);
    machine.await_health("default", "healthy");

    let said = machine.ok(&["shrink", "--nodes", "3"]);
    assert!(said.contains("3 nodes"), "{said}");
    machine.await_health("default", "healthy");
    assert_eq!(machine.nodes("default").len(), 3);
    let urls = urls(&machine.nodes("default"));
    assert_eq!(on_runtime(get(&urls[1], "k49", false)).unwrap().unwrap(), b"v");
    // What was changed is what comes up again.
    machine.ok(&["down"]);
    machine.ok(&["up", "-d"]);
    machine.await_health("default", "healthy");
}

fn first_alive(machine: &Machine) -> String {
    let nodes = machine.nodes("default");
    let alive: Vec<Value> = nodes.into_iter().filter(|node| !node["pid"].is_null()).collect();
    urls(&alive)[0].clone()
}

#[test]
fn a_node_whose_data_is_lost_says_so_and_how_to_go_on() {
    let machine = Machine::new();
    machine.ok(&["up", "-d"]);
    machine.ok(&["stop", "n3"]);
    let said = machine.ok(&["wipe", "n3"]);
    assert!(said.contains("data.trash-"), "{said}");
    assert!(machine.fails(1, &["wipe", "n1"]).contains("n1 runs: `etcd-tui stop n1` first"));
    let complaint = machine.fails(1, &["start", "n3"]);
    assert!(complaint.contains("etcd-tui replace"), "{complaint}");
}

#[test]
fn two_clusters_live_side_by_side_and_two_launchers_do_not_collide() {
    let machine = Machine::new();
    let launch = |name: &str| {
        let mut command = machine.command(&["up", name, "-d", "--nodes", "1", "--ephemeral"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let launched = [launch("a"), launch("b"), launch("a")];
    for launched in launched {
        let output = launched.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let listed: Value = serde_json::from_str(&machine.ok(&["ls", "--json"])).unwrap();
    let listed = listed.as_array().unwrap();
    assert_eq!(listed.len(), 2);
    assert_ne!(listed[0]["endpoints"], listed[1]["endpoints"]);
    assert!(listed.iter().all(|it| it["state"] == "running" && it["health"] == "healthy"));
    assert!(machine.ok(&["env", "b"]).contains(listed[1]["endpoints"][0].as_str().unwrap()));
    machine.ok(&["down", "a"]);
    assert!(!machine.directory("a").exists(), "an ephemeral cluster is deleted by down");
    assert_eq!(machine.ps("b")["health"], "healthy");
}

#[test]
fn a_new_cluster_begins_with_the_data_of_a_snapshot() {
    let machine = Machine::new();
    machine.ok(&["up", "a", "-d", "-n", "1"]);
    let url = urls(&machine.nodes("a")).remove(0);
    on_runtime(put(&url, "kept", "1")).unwrap();
    let file = machine.home.path().join("backup.db");
    let file = file.to_str().unwrap();
    machine.ok(&["snapshot", "save", file, "--endpoints", &url]);
    machine.ok(&["up", "b", "-d", "-n", "3", "--from-snapshot", file]);
    for url in urls(&machine.nodes("b")) {
        assert_eq!(on_runtime(get(&url, "kept", true)).unwrap().unwrap(), b"1");
    }
    let refused = machine.fails(1, &["up", "b", "-d", "--from-snapshot", file]);
    assert!(refused.contains("cluster b exists, and only a new one can be given"), "{refused}");
    // A file that is none leaves no cluster.
    std::fs::write(file, "x").unwrap();
    machine.fails(1, &["up", "c", "-d", "--from-snapshot", file]);
    assert_eq!(machine.ok(&["ls"]).lines().count(), 3);
}

#[test]
fn what_is_asked_for_wrongly_is_answered_with_one_sentence() {
    let machine = Machine::new();
    let one_sentence = |status: i32, arguments: &[&str], part: &str| {
        let complaint = machine.fails(status, arguments);
        assert!(complaint.contains(part), "{arguments:?}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "{arguments:?}: {complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
    };
    one_sentence(2, &["up", "-d", "--nodes", "0"], "1 to 9 nodes");
    one_sentence(2, &["up", "-d", "--nodes", "10"], "1 to 9 nodes");
    one_sentence(2, &["up", "-d", "Not/A/Name"], "cannot name a cluster");
    one_sentence(2, &["kill", "everyone"], "selects no node");
    one_sentence(2, &["up", "-d", "--base-port", "80"], "out of range");
    one_sentence(2, &["connect", "--endpoints", "nonsense"], "client URL looks like");
    one_sentence(1, &["down", "nowhere"], "no cluster named nowhere");
    one_sentence(1, &["attach", "nowhere"], "no cluster named nowhere");
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let holder = format!("port {port} is held by pid {}", std::process::id());
    one_sentence(1, &["up", "-d", "--base-port", &port.to_string()], &holder);
    assert!(!machine.directory("default").exists(), "a refused cluster leaves nothing behind");

    let file = machine.home.path().join("file");
    fs::write(&file, "").unwrap();
    let mut command = machine.command(&["up", "-d"]);
    let output = command.env("ETCD_TUI_HOME", &file).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(complaint.ends_with("; ETCD_TUI_HOME names another state directory\n"), "{complaint}");
}

#[test]
fn up_that_cannot_be_says_which_node_and_why() {
    let machine = Machine::new();
    machine.ok(&["up", "-d", "--nodes", "1"]);
    let url = urls(&machine.nodes("default"))[0].clone();
    machine.ok(&["down"]);
    let _busy = TcpListener::bind(url.strip_prefix("http://").unwrap()).unwrap();
    let complaint = machine.fails(1, &["up", "-d", "--nodes", "3"]);
    assert!(complaint.contains("has 1 nodes and keeps them"), "{complaint}");
    assert!(complaint.contains("n1 is exited: port"), "{complaint}");
    assert!(complaint.contains(&format!("held by pid {}", std::process::id())), "{complaint}");
}

#[test]
fn files_are_for_the_owner_alone_and_the_plan_is_readable() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    machine.ok(&["up", "-d", "--nodes", "1"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let directory = machine.directory("default");
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("nodes/n1/node.log")), 0o600);
    let sockets = machine.home.path().join("etcd-tui");
    let socket = fs::read_dir(&sockets).unwrap().next().unwrap().unwrap().path();
    assert_eq!((mode(&sockets), mode(&socket)), (0o700, 0o600));
    let plan = fs::read_to_string(directory.join("cluster.toml")).unwrap();
    assert!(plan.contains("name = \"default\"") && plan.contains("client_port = "), "{plan}");
}
