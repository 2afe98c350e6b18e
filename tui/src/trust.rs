//! Whom to trust, and what to show of oneself: TLS files and the user.

use std::fmt;

/// What TLS to the members needs, in PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Authorities of the members' certificates; without any, the system's.
    pub authority: Option<Vec<u8>>,
    /// The own certificate and its private key.
    pub pair: Option<(Vec<u8>, Vec<u8>)>,
    /// As whom requests are made, where users are in force.
    pub user: Option<User>,
}

/// A user of the cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: String,
}

/// A password is not for logs.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "User {{ name: {:?} }}", self.name)
    }
}

/// A private key is not for logs.
impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authority, pair) = (self.authority.is_some(), self.pair.is_some());
        let user = self.user.as_ref().map(|user| &user.name);
        write!(f, "Trust {{ authority: {authority}, pair: {pair}, user: {user:?} }}")
    }
}
