//! Backups: from any engine into any engine, with the restoring tool of the one that is to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::etcdctl::Etcdctl;
use crate::support::eventually;
use crate::support::tools::{self, Ctl, Engine};

/// From where to where, with how many nodes, and more words for the restoring tool.
struct Way<'a> {
    from: Engine,
    to: Engine,
    nodes: usize,
    more: &'a [&'a str],
}

/// What a client sees of the data.
#[derive(Debug, PartialEq)]
struct Facts {
    keys: Value,
    old: Value,
    leased: Value,
    lease_ttl: Value,
}

fn facts(ctl: &Etcdctl, lease: &str) -> Facts {
    let leased = ctl.json(&["lease", "timetolive", lease, "--keys"]);
    Facts {
        keys: ctl.json(&["get", "", "--prefix"])["kvs"].clone(),
        old: ctl.json(&["get", "k", "--prefix", "--rev=60"])["kvs"].clone(),
        lease_ttl: leased["granted-ttl"].clone(),
        leased: leased["keys"].clone(),
    }
}

fn revision(ctl: &Etcdctl) -> i64 {
    ctl.json(&["get", "nothing"])["header"]["revision"].as_i64().unwrap()
}

/// Puts, deletions, a transaction, a large value, a lease, and a compaction at 50.
fn fill(ctl: &Etcdctl) -> String {
    for number in 0..80 {
        ctl.ok(&["put", &format!("k{:02}", number % 30), &format!("v{number}")]);
    }
    ctl.ok(&["del", "k03"]);
    ctl.ok(&["del", "k1", "--prefix"]);
    ctl.run_with(&["txn"], b"\nput a 1\nput b 2\ndel k04\n\n\n").ok();
    ctl.run_with(&["put", "large"], &vec![b'x'; 300_000]).ok();
    let lease = crate::lease::grant(ctl, 6_000);
    ctl.ok(&["put", "leased", "x", "--lease", &lease]);
    ctl.ok(&["compaction", "50"]);
    lease
}

/// The program that restores for an engine, and its first words.
fn restorer(engine: Engine) -> (PathBuf, Vec<&'static str>) {
    match engine {
        Engine::Ours => (engine.program().unwrap(), vec!["snapshot", "restore"]),
        Engine::Etcd36 | Engine::Etcd35 => (tools::etcdutl().unwrap(), vec!["snapshot", "restore"]),
        Engine::Etcd34 => (Ctl::V34.program().unwrap(), vec!["snapshot", "restore"]),
    }
}

fn run(command: &mut Command) -> Result<String, String> {
    let output = command.env("ETCDCTL_API", "3").output().expect("a program that starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{} {}", output.status, text(&output.stderr)))
    }
}

/// Restores all nodes of a new cluster from a file, and starts them.
fn restored(engine: Engine, nodes: usize, file: &Path, more: &[&str]) -> Cluster {
    let mut cluster = Cluster::prepare(engine, nodes, &[]);
    for index in 0..nodes {
        let (program, words) = restorer(engine);
        let flags = cluster.restore_flags(index);
        run(Command::new(program).args(words).arg(file).args(flags).args(more)).unwrap();
        cluster.spawn(index);
    }
    for node in &mut cluster.nodes {
        node.wait_healthy();
    }
    cluster
}

fn ours(words: &[&str]) -> Result<String, String> {
    run(Command::new(Engine::Ours.program().unwrap()).args(words))
}

/// Saves with the etcdctl that fits, and compares the file's status with what its tools say.
fn save(cluster: &Cluster, file: &Path) {
    let ctl = match cluster.engine {
        Engine::Etcd34 => Ctl::V34,
        _ => Ctl::V35,
    };
    let client = Etcdctl::new(ctl, &cluster.endpoints()[..1]);
    let text = file.to_str().unwrap();
    client.ok(&["snapshot", "save", text]);
    let says = ours(&["snapshot", "status", text, "-w", "json"]).unwrap();
    let says: Value = serde_json::from_str(&says).unwrap();
    let etcdutl = tools::etcdutl().unwrap();
    let they = run(Command::new(etcdutl).args(["snapshot", "status", text, "-w", "json"])).unwrap();
    let they: Value = serde_json::from_str(&they).unwrap();
    // 3.5 counts versions of keys, later ones count keys.
    for field in ["hash", "revision", "totalSize"] {
        assert_eq!(says[field], they[field], "{field}");
    }
}

fn goes(way: &Way) {
    if !tools::are_there([
        way.from.program(),
        way.to.program(),
        tools::etcdutl(),
        Ctl::V34.program(),
        Ctl::V35.program(),
    ]) {
        return;
    }
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = temp.path().join("snapshot.db");
    let source = Cluster::start(way.from, 1, &[]);
    let ctl = Etcdctl::new(Ctl::V35, &source.endpoints());
    let lease = fill(&ctl);
    save(&source, &file);
    let (before, at) = (facts(&ctl, &lease), revision(&ctl));
    drop(source);

    let target = restored(way.to, way.nodes, &file, way.more);
    let ctl = Etcdctl::new(Ctl::V35, &target.endpoints());
    let members = ctl.json(&["member", "list"])["members"].as_array().unwrap().len();
    assert_eq!(members, way.nodes);
    if way.more.is_empty() {
        assert_eq!(facts(&ctl, &lease), before);
        assert_eq!(revision(&ctl), at);
        ctl.run(&["get", "k00", "--rev=49"])
            .refused("OutOfRange", "etcdserver: mvcc: required revision has been compacted");
    } else {
        assert_eq!(revision(&ctl), at + 1_000_000);
        assert_eq!(ctl.json(&["get", "", "--prefix"])["kvs"], before.keys);
        // Who watched the cluster that was must notice.
        let mut watch = ctl.spawn(&["watch", "k", "--prefix", &format!("--rev={}", at + 1)]);
        watch.until("required revision has been compacted");
    }
    ctl.ok(&["put", "after", "x"]);
    ctl.ok(&["lease", "revoke", &lease]);
    assert_eq!(ctl.ok(&["get", "leased"]), "");
    hashes_agree(&target);
}

/// All nodes reach the same revision and hold the same there.
fn hashes_agree(cluster: &Cluster) {
    eventually("nodes that agree", || {
        let hash = |index: usize| {
            let client = cluster.client(index);
            let at = client.status().map_err(String::from)?.header.expect("a header").revision;
            Ok::<_, String>((at, client.hash_kv(0).map_err(String::from)?))
        };
        let hashes = (0..cluster.nodes.len()).map(hash).collect::<Result<Vec<_>, _>>()?;
        let agree = hashes.iter().all(|other| *other == hashes[0]);
        agree.then_some(()).ok_or(format!("{hashes:?}"))
    });
}

const PLAIN: &[&str] = &[];
const RAISED: &[&str] = &["--bump-revision=1000000", "--mark-compacted"];

#[test]
fn ours_into_etcd35() {
    goes(&Way { from: Engine::Ours, to: Engine::Etcd35, nodes: 1, more: PLAIN });
}

#[test]
fn ours_into_etcd34() {
    goes(&Way { from: Engine::Ours, to: Engine::Etcd34, nodes: 1, more: PLAIN });
}

#[test]
fn etcd35_into_three_of_ours() {
    goes(&Way { from: Engine::Etcd35, to: Engine::Ours, nodes: 3, more: PLAIN });
}

#[test]
fn etcd34_into_three_of_ours() {
    goes(&Way { from: Engine::Etcd34, to: Engine::Ours, nodes: 3, more: PLAIN });
}

#[test]
fn ours_into_three_of_ours_with_a_raised_revision() {
    goes(&Way { from: Engine::Ours, to: Engine::Ours, nodes: 3, more: RAISED });
}

fn users_and_roles_go(from: Engine, to: Engine) {
    if !tools::are_there([from.program(), to.program(), tools::etcdutl(), Ctl::V35.program()]) {
        return;
    }
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = temp.path().join("snapshot.db");
    let text = file.to_str().unwrap();
    let source = Cluster::start(from, 1, &[]);
    let ctl = Etcdctl::new(Ctl::V35, &source.endpoints());
    ctl.ok(&["put", "k1", "v"]);
    ctl.ok(&["user", "add", "root:secret"]);
    ctl.ok(&["user", "grant-role", "root", "root"]);
    ctl.ok(&["role", "add", "reader"]);
    ctl.ok(&["role", "grant-permission", "reader", "read", "k", "--prefix"]);
    ctl.ok(&["user", "add", "ann:pass"]);
    ctl.ok(&["user", "grant-role", "ann", "reader"]);
    ctl.ok(&["user", "add", "--no-password", "certified"]);
    ctl.ok(&["auth", "enable"]);
    ctl.run(&["snapshot", "save", text]).failed(5, "user name is empty");
    ctl.ok(&["--user", "root:secret", "snapshot", "save", text]);
    drop(source);

    let mut target = Cluster::prepare(to, 1, &[]);
    let (program, words) = restorer(to);
    let flags = target.restore_flags(0);
    run(Command::new(program).args(words).arg(&file).args(flags)).unwrap();
    target.spawn(0);
    let ctl = Etcdctl::new(Ctl::V35, &target.endpoints());
    eventually("users in force", || {
        let outcome = ctl.run(&["--user", "ann:pass", "get", "k1"]);
        if outcome.code == 0 { Ok(()) } else { Err(outcome.err) }
    });
    assert_eq!(ctl.ok(&["--user", "ann:pass", "get", "k1"]), "k1\nv\n");
    ctl.run(&["--user", "ann:pass", "put", "k1", "w"])
        .refused("PermissionDenied", "etcdserver: permission denied");
    ctl.run(&["get", "k1"]).refused("InvalidArgument", "etcdserver: user name is empty");
    let root = ["--user", "root:secret"];
    let said = |words: &[&str]| ctl.ok(&[&root[..], words].concat());
    assert_eq!(said(&["user", "list"]), "ann\ncertified\nroot\n");
    assert!(said(&["role", "get", "reader"]).contains("[k, l) (prefix k)"));
    said(&["put", "k1", "w"]);
}

#[test]
fn users_of_ours_go_into_etcd35() {
    users_and_roles_go(Engine::Ours, Engine::Etcd35);
}

#[test]
fn users_of_etcd35_go_into_ours() {
    users_and_roles_go(Engine::Etcd35, Engine::Ours);
}

#[test]
fn the_database_of_a_stopped_etcd_is_taken_without_its_hash() {
    if !tools::are_there([Engine::Etcd35.program(), Ctl::V35.program()]) {
        return;
    }
    let mut source = Cluster::start(Engine::Etcd35, 1, &[]);
    let ctl = Etcdctl::new(Ctl::V35, &source.endpoints());
    let lease = fill(&ctl);
    let (before, at) = (facts(&ctl, &lease), revision(&ctl));
    source.nodes[0].stop();
    let file = source.nodes[0].directory.join("member/snap/db");
    let target = Cluster::prepare(Engine::Ours, 1, &[]);
    let mut words = vec!["snapshot".to_owned(), "restore".into(), file.display().to_string()];
    words.extend(target.restore_flags(0));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let refused = ours(&words).unwrap_err();
    assert!(refused.contains("snapshot missing hash but --skip-hash-check=false"), "{refused}");
    let target = restored(Engine::Ours, 1, &file, &["--skip-hash-check"]);
    let ctl = Etcdctl::new(Ctl::V35, &target.endpoints());
    assert_eq!((facts(&ctl, &lease), revision(&ctl)), (before, at));
}

#[test]
fn a_stopped_member_is_exported_and_restored() {
    if !tools::are_there([Ctl::V35.program()]) {
        return;
    }
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = temp.path().join("export.db");
    let text = file.to_str().unwrap();
    let mut source = Cluster::start(Engine::Ours, 1, &[]);
    let ctl = Etcdctl::new(Ctl::V35, &source.endpoints());
    let lease = fill(&ctl);
    let (before, at) = (facts(&ctl, &lease), revision(&ctl));
    let directory = source.nodes[0].directory.to_str().unwrap().to_owned();
    let words = ["snapshot", "export", text, "--format", "etcd", "--data-dir", &directory];
    let refused = ours(&words).unwrap_err();
    assert!(refused.contains("is in use by process"), "{refused}");
    // A crash: what was acknowledged is in the log alone.
    source.nodes[0].kill();
    ours(&words).unwrap();
    assert!(ours(&words).unwrap_err().contains("File exists"));
    let target = restored(Engine::Ours, 1, &file, &[]);
    let after = Etcdctl::new(Ctl::V35, &target.endpoints());
    assert_eq!((facts(&after, &lease), revision(&after)), (before, at));
    // The member itself is as it was.
    source.restart(0);
    assert_eq!(revision(&ctl), at);
}

#[test]
fn snapshot_save_of_ours_keeps_nothing_that_is_not_whole() {
    let temp = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = temp.path().join("s.db");
    let text = file.to_str().unwrap();
    let cluster = Cluster::start(Engine::Ours, 1, &[]);
    let url = cluster.nodes[0].client_url();
    cluster.client(0).put("k", "v").unwrap();
    let said = ours(&["snapshot", "save", text, "--endpoints", &url]).unwrap();
    assert_eq!(said, format!("Snapshot saved at {text}\nServer version 3.6.0\n"));
    let several = ours(&["snapshot", "save", text, "--endpoints", &format!("{url},{url}")]);
    let several = several.unwrap_err();
    assert!(several.contains("snapshot must be requested to one selected node"), "{several}");
    drop(cluster);
    ours(&["snapshot", "save", text, "--endpoints", &url]).unwrap_err();
    let names: Vec<_> = std::fs::read_dir(temp.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "{names:?}");

    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let data_dir = temp.path().join("data").display().to_string();
    let refused = ours(&["snapshot", "restore", text, "--data-dir", &data_dir]).unwrap_err();
    assert!(refused.contains("expected sha256"), "{refused}");
}
