//! Founders and joiners that are listed: the article's static way, what is refused, and the
//! replacement of a member that is lost, step by step as an operator does it.

use crate::support::etcdctl::Etcdctl;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::tools::{self, Ctl, Engine};
use crate::{assert_one_cluster, directory, listed, members};

const EXISTING: &str = "--initial-cluster-state=existing";

/// Founders that run.
fn founded(engine: Engine, root: &tempfile::TempDir, count: usize) -> (Vec<Process>, String) {
    let mut all = members(engine, root, count);
    let list = format!("--initial-cluster={}", listed(&all));
    for member in &mut all {
        member.start(&[&list, "--initial-cluster-token=etcd-cluster-1"]);
    }
    assert_one_cluster(&mut all);
    (all, list)
}

#[test]
fn what_does_not_fit_the_list_is_refused() {
    let root = directory();
    let mut member = Process::new(Engine::Ours, root.path(), "n1");
    let url = member.peer_url();
    let other = "--initial-cluster=other=http://127.0.0.1:1";
    member.refuses(
        &[other],
        "couldn't find local name \\\"n1\\\" in the initial cluster configuration",
    );
    member.refuses(
        &["--initial-cluster=n1=http://127.0.0.1:1"],
        "--initial-cluster has n1=http://127.0.0.1:1 but missing from \
         --initial-advertise-peer-urls=",
    );
    let twice = format!("--initial-cluster=n1={url},n2={url}");
    member.refuses(&[&twice], "has duplicate url");
    let one = format!("--initial-cluster=n1={url}");
    let two = format!("--initial-advertise-peer-urls={url},http://127.0.0.1:1");
    member.refuses(&[&one, &two], "but missing from --initial-cluster=");
    // By another name of the same place it is the same.
    let named = format!("--initial-cluster=n1={}", url.replace("127.0.0.1", "localhost"));
    member.start(&[&named]);
    member.wait_healthy();
}

#[test]
fn a_joiner_is_checked_against_the_members() {
    let root = directory();
    let (all, list) = founded(Engine::Ours, &root, 1);
    let mut joiner = Process::new(Engine::Ours, root.path(), "n2");
    let with = format!("{list},n2={}", joiner.peer_url());
    joiner.refuses(&[&with, EXISTING], "error validating peerURLs");
    joiner.refuses(&[&with, EXISTING], "the member count is unequal");
    // As many as there are, but not this one.
    let alone = format!("--initial-cluster=n2={}", joiner.peer_url());
    joiner.refuses(&[&alone, EXISTING], "cannot fetch cluster info from peer urls");
    eventually("a new member", || Ok(all[0].client().add_member(&joiner.peer_url(), false)?));
    joiner.start(&[&with, EXISTING]);
    joiner.wait_healthy();
}

/// Remove, add, clear, start: on ours and on etcd.
fn a_failed_member_is_replaced_by_hand(engine: Engine, version: Ctl) {
    if !tools::are_there([engine.program(), version.program()]) {
        return;
    }
    let root = directory();
    let (mut all, list) = founded(engine, &root, 3);
    all[1].kill();
    let ctl = Etcdctl::new(version, &[all[0].client_url()]);
    let dead = eventually("the dead member's id", || {
        let found = all[0].client().members()?.into_iter().find(|member| member.name == "n2");
        found.map(|member| format!("{:x}", member.id)).ok_or("it is not there".into())
    });
    let removed = eventually("the removal", || {
        let outcome = ctl.run(&["member", "remove", &dead]);
        if outcome.code == 0 { Ok(outcome.out) } else { Err(outcome.err) }
    });
    assert!(removed.starts_with(&format!("Member {dead} removed from cluster")), "{removed}");
    let peer = format!("--peer-urls={}", all[1].peer_url());
    let added = eventually("the addition", || {
        let outcome = ctl.run(&["member", "add", "n2", &peer]);
        if outcome.code == 0 { Ok(outcome.out) } else { Err(outcome.err) }
    });
    assert!(added.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\""), "{added}");
    // Started on its old data it is told that it was removed, and for good.
    all[1].start(&[&list, EXISTING]);
    all[1].wait_exit();
    assert!(all[1].log().contains("removed"), "{}", all[1].log());
    std::fs::remove_dir_all(&all[1].directory).unwrap();
    all[1].start(&[&list, EXISTING]);
    assert_one_cluster(&mut all);
    let kept = all[1].client().get("written by", false).unwrap();
    assert_eq!(kept.as_deref(), Some("the first"));
}

#[test]
fn a_failed_member_of_ours_is_replaced_by_hand() {
    a_failed_member_is_replaced_by_hand(Engine::Ours, Ctl::V34);
}

#[test]
fn a_failed_member_of_etcd_is_replaced_by_hand() {
    a_failed_member_is_replaced_by_hand(Engine::Etcd34, Ctl::V34);
}

/// The majority is lost for good: one member goes on alone, and its data with it.
fn one_member_goes_on_alone(engine: Engine) {
    if !tools::are_there([engine.program()]) {
        return;
    }
    let root = directory();
    let (mut all, list) = founded(engine, &root, 3);
    all[0].client().put("kept", "yes").unwrap();
    all[0].client().put("last", "yes").unwrap();
    eventually("the write on the member that stays", || {
        match all[2].client().get("last", true)?.as_deref() {
            Some("yes") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    for member in &mut all {
        member.kill();
    }
    let mut rest = all.split_off(2);
    rest[0].start(&[&list, "--force-new-cluster"]);
    rest[0].wait_healthy();
    let client = rest[0].client();
    assert_eq!(client.get("kept", false).unwrap().as_deref(), Some("yes"));
    if engine == Engine::Ours {
        // etcd forgets what the member has not heard to be committed, acknowledged or not.
        assert_eq!(client.get("last", false).unwrap().as_deref(), Some("yes"));
    }
    assert_eq!(client.members().unwrap().len(), 1);
    client.put("goes", "on").unwrap();
    // From then on it is an ordinary cluster of one.
    rest[0].kill();
    rest[0].start(&[&list]);
    rest[0].wait_healthy();
    assert_eq!(rest[0].client().get("goes", false).unwrap().as_deref(), Some("on"));
}

#[test]
fn one_member_of_ours_goes_on_alone() {
    one_member_goes_on_alone(Engine::Ours);
}

#[test]
fn one_member_of_etcd_goes_on_alone() {
    one_member_goes_on_alone(Engine::Etcd34);
}

/// A token keeps clusters apart whose members have the same addresses.
#[test]
fn a_token_makes_other_ids() {
    let root = directory();
    let mut ids = Vec::new();
    let mut member = Process::new(Engine::Ours, root.path(), "n1");
    let list = format!("--initial-cluster=n1={}", member.peer_url());
    for token in ["--initial-cluster-token=one", "--initial-cluster-token=two"] {
        member.start(&[&list, token]);
        member.wait_healthy();
        let status = member.client().status().unwrap();
        let header = status.header.unwrap();
        ids.push((header.cluster_id, header.member_id));
        member.kill();
        std::fs::remove_dir_all(&member.directory).unwrap();
    }
    assert!(ids[0].0 != ids[1].0 && ids[0].1 != ids[1].1, "{ids:x?}");
}
