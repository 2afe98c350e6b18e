//! Founders that find each other in DNS, asked of a small name server of this test.

use std::net::UdpSocket;
use std::sync::Arc;

use crate::support::process::Process;
use crate::support::tools::Engine;
use crate::{assert_one_cluster, directory, members};

const SRV: u16 = 33;
const A: u16 = 1;

/// What the name server knows.
#[derive(Clone, Debug)]
struct Zone {
    /// The service's full name, and host and port of its servers.
    services: Vec<(String, Vec<(String, u16)>)>,
    /// Hosts; all of them are 127.0.0.1.
    hosts: Vec<String>,
}

/// Serves until the test's process ends; returns its address.
fn serve(zone: Zone) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let zone = Arc::new(zone);
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            if let Some(answer) = answer(&zone, &buffer[..length]) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    address
}

/// A response to the one question of a query.
fn answer(zone: &Zone, query: &[u8]) -> Option<Vec<u8>> {
    let mut labels = Vec::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(query.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*query.get(at)?, *query.get(at + 1)?]);
    let question = query.get(12..at + 4)?;
    let name = labels.join(".");
    let is_known = zone.hosts.contains(&name) || zone.services.iter().any(|(it, _)| *it == name);
    let mut records: Vec<(u16, Vec<u8>)> = Vec::new();
    if kind == A && zone.hosts.contains(&name) {
        records.push((A, vec![127, 0, 0, 1]));
    }
    for (_, servers) in zone.services.iter().filter(|(it, _)| kind == SRV && *it == name) {
        for (host, port) in servers {
            let mut data = vec![0, 0, 0, 0];
            data.extend(port.to_be_bytes());
            for label in host.split('.') {
                data.push(label.len() as u8);
                data.extend(label.as_bytes());
            }
            data.push(0);
            records.push((SRV, data));
        }
    }
    let mut out = query[..2].to_vec();
    // A response with authority; the name does not exist (3) or simply has no such record.
    out.extend([0x84, if is_known { 0x80 } else { 0x83 }, 0, 1]);
    out.extend((records.len() as u16).to_be_bytes());
    out.extend([0, 0, 0, 0]);
    out.extend(question);
    for (kind, data) in records {
        out.extend([0xc0, 12]);
        out.extend(kind.to_be_bytes());
        out.extend([0, 1, 0, 0, 0, 60]);
        out.extend((data.len() as u16).to_be_bytes());
        out.extend(data);
    }
    Some(out)
}

fn port(url: &str) -> u16 {
    url.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// A zone in which `members` are the servers of a service.
fn zone(service: &str, members: &[Process]) -> Zone {
    let servers = members.iter().map(|member| ("localhost".to_owned(), port(&member.peer_url())));
    Zone {
        services: vec![(format!("_{service}._tcp.cluster.test"), servers.collect())],
        hosts: vec!["localhost".into()],
    }
}

fn ask(members: &mut [Process], server: &str) {
    for member in members {
        member.environment.push(("ETCD_TUI_DNS_SERVER".into(), server.into()));
    }
}

/// Each is told to the others as DNS has it: by the name of its host.
fn advertised(member: &Process) -> String {
    format!("--initial-advertise-peer-urls=http://localhost:{}", port(&member.peer_url()))
}

fn found_by(service: &str, flags: &[&str]) {
    let root = directory();
    let mut all = members(Engine::Ours, &root, 3);
    let server = serve(zone(service, &all));
    ask(&mut all, &server);
    for member in &mut all {
        let advertised = advertised(member);
        let mut flags = flags.to_vec();
        flags.push(&advertised);
        member.start(&flags);
    }
    for member in &mut all {
        member.wait_healthy();
    }
    all[0].client().put("found", "by name").unwrap();
    assert_eq!(all[2].client().get("found", false).unwrap().as_deref(), Some("by name"));
    crate::support::eventually("everybody's name", || {
        let mut names: Vec<String> =
            all[0].client().members()?.into_iter().map(|member| member.name).collect();
        names.sort();
        if names == ["n1", "n2", "n3"] { Ok(()) } else { Err(format!("{names:?}")) }
    });
}

#[test]
fn members_find_each_other_in_dns() {
    found_by("etcd-server", &["--discovery-srv=cluster.test"]);
}

#[test]
fn a_suffix_names_one_of_several_clusters() {
    found_by("etcd-server-blue", &["--discovery-srv=cluster.test", "--discovery-srv-name=blue"]);
}

/// The member that is reached by address is the same one.
#[test]
fn a_member_may_advertise_its_address() {
    let root = directory();
    let mut all = members(Engine::Ours, &root, 1);
    let mut zone = zone("etcd-server", &all);
    for (_, servers) in &mut zone.services {
        servers[0].0 = "h1.cluster.test".into();
    }
    zone.hosts.push("h1.cluster.test".into());
    let server = serve(zone);
    ask(&mut all, &server);
    all[0].start(&["--discovery-srv=cluster.test"]);
    all[0].wait_healthy();
    all[0].wait_log("got bootstrap from DNS for etcd-server");
}

#[test]
fn a_domain_without_this_member_ends_the_start() {
    let root = directory();
    let mut all = members(Engine::Ours, &root, 2);
    let mut stranger = vec![all.pop().unwrap()];
    let server = serve(zone("etcd-server", &all));
    ask(&mut stranger, &server);
    let advertised = advertised(&stranger[0]);
    let flags = ["--discovery-srv=cluster.test", &*advertised];
    stranger[0].refuses(&flags, "cannot find local etcd member \\\"n2\\\" in SRV records");
    let flags = ["--discovery-srv=other.test", &*advertised];
    stranger[0].refuses(&flags, "error querying DNS SRV records for _etcd-server");
}

/// `/health` is asked of the gateway, and answered by the member.
#[test]
fn a_gateway_finds_the_members_in_dns() {
    let root = directory();
    let mut all = members(Engine::Ours, &root, 2);
    let mut gateway = all.pop().unwrap();
    let list = format!("--initial-cluster={}", crate::listed(&all));
    all[0].start(&[&list]);
    all[0].wait_healthy();
    let servers = vec![("localhost".to_owned(), port(&all[0].client_url()))];
    let server = serve(Zone {
        services: vec![("_etcd-client._tcp.cluster.test".to_owned(), servers)],
        hosts: vec!["localhost".into()],
    });
    gateway.environment.push(("ETCD_TUI_DNS_SERVER".into(), server));
    let listen = format!("--listen-addr=127.0.0.1:{}", port(&gateway.client_url()));
    let command = |gateway: &Process, flags: &[&str]| {
        let mut command = gateway.bare_command();
        command.args(["gateway", "start", "--discovery-srv=cluster.test", &listen]).args(flags);
        command
    };
    gateway.start_as(command(&gateway, &[]));
    assert_eq!(gateway.wait_exit().code(), Some(1), "{}", gateway.log());
    assert!(gateway.log().contains("is insecure"), "{}", gateway.log());
    gateway.start_as(command(&gateway, &["--insecure-discovery"]));
    gateway.wait_healthy();
}

#[test]
fn these_members_are_one_cluster_also_when_listed() {
    // The same check on the static way, so that the two above are known to check something.
    let root = directory();
    let mut all = members(Engine::Ours, &root, 3);
    let list = format!("--initial-cluster={}", crate::listed(&all));
    for member in &mut all {
        member.start(&[&list]);
    }
    assert_one_cluster(&mut all);
}
