//! The small replicated tables (members, alarms, leases, version) as rows of bytes.
//!
//! The same rows go into the applied state, one by one as they change, and into a snapshot,
//! all at once. Keys attached to leases are not rows: they are found again in the current
//! values of the key space.

use prost::Message;
use proto::etcdserverpb::AlarmType;
use proto::peer;

use super::State;
use crate::auth;
use crate::cluster::version::Version;
use crate::cluster::{Member, Members};
use crate::v2;

/// Table numbers; on disk, so for ever.
pub mod table {
    pub const CLUSTER: u8 = 1;
    pub const MEMBER: u8 = 2;
    pub const REMOVED: u8 = 3;
    pub const ALARM: u8 = 4;
    pub const LEASE: u8 = 5;
    pub const VERSION: u8 = 6;
    // 20 to 29 are auth's own, see `auth::rows`.
    pub const DOWNGRADE: u8 = 40;
    pub const LEASE_LEFT: u8 = 41;
}

/// One row changed; `None` removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideChange {
    pub table: u8,
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// A row that cannot be read back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the applied state holds a row of table {0} that this version cannot read")]
pub struct BadRow(pub u8);

fn row(table: u8, key: impl Into<Vec<u8>>, value: Vec<u8>) -> SideChange {
    SideChange { table, key: key.into(), value: Some(value) }
}

fn member_row(member: &Member) -> SideChange {
    let wire = peer::Member::from(member);
    row(table::MEMBER, member.id.to_be_bytes(), wire.encode_to_vec())
}

/// The rows that say what is true of member `id` now.
pub fn member(members: &Members, id: u64) -> Vec<SideChange> {
    match members.get(id) {
        Some(member) => vec![member_row(member)],
        None if members.is_removed(id) => vec![
            SideChange { table: table::MEMBER, key: id.to_be_bytes().into(), value: None },
            row(table::REMOVED, id.to_be_bytes(), Vec::new()),
        ],
        None => Vec::new(),
    }
}

/// The row of a lease; no time to live removes it.
pub fn lease(id: i64, ttl: Option<i64>) -> SideChange {
    let value = ttl.map(|ttl| ttl.to_be_bytes().into());
    SideChange { table: table::LEASE, key: id.to_be_bytes().into(), value }
}

/// The row of an alarm.
pub fn alarm(member: u64, kind: AlarmType, raised: bool) -> SideChange {
    let key = [&[kind as u8][..], &member.to_be_bytes()].concat();
    SideChange { table: table::ALARM, key, value: raised.then(Vec::new) }
}

/// The row of the agreed version.
pub fn cluster_version(version: &str) -> SideChange {
    row(table::VERSION, "version", version.as_bytes().to_vec())
}

/// A row of users and roles.
pub fn auth_row((table, key, value): auth::Row) -> SideChange {
    SideChange { table, key, value }
}

/// The row of a downgrade.
pub fn downgrade(target: Option<Version>) -> SideChange {
    let value = target.map(|target| target.to_string().into_bytes());
    SideChange { table: table::DOWNGRADE, key: b"target".to_vec(), value }
}

/// The row of what is left of a lease.
pub fn lease_left(id: i64, seconds: Option<i64>) -> SideChange {
    let value = seconds.map(|seconds| seconds.to_be_bytes().into());
    SideChange { table: table::LEASE_LEFT, key: id.to_be_bytes().into(), value }
}

/// All rows of a state.
pub fn dump(state: &State) -> Vec<SideChange> {
    let members = &state.members;
    let mut rows = vec![row(table::CLUSTER, "id", members.cluster_id.to_be_bytes().into())];
    rows.extend(members.iter().map(member_row));
    rows.extend(members.removed().map(|id| row(table::REMOVED, id.to_be_bytes(), Vec::new())));
    let alarms = state.alarms.list(AlarmType::None);
    rows.extend(alarms.iter().map(|raised| alarm(raised.member_id, raised.alarm(), true)));
    rows.extend(state.leases.export().map(|(id, ttl)| lease(id, Some(ttl))));
    if !state.cluster_version.is_empty() {
        rows.push(cluster_version(&state.cluster_version));
    }
    rows.extend(auth::dump(&state.auth).into_iter().map(auth_row));
    rows.extend(state.downgrade.map(|target| downgrade(Some(target))));
    rows.extend(state.leases.checkpoints().map(|(id, left)| lease_left(id, Some(left))));
    rows.extend(v2::rows::dump(&state.v2));
    rows
}

fn number(bytes: &[u8], table: u8) -> Result<u64, BadRow> {
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| BadRow(table))?))
}

/// Reads one row into a state that is being restored.
pub fn load(state: &mut State, table: u8, key: &[u8], value: &[u8]) -> Result<(), BadRow> {
    let bad = || BadRow(table);
    match table {
        table::CLUSTER => state.members.cluster_id = number(value, table)?,
        table::MEMBER => {
            let wire = peer::Member::decode(value).map_err(|_| bad())?;
            state.members.restore(Member {
                id: wire.id,
                name: wire.name,
                peer_urls: wire.peer_urls,
                client_urls: wire.client_urls,
                is_learner: wire.is_learner,
                directory_id: wire.directory_id.to_vec(),
            });
        }
        table::REMOVED => state.members.restore_removed(number(key, table)?),
        table::ALARM => {
            let (kind, member) = key.split_first().ok_or_else(bad)?;
            let kind = AlarmType::try_from(i32::from(*kind)).map_err(|_| bad())?;
            state.alarms.raise(number(member, table)?, kind);
        }
        table::LEASE => {
            let (id, ttl) = (number(key, table)?, number(value, table)?);
            // A row twice is no harm.
            let _ = state.leases.grant(id.cast_signed(), ttl.cast_signed());
        }
        table::VERSION => {
            state.cluster_version = String::from_utf8(value.to_vec()).map_err(|_| bad())?;
        }
        20..30 => auth::load(&mut state.auth, table, key, value).map_err(|_| bad())?,
        table::DOWNGRADE => {
            let text = std::str::from_utf8(value).map_err(|_| bad())?;
            state.downgrade = Some(Version::parse(text).ok_or_else(bad)?);
        }
        table::LEASE_LEFT => {
            let (id, left) = (number(key, table)?, number(value, table)?);
            // Tables come in order of their numbers, so the lease is there.
            state.leases.checkpoint(id.cast_signed(), left.cast_signed());
        }
        table if v2::rows::owns(table) => {
            v2::rows::load(&mut state.v2, table, key, value).ok_or_else(bad)?;
        }
        _ => return Err(bad()),
    }
    Ok(())
}

/// Rows as one run of bytes.
pub fn encode_rows(rows: &[SideChange]) -> Vec<u8> {
    let mut out = Vec::new();
    for row in rows {
        let Some(value) = &row.value else { continue };
        out.push(row.table);
        for part in [&row.key, value] {
            // A row is far smaller than 4 GiB.
            out.extend_from_slice(&(part.len() as u32).to_le_bytes());
            out.extend_from_slice(part);
        }
    }
    out
}

/// Reads what [`encode_rows`] wrote.
pub fn decode_rows(mut bytes: &[u8]) -> Result<Vec<SideChange>, BadRow> {
    fn part(bytes: &mut &[u8], table: u8) -> Result<Vec<u8>, BadRow> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or(BadRow(table))?;
        let length = u32::from_le_bytes(*length) as usize;
        let (part, rest) = rest.split_at_checked(length).ok_or(BadRow(table))?;
        *bytes = rest;
        Ok(part.to_vec())
    }
    let mut rows = Vec::new();
    while let Some((table, rest)) = bytes.split_first() {
        bytes = rest;
        let key = part(&mut bytes, *table)?;
        let value = Some(part(&mut bytes, *table)?);
        rows.push(SideChange { table: *table, key, value });
    }
    Ok(rows)
}
