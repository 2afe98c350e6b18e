//! endpoint health, status and hashkv over a cluster; move-leader; one truth on all nodes.

use crate::support::etcdctl::Etcdctl;
use crate::support::eventually;
use crate::{Setup, against_every_engine};

against_every_engine!(
    health,
    status,
    equal_hashes,
    writes_are_read_on_every_node,
    leadership_moves_on_request,
    leadership_moves_only_to_members,
    without_quorum,
    http_side,
    version_flag,
);

fn health(setup: Setup) {
    let (mut cluster, ctl) = setup.start(3, &[]);
    for words in [&["endpoint", "health"][..], &["endpoint", "health", "--cluster"]] {
        let outcome = ctl.run(words);
        assert_eq!(outcome.code, 0, "{outcome:?}");
        // etcdctl 3.4 says it on standard error.
        let all = format!("{}{}", outcome.out, outcome.err);
        for node in &cluster.nodes {
            let url = node.client_url();
            let line = format!("{url} is healthy: successfully committed proposal: took = ");
            assert!(all.contains(&line), "{line} is not in {all}");
        }
    }
    let follower = cluster.follower();
    cluster.nodes[follower].kill();
    let outcome = ctl.with_timeout("5s").run(&["endpoint", "health"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let all = format!("{}{}", outcome.out, outcome.err);
    assert_eq!(all.matches("is healthy").count(), 2, "{all}");
    assert!(all.contains(&format!("{} is unhealthy", cluster.nodes[follower].client_url())));
}

fn status(setup: Setup) {
    let (cluster, ctl) = setup.start(3, &[]);
    ctl.ok(&["put", "k", "v"]);
    let leader = cluster.leader();
    let statuses = ctl.json(&["endpoint", "status", "--cluster"]);
    let statuses = statuses.as_array().unwrap();
    assert_eq!(statuses.len(), 3);
    for one in statuses {
        let status = &one["Status"];
        assert_eq!(status["header"]["revision"], 2);
        assert_eq!(status["leader"], statuses[0]["Status"]["leader"]);
        assert_eq!(status["raftTerm"], statuses[0]["Status"]["raftTerm"]);
        assert!(status["raftIndex"].as_u64() >= status["raftAppliedIndex"].as_u64());
        assert!(status["dbSize"].as_u64() >= status["dbSizeInUse"].as_u64());
        assert!(status["dbSizeInUse"].as_u64().unwrap() > 0);
        let is_leader = status["header"]["member_id"] == status["leader"];
        assert_eq!(is_leader, one["Endpoint"] == cluster.nodes[leader].client_url().as_str());
        assert!(status["version"].as_str().unwrap().starts_with("3."), "{status}");
        assert!(status.get("errors").is_none() && status.get("isLearner").is_none(), "{status}");
    }
    let line = ctl.ok(&["endpoint", "status"]);
    for (line, node) in line.lines().zip(&cluster.nodes) {
        let columns: Vec<_> = line.split(", ").collect();
        assert_eq!(columns[0], node.client_url());
        assert!(columns.len() >= 9 && columns[5] == "false", "{line}");
    }
    let table = ctl.ok(&["endpoint", "status", "-w", "table"]);
    assert!(table.contains("RAFT APPLIED INDEX") && table.lines().count() == 7, "{table}");
}

/// One hash of all nodes, once all have applied the same.
fn common_hash(ctl: &Etcdctl) -> (u64, i64) {
    eventually("equal hashes", || {
        let answer = ctl.json(&["endpoint", "hashkv", "--cluster"]);
        let of = |one: &serde_json::Value| {
            let hash = &one["HashKV"];
            let revision = hash["header"]["revision"].as_i64().unwrap();
            (
                revision,
                hash["hash"].as_u64().unwrap(),
                hash["compact_revision"].as_i64().unwrap_or(0),
            )
        };
        let all: Vec<_> = answer.as_array().unwrap().iter().map(of).collect();
        match all.iter().all(|one| *one == all[0]) {
            true => Ok((all[0].1, all[0].2)),
            false => Err(format!("{all:?}")),
        }
    })
}

fn equal_hashes(setup: Setup) {
    let (_cluster, ctl) = setup.start(3, &[]);
    for number in 0..5 {
        ctl.ok(&["put", &format!("k{number}"), "v"]);
    }
    ctl.ok(&["del", "k0"]);
    let (before, compacted) = common_hash(&ctl);
    assert_eq!(compacted, -1, "nothing compacted yet");
    ctl.ok(&["put", "k1", "other"]);
    let (after, _) = common_hash(&ctl);
    assert_ne!(before, after);
    ctl.ok(&["compaction", "5", "--physical"]);
    assert_eq!(common_hash(&ctl).1, 5);
    let line = ctl.ok(&["endpoint", "hashkv"]);
    assert_eq!(line.lines().count(), 3);
    ctl.run(&["endpoint", "hashkv", "--rev=100"])
        .failed(1, "etcdserver: mvcc: required revision is a future revision");
}

fn writes_are_read_on_every_node(setup: Setup) {
    let (cluster, _) = setup.start(3, &[]);
    for writer in 0..3 {
        let value = format!("from {writer}");
        setup.client_of(&cluster, writer).ok(&["put", "k", &value]);
        for reader in 0..3 {
            // Linearizable: no waiting, whoever is asked.
            let out = setup.client_of(&cluster, reader).ok(&["get", "k", "--print-value-only"]);
            assert_eq!(out, format!("{value}\n"));
        }
    }
}

fn leadership_moves_on_request(setup: Setup) {
    let (cluster, ctl) = setup.start(3, &[]);
    ctl.ok(&["put", "k", "v"]);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let (old, _) = cluster.client(leader).leader().expect("a status");
    let (target, _) = cluster.client(follower).leader().expect("a status");
    let out = ctl.ok(&["move-leader", &format!("{target:x}")]);
    assert_eq!(out, format!("Leadership transferred from {old:x} to {target:x}\n"));
    assert_eq!(cluster.leader(), follower);
    assert_eq!(ctl.ok(&["get", "k"]), "k\nv\n");
}

fn leadership_moves_only_to_members(setup: Setup) {
    let (cluster, ctl) = setup.start(3, &[]);
    ctl.run(&["move-leader", "1234"])
        .refused("FailedPrecondition", "etcdserver: bad leader transferee");
    // Asked of followers alone, etcdctl itself finds no leader among its endpoints.
    let follower = cluster.follower();
    let outcome = setup.client_of(&cluster, follower).run(&["move-leader", "1234"]);
    assert_eq!(outcome.code, 128, "{outcome:?}");
    assert!(outcome.err.contains("no leader endpoint given"), "{outcome:?}");
}

fn without_quorum(setup: Setup) {
    let (mut cluster, ctl) = setup.start(3, &[]);
    ctl.ok(&["put", "k", "v"]);
    let left = cluster.follower();
    let reader = setup.client_of(&cluster, left).with_timeout("3s");
    eventually("the survivor to hold the write", || {
        match reader.run(&["get", "k", "--consistency=s"]).out.as_str() {
            "k\nv\n" => Ok(()),
            other => Err(other.to_string()),
        }
    });
    for index in (0..3).filter(|index| *index != left) {
        cluster.nodes[index].kill();
    }
    for words in [&["put", "k", "w"][..], &["get", "k"]] {
        let outcome = reader.run(words);
        assert_eq!(outcome.code, 1, "{outcome:?}");
    }
    assert_eq!(reader.ok(&["get", "k", "--consistency=s"]), "k\nv\n");
    let back = (0..3).find(|index| *index != left).unwrap();
    cluster.restart(back);
    // The refused write may have been kept and committed since; both values are right.
    let value = reader.with_timeout("30s").ok(&["get", "k", "--print-value-only"]);
    assert!(["v\n", "w\n"].contains(&value.as_str()), "{value}");
    reader.with_timeout("30s").ok(&["put", "k", "x"]);
    assert_eq!(ctl.ok(&["get", "k", "--print-value-only"]), "x\n");
}

fn http_side(setup: Setup) {
    let (cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "v"]);
    let node = &cluster.nodes[0];
    let (status, body) = node.http("/health").unwrap();
    assert_eq!(status, 200);
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(health["health"], "true");
    let (status, body) = node.http("/version").unwrap();
    assert_eq!(status, 200);
    let version: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(version["etcdserver"].as_str().unwrap().starts_with("3."), "{body}");
    assert!(version["etcdcluster"].as_str().unwrap().starts_with("3."), "{body}");
    let (status, metrics) = node.http("/metrics").unwrap();
    assert_eq!(status, 200);
    // What the official dashboard and its alerts read.
    for name in [
        "etcd_server_has_leader 1",
        "etcd_server_is_leader 1",
        "etcd_server_leader_changes_seen_total",
        "etcd_server_proposals_failed_total",
        "etcd_server_proposals_pending",
        "etcd_server_proposals_committed_total",
        "etcd_server_proposals_applied_total",
        "etcd_disk_wal_fsync_duration_seconds_bucket",
        "etcd_disk_backend_commit_duration_seconds_bucket",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "etcd_server_quota_backend_bytes",
        "etcd_network_client_grpc_received_bytes_total",
        "etcd_network_client_grpc_sent_bytes_total",
        "grpc_server_started_total",
        "grpc_server_handled_total",
        "process_resident_memory_bytes",
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(name)), "{name} is missing");
    }
    assert_eq!(node.http("/nowhere").unwrap().0, 404);
    if setup.engine == crate::Engine::Ours {
        // Of etcd's later versions.
        for path in ["/livez", "/readyz"] {
            let (status, body) = node.http(path).unwrap();
            assert_eq!((status, body.trim_end().ends_with("ok")), (200, true), "{path}: {body}");
        }
    }
}

fn version_flag(setup: Setup) {
    let mut command = std::process::Command::new(setup.engine.program().unwrap());
    if setup.engine == crate::Engine::Ours {
        command.arg("node");
    }
    let output = command.arg("--version").output().unwrap();
    assert!(output.status.success());
    let out = String::from_utf8(output.stdout).unwrap();
    let labels: Vec<_> = out.lines().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(labels, ["etcd Version", "Git SHA", "Go Version", "Go OS/Arch"]);
}
