//! What is wrong with a TLS connection, in the words of etcd's log, which are Go's.
//!
//! Errors are changed where they leave TLS: the layers above keep no more than their text.

use std::io;

use rustls::{AlertDescription, Error};

use super::verify::NOT_ALLOWED;

/// The same error, said as etcd says it, if etcd has words for it.
pub fn said(error: io::Error) -> io::Error {
    let known = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()).and_then(words);
    match known {
        Some(text) => io::Error::new(error.kind(), text),
        None => error,
    }
}

fn words(error: &Error) -> Option<String> {
    match error {
        Error::AlertReceived(alert) => Some(format!("remote error: tls: {}", alert_text(*alert)?)),
        Error::InvalidCertificate(why) if *why == NOT_ALLOWED => {
            Some("client certificate authentication failed".to_owned())
        }
        _ => None,
    }
}

fn alert_text(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use rustls::CertificateError;

    use super::*;

    #[test]
    fn what_etcd_has_words_for_is_said_in_them() {
        let wrap = |error: Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let cases = [
            (
                Error::AlertReceived(AlertDescription::BadCertificate),
                "remote error: tls: bad certificate",
            ),
            (Error::InvalidCertificate(NOT_ALLOWED), "client certificate authentication failed"),
        ];
        for (error, text) in cases {
            let said = said(wrap(error));
            assert_eq!(
                (said.kind(), said.to_string()),
                (io::ErrorKind::InvalidData, text.to_owned())
            );
        }
        // Who is not allowed is told what etcd tells.
        let alert = AlertDescription::from(NOT_ALLOWED);
        assert_eq!(alert_text(alert), Some("bad certificate"));
        let other = said(wrap(Error::InvalidCertificate(CertificateError::Expired)));
        assert!(other.to_string().contains("Expired"), "{other}");
        assert_eq!(said(io::Error::other("else")).to_string(), "else");
    }
}
