//! `--auto-tls` and `--peer-auto-tls`: a certificate made here and kept.
//!
//! It encrypts and authenticates nobody. Made once, under `fixtures/` of the data directory;
//! a restart uses the same one.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use time::{Duration, OffsetDateTime};

use super::TlsError;

/// Certificate and key in `directory`, made out to `hosts` for `years` if not there yet.
pub fn create(
    directory: &Path,
    hosts: &[String],
    years: u32,
) -> Result<(PathBuf, PathBuf), TlsError> {
    let (cert_path, key_path) = (directory.join("cert.pem"), directory.join("key.pem"));
    if cert_path.exists() && key_path.exists() {
        return Ok((cert_path, key_path));
    }
    let failed = |error: &dyn std::fmt::Display| TlsError::SelfSigned(error.to_string());
    let mut params = CertificateParams::new(hosts).map_err(|error| failed(&error))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "etcd");
    params.not_before = OffsetDateTime::now_utc() - Duration::hours(1);
    params.not_after = OffsetDateTime::now_utc()
        .checked_add(Duration::days(365 * i64::from(years)))
        .ok_or_else(|| TlsError::SelfSigned(format!("{years} years are too many")))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| failed(&error))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| failed(&error))?;
    // The key first: a pair is complete when its certificate is there.
    for (path, text) in [(&key_path, key.serialize_pem()), (&cert_path, certificate.pem())] {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| failed(&error))?;
        file.write_all(text.as_bytes()).map_err(|error| failed(&error))?;
    }
    tracing::warn!(
        path = %cert_path.display(),
        not_after = %params.not_after,
        "automatically generate certificates"
    );
    Ok((cert_path, key_path))
}
