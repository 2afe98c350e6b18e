//! compaction, defrag, alarm, snapshot save, and the way out of a full database.

use crate::{Ctl, Setup, against_every_engine};

against_every_engine!(
    compaction_forgets_the_past,
    compaction_refusals,
    physical_compaction_and_defrag,
    no_alarms,
    a_full_database_and_the_way_out,
    snapshot_save,
    revisions_survive_a_restart,
);

fn compaction_forgets_the_past(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    for value in ["1", "2", "3"] {
        ctl.ok(&["put", "k", value]);
    }
    ctl.ok(&["del", "k"]);
    ctl.ok(&["put", "other", "x"]);
    assert_eq!(ctl.ok(&["compaction", "4"]), "compacted revision 4\n");
    ctl.run(&["get", "k", "--rev=3"])
        .refused("OutOfRange", "etcdserver: mvcc: required revision has been compacted");
    // The compacted revision itself stays readable.
    assert_eq!(ctl.ok(&["get", "k", "--rev=4", "--print-value-only"]), "3\n");
    assert_eq!(ctl.ok(&["get", "k", "--rev=5", "--print-value-only"]), "");
    assert_eq!(ctl.ok(&["get", "other"]), "other\nx\n");
    assert_eq!(ctl.json(&["get", "k"])["header"]["revision"], 6, "no change of the revision");
}

fn compaction_refusals(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    for value in ["1", "2", "3"] {
        ctl.ok(&["put", "k", value]);
    }
    ctl.run(&["compaction", "100"])
        .refused("OutOfRange", "etcdserver: mvcc: required revision is a future revision");
    ctl.ok(&["compaction", "3"]);
    for revision in ["3", "2", "1"] {
        ctl.run(&["compaction", revision])
            .refused("OutOfRange", "etcdserver: mvcc: required revision has been compacted");
    }
    ctl.ok(&["compaction", "4"]);
}

/// dbSize and dbSizeInUse of the only node.
fn sizes(ctl: &crate::Etcdctl) -> (u64, u64) {
    let status = ctl.json(&["endpoint", "status"])[0]["Status"].clone();
    (status["dbSize"].as_u64().unwrap(), status["dbSizeInUse"].as_u64().unwrap())
}

fn physical_compaction_and_defrag(setup: Setup) {
    let (cluster, ctl) = setup.single();
    let value = vec![b'x'; 256 * 1024];
    for _ in 0..16 {
        ctl.run_with(&["put", "k"], &value).ok();
    }
    let (full, in_use) = sizes(&ctl);
    assert!(in_use >= 16 * 256 * 1024, "{in_use}");
    assert_eq!(ctl.ok(&["compaction", "17", "--physical"]), "compacted revision 17\n");
    let url = cluster.nodes[0].client_url();
    assert_eq!(ctl.ok(&["defrag"]), format!("Finished defragmenting etcd member[{url}]\n"));
    assert_eq!(
        ctl.ok(&["defrag", "--cluster"]),
        format!("Finished defragmenting etcd member[{url}]\n")
    );
    let (size, in_use) = sizes(&ctl);
    assert!(size < full / 2 && in_use <= size, "{size} of {full}, {in_use} in use");
    assert_eq!(ctl.ok(&["get", "k", "--print-value-only"]).len(), value.len() + 1);
}

fn no_alarms(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    assert_eq!(ctl.ok(&["alarm", "list"]), "");
    assert_eq!(ctl.ok(&["alarm", "disarm"]), "");
}

fn a_full_database_and_the_way_out(setup: Setup) {
    let (cluster, ctl) = setup.start(1, &["--quota-backend-bytes=4194304"]);
    let lease = crate::lease::grant(&ctl, 600);
    ctl.ok(&["put", "small", "v"]);
    let value = vec![b'x'; 512 * 1024];
    let full = "etcdserver: mvcc: database space exceeded";
    let refused = (0..40)
        .map(|_| ctl.run_with(&["put", "big"], &value))
        .find(|outcome| outcome.code != 0)
        .expect("the quota to be reached");
    refused.refused("ResourceExhausted", full);
    let id = ctl.json(&["member", "list"])["members"][0]["ID"].as_u64().unwrap();
    let alarm = format!("memberID:{id} alarm:NOSPACE");
    assert_eq!(ctl.ok(&["alarm", "list"]).trim(), alarm);
    // Nothing that needs room, however little; everything else.
    ctl.run(&["put", "small", "w"]).refused("ResourceExhausted", full);
    ctl.run_with(&["txn"], b"\nput small w\n\n\n").refused("ResourceExhausted", full);
    ctl.run(&["lease", "grant", "10"]).failed(1, full);
    assert_eq!(ctl.ok(&["get", "small"]), "small\nv\n");
    ctl.ok(&["lease", "timetolive", &lease]);
    assert_eq!(ctl.ok(&["del", "small"]), "1\n");
    let (status, body) = cluster.nodes[0].http("/health").unwrap();
    assert!(status == 503 && body.contains("\"health\":\"false\""), "{status} {body}");
    let status = ctl.json(&["endpoint", "status"]);
    assert!(status[0]["Status"]["errors"][0].as_str().unwrap().contains("NOSPACE"), "{status}");
    if setup.ctl == Ctl::V35 {
        // 3.4 does not ask for alarms.
        ctl.run(&["endpoint", "health"]).failed(1, "unhealthy");
    }

    let revision = ctl.json(&["get", "big"])["header"]["revision"].to_string();
    ctl.ok(&["compaction", &revision, "--physical"]);
    ctl.ok(&["defrag"]);
    // Room alone does not clear the alarm; the operator does.
    ctl.run(&["put", "small", "w"]).refused("ResourceExhausted", full);
    assert_eq!(ctl.ok(&["alarm", "disarm"]).trim(), alarm);
    assert_eq!(ctl.ok(&["alarm", "list"]), "");
    ctl.ok(&["put", "small", "w"]);
    ctl.ok(&["endpoint", "health"]);
}

fn snapshot_save(setup: Setup) {
    let (cluster, _) = setup.start(1, &[]);
    // 3.4 and 3.5 take a snapshot from one endpoint only.
    let ctl = setup.client_of(&cluster, 0);
    for number in 0..50 {
        ctl.ok(&["put", &format!("k{number}"), "v"]);
    }
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = directory.path().join("snapshot.db");
    let text = path.to_str().unwrap();
    let out = ctl.ok(&["snapshot", "save", text]);
    assert!(out.ends_with(&format!("Snapshot saved at {text}\n")), "{out}");
    // A page-aligned image and its SHA-256: what tools check before they trust it.
    let size = std::fs::metadata(&path).unwrap().len();
    assert_eq!(size % 512, 32, "{size}");
    if setup.ctl == Ctl::V35 {
        let status = ctl.json(&["snapshot", "status", text]);
        assert_eq!(status["revision"], 51, "{status}");
    }
}

fn revisions_survive_a_restart(setup: Setup) {
    let (mut cluster, ctl) = setup.single();
    let lease = crate::lease::grant(&ctl, 600);
    ctl.ok(&["put", "k", "1"]);
    ctl.ok(&["put", "k", "2", "--lease", &lease]);
    ctl.ok(&["put", "gone", "1"]);
    ctl.ok(&["del", "gone"]);
    ctl.ok(&["compaction", "3"]);
    let before = (ctl.json(&["get", "", "--prefix"]), ctl.json(&["member", "list"]));
    let status = cluster.nodes[0].stop();
    // etcd ends by raising the signal again once it has cleaned up.
    if setup.engine == crate::Engine::Ours {
        assert_eq!(status.code(), Some(0));
    }
    cluster.restart(0);
    let after = (ctl.json(&["get", "", "--prefix"]), ctl.json(&["member", "list"]));
    assert_eq!(before.0["kvs"], after.0["kvs"]);
    assert_eq!(before.0["header"]["revision"], after.0["header"]["revision"]);
    assert_eq!(before.0["header"]["member_id"], after.0["header"]["member_id"]);
    assert_eq!(before.0["header"]["cluster_id"], after.0["header"]["cluster_id"]);
    assert_eq!(before.1["members"], after.1["members"]);
    assert_eq!(ctl.ok(&["get", "k", "--rev=3", "--print-value-only"]), "2\n");
    ctl.run(&["get", "k", "--rev=2"])
        .refused("OutOfRange", "etcdserver: mvcc: required revision has been compacted");
    let keys = ctl.json(&["lease", "timetolive", &lease, "--keys"]);
    assert_eq!(keys["keys"], serde_json::json!(["aw=="]));
    // Events of before the restart are still there.
    ctl.spawn(&["watch", "gone", "--rev=3"]).prints(&["PUT", "gone", "1", "DELETE", "gone", ""]);
}
