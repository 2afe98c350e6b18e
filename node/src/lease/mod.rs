//! Leases: keys that live only as long as somebody says so.
//!
//! # Two halves
//! [`state`] is replicated: which leases exist, the time to live each was granted, and the
//! keys attached to them. It knows no time, so that every member applies the same log to
//! the same result. [`lessor`] is the clock: it exists on the leader only, is told the time
//! by its caller, and can do exactly one thing about an expired lease, which is to name it.
//! The leader then proposes its revocation, and the lease ends on all members when that
//! entry is applied.
//!
//! # Invariant
//! A lease ends no earlier than its time to live after its last successful renewal, and once
//! the leader has found it expired no renewal succeeds any more.
//!
//! # Left to others
//! Choosing an id for a request with id 0, raising a short TTL with [`minimum_ttl`] before
//! the grant is proposed (so that the log holds the granted TTL), and proposing revocations.

pub mod checkpoint;
pub mod lessor;
pub mod state;

use std::time::Duration;

pub use lessor::Lessor;
pub use state::Leases;

/// The longest TTL a lease may be granted, in seconds.
pub const MAXIMUM_TTL: i64 = 9_000_000_000;

/// Why a lease request was refused. The texts are etcd's: clients map errors by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    #[error("etcdserver: lease already exists")]
    Exists,
    #[error("etcdserver: requested lease not found")]
    NotFound,
    #[error("etcdserver: too large lease TTL")]
    TtlTooLarge,
    #[error("etcdserver: not leader")]
    NotLeader,
}

/// The shortest TTL worth granting, in seconds: a lease that could run out while a leader
/// is elected is never any use.
pub fn minimum_ttl(election_timeout: Duration) -> i64 {
    let millis = election_timeout.as_millis().saturating_mul(3).div_ceil(2);
    let seconds = millis.div_ceil(1000);
    i64::try_from(seconds).unwrap_or(MAXIMUM_TTL).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_ttl_is_one_and_a_half_election_timeouts_in_whole_seconds() {
        assert_eq!(minimum_ttl(Duration::from_millis(1000)), 2);
        assert_eq!(minimum_ttl(Duration::from_millis(2000)), 3);
        assert_eq!(minimum_ttl(Duration::from_millis(2001)), 4);
        assert_eq!(minimum_ttl(Duration::from_millis(100)), 1);
        assert_eq!(minimum_ttl(Duration::ZERO), 1);
        assert_eq!(minimum_ttl(Duration::MAX), MAXIMUM_TTL);
    }

    #[test]
    fn error_texts_are_those_clients_map() {
        assert_eq!(LeaseError::Exists.to_string(), "etcdserver: lease already exists");
        assert_eq!(LeaseError::NotFound.to_string(), "etcdserver: requested lease not found");
        assert_eq!(LeaseError::TtlTooLarge.to_string(), "etcdserver: too large lease TTL");
        assert_eq!(LeaseError::NotLeader.to_string(), "etcdserver: not leader");
    }
}
