//! Unmodified etcds under the launcher, and faults of nodes, with real processes.
//!
//! The same verbs mean the same for every engine: what is asserted of etcd 3.4 and 3.5 here is
//! what `tests/playground.rs` asserts of our own node. Conditions are awaited, never slept for.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod support;

use std::{path::PathBuf, process::Command};

use serde_json::Value;
use support::{
    eventually,
    machine::{Machine, is_alive, kill},
    tools::{self, Ctl, Engine},
};

fn member_ids(machine: &Machine) -> Vec<Value> {
    machine.nodes("default").iter().map(|node| node["member_id"].clone()).collect()
}

fn await_exit(machine: &Machine, name: &str) {
    eventually(&format!("the end of {name}"), || match machine.node("default", name) {
        node if node["state"] == "exited" => Ok(()),
        node => Err(node.to_string()),
    });
}

/// The name of a node that follows.
fn follower(machine: &Machine) -> String {
    let nodes = machine.nodes("default");
    let follower = nodes.iter().find(|node| node["role"] == "follower").unwrap();
    follower["name"].as_str().unwrap().to_owned()
}

/// Runs etcdctl against all nodes until it succeeds: elections are waited out.
fn etcdctl(machine: &Machine, arguments: &[&str]) -> String {
    let nodes = machine.nodes("default");
    let urls: Vec<&str> = nodes.iter().map(|it| it["client_url"].as_str().unwrap()).collect();
    eventually(&format!("etcdctl {arguments:?}"), || {
        let output = Command::new(Ctl::V34.program().unwrap())
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", urls.join(",")))
            .args(arguments)
            .output()
            .unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    })
}

fn etcd_is_run_like_our_own_node(engine: Engine, version: &str) {
    if !tools::are_there([engine.program(), Ctl::V34.program()]) {
        return;
    }
    let program: PathBuf = engine.program().unwrap();
    let machine = Machine::new();
    let said =
        machine.ok(&["up", "-d", "--engine", "etcd", "--etcd-bin", program.to_str().unwrap()]);
    assert!(said.contains("is up: healthy") && said.contains(version), "{said}");
    assert!(machine.ok(&["ls"]).contains("etcd"));
    assert_eq!(machine.ps("default")["engine"], "etcd");
    let is_meant = |node: &Value| node["version"].as_str().unwrap().starts_with(version);
    assert!(machine.nodes("default").iter().all(is_meant));
    etcdctl(&machine, &["put", "k", "v"]);

    assert!(machine.ok(&["kill", "leader"]).contains("it was the leader"));
    assert_eq!(etcdctl(&machine, &["get", "k", "--print-value-only"]).trim(), "v");
    machine.ok(&["start", "all"]);
    machine.await_health("default", "healthy");

    let refusal = machine.fails(1, &["fault", "n1", "clock", "60"]);
    assert!(refusal.contains("--engine builtin"), "{refusal}");
    let full = follower(&machine);
    machine.ok(&["fault", &full, "disk-full"]);
    etcdctl(&machine, &["put", "k", "w"]);
    await_exit(&machine, &full);
    assert!(machine.ok(&["ps"]).contains("its disk is full on request"));
    machine.ok(&["start", &full]);

    let damaged = follower(&machine);
    machine.ok(&["stop", &damaged]);
    machine.ok(&["fault", &damaged, "bit-flip"]);
    let refusal = machine.fails(1, &["start", &damaged]);
    assert!(refusal.contains("its log is damaged"), "{refusal}");
    machine.ok(&["fault", &damaged, "none"]);
    machine.ok(&["start", &damaged]);

    machine.ok(&["stop", "n3"]);
    machine.ok(&["wipe", "n3"]);
    let refusal = machine.fails(1, &["start", "n3"]);
    assert!(refusal.contains("its data is gone") && refusal.contains("replace"), "{refusal}");
    assert!(machine.ok(&["replace", "n3"]).contains("n3 is replaced"));

    let (ids, pids): (_, Vec<Value>) = (
        member_ids(&machine),
        machine.nodes("default").iter().map(|node| node["pid"].clone()).collect(),
    );
    machine.ok(&["down"]);
    for pid in pids {
        assert!(!PathBuf::from(format!("/proc/{pid}")).exists(), "{pid} outlived its cluster");
    }
    let said = machine.ok(&["up", "-d"]);
    assert!(said.contains("is up again") && said.contains(version), "{said}");
    assert_eq!(member_ids(&machine), ids);
    assert_eq!(etcdctl(&machine, &["get", "k", "--print-value-only"]).trim(), "w");
    everything_is_lost_and_restored(&machine);
}

/// By the tools that are beside the etcd.
fn everything_is_lost_and_restored(machine: &Machine) {
    assert!(machine.fails(1, &["restore"]).contains("stop all"));
    machine.ok(&["backup"]);
    etcdctl(machine, &["put", "k", "later"]);
    let ids = member_ids(machine);
    machine.ok(&["kill", "all"]);
    machine.ok(&["wipe", "all"]);
    assert!(machine.ok(&["restore"]).contains("every node has the data of"));
    machine.ok(&["start", "all"]);
    machine.await_health("default", "healthy");
    assert_eq!(etcdctl(machine, &["get", "k", "--print-value-only"]).trim(), "w");
    assert!(member_ids(machine).iter().all(|id| !ids.contains(id)), "it is another cluster");
}

#[test]
fn etcd_3_4_is_run_like_our_own_node() {
    etcd_is_run_like_our_own_node(Engine::Etcd34, "3.4");
}

#[test]
fn etcd_3_5_is_run_like_our_own_node() {
    etcd_is_run_like_our_own_node(Engine::Etcd35, "3.5.1");
}

#[test]
fn an_etcd_does_not_outlive_its_supervisor() {
    if !tools::are_there([Engine::Etcd34.program()]) {
        return;
    }
    let program = Engine::Etcd34.program().unwrap();
    let machine = Machine::new();
    let etcd = program.to_str().unwrap();
    machine.ok(&["up", "-d", "-n", "1", "--engine", "etcd", "--etcd-bin", etcd]);
    let pid = machine.node("default", "n1")["pid"].as_i64().unwrap();
    kill(machine.supervisor("default"));
    eventually("the end of etcd", || match is_alive(pid) {
        true => Err(format!("{pid} runs")),
        false => Ok(()),
    });
}

#[test]
fn a_program_that_is_not_etcd_is_refused_before_anything_is_made() {
    let machine = Machine::new();
    let own = env!("CARGO_BIN_EXE_etcd-tui");
    for (status, arguments, expected) in [
        (1, ["up", "-d", "--etcd-bin", "/nonexistent/etcd"], "there is no etcd at"),
        (1, ["up", "-d", "--etcd-bin", "/bin/cat"], "is not etcd"),
        (1, ["up", "-d", "--etcd-bin", own], "leave --engine out"),
        (2, ["up", "-d", "--node-bin", "n1"], "--node-bin n3="),
        (2, ["up", "-d", "--election-timeout", "10"], "five times"),
    ] {
        let complaint = machine.fails(status, &arguments);
        assert!(complaint.contains(expected), "{complaint}");
        assert_eq!(complaint.lines().count(), 1, "{complaint}");
    }
    assert!(machine.ok(&["ls"]).contains("there are no clusters"));
}

#[test]
fn faults_of_our_own_nodes_are_felt_and_taken_back() {
    if !tools::are_there([Ctl::V34.program()]) {
        return;
    }
    let machine = Machine::new();
    machine.ok(&["up", "-d"]);
    etcdctl(&machine, &["put", "k", "v"]);
    for fault in [&["slow", "50"][..], &["clock", "-3600"], &["fsync-delay", "20"]] {
        machine.ok(&[&["fault", "follower"][..], fault].concat());
    }
    let faults = machine.node("default", &follower(&machine))["faults"].clone();
    assert_eq!(faults, serde_json::json!(["slow 50", "clock -3600", "fsync-delay 20"]));
    etcdctl(&machine, &["put", "k", "w"]);
    machine.ok(&["fault", "all", "none"]);
    assert!(machine.nodes("default").iter().all(|node| node["faults"] == serde_json::json!([])));

    for (fault, why) in [("disk-full", "its disk is full"), ("disk-error", "Input/output error")] {
        let node = follower(&machine);
        machine.ok(&["fault", &node, fault]);
        etcdctl(&machine, &["put", "k", fault]);
        await_exit(&machine, &node);
        assert!(machine.ok(&["ps"]).contains(why));
        machine.ok(&["start", &node]);
        machine.await_health("default", "healthy");
    }

    let node = follower(&machine);
    machine.ok(&["stop", &node]);
    machine.ok(&["fault", &node, "bit-flip"]);
    assert!(machine.fails(1, &["start", &node]).contains("corrupt"));
    assert!(machine.ok(&["fault", &node, "none"]).contains("turned back"));
    machine.ok(&["start", &node]);
    machine.await_health("default", "healthy");
}

#[test]
fn power_loss_takes_what_was_not_synced_and_nothing_that_was_acknowledged() {
    if !tools::are_there([Ctl::V34.program()]) {
        return;
    }
    let machine = Machine::new();
    machine.ok(&["up", "-d"]);
    let slow = follower(&machine);
    machine.ok(&["fault", &slow, "fsync-delay", "60000"]);
    // The other two acknowledge; the slow one has written and not synced.
    for number in 0..5 {
        etcdctl(&machine, &["put", &format!("k{number}"), "v"]);
    }
    machine.ok(&["fault", "all", "power-loss"]);
    let why = machine.ok(&["ps"]);
    let lost = why.lines().find(|line| line.starts_with(&format!("{slow}: "))).unwrap();
    assert!(lost.contains("unsynced bytes") && !lost.contains("and 0 unsynced"), "{why}");
    machine.ok(&["start", "all"]);
    machine.await_health("default", "healthy");
    let keys = etcdctl(&machine, &["get", "k", "--prefix", "--keys-only"]);
    assert_eq!(keys.split_whitespace().count(), 5, "{keys}");
}
