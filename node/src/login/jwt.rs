//! Signed tokens: JSON Web Tokens with the claims `username`, `revision` and `exp`.
//!
//! Nothing is remembered about them: whoever has the key knows all there is to know, also
//! another program. So they cannot be taken back one by one. The auth revision in them is
//! what voids them: a change of users or roles makes all earlier ones too old for keys.
//!
//! # Invariant
//! A token is believed only if it is signed by the one method this member was started with;
//! what its header says is compared, never followed.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::keys::{Method, SigningKey, VerifyingKey};
use crate::auth::Caller;

/// Gives out tokens and reads them.
pub struct Jwt {
    pub method: Method,
    /// None: tokens are given out by somebody else.
    pub signing: Option<SigningKey>,
    pub verifying: VerifyingKey,
    /// How long a token is good.
    pub ttl: Duration,
}

impl Jwt {
    /// A token for the caller; `now` is the time since 1970. `None`: this member cannot sign.
    pub fn sign(&self, caller: &Caller, now: Duration) -> Option<String> {
        let key = self.signing.as_ref()?;
        let header = format!("{{\"alg\":\"{}\",\"typ\":\"JWT\"}}", self.method.name());
        let claims = json!({
            "exp": (now + self.ttl).as_secs(),
            "revision": caller.revision,
            "username": caller.name,
        });
        let mut token = URL_SAFE_NO_PAD.encode(header);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let signature = key.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Some(token)
    }

    /// Whose token it is and of which auth revision, if it is good at `now`.
    pub fn read(&self, token: &str, now: Duration) -> Option<Caller> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header = json_part(header)?;
        if header.get("alg")?.as_str()? != self.method.name() {
            return None;
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        if !self.verifying.verify(signed.as_bytes(), &signature) {
            return None;
        }
        let claims = json_part(claims)?;
        let time = |name: &str| match claims.get(name) {
            None => Some(None),
            Some(value) => value.as_f64().map(Some),
        };
        let (ends, begins) = (time("exp")?, time("nbf")?);
        let now = now.as_secs_f64();
        if ends.is_some_and(|ends| now >= ends) || begins.is_some_and(|begins| now < begins) {
            return None;
        }
        let name = claims.get("username")?.as_str()?.to_owned();
        // A number of any form, as JSON has but one kind; below zero counts as zero.
        let revision = claims.get("revision")?;
        let revision = revision.as_u64().or_else(|| revision.as_f64().map(|number| number as u64));
        Some(Caller { name, revision: revision? })
    }
}

/// A part that must be a JSON object.
fn json_part(text: &str) -> Option<Value> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    serde_json::from_slice::<Value>(&bytes).ok().filter(Value::is_object)
}
