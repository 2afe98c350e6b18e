//! Whether a caller may make a request: one walk over the whole request tree.
//!
//! The same code is run where a request comes in, so that it costs no consensus round, and
//! where it is applied, so that no change in between is missed. Rules that look at the state
//! (a lease's keys) look at the state of that moment.
//!
//! | request | right |
//! |---|---|
//! | range, compare | read |
//! | put | write; with `prev_kv` also read; with a lease write on all keys of the lease |
//! | delete range | write; with `prev_kv` also read |
//! | transaction | all of it, whichever way it goes |
//! | lease revoke | write on all keys of the lease |
//! | time to live with keys, list of leases | read on all keys of the lease, of all leases |

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest};

use super::{Access, Auth, AuthError, Caller, Span};
use crate::kv::KeyRange;
use crate::kv::check::MAX_TXN_DEPTH;
use crate::lease::Leases;

/// A caller before a state.
#[derive(Clone, Copy)]
pub struct Walk<'a> {
    pub auth: &'a Auth,
    pub leases: &'a Leases,
    pub caller: &'a Caller,
}

type Verdict = Result<(), AuthError>;

impl Walk<'_> {
    fn keys(&self, key: &bytes::Bytes, range_end: &bytes::Bytes, access: Access) -> Verdict {
        if !self.auth.enabled() {
            return Ok(());
        }
        let span = Span::of(&KeyRange::new(key, range_end));
        self.auth.may(self.caller, span.as_ref(), access)
    }

    fn lease(&self, id: i64, access: Access) -> Verdict {
        if !self.auth.enabled() || self.auth.is_admin(self.caller).is_ok() {
            return Ok(());
        }
        self.auth.is_authenticated(self.caller)?;
        for key in self.leases.keys(id).into_iter().flatten() {
            self.auth.may(self.caller, Span::key(key).as_ref(), access)?;
        }
        Ok(())
    }

    pub fn range(&self, request: &RangeRequest) -> Verdict {
        self.keys(&request.key, &request.range_end, Access::Read)
    }

    pub fn put(&self, request: &PutRequest) -> Verdict {
        let single = bytes::Bytes::new();
        self.keys(&request.key, &single, Access::Write)?;
        if request.lease != 0 {
            // Whoever could attach a key to a lease of others could not revoke it again.
            self.lease(request.lease, Access::Write)?;
        }
        if request.prev_kv {
            self.keys(&request.key, &single, Access::Read)?;
        }
        Ok(())
    }

    pub fn delete_range(&self, request: &DeleteRangeRequest) -> Verdict {
        self.keys(&request.key, &request.range_end, Access::Write)?;
        if request.prev_kv {
            self.keys(&request.key, &request.range_end, Access::Read)?;
        }
        Ok(())
    }

    pub fn txn(&self, request: &TxnRequest) -> Verdict {
        if !self.auth.enabled() {
            return Ok(());
        }
        // A transaction of nothing names no key, so somebody must have asked it.
        self.auth.is_authenticated(self.caller)?;
        self.nested(request, 1)
    }

    fn nested(&self, request: &TxnRequest, depth: usize) -> Verdict {
        if depth > MAX_TXN_DEPTH {
            return Err(AuthError::PermissionDenied);
        }
        for compare in &request.compare {
            self.keys(&compare.key, &compare.range_end, Access::Read)?;
        }
        let mut ops = request.success.iter().chain(&request.failure);
        ops.try_for_each(|op| self.op(op, depth))
    }

    fn op(&self, op: &RequestOp, depth: usize) -> Verdict {
        match &op.request {
            Some(Request::RequestRange(request)) => self.range(request),
            Some(Request::RequestPut(request)) => self.put(request),
            Some(Request::RequestDeleteRange(request)) => self.delete_range(request),
            Some(Request::RequestTxn(request)) => self.nested(request, depth + 1),
            None => Ok(()),
        }
    }

    /// A watch of these keys.
    pub fn watch(&self, span: Option<&Span>) -> Verdict {
        self.auth.may(self.caller, span, Access::Read)
    }

    /// Revoking deletes the lease's keys.
    pub fn lease_revoke(&self, id: i64) -> Verdict {
        self.lease(id, Access::Write)
    }

    pub fn lease_keys(&self, id: i64) -> Verdict {
        self.lease(id, Access::Read)
    }

    pub fn all_leases(&self) -> Verdict {
        if !self.auth.enabled() {
            return Ok(());
        }
        self.auth.is_authenticated(self.caller)?;
        self.leases.list().try_for_each(|id| self.lease_keys(id))
    }
}
