//! The tokens this member saw being given out.
//!
//! A token is `<secret>.<index>`: random letters, and the place in the log where it was given
//! out, so that a member that has not applied that entry yet knows to wait. The log holds
//! only the SHA-256 of the secret; so does this table. Whoever reads a log, a snapshot or the
//! memory of a member finds no token there, and looking one up compares hashes, whose timing
//! tells nothing.
//!
//! A token lives for a while after its last use. Time is an argument.

use std::collections::HashMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

/// The SHA-256 of the secret part of a token.
pub type TokenHash = [u8; 32];

/// How often dead tokens are looked for, at most.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub struct Tokens {
    ttl: Duration,
    known: HashMap<(TokenHash, u64), Token>,
    next_sweep: Duration,
}

#[derive(Debug)]
struct Token {
    user: String,
    until: Duration,
}

impl Tokens {
    /// No tokens; those that come live for `ttl` after their last use.
    pub fn new(ttl: Duration) -> Self {
        Self { ttl, known: HashMap::new(), next_sweep: Duration::ZERO }
    }

    /// The hash under which a secret is known.
    pub fn hash(secret: &str) -> TokenHash {
        Sha256::digest(secret.as_bytes()).into()
    }

    /// Secret and index of a token as a client sends it.
    pub fn parse(token: &str) -> Option<(&str, u64)> {
        let (secret, index) = token.split_once('.')?;
        let digits = !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit());
        Some((secret, index.parse().ok().filter(|_| digits)?))
    }

    /// A token was given out.
    pub fn insert(&mut self, hash: TokenHash, index: u64, user: &str, now: Duration) {
        if now >= self.next_sweep {
            self.known.retain(|_, token| token.until > now);
            self.next_sweep = now + SWEEP_EVERY;
        }
        let token = Token { user: user.to_owned(), until: now + self.ttl };
        self.known.insert((hash, index), token);
    }

    /// Whose token this is. Being used makes it live on.
    pub fn find(&mut self, hash: TokenHash, index: u64, now: Duration) -> Option<&str> {
        let token = self.known.get_mut(&(hash, index)).filter(|token| token.until > now)?;
        token.until = now + self.ttl;
        Some(&token.user)
    }

    /// The user's tokens are void.
    pub fn forget(&mut self, user: &str) {
        self.known.retain(|_, token| token.user != user);
    }

    /// All tokens are void.
    pub fn forget_all(&mut self) {
        self.known.clear();
    }

    /// How many there are, used or not.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(300);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_token_lives_as_long_as_it_is_used() {
        let mut tokens = Tokens::new(TTL);
        let hash = Tokens::hash("secret");
        tokens.insert(hash, 7, "alice", at(10));
        assert_eq!(tokens.find(hash, 7, at(309)), Some("alice"));
        assert_eq!(tokens.find(hash, 7, at(608)), Some("alice"), "used at 309");
        assert_eq!(tokens.find(hash, 7, at(908)), None);
        assert_eq!(tokens.find(hash, 7, at(907)), Some("alice"));
    }

    #[test]
    fn secret_and_index_both_count() {
        let mut tokens = Tokens::new(TTL);
        tokens.insert(Tokens::hash("secret"), 7, "alice", at(0));
        assert_eq!(tokens.find(Tokens::hash("secret"), 8, at(1)), None);
        assert_eq!(tokens.find(Tokens::hash("secreT"), 7, at(1)), None);
        assert_eq!(Tokens::parse("secret.7"), Some(("secret", 7)));
        for bad in ["", "secret", "secret.", "secret.-7", "secret.+7", "secret.7.8", "a.b"] {
            assert_eq!(Tokens::parse(bad), None, "{bad}");
        }
        assert_eq!(Tokens::parse(&format!("a.{}0", u64::MAX)), None);
    }

    #[test]
    fn forgotten_and_dead_tokens_are_gone() {
        let mut tokens = Tokens::new(TTL);
        for (index, user) in [(1, "alice"), (2, "bob"), (3, "alice")] {
            tokens.insert(Tokens::hash("s"), index, user, at(0));
        }
        tokens.forget("alice");
        assert_eq!(tokens.find(Tokens::hash("s"), 1, at(1)), None);
        assert_eq!(tokens.find(Tokens::hash("s"), 2, at(1)), Some("bob"));
        tokens.insert(Tokens::hash("t"), 4, "carol", at(1000));
        assert_eq!(tokens.len(), 1, "the dead one was swept");
        tokens.forget_all();
        assert!(tokens.is_empty());
    }
}
