//! One lazy connection per endpoint, and which endpoints are worth asking.
//!
//! Connections are made on first use and again after a loss; a dead endpoint costs a refused
//! connect, never a wait. Endpoints are ranked by what polling found last.

use super::session::{Credentials, Session};
use crate::Trust;
use crate::msg::{Failure, FailureKind};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

/// A page of large values may be long; our own limits are the pages' sizes.
pub const MESSAGE_BYTES_MOST: usize = 256 * 1024 * 1024;
const CONNECT_WITHIN: Duration = Duration::from_millis(900);

/// A connection whose requests say who makes them.
pub type Wire = InterceptedService<Channel, Credentials>;

/// How good an endpoint is to ask; the better sorts first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    Leader,
    Follows,
    /// Answers, but sees no leader.
    Alone,
    #[default]
    Unknown,
    Silent,
}

#[derive(Default)]
struct Known {
    order: Vec<String>,
    channels: HashMap<String, Result<Channel, Failure>>,
    ranks: HashMap<String, Rank>,
}

#[derive(Default)]
pub struct Pool {
    trust: Trust,
    session: Arc<Session>,
    known: Mutex<Known>,
}

impl Pool {
    pub fn new(trust: Trust) -> Self {
        let session = Arc::new(Session::new(trust.user.clone()));
        Self { trust, session, known: Mutex::default() }
    }

    pub fn session(&self) -> Arc<Session> {
        self.session.clone()
    }

    fn wire(&self, channel: Channel) -> Wire {
        InterceptedService::new(channel, Credentials(self.session.clone()))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        // Nothing under this lock can leave it half changed.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_endpoints(&self, urls: &[String]) {
        let mut known = self.known();
        known.order = urls.to_vec();
        known.channels.retain(|url, _| urls.contains(url));
        known.ranks.retain(|url, _| urls.contains(url));
        for url in urls {
            if !known.channels.contains_key(url) {
                known.channels.insert(url.clone(), connect(url, &self.trust));
            }
        }
    }

    pub fn endpoints(&self) -> Vec<String> {
        self.known().order.clone()
    }

    pub fn set_rank(&self, url: &str, rank: Rank) {
        let mut known = self.known();
        if let Some(old) = known.ranks.get_mut(url) {
            *old = rank;
        } else {
            known.ranks.insert(url.to_owned(), rank);
        }
    }

    pub fn rank(&self, url: &str) -> Rank {
        self.known().ranks.get(url).copied().unwrap_or_default()
    }

    pub fn leader_known(&self) -> bool {
        let known = self.known();
        known.ranks.values().any(|rank| *rank <= Rank::Follows)
    }

    pub fn channel(&self, url: &str) -> Result<Wire, Failure> {
        match self.known().channels.get(url) {
            Some(channel) => channel.clone().map(|channel| self.wire(channel)),
            None => Err(Failure::new(FailureKind::Address, "this endpoint is not used any more")),
        }
    }

    /// Endpoints that can be asked at all, best first.
    pub fn best(&self) -> Vec<(String, Wire)> {
        let best = self.best_plain().into_iter();
        best.map(|(url, channel)| (url, self.wire(channel))).collect()
    }

    /// The same, for requests that show no token.
    pub fn best_plain(&self) -> Vec<(String, Channel)> {
        let known = self.known();
        let mut found: Vec<(Rank, String, Channel)> = known
            .order
            .iter()
            .filter_map(|url| {
                let channel = known.channels.get(url)?.as_ref().ok()?.clone();
                Some((known.ranks.get(url).copied().unwrap_or_default(), url.clone(), channel))
            })
            .collect();
        found.sort_by_key(|(rank, ..)| *rank);
        found.into_iter().map(|(_, url, channel)| (url, channel)).collect()
    }
}

/// A lazy connection, or what is wrong with the address.
fn connect(url: &str, trust: &Trust) -> Result<Channel, Failure> {
    let wrong = |text: &str| Err(Failure::new(FailureKind::Address, text));
    let (scheme, authority) = url.split_once("://").unwrap_or_default();
    if !matches!(scheme, "http" | "https") {
        return wrong("not a client URL: write http://HOST:PORT");
    }
    if authority.contains('/') {
        return wrong("a client URL has no path: write http://HOST:PORT");
    }
    let port = authority.rsplit_once(':').map(|(_, port)| port);
    if !port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return wrong("the port is missing or wrong: write http://HOST:PORT (etcd's is 2379)");
    }
    let Ok(endpoint) = Endpoint::from_shared(url.to_owned()) else {
        return wrong("not a client URL: write http://HOST:PORT");
    };
    let endpoint = endpoint.connect_timeout(CONNECT_WITHIN).tcp_nodelay(true);
    if scheme == "http" {
        return Ok(endpoint.connect_lazy());
    }
    match endpoint.tls_config(tls(trust)) {
        Ok(endpoint) => Ok(endpoint.connect_lazy()),
        Err(error) => wrong(&format!("TLS cannot be set up: {}", root_cause(&error))),
    }
}

fn tls(trust: &Trust) -> ClientTlsConfig {
    let config = match &trust.authority {
        Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        None => ClientTlsConfig::new().with_native_roots(),
    };
    match &trust.pair {
        Some((cert, key)) => config.identity(Identity::from_pem(cert, key)),
        None => config,
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wrong_addresses_are_explained() {
        for (url, hint) in [
            ("http://h", "port"),
            ("http://h:99999", "port"),
            ("http://h:1/v3", "path"),
            ("ftp://h:1", "http://HOST:PORT"),
        ] {
            let failure = connect(url, &Trust::default()).expect_err(url);
            assert!(failure.text.contains(hint), "{url}: {}", failure.text);
        }
        for url in ["http://127.0.0.1:2379", "http://[::1]:2379", "https://h:1"] {
            assert!(connect(url, &Trust::default()).is_ok(), "{url}");
        }
        let broken = (b"no certificate".to_vec(), b"no key".to_vec());
        let trust = Trust { pair: Some(broken), ..Trust::default() };
        assert!(connect("https://h:1", &trust).expect_err("a pair").text.contains("TLS"));
    }

    #[tokio::test]
    async fn the_leader_is_asked_first_and_the_silent_last() {
        let pool = Pool::default();
        let urls: Vec<String> = (1..=3).map(|p| format!("http://127.0.0.1:{p}")).collect();
        pool.set_endpoints(&urls);
        pool.set_rank(&urls[0], Rank::Silent);
        pool.set_rank(&urls[2], Rank::Leader);
        let order: Vec<String> = pool.best().into_iter().map(|(url, _)| url).collect();
        assert_eq!(order, [urls[2].clone(), urls[1].clone(), urls[0].clone()]);
    }
}
