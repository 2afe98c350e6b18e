//! What is refused, with etcd's code and etcd's words: clients map errors by text.

use crate::{Setup, against_every_engine};

against_every_engine!(empty_keys, sizes, transactions, configured_limits, after_a_refusal);

fn empty_keys(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let text = "etcdserver: key is not provided";
    ctl.run(&["put", "", "v"]).refused("InvalidArgument", text);
    ctl.run_with(&["txn"], b"\nput \"\" v\n\n\n").refused("InvalidArgument", text);
    ctl.run_with(&["txn"], b"version(\"\") = \"0\"\n\n\n\n\n").refused("InvalidArgument", text);
}

fn sizes(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    // Just below the limit of 1.5 MiB, just above it, and above what gRPC takes.
    ctl.run_with(&["put", "k"], &vec![b'x'; 1_572_000]).ok();
    ctl.run_with(&["put", "k"], &vec![b'x'; 1_600_000])
        .refused("InvalidArgument", "etcdserver: request is too large");
    let outcome = ctl.run_with(&["put", "k"], &vec![b'x'; 2_200_000]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.err.contains("code = ResourceExhausted"), "{}", outcome.err);
    assert_eq!(ctl.ok(&["get", "k", "--print-value-only"]).len(), 1_572_001);
}

fn transactions(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let duplicate = "etcdserver: duplicate key given in txn request";
    ctl.run_with(&["txn"], b"\nput k 1\nput k 2\n\n\n").refused("InvalidArgument", duplicate);
    ctl.run_with(&["txn"], b"\nput k 1\ndel k\n\n\n").refused("InvalidArgument", duplicate);
    ctl.run_with(&["txn"], b"\nput k 1\ndel a z\n\n\n").refused("InvalidArgument", duplicate);
    // Two branches never both happen; and deleting twice is no conflict.
    ctl.run_with(&["txn"], b"\nput k 1\n\nput k 2\n\n").ok();
    ctl.run_with(&["txn"], b"\ndel k\ndel k\n\n\n").ok();
    let puts: String = (0..129).map(|number| format!("put k{number} v\n")).collect();
    ctl.run_with(&["txn"], format!("\n{puts}\n\n").as_bytes())
        .refused("InvalidArgument", "etcdserver: too many operations in txn request");
    let puts: String = (0..128).map(|number| format!("put k{number} v\n")).collect();
    ctl.run_with(&["txn"], format!("\n{puts}\n\n").as_bytes()).ok();
}

fn configured_limits(setup: Setup) {
    let (_cluster, ctl) = setup.start(1, &["--max-txn-ops=2", "--max-request-bytes", "1000"]);
    ctl.run_with(&["txn"], b"\nput a 1\nput b 1\nput c 1\n\n\n")
        .refused("InvalidArgument", "etcdserver: too many operations in txn request");
    ctl.run_with(&["txn"], b"\nput a 1\nput b 1\n\n\n").ok();
    ctl.run_with(&["put", "k"], &[b'x'; 900]).ok();
    ctl.run_with(&["put", "k"], &[b'x'; 1_100])
        .refused("InvalidArgument", "etcdserver: request is too large");
}

fn after_a_refusal(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.run(&["put", "k", "v", "--lease=1234"])
        .refused("NotFound", "etcdserver: requested lease not found");
    // It was neither applied nor counted.
    let answer = ctl.json(&["get", "k"]);
    assert_eq!(answer["header"]["revision"], 1);
    assert!(answer.get("kvs").is_none());
}
