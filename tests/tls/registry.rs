//! Founders that meet at a registry which speaks TLS, and asks who they are.

use crate::engines;
use crate::member::Member;
use crate::pki::{Authority, Leaf, Pair, Pki};
use crate::support::client::Client;
use crate::support::http;
use crate::support::ports::{self, Port};
use crate::support::tools::Engine;

const TOKEN: &str = "6c007a14875d53d9bf0ef5a6fc0257c817f0fb83";

struct World {
    pki: Pki,
    authority: Authority,
    registry: Member,
    /// The registry without TLS, for the test itself.
    plain: Port,
}

impl World {
    /// A registry of `engine`, which lets in whom `authority` has certified if it `asks`.
    fn new(engine: Engine, asks: bool) -> World {
        let pki = Pki::new();
        let authority = pki.authority("authority");
        let server = authority.issue(pki.directory.path(), "server", &Leaf::server("server"));
        let registry = Member::new(engine, "registry", pki.directory.path());
        let plain = ports::reserve();
        let urls = format!("{},http://127.0.0.1:{}", registry.client_url("https"), plain.number);
        let mut words = vec![
            format!("--cert-file={}", server.cert.display()),
            format!("--key-file={}", server.key.display()),
        ];
        if asks {
            words.push(format!("--trusted-ca-file={}", authority.file.display()));
            words.push("--client-cert-auth".to_owned());
        }
        let registry = registry.alone(&urls).with(&words).start();
        World { pki, authority, registry, plain }
    }

    fn plain_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.plain.number)
    }

    fn founder(&self, name: &str) -> Member {
        let member = Member::new(Engine::Ours, name, self.pki.directory.path());
        let (client, peer) = (member.client_url("http"), member.peer_url("http"));
        member.with(&[
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
        ])
    }

    fn are_founded(&self, words: &[String]) {
        let mut founders = ["n1", "n2"].map(|name| self.founder(name).with(words));
        founders.iter_mut().for_each(Member::spawn);
        founders.iter_mut().for_each(Member::wait_ready);
    }

    fn is_refused(&self, words: &[String], text: &str) {
        let output = self.founder("n3").with(words).command().output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(text), "{said}");
    }
}

fn v3(engine: Engine) {
    let world = World::new(engine, true);
    let size = format!("/_etcd/registry/{TOKEN}/_config/size");
    Client::new(&world.plain_url()).put(&size, "2").unwrap();

    let pair = world.authority.issue(world.pki.directory.path(), "n", &Leaf::client("n"));
    let words = |who: &Pair| {
        vec![
            format!("--discovery-token={TOKEN}"),
            format!("--discovery-endpoints={}", world.registry.client_url("https")),
            "--discovery-request-timeout=2s".to_owned(),
            format!("--discovery-cert={}", who.cert.display()),
            format!("--discovery-key={}", who.key.display()),
        ]
    };
    let trusted = format!("--discovery-cacert={}", world.authority.file.display());
    world.are_founded(&[words(&pair), vec![trusted]].concat());
    let blind = [words(&pair), vec!["--discovery-insecure-skip-tls-verify".to_owned()]].concat();
    world.is_refused(&blind, "discovery: cluster is full");
}

#[test]
fn founders_meet_at_a_v3_registry_with_certificates() {
    engines().into_iter().for_each(v3);
}

/// As in etcd, whose certificate of a v2 registry is to be trusted is the system's affair.
#[test]
fn founders_meet_at_a_v2_registry_with_tls() {
    let world = World::new(Engine::Ours, false);
    let path = format!("/v2/keys/discovery/{TOKEN}");
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let size = format!("{path}/_config/size");
    assert_eq!(http::send(&world.plain_url(), "PUT", &size, &form, "value=2").status, 201);
    let flag = format!("--discovery={}{path}", world.registry.client_url("https"));
    let trusted = world.authority.file.display().to_string();
    let mut founders = ["n1", "n2"].map(|name| {
        let founder = world.founder(name).with(std::slice::from_ref(&flag));
        founder.with_variable("SSL_CERT_FILE", &trusted)
    });
    founders.iter_mut().for_each(Member::spawn);
    founders.iter_mut().for_each(Member::wait_ready);
    let surplus = world.founder("n3").with(&[flag, "--discovery-fallback=exit".to_owned()]);
    let output = surplus.with_variable("SSL_CERT_FILE", &trusted).command().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("discovery: cluster is full"), "{said}");
}
