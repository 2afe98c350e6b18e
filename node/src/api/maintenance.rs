//! The Maintenance service.

use std::sync::atomic::Ordering;
use std::time::Instant;

use proto::command::command::Kind;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::maintenance_server::Maintenance;
use proto::etcdserverpb::{
    AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse,
    MoveLeaderRequest, MoveLeaderResponse, SnapshotRequest, StatusRequest, StatusResponse,
};
use tonic::{Request, Response, Status};

use super::snapshot;
use super::status::{self, to_status};
use super::{Service, unexpected};
use crate::machine::Reply;

impl Service {
    /// Format of the stored state, as etcd names it: that of the cluster version.
    pub fn storage_version(&self) -> String {
        self.member.state.read().cluster_version.clone()
    }

    /// What is wrong, in etcd's words.
    pub fn status_errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if self.handle.leadership().leader == 0 {
            errors.push("etcdserver: no leader".to_owned());
        }
        for alarm in self.member.state.read().alarms.list(AlarmType::None) {
            // The text of Go's printed protobuf message, with its trailing blank.
            errors.push(format!(
                "memberID:{} alarm:{} ",
                alarm.member_id,
                alarm.alarm().as_str_name()
            ));
        }
        errors
    }
}

#[tonic::async_trait]
impl Maintenance for Service {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        self.refuse_learner()?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        let (reply, revision) = if request.action() == AlarmAction::Get {
            // Through consensus like etcd's, so that it is not an old answer.
            self.linearize().await?;
            let state = self.member.state.read();
            state.auth.is_authenticated(&caller).map_err(to_status)?;
            let alarms = state.alarms.list(request.alarm());
            (Reply::Alarm(AlarmResponse { header: None, alarms }), state.kv.revision())
        } else {
            self.propose_for(caller, Kind::Alarm(request)).await?
        };
        match reply {
            Reply::Alarm(mut response) => {
                response.header = Some(self.header_at(revision));
                Ok(Response::new(response))
            }
            other => Err(unexpected(&other)),
        }
    }

    async fn status(
        &self,
        _request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        let leadership = self.handle.leadership();
        let progress = self.handle.progress();
        let member = &self.member;
        Ok(Response::new(StatusResponse {
            header: Some(self.header()),
            version: member.config.version.clone(),
            db_size: member.db_size().cast_signed(),
            leader: leadership.leader,
            raft_index: progress.commit.load(Ordering::Relaxed).max(self.handle.applied()),
            raft_term: leadership.term,
            raft_applied_index: self.handle.applied(),
            errors: self.status_errors(),
            db_size_in_use: member.db_size_in_use().cast_signed(),
            is_learner: self.is_learner(),
            storage_version: self.storage_version(),
            db_size_quota: member.config.limits.quota_for_show(),
            downgrade_info: Some(self.downgrade_info()),
        }))
    }

    async fn defragment(
        &self,
        _request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        let member = self.member.clone();
        let done = tokio::task::spawn_blocking(move || member.defragment());
        match done.await {
            Ok(Ok(())) => Ok(Response::new(DefragmentResponse { header: None })),
            Ok(Err(error)) => Err(Status::unknown(error.to_string())),
            Err(_) => Err(to_status(crate::consensus::handle::ConsensusError::Stopped)),
        }
    }

    async fn hash(&self, _request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let begin = Instant::now();
        let hashed = self.hash_here(0).await?;
        self.member.metrics.hash.observe(begin.elapsed());
        let header = Some(self.header_at(hashed.current_revision));
        Ok(Response::new(HashResponse { header, hash: hashed.hash }))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        let hashed = self.hash_here(request.into_inner().revision).await?;
        Ok(Response::new(HashKvResponse {
            header: Some(self.header_at(hashed.current_revision)),
            hash: hashed.hash,
            compact_revision: hashed.compact_revision,
            hash_revision: hashed.revision,
        }))
    }

    type SnapshotStream = snapshot::Stream;

    async fn snapshot(
        &self,
        _request: Request<SnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Ok(Response::new(snapshot::stream(self.member.clone(), self.storage_version())))
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        let target = request.into_inner().target_id;
        if !self.handle.leadership().is_leader {
            return Err(status::not_leader());
        }
        let voter = {
            let state = self.member.state.read();
            state.members.get(target).is_some_and(|member| !member.is_learner)
        };
        if !voter {
            return Err(status::bad_transferee());
        }
        if target != self.member.id() {
            self.handle.transfer(target).await.map_err(to_status)?;
        }
        Ok(Response::new(MoveLeaderResponse { header: None }))
    }

    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        self.refuse_learner()?;
        let caller = self.require_admin(&request).await?;
        Ok(Response::new(self.downgrade_call(caller, request.into_inner()).await?))
    }
}
