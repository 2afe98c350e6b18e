//! The two proxies as real processes, between clients that nobody here wrote and clusters of
//! either kind: ours before ours, ours before etcd, etcd's before ours.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is a failed test")]

mod support;

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use support::cluster::Cluster;
use support::etcdctl::Etcdctl;
use support::eventually;
use support::ports::{self, Port};
use support::tools::{self, Ctl, Engine};

/// A proxy that listens, ended when dropped.
struct Proxy {
    child: Child,
    port: Port,
    log: PathBuf,
    directory: tempfile::TempDir,
}

impl Proxy {
    fn start(engine: Engine, kind: &str, endpoints: &[String], flags: &[&str]) -> Proxy {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let port = ports::reserve();
        let log = directory.path().join("log");
        let out = File::create(&log).unwrap();
        let child = engine
            .node()
            .current_dir(directory.path())
            .args([kind, "start"])
            .arg(format!("--listen-addr=127.0.0.1:{}", port.number))
            .arg(format!("--endpoints={}", endpoints.join(",")))
            .args(flags)
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn()
            .unwrap();
        let mut proxy = Proxy { child, port, log, directory };
        eventually("a proxy that listens", || {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                panic!("the proxy ended with {status}: {}", proxy.log());
            }
            TcpStream::connect(("127.0.0.1", proxy.port.number))
                .map(drop)
                .map_err(|error| error.to_string())
        });
        proxy
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    fn etcdctl(&self, version: Ctl) -> Etcdctl {
        Etcdctl::new(version, &[self.address()])
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM ends it well.
    fn stop(mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // It may have ended by itself; nothing is left to do then.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!(
                "--- log of the proxy in {}\n{}",
                self.directory.path().display(),
                self.log()
            );
        }
    }
}

fn is_equipped() -> bool {
    tools::are_there([Ctl::V34.program(), Ctl::V35.program(), Engine::Etcd35.program()])
}

/// What the field does with a cluster: keys, history, leases, locks, elections.
fn use_everything(etcdctl: &Etcdctl) {
    let mut watch = etcdctl.spawn(&["watch", "w/", "--prefix", "--prev-kv"]);
    // The watch is known to be there when it tells of something.
    eventually("a watch", || {
        etcdctl.ok(&["put", "w/0", "0"]);
        watch.try_line().map(drop).ok_or("not yet".to_owned())
    });
    etcdctl.ok(&["put", "w/a", "1"]);
    etcdctl.ok(&["put", "w/a", "2"]);
    etcdctl.ok(&["del", "w/a"]);
    let mut seen = String::new();
    while !seen.ends_with("DELETE\nw/a\n2\nw/a\n\n") {
        seen.push_str(&watch.line());
        seen.push('\n');
        assert!(seen.len() < 10_000, "{seen}");
    }
    assert!(seen.contains("PUT\nw/a\n1\nw/a\n2\n"), "{seen}");

    assert_eq!(etcdctl.ok(&["put", "k1", "v1"]), "OK\n");
    etcdctl.ok(&["put", "k2", "v2"]);
    assert_eq!(etcdctl.ok(&["get", "k", "--prefix"]), "k1\nv1\nk2\nv2\n");
    assert_eq!(etcdctl.ok(&["get", "k1", "k2"]), "k1\nv1\n");
    assert_eq!(etcdctl.ok(&["get", "k2", "--from-key", "--keys-only", "--limit=1"]), "k2\n\n");
    let txn = b"value(\"k1\") = \"v1\"\n\nput k3 v3\nget k2\n\nget k1\n\n";
    let out = etcdctl.run_with(&["txn"], txn).ok();
    assert!(out.contains("SUCCESS") && out.contains("k2\nv2"), "{out}");
    assert_eq!(etcdctl.ok(&["del", "k", "--prefix", "--prev-kv"]).lines().next(), Some("3"));

    let granted = etcdctl.ok(&["lease", "grant", "600"]);
    let lease = granted.split(' ').nth(1).unwrap();
    etcdctl.ok(&["put", "leased", "x", &format!("--lease={lease}")]);
    let left = etcdctl.ok(&["lease", "timetolive", lease, "--keys"]);
    assert!(left.contains("attached keys([leased])"), "{left}");
    let kept = etcdctl.ok(&["lease", "keep-alive", "--once", lease]);
    assert!(kept.contains("keepalived with TTL(600)"), "{kept}");
    etcdctl.ok(&["lease", "revoke", lease]);
    assert_eq!(etcdctl.ok(&["get", "leased"]), "");

    assert_eq!(etcdctl.ok(&["lock", "m", "echo", "held"]), "held\n");
    let mut leader = etcdctl.spawn(&["elect", "e", "me"]);
    assert!(leader.line().starts_with("e/"));
    assert_eq!(leader.line(), "me");
    leader.interrupt();
    leader.wait();
    etcdctl.ok(&["endpoint", "health"]);
    assert!(etcdctl.ok(&["endpoint", "status"]).contains("127.0.0.1"));
}

/// Rights are those of who asks, not of the proxy.
fn use_rights(etcdctl: &Etcdctl) {
    let root = ["--user", "root:pw"];
    let alice = ["--user", "alice:pw"];
    etcdctl.ok(&["user", "add", "root:pw"]);
    etcdctl.ok(&["user", "grant-role", "root", "root"]);
    etcdctl.ok(&["role", "add", "app"]);
    etcdctl.ok(&["role", "grant-permission", "app", "readwrite", "app/", "--prefix"]);
    etcdctl.ok(&["user", "add", "alice:pw"]);
    etcdctl.ok(&["user", "grant-role", "alice", "app"]);
    etcdctl.ok(&["auth", "enable"]);
    let with = |who: [&str; 2], words: &[&str]| {
        let words: Vec<&str> = who.iter().chain(words).map(|word| &**word).collect();
        etcdctl.run(&words)
    };
    with(alice, &["put", "app/x", "1"]).ok();
    assert_eq!(with(alice, &["get", "app/", "--prefix"]).ok(), "app/x\n1\n");
    with(alice, &["put", "other", "1"]).failed(1, "permission denied");
    etcdctl.run(&["get", "app/x"]).failed(1, "user name is empty");
    with(root, &["auth", "disable"]).ok();
}

#[test]
fn a_gateway_goes_on_when_a_member_dies() {
    if !is_equipped() {
        return;
    }
    let mut cluster = Cluster::start(Engine::Ours, 3, &[]);
    let gateway =
        Proxy::start(Engine::Ours, "gateway", &cluster.endpoints(), &["--retry-delay=1s"]);
    for version in [Ctl::V34, Ctl::V35] {
        use_everything(&gateway.etcdctl(version));
    }
    let follower = cluster.follower();
    cluster.nodes[follower].kill();
    for number in 0..6 {
        gateway.etcdctl(Ctl::V35).ok(&["put", "k", &number.to_string()]);
    }
    assert!(gateway.log().contains("deactivated endpoint"), "{}", gateway.log());
    cluster.restart(follower);
    eventually("the member's return", || match gateway.log().contains("\"activated\"") {
        true => Ok(()),
        false => Err(gateway.log()),
    });
    gateway.stop();
}

#[test]
fn everything_works_through_our_proxy_and_goes_on_when_a_member_dies() {
    if !is_equipped() {
        return;
    }
    let mut cluster = Cluster::start(Engine::Ours, 3, &[]);
    let proxy = Proxy::start(Engine::Ours, "grpc-proxy", &cluster.endpoints(), &[]);
    use_everything(&proxy.etcdctl(Ctl::V34));
    use_rights(&proxy.etcdctl(Ctl::V35));
    let etcdctl = proxy.etcdctl(Ctl::V35);
    let refused = etcdctl.run(&["get", "k", "--rev=1000000"]);
    refused.refused("OutOfRange", "etcdserver: mvcc: required revision is a future revision");
    let mut watch = etcdctl.spawn(&["watch", "after"]);
    let follower = cluster.follower();
    cluster.nodes[follower].kill();
    for number in 0..6 {
        etcdctl.ok(&["put", "k", &number.to_string()]);
        assert_eq!(etcdctl.ok(&["get", "k", "--print-value-only"]), format!("{number}\n"));
    }
    // Whichever member its stream was of, the watch is there, or there again.
    eventually("an event", || {
        etcdctl.ok(&["put", "after", "x"]);
        watch.try_line().map(drop).ok_or("not yet".to_owned())
    });
    proxy.stop();
}

#[test]
fn a_namespace_is_a_cluster_of_its_own() {
    if !is_equipped() {
        return;
    }
    let cluster = Cluster::start(Engine::Etcd35, 1, &[]);
    let direct = Etcdctl::new(Ctl::V35, &cluster.endpoints());
    for key in ["a", "app", "app0", "z"] {
        direct.ok(&["put", key, "outside"]);
    }
    let flags = ["--namespace=app/"];
    let proxy = Proxy::start(Engine::Ours, "grpc-proxy", &cluster.endpoints(), &flags);
    let inside = proxy.etcdctl(Ctl::V35);
    use_everything(&inside);
    inside.ok(&["put", "k", "v"]);
    assert_eq!(inside.ok(&["get", "", "--from-key"]), "k\nv\nw/0\n0\n");
    assert_eq!(direct.ok(&["get", "app/", "--prefix", "--keys-only"]), "app/k\n\napp/w/0\n\n");
    assert_eq!(inside.ok(&["del", "", "--from-key"]), "2\n");
    let left = direct.ok(&["get", "", "--from-key", "--keys-only"]);
    assert_eq!(left, "a\n\napp\n\napp0\n\nz\n\n");
}

#[test]
fn etcds_own_proxy_works_before_our_members() {
    if !is_equipped() {
        return;
    }
    let cluster = Cluster::start(Engine::Ours, 3, &[]);
    let proxy = Proxy::start(Engine::Etcd35, "grpc-proxy", &cluster.endpoints(), &[]);
    use_everything(&proxy.etcdctl(Ctl::V35));
    // Each proxy reads what the other has registered.
    let etcds = ports::reserve();
    let etcds = format!("--advertise-client-url=127.0.0.1:{}", etcds.number);
    let flags = ["--resolver-prefix=___proxies", "--resolver-ttl=10", &etcds];
    let others = Proxy::start(Engine::Etcd35, "grpc-proxy", &cluster.endpoints(), &flags);
    let ours = ports::reserve();
    let ours = format!("--advertise-client-url=127.0.0.1:{}", ours.number);
    let flags = ["--resolver-prefix=___proxies", "--resolver-ttl=10", &ours, "--auto-tls"];
    let own = Proxy::start(Engine::Ours, "grpc-proxy", &cluster.endpoints(), &flags);
    let secure = Etcdctl::new(Ctl::V35, &[format!("https://{}", own.address())]);
    let plain = others.etcdctl(Ctl::V35);
    eventually("both proxies in both lists", || {
        let lists = [
            secure.ok(&[
                "--insecure-skip-tls-verify",
                "--insecure-transport=false",
                "member",
                "list",
            ]),
            plain.ok(&["member", "list"]),
        ];
        match lists.iter().all(|list| list.lines().count() == 2) {
            true => Ok(()),
            false => Err(format!("{lists:?}")),
        }
    });
}

#[test]
fn a_proxy_tells_how_it_and_the_members_are() {
    if !is_equipped() {
        return;
    }
    let mut cluster = Cluster::start(Engine::Ours, 1, &[]);
    let proxy = Proxy::start(Engine::Ours, "grpc-proxy", &cluster.endpoints(), &[]);
    let get = |path: &str| {
        let url = format!("http://{}", proxy.address());
        let mut answer = support::http::send(&url, "GET", path, &[], "");
        (answer.status, answer.text())
    };
    for path in ["/health", "/proxy/health"] {
        let well = (200, r#"{"health":"true","reason":""}"#.to_owned());
        assert_eq!(get(path), well, "{path}");
    }
    assert!(get("/metrics").1.contains("etcd_server_has_leader 1"));
    assert!(get("/proxy/metrics").1.contains("etcd_grpc_proxy_cache_hits_total 0"));
    assert_eq!(get("/other").0, 404);
    cluster.nodes[0].kill();
    let (status, body) = get("/proxy/health");
    assert!(status == 503 && body.contains("\"health\":\"false\""), "{status} {body}");
    let failed = proxy.etcdctl(Ctl::V35).run(&["put", "k", "v"]);
    failed.failed(1, "none of the proxy's endpoints can be reached");
}
