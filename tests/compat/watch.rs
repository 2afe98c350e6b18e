//! watch: from now, from the past, ranges, previous values, progress, compaction.

use crate::support::eventually;
use crate::{Setup, against_every_engine};

against_every_engine!(
    events_as_they_happen,
    history_then_present,
    ranges_and_prefixes,
    previous_values,
    json_events,
    a_txn_is_one_response,
    from_a_future_revision,
    from_a_compacted_revision,
    progress_on_request,
    interactive_watches,
    a_command_per_event,
    through_a_restart_of_the_server,
);

fn events_as_they_happen(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    // A watch from now prints nothing when it is ready, so the first event is tried until seen.
    let mut watch = ctl.spawn(&["watch", "k", "--rev=2"]);
    ctl.ok(&["put", "k", "1"]);
    ctl.ok(&["put", "other", "x"]);
    ctl.ok(&["del", "k"]);
    ctl.ok(&["put", "k", ""]);
    watch.prints(&["PUT", "k", "1", "DELETE", "k", "", "PUT", "k", ""]);
}

fn history_then_present(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    for value in ["1", "2", "3"] {
        ctl.ok(&["put", "k", value]);
    }
    let mut watch = ctl.spawn(&["watch", "k", "--rev=3"]);
    watch.prints(&["PUT", "k", "2", "PUT", "k", "3"]);
    ctl.ok(&["put", "k", "4"]);
    watch.prints(&["PUT", "k", "4"]);
}

fn ranges_and_prefixes(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    for key in ["a", "b", "ba", "c"] {
        ctl.ok(&["put", key, "1"]);
    }
    ctl.spawn(&["watch", "b", "--prefix", "--rev=1"]).prints(&["PUT", "b", "1", "PUT", "ba", "1"]);
    ctl.spawn(&["watch", "a", "ba", "--rev=1"]).prints(&["PUT", "a", "1", "PUT", "b", "1"]);
    let mut all = ctl.spawn(&["watch", "", "--prefix", "--rev=1"]);
    all.prints(&["PUT", "a", "1", "PUT", "b", "1", "PUT", "ba", "1", "PUT", "c", "1"]);
}

fn previous_values(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    ctl.ok(&["put", "k", "2"]);
    ctl.ok(&["del", "k"]);
    let mut watch = ctl.spawn(&["watch", "k", "--prev-kv", "--rev=2"]);
    watch.prints(&["PUT", "k", "1"]);
    watch.prints(&["PUT", "k", "1", "k", "2"]);
    watch.prints(&["DELETE", "k", "2", "k", ""]);
}

fn json_events(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    ctl.ok(&["del", "k"]);
    let mut watch = ctl.spawn(&["watch", "k", "--rev=2", "-w", "json"]);
    let answer: serde_json::Value = serde_json::from_str(&watch.line()).unwrap();
    assert_eq!(answer["Header"]["revision"], 3);
    assert_eq!(answer["CompactRevision"], 0);
    assert_eq!(answer["Canceled"], false);
    let events = answer["Events"].as_array().unwrap();
    assert_eq!(events[0]["kv"]["mod_revision"], 2);
    assert_eq!(events[0]["kv"]["value"], "MQ==");
    // A delete says which key and when, nothing else.
    assert_eq!(events[1]["type"], 1);
    assert_eq!(events[1]["kv"], serde_json::json!({"key": "aw==", "mod_revision": 3}));
}

fn a_txn_is_one_response(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let mut watch = ctl.spawn(&["watch", "", "--prefix", "--rev=1", "-w", "json"]);
    ctl.run_with(&["txn"], b"\nput a 1\nput b 2\ndel c\n\n\n").ok();
    let answer: serde_json::Value = serde_json::from_str(&watch.line()).unwrap();
    let events = answer["Events"].as_array().unwrap();
    let revisions: Vec<_> =
        events.iter().map(|event| event["kv"]["mod_revision"].clone()).collect();
    assert_eq!(revisions, [2, 2]);
}

fn from_a_future_revision(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let mut watch = ctl.spawn(&["watch", "k", "--rev=4"]);
    for value in ["1", "2", "3"] {
        ctl.ok(&["put", "k", value]);
    }
    watch.prints(&["PUT", "k", "3"]);
}

fn from_a_compacted_revision(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    for value in ["1", "2", "3", "4"] {
        ctl.ok(&["put", "k", value]);
    }
    ctl.ok(&["compaction", "4"]);
    let mut watch = ctl.spawn(&["watch", "k", "--rev=2"]);
    let line = watch.until("watch was canceled");
    assert!(line.contains("etcdserver: mvcc: required revision has been compacted"), "{line}");
    watch.wait();
    // The compacted revision itself can still be watched from.
    ctl.spawn(&["watch", "k", "--rev=4"]).prints(&["PUT", "k", "3", "PUT", "k", "4"]);
}

fn progress_on_request(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    let mut watch = ctl.spawn(&["watch", "-i"]);
    watch.say("watch k --rev=2\n");
    watch.prints(&["PUT", "k", "1"]);
    ctl.ok(&["put", "other", "1"]);
    // Asked while a watcher catches up, the server may stay silent; so ask until it answers.
    eventually("a progress notification", || {
        watch.say("progress\n");
        match watch.try_line() {
            Some(line) if line == "progress notify: 3" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

fn interactive_watches(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "a", "1"]);
    ctl.ok(&["put", "b", "2"]);
    let mut watch = ctl.spawn(&["watch", "-i"]);
    watch.say("watch a --rev=2\n");
    watch.prints(&["PUT", "a", "1"]);
    watch.say("watch b --rev=2\n");
    watch.prints(&["PUT", "b", "2"]);
    ctl.ok(&["put", "a", "3"]);
    watch.prints(&["PUT", "a", "3"]);
}

fn a_command_per_event(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "v"]);
    let mut watch = ctl.spawn(&[
        "watch",
        "k",
        "--rev=2",
        "--",
        "sh",
        "-c",
        "echo $ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE $ETCD_WATCH_REVISION",
    ]);
    watch.prints(&["PUT", "k", "v", "\"PUT\" \"k\" \"v\" 2"]);
}

fn through_a_restart_of_the_server(setup: Setup) {
    let (mut cluster, ctl) = setup.single();
    ctl.ok(&["put", "k", "1"]);
    let mut watch = ctl.spawn(&["watch", "k", "--rev=2"]);
    watch.prints(&["PUT", "k", "1"]);
    cluster.nodes[0].kill();
    cluster.restart(0);
    ctl.ok(&["put", "k", "2"]);
    watch.until("PUT");
    watch.prints(&["k", "2"]);
}
