//! put, get, del: every flag and every output format.

use serde_json::json;

use crate::{Setup, against_every_engine};

against_every_engine!(
    put_and_get_simple,
    put_previous_value,
    put_from_standard_input,
    put_ignoring_value_or_lease,
    get_json_and_fields,
    get_protobuf,
    get_ranges,
    get_limited_and_paged,
    get_sorted,
    get_old_revisions,
    get_serializable,
    delete_counts_and_previous_values,
    versions_restart_after_a_delete,
    values_are_bytes,
);

/// Five keys: a..c, then one that sorts after all letters and one prefix relative.
fn five_keys(setup: Setup) -> (crate::Cluster, crate::Etcdctl) {
    let (cluster, ctl) = setup.single();
    for (key, value) in [("b", "2"), ("a", "3"), ("c", "1"), ("a/x", "0"), ("~", "9")] {
        assert_eq!(ctl.ok(&["put", key, value]), "OK\n");
    }
    (cluster, ctl)
}

fn put_and_get_simple(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    assert_eq!(ctl.ok(&["put", "k", "v"]), "OK\n");
    assert_eq!(ctl.ok(&["get", "k"]), "k\nv\n");
    assert_eq!(ctl.ok(&["get", "k", "--print-value-only"]), "v\n");
    assert_eq!(ctl.ok(&["get", "k", "--keys-only"]), "k\n\n");
    assert_eq!(ctl.ok(&["get", "k", "--hex"]), "\\x6b\n\\x76\n");
    assert_eq!(ctl.ok(&["get", "nothing"]), "");
    assert_eq!(ctl.ok(&["put", "empty", ""]), "OK\n");
    assert_eq!(ctl.ok(&["get", "empty"]), "empty\n\n");
    ctl.run(&["get", "k", "-w", "table"]).failed(4, "table not supported as output format");
}

fn put_previous_value(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    assert_eq!(ctl.ok(&["put", "k", "1", "--prev-kv"]), "OK\n");
    assert_eq!(ctl.ok(&["put", "k", "2", "--prev-kv"]), "OK\nk\n1\n");
    let answer = ctl.json(&["put", "k", "3", "--prev-kv"]);
    assert_eq!(answer["header"]["revision"], 4);
    assert_eq!(
        answer["prev_kv"],
        json!({"key": "aw==", "create_revision": 2, "mod_revision": 3, "version": 2, "value": "Mg=="})
    );
    assert!(ctl.json(&["put", "k", "4"]).get("prev_kv").is_none());
}

fn put_from_standard_input(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    assert_eq!(ctl.run_with(&["put", "k"], b"two\nlines").ok(), "OK\n");
    assert_eq!(ctl.ok(&["get", "k", "--print-value-only"]), "two\nlines\n");
}

fn put_ignoring_value_or_lease(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let lease = crate::lease::grant(&ctl, 600);
    ctl.ok(&["put", "k", "kept", "--lease", &lease]);
    // The value stays, the lease goes.
    assert_eq!(ctl.ok(&["put", "k", "--ignore-value"]), "OK\n");
    let kv = ctl.json(&["get", "k"])["kvs"][0].clone();
    assert_eq!(kv["value"], "a2VwdA==");
    assert!(kv.get("lease").is_none(), "{kv}");
    // The lease stays, the value changes.
    ctl.ok(&["put", "k", "kept", "--lease", &lease]);
    assert_eq!(ctl.ok(&["put", "k", "new", "--ignore-lease"]), "OK\n");
    let kv = ctl.json(&["get", "k"])["kvs"][0].clone();
    assert_eq!(kv["value"], "bmV3");
    assert_eq!(kv["lease"], i64::from_str_radix(&lease, 16).unwrap());
    for flag in ["--ignore-value", "--ignore-lease"] {
        let words: &[&str] = if flag == "--ignore-value" {
            &["put", "none", flag]
        } else {
            &["put", "none", "v", flag]
        };
        ctl.run(words).refused("InvalidArgument", "etcdserver: key not found");
    }
}

fn get_json_and_fields(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    ctl.ok(&["put", "k", "2"]);
    let answer = ctl.json(&["get", "k"]);
    assert_eq!(
        answer["kvs"],
        json!([{"key": "aw==", "create_revision": 2, "mod_revision": 3, "version": 2, "value": "Mg=="}])
    );
    assert_eq!(answer["count"], 1);
    assert!(answer.get("more").is_none());
    let header = &answer["header"];
    assert_eq!(header["revision"], 3);
    for field in ["cluster_id", "member_id", "raft_term"] {
        assert!(header[field].as_u64().unwrap() > 0, "{header}");
    }
    let fields = ctl.ok(&["get", "k", "-w", "fields"]);
    for line in [
        "\"Revision\" : 3",
        "\"Key\" : \"k\"",
        "\"CreateRevision\" : 2",
        "\"ModRevision\" : 3",
        "\"Version\" : 2",
        "\"Value\" : \"2\"",
        "\"Lease\" : 0",
        "\"More\" : false",
        "\"Count\" : 1",
    ] {
        assert!(fields.lines().any(|found| found == line), "{line} in {fields}");
    }
    // Nothing found is an empty answer with the current revision, not an error.
    let nothing = ctl.json(&["get", "nothing"]);
    assert_eq!(nothing["header"]["revision"], 3);
    assert!(nothing.get("kvs").is_none() && nothing.get("count").is_none(), "{nothing}");
}

fn get_protobuf(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "key", "value"]);
    let out = ctl.ok(&["get", "key", "-w", "protobuf"]);
    assert!(out.contains("key") && out.contains("value"), "{out:?}");
}

fn get_ranges(setup: Setup) {
    let (_cluster, ctl) = five_keys(setup);
    let keys = |words: &[&str]| -> Vec<String> {
        let words: Vec<&str> = [&["get"], words, &["--keys-only"]].concat();
        ctl.ok(&words).lines().filter(|line| !line.is_empty()).map(str::to_string).collect()
    };
    assert_eq!(keys(&["a", "c"]), ["a", "a/x", "b"]);
    assert_eq!(keys(&["a", "--prefix"]), ["a", "a/x"]);
    assert_eq!(keys(&["", "--prefix"]), ["a", "a/x", "b", "c", "~"]);
    assert_eq!(keys(&["b", "--from-key"]), ["b", "c", "~"]);
    assert_eq!(keys(&["", "--from-key"]), ["a", "a/x", "b", "c", "~"]);
    // The end before the start, or equal to it, is an empty range.
    assert_eq!(keys(&["c", "a"]), [""; 0]);
    assert_eq!(keys(&["b", "b"]), [""; 0]);
    if ctl.version == crate::Ctl::V35 {
        // 3.4 does not have the flag.
        let fields = ctl.ok(&["get", "a", "--prefix", "--count-only", "-w", "fields"]);
        assert!(fields.contains("\"Count\" : 2") && !fields.contains("\"Key\""), "{fields}");
    }
}

fn get_limited_and_paged(setup: Setup) {
    let (_cluster, ctl) = five_keys(setup);
    let page = ctl.json(&["get", "", "--prefix", "--limit=2"]);
    assert_eq!(page["kvs"].as_array().unwrap().len(), 2);
    assert_eq!(page["more"], true);
    assert_eq!(page["count"], 5);
    let rest = ctl.json(&["get", "b", "--from-key", "--limit=3"]);
    assert_eq!(rest["kvs"].as_array().unwrap().len(), 3);
    assert!(rest.get("more").is_none(), "exactly the limit is not more: {rest}");
    assert_eq!(rest["count"], 3);
    let keys = ctl.json(&["get", "", "--prefix", "--keys-only", "--limit=1"]);
    assert_eq!(keys["kvs"][0]["key"], "YQ==");
    assert!(keys["kvs"][0].get("value").is_none(), "{keys}");
    assert_eq!(keys["kvs"][0]["mod_revision"], 3);
}

fn get_sorted(setup: Setup) {
    let (_cluster, ctl) = five_keys(setup);
    ctl.ok(&["put", "b", "2"]);
    let sorted = |by: &str, order: &str, more: &[&str]| -> String {
        let (by, order) = (format!("--sort-by={by}"), format!("--order={order}"));
        let words = [&["get", "", "--prefix", "--keys-only", &by, &order], more].concat();
        ctl.ok(&words).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(sorted("KEY", "ASCEND", &[]), "a a/x b c ~");
    assert_eq!(sorted("KEY", "DESCEND", &[]), "~ c b a/x a");
    assert_eq!(sorted("VALUE", "ASCEND", &[]), "a/x c b a ~");
    assert_eq!(sorted("CREATE", "ASCEND", &[]), "b a c a/x ~");
    assert_eq!(sorted("MODIFY", "DESCEND", &[]), "b ~ a/x c a");
    assert!(sorted("VERSION", "DESCEND", &[]).starts_with("b "));
    // The limit counts after sorting.
    assert_eq!(sorted("MODIFY", "ASCEND", &["--limit=2"]), "a c");
    assert_eq!(sorted("VALUE", "DESCEND", &["--limit=1"]), "~");
}

fn get_old_revisions(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    ctl.ok(&["put", "k", "2"]);
    ctl.ok(&["del", "k"]);
    ctl.ok(&["put", "k", "4"]);
    let at = |revision: &str| ctl.ok(&["get", "k", "--print-value-only", "--rev", revision]);
    assert_eq!(at("1"), "");
    assert_eq!(at("2"), "1\n");
    assert_eq!(at("3"), "2\n");
    assert_eq!(at("4"), "");
    assert_eq!(at("5"), "4\n");
    assert_eq!(at("0"), "4\n");
    // The header tells the revision of now, not the one asked for.
    assert_eq!(ctl.json(&["get", "k", "--rev=2"])["header"]["revision"], 5);
    ctl.run(&["get", "k", "--rev=6"])
        .refused("OutOfRange", "etcdserver: mvcc: required revision is a future revision");
}

fn get_serializable(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "v"]);
    assert_eq!(ctl.ok(&["get", "k", "--consistency=s"]), "k\nv\n");
    assert_eq!(ctl.ok(&["get", "k", "--consistency=l"]), "k\nv\n");
}

fn delete_counts_and_previous_values(setup: Setup) {
    let (_cluster, ctl) = five_keys(setup);
    assert_eq!(ctl.ok(&["del", "nothing"]), "0\n");
    assert_eq!(ctl.json(&["get", "a"])["header"]["revision"], 6, "deleting nothing is no change");
    assert_eq!(ctl.ok(&["del", "b", "--prev-kv"]), "1\nb\n2\n");
    assert_eq!(ctl.ok(&["del", "a", "--prefix"]), "2\n");
    assert_eq!(ctl.json(&["get", "a"])["header"]["revision"], 8, "a range is one change");
    let answer = ctl.json(&["del", "c", "--from-key", "--prev-kv"]);
    assert_eq!(answer["deleted"], 2);
    assert_eq!(answer["prev_kvs"][0]["key"], "Yw==");
    assert_eq!(answer["prev_kvs"][1]["value"], "OQ==");
    assert_eq!(ctl.ok(&["get", "", "--prefix"]), "");
    for key in ["x", "y", "z"] {
        ctl.ok(&["put", key, "1"]);
    }
    assert_eq!(ctl.ok(&["del", "x", "z"]), "2\n");
    assert_eq!(ctl.ok(&["del", "", "--prefix"]), "1\n");
}

fn versions_restart_after_a_delete(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    ctl.ok(&["put", "k", "2"]);
    ctl.ok(&["del", "k"]);
    ctl.ok(&["put", "k", "3"]);
    let kv = ctl.json(&["get", "k"])["kvs"][0].clone();
    assert_eq!(kv["create_revision"], 5);
    assert_eq!(kv["mod_revision"], 5);
    assert_eq!(kv["version"], 1);
}

fn values_are_bytes(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    assert_eq!(ctl.run_with(&["put", "bytes"], b"\x00\xff\x80a").ok(), "OK\n");
    assert_eq!(ctl.json(&["get", "bytes"])["kvs"][0]["value"], "AP+AYQ==");
    // Keys sort as bytes, not as text of any language.
    ctl.ok(&["put", "ü", "1"]);
    ctl.ok(&["put", "u", "2"]);
    ctl.ok(&["put", "Z", "3"]);
    let keys = ctl.ok(&["get", "Z", "--from-key", "--keys-only"]);
    assert_eq!(keys.split_whitespace().collect::<Vec<_>>(), ["Z", "bytes", "u", "ü"]);
}
