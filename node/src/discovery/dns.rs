//! Names to addresses, and service records.
//!
//! The system's name servers are asked, or, for tests, the one that the variable
//! `ETCD_TUI_DNS_SERVER` names: `/etc/resolv.conf` cannot name a port, and a test cannot have
//! port 53.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;

/// A server of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// Without the dot at the end.
    pub host: String,
    pub port: u16,
}

/// A service record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub priority: u16,
    pub target: Target,
    pub weight: u16,
}

/// Asks name servers.
#[derive(Clone)]
pub struct Dns {
    resolver: TokioResolver,
}

impl Dns {
    /// The system's name servers, or `name_server` alone.
    pub fn new(name_server: Option<SocketAddr>) -> Result<Self, String> {
        let builder = match name_server {
            None => TokioResolver::builder_tokio().map_err(|error| error.to_string())?,
            Some(address) => {
                let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                let server = NameServerConfig::new(address.ip(), true, connections);
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        builder.build().map(|resolver| Self { resolver }).map_err(|error| error.to_string())
    }

    /// The servers of `_service._tcp.domain`, in the order of priority.
    pub async fn service(&self, service: &str, domain: &str) -> Result<Vec<Target>, String> {
        let records = self.records(service, domain).await?;
        Ok(records.into_iter().map(|record| record.target).collect())
    }

    /// The records of `_service._tcp.domain`, in the order of priority.
    pub async fn records(&self, service: &str, domain: &str) -> Result<Vec<Record>, String> {
        let name = format!("_{service}._tcp.{}.", domain.trim_end_matches('.'));
        let found = self.resolver.srv_lookup(name.as_str()).await;
        let found = found.map_err(|error| format!("lookup {name}: {error}"))?;
        let mut records: Vec<Record> = found
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                RData::SRV(srv) => {
                    let host = srv.target.to_utf8().trim_end_matches('.').to_owned();
                    let target = Target { host, port: srv.port };
                    Some(Record { priority: srv.priority, target, weight: srv.weight })
                }
                _ => None,
            })
            .collect();
        records.sort();
        Ok(records)
    }

    /// The addresses of a host, sorted; an address is its own.
    pub async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, String> {
        let host = host.trim_matches(['[', ']']);
        if let Ok(address) = host.parse() {
            return Ok(vec![address]);
        }
        let found = self.resolver.lookup_ip(host).await;
        let mut addresses: Vec<IpAddr> =
            found.map_err(|error| format!("lookup {host}: {error}"))?.iter().collect();
        addresses.sort();
        Ok(addresses)
    }
}
