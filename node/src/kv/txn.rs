//! Transactions: conditions, a chosen path, and its operations as one change of the store.
//!
//! Applying has two steps. *Planning* looks at the store before the first write: it decides
//! every condition on the way, and refuses the transaction for whatever one of its chosen
//! operations could fail for. A read at an explicit revision can fail on the disk, and does
//! not depend on the writes around it, so planning answers it there and then. *Running* a
//! plan therefore cannot fail, and nothing is ever half applied.
//!
//! # Invariant
//! All writes share one main revision. A read of the present sees the transaction's own
//! earlier writes; a condition, nested or not, sees none of them.

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeResponse, RequestOp, ResponseHeader, ResponseOp,
    TxnRequest, TxnResponse,
};

use super::range::{self, Query};
use super::write::{Applied, LeaseBook, Writer, check_base, check_put, revision_header};
use super::{History, Kv, KvError, check, compare, overlap};

/// Applies a transaction.
pub fn txn(
    kv: &mut Kv,
    leases: &mut dyn LeaseBook,
    history: &dyn History,
    request: &TxnRequest,
) -> Result<Applied<TxnResponse>, KvError> {
    overlap::check(request)?;
    let plan =
        Planner { kv, history, lease_exists: &|lease| leases.exists(lease) }.plan(request)?;
    let mut writer = Writer::new(kv, leases);
    let response = plan.run(&mut writer);
    Ok(Applied { response, changes: writer.changes })
}

/// Answers a transaction that only reads, without a log entry. `None` when it could write,
/// see [`check::is_read_only`].
pub fn read_txn(
    kv: &Kv,
    history: &dyn History,
    request: &TxnRequest,
) -> Result<Option<TxnResponse>, KvError> {
    if !check::is_read_only(request) {
        return Ok(None);
    }
    let plan = Planner { kv, history, lease_exists: &|_| false }.plan(request)?;
    let answer = |step| match step {
        Step::Answered(response) => Some(range_op(kv, response)),
        Step::Range(query) => Some(range_op(kv, range::present(kv, &query))),
        Step::Put(_) | Step::Delete(_) | Step::Txn(_) => None,
    };
    let responses = plan.steps.into_iter().filter_map(answer).collect();
    Ok(Some(TxnResponse { header: None, succeeded: plan.succeeded, responses }))
}

/// The chosen path of a transaction, found good.
struct Plan<'r> {
    succeeded: bool,
    steps: Vec<Step<'r>>,
}

/// One operation that can no longer fail.
enum Step<'r> {
    /// A read of a fixed revision, done.
    Answered(RangeResponse),
    /// A read of the present.
    Range(Query),
    Put(&'r PutRequest),
    Delete(&'r DeleteRangeRequest),
    Txn(Plan<'r>),
}

/// The store before the transaction.
struct Planner<'a> {
    kv: &'a Kv,
    history: &'a dyn History,
    lease_exists: &'a dyn Fn(i64) -> bool,
}

impl Planner<'_> {
    /// Recursion is bounded: [`overlap::check`] refused what nests too deep, and a
    /// transaction that only reads nests nothing.
    fn plan<'r>(&self, request: &'r TxnRequest) -> Result<Plan<'r>, KvError> {
        check::compare_keys(request)?;
        let succeeded = compare::all_hold(self.kv, &request.compare);
        let ops = if succeeded { &request.success } else { &request.failure };
        let steps = ops.iter().map(|op| self.step(op)).collect::<Result<_, _>>()?;
        Ok(Plan { succeeded, steps })
    }

    fn step<'r>(&self, op: &'r RequestOp) -> Result<Step<'r>, KvError> {
        match &op.request {
            Some(Request::RequestRange(request)) => {
                let query = Query::new(request)?;
                self.check_negative(request.revision)?;
                if query.revision().is_none() {
                    return Ok(Step::Range(query));
                }
                range::answer(self.kv, &query, self.history).map(Step::Answered)
            }
            Some(Request::RequestPut(request)) => {
                // A missing key goes before a missing lease here, as in etcd.
                check::put(request)?;
                check_base(self.kv, request)?;
                check_put(self.kv, self.lease_exists, request)?;
                Ok(Step::Put(request))
            }
            Some(Request::RequestDeleteRange(request)) => {
                check::delete_range(request)?;
                Ok(Step::Delete(request))
            }
            Some(Request::RequestTxn(request)) => self.plan(request).map(Step::Txn),
            None => Err(KvError::KeyNotFound),
        }
    }
}

impl Planner<'_> {
    /// A negative revision means the present, except within a transaction: there it is
    /// before all that a compaction left, and before -1 where there was none. So it is in
    /// etcd.
    fn check_negative(&self, revision: i64) -> Result<(), KvError> {
        match revision < -1 || revision < 0 && self.kv.compacted() > 0 {
            true => Err(KvError::Compacted),
            false => Ok(()),
        }
    }
}

impl Plan<'_> {
    fn run(self, writer: &mut Writer<'_>) -> TxnResponse {
        let responses = self.steps.into_iter().map(|step| step.run(writer)).collect();
        TxnResponse { header: None, succeeded: self.succeeded, responses }
    }
}

impl Step<'_> {
    fn run(self, writer: &mut Writer<'_>) -> ResponseOp {
        match self {
            Self::Answered(response) => range_op(writer.kv(), response),
            Self::Range(query) => range_op(writer.kv(), range::present(writer.kv(), &query)),
            Self::Put(request) => {
                let mut response = writer.put(request);
                response.header = revision_header(writer.kv().revision());
                op(Response::ResponsePut(response))
            }
            Self::Delete(request) => {
                let mut response = writer.delete_range(request);
                response.header = revision_header(writer.kv().revision());
                op(Response::ResponseDeleteRange(response))
            }
            Self::Txn(plan) => {
                let mut response = plan.run(writer);
                // Present, and empty: etcd fills in only the outermost.
                response.header = Some(ResponseHeader::default());
                op(Response::ResponseTxn(response))
            }
        }
    }
}

/// A read's reply within a transaction: with the revision the store has at that point.
fn range_op(kv: &Kv, mut response: RangeResponse) -> ResponseOp {
    response.header = revision_header(kv.revision());
    op(Response::ResponseRange(response))
}

fn op(response: Response) -> ResponseOp {
    ResponseOp { response: Some(response) }
}
