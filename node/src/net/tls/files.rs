//! Reading certificates, keys and lists of revoked certificates.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use x509_parser::prelude::{CertificateRevocationList, FromDer as _};

use super::{TlsError, TlsOptions};

/// By what a changed file is known.
#[derive(Debug, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, u64, u64)>);

/// One stamp for each file there is a name of.
pub fn stamps(options: &TlsOptions) -> Vec<Stamp> {
    let TlsOptions { cert_file, key_file, client_cert_file, client_key_file, .. } = options;
    let pairs = [cert_file, key_file, client_cert_file, client_key_file];
    let files = pairs.into_iter().chain([&options.trusted_ca_file, &options.crl_file]);
    let stamp = |path: &PathBuf| {
        let seen = std::fs::metadata(path).ok();
        Stamp(seen.and_then(|meta| Some((meta.modified().ok()?, meta.len(), meta.ino()))))
    };
    files.flatten().map(stamp).collect()
}

fn failed(path: &Path, why: impl std::fmt::Display) -> TlsError {
    TlsError::File { path: path.to_owned(), why: why.to_string() }
}

/// All certificates of a PEM file; at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = std::fs::read(path).map_err(|error| failed(path, error))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let found = found.map_err(|error| failed(path, error))?;
    if found.is_empty() {
        return Err(failed(path, "there is no certificate in it (PEM is expected)"));
    }
    Ok(found)
}

/// The private key of a PEM file.
pub fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = std::fs::read(path).map_err(|error| failed(path, error))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|_| {
        failed(path, "there is no private key in it that can be read (PEM is expected)")
    })
}

/// Serial numbers of revoked certificates. The file is a list in DER, as etcd wants it, or
/// in PEM.
pub fn revoked(path: &Path) -> Result<HashSet<Vec<u8>>, TlsError> {
    let bytes = std::fs::read(path).map_err(|error| failed(path, error))?;
    let der = match CertificateRevocationListDer::from_pem_slice(&bytes) {
        Ok(der) => der.as_ref().to_vec(),
        Err(_) => bytes,
    };
    let (_, list) = CertificateRevocationList::from_der(&der)
        .map_err(|error| failed(path, format!("it is no list of revoked certificates: {error}")))?;
    Ok(list.iter_revoked_certificates().map(|one| serial(one.raw_serial())).collect())
}

/// A serial number without leading zeros.
pub fn serial(raw: &[u8]) -> Vec<u8> {
    raw.iter().copied().skip_while(|byte| *byte == 0).collect()
}
