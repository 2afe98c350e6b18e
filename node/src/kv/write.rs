//! Writing: puts and deletes, alone or within a transaction.
//!
//! A [`Writer`] is one transaction in progress. It cannot fail: whatever a request could be
//! refused for is checked before the writer is made, so nothing is ever half applied.
//!
//! # Invariant
//! The revision moves with the first change and only then, and every change of one writer
//! carries that one main revision, numbered from 0 in the order of the changes. The lease
//! book says at all times which live keys are attached to which lease.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, ResponseHeader,
};

use super::key_range::KeyRange;
use super::{Change, History, KeyValue, Kv, KvError, Record, RecordKind, Revision, check};

/// What the key space needs to know of leases, and tells them.
pub trait LeaseBook {
    /// Whether the lease is granted and not revoked.
    fn exists(&self, lease: i64) -> bool;
    /// The key joined the lease.
    fn attach(&mut self, lease: i64, key: &Arc<[u8]>);
    /// The key left the lease. The lease may be one that is being revoked.
    fn detach(&mut self, lease: i64, key: &Arc<[u8]>);
}

/// The effect of an applied request.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied<R> {
    /// The reply. Its own header is left to the caller.
    pub response: R,
    /// In order of revision. Empty: the revision did not move.
    pub changes: Vec<Change>,
}

/// Applies a put.
///
/// `history` is not read: a put replaces the current version, which is in memory. It is
/// here because every request is applied with the same arguments.
pub fn put(
    kv: &mut Kv,
    leases: &mut dyn LeaseBook,
    _history: &dyn History,
    request: &PutRequest,
) -> Result<Applied<PutResponse>, KvError> {
    check_put(kv, &|lease| leases.exists(lease), request)?;
    let mut writer = Writer::new(kv, leases);
    let response = writer.put(request);
    Ok(Applied { response, changes: writer.changes })
}

/// Applies a delete of a range. Deleting nothing is a success that changes nothing.
///
/// `history` is not read, as for [`put`].
pub fn delete_range(
    kv: &mut Kv,
    leases: &mut dyn LeaseBook,
    _history: &dyn History,
    request: &DeleteRangeRequest,
) -> Result<Applied<DeleteRangeResponse>, KvError> {
    check::delete_range(request)?;
    let mut writer = Writer::new(kv, leases);
    let response = writer.delete_range(request);
    Ok(Applied { response, changes: writer.changes })
}

/// Deletes the keys of a revoked lease, in key order and in one revision. Keys that do not
/// exist are passed over.
pub fn delete_keys(
    kv: &mut Kv,
    leases: &mut dyn LeaseBook,
    mut keys: Vec<Arc<[u8]>>,
) -> Vec<Change> {
    // The book may keep its keys in any order; every member must number them alike.
    keys.sort_unstable();
    let mut writer = Writer::new(kv, leases);
    for key in keys {
        writer.delete((Bound::Included(&key), Bound::Included(&key)));
    }
    writer.changes
}

/// Whether a put may be applied now: its form, its lease, and the key it builds upon.
pub(super) fn check_put(
    kv: &Kv,
    lease_exists: &dyn Fn(i64) -> bool,
    request: &PutRequest,
) -> Result<(), KvError> {
    check::put(request)?;
    if request.lease != 0 && !lease_exists(request.lease) {
        return Err(KvError::LeaseNotFound);
    }
    check_base(kv, request)
}

/// Whether there is the key of which a put keeps the value or the lease.
pub(super) fn check_base(kv: &Kv, request: &PutRequest) -> Result<(), KvError> {
    match (request.ignore_value || request.ignore_lease) && kv.get(&request.key).is_none() {
        true => Err(KvError::KeyNotFound),
        false => Ok(()),
    }
}

/// The header of a reply within a transaction: nothing but the revision.
pub(super) fn revision_header(revision: i64) -> Option<ResponseHeader> {
    Some(ResponseHeader { revision, ..ResponseHeader::default() })
}

/// One transaction in progress.
pub(super) struct Writer<'a> {
    kv: &'a mut Kv,
    leases: &'a mut dyn LeaseBook,
    /// The main revision of its changes.
    main: i64,
    pub(super) changes: Vec<Change>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(kv: &'a mut Kv, leases: &'a mut dyn LeaseBook) -> Self {
        let main = kv.revision + 1;
        Self { kv, leases, main, changes: Vec::new() }
    }

    /// The store as the changes so far have left it.
    pub(super) fn kv(&self) -> &Kv {
        self.kv
    }

    /// Puts a key. The request has passed [`check_put`].
    pub(super) fn put(&mut self, request: &PutRequest) -> PutResponse {
        let at = Revision::new(self.main, self.changes.len() as i64);
        let entry = self.kv.index.entry(Arc::from(request.key.as_ref()));
        let key = entry.key().clone();
        let history = entry.or_default();
        let version = Arc::new(next_version(history.current(), key, at.main, request));
        let previous = history.put(at, version.clone());
        self.kv.live += usize::from(previous.is_none());
        self.kv.revision = self.main;

        let old_lease = previous.as_ref().map_or(0, |previous| previous.lease);
        if old_lease != version.lease {
            if old_lease != 0 {
                self.leases.detach(old_lease, &version.key);
            }
            if version.lease != 0 {
                self.leases.attach(version.lease, &version.key);
            }
        }
        let prev_kv = previous.as_ref().filter(|_| request.prev_kv).map(|kv| kv.to_proto());
        let record = Record { revision: at, kind: RecordKind::Put(version) };
        self.changes.push(Change { record, previous });
        PutResponse { header: None, prev_kv }
    }

    /// Deletes a range. The request has passed [`check::delete_range`].
    pub(super) fn delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let before = self.changes.len();
        self.delete(KeyRange::new(&request.key, &request.range_end).bounds());
        let deleted = &self.changes[before..];
        let prev_kvs = if request.prev_kv {
            deleted.iter().filter_map(|change| Some(change.previous.as_ref()?.to_proto())).collect()
        } else {
            Vec::new()
        };
        DeleteRangeResponse { header: None, deleted: deleted.len() as i64, prev_kvs }
    }

    fn delete(&mut self, keys: (Bound<&[u8]>, Bound<&[u8]>)) {
        for (key, history) in self.kv.index.range_mut::<[u8], _>(keys) {
            if history.current().is_none() {
                continue;
            }
            let revision = Revision::new(self.main, self.changes.len() as i64);
            let previous = history.tombstone(revision);
            if let Some(lease) = previous.as_ref().map(|kv| kv.lease).filter(|lease| *lease != 0) {
                self.leases.detach(lease, key);
            }
            let record = Record { revision, kind: RecordKind::Tombstone(key.clone()) };
            self.changes.push(Change { record, previous });
            self.kv.live -= 1;
            self.kv.revision = self.main;
        }
    }
}

/// The version that a put makes of the one before it.
fn next_version(
    previous: Option<&Arc<KeyValue>>,
    key: Arc<[u8]>,
    main: i64,
    request: &PutRequest,
) -> KeyValue {
    let value = match previous {
        Some(previous) if request.ignore_value => previous.value.clone(),
        // The request is a slice of a receive buffer that must not live as long as the key.
        _ => Bytes::copy_from_slice(&request.value),
    };
    let lease = match previous {
        Some(previous) if request.ignore_lease => previous.lease,
        _ => request.lease,
    };
    KeyValue {
        key,
        value,
        create_revision: previous.map_or(main, |previous| previous.create_revision),
        mod_revision: main,
        version: previous.map_or(1, |previous| previous.version + 1),
        lease,
    }
}
