//! An article on etcd, followed command by command as its reader types them: three nodes by a
//! fixed list, one that fails and is replaced, and what is healthy when. `etcdctl` is 3.4's,
//! with the v2 API that was its default then, and with v3.
//!
//! The article's other two ways to a cluster are `discovery` and `dns` beside this file.

use crate::support::etcdctl::Etcdctl;
use crate::support::eventually;
use crate::support::process::Process;
use crate::support::tools::{self, Ctl, Engine};
use crate::{directory, listed};

/// The words of the article, of which the test chose only the ports.
fn start(member: &mut Process, list: &str, state: &str) {
    let words = [
        format!("--initial-cluster={list}"),
        format!("--initial-cluster-state={state}"),
        "--initial-cluster-token=etcd-cluster-1".to_owned(),
        format!("--wal-dir={}", member.directory.with_extension("wal").display()),
        "--enable-v2=true".to_owned(),
    ];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    member.start(&words);
}

/// Asks until the cluster is said to be so; a dead member is noticed after a moment.
fn wait_health(ctl: &Etcdctl, healthy: usize, verdict: &str) {
    eventually(verdict, || {
        let said = ctl.run(&["cluster-health"]);
        let all = format!("{}{}", said.out, said.err);
        let count = all.matches(" is healthy: got healthy result from ").count();
        let right = count == healthy && all.contains(verdict);
        right.then_some(()).ok_or(all)
    });
}

fn from_top_to_bottom(engine: Engine) {
    if !tools::are_there([engine.program(), Ctl::V34.program()]) {
        return;
    }
    let root = directory();
    let names = ["infra0", "infra1", "infra2"];
    let mut infra: Vec<Process> =
        names.iter().map(|name| Process::new(engine, root.path(), name)).collect();
    let list = listed(&infra);
    infra.iter_mut().for_each(|member| start(member, &list, "new"));
    infra.iter_mut().for_each(Process::wait_healthy);
    let urls: Vec<String> = infra.iter().map(Process::client_url).collect();
    let (v2, v3) = (Etcdctl::of_v2(Ctl::V34, &urls), Etcdctl::new(Ctl::V34, &urls));
    assert_eq!(v2.ok(&["member", "list"]).lines().count(), 3);
    wait_health(&v2, 3, "cluster is healthy");
    v2.ok(&["set", "/service/web", "10.0.0.1"]);
    v3.ok(&["put", "config", "blue"]);

    // One member down: reads and writes work.
    infra[1].kill();
    wait_health(&v2, 2, "cluster is degraded");
    v2.ok(&["set", "/service/web", "10.0.0.2"]);
    v3.ok(&["put", "config", "green"]);
    assert_eq!(v2.ok(&["get", "/service/web"]), "10.0.0.2\n");

    // It has failed for good and is replaced.
    let members = v2.ok(&["member", "list"]);
    let dead = members.lines().find(|line| line.contains("name=infra1")).unwrap();
    let id = dead.split([':', '[']).next().unwrap();
    let removed = eventually("the removal", || match v2.run(&["member", "remove", id]) {
        done if done.code == 0 => Ok(done.out),
        refused => Err(refused.err),
    });
    assert_eq!(removed, format!("Removed member {id} from cluster\n"));
    let url = infra[1].peer_url();
    let added = eventually("the addition", || match v2.run(&["member", "add", "infra1", &url]) {
        done if done.code == 0 => Ok(done.out),
        refused => Err(refused.err),
    });
    assert!(added.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\""), "{added}");
    for gone in [infra[1].directory.clone(), infra[1].directory.with_extension("wal")] {
        std::fs::remove_dir_all(gone).unwrap();
    }
    start(&mut infra[1], &list, "existing");
    infra[1].wait_healthy();
    wait_health(&v2, 3, "cluster is healthy");

    // Two members down: the one that is left reads what it has, and writes nothing.
    eventually("the newcomer to hold everything", || {
        match infra[1].client().get("config", true)?.as_deref() {
            Some("green") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    infra[0].kill();
    infra[2].kill();
    let alone = Etcdctl::new(Ctl::V34, &[infra[1].client_url()]).with_timeout("2s");
    assert_ne!(alone.run(&["put", "config", "red"]).code, 0);
    assert_eq!(alone.ok(&["get", "config", "--consistency=s", "--print-value-only"]), "green\n");
    wait_health(&v2, 0, "cluster is unavailable");

    // The majority is back.
    start(&mut infra[0], &list, "new");
    start(&mut infra[2], &list, "new");
    infra.iter_mut().for_each(Process::wait_healthy);
    wait_health(&v2, 3, "cluster is healthy");
    assert_eq!(v2.ok(&["get", "/service/web"]), "10.0.0.2\n");
    v3.ok(&["put", "config", "yellow"]);
}

#[test]
fn the_article_works_on_ours() {
    from_top_to_bottom(Engine::Ours);
}

#[test]
fn the_article_works_on_etcd() {
    from_top_to_bottom(Engine::Etcd34);
}
