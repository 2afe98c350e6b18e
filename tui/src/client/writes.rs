//! Writes: one transaction each, sent once. A write without an answer is not repeated,
//! because nobody knows whether it happened.

use super::failure::within;
use super::pool::Pool;
use super::reads::{kv, meta};
use crate::effect::Write;
use crate::msg::{Failure, FailureKind, Reply};
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, MoveLeaderRequest, PutRequest, RangeRequest, RequestOp,
    TxnRequest, TxnResponse,
};
use std::time::Duration;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// A transfer waits for the target to catch up.
const MOVE_WITHIN: Duration = Duration::from_secs(8);

/// The transaction of a compare-and-swap: do it if the revision is the expected one, else
/// read what is there.
fn transaction(write: Write) -> TxnRequest {
    let (key, expect, request) = match write {
        Write::Put { key, value, expect } => {
            let put = PutRequest {
                key: key.clone().into(),
                value: value.into(),
                ignore_lease: expect != 0,
                ..PutRequest::default()
            };
            (key, expect, Request::RequestPut(put))
        }
        Write::Delete { key, expect } => {
            let delete =
                DeleteRangeRequest { key: key.clone().into(), ..DeleteRangeRequest::default() };
            (key, expect, Request::RequestDeleteRange(delete))
        }
    };
    let compare = Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key: key.clone().into(),
        target_union: Some(TargetUnion::ModRevision(expect)),
        ..Compare::default()
    };
    let read = RangeRequest { key: key.into(), ..RangeRequest::default() };
    TxnRequest {
        compare: vec![compare],
        success: vec![RequestOp { request: Some(request) }],
        failure: vec![RequestOp { request: Some(Request::RequestRange(read)) }],
    }
}

fn outcome(answer: TxnResponse) -> Reply {
    if answer.succeeded {
        return Reply::Written { revision: answer.header.map_or(0, |header| header.revision) };
    }
    let current = answer.responses.into_iter().find_map(|op| match op.response {
        Some(Response::ResponseRange(range)) => range.kvs.into_iter().next(),
        _ => None,
    });
    Reply::Conflict { current: current.map(|kv| (meta(&kv), kv.value.to_vec())) }
}

pub async fn write(pool: &Pool, write: Write) -> Result<Reply, Failure> {
    let Some((_, channel)) = pool.best().into_iter().next() else {
        return Err(Failure::new(FailureKind::Address, "no endpoint can be asked"));
    };
    let answer = within(ANSWER_WITHIN, kv(channel).txn(transaction(write))).await?;
    Ok(outcome(answer))
}

pub async fn move_leader(pool: &Pool, endpoint: &str, target: u64) -> Result<Reply, Failure> {
    let mut client = MaintenanceClient::new(pool.channel(endpoint)?);
    let request = MoveLeaderRequest { target_id: target };
    within(MOVE_WITHIN, client.move_leader(request)).await?;
    Ok(Reply::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_is_conditional_and_an_edit_keeps_the_lease() {
        let put = |expect| Write::Put { key: b"k".to_vec(), value: b"v".to_vec(), expect };
        for (write, keeps_lease) in [(put(0), false), (put(7), true)] {
            let transaction = transaction(write);
            assert_eq!(transaction.compare.len(), 1);
            let Some(Request::RequestPut(put)) = &transaction.success[0].request else {
                panic!("a put");
            };
            assert_eq!(put.ignore_lease, keeps_lease);
        }
        let delete = transaction(Write::Delete { key: b"k".to_vec(), expect: 9 });
        let target = delete.compare[0].target_union.clone();
        assert_eq!(target, Some(TargetUnion::ModRevision(9)));
    }
}
