//! What must hold of the founders before this member is one of them, or joins them.
//!
//! etcd's rules and etcd's words: the list has this member; what it advertises is what the
//! list says of it, if need be after names are resolved; and no URL is anybody's twice.

use crate::config::Config;
use crate::discovery::dns::Dns;

/// Why the list does not fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoundersError {
    #[error("couldn't find local name \"{0}\" in the initial cluster configuration")]
    NotInCluster(String),
    #[error("initial cluster {0} has duplicate url")]
    DuplicateUrl(String),
    #[error(
        "--initial-cluster has {missing} but missing from --initial-advertise-peer-urls={advertised} ({why})"
    )]
    NotAdvertised { missing: String, advertised: String, why: String },
    #[error(
        "--initial-advertise-peer-urls has {missing} but missing from --initial-cluster={listed}"
    )]
    NotListed { missing: String, listed: String },
}

/// Checks the list for a member that founds.
pub async fn check(config: &Config) -> Result<(), FoundersError> {
    let listed = in_cluster(config)?;
    advertised_as_listed(config, listed).await?;
    distinct(config)
}

/// Checks the list for a member that joins: its cluster knows its URLs already.
pub fn check_joining(config: &Config) -> Result<(), FoundersError> {
    in_cluster(config)?;
    distinct(config)
}

fn in_cluster(config: &Config) -> Result<&[String], FoundersError> {
    let own = config.bootstrap.cluster.iter().find(|(name, _)| *name == config.name);
    own.map(|(_, urls)| &**urls).ok_or_else(|| FoundersError::NotInCluster(config.name.clone()))
}

fn distinct(config: &Config) -> Result<(), FoundersError> {
    let mut seen = std::collections::BTreeSet::new();
    let mut urls = config.bootstrap.cluster.iter().flat_map(|(_, urls)| urls);
    match urls.any(|url| !seen.insert(url)) {
        true => Err(FoundersError::DuplicateUrl(text(&config.bootstrap.cluster))),
        false => Ok(()),
    }
}

fn text(cluster: &[(String, Vec<String>)]) -> String {
    let of = |(name, urls): &(String, Vec<String>)| {
        urls.iter().map(|url| format!("{name}={url}")).collect::<Vec<_>>()
    };
    let mut pairs: Vec<String> = cluster.iter().flat_map(of).collect();
    pairs.sort();
    pairs.join(",")
}

async fn advertised_as_listed(config: &Config, listed: &[String]) -> Result<(), FoundersError> {
    let advertised = &config.listen.advertise_peer;
    let missing: Vec<&String> = listed.iter().filter(|url| !advertised.contains(url)).collect();
    let extra: Vec<&String> = advertised.iter().filter(|url| !listed.contains(url)).collect();
    if missing.is_empty() && extra.is_empty() {
        return Ok(());
    }
    let why = match same_places(config, advertised, listed).await {
        Ok(()) => return Ok(()),
        Err(why) => why,
    };
    let name = &config.name;
    if missing.is_empty() {
        let missing = joined(extra.into_iter().cloned());
        let listed = joined(advertised.iter().map(|url| format!("{name}={url}")));
        return Err(FoundersError::NotListed { missing, listed });
    }
    let missing = joined(missing.into_iter().map(|url| format!("{name}={url}")));
    let advertised = joined(advertised.iter().cloned());
    Err(FoundersError::NotAdvertised { missing, advertised, why })
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// Whether two lists of URLs are the same when names are resolved.
async fn same_places(config: &Config, left: &[String], right: &[String]) -> Result<(), String> {
    if left.len() != right.len() {
        return Err(format!("len({left:?}) != len({right:?})"));
    }
    let dns = Dns::new(config.bootstrap.name_server)?;
    let mut left = resolved(&dns, left).await?;
    let mut right = resolved(&dns, right).await?;
    left.sort();
    right.sort();
    match left.iter().zip(&right).find(|(left, right)| left != right) {
        Some((left, right)) => Err(format!("resolved urls: {left:?} != {right:?}")),
        None => Ok(()),
    }
}

async fn resolved(dns: &Dns, urls: &[String]) -> Result<Vec<String>, String> {
    let mut resolved = Vec::new();
    for url in urls {
        let uri: http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
        let (Some(scheme), Some(host), Some(port)) = (uri.scheme_str(), uri.host(), uri.port_u16())
        else {
            // A socket file is where it is.
            resolved.push(url.clone());
            continue;
        };
        let addresses = dns.addresses(host).await?;
        let address = addresses.first().ok_or_else(|| format!("{host} has no address"))?;
        resolved.push(format!("{scheme}://{}", std::net::SocketAddr::new(*address, port)));
    }
    Ok(resolved)
}
