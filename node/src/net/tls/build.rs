//! The one builder of TLS configurations; see [`super`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::verify::{Anybody, Clients, Rules, Servers};
use super::{Protocol, TlsError, TlsOptions, Version, ciphers, files};

/// Clients that offer neither are told at once.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn provider(protocol: &Protocol) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = ring::default_provider();
    provider.cipher_suites = ciphers::suites(&protocol.cipher_suites)?;
    Ok(Arc::new(provider))
}

fn versions(protocol: &Protocol) -> Vec<&'static SupportedProtocolVersion> {
    let all = [(Version::Tls12, &version::TLS12), (Version::Tls13, &version::TLS13)];
    let fits = |version: Version| {
        protocol.min.is_none_or(|min| version >= min)
            && protocol.max.is_none_or(|max| version <= max)
    };
    all.into_iter().filter(|(version, _)| fits(*version)).map(|(_, version)| version).collect()
}

fn pair(cert: &Option<PathBuf>, key: &Option<PathBuf>) -> Result<Option<Pair>, TlsError> {
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(Some((files::certificates(cert)?, files::key(key)?))),
        (None, None) => Ok(None),
        _ => Err(TlsError::HalfAPair { cert: cert.clone(), key: key.clone() }),
    }
}

/// What verifies others: roots and rules.
fn trust(options: &TlsOptions) -> Result<(Arc<RootCertStore>, Rules), TlsError> {
    let mut roots = RootCertStore::empty();
    let mut rules = Rules {
        common_names: options.allowed_common_names.clone(),
        hosts: options.allowed_hosts.clone(),
        ..Rules::default()
    };
    if let Some(path) = &options.crl_file {
        rules.revoked = files::revoked(path)?;
    }
    match &options.trusted_ca_file {
        Some(path) => {
            rules.trusted = files::certificates(path)?;
            let (added, _) = roots.add_parsable_certificates(rules.trusted.iter().cloned());
            if added == 0 {
                let why = "none of its certificates can be an authority".to_owned();
                return Err(TlsError::Certificate { path: path.clone(), why });
            }
        }
        // As in Go: without a file, the system's authorities count.
        None => {
            let system = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(system.certs);
        }
    }
    Ok((Arc::new(roots), rules))
}

fn unusable(path: &Option<PathBuf>, error: &rustls::Error) -> TlsError {
    let path = path.as_deref().unwrap_or(Path::new("")).to_owned();
    let why = match error {
        rustls::Error::InconsistentKeys(_) => "the private key is another one's".to_owned(),
        other => other.to_string(),
    };
    TlsError::Certificate { path, why }
}

/// The configuration of a listener, if there is a certificate for one.
pub fn server(options: &TlsOptions) -> Result<Option<Arc<ServerConfig>>, TlsError> {
    let provider = provider(&options.protocol)?;
    let Some((chain, key)) = pair(&options.cert_file, &options.key_file)? else {
        return Ok(None);
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(&options.protocol))?;
    let builder = if options.asks_for_certificates() {
        let (roots, rules) = trust(options)?;
        let chain = WebPkiClientVerifier::builder_with_provider(roots, provider)
            .build()
            .map_err(|error| TlsError::Verifier(error.to_string()))?;
        builder.with_client_cert_verifier(Arc::new(Clients { chain, rules }))
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| unusable(&options.cert_file, &error))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Some(Arc::new(config)))
}

/// The pair that is shown when dialling.
fn client_pair(options: &TlsOptions) -> Result<Option<Pair>, TlsError> {
    match pair(&options.client_cert_file, &options.client_key_file)? {
        Some(own) => Ok(Some(own)),
        None => pair(&options.cert_file, &options.key_file),
    }
}

/// A pair that cannot be used is found at the start and not when it is needed.
pub fn check_client_pair(options: &TlsOptions) -> Result<(), TlsError> {
    let provider = provider(&options.protocol)?;
    let Some((chain, key)) = pair(&options.client_cert_file, &options.client_key_file)? else {
        return Ok(());
    };
    rustls::sign::CertifiedKey::from_der(chain, key, &provider)
        .map(drop)
        .map_err(|error| unusable(&options.client_cert_file, &error))
}

/// The configuration for dialling.
pub fn client(options: &TlsOptions) -> Result<Arc<ClientConfig>, TlsError> {
    let provider = provider(&options.protocol)?;
    let verifier: Arc<dyn ServerCertVerifier> = if options.self_signed {
        Arc::new(Anybody(provider.clone()))
    } else {
        let (roots, rules) = trust(options)?;
        let chain = WebPkiServerVerifier::builder_with_provider(roots, provider.clone())
            .build()
            .map_err(|error| TlsError::Verifier(error.to_string()))?;
        Arc::new(Servers { chain, rules })
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(&options.protocol))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match client_pair(options)? {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| unusable(&options.cert_file, &error))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOLS[usize::from(options.http1)].to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    Ok(Arc::new(config))
}
