//! Members know each other by certificates.

use crate::engines;
use crate::member::{Member, client, get};
use crate::pki::{Authority, Leaf, Pair, Pki};
use crate::support::eventually;
use crate::support::tools::Engine;

/// Three members, not started, of which each shows its own pair when it dials.
struct Trio {
    _pki: Pki,
    authority: Authority,
    members: Vec<Member>,
}

impl Trio {
    /// `dials` is what the third member shows when it dials; `extra` is told to all.
    fn new(engine: Engine, dials: &Leaf, extra: &[String]) -> Trio {
        let pki = Pki::new();
        let root = pki.directory.path();
        let authority = pki.authority("peers");
        let server = authority.issue(root, "server", &Leaf::server("server"));
        let client = authority.issue(root, "client", &Leaf::server("server"));
        let third = authority.issue(root, "third", dials);
        let names = ["n1", "n2", "n3"];
        let members: Vec<Member> = names.map(|name| Member::new(engine, name, root)).into();
        let cluster: Vec<String> =
            members.iter().map(|one| format!("{}={}", one.name, one.peer_url("https"))).collect();
        let members = members.into_iter().map(|member| {
            let shown = if member.name == "n3" { &third } else { &client };
            let words = Trio::flags(&member, &authority, &server, shown, &cluster.join(","));
            member.with(&words).with(extra)
        });
        let members = members.collect();
        Trio { members, _pki: pki, authority }
    }

    fn flags(
        member: &Member,
        authority: &Authority,
        server: &Pair,
        client: &Pair,
        cluster: &str,
    ) -> Vec<String> {
        let (url, peer) = (member.client_url("http"), member.peer_url("https"));
        vec![
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={cluster}"),
            format!("--peer-cert-file={}", server.cert.display()),
            format!("--peer-key-file={}", server.key.display()),
            format!("--peer-client-cert-file={}", client.cert.display()),
            format!("--peer-client-key-file={}", client.key.display()),
            format!("--peer-trusted-ca-file={}", authority.file.display()),
            "--peer-client-cert-auth".to_owned(),
        ]
    }

    fn spawn(&mut self) {
        for member in &mut self.members {
            member.spawn();
        }
    }

    fn is_healthy(&self, index: usize) -> Result<(), String> {
        let answer = get(self.members[index].client.number, "/health", None, "Host: localhost\r\n");
        match answer? {
            (200, _) => Ok(()),
            (status, body) => Err(format!("{status} {body}\n{}", self.members[index].log())),
        }
    }

    fn wait_healthy(&self, index: usize) {
        eventually("a healthy member", || self.is_healthy(index));
    }

    /// The first two are a cluster, which sends the third one away. (etcd's members get by
    /// with connections that the others make; ours need both.)
    fn third_is_refused(&mut self, engine: Engine) {
        self.spawn();
        self.wait_healthy(0);
        self.wait_healthy(1);
        eventually("a refusal", || {
            let said = self.members[0].log();
            said.contains("rejected connection").then_some(()).ok_or(said)
        });
        assert!(engine != Engine::Ours || self.is_healthy(2).is_err());
    }
}

#[test]
fn three_members_with_certificates_are_a_cluster() {
    for engine in engines() {
        let mut trio = Trio::new(engine, &Leaf::server("server"), &[]);
        trio.spawn();
        for index in 0..3 {
            trio.wait_healthy(index);
        }
        // Who has no certificate is not heard at all.
        let stranger = client(&trio.authority.file, None);
        let answer = get(trio.members[0].peer.number, "/version", Some(&stranger), "");
        assert!(answer.is_err(), "{engine}: {answer:?}");
    }
}

#[test]
fn a_member_that_comes_from_elsewhere_is_refused() {
    let elsewhere = Leaf { hosts: vec!["10.1.2.3"], ..Leaf::server("server") };
    for engine in engines() {
        Trio::new(engine, &elsewhere, &[]).third_is_refused(engine);
    }
    let skip = ["--peer-skip-client-san-verification".to_owned()];
    let mut trio = Trio::new(Engine::Ours, &elsewhere, &skip);
    trio.spawn();
    for index in 0..3 {
        trio.wait_healthy(index);
    }
}

#[test]
fn a_member_of_another_name_is_refused() {
    for engine in engines() {
        let allowed = ["--peer-cert-allowed-cn=server".to_owned()];
        Trio::new(engine, &Leaf::server("mallory"), &allowed).third_is_refused(engine);
    }
}

#[test]
fn a_revoked_member_is_refused() {
    for engine in engines() {
        let revoked = Leaf { serial: 666, ..Leaf::server("server") };
        let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let words = [format!("--peer-crl-file={}", file.path().display())];
        let mut trio = Trio::new(engine, &revoked, &words);
        trio.authority.revoke(file.path(), &[666]);
        trio.third_is_refused(engine);
    }
}

#[test]
fn members_that_make_their_own_certificates_are_a_cluster() {
    let pki = Pki::new();
    let root = pki.directory.path();
    for engine in engines() {
        let names = [format!("{engine:?}1"), format!("{engine:?}2"), format!("{engine:?}3")];
        let members: Vec<Member> =
            names.iter().map(|name| Member::new(engine, name, root)).collect();
        let cluster: Vec<String> =
            members.iter().map(|one| format!("{}={}", one.name, one.peer_url("https"))).collect();
        let mut members: Vec<Member> = members
            .into_iter()
            .map(|member| {
                let (url, peer) = (member.client_url("http"), member.peer_url("https"));
                let words = [
                    format!("--listen-client-urls={url}"),
                    format!("--advertise-client-urls={url}"),
                    format!("--listen-peer-urls={peer}"),
                    format!("--initial-advertise-peer-urls={peer}"),
                    format!("--initial-cluster={}", cluster.join(",")),
                    "--peer-auto-tls".to_owned(),
                ];
                member.with(&words)
            })
            .collect();
        for member in &mut members {
            member.spawn();
        }
        for member in &mut members {
            member.wait_ready();
            assert!(member.directory.join("fixtures/peer/key.pem").exists(), "{engine}");
        }
    }
}
