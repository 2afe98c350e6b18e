//! `--namespace`: a part of the key space that looks like all of it.
//!
//! Keys get the prefix on their way to a member and lose it on the way back, wherever a request or
//! an answer has one; the end of an interval that is "everything from here on" becomes the end of
//! the prefix. Names of locks and elections are keys, too. Users, roles and what belongs to the
//! whole cluster (compaction, snapshots, leases as such) are the cluster's and stay as they are.
//!
//! The invariant: no key outside the prefix is read, written or told, and what a client sees is
//! what it would see in a cluster that holds nothing else.
//!
//! Pure. Messages that hold no key are not decoded.

use bytes::Bytes;
use prost::Message;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request as Operation;
use proto::etcdserverpb::response_op::Response as Outcome;
use proto::mvccpb::KeyValue;
use proto::v3electionpb as election;
use proto::v3lockpb as lock;
use tonic::Status;

use super::methods;
use crate::api::status::to_status;
use crate::kv::KvError;
use crate::raw::unreadable;

/// A prefix; none if it is empty.
#[derive(Clone, Debug)]
pub struct Namespace {
    prefix: Bytes,
}

impl Namespace {
    /// The keys that begin with `prefix`.
    pub fn new(prefix: &str) -> Self {
        Self { prefix: Bytes::copy_from_slice(prefix.as_bytes()) }
    }

    /// A client's message as a member is to get it.
    pub fn request(&self, path: &str, message: Bytes) -> Result<Bytes, Status> {
        if self.prefix.is_empty() {
            return Ok(message);
        }
        match path {
            methods::RANGE => rewrite(message, |request: &mut pb::RangeRequest| {
                self.span(&mut request.key, &mut request.range_end)
            }),
            methods::PUT => {
                rewrite(message, |request: &mut pb::PutRequest| self.key(&mut request.key))
            }
            methods::DELETE_RANGE => rewrite(message, |request: &mut pb::DeleteRangeRequest| {
                self.span(&mut request.key, &mut request.range_end)
            }),
            methods::TXN => rewrite(message, |request| self.txn(request)),
            methods::WATCH => rewrite(message, |request| self.watch(request)),
            methods::LOCK => rewrite(message, |request: &mut lock::LockRequest| {
                self.name(&mut request.name);
                Ok(())
            }),
            methods::UNLOCK => rewrite(message, |request: &mut lock::UnlockRequest| {
                self.name(&mut request.key);
                Ok(())
            }),
            methods::CAMPAIGN => rewrite(message, |request: &mut election::CampaignRequest| {
                self.name(&mut request.name);
                Ok(())
            }),
            methods::PROCLAIM => rewrite(message, |request: &mut election::ProclaimRequest| {
                self.leader(&mut request.leader);
                Ok(())
            }),
            methods::LEADER | methods::OBSERVE => {
                rewrite(message, |request: &mut election::LeaderRequest| {
                    self.name(&mut request.name);
                    Ok(())
                })
            }
            methods::RESIGN => rewrite(message, |request: &mut election::ResignRequest| {
                self.leader(&mut request.leader);
                Ok(())
            }),
            _ => Ok(message),
        }
    }

    /// A member's message as a client is to get it.
    pub fn response(&self, path: &str, message: Bytes) -> Result<Bytes, Status> {
        if self.prefix.is_empty() {
            return Ok(message);
        }
        match path {
            methods::RANGE => rewrite(message, |response: &mut pb::RangeResponse| {
                response.kvs.iter_mut().for_each(|kv| self.cut_pair(kv));
                Ok(())
            }),
            methods::PUT => rewrite(message, |response: &mut pb::PutResponse| {
                response.prev_kv.iter_mut().for_each(|kv| self.cut_pair(kv));
                Ok(())
            }),
            methods::DELETE_RANGE => rewrite(message, |response: &mut pb::DeleteRangeResponse| {
                response.prev_kvs.iter_mut().for_each(|kv| self.cut_pair(kv));
                Ok(())
            }),
            methods::TXN => rewrite(message, |response: &mut pb::TxnResponse| {
                self.cut_txn(response);
                Ok(())
            }),
            methods::WATCH => rewrite(message, |response: &mut pb::WatchResponse| {
                for event in &mut response.events {
                    event.kv.iter_mut().for_each(|kv| self.cut_pair(kv));
                    event.prev_kv.iter_mut().for_each(|kv| self.cut_pair(kv));
                }
                Ok(())
            }),
            methods::TIME_TO_LIVE => {
                rewrite(message, |response: &mut pb::LeaseTimeToLiveResponse| {
                    response.keys.retain(|key| key.starts_with(&self.prefix));
                    response.keys.iter_mut().for_each(|key| self.cut(key));
                    Ok(())
                })
            }
            methods::LOCK => rewrite(message, |response: &mut lock::LockResponse| {
                self.cut(&mut response.key);
                Ok(())
            }),
            methods::CAMPAIGN => rewrite(message, |response: &mut election::CampaignResponse| {
                if let Some(leader) = &mut response.leader {
                    self.cut(&mut leader.name);
                    self.cut(&mut leader.key);
                }
                Ok(())
            }),
            methods::LEADER | methods::OBSERVE => {
                rewrite(message, |response: &mut election::LeaderResponse| {
                    response.kv.iter_mut().for_each(|kv| self.cut_pair(kv));
                    Ok(())
                })
            }
            _ => Ok(message),
        }
    }

    /// A key by itself. An empty one would be the prefix, which is nobody's.
    fn key(&self, key: &mut Bytes) -> Result<(), Status> {
        if key.is_empty() {
            return Err(to_status(KvError::EmptyKey));
        }
        self.name(key);
        Ok(())
    }

    fn name(&self, name: &mut Bytes) {
        *name = [&self.prefix[..], &name[..]].concat().into();
    }

    /// An interval, or a key where there is no end.
    fn span(&self, key: &mut Bytes, end: &mut Bytes) -> Result<(), Status> {
        self.key(key)?;
        self.end(end);
        Ok(())
    }

    fn end(&self, end: &mut Bytes) {
        match &end[..] {
            b"" => {}
            b"\0" => *end = self.end_of_all(),
            _ => self.name(end),
        }
    }

    /// The first key behind all of the namespace; "\0", no end, if there is none.
    fn end_of_all(&self) -> Bytes {
        let mut end = self.prefix.to_vec();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end.into();
            }
        }
        Bytes::from_static(b"\0")
    }

    fn txn(&self, request: &mut pb::TxnRequest) -> Result<(), Status> {
        for compare in &mut request.compare {
            self.span(&mut compare.key, &mut compare.range_end)?;
        }
        for operation in request.success.iter_mut().chain(&mut request.failure) {
            match &mut operation.request {
                Some(Operation::RequestRange(range)) => {
                    self.span(&mut range.key, &mut range.range_end)?;
                }
                Some(Operation::RequestPut(put)) => self.key(&mut put.key)?,
                Some(Operation::RequestDeleteRange(delete)) => {
                    self.span(&mut delete.key, &mut delete.range_end)?;
                }
                Some(Operation::RequestTxn(txn)) => self.txn(txn)?,
                None => {}
            }
        }
        Ok(())
    }

    /// To a watch an empty key is the first there is.
    fn watch(&self, request: &mut pb::WatchRequest) -> Result<(), Status> {
        if let Some(pb::watch_request::RequestUnion::CreateRequest(create)) =
            &mut request.request_union
        {
            if create.key.is_empty() {
                create.key = Bytes::from_static(b"\0");
            }
            self.name(&mut create.key);
            self.end(&mut create.range_end);
        }
        Ok(())
    }

    fn leader(&self, leader: &mut Option<election::LeaderKey>) {
        if let Some(leader) = leader {
            self.name(&mut leader.name);
            self.name(&mut leader.key);
        }
    }

    fn cut(&self, key: &mut Bytes) {
        if key.starts_with(&self.prefix) {
            *key = key.slice(self.prefix.len()..);
        }
    }

    fn cut_pair(&self, kv: &mut KeyValue) {
        self.cut(&mut kv.key);
    }

    fn cut_txn(&self, response: &mut pb::TxnResponse) {
        for outcome in &mut response.responses {
            match &mut outcome.response {
                Some(Outcome::ResponseRange(range)) => {
                    range.kvs.iter_mut().for_each(|kv| self.cut_pair(kv));
                }
                Some(Outcome::ResponsePut(put)) => {
                    put.prev_kv.iter_mut().for_each(|kv| self.cut_pair(kv));
                }
                Some(Outcome::ResponseDeleteRange(delete)) => {
                    delete.prev_kvs.iter_mut().for_each(|kv| self.cut_pair(kv));
                }
                Some(Outcome::ResponseTxn(txn)) => self.cut_txn(txn),
                None => {}
            }
        }
    }
}

fn rewrite<M: Message + Default>(
    message: Bytes,
    change: impl FnOnce(&mut M) -> Result<(), Status>,
) -> Result<Bytes, Status> {
    let mut decoded = M::decode(message).map_err(unreadable)?;
    change(&mut decoded)?;
    Ok(decoded.encode_to_vec().into())
}

#[cfg(test)]
#[path = "namespace_tests.rs"]
mod tests;
