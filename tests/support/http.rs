//! HTTP/1.1 spoken by hand: what is sent and what comes back, byte by byte.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::Value;

use super::PATIENCE;

/// An answer whose head has been read; the body comes as it is sent.
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The connection, for more of the request's body while the answer comes.
    pub stream: TcpStream,
    body: BufReader<TcpStream>,
    /// Bytes of the chunk that are still to come; `None` if the body is not chunked.
    chunk: Option<usize>,
}

/// Sends a request and waits for the head of the answer.
pub fn send(url: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = connect(url);
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).expect("a head is sent");
    // A server may refuse before it has read everything.
    let _ = stream.write_all(body.as_bytes());
    Answer::read(stream)
}

/// Begins a request whose body is sent piece by piece with [`write_chunk`].
pub fn begin(url: &str, path: &str) -> TcpStream {
    let mut stream = connect(url);
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("a head is sent");
    stream
}

/// Sends a piece of a body; an empty one ends it.
pub fn write_chunk(stream: &mut TcpStream, text: &str) {
    write!(stream, "{:x}\r\n{text}\r\n", text.len()).expect("a piece is sent");
}

fn connect(url: &str) -> TcpStream {
    let address = url.strip_prefix("http://").expect("a plain URL");
    let stream = TcpStream::connect(address).expect("a listener");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

impl Answer {
    /// Waits for the head of an answer.
    pub fn read(stream: TcpStream) -> Answer {
        let mut body = BufReader::new(stream.try_clone().expect("a second handle"));
        let mut line = String::new();
        let mut next = |line: &mut String| {
            line.clear();
            body.read_line(line).expect("a line of the head");
            line.truncate(line.trim_end().len());
        };
        next(&mut line);
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
        let mut headers = Vec::new();
        loop {
            next(&mut line);
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let chunked = headers.iter().any(|(name, _)| name == "transfer-encoding");
        Answer { status, headers, stream, body, chunk: chunked.then_some(0) }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The whole body.
    pub fn text(&mut self) -> String {
        let mut text = Vec::new();
        if self.chunk.is_none() {
            let length = self.header("content-length").and_then(|length| length.parse().ok());
            if length.is_none() && self.header("connection") == Some("close") {
                self.body.read_to_end(&mut text).expect("a body");
            } else {
                text.resize(length.unwrap_or(0), 0);
                self.body.read_exact(&mut text).expect("a body");
            }
        } else {
            while let Some(byte) = self.byte() {
                text.push(byte);
            }
        }
        String::from_utf8(text).expect("text")
    }

    /// The whole body, which is JSON.
    pub fn json(&mut self) -> Value {
        let text = self.text();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    /// The next line of a stream; nothing at its end.
    pub fn line(&mut self) -> Option<Value> {
        let mut line = Vec::new();
        while let Some(byte) = self.byte() {
            if byte == b'\n' {
                return Some(serde_json::from_slice(&line).expect("a line of JSON"));
            }
            line.push(byte);
        }
        assert!(line.is_empty(), "a line without an end");
        None
    }

    /// The next byte of a chunked body.
    fn byte(&mut self) -> Option<u8> {
        let left = self.chunk.expect("a stream is sent in chunks");
        if left == 0 {
            let mut size = String::new();
            while size.trim().is_empty() {
                size.clear();
                self.body.read_line(&mut size).expect("the size of a chunk");
            }
            let size = usize::from_str_radix(size.trim(), 16).expect("a size");
            if size == 0 {
                return None;
            }
            self.chunk = Some(size);
        }
        let mut byte = [0];
        self.body.read_exact(&mut byte).expect("a byte of a chunk");
        self.chunk = self.chunk.map(|left| left - 1);
        Some(byte[0])
    }
}
