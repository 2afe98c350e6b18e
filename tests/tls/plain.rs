//! Listeners apart from TLS: Unix sockets, ports for HTTP and for metrics, who may ask.

use std::process::Command;

use crate::engines;
use crate::member::{Member, get};
use crate::pki::{Leaf, Pki};
use crate::support::eventually;
use crate::support::ports;
use crate::support::tools::{Ctl, Engine, are_there};

#[test]
fn a_unix_socket_is_a_file_of_the_working_directory() {
    if !are_there([Ctl::V35.program()]) {
        return;
    }
    for engine in engines() {
        for scheme in ["unix", "unixs"] {
            let pki = Pki::new();
            let root = pki.directory.path();
            let authority = pki.authority("authority");
            let pair = authority.issue(root, "server", &Leaf::server("server"));
            let member = Member::new(engine, "n1", root);
            let place = format!("localhost:{}", member.client.number);
            let url = format!("{scheme}://{place}");
            let words = [
                format!("--cert-file={}", pair.cert.display()),
                format!("--key-file={}", pair.key.display()),
            ];
            let words = if scheme == "unixs" { &words[..] } else { &[] };
            let mut member = member.alone(&url).with(words).start();
            let run = |words: &[&str]| {
                let mut command = Command::new(Ctl::V35.program().unwrap());
                command.arg(format!("--endpoints={url}")).args(words).current_dir(root);
                if scheme == "unixs" {
                    command.arg(format!("--cacert={}", authority.file.display()));
                }
                command.output().unwrap()
            };
            let put = run(&["put", "k", "v"]);
            assert_eq!(String::from_utf8_lossy(&put.stdout), "OK\n", "{engine}, {url}: {put:?}");
            assert!(root.join(&place).exists(), "{engine}");
            // The file that a killed member has left is in nobody's way.
            member.restart();
            let got = run(&["get", "k"]);
            assert_eq!(String::from_utf8_lossy(&got.stdout), "k\nv\n", "{engine}: {got:?}");
        }
    }
}

#[test]
fn metrics_and_health_have_a_port_of_their_own() {
    for engine in engines() {
        let pki = Pki::new();
        let metrics = ports::reserve();
        let words = [format!("--listen-metrics-urls=http://127.0.0.1:{}", metrics.number)];
        let member = Member::new(engine, "n1", pki.directory.path());
        let url = member.client_url("http");
        let _member = member.alone(&url).with(&words).start();
        let ask = |path: &str| get(metrics.number, path, None, "Host: localhost\r\n");
        let (status, body) = eventually("the port of metrics", || ask("/metrics"));
        assert_eq!((status, body.contains("etcd_server_has_leader 1")), (200, true), "{engine}");
        assert_eq!(ask("/health").unwrap().0, 200, "{engine}");
        assert_eq!(ask("/version").unwrap().0, 404, "{engine}");
    }
}

#[test]
fn http_may_have_a_port_of_its_own() {
    if !are_there([Ctl::V35.program()]) {
        return;
    }
    let pki = Pki::new();
    let http = ports::reserve();
    let words = [format!("--listen-client-http-urls=http://127.0.0.1:{}", http.number)];
    let member = Member::new(Engine::Ours, "n1", pki.directory.path());
    let url = member.client_url("http");
    let member = member.alone(&url).with(&words).start();
    let ask =
        |port: u16| get(port, "/version", None, "Host: localhost\r\n").map(|(status, _)| status);
    assert_eq!(ask(http.number), Ok(200));
    assert_ne!(ask(member.client.number), Ok(200));
    let put = |endpoint: &str| {
        let mut command = Command::new(Ctl::V35.program().unwrap());
        command.arg(format!("--endpoints={endpoint}")).args([
            "--command-timeout=3s",
            "put",
            "k",
            "v",
        ]);
        command.output().unwrap().status.success()
    };
    assert!(put(&url));
    assert!(!put(&format!("http://127.0.0.1:{}", http.number)));
}

#[test]
fn names_and_origins_are_checked_as_etcd_does() {
    for engine in engines() {
        let pki = Pki::new();
        let words = [
            "--host-whitelist=good.example".to_owned(),
            "--cors=http://page.example:80".to_owned(),
        ];
        let member = Member::new(engine, "n1", pki.directory.path());
        let url = member.client_url("http");
        let member = member.alone(&url).with(&words).start();
        let ask = |headers: &str| get(member.client.number, "/version", None, headers).unwrap();
        assert_eq!(ask("Host: good.example\r\n").0, 200, "{engine}");
        assert_eq!(ask("Host: good.example:2379\r\n").0, 200, "{engine}");
        let (status, body) = ask("Host: evil.example\r\n");
        assert_eq!(status, 421, "{engine}");
        assert!(body.contains("--host-whitelist \"evil.example\""), "{engine}: {body}");
        let (status, body) = ask("Host: good.example\r\nOrigin: http://page.example:80\r\n");
        assert_eq!(status, 200, "{engine}");
        assert!(body.contains("http://page.example:80{"), "{engine}: {body}");
        let (_, body) = ask("Host: good.example\r\nOrigin: http://other.example:80\r\n");
        assert!(body.starts_with('{'), "{engine}: {body}");
    }
}

#[test]
fn the_authority_of_requests_is_printed_on_request() {
    if !are_there([Ctl::V35.program()]) {
        return;
    }
    for engine in engines() {
        let pki = Pki::new();
        let member = Member::new(engine, "n1", pki.directory.path());
        let url = member.client_url("http");
        let place = format!("localhost:{}", member.client.number);
        let member = member.alone(&url).with_variable("GODEBUG", "http2debug=2").start();
        let mut command = Command::new(Ctl::V35.program().unwrap());
        let output = command.arg(format!("--endpoints={place}")).args(["get", "k"]).output();
        assert!(output.unwrap().status.success(), "{engine}");
        let log = member.log();
        let line = log
            .lines()
            .find(|line| line.contains("http2: decoded hpack field header field \":authority\""))
            .unwrap_or_else(|| panic!("{engine}: {log}"));
        assert!(line.ends_with(&format!(" = {place:?}")), "{engine}: {line}");
    }
}
