//! The Cluster service: who belongs to the cluster.

use std::time::{Duration, UNIX_EPOCH};

use prost::Message as _;
use proto::command::{MemberChange, command::Kind, member_change};
use proto::etcdserverpb::cluster_server::Cluster;
use proto::etcdserverpb::{
    MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse, ResponseHeader,
};
use proto::peer;
use tonic::{Request, Response, Status};

use super::Service;
use super::status::{no_leader, to_status};
use crate::cluster::{ClusterError, rules};
use crate::metrics::Metrics;
use crate::wall_clock;

/// A learner this far behind its leader, in percent of the log, is not ready to vote.
const READY_PERCENT: u64 = 90;
/// How long a member waits to see its own change in the list.
const PEER_TIMEOUT: Duration = Duration::from_secs(5);

impl Service {
    /// Cluster responses carry no revision.
    fn cluster_header(&self) -> Option<ResponseHeader> {
        Some(self.header_at(0))
    }

    fn member_list(&self) -> Vec<proto::etcdserverpb::Member> {
        self.member.state.read().members.to_proto()
    }

    fn judge(&self, change: &MemberChange) -> Result<(), Status> {
        let state = self.member.state.read();
        state.members.check(change).map_err(to_status)?;
        if self.member.config.strict_reconfig {
            rules::check(&state.members, change, |id| self.member.transport.connected_for(id))
                .map_err(to_status)?;
        }
        Ok(())
    }

    async fn change_members(&self, change: MemberChange) -> Result<(), Status> {
        self.judge(&change)?;
        let outcome =
            self.handle.change_members(change.encode_to_vec().into()).await.map_err(to_status)?;
        outcome.reply.map_err(to_status)?;
        Ok(())
    }

    /// Makes a voter of a learner that is close enough; only the leader can tell.
    pub async fn promote_here(&self, id: u64) -> Result<(), Status> {
        let change = MemberChange {
            kind: member_change::Kind::Promote as i32,
            member_id: id,
            ..MemberChange::default()
        };
        self.judge(&change)?;
        let progress = self.handle.inspect().await;
        let matched =
            |id: u64| progress.iter().find(|one| one.member == id).map_or(0, |one| one.matched);
        // Compared as etcd does: nine tenths of the leader's own index.
        if matched(id) * 100 < matched(self.member.id()) * READY_PERCENT {
            return Err(to_status(ClusterError::LearnerNotReady));
        }
        self.change_members(change).await?;
        Metrics::count(&self.member.metrics.promoted);
        Ok(())
    }

    async fn promote(&self, id: u64) -> Result<(), Status> {
        let leadership = self.handle.leadership();
        if leadership.is_leader {
            return self.promote_here(id).await;
        }
        if leadership.leader == 0 {
            return Err(no_leader());
        }
        let mut client = self.peer(leadership.leader).await?;
        let request = client.promote(peer::PromoteRequest { id });
        match tokio::time::timeout(PEER_TIMEOUT, request).await {
            Ok(answer) => answer.map(drop)?,
            Err(_) => return Err(no_leader()),
        }
        // Told by the leader; here it may be a moment later.
        let promoted = async {
            let mut applied = self.handle.watch_applied();
            loop {
                let learner = |id| {
                    let state = self.member.state.read();
                    state.members.get(id).is_some_and(|member| member.is_learner)
                };
                if !learner(id) || applied.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(PEER_TIMEOUT, promoted).await;
        Ok(())
    }
}

fn check_urls(urls: &[String]) -> Result<Vec<String>, Status> {
    let good = |url: &String| {
        let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        rest.is_some_and(|rest| {
            let (host, port) = rest.rsplit_once(':').unwrap_or((rest, ""));
            !host.is_empty() && !host.contains('/') && port.parse::<u16>().is_ok()
        })
    };
    if urls.is_empty() || !urls.iter().all(good) {
        return Err(to_status(ClusterError::BadUrls));
    }
    let mut urls = urls.to_vec();
    urls.sort();
    urls.dedup();
    Ok(urls)
}

#[tonic::async_trait]
impl Cluster for Service {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        self.refuse_learner()?;
        self.require_admin(&request).await?;
        let request = request.into_inner();
        let peer_urls = check_urls(&request.peer_ur_ls)?;
        let now = wall_clock::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let token = &self.member.config.bootstrap.token;
        let id = self.member.state.read().members.new_id(&peer_urls, token, now);
        let change = MemberChange {
            kind: member_change::Kind::Add as i32,
            member_id: id,
            peer_urls,
            is_learner: request.is_learner,
            max_learners: Some(self.member.config.upkeep.max_learners),
        };
        self.change_members(change).await?;
        let member = self.member.state.read().members.get(id).map(crate::cluster::Member::to_proto);
        Ok(Response::new(MemberAddResponse {
            header: self.cluster_header(),
            member,
            members: self.member_list(),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.refuse_learner()?;
        self.require_admin(&request).await?;
        let change = MemberChange {
            kind: member_change::Kind::Remove as i32,
            member_id: request.into_inner().id,
            ..MemberChange::default()
        };
        self.change_members(change).await?;
        Ok(Response::new(MemberRemoveResponse {
            header: self.cluster_header(),
            members: self.member_list(),
        }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.refuse_learner()?;
        let caller = self.require_admin(&request).await?;
        let request = request.into_inner();
        let mut change = MemberChange {
            kind: member_change::Kind::Update as i32,
            member_id: request.id,
            peer_urls: request.peer_ur_ls,
            ..MemberChange::default()
        };
        // An unknown member is the first thing to say, whatever the URLs are.
        self.judge(&change)?;
        change.peer_urls = check_urls(&change.peer_urls)?;
        self.propose_for(caller, Kind::MemberUpdate(change)).await?;
        Ok(Response::new(MemberUpdateResponse {
            header: self.cluster_header(),
            members: self.member_list(),
        }))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        if request.into_inner().linearizable {
            self.refuse_learner()?;
            self.linearize().await?;
        }
        Ok(Response::new(MemberListResponse {
            header: self.cluster_header(),
            members: Service::member_list(self),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.refuse_learner()?;
        self.require_admin(&request).await?;
        self.promote(request.into_inner().id).await?;
        Ok(Response::new(MemberPromoteResponse {
            header: self.cluster_header(),
            members: self.member_list(),
        }))
    }
}
