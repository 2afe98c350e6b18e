//! What is said to the client port as HTTP, or as nothing at all.
//!
//! Bytes go in by hand, because no HTTP library would send these.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

mod ours {
    #[test]
    fn bad_bytes_get_their_answers() {
        crate::run_on_wire(crate::Engine::Ours, super::bad_bytes_get_their_answers);
    }
}

mod etcd35 {
    #[test]
    fn bad_bytes_get_their_answers() {
        crate::run_on_wire(crate::Engine::Etcd35, super::bad_bytes_get_their_answers);
    }
}

struct Row {
    name: &'static str,
    said: Vec<u8>,
    /// The status of the answer; 0 for none.
    answer: u16,
    /// What is in it.
    text: &'static str,
    /// The status from etcd 3.5.1 where it differs.
    etcd35: Option<u16>,
}

fn row(name: &'static str, said: impl Into<Vec<u8>>, answer: u16, text: &'static str) -> Row {
    Row { name, said: said.into(), answer, text, etcd35: None }
}

impl Row {
    fn etcd35(mut self, answer: u16) -> Row {
        self.etcd35 = Some(answer);
        self
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
}

fn send(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn rows() -> Vec<Row> {
    let long = format!("GET /health HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(2 << 20));
    let (line, close) = ("GET /health HTTP/1.1\r\n", "Connection: close\r\n");
    let post = format!("POST /v3/kv/range HTTP/1.1\r\nHost: x\r\n{close}");
    let lengths = "Content-Length: 2\r\nContent-Length: 3\r\n";
    let chunked = "Transfer-Encoding: chunked\r\n";
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    vec![
        row("a path that is not there", get("/nothing"), 404, "404 page not found"),
        row("a gateway's path that is not there", get("/v3/nothing"), 404, "Not Found"),
        row("health is only read", send("PUT", "/health", ""), 405, "Method Not Allowed"),
        row("the version is only read", send("POST", "/version", ""), 405, "Method Not Allowed"),
        // Until 3.5 the gateway said what HTTP says.
        row("a gateway's path is only posted to", get("/v3/kv/range"), 501, "Method Not Allowed")
            .etcd35(405),
        row("no JSON", send("POST", "/v3/kv/range", "nonsense"), 400, "\"code\":3"),
        row("half a JSON", send("POST", "/v3/kv/range", "{\"key\":"), 400, "unexpected EOF"),
        row("no base64", send("POST", "/v3/kv/range", "{\"key\":\"%\"}"), 400, "\"code\":3"),
        row("JSON without a key", send("POST", "/v3/kv/range", "{}"), 400, "key is not provided"),
        row("a method of one's own", send("NONSENSE", "/health", ""), 405, "Method Not Allowed"),
        row("no host", format!("{line}{close}\r\n"), 400, "missing required Host header"),
        row("two hosts", format!("{line}Host: a\r\nHost: b\r\n{close}\r\n"), 400, "too many Host"),
        row("a head without an end", long, 431, ""),
        row("a negative length", format!("{post}Content-Length: -1\r\n\r\n"), 400, ""),
        row("two lengths", format!("{post}{lengths}\r\n{{}}"), 400, ""),
        row("no size of a chunk", format!("{post}{chunked}\r\nzz\r\n{{}}"), 400, "\"code\":3"),
        // What is no HTTP at all gets a word; etcd hangs up without one.
        row("a version of one's own", "GET /health HTTP/9.9\r\n\r\n", 400, "").etcd35(0),
        row("a line that is none", "what is this?\r\n\r\n", 400, "").etcd35(0),
        row("nothing but zeros", [[0; 64], [b'\n'; 64]].concat(), 400, "").etcd35(0),
        row("a preface and then nonsense", [&preface[..], &[0xff; 40]].concat(), 0, ""),
        row("a frame of 16 MiB", [&preface[..], &[0xff; 9]].concat(), 0, ""),
    ]
}

/// Says it, waits until the server hangs up, and returns the status and the text of the answer.
fn say(url: &str, said: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // A server may have heard enough before it has heard all.
    let _ = stream.write_all(said);
    let mut answer = Vec::new();
    let end = stream.read_to_end(&mut answer).map_err(|error| error.kind());
    assert_ne!(
        end,
        Err(std::io::ErrorKind::WouldBlock),
        "{:?} hangs",
        String::from_utf8_lossy(said)
    );
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
    (status.unwrap_or(0), text)
}

fn bad_bytes_get_their_answers(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let url = cluster.nodes[0].client_url();
    let mut wrong = Vec::new();
    for row in rows() {
        let expected = match engine {
            Engine::Ours => row.answer,
            _ => row.etcd35.unwrap_or(row.answer),
        };
        let (status, text) = say(&url, &row.said);
        if status != expected || !text.contains(row.text) {
            let head: String = text.chars().take(300).collect();
            wrong.push(format!("{}: {status} instead of {expected}: {head:?}", row.name));
        }
        assert_eq!(cluster.nodes[0].http("/health").unwrap().0, 200, "after {}", row.name);
    }
    assert!(wrong.is_empty(), "{engine}:\n{}", wrong.join("\n"));
}
