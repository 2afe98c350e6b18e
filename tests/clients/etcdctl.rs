//! `etcdctl` of 3.4 and 3.5 against three members: plain, with TLS and certificates, with users,
//! and with both. API 2 knows no users of v3, so it is asked with and without TLS only.

use std::process::Command;

use crate::support::tools::{Ctl, are_there};
use crate::world::{LIMITED, ROOT, Wire, World};

/// What is typed, and what the answer has to contain. `NAME` is the round's, so that nothing of
/// an earlier one is met; `CLUSTER` is the flag that asks for all members.
const API3: &[(&str, &str)] = &[
    ("put NAME/a one", "OK"),
    ("put NAME/b two --prev-kv", "OK"),
    ("get NAME/a --print-value-only", "one"),
    ("get NAME/ --prefix --keys-only", "NAME/b"),
    ("get NAME/a --consistency=s --print-value-only", "one"),
    ("get NAME/a -w json", "\"create_revision\""),
    ("del NAME/a", "1"),
    ("lease grant 600", "granted with TTL(600s)"),
    ("member list", "n2"),
    ("endpoint health CLUSTER", "is healthy"),
    ("endpoint status CLUSTER -w table", "IS LEADER"),
    ("endpoint hashkv CLUSTER", "http"),
    ("alarm list", ""),
    ("defrag", "Finished defragmenting"),
];

const API2: &[(&str, &str)] = &[
    ("mkdir /NAME", ""),
    ("set /NAME/a one", "one"),
    ("get /NAME/a", "one"),
    ("update /NAME/a two", "two"),
    ("ls --recursive /", "/NAME/a"),
    ("set /NAME/a three --swap-with-value two", "three"),
    ("rm /NAME/a", "PrevNode.Value: three"),
    ("rmdir /NAME", ""),
    ("member list", "isLeader=true"),
    ("cluster-health", "cluster is healthy"),
];

/// Runs a command to its end; standard output and error.
fn run(mut command: Command) -> Result<String, String> {
    let output = command.output().map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    if output.status.success() { Ok(said) } else { Err(said) }
}

fn command(version: Ctl, api: &str, flags: Vec<String>, words: &str) -> Command {
    let mut command = Command::new(version.program().expect("checked before"));
    command.env("ETCDCTL_API", api).args(flags);
    command.args(words.split_whitespace());
    command
}

#[track_caller]
fn all_work(version: Ctl, world: &World, name: &str, extra: &[String]) {
    for (words, expected) in API3 {
        let flags = [world.arguments(), extra.to_vec()].concat();
        // These versions ask for the members as nobody, whatever user is given; who asks has to
        // be somebody here, as in the releases of etcd that closed that hole.
        let cluster = if extra.is_empty() { "--cluster" } else { "" };
        let words = words.replace("NAME", name).replace("CLUSTER", cluster);
        let said = run(command(version, "3", flags, &words));
        let said = said.unwrap_or_else(|error| panic!("{version:?} {words}: {error}"));
        let expected = expected.replace("NAME", name);
        assert!(said.contains(&expected), "{version:?} {words}: {said}");
    }
}

fn with_and_without_users(version: Ctl, wire: Wire) {
    if !are_there([version.program(), Ctl::V35.program()]) {
        return;
    }
    let world = World::start(wire);
    all_work(version, &world, "nobody", &[]);
    world.enable_auth();
    let root = vec![format!("--user={ROOT}")];
    all_work(version, &world, "root", &root);
    let flags = [world.arguments(), root].concat();
    assert!(run(command(version, "3", flags, "compaction 2")).unwrap().contains("compacted"));
    let limited = |user: &str, words: &str| {
        let user = (!user.is_empty()).then(|| format!("--user={user}"));
        let flags = [world.arguments(), user.into_iter().collect()].concat();
        run(command(version, "3", flags, words))
    };
    limited(LIMITED, "put limited/a one").unwrap();
    assert!(limited(LIMITED, "get limited/ --prefix").unwrap().contains("one"));
    // Who shows a certificate is the one that it names, who has no rights.
    let nobody = if wire == Wire::Plain { "user name is empty" } else { "permission denied" };
    for (user, words, refusal) in [
        (LIMITED, "put other one", "permission denied"),
        (LIMITED, "user list", "permission denied"),
        ("", "get limited/a", nobody),
        ("alice:wrong", "get limited/a", "invalid user ID or password"),
    ] {
        let error = limited(user, words).unwrap_err();
        assert!(error.contains(refusal), "{version:?} {user} {words}: {error}");
    }
}

#[test]
fn etcdctl34() {
    with_and_without_users(Ctl::V34, Wire::Plain);
}

#[test]
fn etcdctl34_with_tls() {
    with_and_without_users(Ctl::V34, Wire::Tls);
}

#[test]
fn etcdctl35() {
    with_and_without_users(Ctl::V35, Wire::Plain);
}

#[test]
fn etcdctl35_with_tls() {
    with_and_without_users(Ctl::V35, Wire::Tls);
}

#[test]
fn etcdctl34_of_api_2() {
    if !are_there([Ctl::V34.program()]) {
        return;
    }
    for wire in [Wire::Plain, Wire::Tls] {
        let world = World::start(wire);
        for (words, expected) in API2 {
            let words = words.replace("NAME", "dir");
            let said = run(command(Ctl::V34, "2", world.arguments_of_api_2(), &words));
            let said = said.unwrap_or_else(|error| panic!("{wire:?} {words}: {error}"));
            let expected = expected.replace("NAME", "dir");
            assert!(said.contains(&expected), "{wire:?} {words}: {said}");
        }
    }
}
