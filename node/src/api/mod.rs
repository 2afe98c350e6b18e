//! The client edge: gRPC services and HTTP paths on one port.
//!
//! Each service decodes, checks the request's form, asks consensus or the state, and fills
//! the header. Nothing is decided here that must be the same on all members: that is
//! `machine`'s. etcd's error texts for the wire are in [`status`] and in the error types
//! themselves; no other place knows them.

mod access;
pub mod auth;
pub mod authority;
pub mod checks;
pub mod client_certificate;
pub mod cluster;
mod compare;
pub mod concurrency;
mod counted_io;
pub mod credentials;
mod deadline;
mod debug;
mod downgrade;
pub mod gate;
mod gateway;
pub mod hash;
pub mod health;
pub mod http;
pub mod kv;
pub mod lease;
pub mod listen;
pub mod maintenance;
mod message_count;
mod metrics_page;
pub mod peer;
pub mod profiles;
pub mod route;
pub mod rpc_counts;
mod snapshot;
pub mod spans;
pub mod status;
pub mod v2;
pub mod watch;

use std::sync::Arc;

use prost::Message as _;
use proto::command::{Command, command::Kind};
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType, ResponseHeader};
use tokio::sync::Semaphore;
use tonic::Status;

use crate::auth::{AuthError, Caller, Walk};
use crate::consensus::handle::{Handle, Outcome};
use crate::features::Feature;
use crate::machine::{ApplyError, Reply, State, rights};
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
    /// Permits for calls of the gateway.
    gateway_calls: Arc<Semaphore>,
}

impl Service {
    /// Services of a running member.
    pub fn new(member: Arc<Member>, handle: Handle) -> Self {
        let gateway_calls = Arc::new(gateway::permits(member.config.http.streams_max));
        Self { member, handle, peers: Arc::default(), gateway_calls }
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
    pub async fn propose_for(&self, caller: Caller, kind: Kind) -> Result<(Reply, i64), Status> {
        let (reply, revision) = self.propose_outcome(caller, kind).await?;
        Ok((reply.map_err(to_status)?, revision))
    }

    /// Proposes what this member wants for itself.
    pub async fn propose_by_member(&self, kind: Kind) -> Result<(Reply, i64), Status> {
        let (reply, revision) = self.submit(&rights::by_member(kind)).await?;
        Ok((reply.map_err(to_status)?, revision))
    }

    /// Like [`Service::propose_for`], with the refusal as the machine gave it.
    async fn propose_outcome(
        &self,
        caller: Caller,
        kind: Kind,
    ) -> Result<(Result<Reply, ApplyError>, i64), Status> {
        self.submit(&rights::on_behalf(caller, kind)).await
    }

    async fn submit(&self, command: &Command) -> Result<(Result<Reply, ApplyError>, i64), Status> {
        let first = command.kind.as_ref().is_some_and(|kind| self.goes_first(kind));
        let data = command.encode_to_vec();
        if data.len() > self.member.config.limits.max_request_bytes {
            return Err(status::request_too_large());
        }
        let outcome = if first {
            self.handle.propose_first(data.into()).await
        } else {
            self.handle.propose(data.into()).await
        };
        match outcome {
            Ok(Outcome { reply, revision }) => Ok((reply, revision)),
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
        self.handle.linearize().await.map_err(|error| {
            Metrics::count(&self.member.metrics.reads_failed);
            to_status(error)
        })
    }

    /// Waits until a read of this member's own state is not older than what it acknowledged
    /// before it was started. Where no leader is found in time it is as old as it is.
    pub async fn wait_caught_up(&self) {
        if *self.member.caught_up.borrow() {
            return;
        }
        let mut caught_up = self.member.caught_up.subscribe();
        // The sender is the member's: it does not go away.
        let _ = caught_up.wait_for(|done| *done).await;
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
            tokio::spawn(async move { service.propose_by_member(Kind::Alarm(alarm)).await });
        }
        Err(status::no_space())
    }
}

/// Judges a request by the state as it is here, before it costs a consensus round.
pub fn judge(
    state: &State,
    caller: &Caller,
    rule: impl FnOnce(Walk<'_>) -> Result<(), AuthError>,
) -> Result<(), Status> {
    rule(Walk { auth: &state.auth, leases: &state.leases, caller }).map_err(to_status)
}

/// Tells `call` to stop: the machine answered a request with another request's reply.
pub fn unexpected(reply: &Reply) -> Status {
    Status::internal(format!("unexpected reply {reply:?}"))
}
