//! Tests of the key space as a whole: the rules one by one, and everything at random
//! against a naive model.

mod model;
mod overlap;
mod properties;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest, RangeResponse,
    RequestOp, TxnRequest, TxnResponse,
};

use super::*;

/// Every put that was ever applied and not physically removed.
#[derive(Clone, Debug, Default)]
struct MemoryHistory {
    puts: BTreeMap<Revision, Arc<KeyValue>>,
}

impl MemoryHistory {
    fn add(&mut self, record: &Record) {
        if let RecordKind::Put(version) = &record.kind {
            self.puts.insert(record.revision, version.clone());
        }
    }
}

impl History for MemoryHistory {
    fn put_at(&self, revision: Revision) -> Result<Option<Arc<KeyValue>>, HistoryError> {
        Ok(self.puts.get(&revision).cloned())
    }
}

/// A history that must not be asked.
struct NoHistory;

impl History for NoHistory {
    fn put_at(&self, _: Revision) -> Result<Option<Arc<KeyValue>>, HistoryError> {
        Err(HistoryError("asked".into()))
    }
}

/// Granted leases and their keys. Panics when told something that cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Leases {
    keys: BTreeMap<i64, BTreeSet<Arc<[u8]>>>,
}

impl Leases {
    fn granted(leases: impl IntoIterator<Item = i64>) -> Self {
        Self { keys: leases.into_iter().map(|lease| (lease, BTreeSet::new())).collect() }
    }

    fn names(&self, lease: i64) -> Vec<String> {
        let names = self.keys[&lease].iter();
        names.map(|key| String::from_utf8_lossy(key).into_owned()).collect()
    }
}

impl LeaseBook for Leases {
    fn exists(&self, lease: i64) -> bool {
        self.keys.contains_key(&lease)
    }

    fn attach(&mut self, lease: i64, key: &Arc<[u8]>) {
        assert!(self.keys.get_mut(&lease).unwrap().insert(key.clone()), "attached twice");
    }

    fn detach(&mut self, lease: i64, key: &Arc<[u8]>) {
        assert!(self.keys.get_mut(&lease).unwrap().remove(key), "was not attached");
    }
}

/// A key space with what surrounds it.
#[derive(Clone, Debug)]
struct Store {
    kv: Kv,
    leases: Leases,
    history: MemoryHistory,
    records: Vec<Record>,
}

impl Store {
    fn new() -> Self {
        Self {
            kv: Kv::new(),
            leases: Leases::granted([7, 8]),
            history: MemoryHistory::default(),
            records: Vec::new(),
        }
    }

    /// Brings a member up from some of its records.
    fn restored(records: Vec<Record>, revision: i64, compacted: i64, leases: Leases) -> Self {
        let mut store = Self { leases, ..Self::new() };
        for record in &records {
            store.kv.restore_record(record);
            store.history.add(record);
        }
        store.records = records;
        store.kv.restore_marks(revision, compacted);
        store
    }

    fn taken<R>(&mut self, applied: Result<Applied<R>, KvError>) -> Result<Applied<R>, KvError> {
        if let Ok(applied) = &applied {
            self.take(&applied.changes);
        }
        applied
    }

    fn take(&mut self, changes: &[Change]) {
        for change in changes {
            self.history.add(&change.record);
            self.records.push(change.record.clone());
        }
    }

    fn put(&mut self, request: &PutRequest) -> Result<Applied<PutResponse>, KvError> {
        let applied = put(&mut self.kv, &mut self.leases, &self.history, request);
        self.taken(applied)
    }

    fn delete(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<Applied<DeleteRangeResponse>, KvError> {
        let applied = delete_range(&mut self.kv, &mut self.leases, &self.history, request);
        self.taken(applied)
    }

    fn txn(&mut self, request: &TxnRequest) -> Result<Applied<TxnResponse>, KvError> {
        let applied = txn(&mut self.kv, &mut self.leases, &self.history, request);
        self.taken(applied)
    }

    fn revoke(&mut self, lease: i64) -> Vec<Change> {
        let keys = self.leases.keys[&lease].iter().rev().cloned().collect();
        let changes = delete_keys(&mut self.kv, &mut self.leases, keys);
        self.take(&changes);
        changes
    }

    fn range(&self, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        self.kv.range(request, &self.history)
    }

    /// Puts a value and gives the revision of the put.
    fn set(&mut self, key: &str, value: &str) -> i64 {
        self.put(&put_of(key, value)).unwrap();
        self.kv.revision()
    }

    /// Deletes a key and gives the revision of the delete.
    fn remove(&mut self, key: &str) -> i64 {
        self.delete(&delete_of(key, "")).unwrap();
        self.kv.revision()
    }

    /// The keys and values of an answer.
    fn read(&self, request: &RangeRequest) -> Vec<(String, String)> {
        pairs(&self.range(request).unwrap())
    }
}

fn pairs(response: &RangeResponse) -> Vec<(String, String)> {
    let text = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    response.kvs.iter().map(|kv| (text(&kv.key), text(&kv.value))).collect()
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn put_of(key: &str, value: &str) -> PutRequest {
    PutRequest { key: bytes(key), value: bytes(value), ..PutRequest::default() }
}

fn delete_of(key: &str, range_end: &str) -> DeleteRangeRequest {
    DeleteRangeRequest { key: bytes(key), range_end: bytes(range_end), prev_kv: false }
}

fn range_of(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest { key: bytes(key), range_end: bytes(range_end), ..RangeRequest::default() }
}

fn everything() -> RangeRequest {
    range_of("\0", "\0")
}

fn op_put(request: PutRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestPut(request)) }
}

fn op_delete(request: DeleteRangeRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestDeleteRange(request)) }
}

fn op_range(request: RangeRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestRange(request)) }
}

fn op_txn(request: TxnRequest) -> RequestOp {
    RequestOp { request: Some(Request::RequestTxn(request)) }
}

fn success(ops: Vec<RequestOp>) -> TxnRequest {
    TxnRequest { success: ops, ..TxnRequest::default() }
}
