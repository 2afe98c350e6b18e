//! Who may make a plain HTTP request: names of this host, and other sites' pages.
//!
//! Without TLS any page a browser has open could have its own name lead to this machine and
//! then ask as if it belonged here (CVE-2018-5702); `--host-whitelist` says which names are
//! this host's. `--cors` says whose pages may read answers. Words and headers are etcd's.

use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Version};

use super::http::{Reply, text};
use crate::config::Http;

fn allows(list: &[String], one: &str) -> bool {
    list.is_empty() || list.iter().any(|known| known == "*" || known == one)
}

/// The host that a request names, without its port.
fn host_of<B>(request: &Request<B>) -> String {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = named.or(authority).unwrap_or_default();
    let bare = match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').map(|(host, _)| host),
        None => host.split_once(':').filter(|(_, port)| !port.contains(':')).map(|(host, _)| host),
    };
    bare.unwrap_or(host).to_owned()
}

/// HTTP/1.1 asks for one host, no more and no less; a name that is left out or said twice
/// would be judged as another than the one that was meant.
fn wrong_host<B>(request: &Request<B>) -> Option<&'static str> {
    match request.headers().get_all(header::HOST).iter().count() {
        0 if request.version() == Version::HTTP_11 => {
            Some("400 Bad Request: missing required Host header")
        }
        0 | 1 => None,
        _ => Some("400 Bad Request: too many Host headers"),
    }
}

/// The answer to a request that may not be made.
pub fn refusal<B>(rules: &Http, request: &Request<B>, secure: bool) -> Option<Reply> {
    if let Some(why) = wrong_host(request) {
        return Some(text(StatusCode::BAD_REQUEST, why));
    }
    if secure || allows(&rules.host_whitelist, "*") {
        return None;
    }
    let host = host_of(request);
    if allows(&rules.host_whitelist, &host) {
        return None;
    }
    tracing::warn!(%host, "rejecting HTTP request to prevent DNS rebinding attacks");
    let why = format!(
        "\netcd received your request, but the Host header was unrecognized.\n\n\
         To fix this, choose one of the following options:\n\
         - Enable TLS, then any HTTPS request will be allowed.\n\
         - Add the hostname you want to use to the whitelist in settings.\n  \
         - e.g. etcd --host-whitelist {host:?}\n\n\
         This requirement has been added to help prevent \"DNS Rebinding\" attacks \
         (CVE-2018-5702).\n\n"
    );
    Some(text(StatusCode::MISDIRECTED_REQUEST, why))
}

/// Lets pages of an allowed origin read the answer.
pub fn allow_origin(rules: &Http, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
    let origin = if allows(&rules.cors, "*") {
        HeaderValue::from_static("*")
    } else {
        let named = origin.and_then(|origin| origin.to_str().ok()).unwrap_or_default();
        match origin {
            Some(origin) if allows(&rules.cors, named) => origin.clone(),
            _ => return,
        }
    };
    let methods = HeaderValue::from_static("POST, GET, OPTIONS, PUT, DELETE");
    headers.append(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    headers.append(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    let names = HeaderValue::from_static("accept, content-type, authorization");
    headers.append(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rules(cors: &[&str], hosts: &[&str]) -> Http {
        let list = |list: &[&str]| list.iter().map(|one| (*one).to_owned()).collect();
        Http {
            cors: list(cors),
            host_whitelist: list(hosts),
            profiles: false,
            print_authority: false,
            ping_least: Duration::ZERO,
            ping_interval: Duration::ZERO,
            ping_timeout: Duration::ZERO,
            streams_max: u32::MAX,
        }
    }

    #[test]
    fn only_names_of_this_host_are_answered_without_tls() {
        let rules = rules(&[], &["example.com", "::1"]);
        let ask = |host: &str, secure| {
            let request = Request::builder().header("host", host).body(()).unwrap();
            refusal(&rules, &request, secure).map(|reply| reply.status().as_u16())
        };
        for host in ["example.com", "example.com:2379", "[::1]:2379"] {
            assert_eq!(ask(host, false), None, "{host}");
        }
        for host in ["evil.com", "example.com.evil.com:80", "127.0.0.1:2379", ""] {
            assert_eq!(ask(host, false), Some(421), "{host}");
            assert_eq!(ask(host, true), None, "{host}");
        }
    }

    #[test]
    fn one_host_is_named() {
        let ask = |version: Version, hosts: &[&str]| {
            let mut request = Request::builder().version(version);
            for host in hosts {
                request = request.header("host", *host);
            }
            let request = request.body(()).unwrap();
            refusal(&rules(&[], &[]), &request, true).map(|reply| reply.status().as_u16())
        };
        assert_eq!(ask(Version::HTTP_11, &["a"]), None);
        assert_eq!(ask(Version::HTTP_11, &[]), Some(400));
        assert_eq!(ask(Version::HTTP_11, &["a", "b"]), Some(400));
        assert_eq!(ask(Version::HTTP_10, &[]), None);
        assert_eq!(ask(Version::HTTP_2, &[]), None);
    }

    #[test]
    fn an_origin_is_told_what_concerns_it() {
        let told = |cors: &[&str], origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            let origin = origin.map(HeaderValue::from_static);
            allow_origin(&rules(cors, &[]), origin.as_ref(), &mut headers);
            headers.get("access-control-allow-origin").map(|v| v.to_str().unwrap().to_owned())
        };
        assert_eq!(told(&["*"], None).as_deref(), Some("*"));
        assert_eq!(told(&[], Some("http://a")).as_deref(), Some("*"));
        assert_eq!(told(&["http://a"], Some("http://a")).as_deref(), Some("http://a"));
        assert_eq!(told(&["http://a"], Some("http://b")), None);
        assert_eq!(told(&["http://a"], None), None);
    }
}
