//! The Lease service.
//!
//! Grants and revocations go through the log. Time is kept by the leader alone: renewing and
//! asking for the time left are answered from its clock, and forwarded there by the others.

use std::time::Duration;

use proto::command::{LeaseCheckpoint, LeaseRevoke, command::Kind, lease_checkpoint::Left};
use proto::etcdserverpb::lease_server::Lease;
use proto::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use proto::peer;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::status::{self, to_status};
use super::{Service, judge, unexpected};
use crate::features::Feature;
use crate::lease::{LeaseError, MAXIMUM_TTL, minimum_ttl};
use crate::machine::Reply;
use crate::metrics::Metrics;
use crate::tasks;

/// What a grant counts against the quota (etcd's figure).
const GRANT_COST: u64 = 64;
/// Between tries while there is no leader to ask.
const RETRY: Duration = Duration::from_millis(50);
/// Renewals waiting to be written to one stream.
const RENEWALS_WAITING: usize = 256;
/// How long a leader applies what it committed before it answers from what it has.
const APPLY_WAIT: Duration = Duration::from_secs(1);

impl Service {
    /// Renews on this member's clock, if it leads. `Ok(None)`: there is no such lease.
    pub async fn renew_here(&self, id: i64) -> Result<Option<i64>, LeaseError> {
        self.take_checkpoint_back(id).await?;
        let renew = || {
            let renewed = self.member.lessor.lock().renew(id, self.member.now());
            match renewed {
                Ok(ttl) => {
                    Metrics::count(&self.member.metrics.leases_renewed);
                    Ok(Some(ttl))
                }
                Err(LeaseError::NotFound) => Ok(None),
                Err(error) => Err(error),
            }
        };
        if self.member.config.upkeep.features.enabled(Feature::FastLeaseKeepAlive)
            && let Some(ttl) = renew()?
        {
            return Ok(Some(ttl));
        }
        self.catch_up().await;
        renew()
    }

    /// Another member may have acknowledged what this leader committed but did not yet apply.
    async fn catch_up(&self) {
        let commit = self.handle.progress().commit.load(std::sync::atomic::Ordering::Relaxed);
        let _ = tokio::time::timeout(APPLY_WAIT, self.handle.wait_applied(commit)).await;
    }

    /// A renewal must not be undone by what the log remembers of the time before it.
    async fn take_checkpoint_back(&self, id: i64) -> Result<(), LeaseError> {
        let Some(generation) = self.member.lessor.lock().noted(id) else { return Ok(()) };
        let term = self.handle.leadership().term;
        let left = vec![Left { id, seconds: 0 }];
        let command = tasks::encode(Kind::LeaseCheckpoint(LeaseCheckpoint { left }));
        match self.handle.propose_in_term(command, term).await {
            Ok(_) => {
                self.member.lessor.lock().taken_back(id, generation);
                Ok(())
            }
            // Whoever leads now is asked again.
            Err(_) => Err(LeaseError::NotLeader),
        }
    }

    /// Seconds left and seconds granted, on this member's clock, if it leads.
    pub async fn time_left_here(&self, id: i64) -> Result<Option<(i64, i64)>, LeaseError> {
        self.catch_up().await;
        let Some(granted) = self.member.state.read().leases.ttl(id) else { return Ok(None) };
        let lessor = self.member.lessor.lock();
        if !lessor.leading() {
            return Err(LeaseError::NotLeader);
        }
        Ok(lessor.remaining(id, self.member.now()).map(|left| (left, granted)))
    }

    /// Asks whoever leads, until somebody does or time is up.
    async fn ask_leader<R, H, F>(
        &self,
        here: impl Fn() -> H,
        there: impl Fn(u64) -> F,
    ) -> Result<R, Status>
    where
        H: Future<Output = Result<R, LeaseError>>,
        F: Future<Output = Result<R, Status>>,
    {
        let attempt = async {
            loop {
                let leadership = self.handle.leadership();
                if leadership.is_leader {
                    if let Ok(answer) = here().await {
                        return answer;
                    }
                } else if leadership.leader != 0
                    && let Ok(answer) = there(leadership.leader).await
                {
                    return answer;
                }
                tokio::time::sleep(RETRY).await;
            }
        };
        tokio::time::timeout(self.handle.timeout(), attempt)
            .await
            .map_err(|_| to_status(crate::consensus::handle::ConsensusError::Timeout))
    }

    async fn renew(&self, id: i64) -> Result<i64, Status> {
        let answer = self
            .ask_leader(
                || self.renew_here(id),
                |leader| async move {
                    let mut client = self.peer(leader).await?;
                    let request = peer::LeaseRenewRequest { id };
                    let ttl = client.lease_renew(request).await?.into_inner().ttl;
                    Ok((ttl > 0).then_some(ttl))
                },
            )
            .await?;
        Ok(answer.unwrap_or(0))
    }

    async fn time_left(&self, id: i64) -> Result<Option<(i64, i64)>, Status> {
        self.ask_leader(
            || self.time_left_here(id),
            |leader| async move {
                let mut client = self.peer(leader).await?;
                let request = peer::LeaseTimeToLiveRequest { id };
                let answer = client.lease_time_to_live(request).await?.into_inner();
                Ok((answer.ttl >= 0).then_some((answer.ttl, answer.granted_ttl)))
            },
        )
        .await
    }
}

#[tonic::async_trait]
impl Lease for Service {
    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        self.refuse_learner()?;
        let caller = self.caller(&request).await?;
        let mut request = request.into_inner();
        if request.ttl > MAXIMUM_TTL {
            return Err(to_status(LeaseError::TtlTooLarge));
        }
        self.make_room(GRANT_COST).await?;
        // Decided before the log: applying must not draw random numbers or know our flags.
        while request.id == 0 {
            request.id = rand::random::<i64>() & i64::MAX;
        }
        request.ttl = request.ttl.max(minimum_ttl(self.member.config.timing.election));
        match self.propose_for(caller, Kind::LeaseGrant(request)).await? {
            (Reply::LeaseGrant(mut response), revision) => {
                response.header = Some(self.header_at(revision));
                Ok(Response::new(response))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        self.refuse_learner()?;
        let caller = self.caller(&request).await?;
        let id = request.into_inner().id;
        judge(&self.member.state.read(), &caller, |walk| walk.lease_revoke(id))?;
        let command = Kind::LeaseRevoke(LeaseRevoke { ids: vec![id] });
        let (_, revision) = self.propose_for(caller, command).await?;
        Ok(Response::new(LeaseRevokeResponse { header: Some(self.header_at(revision)) }))
    }

    type LeaseKeepAliveStream = ReceiverStream<Result<LeaseKeepAliveResponse, Status>>;

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        self.refuse_learner()?;
        let mut requests = request.into_inner();
        let (replies, stream) = mpsc::channel(RENEWALS_WAITING);
        let service = self.clone();
        tokio::spawn(async move {
            while let Ok(Some(request)) = requests.message().await {
                // The header is of the moment before the renewal, as in etcd.
                let header = Some(service.header());
                let reply = service.renew(request.id).await.map(|ttl| LeaseKeepAliveResponse {
                    header,
                    id: request.id,
                    ttl,
                });
                let failed = reply.is_err();
                if replies.send(reply).await.is_err() || failed {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        self.refuse_learner()?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        self.member.state.read().auth.is_authenticated(&caller).map_err(to_status)?;
        if request.keys {
            // The keys are this member's, which may lag behind the one that took the last put.
            self.linearize().await?;
        }
        let left = self.time_left(request.id).await?;
        let (ttl, granted_ttl) = left.unwrap_or((-1, 0));
        let mut response = LeaseTimeToLiveResponse {
            header: Some(self.header()),
            id: request.id,
            ttl,
            granted_ttl,
            keys: Vec::new(),
        };
        if request.keys && left.is_some() {
            let state = self.member.state.read();
            judge(&state, &caller, |walk| walk.lease_keys(request.id))?;
            let keys = state.leases.keys(request.id);
            response.keys =
                keys.into_iter().flatten().map(|key| bytes::Bytes::copy_from_slice(key)).collect();
        }
        Ok(Response::new(response))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        if self.is_learner() {
            return Err(status::not_for_learner());
        }
        let caller = self.caller(&request).await?;
        judge(&self.member.state.read(), &caller, |walk| walk.all_leases())?;
        let ordered = {
            let lessor = self.member.lessor.lock();
            lessor.leading().then(|| lessor.by_expiry())
        };
        let ids = ordered.unwrap_or_else(|| {
            self.member.state.read().leases.export().map(|(id, _)| id).collect()
        });
        let leases = ids.into_iter().map(|id| LeaseStatus { id }).collect();
        Ok(Response::new(LeaseLeasesResponse { header: Some(self.header()), leases }))
    }
}
