//! Discovery by DNS: `--discovery-srv`.
//!
//! `_etcd-server-ssl._tcp.<domain>` has the peers over https, `_etcd-server._tcp.<domain>`
//! those over http; both together are the cluster. Records have no member names. The member
//! itself is the one whose target and port are where it advertises its peers, by address; the
//! others are numbered, their names come when they publish themselves.

use std::net::IpAddr;

use super::DiscoveryError;
use super::dns::{Dns, Target};
use crate::config::DiscoverySrv;

/// The service names and the scheme of their URLs.
const SERVICES: [(&str, &str); 2] = [("etcd-server-ssl", "https"), ("etcd-server", "http")];

/// The founders by the records of the domain.
pub async fn founders(
    config: &DiscoverySrv,
    dns: &Dns,
    own: &(String, Vec<String>),
) -> Result<Vec<(String, Vec<String>)>, DiscoveryError> {
    let places = own_places(dns, &own.1).await.map_err(DiscoveryError::Srv)?;
    let mut cluster = Cluster::new(&own.0);
    let mut troubles = Vec::new();
    for (service, scheme) in SERVICES {
        let service = match config.service.as_str() {
            "" => service.to_owned(),
            suffix => format!("{service}-{suffix}"),
        };
        let targets = match dns.service(&service, &config.domain).await {
            Ok(targets) => targets,
            Err(why) => {
                troubles.push(format!("error querying DNS SRV records for _{service} {why}"));
                continue;
            }
        };
        for target in targets {
            match dns.addresses(&target.host).await {
                Ok(addresses) => {
                    if let Err(why) = cluster.add(&service, scheme, &target, &addresses, &places) {
                        troubles.push(why);
                    }
                }
                Err(why) => troubles.push(why),
            }
        }
    }
    tracing::info!(
        domain = %config.domain,
        found_cluster = ?cluster.members,
        problems = ?troubles,
        "got bootstrap from DNS for etcd-server"
    );
    if cluster.members.is_empty() {
        return Err(DiscoveryError::Srv(troubles.join("; ")));
    }
    if !cluster.members.iter().any(|(name, _)| *name == own.0) {
        return Err(DiscoveryError::NotInSrv(own.0.clone()));
    }
    Ok(cluster.members)
}

/// Where this member says it is reached.
struct Place {
    scheme: String,
    addresses: Vec<IpAddr>,
    port: u16,
    url: String,
}

async fn own_places(dns: &Dns, urls: &[String]) -> Result<Vec<Place>, String> {
    let mut places = Vec::new();
    for url in urls {
        let uri: http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let (Some(scheme), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16())
        else {
            continue;
        };
        let addresses = dns.addresses(host).await?;
        places.push(Place { scheme: scheme.to_owned(), addresses, port, url: url.clone() });
    }
    Ok(places)
}

/// The members found so far.
struct Cluster<'a> {
    own: &'a str,
    members: Vec<(String, Vec<String>)>,
}

impl<'a> Cluster<'a> {
    fn new(own: &'a str) -> Self {
        Self { own, members: Vec::new() }
    }

    fn add(
        &mut self,
        service: &str,
        scheme: &str,
        target: &Target,
        addresses: &[IpAddr],
        own_places: &[Place],
    ) -> Result<(), String> {
        let host = match target.host.contains(':') {
            true => format!("[{}]", target.host),
            false => target.host.clone(),
        };
        let url = format!("{scheme}://{host}:{}", target.port);
        let is_here = |place: &&Place| {
            place.port == target.port && place.addresses.iter().any(|own| addresses.contains(own))
        };
        let Some(place) = own_places.iter().find(is_here) else {
            let number = self.members.iter().filter(|(name, _)| name != self.own).count();
            self.members.push((number.to_string(), vec![url]));
            return Ok(());
        };
        if place.scheme != scheme {
            return Err(format!(
                "bootstrap at {url} from DNS for {service} has scheme mismatch with expected \
                 peer {}",
                place.url
            ));
        }
        match self.members.iter_mut().find(|(name, _)| name == self.own) {
            Some((_, urls)) => urls.push(url),
            None => self.members.push((self.own.to_owned(), vec![url])),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(url: &str, address: &str, port: u16) -> Place {
        let scheme = url.split_once(':').unwrap().0.to_owned();
        Place { scheme, addresses: vec![address.parse().unwrap()], port, url: url.to_owned() }
    }

    fn target(host: &str, port: u16) -> Target {
        Target { host: host.to_owned(), port }
    }

    #[test]
    fn a_member_knows_itself_by_where_it_is_reached() {
        let places = [place("http://n1.test:2380", "10.0.0.1", 2380)];
        let mut cluster = Cluster::new("n1");
        for number in 1..=3 {
            let address = format!("10.0.0.{number}").parse().unwrap();
            let host = target(&format!("h{number}.test"), 2380);
            cluster.add("etcd-server", "http", &host, &[address], &places).unwrap();
        }
        // Same host, another port: another member.
        let other = target("h1.test", 2381);
        let address = "10.0.0.1".parse().unwrap();
        cluster.add("etcd-server", "http", &other, &[address], &places).unwrap();
        let found: Vec<(&str, &str)> =
            cluster.members.iter().map(|(name, urls)| (&**name, &*urls[0])).collect();
        assert_eq!(
            found,
            [
                ("n1", "http://h1.test:2380"),
                ("0", "http://h2.test:2380"),
                ("1", "http://h3.test:2380"),
                ("2", "http://h1.test:2381"),
            ]
        );
    }

    #[test]
    fn another_scheme_is_no_match() {
        let places = [place("https://n1.test:2380", "10.0.0.1", 2380)];
        let mut cluster = Cluster::new("n1");
        let address = "10.0.0.1".parse().unwrap();
        let host = target("h1.test", 2380);
        let error = cluster.add("etcd-server", "http", &host, &[address], &places).unwrap_err();
        assert_eq!(
            error,
            "bootstrap at http://h1.test:2380 from DNS for etcd-server has scheme mismatch with \
             expected peer https://n1.test:2380"
        );
        assert!(cluster.members.is_empty());
    }
}
