//! The sockets of a member: which there are, what each serves, and TLS for all of them.

use tokio::runtime::Handle;

use crate::api::{self, Service, listen::Traffic};
use crate::bootstrap::Error;
use crate::config::Config;
use crate::net::accept::{Gate, connection_limit};
use crate::net::{self, Dialer, Listener, SecurityError, url_without_pair};

/// Open sockets that nobody is accepted on yet.
pub struct Ports {
    /// How other members are reached.
    pub dialer: Dialer,
    clients: Vec<(Listener, Traffic)>,
    peers: Vec<Listener>,
    client_gate: Gate,
    peer_gate: Gate,
}

impl Ports {
    /// Reads the TLS files and binds every URL.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let listen = &config.listen;
        let client_urls =
            [&listen.client[..], &listen.client_http[..], &listen.metrics[..]].concat();
        let security = config.security.open(&config.data_dir, &client_urls, &listen.peer)?;
        if let Some(url) = url_without_pair(&security.client, &listen.metrics) {
            return Err(SecurityError::NoMetricsPair(url.clone()).into());
        }
        if let Some(url) = url_without_pair(&security.client, &client_urls) {
            return Err(SecurityError::NoClientPair(url.clone()).into());
        }
        if let Some(url) = url_without_pair(&security.peer, &listen.peer) {
            return Err(SecurityError::NoPeerPair(url.clone()).into());
        }
        let apart = !listen.client_http.is_empty();
        let grpc = if apart { Traffic::Grpc } else { Traffic::All };
        let mut clients = Vec::new();
        for (urls, traffic) in [
            (&listen.client, grpc),
            (&listen.client_http, Traffic::Http),
            (&listen.metrics, Traffic::Metrics),
        ] {
            let bound = net::bind(urls, listen.socket)?;
            clients.extend(bound.into_iter().map(|listener| (listener, traffic)));
        }
        let client_gate =
            Gate { side: "client", tls: Some(security.client), limit: connection_limit() };
        // Clients that use up all connections do not keep members from each other.
        let peer_gate =
            Gate { side: "peer", tls: Some(security.peer.clone()), limit: connection_limit() };
        Ok(Self {
            dialer: Dialer::new(security.peer).through(config.peer_proxy.as_deref()),
            clients,
            peers: net::bind(&listen.peer, listen.socket)?,
            client_gate,
            peer_gate,
        })
    }

    /// Begins to accept: members on `peer_runtime`, clients on the one this is called on.
    pub fn serve(self, peer_runtime: &Handle, service: &Service) {
        for listener in self.peers {
            let gate = self.peer_gate.clone();
            peer_runtime.spawn(api::peer::serve(listener, gate, service.clone()));
        }
        for (listener, traffic) in self.clients {
            let gate = self.client_gate.clone();
            tokio::spawn(api::listen::serve(listener, gate, traffic, service.clone()));
        }
    }
}
