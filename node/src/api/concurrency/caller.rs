//! The client on whose behalf requests are made: its credentials on all of them.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    DeleteRangeRequest, DeleteRangeResponse, LeaseGrantRequest, LeaseKeepAliveRequest,
    LeaseRevokeRequest, RangeRequest, RangeResponse, TxnRequest, TxnResponse, WatchCreateRequest,
    WatchRequest, WatchResponse,
};
use proto::mvccpb::{Event, event::EventType};
use tokio_stream::StreamExt as _;
use tonic::metadata::MetadataMap;
use tonic::{Extensions, Request, Status, Streaming};

use crate::api::route::Loopback;
use crate::api::{Service, deadline};

/// A client whose request is being carried out.
#[derive(Clone)]
pub struct Caller {
    loopback: Loopback,
    metadata: MetadataMap,
    extensions: Extensions,
}

/// The client's patience, which is for its own request and not for those made for it.
pub type Patience = Option<Duration>;

impl Caller {
    /// Takes a request apart: who asks, for how long, and what.
    pub fn of<T>(service: &Service, request: Request<T>) -> (Self, Patience, T) {
        let (metadata, extensions, message) = request.into_parts();
        let patience =
            metadata.get(deadline::HEADER).and_then(|value| deadline::parse(value.to_str().ok()?));
        let caller = Self { loopback: Loopback::within(service.clone()), metadata, extensions };
        (caller, patience, message)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        Request::from_parts(self.metadata.clone(), self.extensions.clone(), message)
    }

    fn kv(&self) -> KvClient<Loopback> {
        // A response is bounded where it is made.
        KvClient::new(self.loopback.clone()).max_decoding_message_size(usize::MAX)
    }

    /// A transaction.
    pub async fn txn(&self, txn: TxnRequest) -> Result<TxnResponse, Status> {
        Ok(self.kv().txn(self.request(txn)).await?.into_inner())
    }

    /// Deletes one key.
    pub async fn delete(&self, key: Bytes) -> Result<DeleteRangeResponse, Status> {
        let request = DeleteRangeRequest { key, ..Default::default() };
        Ok(self.kv().delete_range(self.request(request)).await?.into_inner())
    }

    /// A linearizable read.
    pub async fn range(&self, range: RangeRequest) -> Result<RangeResponse, Status> {
        Ok(self.kv().range(self.request(range)).await?.into_inner())
    }

    /// Grants a lease of the server's choice.
    pub async fn grant(&self, ttl: i64) -> Result<i64, Status> {
        let mut client = LeaseClient::new(self.loopback.clone());
        let request = self.request(LeaseGrantRequest { ttl, id: 0 });
        Ok(client.lease_grant(request).await?.into_inner().id)
    }

    /// Ends a lease and the keys on it.
    pub async fn revoke(&self, id: i64) -> Result<(), Status> {
        let mut client = LeaseClient::new(self.loopback.clone());
        client.lease_revoke(self.request(LeaseRevokeRequest { id })).await.map(drop)
    }

    /// Renews a lease once; false if there is no such lease any more.
    pub async fn renew(&self, id: i64) -> Result<bool, Status> {
        let mut client = LeaseClient::new(self.loopback.clone());
        let requests = tokio_stream::once(LeaseKeepAliveRequest { id });
        let mut answers = client.lease_keep_alive(self.request(requests)).await?.into_inner();
        Ok(answers.message().await?.is_some_and(|answer| answer.ttl > 0))
    }

    /// Watches a key, or the keys up to `range_end`, from `revision` on.
    pub async fn watch(
        &self,
        key: Bytes,
        range_end: Bytes,
        revision: i64,
    ) -> Result<Events, Status> {
        let create =
            WatchCreateRequest { key, range_end, start_revision: revision, ..Default::default() };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // Its end would be the end of the stream in a later etcd; it stays open.
        let requests = tokio_stream::once(create).chain(tokio_stream::pending());
        let mut client =
            WatchClient::new(self.loopback.clone()).max_decoding_message_size(usize::MAX);
        let responses = client.watch(self.request(requests)).await?.into_inner();
        Ok(Events { responses })
    }
}

/// What a watch sees.
pub struct Events {
    responses: Streaming<WatchResponse>,
}

/// The next that happened.
pub enum Seen {
    /// One response with its events, at least one.
    Events(WatchResponse),
    /// History was compacted before it was seen; what holds now has to be read again.
    Compacted,
}

impl Events {
    /// Waits for something to happen.
    pub async fn next(&mut self) -> Result<Seen, Status> {
        loop {
            let Some(response) = self.responses.message().await? else {
                return Err(Status::unavailable("etcdserver: watch stream closed"));
            };
            if response.compact_revision > 0 {
                return Ok(Seen::Compacted);
            }
            if response.canceled {
                return Err(Status::unknown(response.cancel_reason));
            }
            if !response.events.is_empty() {
                return Ok(Seen::Events(response));
            }
        }
    }
}

/// Whether a key went.
pub fn is_delete(event: &Event) -> bool {
    event.r#type() == EventType::Delete
}

/// All keys of a line: those that begin with `<name>/`.
pub fn line(name: &[u8]) -> (Bytes, Bytes) {
    let prefix = [name, b"/"].concat();
    // '0' follows '/'.
    let end = [name, b"0"].concat();
    (prefix.into(), end.into())
}

/// The first in line.
pub fn first_of(name: &[u8]) -> RangeRequest {
    let (key, range_end) = line(name);
    RangeRequest {
        key,
        range_end,
        limit: 1,
        sort_order: SortOrder::Ascend as i32,
        sort_target: SortTarget::Create as i32,
        ..Default::default()
    }
}

/// The last in line of those created before `revision`.
pub fn last_before(name: &[u8], revision: i64) -> RangeRequest {
    RangeRequest {
        sort_order: SortOrder::Descend as i32,
        max_create_revision: revision - 1,
        ..first_of(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_begins_with_its_name_and_a_slash() {
        let (from, to) = line(b"m");
        let within = |key: &[u8]| from[..] <= *key && *key < to[..];
        assert!(within(b"m/") && within(b"m/7") && within(b"m/\xff\xff"));
        assert!(!within(b"m") && !within(b"m.") && !within(b"m0") && !within(b"mm/7"));
        let (from, to) = line(b"");
        assert_eq!((&from[..], &to[..]), (&b"/"[..], &b"0"[..]));
    }
}
