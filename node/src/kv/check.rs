//! What can be said of a request without looking at the store.
//!
//! The edge checks every request here before it goes to the log, so that a malformed one
//! costs no consensus round. Applying repeats the parts that its own correctness rests on,
//! but never the operation budget: that is a setting of one member, and what is applied may
//! depend only on what is replicated.

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use super::KvError;
use super::overlap;
use super::range::Query;

/// How deep transactions may nest, the outermost counting as one.
///
/// The operation budget bounds the depth too, but it can be configured; the stack cannot.
pub const MAX_TXN_DEPTH: usize = 16;

/// What a put takes of the quota beside its key and value.
const PUT_OVERHEAD: u64 = 256;

/// Checks a range request: it names a key, and sorts in a way that exists.
pub fn range(request: &RangeRequest) -> Result<(), KvError> {
    Query::new(request).map(drop)
}

/// Checks a put: it names a key, and does not give what it says to ignore.
pub fn put(request: &PutRequest) -> Result<(), KvError> {
    if request.key.is_empty() {
        Err(KvError::EmptyKey)
    } else if request.ignore_value && !request.value.is_empty() {
        Err(KvError::ValueProvided)
    } else if request.ignore_lease && request.lease != 0 {
        Err(KvError::LeaseProvided)
    } else {
        Ok(())
    }
}

/// Checks a delete: it names a key.
pub fn delete_range(request: &DeleteRangeRequest) -> Result<(), KvError> {
    if request.key.is_empty() { Err(KvError::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction and all within it.
///
/// Each of its three lists may have at most `max_ops` entries; a nested transaction gets
/// what its parent's longest list left. On one path no key may be written twice.
pub fn txn(request: &TxnRequest, max_ops: usize) -> Result<(), KvError> {
    txn_form(request, max_ops, 1)?;
    overlap::check(request)
}

fn txn_form(request: &TxnRequest, budget: usize, depth: usize) -> Result<(), KvError> {
    let longest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let left = budget.checked_sub(longest).ok_or(KvError::TooManyOps)?;
    if depth > MAX_TXN_DEPTH {
        return Err(KvError::TooManyOps);
    }
    compare_keys(request)?;
    for op in request.success.iter().chain(&request.failure) {
        match &op.request {
            Some(Request::RequestRange(request)) => range(request)?,
            Some(Request::RequestPut(request)) => put(request)?,
            Some(Request::RequestDeleteRange(request)) => delete_range(request)?,
            Some(Request::RequestTxn(request)) => txn_form(request, left, depth + 1)?,
            None => return Err(KvError::KeyNotFound),
        }
    }
    Ok(())
}

/// Every condition of a transaction names a key.
pub(super) fn compare_keys(request: &TxnRequest) -> Result<(), KvError> {
    match request.compare.iter().any(|compare| compare.key.is_empty()) {
        true => Err(KvError::EmptyKey),
        false => Ok(()),
    }
}

/// Whether a transaction does nothing but read, whichever way it goes. One that nests
/// another counts as writing, as in etcd.
pub fn is_read_only(request: &TxnRequest) -> bool {
    ops(request).all(|op| matches!(op.request, Some(Request::RequestRange(_))))
}

/// Whether a transaction is content with a possibly stale local answer: it reads, and every
/// read of it says so. One that only compares has not said so.
pub fn is_serializable(request: &TxnRequest) -> bool {
    let serializable = |op: &RequestOp| match &op.request {
        Some(Request::RequestRange(request)) => request.serializable,
        _ => false,
    };
    ops(request).next().is_some() && ops(request).all(serializable)
}

fn ops(request: &TxnRequest) -> impl Iterator<Item = &RequestOp> {
    request.success.iter().chain(&request.failure)
}

/// What a put may add to the stored size.
pub fn quota_cost_put(request: &PutRequest) -> u64 {
    PUT_OVERHEAD + request.key.len() as u64 + request.value.len() as u64
}

/// What a transaction may add to the stored size: its dearer path, nested puts included. 0
/// means that it frees space or leaves it, and may run when there is none.
pub fn quota_cost_txn(request: &TxnRequest) -> u64 {
    let cost = |ops: &[RequestOp]| -> u64 {
        ops.iter()
            .map(|op| match &op.request {
                Some(Request::RequestPut(request)) => quota_cost_put(request),
                Some(Request::RequestTxn(request)) => quota_cost_txn(request),
                _ => 0,
            })
            .sum()
    };
    cost(&request.success).max(cost(&request.failure))
}
