//! The differences that are meant, each with its reason.
//!
//! An entry says of which server it holds and how it is recognised, as narrowly as it can. A
//! difference that would leave different data behind cannot be here: later answers would
//! differ too. The generator does not ask for those, see [`Reference`].

use crate::ask::Ask;
use crate::support::tools::Engine;

/// What may be asked of a server.
///
/// Never asked of any: a transaction that deletes without an end (`range_end` of one zero
/// byte) and puts. etcd overlooks that the delete covers the put; we refuse a duplicate key.
/// With `ignore_value` etcd finds the key gone while it applies, and ends with a panic.
pub struct Reference {
    /// etcd 3.5.1 ends with a panic when it is asked for an unknown sort order or target.
    pub survives_unknown_sort: bool,
    /// etcd 3.5.1 lets a watch start at a negative revision; 3.6 cancels it as compacted.
    pub refuses_negative_watches: bool,
}

impl Reference {
    pub fn of(engine: Engine) -> Reference {
        let is_36 = engine == Engine::Etcd36;
        Reference { survives_unknown_sort: is_36, refuses_negative_watches: is_36 }
    }
}

/// A difference that is meant.
struct Accepted {
    reason: &'static str,
    is_it: fn(Engine, &Ask, ours: &str, theirs: &str) -> bool,
}

const COMPACTED: &str = "mvcc: required revision has been compacted";

const ACCEPTED: &[Accepted] = &[
    Accepted {
        reason: "etcd 3.5.1 has no hash of the revision it is compacted to; later ones have",
        is_it: |engine, ask, ours, theirs| {
            engine == Engine::Etcd35 && hash_at_compaction(ask, ours) && theirs.contains(COMPACTED)
        },
    },
    Accepted {
        reason: "of a revision that was once compacted to, etcd 3.6 tells the sum it kept from \
                 then, with the compaction before; ours is the sum of what is there now, or none",
        is_it: |engine, ask, ours, theirs| {
            let compacted = matches!(ask, Ask::HashKv(_)) && ours.contains(COMPACTED);
            engine == Engine::Etcd36
                && (compacted || hash_at_compaction(ask, ours))
                && theirs.starts_with("(Some")
        },
    },
    Accepted {
        reason: "a transaction may be refused for two reasons; etcd 3.5 looks at all puts before \
                 the ranges, etcd 3.6 and we at one operation after the other",
        is_it: |engine, ask, ours, theirs| {
            let put = ["etcdserver: key not found", "etcdserver: requested lease not found"];
            engine == Engine::Etcd35
                && contains_txn(ask)
                && put.iter().any(|text| theirs.contains(text))
                && ours.contains("etcdserver: mvcc: required revision")
        },
    },
];

fn contains_txn(ask: &Ask) -> bool {
    match ask {
        Ask::Txn(_) => true,
        Ask::NoSpace(asks) => asks.iter().any(contains_txn),
        _ => false,
    }
}

/// Asked was the hash of the very revision compacted to, and ours has it.
fn hash_at_compaction(ask: &Ask, ours: &str) -> bool {
    matches!(ask, Ask::HashKv(at) if *at > 0 && ours.ends_with(&format!(", {at})")))
}

/// Why this difference is none.
pub fn reason(engine: Engine, ask: &Ask, ours: &str, theirs: &str) -> Option<&'static str> {
    let accepted = ACCEPTED.iter().find(|entry| (entry.is_it)(engine, ask, ours, theirs));
    accepted.map(|entry| entry.reason)
}
