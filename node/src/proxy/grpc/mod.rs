//! `grpc-proxy`: a gRPC proxy in front of a cluster.
//!
//! Many clients share few connections ([`upstream`]: one for each member); a client has one address
//! for all of them, may have TLS of another kind, and may see a part of the key space as all of it
//! ([`namespace`]). Calls are carried as bytes ([`relay`], [`crate::raw`]), so that a proxy need not
//! know what it carries; what it must know of a method is in [`methods`].
//!
//! The invariant: every answer is a member's, given to this very call. Nothing is cached and no
//! watch is shared, unlike in etcd's proxy, whose cache answers serializable reads with what others
//! were told before, however old: here they are never older than the member that is asked.
//!
//! Left to others: accepting and TLS ([`crate::net`]), who may do what (the members: a proxy has no
//! rights of its own and passes on who is asking; so its certificate must not name a user).

mod link;
mod listen;
mod members;
mod methods;
mod namespace;
mod plain;
mod relay;
mod upstream;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::etcdserverpb as pb;
use tokio::time::sleep;

pub use link::Pings;
pub use members::Register;
pub use relay::Limits;

use self::listen::Port;
use self::namespace::Namespace;
use self::plain::Plain;
use self::relay::Relay;
use self::upstream::Upstream;
use super::ProxyError;
use super::endpoints::{self, Discovery};
use crate::config;
use crate::net::accept::{Gate, connection_limit};
use crate::net::tls::{Tls, TlsOptions, common_name, create_self_signed};
use crate::net::{self, Dialer, Listener, SocketOptions, TlsProtocol};

/// Between tries to read before anything is served, where the order of revisions matters.
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// What the flags say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `host:port`.
    pub listen: String,
    /// A URL for HTTP alone.
    pub metrics: Option<String>,
    pub endpoints: Vec<String>,
    pub discovery: Option<Discovery>,
    /// How often the endpoints are asked for the members; zero: never.
    pub auto_sync: Duration,
    pub register: Register,
    pub namespace: String,
    pub data_dir: PathBuf,
    /// Towards members; none: endpoints without a scheme are plain.
    pub member_tls: Option<TlsOptions>,
    /// Towards clients.
    pub client_tls: Option<TlsOptions>,
    /// Towards clients, whichever certificate is shown.
    pub protocol: TlsProtocol,
    /// Make a certificate to show to clients.
    pub auto_tls: bool,
    pub self_signed_years: u32,
    pub limits: Limits,
    pub http: config::Http,
    pub pings: Pings,
    pub ordered: bool,
    pub log_calls: bool,
    /// Log more.
    pub debug: bool,
}

/// A proxy that listens.
pub struct GrpcProxy {
    listener: Listener,
    metrics: Vec<Listener>,
    gate: Gate,
    port: Arc<Port>,
    auto_sync: Duration,
    scheme: &'static str,
}

impl GrpcProxy {
    /// Finds the endpoints and begins to listen.
    pub async fn start(config: Config) -> Result<Self, ProxyError> {
        let tls = own_tls(&config)?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let place = [format!("{scheme}://{}", config.listen)];
        let listener = net::bind(&place, SocketOptions::default())?.pop();
        let listener = listener.ok_or(ProxyError::NoEndpoints)?;
        let metrics: Vec<String> = config.metrics.clone().into_iter().collect();
        let metrics = net::bind(&metrics, SocketOptions::default())?;
        if let Some(url) = metrics.iter().find(|it| it.shared.secure && tls.is_none()) {
            return Err(ProxyError::NoCertificate(url.shared.place.to_string()));
        }
        let member = config.member_tls.clone().unwrap_or_default();
        refuse_a_name(&member)?;
        let dialer = |http1| {
            let tls = Tls::open(TlsOptions { http1, ..member.clone() })?;
            // Without TLS the system's authorities, which may be missing, are not looked for.
            if config.member_tls.is_some() {
                tls.check_dialling()?;
            }
            Ok::<_, ProxyError>(Dialer::new(tls))
        };
        let member_scheme = if config.member_tls.is_some() { "https" } else { "http" };
        let upstream = Upstream::new(dialer(false)?, config.pings.clone());
        let found = endpoints::find(config.discovery.as_ref(), &config.endpoints).await?;
        let mut urls = Vec::new();
        for endpoint in &found {
            urls.push(with_scheme(&endpoint.url, member_scheme)?);
        }
        upstream.set(&urls);
        let namespace = Namespace::new(&config.namespace);
        let relay = Relay::new(upstream, namespace, config.limits, config.ordered);
        if config.ordered {
            recover_order(&relay).await;
        }
        let plain = Plain {
            relay,
            dialer: dialer(true)?,
            profiles: config.http.profiles,
            advertised: !config.register.advertise.is_empty(),
            started: Instant::now(),
        };
        let (register, log_calls) = (config.register, config.log_calls);
        let port = Arc::new(Port { plain, register, rules: config.http, log_calls });
        let gate = Gate { side: "client", tls, limit: connection_limit() };
        tracing::info!(address = %config.listen, endpoints = ?urls, "started gRPC proxy");
        let auto_sync = config.auto_sync;
        Ok(Self { listener, metrics, gate, port, auto_sync, scheme: member_scheme })
    }

    /// Serves for as long as it is polled; connections live on the same runtime.
    pub async fn run(self) {
        for listener in self.metrics {
            tokio::spawn(listen::serve(listener, self.gate.clone(), self.port.clone(), false));
        }
        let relay = self.port.plain.relay.clone();
        if !self.port.register.prefix.is_empty() {
            tokio::spawn(self.port.register.clone().keep(relay.clone()));
        }
        if !self.auto_sync.is_zero() {
            tokio::spawn(follow_members(relay, self.auto_sync, self.scheme));
        }
        listen::serve(self.listener, self.gate, self.port, true).await;
    }
}

/// TLS towards clients, if there is any.
fn own_tls(config: &Config) -> Result<Option<Arc<Tls>>, ProxyError> {
    let options = match (&config.client_tls, config.auto_tls) {
        (Some(options), _) => options.clone(),
        (None, false) => return Ok(None),
        (None, true) => {
            let directory = config.data_dir.join("fixtures").join("proxy");
            let host = config.listen.rsplit_once(':').map_or("", |(host, _)| host);
            let host = host.trim_matches(['[', ']']).to_owned();
            let pair = create_self_signed(&directory, &[host], config.self_signed_years)?;
            let (cert_file, key_file) = (Some(pair.0), Some(pair.1));
            TlsOptions { cert_file, key_file, self_signed: true, ..TlsOptions::default() }
        }
    };
    let tls = Tls::open(TlsOptions {
        skip_san_check: true,
        protocol: config.protocol.clone(),
        ..options
    })?;
    match tls.can_listen() {
        true => Ok(Some(tls)),
        false => Err(ProxyError::NoCertificate(config.listen.clone())),
    }
}

/// A certificate that names a user would make every client that user.
fn refuse_a_name(member: &TlsOptions) -> Result<(), ProxyError> {
    let Some(path) = &member.cert_file else { return Ok(()) };
    match common_name(path)?.filter(|name| !name.is_empty()) {
        None => Ok(()),
        Some(name) => Err(ProxyError::NamedCertificate { name, path: path.clone() }),
    }
}

/// The URL of an endpoint, which may have been named without a scheme.
fn with_scheme(endpoint: &str, scheme: &str) -> Result<String, ProxyError> {
    let url = match endpoint.contains("://") {
        true => endpoint.to_owned(),
        false => format!("{scheme}://{endpoint}"),
    };
    match net::Url::parse(&url) {
        Ok(_) => Ok(url),
        Err(_) => Err(ProxyError::Endpoint(endpoint.to_owned())),
    }
}

/// Waits for a linearizable read: what is told afterwards is not older than it.
async fn recover_order(relay: &Relay) {
    tracing::info!("waiting for linearized read from cluster to recover ordering");
    let question = pb::RangeRequest { key: "_".into(), keys_only: true, ..Default::default() };
    while let Err(error) = relay.ask::<_, pb::RangeResponse>(methods::RANGE, &question).await {
        tracing::warn!(%error, "ordering recovery failed, retrying in 1s");
        sleep(RECOVERY_PAUSE).await;
    }
}

/// Makes the client URLs of all voting members the endpoints, again and again.
async fn follow_members(relay: Relay, every: Duration, scheme: &'static str) {
    loop {
        sleep(every).await;
        let question = pb::MemberListRequest { linearizable: true };
        let answer = relay.ask::<_, pb::MemberListResponse>(methods::MEMBER_LIST, &question).await;
        let members = match answer {
            Ok(answer) => answer.members,
            Err(error) => {
                tracing::warn!(%error, "auto sync of endpoints failed");
                continue;
            }
        };
        let serving = members.iter().filter(|member| !member.name.is_empty() && !member.is_learner);
        let urls = serving.flat_map(|member| &member.client_ur_ls);
        let urls: Vec<String> = urls.filter_map(|url| with_scheme(url, scheme).ok()).collect();
        if !urls.is_empty() && relay.upstream.set(&urls) {
            tracing::info!(endpoints = ?urls, "endpoints are those of the members now");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_scheme_gets_one() {
        assert_eq!(with_scheme("a:1", "https").unwrap(), "https://a:1");
        assert_eq!(with_scheme("http://a:1", "https").unwrap(), "http://a:1");
        assert_eq!(with_scheme("unix://s", "https").unwrap(), "unix://s");
        for wrong in ["a", "ftp://a:1", ""] {
            assert!(with_scheme(wrong, "http").is_err(), "{wrong}");
        }
    }
}
