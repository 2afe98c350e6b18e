//! TLS of clients and of peers.

use std::path::PathBuf;

use node::config::{Security, TlsOptions, TlsProtocol, TlsVersion};

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean, number, text};

pub const SECTION: Section = Section {
    title: "Security",
    flags: &[
        text("cert-file", "", "Certificate shown to clients."),
        text("key-file", "", "Its private key."),
        text("client-cert-file", "", "Certificate for calls to the own client URLs."),
        text("client-key-file", "", "Its private key."),
        boolean("client-cert-auth", "false", "Clients must show a certificate; it names the user."),
        text("client-crl-file", "", "List of revoked client certificates."),
        text(
            "client-cert-allowed-hostname",
            "",
            "Hosts that a client certificate may be made out to.",
        ),
        text("trusted-ca-file", "", "Authorities of client certificates; clients must show one."),
        boolean(
            "auto-tls",
            "false",
            "Clients: use a certificate made here (nobody is authenticated).",
        ),
        text("peer-cert-file", "", "Certificate shown to members."),
        text("peer-key-file", "", "Its private key."),
        text("peer-client-cert-file", "", "Certificate shown to members that are dialled."),
        text("peer-client-key-file", "", "Its private key."),
        boolean("peer-client-cert-auth", "false", "Members must show a certificate."),
        text(
            "peer-trusted-ca-file",
            "",
            "Authorities of members' certificates; members must show one.",
        ),
        boolean(
            "peer-auto-tls",
            "false",
            "Members: use a certificate made here (nobody is authenticated).",
        ),
        text("peer-crl-file", "", "List of revoked certificates of members."),
        text("peer-cert-allowed-cn", "", "Common names that members may have."),
        text(
            "peer-cert-allowed-hostname",
            "",
            "Hosts that a member's certificate may be made out to.",
        ),
        boolean(
            "peer-skip-client-san-verification",
            "false",
            "Members may come from other hosts than their certificate names.",
        ),
        number("self-signed-cert-validity", "1", "Years that a certificate made here is valid."),
        text(
            "cipher-suites",
            "",
            "Cipher suites of TLS 1.2 by Go's names (default: all AEAD suites).",
        ),
        text("tls-min-version", "TLS1.2", "TLS1.2 or TLS1.3."),
        text("tls-max-version", "", "TLS1.2 or TLS1.3 (default: the newest)."),
    ],
};

pub fn build(settings: &Settings) -> Result<Security, FlagError> {
    let protocol = protocol(settings, "cipher-suites")?;
    let client = TlsOptions {
        cert_file: file(settings, "cert-file"),
        key_file: file(settings, "key-file"),
        client_cert_file: file(settings, "client-cert-file"),
        client_key_file: file(settings, "client-key-file"),
        trusted_ca_file: file(settings, "trusted-ca-file"),
        crl_file: file(settings, "client-crl-file"),
        client_cert_auth: settings.boolean("client-cert-auth")?,
        allowed_hosts: settings.list("client-cert-allowed-hostname"),
        // A client may be anywhere, whatever its certificate says.
        skip_san_check: true,
        protocol: protocol.clone(),
        ..TlsOptions::default()
    };
    let peer = TlsOptions {
        cert_file: file(settings, "peer-cert-file"),
        key_file: file(settings, "peer-key-file"),
        client_cert_file: file(settings, "peer-client-cert-file"),
        client_key_file: file(settings, "peer-client-key-file"),
        trusted_ca_file: file(settings, "peer-trusted-ca-file"),
        crl_file: file(settings, "peer-crl-file"),
        client_cert_auth: settings.boolean("peer-client-cert-auth")?,
        allowed_common_names: settings.list("peer-cert-allowed-cn"),
        allowed_hosts: settings.list("peer-cert-allowed-hostname"),
        skip_san_check: settings.boolean("peer-skip-client-san-verification")?,
        protocol,
        ..TlsOptions::default()
    };
    if !peer.allowed_common_names.is_empty() && !peer.allowed_hosts.is_empty() {
        let why = "it cannot be combined with --peer-cert-allowed-hostname".to_owned();
        return Err(settings.invalid("peer-cert-allowed-cn", why));
    }
    let security = Security {
        client,
        peer,
        client_auto: settings.boolean("auto-tls")?,
        peer_auto: settings.boolean("peer-auto-tls")?,
        self_signed_years: settings.number("self-signed-cert-validity")?,
    };
    if security.self_signed_years == 0 {
        let why = "it should be greater than 0".to_owned();
        return Err(settings.invalid("self-signed-cert-validity", why));
    }
    Ok(security)
}

/// The path that a flag names, if it names one.
pub fn file(settings: &Settings, name: &str) -> Option<PathBuf> {
    Some(settings.text(name)).filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// Versions and the cipher suites that the flag `suites` names.
pub fn protocol(settings: &Settings, suites: &str) -> Result<TlsProtocol, FlagError> {
    let version = |name: &str| match settings.text(name) {
        "" => Ok(None),
        "TLS1.2" => Ok(Some(TlsVersion::Tls12)),
        "TLS1.3" => Ok(Some(TlsVersion::Tls13)),
        _ => {
            let why = "unexpected TLS version (must be one of: TLS1.2, TLS1.3)".to_owned();
            Err(settings.invalid(name, why))
        }
    };
    let protocol = TlsProtocol {
        cipher_suites: settings.list(suites),
        min: version("tls-min-version")?,
        max: version("tls-max-version")?,
    };
    if let (Some(min), Some(max)) = (protocol.min, protocol.max)
        && min > max
    {
        let why = "min version is greater than max version".to_owned();
        return Err(settings.invalid("tls-min-version", why));
    }
    if protocol.min == Some(TlsVersion::Tls13) && !protocol.cipher_suites.is_empty() {
        let why = "cipher suites cannot be configured when only TLS1.3 is enabled".to_owned();
        return Err(settings.invalid(suites, why));
    }
    Ok(protocol)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn each_side_has_its_files() {
        let words = ["--cert-file=a", "--peer-cert-file", "b", "--peer-cert-allowed-cn=x, y"];
        let security = options(&words).unwrap().security;
        assert_eq!(security.client.cert_file, Some("a".into()));
        assert_eq!(security.peer.cert_file, Some("b".into()));
        assert_eq!(security.peer.allowed_common_names, ["x", "y"]);
        assert!(security.client.skip_san_check && !security.peer.skip_san_check);
        assert!(!security.client.asks_for_certificates());
    }

    #[test]
    fn versions_are_in_order_and_suites_are_for_the_older() {
        let protocol = |words: &[&str]| options(words).map(|o| o.security.client.protocol);
        let default = protocol(&[]).unwrap();
        assert_eq!((default.min, default.max), (Some(TlsVersion::Tls12), None));
        for words in [
            &["--tls-min-version=TLS1.1"][..],
            &["--tls-max-version=1.3"],
            &["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
            &["--tls-min-version=TLS1.3", "--cipher-suites=TLS_AES_128_GCM_SHA256"],
            &["--self-signed-cert-validity=0"],
            &["--peer-cert-allowed-cn=a", "--peer-cert-allowed-hostname=b"],
        ] {
            assert!(protocol(words).is_err(), "{words:?}");
        }
    }
}
