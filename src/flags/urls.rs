//! URLs of members and clients, and the `name=url,name=url` form of a cluster.
//!
//! A URL here is `http://host:port` or `https://host:port` and nothing more, no path and no
//! name lookup; or a Unix socket, `unix://path` or `unixs://path` (with TLS), whose path is
//! often `localhost:port`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// How to speak at a URL, in the order of their names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    Http,
    Https,
    Unix,
    Unixs,
}

/// One URL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HttpUrl {
    pub scheme: Scheme,
    /// A name or an address, IPv6 without brackets; of a Unix socket the path.
    pub host: String,
    /// 0 for a Unix socket.
    pub port: u16,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Unix => "unix",
            Scheme::Unixs => "unixs",
        }
    }

    fn is_unix(self) -> bool {
        matches!(self, Scheme::Unix | Scheme::Unixs)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HttpUrl { scheme, host, port } = self;
        let name = scheme.name();
        if scheme.is_unix() {
            write!(f, "{name}://{host}")
        } else if host.contains(':') {
            write!(f, "{name}://[{host}]:{port}")
        } else {
            write!(f, "{name}://{host}:{port}")
        }
    }
}

impl HttpUrl {
    /// One URL, or why it is none.
    pub fn parse(text: &str) -> Result<HttpUrl, String> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let known = [Scheme::Http, Scheme::Https, Scheme::Unix, Scheme::Unixs];
        let Some(scheme) = known.into_iter().find(|known| known.name() == scheme) else {
            return Err(format!("URL scheme must be http, https, unix, or unixs: {text}"));
        };
        if scheme.is_unix() {
            if rest.is_empty() || rest.contains('\0') {
                return Err(format!("URL does not name a socket: {text}"));
            }
            return Ok(HttpUrl { scheme, host: rest.into(), port: 0 });
        }
        let (address, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if !matches!(path, "" | "/") {
            return Err(format!("URL must not contain a path: {text}"));
        }
        let form = || format!("URL address does not have the form \"host:port\": {text}");
        let (host, port) = match address.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once("]:").ok_or_else(form)?;
                host.parse::<Ipv6Addr>().map_err(|_| form())?;
                (host, port)
            }
            None => address.split_once(':').ok_or_else(form)?,
        };
        let port: u16 = port.parse().map_err(|_| form())?;
        let is_address = host.parse::<IpAddr>().is_ok();
        if host.is_empty() || !(is_address || host.chars().all(is_host_character)) {
            return Err(form());
        }
        Ok(HttpUrl { scheme, host: host.into(), port })
    }

    /// Whether a socket can be bound to it without asking a name server.
    pub fn is_bindable(&self) -> bool {
        self.scheme.is_unix() || self.host == "localhost" || self.host.parse::<IpAddr>().is_ok()
    }

    /// Equal as the member would reach it: `localhost` is 127.0.0.1.
    pub fn same_place(&self, other: &HttpUrl) -> bool {
        fn plain(host: &str) -> &str {
            if host == "localhost" { "127.0.0.1" } else { host }
        }
        self.scheme.is_unix() == other.scheme.is_unix()
            && self.port == other.port
            && plain(&self.host) == plain(&other.host)
    }
}

fn is_host_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_')
}

#[cfg(test)]
/// `url,url`, as it is written on a command line.
pub fn joined(urls: &[HttpUrl]) -> String {
    urls.iter().map(HttpUrl::to_string).collect::<Vec<_>>().join(",")
}

/// A comma-separated, not empty list, sorted as etcd sorts it.
pub fn list(text: &str) -> Result<Vec<HttpUrl>, String> {
    let mut urls = text.split(',').map(HttpUrl::parse).collect::<Result<Vec<HttpUrl>, String>>()?;
    urls.sort();
    Ok(urls)
}

/// A list of URLs this process is to bind.
pub fn listen_list(text: &str) -> Result<Vec<HttpUrl>, String> {
    let urls = list(text)?;
    match urls.iter().find(|url| !url.is_bindable()) {
        Some(url) => Err(format!("expected IP in URL for binding ({url})")),
        None => Ok(urls),
    }
}

/// `name=url,name=url`; a name may repeat. Order of first mention is kept.
pub fn cluster(text: &str) -> Result<Vec<(String, Vec<HttpUrl>)>, String> {
    let mut members: Vec<(String, Vec<HttpUrl>)> = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, url) = part
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| format!("{part:?} is not name=url"))?;
        let url = HttpUrl::parse(url)?;
        match members.iter_mut().find(|(known, _)| known == name) {
            Some((_, urls)) => urls.push(url),
            None => members.push((name.to_string(), vec![url])),
        }
    }
    for (_, urls) in &mut members {
        urls.sort();
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_prints_as_it_was_written() {
        for text in [
            "http://127.0.0.1:2379",
            "https://localhost:1",
            "http://[::1]:80",
            "unix://localhost:20000",
            "unixs:///run/etcd.sock",
        ] {
            assert_eq!(HttpUrl::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(HttpUrl::parse(" http://a.b-c:1/ ").unwrap().to_string(), "http://a.b-c:1");
    }

    #[test]
    fn what_is_no_host_and_port_is_refused() {
        let bad = [
            "",
            "127.0.0.1:2379",
            "http://",
            "http://localhost",
            "http://:2379",
            "http://a:b",
            "http://a:65536",
            "http://a:-1",
            "http://::1:80",
            "http://[::1]",
            "http://[nonsense]:1",
            "http://a b:1",
            "http://a:1/path",
            "http://a:1?query",
            "ftp://a:1",
            "https://a",
            "unix://",
        ];
        for text in bad {
            assert!(HttpUrl::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_cannot_be_bound() {
        assert!(listen_list("http://localhost:1,http://0.0.0.0:2").is_ok());
        let error = listen_list("http://example.com:1").unwrap_err();
        assert_eq!(error, "expected IP in URL for binding (http://example.com:1)");
        assert!(list("http://example.com:1").is_ok());
        assert!(list("").is_err());
        assert!(list("http://a:1,,http://b:1").is_err());
    }

    #[test]
    fn a_name_may_repeat_in_a_cluster() {
        let members = cluster("a=http://h:2,b=http://h:3, a=http://h:1").unwrap();
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].0, "a");
        assert_eq!(members[0].1.iter().map(|url| url.port).collect::<Vec<_>>(), [1, 2]);
        for text in ["", "a", "=http://h:1", "a=", "a=http://h:1,", "a=h:1"] {
            assert!(cluster(text).is_err(), "{text:?}");
        }
    }
}
