//! Verification of certificates: webpki's chain, then revocation and who is allowed.
//!
//! webpki does not take a certificate that is in the file of trusted ones for an end entity's.
//! Go does, and people make clusters whose only certificate is its own authority. So such a
//! one is compared byte by byte, and its dates and uses are checked here.

use std::collections::HashSet;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::names::{Names, Use, is_usable};

/// Somebody else than those who are allowed. The chain's own errors about names have a context;
/// who is refused is told "bad certificate", as by etcd.
pub const NOT_ALLOWED: CertificateError = CertificateError::NotValidForName;

/// What holds beside the chain.
#[derive(Debug, Default)]
pub struct Rules {
    /// Trusted certificates, to be recognised when shown themselves.
    pub trusted: Vec<CertificateDer<'static>>,
    /// Serial numbers.
    pub revoked: HashSet<Vec<u8>>,
    pub common_names: Vec<String>,
    pub hosts: Vec<String>,
}

impl Rules {
    /// Revocation is etcd's: by serial number, of any certificate that is shown.
    fn check(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), Error> {
        let unreadable = |_| Error::InvalidCertificate(CertificateError::BadEncoding);
        let names = Names::read(shown).map_err(unreadable)?;
        if !self.revoked.is_empty() {
            for certificate in std::iter::once(shown).chain(others) {
                let serial = Names::read(certificate).map_err(unreadable)?.serial;
                if self.revoked.contains(&serial) {
                    return Err(Error::InvalidCertificate(CertificateError::Revoked));
                }
            }
        }
        let is_one = |name: &String| self.common_names.contains(name);
        let named = self.common_names.is_empty() || names.common_name.as_ref().is_some_and(is_one);
        let hosted = self.hosts.is_empty() || self.hosts.iter().any(|host| names.covers(host));
        if named && hosted {
            return Ok(());
        }
        Err(Error::InvalidCertificate(NOT_ALLOWED))
    }

    fn is_trusted(&self, shown: &CertificateDer<'_>, now: UnixTime, usage: Use) -> bool {
        self.trusted.iter().any(|one| one == shown) && is_usable(shown, now, usage)
    }
}

/// Verifies who dials.
#[derive(Debug)]
pub struct Clients {
    pub chain: Arc<dyn ClientCertVerifier>,
    pub rules: Rules,
}

impl ClientCertVerifier for Clients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Err(error) = self.chain.verify_client_cert(shown, others, now)
            && !self.rules.is_trusted(shown, now, Use::Client)
        {
            return Err(error);
        }
        self.rules.check(shown, others)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Verifies who is dialled.
#[derive(Debug)]
pub struct Servers {
    pub chain: Arc<dyn ServerCertVerifier>,
    pub rules: Rules,
}

impl ServerCertVerifier for Servers {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Err(error) = self.chain.verify_server_cert(shown, others, host, ocsp, now) {
            if !self.rules.is_trusted(shown, now, Use::Server) {
                return Err(error);
            }
            verify_server_name(&ParsedCertificate::try_from(shown)?, host)?;
        }
        self.rules.check(shown, others)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Takes any certificate: for `--peer-auto-tls`, where nobody knows anybody's.
#[derive(Debug)]
pub struct Anybody(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _shown: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _host: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
