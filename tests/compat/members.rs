//! member list, add, update, promote, remove.

use crate::support::etcdctl::Etcdctl;
use crate::support::eventually;
use crate::support::tools::{Ctl, Engine};
use crate::{Setup, against_every_engine};

against_every_engine!(
    list_in_every_format,
    add_a_voter_and_join,
    add_a_learner_and_promote,
    a_learner_serves_little,
    update_the_peer_url,
    remove_a_member,
    the_five_second_rule,
    refusals,
);

#[test]
fn ours_that_joins_is_ready_at_once() {
    crate::run(Engine::Ours, Ctl::V35, a_member_that_joins_is_ready_at_once);
}

/// `member list` as rows of columns, the id without padding.
fn rows(ctl: &Etcdctl) -> Vec<Vec<String>> {
    let out = ctl.ok(&["member", "list"]);
    let row = |line: &str| {
        let mut columns: Vec<String> = line.split(", ").map(str::to_string).collect();
        columns[0] = id(&columns[0]);
        columns
    };
    out.lines().map(row).collect()
}

/// `member add`, repeated until the cluster has been connected long enough to allow it.
fn add(ctl: &Etcdctl, words: &[&str]) -> String {
    let words = [&["member", "add"], words].concat();
    eventually("a member to be added", || match ctl.run(&words) {
        done if done.code == 0 => Ok(done.out),
        refused => Err(refused.err),
    })
}

/// The member in `Member 8e9e05c52164694d added to cluster …`; `verb` must be what is said.
/// etcdctl pads ids with blanks in one place, zeros in another, and not at all in a third.
fn member_in(out: &str, verb: &str) -> String {
    let words: Vec<&str> = out.split_whitespace().collect();
    assert_eq!((words[0], words[2]), ("Member", verb), "{out}");
    id(words[1])
}

/// An id without padding.
fn id(padded: &str) -> String {
    let number = u64::from_str_radix(padded.trim(), 16);
    format!("{:x}", number.unwrap_or_else(|error| panic!("{padded:?}: {error}")))
}

/// Names and peer URLs for the newcomer's --initial-cluster.
fn with_newcomer(ctl: &Etcdctl, name: &str) -> Vec<(String, String)> {
    let named = |row: Vec<String>| match row[2].as_str() {
        "" => (name.to_string(), row[3].clone()),
        known => (known.to_string(), row[3].clone()),
    };
    rows(ctl).into_iter().map(named).collect()
}

fn list_in_every_format(setup: Setup) {
    let (cluster, ctl) = setup.start(3, &[]);
    let mut rows = rows(&ctl);
    rows.sort_by_key(|row| row[2].clone());
    for (row, node) in rows.iter().zip(&cluster.nodes) {
        assert_eq!(
            row[1..],
            ["started", &node.name, &node.peer_url(), &node.client_url(), "false"]
        );
    }
    let json = ctl.json(&["member", "list"]);
    let members = json["members"].as_array().unwrap();
    assert_eq!(members.len(), 3);
    for row in &rows {
        let member = members.iter().find(|member| member["name"] == row[2].as_str()).unwrap();
        assert_eq!(format!("{:x}", member["ID"].as_u64().unwrap()), row[0]);
        assert_eq!(member["peerURLs"], serde_json::json!([row[3]]));
        assert_eq!(member["clientURLs"], serde_json::json!([row[4]]));
        assert!(member.get("isLearner").is_none(), "{member}");
    }
    // The list of members has no revision.
    assert!(json["header"].get("revision").is_none(), "{json}");
    assert!(json["header"]["raft_term"].as_u64().unwrap() > 0);
    let table = ctl.ok(&["member", "list", "-w", "table"]);
    assert!(table.contains("| IS LEARNER |") && table.lines().count() == 7, "{table}");
    let fields = ctl.ok(&["member", "list", "-w", "fields"]);
    assert!(fields.contains("\"Name\" : \"n2\"") && fields.contains("\"IsLearner\" : false"));
}

fn add_a_voter_and_join(setup: Setup) {
    let (mut cluster, _) = setup.single();
    let ctl = setup.client_of(&cluster, 0);
    ctl.ok(&["put", "k", "v"]);
    let index = cluster.add_node();
    let url = cluster.nodes[index].peer_url();
    let out = add(&ctl, &["n2", &format!("--peer-urls={url}")]);
    assert!(out.contains("ETCD_NAME=\"n2\""), "{out}");
    assert!(out.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\""), "{out}");
    assert!(out.contains(&format!("n2={url}")), "{out}");
    let members =
        vec![("n1".to_string(), cluster.nodes[0].peer_url()), ("n2".to_string(), url.clone())];
    cluster.join(index, &members);
    cluster.nodes[index].wait_healthy();
    let joined = setup.client_of(&cluster, index);
    assert_eq!(joined.ok(&["get", "k"]), "k\nv\n");
    let rows = eventually("both members started", || match rows(&joined) {
        rows if rows.iter().all(|row| row[1] == "started") => Ok(rows),
        rows => Err(format!("{rows:?}")),
    });
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter().any(|row| row[0] == member_in(&out, "added") && row[2] == "n2"),
        "{rows:?}"
    );
}

/// What a member proposes when it starts may be in the snapshot it begins by. Its time limit for
/// requests is longer here than a test waits.
fn a_member_that_joins_is_ready_at_once(setup: Setup) {
    let (mut cluster, _) = setup.single();
    let ctl = setup.client_of(&cluster, 0);
    let index = cluster.add_node();
    let url = cluster.nodes[index].peer_url();
    add(&ctl, &["n2", &format!("--peer-urls={url}")]);
    let members = vec![("n1".to_string(), cluster.nodes[0].peer_url()), ("n2".to_string(), url)];
    cluster.nodes[index].flags.push("--election-timeout=50000".to_owned());
    cluster.join(index, &members);
    eventually("the ready line", || match cluster.nodes[index].log() {
        log if log.contains("ready to serve client requests") => Ok(()),
        log => Err(log),
    });
}

fn add_a_learner_and_promote(setup: Setup) {
    let (mut cluster, _) = setup.single();
    let ctl = setup.client_of(&cluster, 0);
    ctl.ok(&["put", "k", "v"]);
    let index = cluster.add_node();
    let peer_urls = format!("--peer-urls={}", cluster.nodes[index].peer_url());
    let out = add(&ctl, &["n2", &peer_urls, "--learner"]);
    let id = member_in(&out, "added");
    let unstarted = rows(&ctl).into_iter().find(|row| row[0] == id).unwrap();
    assert_eq!((unstarted[1].as_str(), unstarted.last().unwrap().as_str()), ("unstarted", "true"));
    ctl.run(&["member", "promote", &id]).refused(
        "FailedPrecondition",
        "etcdserver: can only promote a learner member which is in sync with leader",
    );
    let other = cluster.add_node();
    let other_urls = format!("--peer-urls={}", cluster.nodes[other].peer_url());
    ctl.run(&["member", "add", "n3", &other_urls, "--learner"])
        .refused("FailedPrecondition", "etcdserver: too many learner members in cluster");
    let members = with_newcomer(&ctl, "n2");
    cluster.join(index, &members);
    let out =
        eventually("the learner to be promoted", || match ctl.run(&["member", "promote", &id]) {
            done if done.code == 0 => Ok(done.out),
            refused => Err(refused.err),
        });
    assert_eq!(member_in(&out, "promoted"), id);
    cluster.nodes[index].wait_healthy();
    let rows = rows(&ctl);
    assert!(rows.iter().all(|row| row.last().unwrap() == "false"), "{rows:?}");
    ctl.run(&["member", "promote", &id])
        .refused("FailedPrecondition", "etcdserver: can only promote a learner member");
}

fn a_learner_serves_little(setup: Setup) {
    let (mut cluster, _) = setup.single();
    let ctl = setup.client_of(&cluster, 0);
    ctl.ok(&["put", "k", "v"]);
    let index = cluster.add_node();
    let peer_urls = format!("--peer-urls={}", cluster.nodes[index].peer_url());
    add(&ctl, &["n2", &peer_urls, "--learner"]);
    let members = with_newcomer(&ctl, "n2");
    cluster.join(index, &members);
    let learner = setup.client_of(&cluster, index);
    // etcdctl 3.4 writes its one word before it knows; only the refusal's text counts.
    eventually("the learner to answer", || {
        let outcome = learner.with_timeout("3s").run(&["put", "k", "w"]);
        match outcome.err.contains("etcdserver: rpc not supported for learner") {
            true => Ok(()),
            false => Err(outcome.err),
        }
    });
    let outcome = learner.with_timeout("3s").run(&["get", "k"]);
    assert!(outcome.err.contains("etcdserver: rpc not supported for learner"), "{outcome:?}");
    eventually("the learner to catch up", || {
        match learner.run(&["get", "k", "--consistency=s"]).out.as_str() {
            "k\nv\n" => Ok(()),
            other => Err(other.to_string()),
        }
    });
    let status = learner.json(&["endpoint", "status"]);
    assert_eq!(status[0]["Status"]["isLearner"], true, "{status}");
}

fn update_the_peer_url(setup: Setup) {
    let (_cluster, ctl) = setup.single();
    let id = rows(&ctl)[0][0].clone();
    let out = ctl.ok(&["member", "update", &id, "--peer-urls=http://127.0.0.1:1"]);
    assert_eq!(member_in(&out, "updated"), id);
    assert_eq!(rows(&ctl)[0][3], "http://127.0.0.1:1");
}

fn remove_a_member(setup: Setup) {
    let (mut cluster, ctl) = setup.start(3, &[]);
    ctl.ok(&["put", "k", "v"]);
    let follower = cluster.follower();
    let name = cluster.nodes[follower].name.clone();
    let id = rows(&ctl).into_iter().find(|row| row[2] == name).unwrap()[0].clone();
    let left: Vec<String> = (0..3)
        .filter(|index| *index != follower)
        .map(|index| cluster.nodes[index].client_url())
        .collect();
    let others = Etcdctl::new(setup.ctl, &left);
    let out =
        eventually("the member to be removed", || match others.run(&["member", "remove", &id]) {
            done if done.code == 0 => Ok(done.out),
            refused => Err(refused.err),
        });
    assert_eq!(member_in(&out, "removed"), id);
    assert_eq!(rows(&others).len(), 2);
    // It learns of it and leaves by itself.
    cluster.nodes[follower].wait_exit();
    assert_eq!(others.ok(&["get", "k"]), "k\nv\n");
    others
        .run(&["member", "remove", &id])
        .failed(1, "rpc error: code = NotFound desc = etcdserver: member not found");
}

fn the_five_second_rule(setup: Setup) {
    let (mut cluster, ctl) = setup.start(3, &[]);
    // A follower that comes back is connected for less than five seconds: no change is
    // allowed that needs it. Restarting both makes it certain.
    for index in 0..3 {
        cluster.nodes[index].kill();
    }
    for index in 0..3 {
        cluster.spawn(index);
    }
    for index in 0..3 {
        cluster.nodes[index].wait_healthy();
    }
    let words = ["member", "add", "n4", "--peer-urls=http://127.0.0.1:1"];
    ctl.run(&words).refused("Unavailable", "etcdserver: unhealthy cluster");
    add(&ctl, &words[2..]);
    assert_eq!(rows(&ctl).len(), 4);
}

fn refusals(setup: Setup) {
    let (cluster, ctl) = setup.single();
    let own = format!("--peer-urls={}", cluster.nodes[0].peer_url());
    let id = rows(&ctl)[0][0].clone();
    let missing = "etcdserver: member not found";
    ctl.run(&["member", "remove", "1234"]).refused("NotFound", missing);
    ctl.run(&["member", "promote", "1234"]).refused("NotFound", missing);
    ctl.run(&["member", "update", "1234", "--peer-urls=http://127.0.0.1:1"])
        .refused("NotFound", missing);
    ctl.run(&["member", "add", "n2", &own])
        .refused("FailedPrecondition", "etcdserver: Peer URLs already exists");
    ctl.run(&["member", "promote", &id])
        .refused("FailedPrecondition", "etcdserver: can only promote a learner member");
    // etcd's code for the last voter differs between versions; the text does not.
    ctl.run(&["member", "remove", &id])
        .failed(1, "re-configuration failed due to not enough started members");
    assert_eq!(rows(&ctl).len(), 1);
}
