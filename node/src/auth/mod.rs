//! Users, roles, and what they may do: the replicated part of authentication.
//!
//! # Invariants
//! * [`Auth`] is a function of the commands applied to it: no clock, no random number, no
//!   password. A password arrives as a bcrypt hash, made before the log.
//! * Every question whether a request is allowed ends in [`Auth::may`], which knows one kind
//!   of range, [`Span`]. What a request's two byte strings mean is written once, in
//!   [`KeyRange`](crate::kv::KeyRange) (for watches in `watch::range`), for the check as for
//!   the execution.
//! * [`Walk`] goes over a whole request tree, and is the same code where a request comes in
//!   and where it is applied.
//! * The auth revision counts changes. Whoever was looked up at an older one is asked to come
//!   again, so a right that was taken away is never used in the moment between the two.
//!
//! [`Tokens`] beside it is not replicated: each member remembers the tokens it saw being
//! given out, for as long as they are used, and loses them when it ends.
//!
//! # Left to others
//! Who a caller is (`login` and `api::credentials`), and which method needs what
//! (`api::gate`).

mod error;
pub mod rows;
mod span;
mod state;
#[cfg(test)]
mod tests;
mod tokens;
mod walk;

pub use error::AuthError;
pub use rows::{BadAuthRow, Row, dump, load};
pub use span::{Intervals, Span};
pub use state::{Auth, ROOT, Role, User};
pub use tokens::{TokenHash, Tokens};
pub use walk::Walk;

/// On whose behalf something is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Empty: nobody has said who he is.
    pub name: String,
    /// The auth revision the name was found at.
    pub revision: u64,
}

/// What is done to keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

/// What a change means for what members remember beside the replicated state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthEvent {
    /// A token was given out by the entry at `index`.
    Token { user: String, hash: TokenHash, index: u64 },
    /// Tokens of this user are void.
    Forget(String),
    /// All tokens are void.
    ForgetAll,
    /// Somebody's rights may have changed.
    Changed,
}
