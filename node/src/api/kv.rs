//! The KV service.

use std::time::Instant;

use proto::command::command::Kind;
use proto::etcdserverpb::kv_server::Kv;
use proto::etcdserverpb::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use tonic::{Request, Response, Status};

use super::credentials::Credentials;
use super::status::to_status;
use super::{Service, judge, unexpected};
use crate::kv::{self, check};
use crate::machine::Reply;
use crate::metrics::Metrics;

impl Service {
    /// Reads the state as it is here. What needs old values may wait for a disk and is done
    /// on a thread of its own.
    async fn read_state<R: Send + 'static>(
        &self,
        old: bool,
        read: impl FnOnce(&Self) -> Result<R, Status> + Send + 'static,
    ) -> Result<R, Status> {
        if !old {
            return read(self);
        }
        let service = self.clone();
        let done = tokio::task::spawn_blocking(move || read(&service)).await;
        done.map_err(|_| to_status(crate::consensus::handle::ConsensusError::Stopped))?
    }

    fn corrupt(&self) -> Result<(), Status> {
        let state = self.member.state.read();
        if state.alarms.any(proto::etcdserverpb::AlarmType::Corrupt) {
            return Err(to_status(crate::machine::ApplyError::Corrupt));
        }
        Ok(())
    }

    async fn read_txn(
        &self,
        request: TxnRequest,
        credentials: &Credentials,
    ) -> Result<TxnResponse, Status> {
        match check::is_serializable(&request) {
            true => self.wait_caught_up().await,
            false => self.linearize().await?,
        }
        let caller = self.identify(credentials).await?;
        let (mut response, revision) = self
            .read_state(true, move |service| {
                let state = service.member.state.read();
                judge(&state, &caller, |walk| walk.txn(&request))?;
                let response =
                    kv::read_txn(&state.kv, &service.member.store, &request).map_err(to_status)?;
                Ok((response.unwrap_or_default(), state.kv.revision()))
            })
            .await?;
        self.member.metrics.read_txn(&response);
        response.header = Some(self.header_at(revision));
        Ok(response)
    }
}

#[tonic::async_trait]
impl Kv for Service {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<RangeResponse>, Status> {
        let credentials = Credentials::of_request(&request);
        let request = request.into_inner();
        check::range(&request).map_err(to_status)?;
        if self.is_learner() && !request.serializable {
            return Err(super::status::not_for_learner());
        }
        self.corrupt()?;
        Metrics::count(&self.member.metrics.ranges);
        match request.serializable {
            true => self.wait_caught_up().await,
            false => self.linearize().await?,
        }
        let began = Instant::now();
        // Judged under the lock that it is read under: no right that was taken away before
        // is used, and no value written later is seen.
        let caller = self.identify(&credentials).await?;
        let read = self
            .read_state(request.revision > 0, move |service| {
                let state = service.member.state.read();
                judge(&state, &caller, |walk| walk.range(&request))?;
                let response =
                    state.kv.range(&request, &service.member.store).map_err(to_status)?;
                Ok((response, state.kv.revision()))
            })
            .await;
        let metrics = &self.member.metrics;
        let times = if read.is_ok() { &metrics.range_done } else { &metrics.range_refused };
        times.observe(began.elapsed());
        let (mut response, revision) = read?;
        response.header = Some(self.header_at(revision));
        Ok(Response::new(response))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.refuse_learner()?;
        check::put(request.get_ref()).map_err(to_status)?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        judge(&self.member.state.read(), &caller, |walk| walk.put(&request))?;
        self.make_room(check::quota_cost_put(&request)).await?;
        match self.propose_for(caller, Kind::Put(request)).await? {
            (Reply::Put(mut response), revision) => {
                response.header = Some(self.header_at(revision));
                Ok(Response::new(response))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.refuse_learner()?;
        check::delete_range(request.get_ref()).map_err(to_status)?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        judge(&self.member.state.read(), &caller, |walk| walk.delete_range(&request))?;
        match self.propose_for(caller, Kind::DeleteRange(request)).await? {
            (Reply::DeleteRange(mut response), revision) => {
                response.header = Some(self.header_at(revision));
                Ok(Response::new(response))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        let credentials = Credentials::of_request(&request);
        let request = request.into_inner();
        self.refuse_learner()?;
        check::txn(&request, self.member.config.limits.max_txn_ops).map_err(to_status)?;
        if check::is_read_only(&request) {
            self.corrupt()?;
            return Ok(Response::new(self.read_txn(request, &credentials).await?));
        }
        let caller = self.identify(&credentials).await?;
        judge(&self.member.state.read(), &caller, |walk| walk.txn(&request))?;
        self.make_room(check::quota_cost_txn(&request)).await?;
        match self.propose_for(caller, Kind::Txn(request)).await? {
            (Reply::Txn(mut response), revision) => {
                response.header = Some(self.header_at(revision));
                Ok(Response::new(response))
            }
            (other, _) => Err(unexpected(&other)),
        }
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        self.refuse_learner()?;
        let caller = self.caller(&request).await?;
        let request = request.into_inner();
        let physical = request.physical.then_some(request.revision);
        let (reply, revision) = self.propose_for(caller, Kind::Compaction(request)).await?;
        let Reply::Compaction(mut response) = reply else { return Err(unexpected(&reply)) };
        if let Some(compacted) = physical {
            let store = self.member.store.clone();
            let wait = tokio::task::spawn_blocking(move || store.wait_compacted(compacted));
            if let Ok(Err(error)) = wait.await {
                return Err(Status::unknown(error.to_string()));
            }
        }
        response.header = Some(self.header_at(revision));
        Ok(Response::new(response))
    }
}
