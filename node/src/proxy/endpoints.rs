//! Where the members are: the endpoints that were named, or those of the DNS records.
//!
//! Records of `_etcd-client-ssl._tcp.<domain>` are https endpoints, those of
//! `_etcd-client._tcp.<domain>` http. Unless that is allowed, an http endpoint is not used, nor
//! one whose certificate is not good for the domain: whoever can forge an answer of a name server
//! must not get the clients' connections.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::ProxyError;
use crate::discovery::dns::Dns;
use crate::net::Socket;
use crate::net::tls::{Tls, TlsOptions};

/// The service names and the scheme of their endpoints.
const SERVICES: [(&str, &str); 2] = [("etcd-client-ssl", "https"), ("etcd-client", "http")];
/// An endpoint that is tried must have answered by then.
const VALIDATION: Duration = Duration::from_secs(5);

/// How endpoints are found in DNS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    pub domain: String,
    /// Suffix of the service names.
    pub service: String,
    /// Take records as they are.
    pub insecure: bool,
    /// Authorities of the endpoints' certificates.
    pub trusted_ca_file: Option<PathBuf>,
    /// For tests: asked instead of the system's.
    pub name_server: Option<SocketAddr>,
}

/// One member as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// With a scheme, if one was named.
    pub url: String,
    /// As in DNS: the lowest is asked first.
    pub priority: u16,
    /// As in DNS: how often it is asked among its equals.
    pub weight: u16,
}

impl Endpoint {
    /// One that was named, which is like all others.
    pub fn named(url: &str) -> Self {
        Self { url: url.to_owned(), priority: 0, weight: 0 }
    }

    /// `host:port`.
    pub fn address(&self) -> Result<&str, ProxyError> {
        let address = self.url.split_once("://").map_or(&self.url[..], |(_, rest)| rest);
        let address = address.split('/').next().unwrap_or_default();
        let (host, port) = address.rsplit_once(':').unwrap_or_default();
        let is_bare = !host.contains(':') || (host.starts_with('[') && host.ends_with(']'));
        match !host.is_empty() && is_bare && port.parse::<u16>().is_ok() {
            true => Ok(address),
            false => Err(ProxyError::Endpoint(self.url.clone())),
        }
    }
}

/// The endpoints that the records name, or `named` where nothing is looked up.
pub async fn find(
    discovery: Option<&Discovery>,
    named: &[String],
) -> Result<Vec<Endpoint>, ProxyError> {
    let named: Vec<Endpoint> = named.iter().map(|url| Endpoint::named(url)).collect();
    let found = match discovery {
        None => named,
        Some(discovery) => match discover(discovery).await {
            Err(error @ ProxyError::NothingValid { .. }) if !named.is_empty() => {
                tracing::warn!(%error, "the endpoints of --endpoints are used");
                named
            }
            found => found?,
        },
    };
    match found.is_empty() {
        true => Err(ProxyError::NoEndpoints),
        false => Ok(found),
    }
}

async fn discover(discovery: &Discovery) -> Result<Vec<Endpoint>, ProxyError> {
    let dns = Dns::new(discovery.name_server).map_err(ProxyError::Discovery)?;
    let mut found = Vec::new();
    let mut troubles = Vec::new();
    for (service, scheme) in SERVICES {
        let service = match discovery.service.as_str() {
            "" => service.to_owned(),
            suffix => format!("{service}-{suffix}"),
        };
        match dns.records(&service, &discovery.domain).await {
            Ok(records) => found.extend(records.into_iter().map(|record| Endpoint {
                url: format!(
                    "{scheme}://{}:{}",
                    bracketed(&record.target.host),
                    record.target.port
                ),
                priority: record.priority,
                weight: record.weight,
            })),
            Err(why) => troubles.push(why),
        }
    }
    if troubles.len() == SERVICES.len() {
        return Err(ProxyError::Discovery(format!(
            "dns lookup errors: {}",
            troubles.join(" and ")
        )));
    }
    let endpoints: Vec<&str> = found.iter().map(|endpoint| &endpoint.url[..]).collect();
    tracing::info!(srv_server = %discovery.domain, ?endpoints, "discovered cluster from SRV");
    if discovery.insecure { Ok(found) } else { validated(discovery, found).await }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Those with which a TLS connection can be made that is good for the domain.
async fn validated(
    discovery: &Discovery,
    found: Vec<Endpoint>,
) -> Result<Vec<Endpoint>, ProxyError> {
    let trusted_ca_file = discovery.trusted_ca_file.clone();
    let tls = Tls::open(TlsOptions { trusted_ca_file, http1: true, ..TlsOptions::default() })?;
    let mut good = Vec::new();
    let mut troubles = Vec::new();
    for endpoint in found {
        if !endpoint.url.starts_with("https://") {
            troubles.push(format!("{:?} is insecure", endpoint.url));
            continue;
        }
        let tried = async {
            let stream = TcpStream::connect(endpoint.address().map_err(std::io::Error::other)?);
            tls.connect(&discovery.domain, Socket::Tcp(stream.await?)).await.map(drop)
        };
        match timeout(VALIDATION, tried).await {
            Ok(Ok(())) => good.push(endpoint),
            Ok(Err(error)) => troubles.push(format!("{:?} failed to dial ({error})", endpoint.url)),
            Err(_) => troubles.push(format!("{:?} failed to dial (no answer)", endpoint.url)),
        }
    }
    let endpoints: Vec<&str> = good.iter().map(|endpoint| &endpoint.url[..]).collect();
    let why = troubles.join(",");
    if good.is_empty() {
        let domain = discovery.domain.clone();
        let fix = "name their authority, or allow them with --insecure-discovery";
        return Err(ProxyError::NothingValid { domain, why, fix });
    }
    if !why.is_empty() {
        tracing::warn!(?endpoints, error = %why, "failed to validate discovered endpoints");
    }
    tracing::info!(?endpoints, "using validated discovered SRV endpoints");
    Ok(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_with_or_without_a_scheme() {
        for (url, address) in [
            ("127.0.0.1:2379", "127.0.0.1:2379"),
            ("http://n1.test:2379", "n1.test:2379"),
            ("https://[::1]:2379/", "[::1]:2379"),
        ] {
            assert_eq!(Endpoint::named(url).address().unwrap(), address);
        }
        for wrong in ["", "127.0.0.1", "http://n1.test", "::1:2379", ":2379", "a:b", "a:70000"] {
            assert!(Endpoint::named(wrong).address().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn without_any_endpoint_nothing_runs() {
        assert!(matches!(find(None, &[]).await, Err(ProxyError::NoEndpoints)));
    }
}
