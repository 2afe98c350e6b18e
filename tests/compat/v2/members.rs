//! The members of a cluster through v2: listed, added, moved and removed.

use crate::support::cluster::Cluster;
use crate::support::etcdctl::Etcdctl;
use crate::support::eventually;
use crate::support::tools::Engine;

use super::http::request;
use super::{against_both, ctl, form, get, start};

against_both!(
    a_member_is_added_joins_and_is_removed,
    health_tells_of_a_dead_member,
    statistics,
    requests_and_refusals,
);

fn three(engine: Engine) -> (Cluster, Etcdctl) {
    let cluster = start(engine, 3);
    let ctl = ctl(&cluster);
    (cluster, ctl)
}

/// etcdctl asks each endpoint until one answers; a member that is new here refuses for a
/// while, because the others have not been connected for five seconds.
fn add(ctl: &Etcdctl, name: &str, url: &str) -> String {
    eventually("a member to be added", || match ctl.run(&["member", "add", name, url]) {
        done if done.code == 0 => Ok(done.out),
        refused => Err(refused.err),
    })
}

fn a_member_is_added_joins_and_is_removed(engine: Engine) {
    let (mut cluster, ctl) = three(engine);
    form(&cluster, 0, "PUT", "/before", "value=1").with_status(201);
    let newcomer = cluster.add_node();
    let url = cluster.nodes[newcomer].peer_url();
    let told = add(&ctl, "n4", &url);
    let id =
        told.strip_prefix("Added member named n4 with ID ").and_then(|rest| rest.split(' ').next());
    let id = id.unwrap_or_else(|| panic!("{told}")).to_owned();
    assert!(told.contains("\nETCD_NAME=\"n4\"\n"), "{told}");
    assert!(told.contains("ETCD_INITIAL_CLUSTER_STATE=\"existing\"\n"), "{told}");
    let initial = told.lines().find_map(|line| line.strip_prefix("ETCD_INITIAL_CLUSTER=\""));
    let initial = initial.unwrap().trim_end_matches('"');
    assert!(initial.contains(&format!("n4={url}")) && initial.contains("n1="), "{initial}");
    let listed = ctl.ok(&["member", "list"]);
    assert!(listed.contains(&format!("{id}[unstarted]: peerURLs={url}\n")), "{listed}");
    let members: Vec<(String, String)> = initial
        .split(',')
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, url)| (name.to_owned(), url.to_owned()))
        .collect();
    cluster.join(newcomer, &members);
    cluster.nodes[newcomer].wait_healthy();
    assert_eq!(get(&cluster, newcomer, "/before?quorum=true").json()["node"]["value"], "1");
    let own = cluster.nodes[newcomer].client_url();
    let line = format!("{id}: name=n4 peerURLs={url} clientURLs={own} isLeader=false\n");
    eventually("the member's name", || {
        let listed = ctl.ok(&["member", "list"]);
        if listed.contains(&line) { Ok(()) } else { Err(listed) }
    });
    let removed =
        eventually("a member to be removed", || match ctl.run(&["member", "remove", &id]) {
            done if done.code == 0 => Ok(done.out),
            refused => Err(refused.err),
        });
    assert_eq!(removed, format!("Removed member {id} from cluster\n"));
    ctl.run(&["member", "remove", &id])
        .failed(1, &format!("Couldn't find a member in the cluster with an ID of {id}."));
    let again =
        request(&cluster.nodes[0].client_url(), "DELETE", &format!("/v2/members/{id}"), &[], b"");
    assert_eq!(
        (again.status, again.body.as_str()),
        (410, &*format!("{{\"message\":\"Member permanently removed: {id}\"}}"))
    );
}

fn health_tells_of_a_dead_member(engine: Engine) {
    let (mut cluster, ctl) = three(engine);
    let healthy = ctl.ok(&["cluster-health"]);
    assert!(healthy.ends_with("cluster is healthy\n"), "{healthy}");
    assert_eq!(healthy.matches(" is healthy: got healthy result from ").count(), 3);
    let victim = cluster.follower();
    cluster.nodes[victim].kill();
    let sick = ctl.run(&["cluster-health"]);
    let complaint = "failed to check the health of member ";
    let unreachable =
        format!("is unreachable: [{}] are all unreachable\n", cluster.nodes[victim].client_url());
    let all = format!("{}{}", sick.out, sick.err);
    assert!(all.contains(complaint) && all.contains(&unreachable), "{all}");
    assert!(all.contains("cluster is degraded\n") && sick.code != 0, "{all}");
}

fn statistics(engine: Engine) {
    let (cluster, _) = three(engine);
    let leader = cluster.leader();
    let follower = cluster.follower();
    for value in 0..3 {
        form(&cluster, leader, "PUT", "/a", &format!("value={value}"));
    }
    let stats = |node: usize, what: &str| {
        request(&cluster.nodes[node].client_url(), "GET", &format!("/v2/stats/{what}"), &[], b"")
    };
    let own = stats(leader, "self").json();
    let id = own["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&own["state"], &own["leaderInfo"]["leader"]),
        (&"StateLeader".into(), &id.clone().into())
    );
    assert!(own["sendAppendRequestCnt"].as_u64().unwrap() > 0, "{own}");
    let other = eventually("the follower's view of its leader", || {
        let other = stats(follower, "self").json();
        if other["leaderInfo"]["leader"] == *id { Ok(other) } else { Err(other.to_string()) }
    });
    assert_eq!(other["state"], "StateFollower");
    assert!(other["recvAppendRequestCnt"].as_u64().unwrap() > 0, "{other}");
    let followers = stats(leader, "leader").json();
    assert_eq!(followers["leader"], *id);
    let one = &followers["followers"][other["id"].as_str().unwrap()];
    for number in ["current", "average", "standardDeviation", "minimum", "maximum"] {
        assert!(one["latency"][number].is_f64() || one["latency"][number].is_u64(), "{one}");
    }
    assert!(one["counts"]["success"].is_u64() && one["counts"]["fail"].is_u64(), "{one}");
    let refused = stats(follower, "leader").with_status(403);
    assert_eq!(refused.body, "{\"message\":\"not current leader\"}");
    let before = stats(leader, "store").json();
    form(&cluster, leader, "PUT", "/a", "value=x");
    form(&cluster, leader, "PUT", "/a?prevValue=y", "value=z");
    get(&cluster, leader, "/a");
    get(&cluster, leader, "/none");
    let after = stats(leader, "store").json();
    for (name, more) in [
        ("setsSuccess", 1),
        ("compareAndSwapFail", 1),
        ("compareAndSwapSuccess", 0),
        ("deleteFail", 0),
    ] {
        assert_eq!(after[name].as_u64().unwrap(), before[name].as_u64().unwrap() + more, "{name}");
    }
    assert!(after["getsSuccess"].as_u64() > before["getsSuccess"].as_u64(), "{after}");
    assert_eq!(after["watchers"], before["watchers"]);
}

fn requests_and_refusals(engine: Engine) {
    let (cluster, _) = three(engine);
    let url = cluster.nodes[0].client_url();
    let json = [("Content-Type", "application/json")];
    let listed = request(&url, "GET", "/v2/members", &[], b"").with_status(200);
    let members = listed.json()["members"].as_array().unwrap().clone();
    assert_eq!(members.len(), 3);
    let leader = request(&url, "GET", "/v2/members/leader", &[], b"").with_status(200).json();
    assert!(members.contains(&leader));
    let mut machines: Vec<String> = cluster.endpoints();
    machines.sort();
    let answer = request(&url, "GET", "/v2/machines", &[], b"");
    assert_eq!(answer.body, machines.join(", "));
    let taken = format!("{{\"peerURLs\":[\"{}\"]}}", cluster.nodes[1].peer_url());
    // etcd first waits until all have been connected for five seconds.
    let conflict = eventually("a refusal for the right reason", || {
        let answer = request(&url, "POST", "/v2/members", &json, taken.as_bytes());
        if answer.status == 500 { Err(answer.body) } else { Ok(answer) }
    });
    assert_eq!(conflict.status, 409);
    assert_eq!(conflict.body, "{\"message\":\"membership: peerURL exists\"}");
    let missing = request(&url, "DELETE", "/v2/members/1234", &[], b"");
    assert_eq!(missing.status, 404);
    assert_eq!(missing.body, "{\"message\":\"No such member: 1234\"}");
    let own = members.iter().find(|one| one["name"] == "n1").unwrap()["id"].as_str().unwrap();
    let same = format!("{{\"peerURLs\":[\"{}\"]}}", cluster.nodes[0].peer_url());
    let path = format!("/v2/members/{own}");
    request(&url, "PUT", &path, &json, same.as_bytes()).with_status(204);
}
