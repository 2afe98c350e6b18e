//! TLS, of clients and of peers, listening and dialling.
//!
//! [`build`] is the one place that makes a configuration; both sides and both directions go
//! through it, so that a rule (versions, suites, revocation, who is allowed) cannot hold on
//! one listener and be forgotten on another. The rules are etcd's:
//!
//! * A CA file, or client certificate authentication, on a listener means: no certificate,
//!   no connection.
//! * A peer's certificate that names addresses or hosts must name the one it comes from,
//!   unless `--peer-skip-client-san-verification` is set.
//! * Self-signed (`--auto-tls`): encrypted, and nobody is authenticated.
//!
//! Files are looked at when a connection begins: if one has changed, it is read again. What
//! cannot be used is told once, and the last good files stay in force; so a certificate that
//! is half written breaks nothing, and a list of revoked certificates that is gone still
//! counts. Sessions are never resumed: every connection proves itself anew.

mod build;
mod ciphers;
mod files;
mod names;
mod self_signed;
mod verify;
mod words;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::connection::{Connection, Socket};
use super::sniff;
pub use self_signed::create as create_self_signed;
pub use words::said;

/// What the flags say of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    pub cert_file: Option<PathBuf>,
    pub key_file: Option<PathBuf>,
    /// Shown when dialling, instead of the pair above.
    pub client_cert_file: Option<PathBuf>,
    pub client_key_file: Option<PathBuf>,
    pub trusted_ca_file: Option<PathBuf>,
    pub crl_file: Option<PathBuf>,
    pub client_cert_auth: bool,
    /// Common names that may connect; empty: any.
    pub allowed_common_names: Vec<String>,
    /// Hosts of which a certificate must name one; empty: any.
    pub allowed_hosts: Vec<String>,
    pub skip_san_check: bool,
    /// The certificate is nobody's, so it is not verified when dialling.
    pub self_signed: bool,
    /// What is dialled is asked for HTTP/1.1, not HTTP/2.
    pub http1: bool,
    pub protocol: Protocol,
}

/// Versions and cipher suites, of both sides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protocol {
    /// Go's names; empty: all there are.
    pub cipher_suites: Vec<String>,
    pub min: Option<Version>,
    pub max: Option<Version>,
}

/// A version of TLS that is still in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Tls12,
    Tls13,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("cert file and key file must both be present (cert: {cert:?}, key: {key:?})")]
    HalfAPair { cert: Option<PathBuf>, key: Option<PathBuf> },
    #[error("the certificate {} cannot be used: {why}", path.display())]
    Certificate { path: PathBuf, why: String },
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    #[error("client certificates cannot be verified: {0}")]
    Verifier(String),
    #[error("unexpected TLS cipher suite {0:?}")]
    UnknownSuite(String),
    #[error("none of the TLS cipher suites is an AEAD suite with forward secrecy: {0}")]
    WeakSuites(String),
    #[error("a self-signed certificate cannot be made: {0}")]
    SelfSigned(String),
}

/// One side's TLS, always at the state of its files.
#[derive(Debug)]
pub struct Tls {
    options: TlsOptions,
    live: Mutex<Live>,
}

#[derive(Debug)]
struct Live {
    stamps: Vec<files::Stamp>,
    server: Option<Arc<ServerConfig>>,
    /// Made when the first connection is dialled: it may need the system's certificates.
    client: Option<Arc<ClientConfig>>,
}

/// Whom the first certificate of a file names, if anybody.
pub fn common_name(path: &Path) -> Result<Option<String>, TlsError> {
    let unusable = |why: String| TlsError::Certificate { path: path.to_owned(), why };
    let certificates = files::certificates(path)?;
    let first = certificates.first().ok_or_else(|| unusable("it is empty".to_owned()))?;
    let names = names::Names::read(first).map_err(|why| unusable(why.to_string()))?;
    Ok(names.common_name)
}

impl TlsOptions {
    /// Whether there is no certificate to listen with.
    pub fn is_empty(&self) -> bool {
        self.cert_file.is_none() && self.key_file.is_none()
    }

    /// Whether a listener asks for certificates.
    pub fn asks_for_certificates(&self) -> bool {
        self.client_cert_auth || self.trusted_ca_file.is_some()
    }
}

impl Tls {
    /// Reads and checks all files.
    pub fn open(options: TlsOptions) -> Result<Arc<Self>, TlsError> {
        let stamps = files::stamps(&options);
        let server = build::server(&options)?;
        build::check_client_pair(&options)?;
        let live = Mutex::new(Live { stamps, server, client: None });
        Ok(Arc::new(Self { options, live }))
    }

    /// Whether it can be listened with.
    pub fn can_listen(&self) -> bool {
        self.live.lock().server.is_some()
    }

    /// Reads the files again if one has changed.
    fn refresh(&self, live: &mut Live) {
        let stamps = files::stamps(&self.options);
        if stamps == live.stamps {
            return;
        }
        live.stamps = stamps;
        let client = live.client.is_some().then(|| build::client(&self.options)).transpose();
        match build::server(&self.options).and_then(|server| Ok((server, client?))) {
            Ok((server, client)) => {
                tracing::info!("TLS files have changed and are in force");
                live.server = server;
                live.client = client;
            }
            Err(error) => {
                tracing::warn!(%error, "TLS files have changed and cannot be used; the last good ones stay in force");
            }
        }
    }

    fn server_config(&self) -> Option<Arc<ServerConfig>> {
        let mut live = self.live.lock();
        self.refresh(&mut live);
        live.server.clone()
    }

    fn client_config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut live = self.live.lock();
        self.refresh(&mut live);
        if let Some(config) = &live.client {
            return Ok(config.clone());
        }
        let config = build::client(&self.options)?;
        live.client = Some(config.clone());
        Ok(config)
    }

    /// Finds what is wrong for dialling now and not at the first connection.
    pub fn check_dialling(&self) -> Result<(), TlsError> {
        self.client_config().map(drop)
    }

    /// The listening side of a handshake.
    pub async fn accept(&self, socket: Socket) -> io::Result<Connection> {
        let config = self.server_config().ok_or(io::ErrorKind::Unsupported)?;
        let handshake = TlsAcceptor::from(config).accept(socket).into_fallible();
        let stream = match handshake.await {
            Ok(stream) => stream,
            Err((error, socket)) => {
                sniff::part(socket).await;
                return Err(words::said(error));
            }
        };
        let Some(certificate) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first)
        else {
            return Ok(Connection::encrypted(stream, None));
        };
        let shown = names::Names::read(certificate).map_err(io::Error::other)?;
        if !self.options.skip_san_check
            && let Some(remote) = stream.get_ref().0.remote()
        {
            names::comes_from(&shown, remote.ip()).await.map_err(io::Error::other)?;
        }
        Ok(Connection::encrypted(stream, shown.common_name))
    }

    /// The dialling side of a handshake with `host`.
    pub async fn connect(&self, host: &str, socket: Socket) -> io::Result<Connection> {
        let config = self.client_config().map_err(io::Error::other)?;
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(config).connect(name, socket).await.map_err(words::said)?;
        Ok(Connection::encrypted(stream, None))
    }
}
