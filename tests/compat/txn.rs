//! txn: compares, branches, and what one revision holds.

use crate::{Ctl, Setup, against_every_engine};

against_every_engine!(
    both_branches,
    every_compare,
    writes_of_one_txn_share_a_revision,
    a_refused_txn_changes_nothing,
    read_only_txn,
    interactive_help,
);

fn both_branches(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    let txn = b"value(\"k\") = \"1\"\nversion(\"other\") = \"0\"\n\nput k 2\nget k\ndel other\n\nput k no\n\n";
    assert_eq!(ctl.run_with(&["txn"], txn).ok(), "SUCCESS\n\nOK\n\nk\n2\n\n0\n");
    assert_eq!(ctl.run_with(&["txn"], txn).ok(), "FAILURE\n\nOK\n");
    assert_eq!(ctl.ok(&["get", "k", "--print-value-only"]), "no\n");
}

fn every_compare(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "b"]);
    ctl.ok(&["put", "k", "b"]);
    let holds = |compare: &str| {
        let txn = format!("{compare}\n\n\n\n\n");
        match ctl.run_with(&["txn"], txn.as_bytes()).ok().trim() {
            "SUCCESS" => true,
            "FAILURE" => false,
            other => panic!("{compare}: {other}"),
        }
    };
    for (compare, expected) in [
        ("value(\"k\") = \"b\"", true),
        ("value(\"k\") != \"b\"", false),
        ("value(\"k\") > \"a\"", true),
        ("value(\"k\") < \"b\"", false),
        ("version(\"k\") = \"2\"", true),
        ("version(\"k\") > \"2\"", false),
        ("create(\"k\") = \"2\"", true),
        ("mod(\"k\") = \"3\"", true),
        ("mod(\"k\") < \"3\"", false),
        // A missing key has version 0, and no value that any compare could hold for.
        ("version(\"none\") = \"0\"", true),
        ("create(\"none\") = \"0\"", true),
        ("value(\"none\") = \"\"", false),
        ("value(\"none\") != \"x\"", false),
    ] {
        assert_eq!(holds(compare), expected, "{compare}");
    }
}

fn writes_of_one_txn_share_a_revision(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let answer = ctl.run_with(&["txn", "-w", "json"], b"\nput a 1\nput b 2\nget a\n\n\n").ok();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["header"]["revision"], 2);
    assert_eq!(answer["succeeded"], true);
    let ops = answer["responses"].as_array().unwrap();
    // The clients of 3.4 and 3.5 name the fields differently.
    let (put, range) = match setup.ctl {
        Ctl::V34 => ("ResponsePut", "ResponseRange"),
        Ctl::V35 => ("response_put", "response_range"),
    };
    let put = &ops[0]["Response"][put];
    assert_eq!(*put, serde_json::json!({"header": {"revision": 2}}));
    // A read in a txn sees the writes before it.
    let range = &ops[2]["Response"][range];
    assert_eq!(range["kvs"][0]["value"], "MQ==");
    for key in ["a", "b"] {
        assert_eq!(ctl.json(&["get", key])["kvs"][0]["mod_revision"], 2);
    }
}

fn a_refused_txn_changes_nothing(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.run_with(&["txn"], b"\nput a 1\nput b 2 --lease=1234\n\n\n")
        .refused("NotFound", "etcdserver: requested lease not found");
    ctl.run_with(&["txn"], b"\nput a 1\nget b --rev=100\n\n\n")
        .refused("OutOfRange", "etcdserver: mvcc: required revision is a future revision");
    let after = ctl.json(&["get", "", "--prefix"]);
    assert_eq!(after["header"]["revision"], 1);
    assert!(after.get("kvs").is_none(), "{after}");
}

fn read_only_txn(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "a", "1"]);
    let out = ctl.run_with(&["txn"], b"version(\"a\") = \"1\"\n\nget a\nget b\n\n\n").ok();
    assert_eq!(out, "SUCCESS\n\na\n1\n\n");
    assert_eq!(ctl.json(&["get", "a"])["header"]["revision"], 2);
}

fn interactive_help(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let out = ctl.run_with(&["txn", "-i"], b"\nput k v\n\n\n").ok();
    assert!(out.contains("compares:") && out.contains("SUCCESS"), "{out}");
}
