//! Finding the other founders when the command line does not name them.
//!
//! Three ways, all etcd's: a directory of keys on a server of the v2 API ([`v2`]), the same
//! through the v3 API ([`v3`]), and DNS service records ([`srv`]). Each ends in what
//! `--initial-cluster` would have said, after which founding is the same for all.
//!
//! The two registries work alike. Somebody has written the size. Every member writes its name
//! and peer URLs under its member id, and waits until there are as many as that. The first of
//! them in the order they were written are the cluster; whoever comes later is told that it
//! is full. [`registry`] is that rule, pure.
//!
//! A registry that does not answer is asked again for ever, with growing pauses: members of a
//! data centre that comes up again start in any order. An answer that cannot get better ends
//! the start with etcd's text.
//!
//! Left to others: whether there is data, in which case nobody is asked
//! ([`crate::bootstrap`]), and whether the founders found fit this member
//! ([`crate::founders`]).

pub mod dns;
mod http;
mod registry;
mod srv;
mod v2;
mod v3;

use std::time::Duration;

use crate::cluster::members::member_id;
use crate::config::{Config, Discovery};

/// Why the founders cannot be known. The words are etcd's.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    #[error("failed to join discovery cluster (discovery: size key not found)")]
    SizeNotFound,
    #[error("failed to join discovery cluster (discovery: size key is bad)")]
    BadSize,
    #[error(
        "failed to join discovery cluster (discovery: cluster is full); do not reuse a discovery token, make a new one for a new cluster"
    )]
    Full,
    #[error(
        "failed to join discovery cluster (discovery: found duplicate id); this member has registered before: check its data directory, or use a new token if that start failed"
    )]
    DuplicateId,
    #[error(
        "failed to join discovery cluster (discovery: found duplicate name): {0}; give every member its own --name and use a new token"
    )]
    DuplicateName(String),
    #[error("failed to join discovery cluster (discovery: invalid peer URL): {0}")]
    InvalidUrl(String),
    #[error("failed to join discovery cluster (discovery: bad discovery endpoint): {0}")]
    BadEndpoint(String),
    #[error("failed to join discovery cluster ({0})")]
    Refused(String),
    #[error("discovery cluster {0} has duplicate url")]
    DuplicateUrl(String),
    #[error("{0}")]
    Srv(String),
    #[error("cannot find local etcd member \"{0}\" in SRV records")]
    NotInSrv(String),
    #[error("discovery URL should not be set when joining existing initial cluster")]
    Existing,
}

/// How a single question ended.
#[derive(Debug)]
enum Trouble {
    /// Asking again may help.
    Passing(String),
    Final(DiscoveryError),
}

impl From<DiscoveryError> for Trouble {
    fn from(error: DiscoveryError) -> Self {
        Trouble::Final(error)
    }
}

/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(32);

/// Pauses of 1, 2, 4 … seconds.
struct Pauses {
    tries: u32,
}

impl Pauses {
    fn next(&mut self) -> Duration {
        let pause = Duration::from_secs(1 << self.tries.min(5));
        self.tries += 1;
        pause.min(PAUSE_MAX)
    }
}

/// Asks until there is an answer or an end of hope.
async fn patiently<T, F>(what: &str, mut ask: impl FnMut() -> F) -> Result<T, DiscoveryError>
where
    F: Future<Output = Result<T, Trouble>>,
{
    let mut pauses = Pauses { tries: 0 };
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(Trouble::Final(error)) => return Err(error),
            Err(Trouble::Passing(why)) => {
                let pause = pauses.next();
                tracing::warn!(
                    reason = what,
                    error = %why,
                    backoff = ?pause,
                    "retry connecting to discovery service"
                );
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// The configuration as it would be if the command line named the founders.
pub async fn resolved(config: &Config) -> Result<Config, DiscoveryError> {
    let Some(discovery) = &config.bootstrap.discovery else {
        return Ok(config.clone());
    };
    let mut resolved = config.clone();
    let own = (config.name.clone(), config.listen.advertise_peer.clone());
    if let Discovery::Srv(srv) = discovery {
        let dns = dns::Dns::new(config.bootstrap.name_server).map_err(DiscoveryError::Srv)?;
        resolved.bootstrap.cluster = srv::founders(srv, &dns, &own).await?;
        return Ok(resolved);
    }
    if config.bootstrap.existing {
        return Err(DiscoveryError::Existing);
    }
    let text = match discovery {
        Discovery::V2(service) => {
            resolved.bootstrap.token = service.url.clone();
            let id = member_id(&own.1, &service.url, None);
            v2::join(service, id, &registry::entry(&own)).await?
        }
        Discovery::V3(service) => {
            resolved.bootstrap.token = service.token.clone();
            let id = member_id(&own.1, &service.token, None);
            v3::join(service, id, &registry::entry(&own)).await?
        }
        Discovery::Srv(_) => return Ok(resolved),
    };
    tracing::info!(cluster = %text, "discovery joined cluster successfully");
    resolved.bootstrap.cluster = registry::founders(&text)?;
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit() {
        let mut pauses = Pauses { tries: 0 };
        let seconds: Vec<u64> = (0..8).map(|_| pauses.next().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 32, 32]);
    }

    #[tokio::test]
    async fn what_does_not_get_better_ends_it() {
        let answer = patiently("a test", || {
            std::future::ready(Err::<(), _>(Trouble::Final(DiscoveryError::BadSize)))
        });
        assert!(matches!(answer.await, Err(DiscoveryError::BadSize)));
    }
}
