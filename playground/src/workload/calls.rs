//! One request to one member, and what its answer says.

use std::time::Duration;

use history::record::{
    Answer, Compare, KeyRange, Outcome, Pair, Put, Request, Response, Txn, TxnOp,
};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::mvccpb::KeyValue;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

/// Asks, once. An answer that takes longer than `patience` leaves the outcome unknown.
pub async fn call(channel: Channel, request: &Request, patience: Duration) -> Outcome {
    match tokio::time::timeout(patience, ask(channel, request)).await {
        Ok(Ok(response)) => Outcome::Ok(response),
        Ok(Err(status)) => outcome(&status),
        Err(_) => Outcome::Unknown(format!("no answer in {} ms", patience.as_millis())),
    }
}

/// What an error says about whether the request was carried out.
pub fn outcome(status: &Status) -> Outcome {
    let text = format!("{:?}: {}", status.code(), status.message());
    match status.code() {
        // The write that crosses the quota is applied and answered with this error.
        Code::ResourceExhausted if status.message().contains("database space exceeded") => {
            Outcome::Unknown(text)
        }
        // What the server says before it proposes anything, or when it applies it to no effect.
        Code::InvalidArgument
        | Code::NotFound
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::ResourceExhausted
        | Code::Unimplemented => Outcome::Refused(text),
        _ => Outcome::Unknown(text),
    }
}

async fn ask(channel: Channel, request: &Request) -> Result<Response, Status> {
    let mut kv = KvClient::new(channel.clone());
    let mut lease = LeaseClient::new(channel);
    let (header, answer) = match request {
        Request::Put(one) => (kv.put(put(one)).await?.into_inner().header, Answer::Done),
        Request::Delete { range } => {
            let answer = kv.delete_range(delete(range)).await?.into_inner();
            (answer.header, Answer::Deleted(answer.deleted))
        }
        Request::Get(get) => {
            let mut wire = range(&get.range);
            (wire.serializable, wire.revision) = (get.serializable, get.revision);
            let answer = kv.range(wire).await?.into_inner();
            (answer.header, Answer::Pairs(pairs(answer.kvs)))
        }
        Request::Txn(one) => {
            let answer = kv.txn(txn(one)).await?.into_inner();
            let gets = answer.responses.into_iter().filter_map(found).collect();
            (answer.header, Answer::Txn { succeeded: answer.succeeded, gets })
        }
        Request::Grant { lease: id, ttl_seconds } => {
            let wire = pb::LeaseGrantRequest { ttl: *ttl_seconds, id: *id };
            let answer = lease.lease_grant(wire).await?.into_inner();
            (answer.header, Answer::Ttl(answer.ttl))
        }
        Request::Revoke { lease: id } => {
            let wire = pb::LeaseRevokeRequest { id: *id };
            (lease.lease_revoke(wire).await?.into_inner().header, Answer::Done)
        }
        Request::KeepAlive { lease: id } => {
            let wire = tokio_stream::once(pb::LeaseKeepAliveRequest { id: *id });
            let mut answers = lease.lease_keep_alive(wire).await?.into_inner();
            let answer = answers.message().await?;
            let answer = answer.ok_or_else(|| Status::unavailable("the stream ended"))?;
            (answer.header, Answer::Ttl(answer.ttl))
        }
    };
    Ok(Response { revision: header.map_or(0, |header| header.revision), answer })
}

fn end(range: &KeyRange) -> Vec<u8> {
    range.end.clone().unwrap_or_default().into_bytes()
}

fn put(put: &Put) -> pb::PutRequest {
    pb::PutRequest {
        key: put.key.clone().into(),
        value: put.value.clone().into(),
        lease: put.lease,
        ..Default::default()
    }
}

fn delete(range: &KeyRange) -> pb::DeleteRangeRequest {
    pb::DeleteRangeRequest {
        key: range.key.clone().into(),
        range_end: end(range).into(),
        ..Default::default()
    }
}

/// A linearizable read of a range.
pub fn range(range: &KeyRange) -> pb::RangeRequest {
    pb::RangeRequest {
        key: range.key.clone().into(),
        range_end: end(range).into(),
        ..Default::default()
    }
}

fn txn(txn: &Txn) -> pb::TxnRequest {
    pb::TxnRequest {
        compare: txn.compares.iter().map(compare).collect(),
        success: txn.success.iter().map(operation).collect(),
        failure: txn.failure.iter().map(operation).collect(),
    }
}

fn compare(compare: &Compare) -> pb::Compare {
    use pb::compare::{CompareTarget, TargetUnion};
    let (key, target, union) = match compare {
        Compare::ValueIs { key, value } => {
            (key, CompareTarget::Value, TargetUnion::Value(value.clone().into()))
        }
        Compare::ModRevisionIs { key, revision } => {
            (key, CompareTarget::Mod, TargetUnion::ModRevision(*revision))
        }
        Compare::CreateRevisionIs { key, revision } => {
            (key, CompareTarget::Create, TargetUnion::CreateRevision(*revision))
        }
    };
    pb::Compare {
        key: key.clone().into(),
        target: target.into(),
        target_union: Some(union),
        ..Default::default()
    }
}

fn operation(operation: &TxnOp) -> pb::RequestOp {
    use pb::request_op::Request;
    let request = match operation {
        TxnOp::Put(one) => Request::RequestPut(put(one)),
        TxnOp::Delete { range } => Request::RequestDeleteRange(delete(range)),
        TxnOp::Get { range: one } => Request::RequestRange(range(one)),
    };
    pb::RequestOp { request: Some(request) }
}

fn found(response: pb::ResponseOp) -> Option<Vec<Pair>> {
    match response.response? {
        pb::response_op::Response::ResponseRange(answer) => Some(pairs(answer.kvs)),
        _ => None,
    }
}

fn pairs(kvs: Vec<KeyValue>) -> Vec<Pair> {
    kvs.into_iter().map(pair).collect()
}

/// Opens a watch from a revision on; the stream ends when the answer is dropped.
///
/// # Errors
/// If the member does not take it.
pub async fn watch(
    channel: Channel,
    range: &KeyRange,
    from: i64,
    previous: bool,
) -> Result<Streaming<pb::WatchResponse>, Status> {
    let create = pb::WatchCreateRequest {
        key: range.key.clone().into(),
        range_end: end(range).into(),
        start_revision: from,
        prev_kv: previous,
        ..Default::default()
    };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    let request = pb::WatchRequest { request_union: Some(union) };
    // The request stream stays open: its end would end the watch.
    let requests = tokio_stream::once(request).chain(tokio_stream::pending());
    Ok(WatchClient::new(channel).watch(requests).await?.into_inner())
}

/// A key as the history has it.
pub fn pair(kv: KeyValue) -> Pair {
    Pair {
        key: String::from_utf8_lossy(&kv.key).into_owned(),
        value: String::from_utf8_lossy(&kv.value).into_owned(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        lease: kv.lease,
    }
}
