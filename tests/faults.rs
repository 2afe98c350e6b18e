//! Real processes, really killed: what a cluster promises under faults.
//!
//! Each scenario ends with the same three checks: writes go on, no acknowledged write is
//! missing or changed, and the key space has one hash on all members. What makes sense on
//! etcd too is run on etcd 3.4 as well, so that the scenario itself is tested. Not on 3.5.1:
//! killed under load, that version now and then really loses writes on one member (etcd issue
//! 13766).

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

mod support;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use support::client::{Client, Member};
use support::cluster::Cluster;
use support::eventually;
use support::load::{self, Ack, Load};
use support::tools::{self, Engine};
use tokio_stream::StreamExt as _;

/// How many writes show that they go on.
const SOME: usize = 200;

const WRITERS: usize = 8;

/// How long a client of a stalled member waits.
const GIVE_UP: std::time::Duration = std::time::Duration::from_millis(50);

fn on_etcd(scenario: fn(Engine)) {
    if tools::are_there([Engine::Etcd34.program()]) {
        scenario(Engine::Etcd34);
    }
}

/// One test for us and one for etcd of each named scenario.
macro_rules! on_ours_and_etcd {
    ($($scenario:ident),+ $(,)?) => {
        mod ours {
            $(#[test] fn $scenario() { super::$scenario(super::Engine::Ours); })+
        }
        mod etcd {
            $(#[test] fn $scenario() { super::on_etcd(super::$scenario); })+
        }
    };
}

on_ours_and_etcd!(
    the_check_notices_what_it_must,
    the_leader_is_killed_under_load,
    all_are_killed_under_load,
    every_node_in_turn_is_killed_under_load,
    the_majority_is_down,
    a_dead_member_is_replaced,
    three_grow_to_five_through_learners,
    a_removed_member_stays_out,
    a_connection_outlives_a_stall,
);

/// A member that hangs for a moment finds requests whose clients gave up: that is no attack, and
/// what else its clients had open goes on.
fn a_connection_outlives_a_stall(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    client.put("a", "1").unwrap();
    client.block_on(async {
        let create = pb::WatchCreateRequest { key: "a".into(), ..Default::default() };
        let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The stream of requests stays open.
        let requests = tokio_stream::once(request).chain(tokio_stream::pending());
        let mut watch = WatchClient::new(client.channel()).watch(requests).await.unwrap();
        assert!(watch.get_mut().message().await.unwrap().unwrap().created);
        cluster.nodes[0].pause();
        let mut given_up = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let mut keys = KvClient::new(client.channel());
            let get = async move { keys.range(pb::RangeRequest::default()).await };
            given_up.spawn(tokio::time::timeout(GIVE_UP, get));
        }
        assert!(given_up.join_all().await.iter().all(Result::is_err));
        cluster.nodes[0].resume();
        let put = pb::PutRequest { key: "a".into(), value: "2".into(), ..Default::default() };
        KvClient::new(client.channel()).put(put).await.unwrap();
        let seen = watch.get_mut().message().await.unwrap().unwrap();
        assert_eq!(seen.events[0].kv.as_ref().unwrap().value, "2");
    });
}

/// Every running member holds every acknowledged write, and all have one hash.
#[track_caller]
fn assert_intact(cluster: &Cluster, acks: &[Ack]) {
    assert!(!acks.is_empty(), "nothing was written, so nothing was tested");
    let running = cluster.running();
    for index in &running {
        load::assert_kept(&cluster.client(*index), acks);
    }
    assert_equal_hashes(cluster, &running);
}

/// Asks all members for the hash at one revision all have reached.
fn assert_equal_hashes(cluster: &Cluster, members: &[usize]) {
    let hashes = eventually("hashes at one revision", || {
        let revision = cluster.client(members[0]).put("end of the test", "")?;
        members
            .iter()
            .map(|index| Ok(cluster.client(*index).hash_kv(revision)?))
            .collect::<Result<Vec<(u32, i64)>, String>>()
    });
    assert!(hashes.iter().all(|hash| *hash == hashes[0]), "hashes differ: {hashes:x?}");
}

/// A check that cannot fail proves nothing: each kind of loss, forged, must be noticed.
fn the_check_notices_what_it_must(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let load = Load::start(&cluster.endpoints(), 2);
    load.wait_for(20);
    let acks = load.stop();
    let client = cluster.client(0);
    load::assert_kept(&client, &acks);
    let last = acks.last().expect("a write").clone();
    let forged = [
        Ack { key: format!("{}-lost", last.key), ..last.clone() },
        Ack { value: "changed".into(), ..last.clone() },
        Ack { revision: last.revision - 1, ..last.clone() },
        last.clone(),
    ];
    for ack in forged {
        let told: Vec<Ack> = acks.iter().cloned().chain([ack.clone()]).collect();
        let check = std::panic::AssertUnwindSafe(|| load::assert_kept(&client, &told));
        assert!(std::panic::catch_unwind(check).is_err(), "{ack:?} was not noticed");
    }
}

fn the_leader_is_killed_under_load(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &[]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(SOME);
    let leader = cluster.leader();
    cluster.nodes[leader].kill();
    load.wait_for(SOME);
    assert_ne!(cluster.leader(), leader, "another leads now");
    cluster.restart(leader);
    load.wait_for(SOME);
    assert_intact(&cluster, &load.stop());
}

fn all_are_killed_under_load(engine: Engine) {
    // Snapshots and log truncation happen in the middle of it.
    let flags = ["--snapshot-count=300", "--max-request-bytes=100000"];
    let mut cluster = Cluster::start(engine, 3, &flags);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    for _ in 0..2 {
        load.wait_for(2 * SOME);
        for index in 0..3 {
            cluster.nodes[index].kill();
        }
        for index in 0..3 {
            cluster.spawn(index);
        }
        for node in &mut cluster.nodes {
            node.wait_healthy();
        }
    }
    load.wait_for(SOME);
    assert_intact(&cluster, &load.stop());
}

fn every_node_in_turn_is_killed_under_load(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &["--snapshot-count=200"]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    for index in 0..3 {
        load.wait_for(SOME);
        cluster.nodes[index].kill();
        load.wait_for(SOME);
        cluster.restart(index);
    }
    load.wait_for(SOME);
    assert_intact(&cluster, &load.stop());
}

fn the_majority_is_down(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &[]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(SOME);
    let acks = load.stop();
    let left = cluster.follower();
    load::assert_kept(&cluster.client(left), &acks);
    let down: Vec<usize> = (0..3).filter(|index| *index != left).collect();
    for index in &down {
        cluster.nodes[*index].kill();
    }
    let survivor = cluster.client(left);
    let known = &acks[0];
    for refused in
        [survivor.put("refused", "x").map(drop), survivor.get(&known.key, false).map(drop)]
    {
        let refusal = refused.expect_err("no quorum, no answer");
        assert_eq!(refusal.code, tonic::Code::Unavailable, "{refusal:?}");
        let texts = ["etcdserver: request timed out", "etcdserver: no leader"];
        assert!(texts.iter().any(|text| refusal.text.starts_with(text)), "{refusal:?}");
    }
    assert_eq!(survivor.get(&known.key, true), Ok(Some(known.value.clone())));
    let (status, body) = cluster.nodes[left].http("/health").expect("an answer");
    assert!(status == 503 && body.contains("\"false\""), "{status} {body}");
    for index in down {
        cluster.restart(index);
    }
    cluster.nodes[left].wait_healthy();
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(SOME);
    let mut all = acks;
    all.extend(load.stop());
    assert_intact(&cluster, &all);
}

/// The members by name and peer URL as a newcomer named `name` has to be told.
fn as_told(members: &[Member], name: &str) -> Vec<(String, String)> {
    let name_of = |member: &Member| match member.name.as_str() {
        "" => name.to_string(),
        known => known.to_string(),
    };
    members.iter().map(|member| (name_of(member), member.peer_url.clone())).collect()
}

/// Asks until the cluster has been whole for long enough to allow the change.
fn changed<T>(what: &str, change: impl Fn() -> Result<T, support::client::Refusal>) -> T {
    eventually(what, || Ok(change()?))
}

/// Adds a node as a learner, starts it and promotes it once it has caught up.
fn grow_by_one(cluster: &mut Cluster, client: &Client) -> usize {
    let index = cluster.add_node();
    let url = cluster.nodes[index].peer_url();
    let members = changed("a learner to be added", || client.add_member(&url, true));
    let learner = members.iter().find(|member| member.peer_url == url).expect("the learner").id;
    let name = cluster.nodes[index].name.clone();
    cluster.join(index, &as_told(&members, &name));
    eventually("the learner to be promoted", || {
        // Only the leader knows how far the learner is; etcd's others forward it.
        Ok(client.promote_member(learner)?)
    });
    cluster.nodes[index].wait_healthy();
    index
}

fn a_dead_member_is_replaced(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &["--snapshot-count=200"]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(2 * SOME);
    let dead = cluster.follower();
    let (id, _) = cluster.client(dead).leader().expect("a status");
    cluster.nodes[dead].kill();
    let client = cluster.client(cluster.leader());
    // First out with the dead one, then in with the new one: the quorum never grows on
    // account of somebody who is not there.
    changed("the dead member to be removed", || client.remove_member(id));
    let index = cluster.add_node();
    let url = cluster.nodes[index].peer_url();
    let members = changed("a new member to be added", || client.add_member(&url, false));
    assert_eq!(members.len(), 3);
    let name = cluster.nodes[index].name.clone();
    cluster.join(index, &as_told(&members, &name));
    cluster.nodes[index].wait_healthy();
    load.wait_for(SOME);
    assert_intact(&cluster, &load.stop());
}

fn three_grow_to_five_through_learners(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &["--snapshot-count=200"]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(2 * SOME);
    for _ in 0..2 {
        let client = cluster.client(cluster.leader());
        grow_by_one(&mut cluster, &client);
    }
    let members = cluster.client(0).members().expect("a list");
    assert_eq!(members.iter().filter(|member| !member.is_learner).count(), 5, "{members:?}");
    // Five bear the loss of two, the leader among them.
    let leader = cluster.leader();
    cluster.nodes[leader].kill();
    let follower = cluster.follower();
    cluster.nodes[follower].kill();
    load.wait_for(SOME);
    cluster.restart(leader);
    cluster.restart(follower);
    load.wait_for(SOME);
    assert_intact(&cluster, &load.stop());
}

fn a_removed_member_stays_out(engine: Engine) {
    let mut cluster = Cluster::start(engine, 3, &[]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(SOME);
    let removed = cluster.follower();
    let (id, _) = cluster.client(removed).leader().expect("a status");
    let client = cluster.client(cluster.leader());
    changed("the member to be removed", || client.remove_member(id));
    cluster.nodes[removed].wait_exit();
    // Started again on its old data it must not serve, and says why.
    cluster.spawn(removed);
    let status = cluster.nodes[removed].wait_exit();
    let log = cluster.nodes[removed].log();
    assert!(log.contains("removed"), "{log}");
    if engine == Engine::Ours {
        assert_eq!(status.code(), Some(1));
    }
    load.wait_for(SOME);
    assert_intact(&cluster, &load.stop());
}

/// The directory that holds the applied state is a view: it may vanish while a node is down.
#[test]
fn a_wiped_state_directory_is_rebuilt() {
    let flags = ["--snapshot-count=200"];
    let mut cluster = Cluster::start(Engine::Ours, 3, &flags);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    for index in 0..3 {
        load.wait_for(2 * SOME);
        cluster.nodes[index].kill();
        let state = cluster.nodes[index].directory.join("member/state");
        assert!(state.is_dir(), "{} is where the state is", state.display());
        std::fs::remove_dir_all(&state).expect("a wiped state directory");
        cluster.restart(index);
    }
    load.wait_for(SOME);
    assert_intact(&cluster, &load.stop());
}

/// All of them at once: nobody is left to copy from, only the logs and snapshots.
#[test]
fn all_state_directories_wiped_at_once_are_rebuilt() {
    let mut cluster = Cluster::start(Engine::Ours, 3, &["--snapshot-count=200"]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(4 * SOME);
    let acks = load.stop();
    for node in &mut cluster.nodes {
        node.kill();
        std::fs::remove_dir_all(node.directory.join("member/state")).expect("a wiped directory");
    }
    for index in 0..3 {
        cluster.spawn(index);
    }
    for node in &mut cluster.nodes {
        node.wait_healthy();
    }
    assert_intact(&cluster, &acks);
}

#[test]
fn a_second_process_on_a_data_directory_is_refused() {
    let cluster = Cluster::start(Engine::Ours, 1, &[]);
    // The same directory and name, but ports of its own.
    let ports: Vec<_> = (0..2).map(|_| support::ports::reserve()).collect();
    let (client, peer) = (
        format!("http://127.0.0.1:{}", ports[0].number),
        format!("http://127.0.0.1:{}", ports[1].number),
    );
    let output = cluster
        .command(0)
        .arg(format!("--listen-client-urls={client}"))
        .arg(format!("--advertise-client-urls={client}"))
        .arg(format!("--listen-peer-urls={peer}"))
        .output()
        .expect("a second process");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&cluster.nodes[0].pid().to_string()), "it names the holder: {said}");
    // The first one has not noticed.
    assert_eq!(cluster.client(0).put("k", "v"), Ok(2));
}

#[test]
fn sigterm_hands_leadership_over_and_ends_with_success() {
    let mut cluster = Cluster::start(Engine::Ours, 3, &[]);
    let load = Load::start(&cluster.endpoints(), WRITERS);
    load.wait_for(SOME);
    let leader = cluster.leader();
    let status = cluster.nodes[leader].stop();
    assert_eq!(status.code(), Some(0), "{}", cluster.nodes[leader].log());
    load.wait_for(SOME);
    cluster.restart(leader);
    assert_intact(&cluster, &load.stop());
}
