//! The Election service.

use proto::etcdserverpb::TxnResponse;
use proto::v3electionpb::election_server::Election;
use proto::v3electionpb::{
    CampaignRequest, CampaignResponse, LeaderKey, LeaderRequest, LeaderResponse, ProclaimRequest,
    ProclaimResponse, ResignRequest, ResignResponse,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::caller::{self, Caller};
use super::place::{Wish, in_line, proclamation, resignation};
use super::{observe, outwards};
use crate::api::Service;

const EXPIRED: &str = "election: session is expired";
/// Leaders seen and not yet sent.
const LEADERS_WAITING: usize = 16;

fn no_leader_key() -> Status {
    Status::unknown("\"leader\" field must be provided")
}

/// A proclamation counts only from the one who leads.
fn proclaimed(outcome: TxnResponse) -> Result<TxnResponse, Status> {
    if outcome.succeeded { Ok(outcome) } else { Err(Status::unknown("election: not leader")) }
}

#[tonic::async_trait]
impl Election for Service {
    async fn campaign(
        &self,
        request: Request<CampaignRequest>,
    ) -> Result<Response<CampaignResponse>, Status> {
        self.refuse_learner()?;
        let (caller, patience, request) = Caller::of(self, request);
        let CampaignRequest { name, lease, value } = request;
        let wish = Wish { name: name.clone(), lease, value: value.clone(), expired: EXPIRED };
        let teller = caller.clone();
        let response = in_line(caller, patience, wish, |place| async move {
            if place.found.as_ref().is_some_and(|found| *found != value) {
                let new = proclamation(&place.key, place.revision, place.lease, value);
                proclaimed(teller.txn(new).await?)?;
            }
            place.first().await?;
            let (key, rev, lease) = (place.key, place.revision, place.lease);
            let leader = Some(LeaderKey { name, key, rev, lease });
            Ok(CampaignResponse { header: place.header, leader })
        });
        Ok(Response::new(response.await?))
    }

    async fn proclaim(
        &self,
        request: Request<ProclaimRequest>,
    ) -> Result<Response<ProclaimResponse>, Status> {
        self.refuse_learner()?;
        let (caller, _, ProclaimRequest { leader, value }) = Caller::of(self, request);
        let LeaderKey { key, rev, lease, .. } = leader.ok_or_else(no_leader_key)?;
        let outcome = caller.txn(proclamation(&key, rev, lease, value)).await.map_err(outwards)?;
        Ok(Response::new(ProclaimResponse { header: proclaimed(outcome)?.header }))
    }

    async fn leader(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<LeaderResponse>, Status> {
        self.refuse_learner()?;
        let (caller, _, LeaderRequest { name }) = Caller::of(self, request);
        let mut seen = caller.range(caller::first_of(&name)).await.map_err(outwards)?;
        match seen.kvs.pop() {
            Some(kv) => Ok(Response::new(LeaderResponse { header: seen.header, kv: Some(kv) })),
            None => Err(Status::unknown("election: no leader")),
        }
    }

    type ObserveStream = ReceiverStream<Result<LeaderResponse, Status>>;

    async fn observe(
        &self,
        request: Request<LeaderRequest>,
    ) -> Result<Response<Self::ObserveStream>, Status> {
        self.refuse_learner()?;
        let (caller, _, LeaderRequest { name }) = Caller::of(self, request);
        let (leaders, stream) = mpsc::channel(LEADERS_WAITING);
        tokio::spawn(async move {
            tokio::select! {
                () = leaders.closed() => {}
                error = observe::tell_leaders(&caller, &name, &leaders) => {
                    let _ = leaders.send(Err(outwards(error))).await;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn resign(
        &self,
        request: Request<ResignRequest>,
    ) -> Result<Response<ResignResponse>, Status> {
        self.refuse_learner()?;
        let (caller, _, ResignRequest { leader }) = Caller::of(self, request);
        let LeaderKey { key, rev, .. } = leader.ok_or_else(no_leader_key)?;
        let outcome = caller.txn(resignation(&key, rev)).await.map_err(outwards)?;
        Ok(Response::new(ResignResponse { header: outcome.header }))
    }
}
