//! How a caller proves who he is: passwords and tokens.
//!
//! Everything here belongs to one member: what it was started with, and time. What is
//! replicated is in `auth`.

pub mod jwt;
pub mod keys;
pub mod password;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use crate::config;
use jwt::Jwt;
use keys::{KeyError, Method, SigningKey, VerifyingKey};
use password::Passwords;

/// What a member was started with.
pub struct Login {
    pub passwords: Passwords,
    pub tokens: TokenKind,
}

/// The kind of token that is given out and understood.
pub enum TokenKind {
    /// Random; every member remembers it.
    Simple,
    /// Signed; nobody needs to remember it.
    Jwt(Box<Jwt>),
}

/// Why a member cannot start with these options.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error(
        "--auth-token: sign-method {0:?} is not known; it is HS, RS, PS or ES with 256, 384 or 512, or EdDSA"
    )]
    Method(String),
    #[error("--auth-token: the sign-method needs {0}")]
    Missing(&'static str),
    #[error("--auth-token: cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("--auth-token: {path} is not usable: {source}")]
    Key { path: PathBuf, source: KeyError },
    #[error("--auth-token: pub-key is not the public key of priv-key")]
    Mismatch,
}

impl Login {
    /// Reads what the options name.
    pub fn open(config: &config::Auth) -> Result<Self, LoginError> {
        let tokens = match &config.token {
            config::AuthToken::Simple => TokenKind::Simple,
            config::AuthToken::Jwt(options) => TokenKind::Jwt(Box::new(open_jwt(options)?)),
        };
        Ok(Self { passwords: Passwords::new(config.bcrypt_cost), tokens })
    }
}

fn open_jwt(options: &config::Jwt) -> Result<Jwt, LoginError> {
    let method = Method::named(&options.sign_method)
        .ok_or_else(|| LoginError::Method(options.sign_method.clone()))?;
    let signing = read(options.private_key.as_deref(), |text| SigningKey::read(method, text))?;
    let public = match method.is_symmetric() {
        true => None,
        false => read(options.public_key.as_deref(), |text| VerifyingKey::read(method, text))?,
    };
    let own = signing.as_ref().map(|key| key.verifying(method));
    let verifying = match (own, public) {
        (Some(own), Some(public)) if !own.is_same(&public) => return Err(LoginError::Mismatch),
        (Some(own), _) => own,
        (None, Some(public)) => public,
        (None, None) if method.is_symmetric() => {
            return Err(LoginError::Missing("priv-key, a file with the secret"));
        }
        (None, None) => return Err(LoginError::Missing("pub-key, priv-key, or both")),
    };
    Ok(Jwt { method, signing, verifying, ttl: options.ttl })
}

fn read<K>(
    path: Option<&Path>,
    parse: impl FnOnce(&[u8]) -> Result<K, KeyError>,
) -> Result<Option<K>, LoginError> {
    let Some(path) = path else { return Ok(None) };
    let text =
        std::fs::read(path).map_err(|source| LoginError::Read { path: path.to_owned(), source })?;
    let key = parse(&text).map_err(|source| LoginError::Key { path: path.to_owned(), source })?;
    Ok(Some(key))
}
