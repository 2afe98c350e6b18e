//! The heads of HTTP/1.1 exchanges that pass a proxy: as far as one must understand them.
//!
//! A proxy is asked in two ways: for a tunnel (`CONNECT host:port`), or to fetch a URL
//! (`GET http://host:port/path`). Everything after the head of a request is passed on as it
//! is. Members keep connections to a proxy open and would send requests for others on them;
//! so every exchange is told to be the last one of its connection.

/// Longest head.
pub const HEAD_MAX: usize = 64 << 10;

/// What a proxy is asked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ask {
    /// Of the member that is meant; hosts are all this machine.
    pub port: u16,
    /// What the member is sent; nothing for a tunnel.
    pub forward: Option<Forward>,
}

/// A request to pass on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Forward {
    /// Its head.
    pub head: Vec<u8>,
    /// Whether it says nothing by itself: what counts is in the answer.
    pub is_fetch: bool,
}

/// Why not: a status line, and a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refused(pub &'static str, pub String);

impl Refused {
    /// A destination that is no member, or none yet: a leader that has added one asks for it before
    /// the plan has it. Never a 403 or 410, from which etcd takes that it has been removed itself:
    /// it ends, for good.
    pub fn no_member(why: String) -> Self {
        Self("502 Bad Gateway", why)
    }
}

/// Length of the head that `bytes` begin with, if all of it is there.
pub fn length(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Reads the head of a request.
pub fn parse(head: &[u8]) -> Result<Ask, Refused> {
    let bad = |why: &str| Refused("400 Bad Request", why.to_owned());
    let text = std::str::from_utf8(head).map_err(|_| bad("the request is no text"))?;
    let (line, headers) = text.split_once("\r\n").unwrap_or((text, ""));
    let mut words = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(bad("the request line is not METHOD URL VERSION"));
    };
    if !version.starts_with("HTTP/1.") {
        return Err(bad("the request is not HTTP/1"));
    }
    if method == "CONNECT" {
        return Ok(Ask { port: port(target)?, forward: None });
    }
    let Some(rest) = target.strip_prefix("http://") else {
        return Err(bad("this is a proxy: it wants CONNECT, or a URL that begins with http://"));
    };
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let head = last_of_connection(&format!("{method} {path} {version}"), headers);
    let is_fetch = method == "GET" || method == "HEAD";
    Ok(Ask { port: port(authority)?, forward: Some(Forward { head, is_fetch }) })
}

/// The head of an answer as it is passed on, and whether another one follows it.
pub fn answer(head: &[u8]) -> Option<(Vec<u8>, bool)> {
    let text = std::str::from_utf8(head).ok()?;
    let (line, headers) = text.split_once("\r\n")?;
    let status = line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    if status.starts_with('1') {
        return Some((head.to_vec(), status != "101"));
    }
    Some((last_of_connection(line, headers), false))
}

fn last_of_connection(line: &str, headers: &str) -> Vec<u8> {
    let mut out = format!("{line}\r\n");
    for header in headers.split("\r\n").filter(|header| !header.is_empty()) {
        let name = header.split(':').next().unwrap_or_default().trim().to_ascii_lowercase();
        let about_connection = ["connection", "keep-alive"].contains(&name.as_str());
        if !about_connection && !name.starts_with("proxy-") {
            out.push_str(header);
            out.push_str("\r\n");
        }
    }
    out.push_str("Connection: close\r\n\r\n");
    out.into_bytes()
}

/// The port of an address on this machine. 0.0.0.0 is what members advertise so that Go asks
/// a proxy at all: it never does for loopback addresses.
fn port(authority: &str) -> Result<u16, Refused> {
    let elsewhere = || Refused::no_member(format!("{authority} is no member of this cluster"));
    let (host, port) = authority.rsplit_once(':').ok_or_else(elsewhere)?;
    let local = ["0.0.0.0", "127.0.0.1", "localhost", "[::]", "[::1]"];
    if !local.contains(&host) {
        return Err(elsewhere());
    }
    port.parse().map_err(|_| elsewhere())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tunnel_is_asked_for_by_address() {
        let head = b"CONNECT 0.0.0.0:2380 HTTP/1.1\r\nHost: 0.0.0.0:2380\r\n\r\n";
        assert_eq!(length(head), Some(head.len()));
        assert_eq!(parse(head).unwrap(), Ask { port: 2380, forward: None });
    }

    #[test]
    fn a_request_is_passed_on_as_the_last_of_its_connection() {
        let head = b"GET http://0.0.0.0:2380/raft/stream/message/1f HTTP/1.1\r\n\
                     Host: 0.0.0.0:2380\r\nProxy-Connection: keep-alive\r\n\
                     connection: keep-alive\r\nX-Raft-To: 2\r\n\r\n";
        let ask = parse(head).unwrap();
        assert_eq!(ask.port, 2380);
        let forward = ask.forward.unwrap();
        assert!(forward.is_fetch);
        assert_eq!(
            std::str::from_utf8(&forward.head).unwrap(),
            "GET /raft/stream/message/1f HTTP/1.1\r\nHost: 0.0.0.0:2380\r\nX-Raft-To: 2\r\n\
             Connection: close\r\n\r\n"
        );
        let post = b"POST http://127.0.0.1:1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let forward = parse(post).unwrap().forward.unwrap();
        assert!(!forward.is_fetch && forward.head.starts_with(b"POST / HTTP/1.1\r\nTransfer"));
    }

    #[test]
    fn it_is_no_way_out() {
        for (head, status) in [
            ("CONNECT example.com:443 HTTP/1.1\r\n\r\n", "502"),
            ("GET http://10.0.0.1:2380/ HTTP/1.1\r\n\r\n", "502"),
            ("GET http://0.0.0.0/ HTTP/1.1\r\n\r\n", "502"),
            ("CONNECT 127.0.0.1:99999 HTTP/1.1\r\n\r\n", "502"),
            ("GET http://user@127.0.0.1:2380/ HTTP/1.1\r\n\r\n", "502"),
            ("GET /version HTTP/1.1\r\n\r\n", "400"),
            ("PRI * HTTP/2.0\r\n\r\n", "400"),
            ("nonsense\r\n\r\n", "400"),
        ] {
            assert!(parse(head.as_bytes()).unwrap_err().0.starts_with(status), "{head}");
        }
    }

    #[test]
    fn answers_close_and_interim_ones_are_told_apart() {
        let (head, more) = answer(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n").unwrap();
        assert_eq!(
            (&head[..], more),
            (&b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"[..], false)
        );
        assert!(answer(b"HTTP/1.1 100 Continue\r\n\r\n").unwrap().1);
        assert!(answer(b"nonsense\r\n\r\n").is_none());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC*") {
            let _ = (length(&bytes), parse(&bytes), answer(&bytes));
            let _ = parse(format!("GET {text} HTTP/1.1\r\n{text}\r\n\r\n").as_bytes());
            let _ = answer(format!("HTTP/1.1 {text}\r\n{text}\r\n\r\n").as_bytes());
        }
    }
}
