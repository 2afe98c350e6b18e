//! Drills as users run them: the command line on real clusters, what is left behind when it is
//! stopped or killed, and whether a cluster that lies is found out.
//!
//! The lies are planted between the clients and a node, by proxies of this test: production code
//! has no switch for them.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

#[path = "drills/liar.rs"]
mod liar;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use liar::{Liar, Lie};
use playground::Home;
use playground::applications::Kind;
use playground::drill::{Drill, Progress, Report, Verdict, catalogue, run};
use serde_json::Value;
use support::{eventually, machine::Machine};
use tokio::sync::watch;

/// For a drill on a cluster of its own.
fn options(machine: &Machine) -> run::Options {
    run::Options {
        home: Home::new(machine.home.path()),
        program: Path::new(env!("CARGO_BIN_EXE_etcd-tui")).to_path_buf(),
        version: "test".into(),
        cluster: None,
        engine: Default::default(),
        seed: 1,
        application: None,
        detours: BTreeMap::new(),
    }
}

fn clusters(machine: &Machine) -> Vec<String> {
    let listed: Value = serde_json::from_str(&machine.ok(&["ls", "--json"])).unwrap();
    let names = listed.as_array().unwrap().iter();
    names.map(|it| it["cluster"].as_str().unwrap().to_string()).collect()
}

#[test]
fn killing_the_leader_is_survived_and_reported_in_every_form() {
    let machine = Machine::alone();
    let out = machine.home.path().join("out");
    let arguments = ["drill", "run", "kill-leader", "--ci", "--seed", "7", "--out"];
    let said = machine.ok(&[&arguments[..], &[out.to_str().unwrap()]].concat());
    assert!(said.starts_with("PASS"), "{said}");
    let read = |name: &str| fs::read_to_string(out.join(name)).unwrap();
    let report: Value = serde_json::from_str(&read("kill-leader.json")).unwrap();
    assert_eq!(report["schema_version"], 2);
    assert_eq!(report["drill"], "kill-leader");
    assert_eq!(report["engine"], "builtin");
    assert_eq!(report["verdict"], "PASS");
    assert_eq!(report["repeat"], "etcd-tui drill run kill-leader --seed 7");
    assert_eq!(report["consistency"]["equal_hashes"], 3);
    assert!(report["consistency"]["acknowledged_writes"].as_u64().unwrap() > 100);
    let outage = &report["table"].as_array().unwrap().iter().find(|row| row["what"] == "put");
    assert!(outage.unwrap()["outage_ms"].as_u64().unwrap() >= 100);
    assert!(read("kill-leader.md").contains("## Expected and observed"));
    assert!(read("kill-leader.html").contains("<svg"));
    assert!(read("kill-leader.junit.xml").contains("failures=\"0\""));
    let json = out.join("kill-leader.json");
    let both = [json.to_str().unwrap(), json.to_str().unwrap()];
    let compared = machine.ok(&["drill", "compare", both[0], both[1]]);
    assert!(compared.contains("| verdict | PASS | PASS |") && compared.contains("+0 ms"));
    assert!(clusters(&machine).is_empty(), "its own cluster is gone");
}

#[test]
fn who_stops_a_drill_gets_the_cluster_back_and_so_does_who_kills_it() {
    let machine = Machine::alone();
    machine.ok(&["up", "x", "--nodes", "3", "--detach"]);
    let broken = || machine.nodes("x").iter().any(|node| node["state"] != "running");
    let begin = || {
        let arguments = ["drill", "run", "kill-majority", "--cluster", "x", "--ci"];
        let child = machine.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
        eventually("the drill kills", || match broken() {
            true => Ok(()),
            false => Err("every node runs".into()),
        });
        child
    };
    let signal = |child: &std::process::Child, signal| {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    };
    let mut stopped = begin();
    signal(&stopped, nix::sys::signal::Signal::SIGINT);
    assert_eq!(stopped.wait().unwrap().code(), Some(130));
    assert!(!broken(), "it was rolled back");
    let mut killed = begin();
    signal(&killed, nix::sys::signal::Signal::SIGKILL);
    killed.wait().unwrap();
    let (status, said) = machine.run(&["drill", "run", "kill-leader", "--cluster", "x", "--ci"]);
    assert!(status == 3 && said.contains("drill rollback"), "{status}: {said}");
    let said = machine.ok(&["drill", "rollback"]);
    assert!(said.contains("kill-majority on cluster x is rolled back"), "{said}");
    assert!(!broken());
    assert!(machine.ok(&["drill", "rollback"]).contains("no drill was cut off"));
}

#[test]
fn what_is_no_drill_is_said_at_once() {
    let machine = Machine::alone();
    let (status, said) = machine.run(&["drill", "run", "nonsense"]);
    assert!(status == 2 && said.contains("drill list"), "{said}");
    let file = machine.home.path().join("wrong.toml");
    let text = catalogue::text("kill-leader").unwrap().replace("kill leader", "hug leader");
    fs::write(&file, text).unwrap();
    let (status, said) = machine.run(&["drill", "run", file.to_str().unwrap()]);
    assert!(status == 2 && said.contains("wrong.toml:") && said.contains("steps are"), "{said}");
    let listed: Value = serde_json::from_str(&machine.ok(&["drill", "list", "--json"])).unwrap();
    assert!(listed.as_array().unwrap().len() > 20);
    assert!(machine.ok(&["drill", "show", "kill-majority"]).contains("may be old"));
    let (status, said) = machine.run(&["drill", "run", "quota", "--cluster", "absent", "--ci"]);
    assert!(status == 3 && said.contains("absent"), "{status}: {said}");
}

#[test]
fn what_was_lost_is_restored_and_what_does_not_belong_stays_out() {
    let machine = Machine::alone();
    let said = machine.ok(&["drill", "run", "restore", "wrong-token", "--ci"]);
    assert_eq!(said.matches("PASS ").count(), 2, "{said}");
    // A cluster of somebody's is not for losing.
    machine.ok(&["up", "x", "--nodes", "1", "--detach"]);
    let (status, said) = machine.run(&["drill", "run", "restore", "--cluster", "x", "--ci"]);
    assert!(status == 4 && said.contains("loses all data on purpose"), "{status}: {said}");
    let (status, said) = machine.run(&["restore", "--cluster", "x"]);
    assert!(status == 1 && said.contains("stop all --cluster x"), "{status}: {said}");
}

/// Runs a drill on cluster `x` whose nodes are reached through liars.
fn lied_to(machine: &Machine, lie: Lie, drill: &str) -> Report {
    machine.ok(&["up", "x", "--nodes", "3", "--detach"]);
    let view: Value = serde_json::from_str(&machine.ok(&["ps", "x", "--json"])).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut detours = BTreeMap::new();
        for node in view["nodes"].as_array().unwrap() {
            let url = node["client_url"].as_str().unwrap();
            let liar = Liar::start(url, lie).await;
            detours.insert(node["name"].as_str().unwrap().to_string(), liar);
        }
        let options = run::Options { cluster: Some("x".into()), detours, ..options(machine) };
        carried_out(options, Drill::parse("planted.toml", drill).unwrap()).await
    })
}

async fn carried_out(options: run::Options, drill: Drill) -> Report {
    let (_go_on, stop) = watch::channel(false);
    let (tell, heard) = watch::channel(Progress::default());
    let report = run::run(options, drill, stop, &tell).await;
    let shown = heard.borrow().lanes.len();
    assert_eq!(shown, report.lanes.len(), "the last picture has all that was measured");
    report
}

#[tokio::test]
async fn of_all_drills_those_with_another_application_are_skipped_and_say_so() {
    let machine = Machine::alone();
    let drill = Drill::parse("election", catalogue::text("election").unwrap()).unwrap();
    let options = run::Options { application: Some(Kind::Lock), ..options(&machine) };
    let report = carried_out(options, drill).await;
    assert_eq!(report.verdict, Verdict::Skipped);
    assert_eq!(report.why, "it has an application of its own: election");
    assert!(clusters(&machine).is_empty());
}

/// A drill in which a member lies.
fn planted(id: &str, steps: &str) -> String {
    format!(
        r#"
id = "planted-{id}"
title = "A follower lies"
level = "advanced"
hypothesis = "It is found out."
teaches = "The history checker compares every read with what had finished before it began."
{steps}"#
    )
}

#[test]
fn a_member_that_answers_linearizable_reads_from_its_own_data_is_unsafe() {
    let machine = Machine::alone();
    let steps = r#"
[[step]]
do = "isolate follower"
[[step]]
do = "wait 3s"
"#;
    let report = lied_to(&machine, Lie::StaleReads, &planted("stale-read", steps));
    assert_eq!(report.verdict, Verdict::Unsafe, "{}: {:?}", report.why, report.steps);
    assert!(
        report.consistency.violations.iter().any(|it| it.contains("StaleRead")),
        "{}",
        report.why
    );
}

/// The link works, it is only long, and requests come seldom: what the follower holds is old only
/// for a while after each write. On a machine that has much to do an answer takes as long as the
/// delay, so it is a long one.
#[test]
fn a_member_that_answers_from_its_own_data_behind_a_slow_link_is_unsafe() {
    let machine = Machine::alone();
    let steps = r#"
[workload]
pace = "1s"
[[step]]
do = "pick follower"
as = "far"
[[step]]
do = "link leader>{far} delay 900"
[[step]]
do = "wait 5s"
"#;
    let report = lied_to(&machine, Lie::StaleReads, &planted("stale-read-behind-a-delay", steps));
    assert_eq!(report.verdict, Verdict::Unsafe, "{}: {:?}", report.why, report.steps);
    let shown = &report.consistency.violations;
    assert!(shown.iter().any(|it| it.contains("StaleRead")), "{shown:?}");
}

#[test]
fn a_write_that_is_acknowledged_before_it_is_committed_is_unsafe() {
    let machine = Machine::alone();
    let report = lied_to(&machine, Lie::EarlyAcks, catalogue::text("kill-leader").unwrap());
    assert_eq!(report.verdict, Verdict::Unsafe, "{}", report.why);
    let shown = &report.consistency.violations;
    assert!(shown.iter().any(|it| it.contains("LostWrite")), "{shown:?}");
}

#[test]
fn a_version_that_a_consumer_is_not_told_of_is_unsafe() {
    let machine = Machine::alone();
    let drill = r#"
id = "planted-silence"
title = "Some versions are not told"
level = "advanced"
hypothesis = "It is found out."
teaches = "A consumer counts the versions of its key, and so knows by itself that it missed one."
application = "configuration"
[workload]
pace = "500ms"
[[step]]
do = "await application versions at-least 8 within 30s"
"#;
    let report = lied_to(&machine, Lie::WithheldVersions, drill);
    assert_eq!(report.verdict, Verdict::Unsafe, "{}: {:?}", report.why, report.steps);
    assert!(report.consistency.violations.is_empty(), "the load was told everything");
    assert!(report.why.contains("missed 1 versions"), "{}", report.why);
    let found = report.application.expect("the application is reported");
    assert!(!found.held() && found.facts.iter().any(|it| it.name == "missed" && it.count > 0));
}

#[test]
fn a_lock_guards_nothing_until_the_resource_refuses_old_tokens() {
    let machine = Machine::alone();
    let out = machine.home.path().join("out");
    let arguments = ["drill", "run", "lock-without-fencing", "lock-with-fencing", "--ci", "--out"];
    machine.ok(&[&arguments[..], &[out.to_str().unwrap()]].concat());
    let count = |drill: &str, fact: &str| {
        let text = fs::read_to_string(out.join(format!("{drill}.json"))).unwrap();
        let report: Value = serde_json::from_str(&text).unwrap();
        let facts = report["application"]["facts"].as_array().unwrap().clone();
        let found = facts.iter().find(|it| it["name"] == fact).unwrap();
        found["count"].as_u64().unwrap()
    };
    assert!(count("lock-without-fencing", "lost-updates") > 0);
    assert_eq!(count("lock-with-fencing", "lost-updates"), 0);
    assert!(count("lock-with-fencing", "refused-writes") > 0);
    for ending in ["md", "html"] {
        let text = fs::read_to_string(out.join(format!("lock-with-fencing.{ending}"))).unwrap();
        assert!(text.contains("Application: fenced-lock") && text.contains("is refused"));
    }
    let junit = fs::read_to_string(out.join("lock-with-fencing.junit.xml")).unwrap();
    assert!(junit.contains("failures=\"0\"") && junit.contains("application fenced-lock"));
}

#[test]
fn an_application_uses_the_cluster_of_any_drill_or_of_none() {
    let machine = Machine::alone();
    let (status, said) =
        machine.run(&["drill", "run", "election", "--application", "lock", "--ci"]);
    assert!(status == 2 && said.contains("application of its own"), "{status}: {said}");
    machine.ok(&["up", "x", "--nodes", "3", "--detach"]);
    let arguments = ["drill", "run", "move-leader", "--application", "discovery"];
    let said = machine.ok(&[&arguments[..], &["--cluster", "x"]].concat());
    assert!(said.contains("application discovery: it held"), "{said}");
    assert!(said.contains("--cluster x --application discovery"), "the command to repeat it");
    let mut running = machine
        .command(&["app", "run", "election", "--cluster", "x"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let elected = lines.by_ref().map(Result::unwrap).any(|line| line.contains("is elected"));
    assert!(elected, "nobody was");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(running.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(running.wait().unwrap().code(), Some(0), "{rest:?}");
    assert!(rest.iter().any(|line| line == "election: it held"), "{rest:?}");
}
