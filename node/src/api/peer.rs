//! The service between members, and the clients of it.

use std::collections::HashMap;

use parking_lot::Mutex;
use proto::peer::peer_client::PeerClient;
use proto::peer::peer_server::{Peer, PeerServer};
use proto::peer::{
    Batch, HashKvAnswer, HashKvAsk, LeaseRenewRequest, LeaseRenewResponse, LeaseTimeToLiveRequest,
    LeaseTimeToLiveResponse, Member, MembersRequest, MembersResponse, PromoteRequest,
    PromoteResponse, SnapshotChunk, SnapshotReceived, StreamClosed,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};

use super::listen::GIVEN_UP_MOST;
use super::{Service, status};
use crate::consensus::transport::{accept, dial, receive};
use crate::lease::LeaseError;
use crate::net::Listener;
use crate::net::accept::{self as door, Gate};

const MESSAGE_BYTES_MAX: usize = 1 << 30;
const WINDOW_BYTES: u32 = 16 << 20;

/// Connections to other members for questions, kept open.
#[derive(Default)]
pub struct PeerClients(Mutex<HashMap<u64, PeerClient<Channel>>>);

/// Connections that passed the handshake and are not yet served.
const WAITING: usize = 64;

/// Serves other members. Call on the peers' runtime.
pub async fn serve(listener: Listener, gate: Gate, service: Service) {
    let (admitted, connections) = mpsc::channel(WAITING);
    tokio::spawn(door::run(listener, gate, move |connection| {
        let admitted = admitted.clone();
        async move {
            let _ = admitted.send(Ok::<_, std::io::Error>(connection)).await;
        }
    }));
    let peers = PeerServer::new(service)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    let served = Server::builder()
        .initial_connection_window_size(WINDOW_BYTES)
        .initial_stream_window_size(WINDOW_BYTES)
        .http2_max_pending_accept_reset_streams(Some(GIVEN_UP_MOST))
        .add_service(peers)
        .serve_with_incoming(ReceiverStream::new(connections))
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "serving peers ended");
    }
}

impl Service {
    /// A client of member `id`.
    pub async fn peer(&self, id: u64) -> Result<PeerClient<Channel>, Status> {
        if let Some(client) = self.peers.0.lock().get(&id) {
            return Ok(client.clone());
        }
        let urls = self.member.transport.urls(id);
        let channel = dial::connect(&self.member.transport.dialer, &urls)
            .await
            .map_err(Status::unavailable)?;
        let client = dial::client(channel);
        self.peers.0.lock().insert(id, client.clone());
        Ok(client)
    }

    /// Forgets connections to members that may have moved.
    pub fn forget_peer(&self, id: u64) {
        self.peers.0.lock().remove(&id);
    }
}

fn lease_status(error: LeaseError) -> Status {
    if error == LeaseError::NotLeader { status::not_leader() } else { status::to_status(error) }
}

#[tonic::async_trait]
impl Peer for Service {
    async fn stream(
        &self,
        request: Request<Streaming<Batch>>,
    ) -> Result<Response<StreamClosed>, Status> {
        accept::stream(self.member.transport.clone(), request.into_inner()).await?;
        Ok(Response::new(StreamClosed {}))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<SnapshotChunk>>,
    ) -> Result<Response<SnapshotReceived>, Status> {
        receive::snapshot(&self.member.transport, request.into_inner()).await?;
        Ok(Response::new(SnapshotReceived {}))
    }

    async fn members(
        &self,
        _request: Request<MembersRequest>,
    ) -> Result<Response<MembersResponse>, Status> {
        // The state's list; a joiner that has no state yet does not answer for the cluster.
        let state = self.member.state.read();
        let members = state.members.iter().map(Member::from);
        Ok(Response::new(MembersResponse {
            cluster_id: state.members.cluster_id,
            members: members.collect(),
            removed: state.members.removed().collect(),
            bootstrapped: state.applied.index > 1,
            version: self.member.config.version.clone(),
        }))
    }

    async fn lease_renew(
        &self,
        request: Request<LeaseRenewRequest>,
    ) -> Result<Response<LeaseRenewResponse>, Status> {
        let ttl = self.renew_here(request.into_inner().id).await.map_err(lease_status)?;
        Ok(Response::new(LeaseRenewResponse { ttl: ttl.unwrap_or(0) }))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let left = self.time_left_here(request.into_inner().id).await.map_err(lease_status)?;
        let (ttl, granted_ttl) = left.unwrap_or((-1, 0));
        Ok(Response::new(LeaseTimeToLiveResponse { ttl, granted_ttl }))
    }

    async fn promote(
        &self,
        request: Request<PromoteRequest>,
    ) -> Result<Response<PromoteResponse>, Status> {
        if !self.handle.leadership().is_leader {
            return Err(status::not_leader());
        }
        self.promote_here(request.into_inner().id).await?;
        Ok(Response::new(PromoteResponse {}))
    }

    async fn hash_kv(&self, request: Request<HashKvAsk>) -> Result<Response<HashKvAnswer>, Status> {
        Ok(Response::new(self.answer_hash(request.into_inner()).await?))
    }
}
