//! etcd's two proxies: programs that stand between clients and members.
//!
//! [`gateway`] passes on bytes and understands none of them; [`grpc`] passes on calls. Both are told
//! where the members are by [`endpoints`]; [`picks`] (pure) is whose turn it is.
//!
//! The invariant: a proxy holds nothing that matters. It can be killed at any time and started
//! anywhere, and a client that was told something was told it by a member.
//!
//! Left to others: sockets and TLS ([`crate::net`]), name servers ([`crate::discovery::dns`]).

pub mod endpoints;
pub mod gateway;
pub mod grpc;
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
    #[error(
        "a certificate must be shown at {0}: name it with --cert-file and --key-file, or have one made \
         with --auto-tls"
    )]
    NoCertificate(String),
    #[error(
        "cert has non empty Common Name ({name}): {}; with it every client would be that user: use a \
         certificate without a name",
        path.display()
    )]
    NamedCertificate { name: String, path: std::path::PathBuf },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}
