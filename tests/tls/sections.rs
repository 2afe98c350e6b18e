//! The sections of a configuration file that are about TLS.

use crate::engines;
use crate::member::{Member, client, get};
use crate::pki::{Leaf, Pki};
use crate::support::eventually;
use crate::support::tools::Engine;

/// Two members and everything about them in files: the members know each other by certificates,
/// and so do they their clients.
fn two_members_by_files(engine: Engine) {
    let pki = Pki::new();
    let root = pki.directory.path();
    let authority = pki.authority("authority");
    let pair = authority.issue(root, "server", &Leaf::server("server"));
    let members = ["n1", "n2"].map(|name| Member::new(engine, name, root));
    let [first, second] = members.each_ref().map(|member| member.peer_url("https"));
    let cluster = format!("n1={first},n2={second}");
    let section = format!(
        "  cert-file: {}\n  key-file: {}\n  trusted-ca-file: {}\n  client-cert-auth: true\n",
        pair.cert.display(),
        pair.key.display(),
        authority.file.display(),
    );
    let mut members = members.map(|member| {
        let (url, peer) = (member.client_url("https"), member.peer_url("https"));
        let text = format!(
            "name: {}\ndata-dir: {}\nlisten-client-urls: {url}\nadvertise-client-urls: {url}\n\
             listen-peer-urls: {peer}\ninitial-advertise-peer-urls: {peer}\n\
             initial-cluster: {cluster}\nclient-transport-security:\n{section}\
             peer-transport-security:\n{section}  allowed-cn: [other, server]\n",
            member.name,
            member.directory.display(),
        );
        // etcd 3.5 has one name there, not a list.
        let text = match engine {
            Engine::Ours => text,
            _ => text.replace("[other, server]", "server"),
        };
        let file = root.join(format!("{}.yml", member.name));
        std::fs::write(&file, text).unwrap();
        member.with(&[format!("--config-file={}", file.display())])
    });
    members.iter_mut().for_each(Member::spawn);
    members.iter_mut().for_each(Member::wait_ready);

    let known = client(&authority.file, Some(&pair));
    let stranger = client(&authority.file, None);
    for member in &members {
        let ask = |who| get(member.client.number, "/health", Some(who), "Host: localhost\r\n");
        eventually("a healthy member", || match ask(&known)? {
            (200, _) => Ok(()),
            answer => Err(format!("{answer:?}")),
        });
        assert!(ask(&stranger).is_err(), "{engine}");
        assert!(get(member.peer.number, "/version", Some(&stranger), "").is_err(), "{engine}");
    }
}

#[test]
fn tls_of_clients_and_members_by_configuration_files() {
    engines().into_iter().for_each(two_members_by_files);
}
