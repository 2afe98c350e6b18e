//! HTTP/1.1 to the byte: exactly the request that is written here, and the whole answer.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use crate::support::PATIENCE;

/// An answer. Names of headers are in lower case.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// A header that holds a number.
    #[track_caller]
    pub fn number(&self, name: &str) -> u64 {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        value.parse().unwrap()
    }

    /// Where the store stood.
    #[track_caller]
    pub fn index(&self) -> u64 {
        self.number("x-etcd-index")
    }

    /// The answer, which must have this status.
    #[track_caller]
    pub fn with_status(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }
}

/// An answer that is still being given.
pub struct Open {
    pub head: Answer,
    stream: BufReader<TcpStream>,
    rest: String,
}

/// Sends a request and reads the head of its answer.
pub fn open(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Open {
    let address = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    // A server may refuse before it has read all.
    let _ = stream.write_all(body);
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).unwrap();
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status in {line:?} of {method} {path}"));
    let mut answer = Answer { status, headers: BTreeMap::new(), body: String::new() };
    loop {
        line.clear();
        stream.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        answer.headers.insert(name.to_lowercase(), value.to_owned());
    }
    Open { head: answer, stream, rest: String::new() }
}

impl Open {
    fn is_chunked(&self) -> bool {
        self.head.headers.get("transfer-encoding").is_some_and(|value| value == "chunked")
    }

    /// The next piece of the body; "" at its end.
    fn chunk(&mut self) -> String {
        let mut size = String::new();
        if self.stream.read_line(&mut size).unwrap() == 0 {
            return String::new();
        }
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let mut piece = vec![0; size + 2];
        self.stream.read_exact(&mut piece).unwrap();
        piece.truncate(size);
        String::from_utf8(piece).unwrap()
    }

    /// The next line of the body as JSON, or `None` at its end.
    pub fn line(&mut self) -> Option<Value> {
        assert!(self.is_chunked(), "{:?}", self.head);
        loop {
            if let Some((line, rest)) = self.rest.split_once('\n') {
                let value = serde_json::from_str(line).unwrap();
                self.rest = rest.to_owned();
                return Some(value);
            }
            match self.chunk() {
                end if end.is_empty() => return None,
                piece => self.rest.push_str(&piece),
            }
        }
    }

    /// The whole answer.
    pub fn finish(mut self) -> Answer {
        let mut body = std::mem::take(&mut self.rest);
        if self.is_chunked() {
            loop {
                match self.chunk() {
                    end if end.is_empty() => break,
                    piece => body.push_str(&piece),
                }
            }
        } else {
            let mut bytes = Vec::new();
            // It may end the connection hard after a refusal.
            let _ = self.stream.read_to_end(&mut bytes);
            body = String::from_utf8(bytes).unwrap();
        }
        Answer { body, ..self.head }
    }
}

/// Sends a request and reads its answer.
pub fn request(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    open(url, method, path, headers, body).finish()
}
