//! The Watch service: one client's stream over the hub.
//!
//! Two tasks a stream: one takes requests, one sends what the hub has for it. The hub bounds
//! what waits, so the channel to the client can be short.

use std::time::Duration;

use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::watch_server::Watch;
use proto::etcdserverpb::{WatchRequest, WatchResponse};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::credentials::Credentials;
use super::{Service, judge, status};
use crate::auth::Caller;
use crate::consensus::drive::Leadership;
use crate::metrics::Metrics;
use crate::watch::WatchSpec;
use crate::watch::service::WatchStream;

/// Responses handed to the connection and not yet sent.
const RESPONSES_WAITING: usize = 64;
/// Bytes taken from the hub at once.
const TAKE_BYTES: usize = 1 << 20;
/// A full outbox is looked at again after this long.
const FULL_PAUSE: Duration = Duration::from_millis(20);
/// etcd adds this to the request limit for the size of a response.
const RESPONSE_EXTRA: usize = 512 << 10;
/// Elections that a stream with `hasleader` outlives a missing leader.
const LEADERLESS_ELECTIONS: u32 = 3;

type Replies = mpsc::Sender<Result<WatchResponse, Status>>;

#[tonic::async_trait]
impl Watch for Service {
    type WatchStream = ReceiverStream<Result<WatchResponse, Status>>;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        self.refuse_learner()?;
        let needs_leader = wants_leader(&request);
        if needs_leader && self.handle.leadership().leader == 0 {
            return Err(status::no_leader());
        }
        let stream = std::sync::Arc::new(self.member.watchers.open());
        let (replies, responses) = mpsc::channel(RESPONSES_WAITING);
        let creator =
            Creator { service: self.clone(), credentials: Credentials::of_request(&request) };
        let requests = receive(request.into_inner(), creator, stream.clone(), replies.clone());
        let sending = send(self.clone(), stream, replies.clone());
        let leader = self.handle.watch_leadership();
        let patience = self.member.config.timing.election * LEADERLESS_ELECTIONS;
        tokio::spawn(async move {
            tokio::select! {
                () = requests => {}
                () = sending => {}
                () = leader_lost(leader, patience), if needs_leader => {
                    let _ = replies.send(Err(status::no_leader())).await;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(responses)))
    }
}

fn wants_leader<T>(request: &Request<T>) -> bool {
    request.metadata().get("hasleader").is_some_and(|value| value == "true")
}

/// Ends when there has been no leader for `patience`.
async fn leader_lost(mut leadership: watch::Receiver<Leadership>, patience: Duration) {
    loop {
        if leadership.wait_for(|now| now.leader == 0).await.is_err() {
            return;
        }
        let back = leadership.wait_for(|now| now.leader != 0);
        if tokio::time::timeout(patience, back).await.is_err() {
            return;
        }
    }
}

/// Takes the client's requests until it closes its side or breaks the protocol.
async fn receive(
    mut requests: Streaming<WatchRequest>,
    creator: Creator,
    stream: std::sync::Arc<WatchStream>,
    replies: Replies,
) {
    loop {
        match requests.message().await {
            Ok(Some(request)) => take_request(&creator, &stream, request).await,
            // The client will send no more, but may go on listening.
            Ok(None) => return std::future::pending().await,
            Err(error) => {
                let _ = replies.send(Err(super::route::map_decode_error(error))).await;
                return;
            }
        }
    }
}

async fn take_request(creator: &Creator, stream: &WatchStream, request: WatchRequest) {
    while stream.is_full() {
        tokio::time::sleep(FULL_PAUSE).await;
    }
    match request.request_union {
        Some(RequestUnion::CreateRequest(create)) => {
            creator.create(stream, WatchSpec::from(&create)).await
        }
        Some(RequestUnion::CancelRequest(cancel)) => stream.cancel(cancel.watch_id),
        Some(RequestUnion::ProgressRequest(_)) => stream.progress_request(),
        None => {}
    }
}

/// Creates watchers for whoever opened the stream.
struct Creator {
    service: Service,
    credentials: Credentials,
}

impl Creator {
    /// The right is looked up for each watcher anew. A refusal is told as etcd tells it, and
    /// leaves the stream open.
    async fn create(&self, stream: &WatchStream, mut spec: WatchSpec) {
        let caller = match self.service.identify(&self.credentials).await {
            Ok(caller) => caller,
            Err(refusal) => return stream.refuse(&status::go_text(&refusal)),
        };
        spec.owner = self.owner(&caller);
        // Held until the watcher is there: a right taken away before that is seen here, and
        // one taken away after that ends the watcher.
        let state = self.service.member.state.read();
        let range = spec.range.as_ref().ok().and_then(|range| range.span());
        match judge(&state, &caller, |walk| walk.watch(range.as_ref())) {
            Ok(()) => stream.create(spec),
            Err(refusal) => stream.refuse(&status::go_text(&refusal)),
        }
    }

    /// While nobody asks for rights, a token means nothing, but a certificate still tells
    /// whose the watcher is.
    fn owner(&self, caller: &Caller) -> Option<std::sync::Arc<str>> {
        match &self.credentials {
            Credentials::Certificate(name) => Some(name.as_str().into()),
            _ => Some(caller.name.as_str().into()).filter(|_| !caller.name.is_empty()),
        }
    }
}

/// Sends what the hub has, until the client is gone.
async fn send(service: Service, stream: std::sync::Arc<WatchStream>, replies: Replies) {
    let max = service.member.config.limits.max_request_bytes + RESPONSE_EXTRA;
    loop {
        tokio::select! {
            () = stream.woken() => {}
            () = replies.closed() => return,
        }
        loop {
            let taken = stream.take(TAKE_BYTES);
            if taken.is_empty() {
                break;
            }
            let header = service.header_at(0);
            for delivery in taken {
                Metrics::add(&service.member.metrics.events, delivery.events() as u64);
                for response in delivery.into_proto(header, max) {
                    if replies.send(Ok(response)).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}
