//! Authorities and certificates, made for one test.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

/// Where a test keeps its certificates.
pub struct Pki {
    pub directory: tempfile::TempDir,
}

/// Who issues certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub file: PathBuf,
}

/// Files of a certificate and its key.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// What is to be certified.
#[derive(Clone, Debug)]
pub struct Leaf {
    pub name: &'static str,
    pub hosts: Vec<&'static str>,
    pub for_clients: bool,
    pub for_servers: bool,
    pub expired: bool,
    pub serial: u64,
}

impl Leaf {
    /// Of a server on this machine, that is a client to others of its kind.
    pub fn server(name: &'static str) -> Leaf {
        let hosts = vec!["localhost", "127.0.0.1"];
        Leaf { hosts, for_servers: true, ..Leaf::client(name) }
    }

    /// Of a client.
    pub fn client(name: &'static str) -> Leaf {
        Leaf {
            name,
            hosts: vec![],
            for_clients: true,
            for_servers: false,
            expired: false,
            serial: 77,
        }
    }
}

impl Pki {
    pub fn new() -> Pki {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Pki { directory }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn authority(&self, name: &str) -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = self.path(&format!("{name}.pem"));
        std::fs::write(&file, certificate.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), file }
    }
}

impl Authority {
    /// Certifies `leaf` in files named after `file`.
    pub fn issue(&self, directory: &Path, file: &str, leaf: &Leaf) -> Pair {
        let hosts: Vec<String> = leaf.hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.distinguished_name.push(DnType::CommonName, leaf.name);
        params.serial_number = Some(SerialNumber::from(leaf.serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        if leaf.for_clients {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
        }
        if leaf.for_servers {
            params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        if leaf.expired {
            params.not_after = date_time_ymd(2001, 1, 1);
            params.not_before = date_time_ymd(2000, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let pair = Pair {
            cert: directory.join(format!("{file}.pem")),
            key: directory.join(format!("{file}-key.pem")),
        };
        // By renaming, as tools that renew certificates do: never half a file.
        for (path, text) in [(&pair.cert, certificate.pem()), (&pair.key, key.serialize_pem())] {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(&new, path).unwrap();
        }
        pair
    }

    /// Writes a list of revoked certificates, in DER, as etcd wants it.
    pub fn revoke(&self, file: &Path, serials: &[u64]) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).unwrap();
        std::fs::write(file, list.der()).unwrap();
    }
}
