//! Carries a client's call to a member and its answer back.
//!
//! Statuses of members go back with their code and text. A call with one question goes to another
//! member if the first one surely has not seen it, or if nothing is changed by asking again; else
//! the client is told that the outcome is unknown, as it would be by etcd's own client. A stream
//! is one stream of one member: when that ends, so does the client's, whose library opens it again.
//!
//! Of a call's metadata go on: who is asking, whether a leader is required, the client's version
//! and its time limit. A client that gives up takes its call at the member with it.
//!
//! The invariant: what may change something is given to one member at most once, unless it was
//! refused unseen.

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use http::uri::PathAndQuery;
use parking_lot::Mutex;
use prost::Message;
use proto::etcdserverpb::CompactionResponse;
use tonic::client::Grpc;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status, Streaming};

use super::link::{Link, LinkError};
use super::methods::{self, Shape};
use super::namespace::Namespace;
use super::upstream::Upstream;
use crate::api::route::map_decode_error;
use crate::raw::{Raw, unreadable};

/// Metadata that goes on to the member.
const PASSED_ON: [&str; 5] =
    ["token", "authorization", "hasleader", "client-api-version", "grpc-timeout"];
/// etcd asks this often for each endpoint before it gives up on the order of revisions.
const TRIES_FOR_ORDER: usize = 5;

/// The messages of one direction of a stream.
pub type Messages = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// What the flags say of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest message that is sent to a member.
    pub send_max: usize,
    /// The largest message that is taken from one.
    pub receive_max: usize,
}

/// Carries calls.
#[derive(Clone)]
pub struct Relay {
    pub upstream: Upstream,
    namespace: Arc<Namespace>,
    limits: Limits,
    /// The latest revision that anybody was told, where reads must not go back behind it.
    told: Option<Arc<AtomicI64>>,
}

impl Relay {
    /// To these members, in this namespace.
    pub fn new(upstream: Upstream, namespace: Namespace, limits: Limits, ordered: bool) -> Self {
        let told = ordered.then(Arc::default);
        Self { upstream, namespace: Arc::new(namespace), limits, told }
    }

    fn caller(&self, link: Link) -> Grpc<Link> {
        Grpc::new(link).max_decoding_message_size(self.limits.receive_max)
    }

    fn check_size(&self, message: &Bytes) -> Result<(), Status> {
        let (size, most) = (message.len(), self.limits.send_max);
        if size <= most {
            return Ok(());
        }
        let text = format!("trying to send message larger than max ({size} vs. {most})");
        Err(Status::resource_exhausted(text))
    }

    /// Carries one question and its answer.
    pub async fn single(
        &self,
        path: &str,
        request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Status> {
        let (metadata, _, message) = request.into_parts();
        let message = self.translated(path, message)?;
        let metadata = passed_on(&metadata);
        let begin = self.told.as_ref().map_or(0, |told| told.load(Ordering::Relaxed));
        let mut behind = 0;
        loop {
            let answer = self.asked(path, &metadata, &message).await?;
            if !self.is_behind(path, begin, answer.get_ref())? {
                let (metadata, message, extensions) = answer.into_parts();
                let message = self.namespace.response(path, message)?;
                return Ok(Response::from_parts(metadata, message, extensions));
            }
            behind += 1;
            if behind > TRIES_FOR_ORDER * self.upstream.count() {
                return Err(Status::unknown(
                    "etcdclient: no cluster members have a revision higher than the previously \
                     received revision",
                ));
            }
        }
    }

    /// Asks one member after the other for as long as that is right.
    async fn asked(
        &self,
        path: &str,
        metadata: &MetadataMap,
        message: &Bytes,
    ) -> Result<Response<Bytes>, Status> {
        let repeatable = methods::shape(path) == Some(Shape::Single { repeatable: true });
        let mut tries = 0;
        loop {
            let mut caller = self.caller(self.upstream.link().await?);
            let mut request = Request::new(message.clone());
            *request.metadata_mut() = metadata.clone();
            let asked = match caller.ready().await {
                Ok(()) => caller.unary(request, path_of(path)?, Raw).await,
                Err(error) => Err(Status::from_error(Box::new(error))),
            };
            let status = match asked {
                Ok(answer) => return Ok(answer),
                Err(status) => status,
            };
            tries += 1;
            let again = match fate(&status) {
                Fate::Unseen => true,
                Fate::Unknown => repeatable,
                Fate::Answered => repeatable && status.code() == Code::Unavailable,
            };
            if !again || tries > self.upstream.count() {
                return Err(as_told(status));
            }
            tracing::debug!(path, error = %status, "asking another endpoint");
        }
    }

    /// Notes the revision of an answer; true if it is older than what was told before it was asked.
    fn is_behind(&self, path: &str, begin: i64, answer: &Bytes) -> Result<bool, Status> {
        let Some(told) = &self.told else { return Ok(false) };
        if path != methods::RANGE && path != methods::TXN {
            return Ok(false);
        }
        // Of every answer the header is the same field; this one has no other.
        let head = CompactionResponse::decode(answer.clone()).map_err(unreadable)?;
        let revision = head.header.map_or(0, |header| header.revision);
        told.fetch_max(revision, Ordering::Relaxed);
        // A transaction that changed something has a revision of its own, and is never behind.
        Ok(revision < begin)
    }

    /// Carries a stream.
    pub async fn stream(
        &self,
        path: &str,
        request: Request<Streaming<Bytes>>,
    ) -> Result<Response<Messages>, Status> {
        let (metadata, _, incoming) = request.into_parts();
        self.carry(path, metadata, Box::pin(incoming)).await
    }

    /// Carries a stream of these messages.
    pub async fn carry(
        &self,
        path: &str,
        metadata: MetadataMap,
        incoming: Messages,
    ) -> Result<Response<Messages>, Status> {
        let refusal: Arc<Mutex<Option<Status>>> = Arc::default();
        let outgoing = self.outgoing(path, incoming, refusal.clone());
        let mut request = Request::new(outgoing);
        *request.metadata_mut() = passed_on(&metadata);
        let mut caller = self.ready_caller().await?;
        let opened = caller.streaming(request, path_of(path)?, Raw).await;
        let refused = |status: Status| refusal.lock().take().unwrap_or_else(|| as_told(status));
        let (metadata, messages, extensions) = opened.map_err(refused)?.into_parts();
        let (namespace, path) = (self.namespace.clone(), path.to_owned());
        let translated = messages.map(move |message| match message {
            Ok(message) => namespace.response(&path, message),
            Err(status) => Err(as_told(status)),
        });
        // What was wrong with the client's own messages is told when the member has ended its side.
        let last = futures::stream::once(async move { refusal.lock().take() });
        let messages = translated.chain(last.filter_map(|last| ready(last.map(Err))));
        Ok(Response::from_parts(metadata, Box::pin(messages), extensions))
    }

    /// A connection on which a stream can be opened.
    async fn ready_caller(&self) -> Result<Grpc<Link>, Status> {
        let mut tries = 0;
        loop {
            let mut caller = self.caller(self.upstream.link().await?);
            match caller.ready().await {
                Ok(()) => return Ok(caller),
                Err(error) if tries > self.upstream.count() => {
                    return Err(Status::unavailable(error.to_string()));
                }
                Err(_) => tries += 1,
            }
        }
    }

    /// A client's messages as the member is to get them. Ends where one cannot be passed on.
    fn outgoing(
        &self,
        path: &str,
        incoming: Messages,
        refusal: Arc<Mutex<Option<Status>>>,
    ) -> Pin<Box<dyn Stream<Item = Bytes> + Send>> {
        let (relay, path) = (self.clone(), path.to_owned());
        let passed = incoming.map(move |message| {
            // A client that is gone takes all of its call with it; there is nobody to be told.
            let message = message.ok()?;
            match relay.translated(&path, message) {
                Ok(message) => Some(message),
                Err(status) => {
                    *refusal.lock() = Some(status);
                    None
                }
            }
        });
        let good = passed.take_while(|message| ready(message.is_some()));
        Box::pin(good.filter_map(ready))
    }

    fn translated(&self, path: &str, message: Bytes) -> Result<Bytes, Status> {
        let message = self.namespace.request(path, message)?;
        self.check_size(&message)?;
        Ok(message)
    }

    /// Asks a question of the proxy's own.
    pub async fn ask<Q: Message, A: Message + Default>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, Status> {
        let request = Request::new(Bytes::from(question.encode_to_vec()));
        let answer = self.single(path, request).await?;
        A::decode(answer.into_inner()).map_err(unreadable)
    }
}

fn path_of(path: &str) -> Result<PathAndQuery, Status> {
    path.parse().map_err(|error| Status::internal(format!("{error}")))
}

fn passed_on(metadata: &MetadataMap) -> MetadataMap {
    let headers = metadata.as_ref();
    let mut passed = http::HeaderMap::new();
    for name in PASSED_ON {
        for value in headers.get_all(name) {
            passed.append(name, value.clone());
        }
    }
    MetadataMap::from_headers(passed)
}

/// How far a call came that failed.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// No member has seen it.
    Unseen,
    /// The connection broke.
    Unknown,
    /// A member said so.
    Answered,
}

fn fate(status: &Status) -> Fate {
    let mut cause = std::error::Error::source(status);
    let Some(_) = cause else { return Fate::Answered };
    while let Some(error) = cause {
        if let Some(LinkError::NotSent(_)) = error.downcast_ref::<LinkError>() {
            return Fate::Unseen;
        }
        cause = error.source();
    }
    Fate::Unknown
}

/// What a client is told of a call that failed.
fn as_told(status: Status) -> Status {
    match fate(&status) {
        // A message over the limit fails here and not at the member.
        Fate::Answered => map_decode_error(status),
        Fate::Unseen | Fate::Unknown => Status::unavailable(status.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use hyper::body::Incoming;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use proto::etcdserverpb as pb;
    use tokio::net::TcpListener;
    use tonic::body::Body;

    use super::super::link::Pings;
    use super::*;
    use crate::net::Dialer;
    use crate::net::tls::{Tls, TlsOptions};

    /// A member that breaks off every request of a client, and counts them.
    async fn broken_member(count: Arc<AtomicUsize>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let count = count.clone();
                let service =
                    hyper::service::service_fn(move |request: http::Request<Incoming>| {
                        let is_probe = request.uri().path().starts_with("/grpc.health");
                        count.fetch_add(usize::from(!is_probe), Ordering::Relaxed);
                        ready(match is_probe {
                            true => Ok(http::Response::new(Body::empty())),
                            false => Err(std::io::Error::other("broken off")),
                        })
                    });
                let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
        url
    }

    fn relay(urls: &[String]) -> Relay {
        let pings = Pings { interval: Duration::ZERO, timeout: Duration::ZERO, while_idle: false };
        let upstream = Upstream::new(Dialer::new(Tls::open(TlsOptions::default()).unwrap()), pings);
        upstream.set(urls);
        let limits = Limits { send_max: 1 << 20, receive_max: 1 << 20 };
        Relay::new(upstream, Namespace::new(""), limits, false)
    }

    #[tokio::test]
    async fn what_may_have_changed_something_is_not_asked_twice() {
        let count = Arc::new(AtomicUsize::new(0));
        let urls = [broken_member(count.clone()).await, broken_member(count.clone()).await];
        let relay = relay(&urls);
        let put = relay.ask::<_, pb::PutResponse>(methods::PUT, &pb::PutRequest::default()).await;
        assert_eq!(put.unwrap_err().code(), Code::Unavailable);
        assert_eq!(count.swap(0, Ordering::Relaxed), 1);
        let question = pb::RangeRequest::default();
        let range = relay.ask::<_, pb::RangeResponse>(methods::RANGE, &question).await;
        assert_eq!(range.unwrap_err().code(), Code::Unavailable);
        assert_eq!(count.load(Ordering::Relaxed), urls.len() + 1);
    }

    #[tokio::test]
    async fn a_message_over_the_limit_is_told_as_by_go() {
        let value = Bytes::from(vec![0; 1 << 20]);
        let put = pb::PutRequest { key: "k".into(), value, ..Default::default() };
        let refused = relay(&[]).ask::<_, pb::PutResponse>(methods::PUT, &put).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
        let text = "trying to send message larger than max (1048583 vs. 1048576)";
        assert_eq!(refused.message(), text);
    }

    #[test]
    fn what_a_member_said_is_told_as_it_was_said() {
        let status = Status::failed_precondition("etcdserver: not leader");
        assert_eq!(fate(&status), Fate::Answered);
        let told = as_told(status);
        assert_eq!(
            (told.code(), told.message()),
            (Code::FailedPrecondition, "etcdserver: not leader")
        );
    }

    #[test]
    fn only_what_was_not_sent_is_surely_unseen() {
        let not_sent = Status::from_error(Box::new(LinkError::NotSent("closed".to_owned())));
        assert_eq!(fate(&not_sent), Fate::Unseen);
        let ended = Status::from_error(Box::new(LinkError::Ended("reset".to_owned())));
        assert_eq!(fate(&ended), Fate::Unknown);
        assert_eq!(as_told(ended).code(), Code::Unavailable);
    }

    #[test]
    fn of_the_metadata_only_what_a_member_needs_goes_on() {
        let mut metadata = MetadataMap::new();
        for name in ["token", "hasleader", "te", "grpc-encoding", "user-agent"] {
            metadata.insert(name, tonic::metadata::MetadataValue::from_static("x"));
        }
        let passed = passed_on(&metadata);
        let mut names: Vec<String> =
            passed.as_ref().keys().map(|name| name.as_str().to_owned()).collect();
        names.sort();
        assert_eq!(names, ["hasleader", "token"]);
    }
}
