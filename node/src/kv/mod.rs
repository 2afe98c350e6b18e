//! The multi-version key space.
//!
//! # Revisions
//! Every transaction that changes something gets the next main revision; its changes are
//! numbered from 0 by sub revision. An empty store is at revision 1, so the first change
//! has revision 2. A key's history is a row of generations: each begins with the put that
//! creates the key and ends with the tombstone that deletes it.
//!
//! # What is where
//! [`Kv`] holds the key index (every revision of every key) and the *current* value of
//! every live key. Values of old revisions are read through [`History`], which the storage
//! layer implements. So reads of the present never wait for a disk.
//!
//! # Invariant
//! Applying the same requests in the same order gives the same replies and the same state
//! on every member, whatever each member's compaction has physically removed so far.
//!
//! # A request's way
//! The edge refuses what can be refused by its form ([`check`]). Reads go to [`Kv::range`]
//! and [`read_txn`]; the functions [`put`], [`delete_range`], [`txn()`] and [`delete_keys`] are
//! the only writers. Each first decides whether the request can be applied and then applies
//! all of it; what it changed comes back as [`Change`]s, in revision order.
//!
//! # What it leaves to others
//! Headers, leases' time to live, permissions, quota, watchers, and the disk.

pub mod check;
mod compare;
mod error;
mod index;
mod key_range;
mod overlap;
mod range;
mod store;
#[cfg(test)]
mod tests;
mod txn;
mod write;

pub use error::KvError;
pub use key_range::KeyRange;
pub use store::Kv;
pub use txn::{read_txn, txn};
pub use write::{Applied, LeaseBook, delete_keys, delete_range, put};

use std::sync::Arc;

use bytes::Bytes;
use proto::mvccpb;

/// The place of one change in the order of all changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision {
    /// Number of the transaction.
    pub main: i64,
    /// Number of the change within the transaction, from 0.
    pub sub: i64,
}

impl Revision {
    /// A revision from its two numbers.
    pub const fn new(main: i64, sub: i64) -> Self {
        Self { main, sub }
    }
}

/// One version of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Arc<[u8]>,
    /// Owned exactly: never a slice of a larger receive buffer.
    pub value: Bytes,
    /// Main revision of the put that began this generation.
    pub create_revision: i64,
    /// Main revision of this version.
    pub mod_revision: i64,
    /// Number of puts in this generation so far, from 1.
    pub version: i64,
    /// The lease the key is attached to; 0 is none.
    pub lease: i64,
}

impl KeyValue {
    /// The wire form. The key is copied, the value shared.
    pub fn to_proto(&self) -> mvccpb::KeyValue {
        mvccpb::KeyValue {
            key: Bytes::copy_from_slice(&self.key),
            create_revision: self.create_revision,
            mod_revision: self.mod_revision,
            version: self.version,
            value: self.value.clone(),
            lease: self.lease,
        }
    }
}

/// One change of one key, as it is stored for ever (until compaction).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub revision: Revision,
    pub kind: RecordKind,
}

/// What a [`Record`] did to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKind {
    Put(Arc<KeyValue>),
    /// The key was deleted.
    Tombstone(Arc<[u8]>),
}

impl Record {
    /// The key that changed.
    pub fn key(&self) -> &Arc<[u8]> {
        match &self.kind {
            RecordKind::Put(kv) => &kv.key,
            RecordKind::Tombstone(key) => key,
        }
    }
}

/// A [`Record`] with what was there before it: what watchers, storage and replies need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub record: Record,
    /// The version that this change replaced, if the key was live.
    pub previous: Option<Arc<KeyValue>>,
}

/// Values of revisions that are no longer current.
///
/// It must know every change applied so far, also those that are not on disk yet.
pub trait History {
    /// The put stored at `revision`; `None` when nothing, or a tombstone, is stored there.
    fn put_at(&self, revision: Revision) -> Result<Option<Arc<KeyValue>>, HistoryError>;
}

/// A stored value could not be read back, or did not match its checksum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading an old revision from the applied state failed: {0}")]
pub struct HistoryError(pub String);
