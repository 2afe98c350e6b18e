//! Three members for a client from elsewhere: plain, or with TLS everywhere and certificates
//! asked of clients. Users come with [`World::enable_auth`].

use std::process::Command;

use crate::member::Member;
use crate::pki::{Leaf, Pair, Pki};
use crate::support::client::Client;
use crate::support::tools::{Ctl, Engine};
use crate::support::{eventually, http};

/// How clients connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Plain,
    Tls,
    /// TLS, and clients' certificates name nobody: with a name the gateway refuses whoever
    /// shows one, as etcd's does.
    TlsWithoutName,
}

/// Somebody with the role root, and somebody who may only use keys below `limited/`.
pub const ROOT: &str = "root:rootpw";
pub const LIMITED: &str = "alice:alicepw";

/// A running cluster.
pub struct World {
    members: Vec<Member>,
    wire: Wire,
    authority: std::path::PathBuf,
    client: Pair,
    _pki: Pki,
}

impl World {
    /// Starts three members and waits until each serves.
    pub fn start(wire: Wire) -> World {
        let pki = Pki::new();
        let root = pki.directory.path();
        let authority = pki.authority("authority");
        let server = authority.issue(root, "server", &Leaf::server("server"));
        let name = if wire == Wire::TlsWithoutName { "" } else { "stranger" };
        let client = authority.issue(root, "client", &Leaf::client(name));
        let scheme = scheme(wire);
        let members = ["n1", "n2", "n3"].map(|name| Member::new(Engine::Ours, name, root));
        let cluster: Vec<String> =
            members.iter().map(|one| format!("{}={}", one.name, one.peer_url(scheme))).collect();
        let members = members.into_iter().map(|member| {
            let mut words = flags(&member, scheme, &cluster.join(","));
            if wire != Wire::Plain {
                words.extend(tls_flags(&authority.file, &server));
            }
            member.with(&words)
        });
        let mut members: Vec<Member> = members.collect();
        members.iter_mut().for_each(Member::spawn);
        members.iter_mut().for_each(Member::wait_ready);
        World { members, wire, authority: authority.file, client, _pki: pki }
    }

    /// Its client addresses, without a scheme.
    pub fn hosts(&self) -> String {
        let hosts: Vec<String> =
            self.members.iter().map(|one| format!("127.0.0.1:{}", one.client.number)).collect();
        hosts.join(",")
    }

    /// The value of a key, as a member without TLS tells.
    pub fn value(&self, key: &str) -> String {
        let client = Client::new(&self.members[0].client_url("http"));
        client.get(key, false).unwrap().unwrap_or_default()
    }

    /// The value of a v2 key.
    pub fn v2_value(&self, key: &str) -> String {
        let url = self.members[0].client_url("http");
        let path = format!("/v2/keys{key}?quorum=true");
        let mut answer = http::send(&url, "GET", &path, &[], "");
        let body = answer.text();
        assert_eq!(answer.status, 200, "{body}");
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap();
        answer["node"]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// Kills the member that leads, for good.
    pub fn kill_leader(&mut self) {
        let place = eventually("a leader", || {
            for (place, member) in self.members.iter().enumerate() {
                let (own, leader) = Client::new(&member.client_url("http")).leader()?;
                if own == leader {
                    return Ok(place);
                }
            }
            Err("nobody leads".into())
        });
        // A member ends with its owner.
        drop(self.members.remove(place));
    }

    fn endpoints(&self) -> String {
        let scheme = scheme(self.wire);
        let urls: Vec<String> = self.members.iter().map(|one| one.client_url(scheme)).collect();
        urls.join(",")
    }

    /// What a script has to be told to get in.
    pub fn arguments(&self) -> Vec<String> {
        self.arguments_for(&self.endpoints())
    }

    fn arguments_for(&self, endpoints: &str) -> Vec<String> {
        let mut words = vec![format!("--endpoints={endpoints}")];
        if self.wire != Wire::Plain {
            words.push(format!("--cacert={}", self.authority.display()));
            words.push(format!("--cert={}", self.client.cert.display()));
            words.push(format!("--key={}", self.client.key.display()));
        }
        words
    }

    /// The same for the flags of `ETCDCTL_API=2 etcdctl`.
    pub fn arguments_of_api_2(&self) -> Vec<String> {
        let names =
            [("--cacert=", "--ca-file="), ("--cert=", "--cert-file="), ("--key=", "--key-file=")];
        let renamed = |word: String| {
            let name = names.iter().find(|(new, _)| word.starts_with(new));
            name.map_or(word.clone(), |(new, old)| word.replacen(new, old, 1))
        };
        self.arguments().into_iter().map(renamed).collect()
    }

    fn etcdctl(&self, endpoints: &str, words: &str) -> Result<(), String> {
        let output = Command::new(Ctl::V35.program()?)
            .env("ETCDCTL_API", "3")
            .args(self.arguments_for(endpoints))
            .args(words.split(' '))
            .output()
            .map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(()),
            false => Err(format!("{words}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Makes [`ROOT`] and [`LIMITED`], and asks for them from now on.
    pub fn enable_auth(&self) {
        let words = [
            &format!("user add {ROOT}"),
            "user grant-role root root",
            "role add limited",
            "role grant-permission limited readwrite limited/ --prefix=true",
            &format!("user add {LIMITED}"),
            "user grant-role alice limited",
            "auth enable",
        ];
        for words in words {
            self.etcdctl(&self.endpoints(), words).unwrap();
        }
        // Each member must have heard of it, or the next client would be let in as nobody.
        for member in &self.members {
            let url = member.client_url(scheme(self.wire));
            eventually("a member that asks for users", || {
                match self.etcdctl(&url, "get limited/ --consistency=s") {
                    Ok(()) => Err(format!("{url} lets anybody in")),
                    Err(_) => Ok(()),
                }
            });
        }
    }
}

fn scheme(wire: Wire) -> &'static str {
    match wire {
        Wire::Plain => "http",
        Wire::Tls | Wire::TlsWithoutName => "https",
    }
}

fn flags(member: &Member, scheme: &str, cluster: &str) -> Vec<String> {
    let (client, peer) = (member.client_url(scheme), member.peer_url(scheme));
    vec![
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster={cluster}"),
    ]
}

fn tls_flags(authority: &std::path::Path, server: &Pair) -> Vec<String> {
    let (cert, key, trusted) = (server.cert.display(), server.key.display(), authority.display());
    ["", "peer-"]
        .iter()
        .flat_map(|side| {
            [
                format!("--{side}cert-file={cert}"),
                format!("--{side}key-file={key}"),
                format!("--{side}trusted-ca-file={trusted}"),
                format!("--{side}client-cert-auth"),
            ]
        })
        .collect()
}
