//! Cipher suites by the names that Go, and so etcd's `--cipher-suites`, gives them.
//!
//! Only suites with forward secrecy and authenticated encryption exist here. Go's names of
//! others are known, so that a list made for etcd is read to its end; they are left out.
//! As in Go, the list decides about TLS 1.2 only: the suites of TLS 1.3 are all sound.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite as ring;

use super::TlsError;

const SUITES: &[(&str, SupportedCipherSuite)] = &[
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", ring::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", ring::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    (
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        ring::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", ring::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", ring::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    (
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ring::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

const ALWAYS: &[(&str, SupportedCipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", ring::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", ring::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", ring::TLS13_CHACHA20_POLY1305_SHA256),
];

/// Suites of Go without forward secrecy or authenticated encryption.
const WEAK: &[&str] = &[
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
];

fn old_name(name: &str) -> Option<&str> {
    name.strip_suffix("_SHA256").filter(|name| name.ends_with("POLY1305"))
}

/// The suites for these names, in their order; all if there are no names.
pub fn suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let mut suites: Vec<_> = ALWAYS.iter().map(|(_, suite)| *suite).collect();
    if names.is_empty() {
        suites.extend(SUITES.iter().map(|(_, suite)| *suite));
        return Ok(suites);
    }
    let mut any = false;
    for name in names {
        // The older names of two suites have no hash at their end.
        let found = SUITES.iter().find(|(known, _)| known == name || old_name(known) == Some(name));
        if let Some((_, suite)) = found {
            suites.push(*suite);
        } else if WEAK.contains(&name.as_str()) {
            continue;
        } else if !ALWAYS.iter().any(|(known, _)| known == name) {
            return Err(TlsError::UnknownSuite(name.clone()));
        }
        any = true;
    }
    if any { Ok(suites) } else { Err(TlsError::WeakSuites(names.join(","))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Result<usize, String> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        suites(&names).map(|suites| suites.len()).map_err(|error| error.to_string())
    }

    #[test]
    fn gos_names_are_known_and_weak_suites_are_left_out() {
        assert_eq!(of(&[]), Ok(9));
        assert_eq!(of(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"]), Ok(4));
        assert_eq!(of(&["TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"]), Ok(4));
        assert_eq!(of(&["TLS_AES_128_GCM_SHA256"]), Ok(3));
        let mixed = ["TLS_RSA_WITH_AES_128_CBC_SHA", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"];
        assert_eq!(of(&mixed), Ok(4));
        assert!(of(&mixed[..1]).unwrap_err().contains("AEAD"));
        assert_eq!(of(&["x"]).unwrap_err(), "unexpected TLS cipher suite \"x\"");
        // A suffix that is no older name is no name.
        assert!(of(&["TLS_ECDHE_RSA_WITH_AES_128_GCM"]).is_err());
    }
}
