//! The differences that are meant, each with its reason.
//!
//! An entry says of which server it holds and how it is recognised, as narrowly as it can. A
//! difference that would leave different data behind cannot be here: later answers would
//! differ too. The generator does not ask for those, see [`Reference`].

use proto::etcdserverpb as pb;

use crate::ask::Ask;
use crate::side::OTHER_URL;
use crate::spelling::Parser;
use crate::support::tools::Engine;
use crate::users::Users;

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
    /// etcd 3.5.1 forgets deletes at the very revision that it is compacted to.
    pub keeps_last_deletes: bool,
    /// etcd 3.5.1 takes a right to nothing, or to an empty range, for a right.
    pub refuses_empty_rights: bool,
    /// etcd 3.5.1 asks nobody for rights who moves the leader, has other texts for some, and
    /// looks at tokens while nobody has to have one.
    pub asks_for_rights: bool,
    /// Before etcd 3.6 the hash of the keys had the path of another method.
    pub has_hashkv_path: bool,
    /// etcd 3.5.1 does not answer who announces a downgrade or takes it back.
    pub goes_down_in_order: bool,
    /// How its gateway reads JSON.
    pub parser: Parser,
}

impl Reference {
    pub fn of(engine: Engine) -> Reference {
        let is_36 = engine == Engine::Etcd36;
        Reference {
            survives_unknown_sort: is_36,
            refuses_negative_watches: is_36,
            keeps_last_deletes: is_36,
            refuses_empty_rights: is_36,
            asks_for_rights: is_36,
            has_hashkv_path: is_36,
            goes_down_in_order: is_36,
            parser: if is_36 { Parser::Lenient } else { Parser::Strict },
        }
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
        reason: "etcd 3.6 and we read other JSON than etcd 3.5: 1e2 and 1.0 are whole numbers, \
                 base64 needs no padding, has two alphabets and no line ends, and bytes are no list",
        is_it: |engine, ask, ours, theirs| {
            let [ours, theirs] =
                [ours, theirs].map(|answer| answer.contains("refused by the parser"));
            engine == Engine::Etcd35 && matches!(ask, Ask::Malformed(_)) && ours != theirs
        },
    },
    Accepted {
        reason: "a body that is far too large is not read to its end, so its size is not known",
        is_it: |_, _, ours, theirs| {
            let large = "grpc: received message larger than max";
            ours.contains(large) && theirs.contains(large)
        },
    },
    Accepted {
        reason: "who may not write is not told that what he writes is too large",
        is_it: |_, _, ours, theirs| {
            let denied = ours.contains("permission denied") || is_nobody(ours);
            denied && theirs.contains("etcdserver: request is too large")
        },
    },
    Accepted {
        reason: "who tries a password is not told that the user has none",
        is_it: |_, _, ours, theirs| {
            theirs.contains("password was given for no password user")
                && ours.contains("authentication failed, invalid user ID or password")
        },
    },
    Accepted {
        reason: "as in releases after 3.6.6 the status of a member asks for somebody, not for \
                 root, and whether rights are asked for is no secret",
        is_it: |_, ask, ours, theirs| {
            let refused = theirs.starts_with("refused");
            match inner(ask) {
                Ask::Status if refused => theirs.contains("permission denied"),
                // Before etcd 3.6 anybody was told.
                Ask::Status => is_nobody(ours),
                Ask::Users(Users::Status) => refused && !ours.starts_with("refused"),
                _ => false,
            }
        },
    },
    Accepted {
        reason: "as in releases after 3.6.6 who asks for a lease's time has to be somebody",
        is_it: |_, ask, ours, theirs| {
            matches!(inner(ask), Ask::TimeToLive(_)) && is_nobody(ours) && !is_nobody(theirs)
        },
    },
    Accepted {
        reason: "a transaction without keys asks for nobody in etcd; here all have to be somebody",
        is_it: |_, ask, ours, theirs| {
            let empty = |txn: &pb::TxnRequest| {
                txn.compare.is_empty() && txn.success.is_empty() && txn.failure.is_empty()
            };
            matches!(inner(ask), Ask::Txn(txn) if empty(txn))
                && is_nobody(ours)
                && theirs.starts_with("TxnResponse")
        },
    },
    Accepted {
        reason: "a watch may be refused for two reasons, and asks for rights first here; etcd \
                 3.5.1 gives one that is not allowed an id, and has one reason for all",
        is_it: |_, ask, ours, theirs| {
            matches!(inner(ask), Ask::WatchOnce(_))
                && ours.starts_with("(true, true, -1, 0)")
                && theirs.starts_with("(true, true, ")
        },
    },
    Accepted {
        reason: "a learner whose URLs are changed is one no more in etcd, without a promotion; \
                 here it stays one (etcd's issue 21736)",
        is_it: |_, ask, ours, theirs| {
            let moved = |is_learner: bool| {
                format!("[\"{OTHER_URL}\"], client_ur_ls: [], is_learner: {is_learner}")
            };
            matches!(inner(ask), Ask::Learner)
                && ours.replace(&moved(true), &moved(false)) == theirs
        },
    },
    Accepted {
        reason: "etcd 3.5 tells the version of a cluster in three numbers, and refuses to take \
                 back a downgrade that nobody announced",
        is_it: |engine, ask, ours, theirs| {
            let short = theirs.replace("own.0", "own");
            let nothing = theirs.contains("no inflight downgrade job");
            engine == Engine::Etcd35
                && matches!(inner(ask), Ask::Downgrade(..))
                && (ours == short || nothing && ours.starts_with("DowngradeResponse"))
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

/// What is asked, whoever asks.
fn inner(ask: &Ask) -> &Ask {
    match ask {
        Ask::As(_, ask) => ask,
        ask => ask,
    }
}

/// Refused because nobody is known to ask.
fn is_nobody(answer: &str) -> bool {
    ["user name is empty", "invalid auth token"].iter().any(|text| answer.contains(text))
}

fn contains_txn(ask: &Ask) -> bool {
    match inner(ask) {
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
