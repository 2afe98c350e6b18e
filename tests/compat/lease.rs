//! lease grant, revoke, timetolive, list, keep-alive, and what happens to the keys.

use crate::support::etcdctl::Etcdctl;
use crate::support::eventually;
use crate::{Setup, against_every_engine};

against_every_engine!(
    grant_and_time_to_live,
    revoke_deletes_the_keys,
    list_all,
    keep_alive_once,
    keep_alive_until_interrupted,
    an_expired_lease_takes_its_keys,
    a_key_moves_between_leases,
    unknown_leases,
);

/// Grants a lease and returns its id as `etcdctl` writes it.
pub fn grant(ctl: &Etcdctl, seconds: u32) -> String {
    let out = ctl.ok(&["lease", "grant", &seconds.to_string()]);
    let id = out.split(' ').nth(1).unwrap_or_default().to_string();
    assert_eq!(out, format!("lease {id} granted with TTL({seconds}s)\n"));
    assert_eq!(id.len(), 16, "{out}");
    id
}

fn number(id: &str) -> i64 {
    i64::from_str_radix(id, 16).unwrap()
}

fn grant_and_time_to_live(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let id = grant(&ctl, 500);
    ctl.ok(&["put", "b", "1", "--lease", &id]);
    ctl.ok(&["put", "a", "1", "--lease", &id]);
    assert_eq!(ctl.json(&["get", "a"])["kvs"][0]["lease"], number(&id));
    let line = ctl.ok(&["lease", "timetolive", &id]);
    let start = format!("lease {id} granted with TTL(500s), remaining(4");
    assert!(line.starts_with(&start) && line.ends_with("s)\n"), "{line}");
    let keys = ctl.json(&["lease", "timetolive", &id, "--keys"]);
    assert_eq!(keys["id"], number(&id));
    assert_eq!(keys["granted-ttl"], 500);
    let mut attached: Vec<_> =
        keys["keys"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect();
    attached.sort_unstable();
    assert_eq!(attached, ["YQ==", "Yg=="]);
    let granted = ctl.json(&["lease", "grant", "300"]);
    assert_eq!(granted["TTL"], 300);
    assert!(granted["ID"].as_i64().unwrap() > 0);
    assert_eq!(granted["revision"], 3, "a grant is no change of the key space");
}

fn revoke_deletes_the_keys(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let id = grant(&ctl, 500);
    for key in ["a", "b"] {
        ctl.ok(&["put", key, "1", "--lease", &id]);
    }
    ctl.ok(&["put", "c", "1"]);
    assert_eq!(ctl.ok(&["lease", "revoke", &id]), format!("lease {id} revoked\n"));
    assert_eq!(ctl.ok(&["get", "", "--prefix", "--keys-only"]), "c\n\n");
    // All keys of the lease go at one revision.
    assert_eq!(ctl.json(&["get", "c"])["header"]["revision"], 5);
    assert_eq!(ctl.ok(&["lease", "timetolive", &id]), format!("lease {id} already expired\n"));
    ctl.run(&["lease", "revoke", &id]).failed(1, "etcdserver: requested lease not found");
}

fn list_all(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    assert_eq!(ctl.ok(&["lease", "list"]), "found 0 leases\n");
    let mut ids = vec![grant(&ctl, 500), grant(&ctl, 600), grant(&ctl, 400)];
    let out = ctl.ok(&["lease", "list"]);
    let mut lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.remove(0), "found 3 leases");
    lines.sort_unstable();
    ids.sort_unstable();
    assert_eq!(lines, ids);
    let json = ctl.json(&["lease", "list"]);
    assert_eq!(json["leases"].as_array().unwrap().len(), 3);
}

fn keep_alive_once(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let id = grant(&ctl, 500);
    let out = ctl.ok(&["lease", "keep-alive", "--once", &id]);
    assert_eq!(out, format!("lease {id} keepalived with TTL(500)\n"));
}

fn keep_alive_until_interrupted(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let id = grant(&ctl, 5);
    ctl.ok(&["put", "k", "v", "--lease", &id]);
    let mut alive = ctl.spawn(&["lease", "keep-alive", &id]);
    // Five rounds take longer than the lease would live.
    for _ in 0..5 {
        assert_eq!(alive.line(), format!("lease {id} keepalived with TTL(5)"));
    }
    assert_eq!(ctl.ok(&["get", "k"]), "k\nv\n");
    drop(alive);
    eventually("the lease without a keeper to expire", || match ctl.ok(&["get", "k"]).as_str() {
        "" => Ok(()),
        other => Err(other.to_string()),
    });
}

fn an_expired_lease_takes_its_keys(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let mut watch = ctl.spawn(&["watch", "k", "--prefix", "--rev=1"]);
    let id = grant(&ctl, 5);
    ctl.ok(&["put", "k1", "v", "--lease", &id]);
    ctl.ok(&["put", "k2", "v", "--lease", &id]);
    watch.prints(&["PUT", "k1", "v", "PUT", "k2", "v"]);
    watch.prints(&["DELETE", "k1", "", "DELETE", "k2", ""]);
    assert_eq!(ctl.ok(&["lease", "list"]), "found 0 leases\n");
    assert_eq!(ctl.json(&["get", "k1"])["header"]["revision"], 4);
}

fn a_key_moves_between_leases(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let (first, second) = (grant(&ctl, 500), grant(&ctl, 500));
    let keys = |id: &str| {
        let answer = ctl.json(&["lease", "timetolive", id, "--keys"]);
        answer["keys"].as_array().map_or(0, Vec::len)
    };
    ctl.ok(&["put", "k", "1", "--lease", &first]);
    ctl.ok(&["put", "k", "2", "--lease", &second]);
    assert_eq!((keys(&first), keys(&second)), (0, 1));
    ctl.ok(&["lease", "revoke", &first]);
    assert_eq!(ctl.ok(&["get", "k"]), "k\n2\n");
    ctl.ok(&["put", "k", "3"]);
    assert_eq!(keys(&second), 0);
    ctl.ok(&["lease", "revoke", &second]);
    assert_eq!(ctl.ok(&["get", "k"]), "k\n3\n");
}

fn unknown_leases(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let lost = "requested lease not found";
    ctl.run(&["lease", "revoke", "1234"]).failed(1, lost);
    ctl.run(&["lease", "keep-alive", "--once", "1234"]).failed(2, lost);
    assert_eq!(
        ctl.ok(&["lease", "timetolive", "1234"]),
        "lease 0000000000001234 already expired\n"
    );
    ctl.run(&["put", "k", "v", "--lease=1234"])
        .refused("NotFound", "etcdserver: requested lease not found");
    ctl.run(&["lease", "grant", "9000000001"])
        .failed(1, "rpc error: code = OutOfRange desc = etcdserver: too large lease TTL");
}
