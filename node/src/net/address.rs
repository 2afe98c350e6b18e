//! Where to listen and where to dial, from URLs.
//!
//! The flags have been checked before; URLs of other members come from the cluster, and are
//! checked here.

use std::fmt;
use std::path::PathBuf;

/// A URL that is none of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a URL like http://host:port, https://host:port, unix://path or unixs://path")]
pub struct AddressError(String);

/// A socket's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `host:port`, IPv6 with brackets.
    Tcp(String),
    /// A file. `unix://localhost:2379` is the file `localhost:2379` of the working directory.
    Unix(PathBuf),
}

/// One URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub secure: bool,
    pub place: Place,
}

/// One socket to listen on, and what may be spoken there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    pub place: Place,
    pub plain: bool,
    pub secure: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Tcp(address) => f.write_str(address),
            Place::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Url {
    /// Reads one URL.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        if rest.is_empty() {
            return Err(wrong());
        }
        let (secure, place) = match scheme {
            "http" | "https" => {
                let address = rest.trim_end_matches('/');
                let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
                if host.is_empty() || host.contains('/') || port.parse::<u16>().is_err() {
                    return Err(wrong());
                }
                (scheme == "https", Place::Tcp(address.to_owned()))
            }
            "unix" | "unixs" => (scheme == "unixs", Place::Unix(PathBuf::from(rest))),
            _ => return Err(wrong()),
        };
        Ok(Self { secure, place })
    }

    /// The host without its port: what a certificate is made out to.
    pub fn host(&self) -> &str {
        match &self.place {
            Place::Tcp(address) => {
                let host = address.rsplit_once(':').map_or(&address[..], |(host, _)| host);
                host.trim_start_matches('[').trim_end_matches(']')
            }
            Place::Unix(path) => {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("localhost");
                name.rsplit_once(':').map_or(name, |(host, _)| host)
            }
        }
    }
}

/// One socket for every place: plain and encrypted URLs of one place share it.
pub fn merge(urls: &[String]) -> Result<Vec<Shared>, AddressError> {
    let mut shared: Vec<Shared> = Vec::new();
    for text in urls {
        let Url { secure, place } = Url::parse(text)?;
        match shared.iter_mut().find(|known| known.place == place) {
            Some(known) => {
                known.plain |= !secure;
                known.secure |= secure;
            }
            None => shared.push(Shared { place, plain: !secure, secure }),
        }
    }
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_has_its_place() {
        let tcp = |text: &str| Place::Tcp(text.to_owned());
        let cases = [
            ("http://127.0.0.1:2379", false, tcp("127.0.0.1:2379"), "127.0.0.1"),
            ("https://[::1]:2379/", true, tcp("[::1]:2379"), "::1"),
            ("unix://localhost:20000", false, Place::Unix("localhost:20000".into()), "localhost"),
            ("unixs:///run/etcd.sock", true, Place::Unix("/run/etcd.sock".into()), "etcd.sock"),
        ];
        for (text, secure, place, host) in cases {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.secure, &url.place, url.host()), (secure, &place, host), "{text}");
        }
        for wrong in ["", "a:1", "http://", "http://a", "http://:1", "http://a:x", "ftp://a:1"] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_protocols_of_one_place_share_a_socket() {
        let urls = ["http://a:1", "https://b:1", "https://a:1"].map(str::to_owned);
        let shared = merge(&urls).unwrap();
        assert_eq!(shared.len(), 2);
        assert!(shared[0].plain && shared[0].secure);
        assert!(!shared[1].plain && shared[1].secure);
    }
}
