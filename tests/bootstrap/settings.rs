//! How a member is told its settings, and how it tells that it is ready.

use std::os::unix::net::UnixDatagram;

use crate::directory;
use crate::support::process::Process;
use crate::support::tools::{self, Engine};

/// A member whose configuration file says everything; flags and variables say something else.
fn a_file_decides(engine: Engine) {
    if !tools::are_there([engine.program()]) {
        return;
    }
    let root = directory();
    let mut member = Process::new(engine, root.path(), "n1");
    let path = root.path().join("etcd.yml");
    let (client, peer) = (member.client_url(), member.peer_url());
    let data = member.directory.display().to_string();
    let text = format!(
        "# written for etcd\nname: n1\ndata-dir: {data}\nwal-dir:\nsnapshot-count: 10000\n\
         heartbeat-interval: 50\nelection-timeout: 500\nlisten-peer-urls: {peer}\n\
         listen-client-urls: {client}\ninitial-advertise-peer-urls: {peer}\n\
         advertise-client-urls: {client}\ndiscovery:\ninitial-cluster: n1={peer}\n\
         initial-cluster-token: 'of the file'\ninitial-cluster-state: new\n\
         strict-reconfig-check: false\nlogger: zap\nlog-outputs: [stderr]\n\
         auto-compaction-mode: periodic\nauto-compaction-retention: \"1\"\n"
    );
    std::fs::write(&path, text).unwrap();
    member.environment.push(("ETCD_NAME".into(), "variable".into()));
    let mut command = member.bare_command();
    command.arg(format!("--config-file={}", path.display())).arg("--name=flag");
    member.start_as(command);
    member.wait_healthy();
    crate::support::eventually("the name of the file", || {
        match member.client().members()?.first() {
            Some(one) if one.name == "n1" => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

#[test]
fn a_file_decides_for_ours() {
    a_file_decides(Engine::Ours);
}

#[test]
fn a_file_decides_for_etcd34() {
    a_file_decides(Engine::Etcd34);
}

#[test]
fn a_file_decides_for_etcd35() {
    a_file_decides(Engine::Etcd35);
}

#[test]
fn a_misspelt_key_ends_the_start_with_its_name() {
    let root = directory();
    let path = root.path().join("etcd.yml");
    std::fs::write(&path, "name: n1\nelection-timout: 500\n").unwrap();
    let member = Process::new(Engine::Ours, root.path(), "n1");
    let mut command = member.bare_command();
    let output = command.env("ETCD_CONFIG_FILE", &path).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains("unknown key \"election-timout\""), "{said}");
}

#[test]
fn log_lines_go_where_they_are_told() {
    let root = directory();
    let mut member = Process::new(Engine::Ours, root.path(), "n1");
    let list = format!("--initial-cluster=n1={}", member.peer_url());
    let file = root.path().join("logs/node.json");
    let outputs = format!("--log-outputs=stdout,{}", file.display());
    member.start(&[&list, &outputs, "--enable-log-rotation"]);
    member.wait_healthy();
    member.wait_log("ready to serve client requests");
    member.stop();
    let in_file = std::fs::read_to_string(&file).unwrap();
    assert_eq!(in_file, member.log(), "every line is in both places");
}

#[test]
fn a_service_manager_hears_that_the_member_is_ready() {
    let root = directory();
    let path = root.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let mut member = Process::new(Engine::Ours, root.path(), "n1");
    member.environment.push(("NOTIFY_SOCKET".into(), path.display().to_string()));
    let list = format!("--initial-cluster=n1={}", member.peer_url());
    member.start(&[&list]);
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"READY=1");
    // It is not said before it is true.
    assert_eq!(member.client().put("k", "v"), Ok(2));
}

#[test]
fn a_slow_request_is_logged() {
    let root = directory();
    let mut member = Process::new(Engine::Ours, root.path(), "n1");
    let list = format!("--initial-cluster=n1={}", member.peer_url());
    let slow = ["--warning-unary-request-duration=1ns", "--warning-apply-duration=1ns"];
    member.start(&[&list, slow[0], slow[1]]);
    member.wait_healthy();
    member.client().put("k", "v").unwrap();
    member.wait_log("apply request took too long");
    member.wait_log("\"msg\":\"request stats\"");
    assert!(member.log().contains("/etcdserverpb.KV/Put"), "{}", member.log());
}
