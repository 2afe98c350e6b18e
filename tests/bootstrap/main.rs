//! How members come into being: the three ways to find the founders, joining, and how a
//! member is told all that. Real processes; where etcd can play the part, it plays it too, as
//! registry or as founder, so that the protocol is etcd's and not only ours.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod article;
mod discovery;
mod dns;
mod settings;
mod static_members;

use support::process::Process;
use support::tools::Engine;

/// A directory on disk for one test.
fn directory() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Members `n1`, `n2`, … that do not run yet.
fn members(engine: Engine, root: &tempfile::TempDir, count: usize) -> Vec<Process> {
    (1..=count).map(|number| Process::new(engine, root.path(), &format!("n{number}"))).collect()
}

/// All are healthy, know each other under their names, and hold what one of them wrote.
#[track_caller]
fn assert_one_cluster(members: &mut [Process]) {
    for member in members.iter_mut() {
        member.wait_healthy();
    }
    members[0].client().put("written by", "the first").unwrap();
    for member in members.iter() {
        let read = member.client().get("written by", false).unwrap();
        assert_eq!(read.as_deref(), Some("the first"), "{}", member.name);
    }
    let mut expected: Vec<(String, String)> =
        members.iter().map(|member| (member.name.clone(), member.peer_url())).collect();
    expected.sort();
    support::eventually("all members under their names", || {
        let listed = members[0].client().members()?;
        let mut listed: Vec<(String, String)> =
            listed.into_iter().map(|member| (member.name, member.peer_url)).collect();
        listed.sort();
        if listed == expected { Ok(()) } else { Err(format!("{listed:?}")) }
    });
}

/// `name=url,name=url`
fn listed(members: &[Process]) -> String {
    let pairs: Vec<String> =
        members.iter().map(|member| format!("{}={}", member.name, member.peer_url())).collect();
    pairs.join(",")
}
