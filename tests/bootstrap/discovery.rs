//! Founders that find each other through a registry, v2 and v3.

use proto::etcdserverpb as pb;
use proto::etcdserverpb::auth_client::AuthClient;

use crate::support::process::Process;
use crate::support::tools::{self, Engine};
use crate::{assert_one_cluster, directory, members};

/// etcd 3.4 would become a proxy otherwise.
const EXIT: &str = "--discovery-fallback=exit";
const TOKEN: &str = "6c007a14875d53d9bf0ef5a6fc0257c817f0fb83";

/// A server of the v2 API with a cluster of `size` announced.
fn registry_v2(engine: Engine, root: &tempfile::TempDir, size: &str) -> (Process, String) {
    let mut registry = Process::new(engine, root.path(), "registry");
    let own = format!("--initial-cluster=registry={}", registry.peer_url());
    registry.start(&[&own, "--enable-v2"]);
    registry.wait_healthy();
    let path = format!("/v2/keys/discovery/{TOKEN}/_config/size");
    let (status, body) = registry.http("PUT", &path, &format!("value={size}")).unwrap();
    assert_eq!(status, 201, "{body}");
    assert!(body.contains("\"action\":\"set\""), "{body}");
    let flag = format!("--discovery={}/v2/keys/discovery/{TOKEN}", registry.client_url());
    (registry, flag)
}

/// The article's private discovery: three members, one directory.
fn through_v2(registry: Engine, founders: Engine) {
    if !tools::are_there([registry.program(), founders.program()]) {
        return;
    }
    let root = directory();
    let (_registry, flag) = registry_v2(registry, &root, "3");
    let mut all = members(founders, &root, 4);
    let mut surplus = all.pop().unwrap();
    all[0].start(&[&flag]);
    all[1].start(&[&flag]);
    all[2].start(&[&flag]);
    assert_one_cluster(&mut all);
    surplus.refuses(&[&flag, EXIT], "discovery: cluster is full");
    // With data nobody is asked.
    all[1].kill();
    all[1].start(&[&flag]);
    all[1].wait_healthy();
    all[1].wait_log("discovery token is ignored since cluster already initialized");
    // Without its data it must not found anything again.
    all[2].kill();
    std::fs::remove_dir_all(&all[2].directory).unwrap();
    all[2].refuses(&[&flag, EXIT], "discovery: found duplicate id");
}

#[test]
fn ours_through_ours_v2() {
    through_v2(Engine::Ours, Engine::Ours);
}

#[test]
fn ours_through_etcd_v2() {
    through_v2(Engine::Etcd34, Engine::Ours);
}

/// Ours as the registry of others.
#[test]
fn etcd_through_ours_v2() {
    through_v2(Engine::Ours, Engine::Etcd34);
}

#[test]
fn a_v2_registry_that_makes_no_sense_ends_the_start() {
    let root = directory();
    let (registry, flag) = registry_v2(Engine::Ours, &root, "three");
    let mut member = Process::new(Engine::Ours, root.path(), "n1");
    member.refuses(&[&flag], "discovery: size key is bad");
    let elsewhere = format!("--discovery={}/v2/keys/discovery/other", registry.client_url());
    member.refuses(&[&elsewhere], "discovery: size key not found");
    let page = format!("--discovery={}/metrics", registry.client_url());
    member.refuses(&[&page], "discovery: bad discovery endpoint");
    member.refuses(
        &[&flag, "--initial-cluster-state=existing"],
        "discovery URL should not be set when joining existing initial cluster",
    );
}

/// A registry that is not up yet is waited for, and a signal ends the wait.
#[test]
fn waiting_for_a_registry_ends_with_a_signal() {
    let root = directory();
    let mut member = Process::new(Engine::Ours, root.path(), "n1");
    member.start(&["--discovery=http://127.0.0.1:1/v2/keys/discovery/t"]);
    member.wait_log("retry connecting to discovery service");
    assert_eq!(member.stop().code(), Some(0), "{}", member.log());
}

fn registry_v3(engine: Engine, root: &tempfile::TempDir, size: &str) -> (Process, [String; 2]) {
    let mut registry = Process::new(engine, root.path(), "registry");
    let own = format!("--initial-cluster=registry={}", registry.peer_url());
    registry.start(&[&own]);
    registry.wait_healthy();
    registry.client().put(&format!("/_etcd/registry/{TOKEN}/_config/size"), size).unwrap();
    let endpoint = registry.client_url();
    let endpoint = endpoint.strip_prefix("http://").unwrap();
    let flags = [
        format!("--discovery-token={TOKEN}"),
        // The first one is dead: the next is asked.
        format!("--discovery-endpoints=127.0.0.1:1,{endpoint}"),
    ];
    (registry, flags)
}

fn through_v3(registry: Engine) {
    if !tools::are_there([registry.program()]) {
        return;
    }
    let root = directory();
    let (registry, [token, endpoints]) = registry_v3(registry, &root, "3");
    let mut all = members(Engine::Ours, &root, 4);
    let mut surplus = all.pop().unwrap();
    for member in &mut all {
        member.start(&[&token, &endpoints]);
    }
    assert_one_cluster(&mut all);
    surplus.refuses(&[&token, &endpoints], "discovery: cluster is full");
    all[1].kill();
    all[1].start(&[&token, &endpoints]);
    all[1].wait_healthy();
    let size = format!("/_etcd/registry/{TOKEN}2/_config/size");
    registry.client().put(&size, "-1").unwrap();
    let bad = format!("{token}2");
    surplus.refuses(&[&bad, &endpoints], "discovery: size key is bad");
    let unknown = format!("{token}3");
    surplus.refuses(&[&unknown, &endpoints], "discovery: size key not found");
}

#[test]
fn ours_through_ours_v3() {
    through_v3(Engine::Ours);
}

#[test]
fn ours_through_etcd_v3() {
    through_v3(Engine::Etcd35);
}

/// A registry with users in force takes only who may write there.
fn through_v3_as_a_user(registry: Engine) {
    if !tools::are_there([registry.program()]) {
        return;
    }
    let root = directory();
    let (registry, [token, endpoints]) = registry_v3(registry, &root, "2");
    let client = registry.client();
    let mut users = AuthClient::new(client.channel());
    let add = |name: &str, password: &str| pb::AuthUserAddRequest {
        name: name.into(),
        password: password.into(),
        ..Default::default()
    };
    client.wait(users.user_add(add("root", "secret"))).unwrap();
    client.wait(users.user_add(add("nobody", "secret"))).unwrap();
    let grant = pb::AuthUserGrantRoleRequest { user: "root".into(), role: "root".into() };
    client.wait(users.role_add(pb::AuthRoleAddRequest { name: "root".into() })).unwrap();
    client.wait(users.user_grant_role(grant)).unwrap();
    client.wait(users.auth_enable(pb::AuthEnableRequest {})).unwrap();
    let mut all = members(Engine::Ours, &root, 2);
    let denied = "etcdserver: permission denied";
    all[0].refuses(&[&token, &endpoints, "--discovery-user=nobody:secret"], denied);
    let wrong = "authentication failed, invalid user ID or password";
    all[0].refuses(&[&token, &endpoints, "--discovery-user=root:wrong"], wrong);
    for member in &mut all {
        member.start(&[&token, &endpoints, "--discovery-user=root", "--discovery-password=secret"]);
    }
    assert_one_cluster(&mut all);
}

#[test]
fn a_registry_with_users() {
    through_v3_as_a_user(Engine::Ours);
    through_v3_as_a_user(Engine::Etcd35);
}

/// Two members of one name would be one member with two URLs.
#[test]
fn a_name_that_is_used_twice_is_refused() {
    let root = directory();
    let (_registry, [token, endpoints]) = registry_v3(Engine::Ours, &root, "2");
    let mut first = Process::new(Engine::Ours, root.path(), "a");
    let mut second = Process::new(Engine::Ours, root.path(), "b");
    for member in [&mut first, &mut second] {
        member.start(&[&token, &endpoints, "--name=same"]);
    }
    for member in [&mut first, &mut second] {
        assert_eq!(member.wait_exit().code(), Some(1));
        assert!(member.log().contains("discovery: found duplicate name"), "{}", member.log());
    }
}
