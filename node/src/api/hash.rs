//! Hashes of the key space, to see whether members hold the same.
//!
//! The hash covers every record up to a revision that compaction keeps, whether or not this
//! member has physically removed the others. So members agree for the same revision and
//! compact revision, before and after defragmentation.

use std::ops::ControlFlow;

use crate::kv::{KvError, Record, Revision};
use crate::member::Member;
use crate::storage::record_codec;
use crate::storage::store::StoreError;

/// What HashKV answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashed {
    pub hash: u32,
    pub compact_revision: i64,
    pub revision: i64,
    /// The store's revision when the hash was made.
    pub current_revision: i64,
}

/// Why there is no hash.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    #[error(transparent)]
    Revision(#[from] KvError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Hashes up to `revision` (0: the current one). Reads the whole store: call where blocking
/// is allowed.
pub fn hash_kv(member: &Member, revision: i64) -> Result<Hashed, HashError> {
    let pause = member.store.pause_compaction();
    let (revision, current_revision, compact_revision, keep) = {
        let state = member.state.read();
        let (current, compacted) = (state.kv.revision(), state.kv.compacted());
        let revision = if revision <= 0 { current } else { revision };
        if revision < compacted {
            return Err(KvError::Compacted.into());
        }
        if revision > current {
            return Err(KvError::FutureRevision.into());
        }
        (revision, current, compacted, state.kv.keep_at(compacted))
    };
    // Begins with a word, as etcd's does: the hash of an empty store is not 0, which JSON leaves out.
    let mut hash = crc32c::crc32c(b"key");
    let mut buffer = Vec::new();
    member.store.scan(Revision::default(), revision, &mut |record: Record| {
        let at = record.revision;
        if at.main > compact_revision || keep.contains(&at) {
            buffer.clear();
            record_codec::encode(&record, &mut buffer);
            hash = crc32c::crc32c_append(hash, &buffer);
        }
        ControlFlow::Continue(())
    })?;
    drop(pause);
    // etcd says -1 before the first compaction.
    let compact_revision = if compact_revision == 0 { -1 } else { compact_revision };
    Ok(Hashed { hash, compact_revision, revision, current_revision })
}
