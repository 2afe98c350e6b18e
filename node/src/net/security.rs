//! TLS of both sides as the flags ask for it, opened and checked.

use std::path::Path;
use std::sync::Arc;

use super::address::Url;
use super::tls::{Tls, TlsError, TlsOptions, create_self_signed};

/// What the flags say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Security {
    pub client: TlsOptions,
    pub peer: TlsOptions,
    /// Make a certificate where there is none.
    pub client_auto: bool,
    pub peer_auto: bool,
    pub self_signed_years: u32,
}

/// URLs and certificates that do not go together.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    #[error(
        "TLS key/cert (--cert-file, --key-file) must be provided for client url {0} with HTTPS scheme"
    )]
    NoClientPair(String),
    #[error(
        "TLS key/cert (--peer-cert-file, --peer-key-file) must be provided for peer url {0} with HTTPS scheme"
    )]
    NoPeerPair(String),
    #[error(
        "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url {0}"
    )]
    NoMetricsPair(String),
}

/// Both sides, open.
pub struct Secured {
    pub client: Arc<Tls>,
    pub peer: Arc<Tls>,
}

impl Security {
    /// Reads all files; makes the certificates that are to be made, under `data_dir`.
    pub fn open(
        &self,
        data_dir: &Path,
        client_urls: &[String],
        peer_urls: &[String],
    ) -> Result<Secured, TlsError> {
        let fixtures = data_dir.join("fixtures");
        let side = |options: &TlsOptions, auto: bool, name: &str, urls: &[String]| {
            let options = match (auto, options.is_empty()) {
                (true, true) => self.self_signed(options, &fixtures.join(name), urls)?,
                (true, false) => {
                    tracing::warn!("ignoring {name} auto TLS since certs given");
                    options.clone()
                }
                (false, _) => options.clone(),
            };
            warn_of_plain(&options, name, urls);
            Tls::open(options)
        };
        Ok(Secured {
            client: side(&self.client, self.client_auto, "client", client_urls)?,
            peer: side(&self.peer, self.peer_auto, "peer", peer_urls)?,
        })
    }

    /// As in etcd, whatever else was said of this side's TLS does not count then.
    fn self_signed(
        &self,
        options: &TlsOptions,
        directory: &Path,
        urls: &[String],
    ) -> Result<TlsOptions, TlsError> {
        let mut hosts: Vec<String> = urls
            .iter()
            .filter_map(|url| Url::parse(url).ok())
            .map(|url| url.host().to_owned())
            .collect();
        hosts.sort();
        hosts.dedup();
        let (cert, key) = create_self_signed(directory, &hosts, self.self_signed_years)?;
        Ok(TlsOptions {
            cert_file: Some(cert),
            key_file: Some(key),
            self_signed: true,
            skip_san_check: options.skip_san_check,
            protocol: options.protocol.clone(),
            ..TlsOptions::default()
        })
    }
}

fn warn_of_plain(options: &TlsOptions, side: &str, urls: &[String]) {
    if options.is_empty() {
        return;
    }
    let plain = |url: &&String| Url::parse(url).is_ok_and(|url| !url.secure);
    for url in urls.iter().filter(plain) {
        tracing::warn!(
            %url,
            "scheme is http or unix while {side} key and cert files are present; ignoring them for this URL"
        );
        if options.client_cert_auth {
            tracing::warn!(
                %url,
                "scheme is http or unix while {side} cert auth is enabled; ignoring it for this URL"
            );
        }
    }
}

/// The first of `urls` that is encrypted, if `tls` has nothing to encrypt with.
pub fn url_without_pair<'a>(tls: &Tls, urls: &'a [String]) -> Option<&'a String> {
    if tls.can_listen() {
        return None;
    }
    urls.iter().find(|url| Url::parse(url).is_ok_and(|url| url.secure))
}
