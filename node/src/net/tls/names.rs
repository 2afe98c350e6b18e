//! Who a certificate is made out to, and etcd's rule for where its owner may come from.

use std::net::IpAddr;

use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::files;

/// What a certificate says of its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub common_name: Option<String>,
    pub dns: Vec<String>,
    pub addresses: Vec<IpAddr>,
    pub serial: Vec<u8>,
}

/// What a certificate is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    Client,
    Server,
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, String> {
    let (_, certificate) = X509Certificate::from_der(der.as_ref())
        .map_err(|error| format!("the certificate cannot be read: {error}"))?;
    Ok(certificate)
}

impl Names {
    /// Reads a certificate.
    pub fn read(der: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = parse(der)?;
        let common_name = certificate.subject().iter_common_name().next();
        let mut names = Self {
            common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
            serial: files::serial(certificate.raw_serial()),
            ..Self::default()
        };
        let alternatives = certificate.subject_alternative_name().map_err(|error| {
            format!("the certificate's alternative names cannot be read: {error}")
        })?;
        for name in alternatives.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Ok(names)
    }

    /// Whether it is made out to this host: a name, or an address.
    pub fn covers(&self, host: &str) -> bool {
        match host.parse::<IpAddr>() {
            Ok(address) => self.addresses.contains(&address),
            Err(_) => self.dns.iter().any(|pattern| matches(pattern, host)),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A wildcard stands for the first label, and for nothing else.
fn matches(pattern: &str, host: &str) -> bool {
    let host = host.trim_end_matches('.');
    let pattern = pattern.trim_end_matches('.');
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => !host.is_empty() && pattern.eq_ignore_ascii_case(host),
    }
}

/// Whether a certificate that is itself trusted may be used now, and for this. (One that was
/// issued by a trusted one is verified by webpki, which knows no trusted end entities.)
pub fn is_usable(der: &CertificateDer<'_>, now: UnixTime, usage: Use) -> bool {
    let Ok(certificate) = parse(der) else { return false };
    let Ok(now) = i64::try_from(now.as_secs()) else { return false };
    let validity = certificate.validity();
    if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
        return false;
    }
    match certificate.extended_key_usage() {
        Ok(Some(usages)) => {
            let usages = usages.value;
            usages.any
                || match usage {
                    Use::Client => usages.client_auth,
                    Use::Server => usages.server_auth,
                }
        }
        Ok(None) => true,
        Err(_) => false,
    }
}

/// etcd's rule for peers: a certificate that names addresses or hosts must name the one its
/// owner comes from: an address as it is, a host by what the resolver says of it.
pub async fn comes_from(names: &Names, remote: IpAddr) -> Result<(), String> {
    let remote = remote.to_canonical();
    if names.dns.is_empty() && names.addresses.is_empty() || names.addresses.contains(&remote) {
        return Ok(());
    }
    if !names.dns.is_empty()
        && (is_called(&names.dns, remote).await || leads_to(&names.dns, remote).await)
    {
        return Ok(());
    }
    let Names { dns, addresses, .. } = names;
    Err(format!("tls: {remote} does not match any of DNSNames {dns:?} and addresses {addresses:?}"))
}

/// Whether the resolver calls `remote` by one of these names.
async fn is_called(names: &[String], remote: IpAddr) -> bool {
    let asked = tokio::task::spawn_blocking(move || dns_lookup::lookup_addr(&remote)).await;
    let Ok(Ok(called)) = asked else { return false };
    let called = called.trim_end_matches('.');
    names.iter().any(|name| match name.strip_prefix('*') {
        Some(domain) if domain.starts_with('.') => called.ends_with(domain),
        _ => called == name,
    })
}

/// Whether one of these names leads to `remote`.
async fn leads_to(names: &[String], remote: IpAddr) -> bool {
    for name in names.iter().filter(|name| !name.starts_with("*.")) {
        let found = tokio::net::lookup_host((name.as_str(), 0)).await;
        if found.is_ok_and(|mut found| found.any(|address| address.ip().to_canonical() == remote)) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dns: &[&str], addresses: &[&str]) -> Names {
        Names {
            dns: dns.iter().map(|name| (*name).to_owned()).collect(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
            ..Names::default()
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let names = names(&["*.example.com", "Other.org"], &["10.0.0.1", "::1"]);
        for host in ["a.example.com", "A.EXAMPLE.com.", "other.org", "10.0.0.1", "::1"] {
            assert!(names.covers(host), "{host}");
        }
        for host in ["example.com", "a.b.example.com", ".example.com", "10.0.0.2", "", "x.org"] {
            assert!(!names.covers(host), "{host}");
        }
    }

    #[tokio::test]
    async fn a_peer_comes_from_where_its_certificate_says() {
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert!(comes_from(&names(&[], &[]), local).await.is_ok());
        assert!(comes_from(&names(&[], &["127.0.0.1"]), local).await.is_ok());
        assert!(comes_from(&names(&[], &["127.0.0.1"]), mapped).await.is_ok());
        assert!(comes_from(&names(&["localhost"], &[]), local).await.is_ok());
        assert!(comes_from(&names(&["localhost"], &["10.0.0.1"]), local).await.is_ok());
        let refused = comes_from(&names(&[], &["10.0.0.1"]), local).await.unwrap_err();
        assert!(refused.contains("127.0.0.1 does not match"), "{refused}");
    }
}
