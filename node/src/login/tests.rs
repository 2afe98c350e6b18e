//! Signed tokens, with keys as OpenSSL writes them.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::jwt::Jwt;
use super::*;
use crate::auth::Caller;

const NOW: Duration = Duration::from_secs(1_700_000_000);
const TTL: Duration = Duration::from_secs(300);

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/login/fixtures").join(name)
}

fn open(method: &str, private: &str, public: &str) -> Result<Jwt, LoginError> {
    let file = |name: &str| (!name.is_empty()).then(|| fixture(name));
    let options = config::Jwt {
        sign_method: method.into(),
        private_key: file(private),
        public_key: file(public),
        ttl: TTL,
    };
    open_jwt(&options)
}

fn alice() -> Caller {
    Caller { name: "alice".into(), revision: 7 }
}

/// Private and public key files of each method.
const PAIRS: &[(&str, &str, &str)] = &[
    ("RS256", "rsa.pem", "rsa.pub"),
    ("RS384", "rsa-pkcs1.pem", "rsa.crt"),
    ("RS512", "rsa.pem", ""),
    ("PS256", "rsa.pem", "rsa.pub"),
    ("PS384", "rsa.pem", "rsa.crt"),
    ("PS512", "rsa-pkcs1.pem", "rsa.pub"),
    ("ES256", "p256.pem", "p256.pub"),
    ("ES256", "p256-sec1.pem", "p256.pub"),
    ("ES384", "p384.pem", "p384.pub"),
    ("ES384", "p384-sec1.pem", ""),
    ("ES512", "p521.pem", "p521.pub"),
    ("ES512", "p521-sec1.pem", "p521.pub"),
    ("EdDSA", "ed25519.pem", "ed25519.pub"),
    ("HS256", "rsa.pub", ""),
    ("HS384", "rsa.pub", ""),
    ("HS512", "rsa.pub", ""),
];

#[test]
fn what_one_member_signs_every_member_reads() {
    for (method, private, public) in PAIRS {
        let signer = open(method, private, public).unwrap_or_else(|e| panic!("{method}: {e}"));
        let token = signer.sign(&alice(), NOW).unwrap();
        assert_eq!(signer.read(&token, NOW), Some(alice()), "{method}");
        if !public.is_empty() {
            let reader = open(method, "", public).unwrap();
            assert_eq!(reader.read(&token, NOW), Some(alice()), "{method}");
            assert_eq!(reader.sign(&alice(), NOW), None, "a public key does not sign");
        }
        assert_eq!(signer.read(&token, NOW + TTL), None, "{method}: it ended");
        assert!(signer.read(&token, NOW + TTL - Duration::from_secs(1)).is_some());
    }
}

#[test]
fn a_token_that_was_touched_is_not_believed() {
    for (method, private, _) in PAIRS {
        let jwt = open(method, private, "").unwrap();
        let token = jwt.sign(&alice(), NOW).unwrap();
        // Every 7th character changed; all of them would take long with RSA.
        for at in (0..token.len()).step_by(7) {
            let mut bytes = token.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            // The last letter of a part may have bits that mean nothing; then it does not
            // decode, or it is the same token.
            assert_eq!(jwt.read(&changed, NOW), None, "{method} at {at}");
        }
        for bad in ["", ".", "..", "...", &token[1..], &token[..token.len() - 1], "a.b.c"] {
            assert_eq!(jwt.read(bad, NOW), None, "{method} {bad}");
        }
    }
}

/// The classic confusions: no signature at all, and a public key taken for a secret.
#[test]
fn the_header_does_not_choose_the_method() {
    let jwt = open("RS256", "", "rsa.pub").unwrap();
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let claims = part(r#"{"username":"root","revision":9,"exp":1800000000}"#);
    let none = format!("{}.{claims}.", part(r#"{"alg":"none","typ":"JWT"}"#));
    assert_eq!(jwt.read(&none, NOW), None);
    let secret = open("HS256", "rsa.pub", "").unwrap();
    let signed = secret.sign(&alice(), NOW).unwrap();
    assert_eq!(jwt.read(&signed, NOW), None);
    let renamed = signed.replacen(
        &part(r#"{"alg":"HS256","typ":"JWT"}"#),
        &part(r#"{"alg":"RS256","typ":"JWT"}"#),
        1,
    );
    assert_ne!(renamed, signed);
    assert_eq!(jwt.read(&renamed, NOW), None);
    let other = open("RS256", "", "other-rsa.pub").unwrap();
    let token = open("RS256", "rsa.pem", "").unwrap().sign(&alice(), NOW).unwrap();
    assert_eq!(other.read(&token, NOW), None);
}

/// A token without what must be in it once made etcd panic (#15677).
#[test]
fn claims_that_are_missing_or_strange_are_refused() {
    let jwt = open("HS256", "rsa.pub", "").unwrap();
    let secret = std::fs::read(fixture("rsa.pub")).unwrap();
    let key = SigningKey::read(Method::named("HS256").unwrap(), &secret).unwrap();
    let read = |claims: &str| {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()).unwrap());
        jwt.read(&format!("{signed}.{signature}"), NOW)
    };
    assert_eq!(read(r#"{"username":"alice","revision":7}"#), Some(alice()), "exp may be missing");
    assert_eq!(read(r#"{"username":"alice","revision":7.0}"#), Some(alice()));
    assert_eq!(read(r#"{"username":"alice","revision":-7}"#).unwrap().revision, 0);
    for bad in [
        "",
        "[]",
        "null",
        "{}",
        r#"{"username":"alice"}"#,
        r#"{"revision":7}"#,
        r#"{"username":7,"revision":7}"#,
        r#"{"username":"alice","revision":"7"}"#,
        r#"{"username":"alice","revision":7,"exp":"never"}"#,
        r#"{"username":"alice","revision":7,"exp":null}"#,
        r#"{"username":"alice","revision":7,"exp":1}"#,
        r#"{"username":"alice","revision":7,"nbf":1800000000}"#,
    ] {
        assert_eq!(read(bad), None, "{bad}");
    }
}

#[test]
fn options_that_cannot_work_are_told_at_start() {
    let error = |method, private, public| match open(method, private, public) {
        Ok(_) => panic!("{method} {private} {public} works"),
        Err(error) => error.to_string(),
    };
    assert!(error("RS257", "rsa.pem", "").contains("sign-method \"RS257\" is not known"));
    assert!(error("", "rsa.pem", "").contains("sign-method \"\" is not known"));
    assert!(error("RS256", "", "").contains("needs pub-key, priv-key, or both"));
    assert!(error("HS256", "", "rsa.pub").contains("needs priv-key"));
    assert!(error("RS256", "rsa.pem", "other-rsa.pub").contains("is not the public key"));
    assert!(error("RS256", "nothing.pem", "").contains("cannot read"));
    assert!(error("ES256", "p384.pem", "").contains("no private key"));
    assert!(error("ES384", "", "p256.pub").contains("no public key"));
    assert!(error("EdDSA", "", "rsa.crt").contains("no public key"));
    assert!(error("RS256", "rsa.pub", "").contains("no private key"));
}

#[test]
fn keys_that_are_noise_are_refused_without_a_panic() {
    for (method, private, public) in PAIRS {
        let method = Method::named(method).unwrap();
        if method.is_symmetric() {
            continue;
        }
        for name in [private, public].into_iter().filter(|name| !name.is_empty()) {
            let text = std::fs::read(fixture(name)).unwrap();
            for at in (0..text.len()).step_by(13) {
                let mut changed = text.clone();
                changed[at] ^= 3;
                let _ = SigningKey::read(method, &changed);
                let _ = VerifyingKey::read(method, &changed);
                let _ = SigningKey::read(method, &text[..at]);
                let _ = VerifyingKey::read(method, &text[..at]);
            }
        }
    }
}
