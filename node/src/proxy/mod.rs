//! etcd's two proxies: programs that stand between clients and members.
//!
//! [`gateway`] passes on bytes and understands none of them. What stands here is what a proxy has
//! instead of a member's state: where the members are ([`endpoints`]), and which of them is asked
//! next ([`picks`], pure).
//!
//! The invariant: a proxy holds nothing that matters. It can be killed at any time and started
//! anywhere, and a client that was told something was told it by a member.
//!
//! Left to others: sockets and TLS ([`crate::net`]), name servers ([`crate::discovery::dns`]).

pub mod endpoints;
pub mod gateway;
pub mod picks;

use crate::net::ListenError;
use crate::net::tls::TlsError;

/// Why a proxy cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("{0}")]
    Discovery(String),
    #[error("none of the endpoints in the DNS records of {domain} can be used: {why}; {fix}")]
    NothingValid { domain: String, why: String, fix: &'static str },
    #[error("error parsing endpoint {0:?}: it is host:port")]
    Endpoint(String),
    #[error("no endpoints found; name them with --endpoints")]
    NoEndpoints,
    #[error("failed to resolve endpoint host: {host}: {why}")]
    Unresolved { host: String, why: std::io::Error },
    #[error(
        "SRV or endpoint ({endpoint}) should not resolve to the gateway listen addr ({listen}); \
         choose another --listen-addr"
    )]
    Loop { endpoint: String, listen: String },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
