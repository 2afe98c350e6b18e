//! A place in line: taking it, waiting until it is the first, leaving it.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp,
    ResponseHeader, TxnRequest, TxnResponse,
};
use tokio::sync::oneshot;
use tonic::Status;

use super::caller::{self, Caller, Patience, Seen};
use super::outwards;
use crate::api::deadline;

/// Seconds that a lease of the server's has, as etcd's sessions.
const SESSION_TTL: i64 = 60;
/// It is renewed this often while its client waits.
const RENEWAL: Duration = Duration::from_secs(20);

/// What a client wants a place for.
pub struct Wish {
    pub name: Bytes,
    /// 0: the server grants one.
    pub lease: i64,
    pub value: Bytes,
    /// What to say when the lease ended while waiting.
    pub expired: &'static str,
}

/// A key in line.
#[derive(Clone)]
pub struct Place {
    caller: Caller,
    name: Bytes,
    pub key: Bytes,
    /// Its creation revision.
    pub revision: i64,
    pub lease: i64,
    expired: &'static str,
    /// Of the request that took the place.
    pub header: Option<ResponseHeader>,
    /// It was the first from the beginning.
    first: bool,
    /// The lease is the server's, granted for this request.
    own_lease: bool,
    /// The value of a key that was there before: made by another request with this lease.
    pub found: Option<Bytes>,
}

/// Takes a place for a client and calls `then` with it; see the module's invariant.
///
/// This runs to its end whatever becomes of the client's request: a change to the log that is
/// under way cannot be called back, only undone when its outcome is known.
pub async fn in_line<T, F>(
    caller: Caller,
    patience: Patience,
    wish: Wish,
    then: impl FnOnce(Place) -> F + Send + 'static,
) -> Result<T, Status>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Status>> + Send,
{
    let (mut answer, answered) = oneshot::channel();
    tokio::spawn(async move {
        let place = match Place::take(caller, wish).await {
            Ok(place) => place,
            Err(error) => return drop(answer.send(Err(outwards(error)))),
        };
        let outcome = tokio::select! {
            biased;
            () = answer.closed() => Err(Status::cancelled("context canceled")),
            () = deadline::over(patience) => Err(deadline::exceeded()),
            outcome = then(place.clone()) => outcome,
        };
        if outcome.is_err() {
            place.leave().await;
            let _ = answer.send(outcome.map_err(outwards));
        } else if answer.send(outcome).is_err() {
            place.leave().await;
        }
    });
    answered.await.unwrap_or_else(|_| Err(Status::unavailable("etcdserver: server stopped")))
}

impl Place {
    async fn take(caller: Caller, wish: Wish) -> Result<Self, Status> {
        let own_lease = wish.lease == 0;
        let lease = if own_lease { caller.grant(SESSION_TTL).await? } else { wish.lease };
        let key = own_key(&wish.name, lease);
        let entry = entry(&wish.name, &key, lease, wish.value);
        let taken = match caller.txn(entry).await {
            Ok(taken) => taken,
            Err(error) => {
                if own_lease {
                    // What the transaction may have written goes with it.
                    let _ = caller.revoke(lease).await;
                }
                return Err(error);
            }
        };
        let revision = taken.header.as_ref().map_or(0, |header| header.revision);
        let owner = range_at(&taken, 1).and_then(|range| range.kvs.first());
        let before = range_at(&taken, 0).and_then(|range| range.kvs.first());
        let revision = before.map_or(revision, |kv| kv.create_revision);
        Ok(Self {
            first: owner.is_none_or(|owner| owner.create_revision == revision),
            found: before.map(|kv| kv.value.clone()),
            header: taken.header,
            name: wish.name,
            expired: wish.expired,
            caller,
            key,
            revision,
            lease,
            own_lease,
        })
    }

    /// Waits until nobody is before this place. Gives the header of the request that saw it.
    pub async fn first(&self) -> Result<Option<ResponseHeader>, Status> {
        if self.first {
            return Ok(self.header);
        }
        tokio::select! {
            done = self.others_gone() => done?,
            error = self.keep_alive() => return Err(error),
        }
        // The lease may have ended meanwhile, and with it the claim (etcd issue 11408).
        let own = RangeRequest { key: self.key.clone(), ..Default::default() };
        let seen = self.caller.range(own).await?;
        let held = seen.kvs.first().is_some_and(|kv| kv.create_revision == self.revision);
        if held { Ok(seen.header) } else { Err(Status::unknown(self.expired)) }
    }

    async fn others_gone(&self) -> Result<(), Status> {
        loop {
            let before = caller::last_before(&self.name, self.revision);
            let seen = self.caller.range(before).await?;
            let Some(other) = seen.kvs.first() else { return Ok(()) };
            let next = seen.header.map_or(0, |header| header.revision) + 1;
            let mut events = self.caller.watch(other.key.clone(), Bytes::new(), next).await?;
            while let Seen::Events(response) = events.next().await? {
                if response.events.iter().any(caller::is_delete) {
                    break;
                }
            }
        }
    }

    /// Renews the server's own lease for as long as that goes.
    async fn keep_alive(&self) -> Status {
        if !self.own_lease {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(RENEWAL).await;
            match self.caller.renew(self.lease).await {
                Ok(true) => {}
                Ok(false) => return Status::unknown(self.expired),
                // There may be a leader again before the lease is over.
                Err(error) => tracing::debug!(%error, "a session's lease was not renewed"),
            }
        }
    }

    /// Gives the place up, if this request took it.
    async fn leave(&self) {
        let left = if self.own_lease {
            self.caller.revoke(self.lease).await
        } else if self.found.is_some() {
            Ok(())
        } else {
            self.caller.txn(resignation(&self.key, self.revision)).await.map(drop)
        };
        if let Err(error) = left {
            tracing::warn!(%error, "a place in line was not given up; it goes with its lease");
        }
    }
}

/// `<name>/<lease>`, the lease in hexadecimal as Go writes it.
fn own_key(name: &[u8], lease: i64) -> Bytes {
    let sign = if lease < 0 { "-" } else { "" };
    [name, format!("/{sign}{:x}", lease.unsigned_abs()).as_bytes()].concat().into()
}

/// Makes the key unless it is there, and tells who is first.
fn entry(name: &[u8], key: &Bytes, lease: i64, value: Bytes) -> TxnRequest {
    let put = PutRequest { key: key.clone(), value, lease, ..Default::default() };
    let get = RangeRequest { key: key.clone(), ..Default::default() };
    let first = operation(Request::RequestRange(caller::first_of(name)));
    TxnRequest {
        compare: vec![created_at(key, 0)],
        success: vec![operation(Request::RequestPut(put)), first.clone()],
        failure: vec![operation(Request::RequestRange(get)), first],
    }
}

/// Deletes the key if it is still the one created then.
pub fn resignation(key: &Bytes, revision: i64) -> TxnRequest {
    let delete = DeleteRangeRequest { key: key.clone(), ..Default::default() };
    TxnRequest {
        compare: vec![created_at(key, revision)],
        success: vec![operation(Request::RequestDeleteRange(delete))],
        failure: Vec::new(),
    }
}

/// Gives the key a new value if it is still the one created then.
pub fn proclamation(key: &Bytes, revision: i64, lease: i64, value: Bytes) -> TxnRequest {
    // Without a lease to name, the key keeps the one it has.
    let ignore_lease = lease == 0;
    let put = PutRequest { key: key.clone(), value, lease, ignore_lease, ..Default::default() };
    TxnRequest {
        compare: vec![created_at(key, revision)],
        success: vec![operation(Request::RequestPut(put))],
        failure: Vec::new(),
    }
}

fn created_at(key: &Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal as i32,
        target: CompareTarget::Create as i32,
        key: key.clone(),
        target_union: Some(TargetUnion::CreateRevision(revision)),
        ..Default::default()
    }
}

fn operation(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

/// The answer to the operation at `index`, if that was a range.
fn range_at(response: &TxnResponse, index: usize) -> Option<&RangeResponse> {
    match response.responses.get(index)?.response.as_ref()? {
        Response::ResponseRange(range) => Some(range),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_end_with_the_lease_in_hex() {
        assert_eq!(own_key(b"m", 0x23e4), "m/23e4");
        assert_eq!(own_key(b"", 1), "/1");
        assert_eq!(own_key(b"a/b", -5), "a/b/-5");
        assert_eq!(own_key(b"m", i64::MIN), "m/-8000000000000000");
    }
}
