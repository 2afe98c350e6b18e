//! How a caller proves who he is: passwords and tokens.
//!
//! Everything here belongs to one member: what it was started with, and time. What is
//! replicated is in `auth`.

pub mod password;

use crate::config;
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
}

/// Why a member cannot start with these options.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {}

impl Login {
    /// Reads what the options name.
    pub fn open(config: &config::Auth) -> Result<Self, LoginError> {
        let tokens = match &config.token {
            config::AuthToken::Simple => TokenKind::Simple,
        };
        Ok(Self { passwords: Passwords::new(config.bcrypt_cost), tokens })
    }
}
