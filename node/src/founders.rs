//! What must hold of the founders before this member is one of them, or joins them.
//!
//! etcd's rules and etcd's words: the list has this member; what it advertises is what the
//! list says of it, if need be after names are resolved; and no URL is anybody's twice.

use std::net::SocketAddr;

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

/// The list, and the member it has to fit.
#[derive(Clone, Copy, Debug)]
pub struct Founders<'a> {
    pub name: &'a str,
    /// The member's own peer URLs.
    pub advertised: &'a [String],
    pub cluster: &'a [(String, Vec<String>)],
}

impl<'a> Founders<'a> {
    /// What a member is started with.
    pub fn of(config: &'a Config) -> Self {
        Self {
            name: &config.name,
            advertised: &config.listen.advertise_peer,
            cluster: &config.bootstrap.cluster,
        }
    }

    /// Checks the list for a member that founds; names are resolved if need be.
    pub async fn check(self, name_server: Option<SocketAddr>) -> Result<(), FoundersError> {
        match self.check_words() {
            Err(FoundersError::NotAdvertised { missing, advertised, .. }) => {
                let listed = self.own()?;
                match same_places(name_server, self.advertised, listed).await {
                    Ok(()) => self.distinct(),
                    Err(why) => Err(FoundersError::NotAdvertised { missing, advertised, why }),
                }
            }
            checked => checked,
        }
    }

    /// The same without resolving names.
    pub fn check_words(self) -> Result<(), FoundersError> {
        let listed = self.own()?;
        let missing = listed.iter().filter(|url| !self.advertised.contains(url));
        let missing = joined(missing.map(|url| format!("{}={url}", self.name)));
        if !missing.is_empty() {
            let advertised = joined(self.advertised.iter().cloned());
            let why = "they are not the same words".to_owned();
            return Err(FoundersError::NotAdvertised { missing, advertised, why });
        }
        let extra = joined(self.advertised.iter().filter(|url| !listed.contains(url)).cloned());
        if !extra.is_empty() {
            let listed = joined(listed.iter().map(|url| format!("{}={url}", self.name)));
            return Err(FoundersError::NotListed { missing: extra, listed });
        }
        self.distinct()
    }

    /// Checks the list for a member that joins: its cluster knows its URLs already.
    pub fn check_joining(self) -> Result<(), FoundersError> {
        self.own()?;
        self.distinct()
    }

    fn own(self) -> Result<&'a [String], FoundersError> {
        let own = self.cluster.iter().find(|(name, _)| name == self.name);
        own.map(|(_, urls)| &**urls)
            .ok_or_else(|| FoundersError::NotInCluster(self.name.to_owned()))
    }

    fn distinct(self) -> Result<(), FoundersError> {
        let mut seen = std::collections::BTreeSet::new();
        let mut urls = self.cluster.iter().flat_map(|(_, urls)| urls);
        match urls.any(|url| !seen.insert(url)) {
            true => Err(FoundersError::DuplicateUrl(text(self.cluster))),
            false => Ok(()),
        }
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

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(",")
}

/// Whether two lists of URLs are the same when names are resolved.
async fn same_places(
    name_server: Option<SocketAddr>,
    left: &[String],
    right: &[String],
) -> Result<(), String> {
    if left.len() != right.len() {
        return Err(format!("len({left:?}) != len({right:?})"));
    }
    let dns = Dns::new(name_server)?;
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
        resolved.push(format!("{scheme}://{}", SocketAddr::new(*address, port)));
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cluster: &[(&str, &[&str])], advertised: &[&str]) -> Result<(), FoundersError> {
        let strings = |urls: &[&str]| urls.iter().map(|url| url.to_string()).collect::<Vec<_>>();
        let cluster: Vec<(String, Vec<String>)> =
            cluster.iter().map(|(name, urls)| (name.to_string(), strings(urls))).collect();
        let advertised = strings(advertised);
        Founders { name: "a", advertised: &advertised, cluster: &cluster }.check_words()
    }

    #[test]
    fn a_list_fits_or_says_why_not() {
        let both: &[(&str, &[&str])] = &[("a", &["http://h:1"]), ("b", &["http://h:2"])];
        assert_eq!(check(both, &["http://h:1"]), Ok(()));
        assert_eq!(
            check(&[("a", &["http://h:1", "http://h:2"])], &["http://h:2", "http://h:1"]),
            Ok(())
        );
        for (cluster, advertised, text) in [
            (
                &[("b", &["http://h:1"][..])][..],
                &["http://h:1"][..],
                "couldn't find local name \"a\" in the initial cluster configuration",
            ),
            (
                &[("a", &["http://h:1"])],
                &["http://h:2"],
                "--initial-cluster has a=http://h:1 but missing from \
                 --initial-advertise-peer-urls=http://h:2 (they are not the same words)",
            ),
            (
                &[("a", &["http://h:1"])],
                &["http://h:1", "http://h:2"],
                "--initial-advertise-peer-urls has http://h:2 but missing from \
                 --initial-cluster=a=http://h:1",
            ),
            (
                &[("a", &["http://h:1"]), ("b", &["http://h:1"])],
                &["http://h:1"],
                "initial cluster a=http://h:1,b=http://h:1 has duplicate url",
            ),
        ] {
            assert_eq!(check(cluster, advertised).unwrap_err().to_string(), text);
        }
    }
}
