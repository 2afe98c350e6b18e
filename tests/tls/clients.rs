//! Who may connect as a client, on every listener of clients.

use std::process::Command;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::engines;
use crate::member::{Member, client, get, say};
use crate::pki::{Authority, Leaf, Pair, Pki};
use crate::support::eventually;
use crate::support::ports;
use crate::support::tools::{Ctl, Engine, are_there};

/// An authority, a server's pair, and who comes.
struct World {
    pki: Pki,
    authority: Authority,
    server: Pair,
}

impl World {
    fn new() -> World {
        let pki = Pki::new();
        let authority = pki.authority("authority");
        let server = authority.issue(pki.directory.path(), "server", &Leaf::server("server"));
        World { pki, authority, server }
    }

    fn flags(&self) -> Vec<String> {
        vec![
            format!("--cert-file={}", self.server.cert.display()),
            format!("--key-file={}", self.server.key.display()),
            format!("--trusted-ca-file={}", self.authority.file.display()),
        ]
    }

    fn who(&self, issuer: &Authority, file: &str, leaf: Leaf) -> Arc<ClientConfig> {
        let pair = issuer.issue(self.pki.directory.path(), file, &leaf);
        client(&self.authority.file, Some(&pair))
    }

    fn good(&self) -> Arc<ClientConfig> {
        self.who(&self.authority, "good", Leaf::client("good"))
    }

    fn start(&self, engine: Engine, extra: &[String]) -> Member {
        let member = Member::new(engine, "n1", self.pki.directory.path());
        let url = member.client_url("https");
        member.alone(&url).with(&self.flags()).with(extra).start()
    }
}

fn health(port: u16, who: &Arc<ClientConfig>) -> Result<(u16, String), String> {
    get(port, "/health", Some(who), "Host: localhost\r\n")
}

#[test]
fn an_authority_means_that_clients_must_show_a_good_certificate() {
    let other = Pki::new().authority("other");
    for engine in engines() {
        let world = World::new();
        let member = world.start(engine, &[]);
        let port = member.client.number;
        let (status, body) = health(port, &world.good()).unwrap();
        assert_eq!((status, body.contains("\"true\"")), (200, true), "{engine}: {body}");
        let expired = Leaf { expired: true, ..Leaf::client("expired") };
        let usage = Leaf { for_clients: false, for_servers: true, ..Leaf::client("usage") };
        let strangers = [
            ("no certificate", client(&world.authority.file, None)),
            ("another authority's", world.who(&other, "other", Leaf::client("other"))),
            ("expired", world.who(&world.authority, "expired", expired)),
            ("for servers", world.who(&world.authority, "usage", usage)),
        ];
        for (what, who) in &strangers {
            let answer = health(port, who);
            assert!(answer.is_err(), "{engine}, {what}: {answer:?}");
        }
        assert!(health(port, &world.good()).is_ok(), "{engine}");
    }
}

#[test]
fn old_versions_and_plain_text_are_refused_in_words() {
    // A handshake of TLS 1.1: two suites, no compression, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0x00, 0x2f, 0xc0, 0x13, 1, 0]);
    for engine in engines() {
        let world = World::new();
        let member = world.start(engine, &[]);
        let port = member.client.number;
        let answer = say(port, &hello);
        assert_eq!(answer.first(), Some(&0x15), "{engine}: an alert, not {answer:?}");
        let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let answer = String::from_utf8_lossy(&say(port, request)).into_owned();
        assert!(!answer.contains(" 200 "), "{engine}: {answer}");
        if engine == Engine::Ours {
            assert!(answer.starts_with("HTTP/1.0 400 Bad Request\r\n"), "{answer}");
            assert!(answer.contains("Client sent an HTTP request to an HTTPS server."), "{answer}");
            eventually("the same words in the log", || {
                let log = member.log();
                let said = "the client speaks plain HTTP, this listener speaks TLS";
                log.contains(said).then_some(()).ok_or(log)
            });
        }
    }
}

#[test]
fn both_protocols_may_share_a_port() {
    for engine in engines() {
        let world = World::new();
        let member = Member::new(engine, "n1", world.pki.directory.path());
        let urls = format!("{},{}", member.client_url("https"), member.client_url("http"));
        let member = member.alone(&urls).with(&world.flags()).start();
        let port = member.client.number;
        assert_eq!(health(port, &world.good()).unwrap().0, 200, "{engine}");
        let plain = get(port, "/health", None, "Host: localhost\r\n");
        assert_eq!(plain.unwrap().0, 200, "{engine}");
        assert!(health(port, &client(&world.authority.file, None)).is_err(), "{engine}");
    }
}

#[test]
fn a_revoked_certificate_is_refused_on_each_listener() {
    for engine in engines() {
        let world = World::new();
        let list = world.pki.path("revoked.crl");
        world.authority.revoke(&list, &[1234]);
        let metrics = ports::reserve();
        let extra = [
            format!("--client-crl-file={}", list.display()),
            format!("--listen-metrics-urls=https://127.0.0.1:{}", metrics.number),
        ];
        let member = world.start(engine, &extra);
        let revoked = Leaf { serial: 1234, ..Leaf::client("revoked") };
        let revoked = world.who(&world.authority, "revoked", revoked);
        for port in [member.client.number, metrics.number] {
            eventually("a listener", || health(port, &world.good()));
            assert!(health(port, &revoked).is_err(), "{engine}, {port}");
        }
        // The list is read again when it has changed.
        world.authority.revoke(&list, &[1234, 77]);
        assert!(health(member.client.number, &world.good()).is_err(), "{engine}");
        world.authority.revoke(&list, &[1, 2, 3]);
        assert!(health(member.client.number, &revoked).is_ok(), "{engine}");
    }
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    for engine in engines() {
        let world = World::new();
        let member = world.start(engine, &[]);
        let port = member.client.number;
        let good = Leaf::client("good");
        let pair = world.authority.issue(world.pki.directory.path(), "good", &good);
        assert!(health(port, &client(&world.authority.file, Some(&pair))).is_ok(), "{engine}");
        // The same files, signed by an authority that the client did not know.
        let next = world.pki.authority("next");
        next.issue(world.pki.directory.path(), "server", &Leaf::server("server"));
        assert!(health(port, &client(&world.authority.file, Some(&pair))).is_err(), "{engine}");
        assert!(health(port, &client(&next.file, Some(&pair))).is_ok(), "{engine}");
        if engine == Engine::Ours {
            // What cannot be used leaves the last good ones in force.
            std::fs::write(&world.server.cert, "half a certificate").unwrap();
            assert!(health(port, &client(&next.file, Some(&pair))).is_ok());
            assert!(member.log().contains("the last good ones stay in force"));
        }
    }
}

#[test]
fn etcdctl_is_a_client() {
    if !are_there([Ctl::V34.program(), Ctl::V35.program()]) {
        return;
    }
    for engine in engines() {
        let world = World::new();
        let member = world.start(engine, &["--client-cert-auth".to_owned()]);
        let pair = world.authority.issue(world.pki.directory.path(), "ctl", &Leaf::client("ctl"));
        for version in [Ctl::V34, Ctl::V35] {
            let run = |words: &[&str]| {
                Command::new(version.program().unwrap())
                    .env("ETCDCTL_API", "3")
                    .arg(format!("--endpoints={}", member.client_url("https")))
                    .arg(format!("--cacert={}", world.authority.file.display()))
                    .arg(format!("--cert={}", pair.cert.display()))
                    .arg(format!("--key={}", pair.key.display()))
                    .args(words)
                    .output()
                    .unwrap()
            };
            let put = run(&["put", "k", "v"]);
            assert_eq!(String::from_utf8_lossy(&put.stdout), "OK\n", "{engine}: {put:?}");
            let got = run(&["get", "k"]);
            assert_eq!(String::from_utf8_lossy(&got.stdout), "k\nv\n", "{engine}: {got:?}");
        }
    }
}

/// A browser shows its certificate for any page, so a name in it is refused at the gateway
/// rather than ignored. Without users in force there is nothing to mistake.
#[test]
fn a_certificate_with_a_name_does_not_speak_through_the_gateway() {
    if !are_there([Ctl::V35.program()]) {
        return;
    }
    for engine in engines() {
        let world = World::new();
        let member = world.start(engine, &["--client-cert-auth".into()]);
        let port = member.client.number;
        let pair = world.authority.issue(world.pki.directory.path(), "root", &Leaf::client("root"));
        let who = client(&world.authority.file, Some(&pair));
        let through = || get(port, "/v3/kv/range", Some(&who), "Host: localhost\r\n").unwrap();
        assert_ne!(through().0, 400, "{engine}: {:?}", through());
        for words in [
            &["user", "add", "root", "--no-password"][..],
            &["role", "add", "root"],
            &["user", "grant-role", "root", "root"],
            &["auth", "enable"],
        ] {
            let output = Command::new(Ctl::V35.program().unwrap())
                .arg(format!("--endpoints={}", member.client_url("https")))
                .arg(format!("--cacert={}", world.authority.file.display()))
                .arg(format!("--cert={}", pair.cert.display()))
                .arg(format!("--key={}", pair.key.display()))
                .args(words)
                .output()
                .unwrap();
            assert!(output.status.success(), "{engine}, {words:?}: {output:?}");
        }
        let (status, body) = through();
        assert_eq!(status, 400, "{engine}: {body}");
        assert!(body.contains("CommonName of client sending a request against gateway"), "{body}");
        assert_eq!(health(port, &who).unwrap().0, 200, "{engine}");
    }
}

#[test]
fn our_snapshot_save_is_a_client() {
    for engine in engines() {
        let world = World::new();
        let member = world.start(engine, &["--client-cert-auth".to_owned()]);
        let pair = world.authority.issue(world.pki.directory.path(), "ctl", &Leaf::client("ctl"));
        let file = world.pki.path("saved.db");
        let run = |tls: &[&std::path::Path]| {
            let flags = ["--cacert", "--cert", "--key"].iter().zip(tls);
            Command::new(Engine::Ours.program().unwrap())
                .args(["snapshot", "save"])
                .arg(&file)
                .arg(format!("--endpoints={}", member.client_url("https")))
                .args(flags.flat_map(|(flag, value)| [flag.as_ref(), value.as_os_str()]))
                .output()
                .unwrap()
        };
        assert_eq!(run(&[&world.authority.file]).status.code(), Some(1), "{engine}");
        let saved = run(&[&world.authority.file, &pair.cert, &pair.key]);
        assert!(saved.status.success() && file.exists(), "{engine}: {saved:?}");
    }
}

#[test]
fn the_terminal_ui_is_a_client() {
    let world = World::new();
    let member = world.start(Engine::Ours, &["--client-cert-auth".to_owned()]);
    let pair = world.authority.issue(world.pki.directory.path(), "ui", &Leaf::client("ui"));
    let show = |words: &[String]| {
        let output = Command::new(env!("CARGO_BIN_EXE_etcd-tui"))
            .args(["connect", "--endpoints", &member.client_url("https")])
            .args(["--snapshot", "120x36", "cluster"])
            .arg(format!("--cacert={}", world.authority.file.display()))
            .args(words)
            .output()
            .unwrap();
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    };
    let own = [format!("--cert={}", pair.cert.display()), format!("--key={}", pair.key.display())];
    let frame = show(&own);
    assert!(frame.contains("n1") && frame.contains("leader"), "{frame}");
    let frame = show(&[]);
    assert!(!frame.contains("n1"), "{frame}");
}

#[test]
fn a_certificate_made_by_the_member_is_kept() {
    if !are_there([Ctl::V35.program()]) {
        return;
    }
    for engine in engines() {
        let pki = Pki::new();
        let member = Member::new(engine, "n1", pki.directory.path());
        let url = member.client_url("https");
        let mut member = member.alone(&url).with(&["--auto-tls".to_owned()]).start();
        let file = member.directory.join("fixtures/client/cert.pem");
        let before = std::fs::read(&file).unwrap();
        let get = || {
            Command::new(Ctl::V35.program().unwrap())
                .arg(format!("--endpoints={url}"))
                .args(["--insecure-skip-tls-verify", "--insecure-transport=false", "put", "k", "v"])
                .output()
                .unwrap()
        };
        assert_eq!(String::from_utf8_lossy(&get().stdout), "OK\n", "{engine}: {:?}", get());
        member.restart();
        assert_eq!(std::fs::read(&file).unwrap(), before, "{engine}");
        assert_eq!(String::from_utf8_lossy(&get().stdout), "OK\n", "{engine}");
    }
}

#[test]
fn what_does_not_go_together_is_said_at_the_start() {
    let world = World::new();
    let other = world.pki.authority("other");
    let foreign = other.issue(world.pki.directory.path(), "foreign", &Leaf::server("x"));
    let complaint = |words: &[String], scheme: &str| {
        let member = Member::new(Engine::Ours, "n1", world.pki.directory.path());
        let url = member.client_url(scheme);
        let output = member.alone(&url).with(words).command().output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let cert = format!("--cert-file={}", world.server.cert.display());
    let said = complaint(&[], "https");
    assert!(said.contains("TLS key/cert (--cert-file, --key-file) must be provided"), "{said}");
    let said = complaint(std::slice::from_ref(&cert), "https");
    assert!(said.contains("cert file and key file must both be present"), "{said}");
    let key = format!("--key-file={}", foreign.key.display());
    let said = complaint(&[cert.clone(), key], "https");
    assert!(said.contains("the private key is another one's"), "{said}");
    let key = format!("--key-file={}", world.server.key.display());
    let missing = "--trusted-ca-file=/nowhere/ca.pem".to_owned();
    let said = complaint(&[cert.clone(), key.clone(), missing], "https");
    assert!(said.contains("cannot read /nowhere/ca.pem"), "{said}");
    let suites = "--cipher-suites=TLS_NONE".to_owned();
    let said = complaint(&[cert, key, suites], "https");
    assert!(said.contains("unexpected TLS cipher suite"), "{said}");
}
