//! The client edge: gRPC services and HTTP paths on one port.
//!
//! Each service decodes, checks the request's form, asks consensus or the state, and fills
//! the header. Nothing is decided here that must be the same on all members: that is
//! `machine`'s. etcd's error texts for the wire are in [`status`] and in the error types
//! themselves; no other place knows them.

mod access;
mod authority;
mod checks;
pub mod client_certificate;
pub mod cluster;
mod compare;
pub mod concurrency;
mod counted_io;
mod deadline;
mod debug;
mod downgrade;
mod gateway;
pub mod hash;
pub mod health;
pub mod http;
pub mod kv;
pub mod lease;
pub mod listen;
pub mod maintenance;
pub mod peer;
pub mod route;
pub mod rpc_counts;
mod snapshot;
pub mod status;
pub mod v2;
pub mod watch;

use std::sync::Arc;

use prost::Message as _;
use proto::command::{Command, command::Kind};
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType, ResponseHeader};
use tonic::Status;

use crate::consensus::handle::{Handle, Outcome};
use crate::features::Feature;
use crate::machine::Reply;
use crate::member::Member;
use crate::metrics::Metrics;
use status::to_status;

pub use client_certificate::{ClientCertificate, FromGateway};

/// What every service works with.
#[derive(Clone)]
pub struct Service {
    pub member: Arc<Member>,
    pub handle: Handle,
    peers: Arc<peer::PeerClients>,
}

impl Service {
    /// Services of a running member.
    pub fn new(member: Arc<Member>, handle: Handle) -> Self {
        Self { member, handle, peers: Arc::default() }
    }

    /// A response header at `revision`.
    pub fn header_at(&self, revision: i64) -> ResponseHeader {
        ResponseHeader {
            cluster_id: self.member.identity.cluster_id,
            member_id: self.member.id(),
            revision,
            raft_term: self.handle.leadership().term,
        }
    }

    /// A response header at the current revision.
    pub fn header(&self) -> ResponseHeader {
        self.header_at(self.member.state.read().kv.revision())
    }

    /// Proposes a client's command; gives the reply and the revision after it.
    pub async fn propose(&self, kind: Kind) -> Result<(Reply, i64), Status> {
        let first = self.goes_first(&kind);
        let data = Command { kind: Some(kind) }.encode_to_vec();
        if data.len() > self.member.config.limits.max_request_bytes {
            return Err(status::request_too_large());
        }
        let outcome = if first {
            self.handle.propose_first(data.into()).await
        } else {
            self.handle.propose(data.into()).await
        };
        match outcome {
            Ok(Outcome { reply, revision }) => Ok((reply.map_err(to_status)?, revision)),
            Err(error) => {
                Metrics::count(&self.member.metrics.proposals_failed);
                Err(to_status(error))
            }
        }
    }

    /// With the gate `PriorityRequest`: what frees space or mends the cluster.
    fn goes_first(&self, kind: &Kind) -> bool {
        self.member.config.upkeep.features.enabled(Feature::PriorityRequest)
            && matches!(
                kind,
                Kind::Compaction(_)
                    | Kind::DeleteRange(_)
                    | Kind::LeaseRevoke(_)
                    | Kind::Alarm(_)
                    | Kind::Downgrade(_)
            )
    }

    /// Waits until a read here is linearizable.
    pub async fn linearize(&self) -> Result<(), Status> {
        self.handle.linearize().await.map_err(to_status)
    }

    /// A learner serves only what cannot mislead.
    pub fn refuse_learner(&self) -> Result<(), Status> {
        if self.is_learner() { Err(status::not_for_learner()) } else { Ok(()) }
    }

    /// Whether this member is a learner.
    pub fn is_learner(&self) -> bool {
        let state = self.member.state.read();
        state.members.get(self.member.id()).is_none_or(|member| member.is_learner)
    }

    /// Refuses what would not fit, and raises the alarm.
    pub async fn make_room(&self, cost: u64) -> Result<(), Status> {
        if cost == 0 || self.member.has_room_for(cost) {
            return Ok(());
        }
        let raised = self
            .member
            .state
            .read()
            .alarms
            .list(AlarmType::Nospace)
            .iter()
            .any(|alarm| alarm.member_id == self.member.id());
        if !raised {
            let alarm = AlarmRequest {
                action: AlarmAction::Activate as i32,
                member_id: self.member.id(),
                alarm: AlarmType::Nospace as i32,
            };
            let service = self.clone();
            // Not awaited: the client is refused either way.
            tokio::spawn(async move { service.propose(Kind::Alarm(alarm)).await });
        }
        Err(status::no_space())
    }
}

/// Tells `call` to stop: the machine answered a request with another request's reply.
pub fn unexpected(reply: &Reply) -> Status {
    Status::internal(format!("unexpected reply {reply:?}"))
}
