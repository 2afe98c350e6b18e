//! What etcd keeps in which bucket of its database, and how it is encoded.
//!
//! | bucket | key | value |
//! |---|---|---|
//! | `key` | revision: main, `_`, sub, and `t` for a tombstone | `mvccpb.KeyValue` |
//! | `lease` | id | `leasepb.Lease` |
//! | `alarm` | `AlarmMember` | nothing |
//! | `authUsers`, `authRoles` | name | `authpb.User`, `authpb.Role` |
//! | `auth` | a name | whether checks are on, and the auth revision |
//! | `members`, `members_removed` | id in hex | JSON; the word `removed` |
//! | `meta` | a name | numbers, JSON of the configuration, the version of this layout |
//!
//! Numbers are big-endian, so that they sort. Pure: rows in, rows out.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb::{AlarmMember, AlarmType};
use proto::mvccpb;

use super::Error;
use crate::auth::{self, Auth};
use crate::cluster::version::Version;
use crate::kv::{KeyValue, Record, RecordKind, Revision};
use crate::machine::State;

pub(super) const KEY: &str = "key";
pub(super) const META: &str = "meta";
pub(super) const LEASE: &str = "lease";
pub(super) const ALARM: &str = "alarm";
const CLUSTER: &str = "cluster";
const MEMBERS: &str = "members";
const MEMBERS_REMOVED: &str = "members_removed";
pub(super) const AUTH: &str = "auth";
pub(super) const AUTH_USERS: &str = "authUsers";
pub(super) const AUTH_ROLES: &str = "authRoles";

const CONSISTENT_INDEX: &str = "consistent_index";
const TERM: &str = "term";
const CONF_STATE: &str = "confState";
pub(super) const STORAGE_VERSION: &str = "storageVersion";
const AUTH_ENABLED: &[u8] = b"authEnabled";
const AUTH_REVISION: &[u8] = b"authRevision";
const SCHEDULED_COMPACTION: &str = "scheduledCompactRev";
const FINISHED_COMPACTION: &str = "finishedCompactRev";

/// The first version whose layout names itself.
const NAMED_SINCE: Version = Version { major: 3, minor: 6 };

const REVISION_BYTES: usize = 17;
const TOMBSTONE_MARK: u8 = b't';

/// Rows of one bucket.
pub(super) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// `leasepb.Lease`.
#[derive(Clone, PartialEq, prost::Message)]
struct Lease {
    #[prost(int64, tag = "1")]
    id: i64,
    #[prost(int64, tag = "2")]
    ttl: i64,
    #[prost(int64, tag = "3")]
    remaining_ttl: i64,
}

fn revision_key(revision: Revision, tombstone: bool) -> Vec<u8> {
    let mut key = Vec::with_capacity(REVISION_BYTES + 1);
    key.extend_from_slice(&revision.main.to_be_bytes());
    key.push(b'_');
    key.extend_from_slice(&revision.sub.to_be_bytes());
    if tombstone {
        key.push(TOMBSTONE_MARK);
    }
    key
}

/// The revision in a key, and whether it is one of a tombstone.
pub(super) fn parse_revision_key(key: &[u8]) -> Result<(Revision, bool), Error> {
    let bad = Error::Entry { bucket: KEY, why: "its key is no revision" };
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| i64::from_be_bytes(*bytes));
    let (plain, mark) = key.split_at_checked(REVISION_BYTES).unwrap_or((key, b"?"));
    let tombstone = match mark {
        [] => false,
        [TOMBSTONE_MARK] => true,
        _ => return Err(bad),
    };
    let (Some(main), Some(sub)) = (number(plain), number(&plain[9..])) else { return Err(bad) };
    if plain[8] != b'_' || main < 1 || sub < 0 {
        return Err(bad);
    }
    Ok((Revision::new(main, sub), tombstone))
}

/// The row of a record.
pub(super) fn record_row(record: &Record) -> (Vec<u8>, Vec<u8>) {
    match &record.kind {
        RecordKind::Put(kv) => {
            (revision_key(record.revision, false), kv.to_proto().encode_to_vec())
        }
        RecordKind::Tombstone(key) => {
            let key = Bytes::copy_from_slice(key);
            let value = mvccpb::KeyValue { key, ..Default::default() };
            (revision_key(record.revision, true), value.encode_to_vec())
        }
    }
}

/// The record in a row. `None` stands for a row that only raises the revision, as
/// `etcdutl snapshot restore --bump-revision` writes it.
pub(super) fn record(
    revision: Revision,
    tombstone: bool,
    value: &[u8],
) -> Result<Option<Record>, Error> {
    let bad = |why| Error::Entry { bucket: KEY, why };
    let wire = mvccpb::KeyValue::decode(value).map_err(|_| bad("its value is no key and value"))?;
    if wire.key.is_empty() {
        return Ok(None);
    }
    let key: Arc<[u8]> = Arc::from(&wire.key[..]);
    if tombstone {
        return Ok(Some(Record { revision, kind: RecordKind::Tombstone(key) }));
    }
    let created = (1..=revision.main).contains(&wire.create_revision);
    if wire.mod_revision != revision.main || !created || wire.version < 1 {
        return Err(bad("its revisions contradict each other"));
    }
    let kv = KeyValue {
        key,
        value: Bytes::copy_from_slice(&wire.value),
        create_revision: wire.create_revision,
        mod_revision: wire.mod_revision,
        version: wire.version,
        lease: wire.lease,
    };
    Ok(Some(Record { revision, kind: RecordKind::Put(Arc::new(kv)) }))
}

/// The key in the value of a row.
pub(super) fn key_of(value: &[u8]) -> Result<Vec<u8>, Error> {
    let bad = Error::Entry { bucket: KEY, why: "its value is no key and value" };
    Ok(mvccpb::KeyValue::decode(value).map_err(|_| bad)?.key.to_vec())
}

/// All buckets but that of the keys, as they are in `state`; empty ones too, because etcd
/// expects them.
pub(super) fn tables(state: &State) -> BTreeMap<&'static str, Rows> {
    let mut tables =
        BTreeMap::from([AUTH_ROLES, AUTH_USERS, CLUSTER].map(|bucket| (bucket, Rows::new())));
    let leases = state.leases.export().map(|(id, ttl)| {
        let remaining_ttl = state.leases.left(id).unwrap_or(0);
        (id.to_be_bytes().to_vec(), Lease { id, ttl, remaining_ttl }.encode_to_vec())
    });
    tables.insert(LEASE, leases.collect());
    let alarms = state.alarms.list(AlarmType::None);
    tables
        .insert(ALARM, alarms.iter().map(|raised| (raised.encode_to_vec(), Vec::new())).collect());
    tables.insert(MEMBERS, state.members.iter().map(member_row).collect());
    let removed = state.members.removed();
    let removed = removed.map(|id| (format!("{id:x}").into_bytes(), b"removed".to_vec()));
    tables.insert(MEMBERS_REMOVED, removed.collect());
    tables.insert(META, meta(state));
    tables.insert(AUTH, auth_switch(&state.auth));
    for (table, name, value) in auth::dump(&state.auth) {
        let bucket = match table {
            auth::rows::USER => AUTH_USERS,
            auth::rows::ROLE => AUTH_ROLES,
            _ => continue,
        };
        tables.entry(bucket).or_default().extend(value.map(|value| (name, value)));
    }
    tables
}

fn auth_switch(auth: &Auth) -> Rows {
    Rows::from([
        (AUTH_ENABLED.to_vec(), vec![u8::from(auth.enabled())]),
        (AUTH_REVISION.to_vec(), auth.revision().to_be_bytes().to_vec()),
    ])
}

/// Takes users, roles and the switch into a state; these rows are encoded as ours are.
pub(super) fn restore_auth(
    state: &mut State,
    switch: &Rows,
    users: &Rows,
    roles: &Rows,
) -> Result<(), Error> {
    let mut load = |bucket, table, key: &[u8], value: &[u8]| {
        let bad = |_| Error::Entry { bucket, why: "it is not what a user, a role or a switch is" };
        auth::load(&mut state.auth, table, key, value).map_err(bad)
    };
    if let Some(revision) = switch.get(AUTH_REVISION) {
        let enabled = switch.get(AUTH_ENABLED).is_some_and(|enabled| *enabled == [1]);
        let value = [&[u8::from(enabled)], &revision[..]].concat();
        load(AUTH, auth::rows::SWITCH, AUTH_ENABLED, &value)?;
    }
    for (name, user) in users {
        load(AUTH_USERS, auth::rows::USER, name, user)?;
    }
    for (name, role) in roles {
        load(AUTH_ROLES, auth::rows::ROLE, name, role)?;
    }
    Ok(())
}

fn member_row(member: &crate::cluster::Member) -> (Vec<u8>, Vec<u8>) {
    let mut json = serde_json::json!({ "id": member.id, "peerURLs": member.peer_urls });
    if member.is_learner {
        json["isLearner"] = true.into();
    }
    if member.has_started() {
        json["name"] = member.name.clone().into();
        json["clientURLs"] = member.client_urls.clone().into();
    }
    (format!("{:x}", member.id).into_bytes(), json.to_string().into_bytes())
}

fn meta(state: &State) -> Rows {
    let applied = &state.applied;
    let mut configuration = serde_json::json!({ "voters": applied.voters, "auto_leave": false });
    if !applied.learners.is_empty() {
        configuration["learners"] = applied.learners.clone().into();
    }
    let mut rows = Rows::new();
    let mut put = |name: &str, value: Vec<u8>| rows.insert(name.as_bytes().to_vec(), value);
    put(CONSISTENT_INDEX, applied.index.to_be_bytes().to_vec());
    put(TERM, applied.term.to_be_bytes().to_vec());
    put(CONF_STATE, configuration.to_string().into_bytes());
    if let Some(version) = Version::parse(&state.cluster_version).filter(|it| *it >= NAMED_SINCE) {
        put(STORAGE_VERSION, version.to_string().into_bytes());
    }
    let compacted = state.kv.compacted();
    if compacted > 0 {
        let revision = revision_key(Revision::new(compacted, 0), false);
        put(SCHEDULED_COMPACTION, revision.clone());
        put(FINISHED_COMPACTION, revision);
    }
    rows
}

/// The revision up to which the database is compacted, or was about to be; 0 for none.
pub(super) fn compacted(meta: &Rows) -> Result<i64, Error> {
    let mut compacted = 0;
    for name in [SCHEDULED_COMPACTION, FINISHED_COMPACTION] {
        let Some(value) = meta.get(name.as_bytes()) else { continue };
        // etcd compacts an empty database at revision 0.
        if value.get(..8).is_some_and(|main| main == [0; 8]) {
            continue;
        }
        let bad = |_| Error::Entry { bucket: META, why: "a compaction at what is no revision" };
        compacted = compacted.max(parse_revision_key(value).map_err(bad)?.0.main);
    }
    Ok(compacted)
}

/// Takes leases into a state.
pub(super) fn restore_leases(state: &mut State, rows: &Rows) -> Result<(), Error> {
    for value in rows.values() {
        let bad = Error::Entry { bucket: LEASE, why: "its value is no lease" };
        let lease = Lease::decode(&value[..]).map_err(|_| bad)?;
        if let Err(error) = state.leases.grant(lease.id, lease.ttl) {
            tracing::warn!(lease = %format!("{:x}", lease.id), %error, "a lease is left out");
        }
        state.leases.checkpoint(lease.id, lease.remaining_ttl);
    }
    Ok(())
}

/// Takes alarms into a state.
pub(super) fn restore_alarms(state: &mut State, rows: &Rows) -> Result<(), Error> {
    for key in rows.keys() {
        let bad = Error::Entry { bucket: ALARM, why: "its key is no alarm" };
        let alarm = AlarmMember::decode(&key[..]).map_err(|_| bad)?;
        if alarm.alarm() != AlarmType::None {
            state.alarms.raise(alarm.member_id, alarm.alarm());
        }
    }
    Ok(())
}
