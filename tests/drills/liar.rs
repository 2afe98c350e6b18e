//! A proxy between clients and one member that breaks a promise of etcd on purpose.
//!
//! Everything passes as it is, by the paths of etcd's services; only the requests of the KV
//! service and what watches tell are looked at, and some of it is wrong.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::kv_server::{Kv, KvServer};
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_server::{Watch, WatchServer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_stream::{Stream, StreamExt as _};
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

/// What it does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lie {
    /// Linearizable reads are answered by the member alone.
    StaleReads,
    /// A put is acknowledged although nobody knows whether it was committed.
    EarlyAcks,
    /// Watches are not told of some changes of the configuration.
    WithheldVersions,
}

/// The KV service that lies.
pub struct Liar {
    member: KvClient<Channel>,
    lie: Lie,
    /// The last revision that was seen.
    revision: Arc<AtomicI64>,
}

impl Liar {
    /// Stands in front of a member on the current runtime; returns its own URL.
    pub async fn start(url: &str, lie: Lie) -> String {
        let channel = Endpoint::from_shared(url.to_string()).expect("a URL").connect_lazy();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = format!("http://{}", listener.local_addr().expect("an address"));
        let liar = Liar { member: KvClient::new(channel.clone()), lie, revision: Arc::default() };
        let server = Server::builder()
            .add_service(KvServer::new(liar))
            .add_service(WatchServer::new(Muffled {
                member: WatchClient::new(channel.clone()),
                lie,
            }))
            .add_service(Forward::<Lease>::to(&channel))
            .add_service(Forward::<Maintenance>::to(&channel))
            .add_service(Forward::<Cluster>::to(&channel));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        own
    }

    fn note(&self, header: Option<&pb::ResponseHeader>) {
        let revision = header.map_or(0, |header| header.revision);
        self.revision.fetch_max(revision, Ordering::Relaxed);
    }
}

#[tonic::async_trait]
impl Kv for Liar {
    async fn range(
        &self,
        request: Request<pb::RangeRequest>,
    ) -> Result<Response<pb::RangeResponse>, Status> {
        let mut request = request.into_inner();
        request.serializable |= self.lie == Lie::StaleReads;
        self.member.clone().range(request).await
    }

    async fn put(
        &self,
        request: Request<pb::PutRequest>,
    ) -> Result<Response<pb::PutResponse>, Status> {
        match self.member.clone().put(request.into_inner()).await {
            Ok(answer) => {
                self.note(answer.get_ref().header.as_ref());
                Ok(answer)
            }
            Err(_) if self.lie == Lie::EarlyAcks => {
                let revision = self.revision.load(Ordering::Relaxed) + 1;
                let header = Some(pb::ResponseHeader { revision, ..Default::default() });
                Ok(Response::new(pb::PutResponse { header, ..Default::default() }))
            }
            Err(status) => Err(status),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        self.member.clone().delete_range(request.into_inner()).await
    }

    async fn txn(
        &self,
        request: Request<pb::TxnRequest>,
    ) -> Result<Response<pb::TxnResponse>, Status> {
        self.member.clone().txn(request.into_inner()).await
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        self.member.clone().compact(request.into_inner()).await
    }
}

/// The Watch service: it passes everything on, or nearly.
pub struct Muffled {
    member: WatchClient<Channel>,
    lie: Lie,
}

#[tonic::async_trait]
impl Watch for Muffled {
    type WatchStream =
        Pin<Box<dyn Stream<Item = Result<pb::WatchResponse, Status>> + Send + 'static>>;

    async fn watch(
        &self,
        request: Request<tonic::Streaming<pb::WatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        // A request stream that breaks off ends the watch, as its end does.
        let requests = request.into_inner().map_while(Result::ok);
        let answers = self.member.clone().watch(requests).await?.into_inner();
        let withholds = self.lie == Lie::WithheldVersions;
        let answers = answers.map(move |answer| {
            let mut answer = answer?;
            answer.events.retain(|event| {
                let kv = event.kv.clone().unwrap_or_default();
                let of_configuration = kv.key.windows(8).any(|part| part == b"/config/");
                !(withholds && of_configuration && kv.version % 5 == 0)
            });
            Ok(answer)
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// A service by its name.
pub trait Named: Clone + Send + Sync + 'static {
    const NAME: &'static str;
}

macro_rules! named {
    ($($type:ident = $name:literal),+ $(,)?) => {
        $(#[derive(Clone)] pub struct $type;
        impl Named for $type { const NAME: &'static str = $name; })+
    };
}

named!(
    Lease = "etcdserverpb.Lease",
    Maintenance = "etcdserverpb.Maintenance",
    Cluster = "etcdserverpb.Cluster",
);

/// A service that passes everything on as it is.
#[derive(Clone)]
pub struct Forward<N>(Channel, PhantomData<N>);

impl<N> Forward<N> {
    fn to(channel: &Channel) -> Self {
        Self(channel.clone(), PhantomData)
    }
}

impl<N: Named> NamedService for Forward<N> {
    const NAME: &'static str = N::NAME;
}

impl<N> Service<http::Request<Body>> for Forward<N> {
    type Response = http::Response<Body>;
    type Error = std::convert::Infallible;
    type Future = std::pin::Pin<
        Box<dyn Future<Output = Result<Self::Response, std::convert::Infallible>> + Send>,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut channel = self.0.clone();
        Box::pin(async move {
            let ready = std::future::poll_fn(|context| channel.poll_ready(context)).await;
            let answer = match ready {
                Ok(()) => channel.call(request).await,
                Err(error) => Err(error),
            };
            Ok(answer.unwrap_or_else(|error| Status::unavailable(error.to_string()).into_http()))
        })
    }
}
