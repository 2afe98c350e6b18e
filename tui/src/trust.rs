//! Whom to trust, and what to show, when a client URL is `https`.

use std::fmt;

/// What TLS to the members needs, in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Authorities of the members' certificates; without any, the system's.
    pub authority: Option<Vec<u8>>,
    /// The own certificate and its private key.
    pub pair: Option<(Vec<u8>, Vec<u8>)>,
}

/// A private key is not for logs.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authority, pair) = (self.authority.is_some(), self.pair.is_some());
        write!(f, "Trust {{ authority: {authority}, pair: {pair} }}")
    }
}
