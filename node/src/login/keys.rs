//! Keys that sign tokens and check them: HMAC, RSA, the NIST curves, Ed25519.
//!
//! A key is read once, at start, from PEM as OpenSSL and Go write it: private keys as PKCS#8,
//! PKCS#1 or SEC1, public keys as such or in a certificate. Which kind of key belongs to a
//! method is fixed here; a token never chooses.

use p256::ecdsa::signature::{Signer as _, Verifier as _};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{self, Ed25519KeyPair, KeyPair as _, RsaKeyPair, UnparsedPublicKey};
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::SubjectPublicKeyInfo;

/// How tokens are signed, by its name in a token's header.
#[derive(Clone, Copy)]
pub enum Method {
    Hmac(&'static str, hmac::Algorithm),
    Rsa(&'static str, &'static signature::RsaParameters, &'static dyn signature::RsaEncoding),
    P256,
    P384,
    P521,
    Ed25519,
}

/// Why a key is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("there is no private key in it that this sign-method can use")]
    Private,
    #[error("there is no public key or certificate in it that this sign-method can use")]
    Public,
    #[error("the secret in it is empty")]
    Empty,
}

impl Method {
    /// The method of this name.
    pub fn named(name: &str) -> Option<Self> {
        use signature as s;
        Some(match name {
            "HS256" => Self::Hmac("HS256", hmac::HMAC_SHA256),
            "HS384" => Self::Hmac("HS384", hmac::HMAC_SHA384),
            "HS512" => Self::Hmac("HS512", hmac::HMAC_SHA512),
            "RS256" => Self::Rsa("RS256", &s::RSA_PKCS1_2048_8192_SHA256, &s::RSA_PKCS1_SHA256),
            "RS384" => Self::Rsa("RS384", &s::RSA_PKCS1_2048_8192_SHA384, &s::RSA_PKCS1_SHA384),
            "RS512" => Self::Rsa("RS512", &s::RSA_PKCS1_2048_8192_SHA512, &s::RSA_PKCS1_SHA512),
            "PS256" => Self::Rsa("PS256", &s::RSA_PSS_2048_8192_SHA256, &s::RSA_PSS_SHA256),
            "PS384" => Self::Rsa("PS384", &s::RSA_PSS_2048_8192_SHA384, &s::RSA_PSS_SHA384),
            "PS512" => Self::Rsa("PS512", &s::RSA_PSS_2048_8192_SHA512, &s::RSA_PSS_SHA512),
            "ES256" => Self::P256,
            "ES384" => Self::P384,
            "ES512" => Self::P521,
            "EdDSA" => Self::Ed25519,
            _ => return None,
        })
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hmac(name, _) | Self::Rsa(name, ..) => name,
            Self::P256 => "ES256",
            Self::P384 => "ES384",
            Self::P521 => "ES512",
            Self::Ed25519 => "EdDSA",
        }
    }

    /// Whether one secret both signs and checks.
    pub fn is_symmetric(self) -> bool {
        matches!(self, Self::Hmac(..))
    }
}

/// Signs.
pub enum SigningKey {
    Hmac(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn signature::RsaEncoding),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(Box<p521::ecdsa::SigningKey>),
    Ed25519(Ed25519KeyPair),
}

/// Checks. Comparable: a public key must be the private key's own.
pub enum VerifyingKey {
    Hmac(hmac::Key),
    /// The parameters and the key as its algorithm encodes it.
    Ring(&'static dyn signature::VerificationAlgorithm, Vec<u8>),
    P256(Box<p256::ecdsa::VerifyingKey>),
    P384(Box<p384::ecdsa::VerifyingKey>),
    P521(Box<p521::ecdsa::VerifyingKey>),
}

fn blocks(text: &[u8]) -> impl Iterator<Item = Pem> {
    Pem::iter_from_buffer(text).map_while(Result::ok)
}

/// The private key of a curve, in either of its encodings.
macro_rules! curve_key {
    ($curve:ident, $block:expr) => {{
        use $curve::pkcs8::DecodePrivateKey as _;
        let secret = match $block.label.as_str() {
            "PRIVATE KEY" => $curve::SecretKey::from_pkcs8_der(&$block.contents).ok(),
            "EC PRIVATE KEY" => $curve::SecretKey::from_sec1_der(&$block.contents).ok(),
            _ => None,
        };
        secret.and_then(|key| $curve::ecdsa::SigningKey::from_slice(&key.to_bytes()).ok())
    }};
}

impl SigningKey {
    /// The first key in the text that the method can use.
    pub fn read(method: Method, text: &[u8]) -> Result<Self, KeyError> {
        if let Method::Hmac(_, algorithm) = method {
            return match text.is_empty() {
                true => Err(KeyError::Empty),
                false => Ok(Self::Hmac(hmac::Key::new(algorithm, text))),
            };
        }
        blocks(text).find_map(|block| Self::of_block(method, &block)).ok_or(KeyError::Private)
    }

    fn of_block(method: Method, block: &Pem) -> Option<Self> {
        let (label, der) = (block.label.as_str(), &block.contents);
        match method {
            Method::Hmac(..) => None,
            Method::Rsa(_, _, encoding) => {
                let key = match label {
                    "PRIVATE KEY" => RsaKeyPair::from_pkcs8(der).ok()?,
                    "RSA PRIVATE KEY" => RsaKeyPair::from_der(der).ok()?,
                    _ => return None,
                };
                Some(Self::Rsa(Box::new(key), encoding))
            }
            Method::P256 => curve_key!(p256, block).map(Self::P256),
            Method::P384 => curve_key!(p384, block).map(Self::P384),
            Method::P521 => curve_key!(p521, block).map(|key| Self::P521(Box::new(key))),
            Method::Ed25519 if label == "PRIVATE KEY" => {
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Self::Ed25519)
            }
            Method::Ed25519 => None,
        }
    }

    /// The key that checks what this one signs.
    pub fn verifying(&self, method: Method) -> VerifyingKey {
        match (self, method) {
            (Self::Hmac(key), _) => VerifyingKey::Hmac(key.clone()),
            (Self::Rsa(key, _), Method::Rsa(_, parameters, _)) => {
                VerifyingKey::Ring(parameters, key.public().as_ref().to_vec())
            }
            (Self::Rsa(key, _), _) => VerifyingKey::Ring(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                key.public().as_ref().to_vec(),
            ),
            (Self::P256(key), _) => VerifyingKey::P256(Box::new(*key.verifying_key())),
            (Self::P384(key), _) => VerifyingKey::P384(Box::new(*key.verifying_key())),
            (Self::P521(key), _) => {
                VerifyingKey::P521(Box::new(p521::ecdsa::VerifyingKey::from(key.as_ref())))
            }
            (Self::Ed25519(key), _) => {
                VerifyingKey::Ring(&signature::ED25519, key.public_key().as_ref().to_vec())
            }
        }
    }

    /// The signature in the form that tokens carry; `None` if the system gives no random
    /// numbers.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(match self {
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::Rsa(key, encoding) => {
                let mut out = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &SystemRandom::new(), message, &mut out).ok()?;
                out
            }
            Self::P256(key) => {
                let signed: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                signed.to_bytes().to_vec()
            }
            Self::P384(key) => {
                let signed: p384::ecdsa::Signature = key.try_sign(message).ok()?;
                signed.to_bytes().to_vec()
            }
            Self::P521(key) => {
                let signed: p521::ecdsa::Signature = key.try_sign(message).ok()?;
                signed.to_bytes().to_vec()
            }
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        })
    }
}

impl VerifyingKey {
    /// The first public key or certificate in the text that the method can use.
    pub fn read(method: Method, text: &[u8]) -> Result<Self, KeyError> {
        blocks(text).find_map(|block| Self::of_block(method, &block)).ok_or(KeyError::Public)
    }

    fn of_block(method: Method, block: &Pem) -> Option<Self> {
        match block.label.as_str() {
            "PUBLIC KEY" => {
                let (_, key) = SubjectPublicKeyInfo::from_der(&block.contents).ok()?;
                Self::of_info(method, &key)
            }
            "CERTIFICATE" => {
                let certificate = block.parse_x509().ok()?;
                Self::of_info(method, certificate.public_key())
            }
            "RSA PUBLIC KEY" => match method {
                Method::Rsa(_, parameters, _) => {
                    Some(Self::Ring(parameters, block.contents.clone()))
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn of_info(method: Method, info: &SubjectPublicKeyInfo<'_>) -> Option<Self> {
        const RSA: &str = "1.2.840.113549.1.1.1";
        const ED25519: &str = "1.3.101.112";
        let algorithm = info.algorithm.algorithm.to_id_string();
        let key = info.subject_public_key.data.as_ref();
        match method {
            Method::Rsa(_, parameters, _) if algorithm == RSA => {
                Some(Self::Ring(parameters, key.to_vec()))
            }
            Method::Ed25519 if algorithm == ED25519 => {
                Some(Self::Ring(&signature::ED25519, key.to_vec()))
            }
            Method::P256 => {
                let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
                Some(Self::P256(Box::new(key)))
            }
            Method::P384 => {
                let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
                Some(Self::P384(Box::new(key)))
            }
            Method::P521 => {
                let key = p521::ecdsa::VerifyingKey::from_sec1_bytes(key).ok()?;
                Some(Self::P521(Box::new(key)))
            }
            Method::Hmac(..) | Method::Rsa(..) | Method::Ed25519 => None,
        }
    }

    /// Whether both are the same key.
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ring(_, one), Self::Ring(_, other)) => one == other,
            (Self::P256(one), Self::P256(other)) => one == other,
            (Self::P384(one), Self::P384(other)) => one == other,
            (Self::P521(one), Self::P521(other)) => {
                one.to_encoded_point(true) == other.to_encoded_point(true)
            }
            _ => false,
        }
    }

    /// Whether the signature is this key's, of this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hmac(key) => hmac::verify(key, message, signature).is_ok(),
            Self::Ring(algorithm, key) => {
                UnparsedPublicKey::new(*algorithm, key).verify(message, signature).is_ok()
            }
            Self::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Self::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }
}
