//! `etcd-tui node` and the name `etcd`: what the words on the command line do.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

fn node() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-tui"));
    command.arg("node");
    command
}

fn run(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// One line that names the trouble.
#[track_caller]
fn complains(command: &mut Command, code: i32, what: &str) {
    let (actual, out, complaint) = run(command);
    assert_eq!((actual, out.as_str()), (code, ""), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.contains(what), "{complaint}");
}

#[test]
fn words_that_cannot_be_read_end_with_etcds_codes_and_one_line() {
    complains(node().arg("--no-such=1"), 2, "flag provided but not defined: -no-such");
    complains(node().arg("--name"), 2, "flag needs an argument: -name");
    complains(node().arg("--heartbeat-interval=fast"), 2, "for flag -heartbeat-interval");
    complains(node().arg("--pre-vote=maybe"), 2, "for flag -pre-vote");
    complains(node().arg("stray"), 1, "\"stray\" is not a valid flag");
    complains(node().args(["--pre-vote", "true"]), 1, "\"true\" is not a valid flag");
    complains(node().env("ETCD_SNAPSHOT_COUNT", "few"), 1, "ETCD_SNAPSHOT_COUNT");
    complains(node().arg("--config-file=/no/such.yml"), 1, "/no/such.yml");
    complains(node().env("ETCD_CONFIG_FILE", "/no/such.yml"), 1, "/no/such.yml");
}

#[test]
fn a_configuration_that_cannot_run_ends_with_1_and_one_line() {
    let listen = "--listen-client-urls=http://127.0.0.1:1";
    complains(node().arg(listen), 1, "--advertise-client-urls is required");
    complains(node().arg("--election-timeout=400"), 1, "--election-timeout[400ms]");
    let two = ["--initial-cluster=default=http://localhost:2380", "--discovery-srv=example.com"];
    complains(node().args(two), 1, "multiple discovery or bootstrap flags are set");
    complains(node().arg("--proxy=on"), 1, "the v2 proxy was removed");
}

#[test]
fn help_names_the_flags() {
    let (code, out, _) = run(node().arg("--help"));
    assert_eq!(code, 0);
    for flag in ["--initial-cluster-state", "--quota-backend-bytes", "--listen-peer-urls"] {
        assert!(out.contains(flag), "{flag} is not in {out}");
    }
    assert!(!out.contains("die-with-parent"));
}

#[test]
fn under_the_name_etcd_the_arguments_are_etcds() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let link = directory.path().join("etcd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_etcd-tui"), &link).unwrap();
    let (code, out, _) = run(Command::new(&link).arg("--version"));
    assert_eq!(code, 0);
    assert!(out.starts_with("etcd Version: 3.6."), "{out}");
    let (_, of_node, _) = run(node().arg("--version"));
    assert_eq!(out, of_node);
    complains(Command::new(&link).arg("--no-such-flag"), 2, "-no-such-flag");
}

#[test]
fn a_node_whose_parent_is_gone_does_not_start() {
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut command = node();
    command.arg("--die-with-parent=1").arg("--data-dir").arg(directory.path().join("d"));
    let (code, _, log) = run(&mut command);
    assert_eq!(code, 1, "{log}");
    let line: serde_json::Value = serde_json::from_str(log.lines().last().unwrap()).unwrap();
    assert_eq!(line["level"], "fatal");
    assert!(line["msg"].as_str().unwrap().contains("has ended"), "{line}");
    assert!(!directory.path().join("d").exists(), "it must not touch the data");
}
