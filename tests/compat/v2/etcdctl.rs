//! `ETCDCTL_API=2 etcdctl`: what is printed, complained about and returned.

use crate::support::cluster::Cluster;
use crate::support::etcdctl::{Etcdctl, Outcome};
use crate::support::tools::Engine;

use super::{against_both, ctl, form, start};

against_both!(
    set_get_and_rm,
    make_update_and_swap,
    directories,
    listing,
    output_formats,
    watch_and_exec_watch,
    cluster_health_of_one,
);

fn client(engine: Engine, count: usize) -> (Cluster, Etcdctl) {
    let cluster = start(engine, count);
    let ctl = ctl(&cluster);
    (cluster, ctl)
}

/// It must have failed with this exit code, and its complaint is `Error:  ` and this, followed
/// by the store's index.
#[track_caller]
fn refused(outcome: Outcome, code: i32, text: &str) {
    outcome.failed(code, &format!("Error:  {text} ["));
}

fn set_get_and_rm(engine: Engine) {
    let (_cluster, ctl) = client(engine, 1);
    assert_eq!(ctl.ok(&["set", "/k", "v"]), "v\n");
    assert_eq!(ctl.ok(&["get", "/k"]), "v\n");
    assert_eq!(ctl.ok(&["get", "--quorum", "k"]), "v\n");
    assert_eq!(ctl.run_with(&["set", "/in"], b"from standard input").ok(), "from standard input\n");
    assert_eq!(ctl.ok(&["rm", "/k"]), "PrevNode.Value: v\n");
    refused(ctl.run(&["get", "/k"]), 4, "100: Key not found (/k)");
    refused(ctl.run(&["rm", "/k"]), 4, "100: Key not found (/k)");
    refused(
        ctl.run(&["rm", "/in", "--with-value", "x"]),
        4,
        "101: Compare failed ([x != from standard input])",
    );
    ctl.ok(&["rm", "/in", "--with-value", "from standard input"]);
}

fn make_update_and_swap(engine: Engine) {
    let (_cluster, ctl) = client(engine, 1);
    assert_eq!(ctl.ok(&["mk", "/k", "1"]), "1\n");
    refused(ctl.run(&["mk", "/k", "1"]), 4, "105: Key already exists (/k)");
    assert_eq!(ctl.ok(&["update", "/k", "2"]), "2\n");
    refused(ctl.run(&["update", "/none", "2"]), 4, "100: Key not found (/none)");
    assert_eq!(ctl.ok(&["set", "/k", "3", "--swap-with-value", "2"]), "3\n");
    refused(
        ctl.run(&["set", "/k", "4", "--swap-with-value", "2"]),
        4,
        "101: Compare failed ([2 != 3])",
    );
    let in_order = ctl.ok(&["mk", "/queue", "job", "--in-order"]);
    assert_eq!(in_order, "job\n");
    let listed = ctl.ok(&["ls", "/queue"]);
    let number = listed.trim_end().strip_prefix("/queue/").unwrap();
    assert!(number.len() == 20 && number.bytes().all(|byte| byte.is_ascii_digit()), "{listed}");
}

fn directories(engine: Engine) {
    let (_cluster, ctl) = client(engine, 1);
    assert_eq!(ctl.ok(&["mkdir", "/d"]), "");
    refused(ctl.run(&["mkdir", "/d"]), 4, "105: Key already exists (/d)");
    refused(ctl.run(&["setdir", "/d"]), 4, "102: Not a file (/d)");
    assert_eq!(ctl.ok(&["setdir", "/e"]), "");
    assert_eq!(ctl.ok(&["updatedir", "/d", "--ttl", "1000"]), "");
    ctl.ok(&["set", "/d/x", "1"]);
    refused(ctl.run(&["rmdir", "/d"]), 4, "108: Directory not empty (/d)");
    refused(ctl.run(&["rm", "/d"]), 4, "102: Not a file (/d)");
    refused(ctl.run(&["set", "/d/x/y", "1"]), 4, "104: Not a directory (/d/x)");
    ctl.ok(&["rm", "/d", "--recursive"]);
    ctl.ok(&["rmdir", "/e"]);
    assert_eq!(ctl.ok(&["ls"]), "");
}

fn listing(engine: Engine) {
    let (_cluster, ctl) = client(engine, 1);
    for key in ["/b", "/a/x", "/a/z/y", "/a/_hidden", "/a-"] {
        ctl.ok(&["set", key, "1"]);
    }
    assert_eq!(ctl.ok(&["ls", "--sort", "/"]), "/a\n/a-\n/b\n");
    assert_eq!(ctl.ok(&["ls", "--sort", "-p", "/"]), "/a/\n/a-\n/b\n");
    let all = "/a\n/a/x\n/a/z\n/a/z/y\n/a-\n/b\n";
    assert_eq!(ctl.ok(&["ls", "--sort", "--recursive"]), all);
    assert_eq!(ctl.ok(&["ls", "/a/_hidden"]), "/a/_hidden\n");
    refused(ctl.run(&["ls", "/none"]), 4, "100: Key not found (/none)");
}

fn output_formats(engine: Engine) {
    let (cluster, ctl) = client(engine, 1);
    let index = form(&cluster, 0, "PUT", "/k", "value=v").index();
    let extended = ctl.ok(&["-o", "extended", "get", "/k"]);
    let expected = format!(
        "Key: /k\nCreated-Index: {index}\nModified-Index: {index}\nTTL: 0\nIndex: {index}\n\nv\n"
    );
    assert_eq!(extended, expected);
    let json: serde_json::Value =
        serde_json::from_str(&ctl.ok(&["-o", "json", "set", "/k", "w"])).unwrap();
    assert_eq!(json["action"], "set");
    assert_eq!((&json["node"]["value"], &json["prevNode"]["value"]), (&"w".into(), &"v".into()));
}

fn watch_and_exec_watch(engine: Engine) {
    let (cluster, ctl) = client(engine, 1);
    // The first index may be 1, and "after 0" means from now on.
    form(&cluster, 0, "PUT", "/other", "value=1");
    let index = form(&cluster, 0, "PUT", "/k", "value=1").index();
    // From an index, so that it does not matter when the watch begins.
    let (before, after) = ((index - 1).to_string(), index.to_string());
    ctl.spawn(&["watch", "/k", "--after-index", &before]).prints(&["1"]);
    let mut forever =
        ctl.spawn(&["watch", "/", "--recursive", "--forever", "--after-index", &after]);
    let script = "echo $ETCD_WATCH_ACTION $ETCD_WATCH_KEY $ETCD_WATCH_VALUE";
    // The key comes last, whatever the help text says.
    let words = ["exec-watch", "--after-index", &after, "--", "sh", "-c", script, "/k"];
    let mut exec = ctl.spawn(&words);
    form(&cluster, 0, "PUT", "/k", "value=2");
    forever.prints(&["[set] /k", "2"]);
    exec.prints(&["set /k 2"]);
    form(&cluster, 0, "DELETE", "/k", "");
    forever.prints(&["[delete] /k"]);
}

fn cluster_health_of_one(engine: Engine) {
    let (cluster, ctl) = client(engine, 1);
    let url = cluster.nodes[0].client_url();
    let member = cluster.client(0).members().unwrap().remove(0);
    let expected = format!(
        "member {:x} is healthy: got healthy result from {url}\ncluster is healthy\n",
        member.id
    );
    assert_eq!(ctl.ok(&["cluster-health"]), expected);
    let peer = cluster.nodes[0].peer_url();
    let listed =
        format!("{:x}: name=n1 peerURLs={peer} clientURLs={url} isLeader=true\n", member.id);
    assert_eq!(ctl.ok(&["member", "list"]), listed);
}
