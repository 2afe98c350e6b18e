//! The JSON gateway: etcd's services for those who speak HTTP and JSON only.
//!
//! `POST /v3/...` with a JSON object becomes a gRPC request to the same services, and its
//! answer becomes JSON ([`schema`]). Nothing here knows what a request means: [`paths`] says
//! which method is called, the description of the messages says the rest. Streams are lines
//! of JSON; a request that is a stream may send object after object in its body while the
//! answer comes back.
//!
//! A request of the gateway has the rights of its `Authorization` header and no others
//! ([`FromGateway`]): a certificate belongs to the connection, and whoever made a browser send
//! the request is not the one it belongs to.

mod input;
mod json;
mod paths;
mod reply;
mod schema;
mod websocket;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body as HttpBody;
use prost_reflect::MethodDescriptor;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_stream::StreamExt as _;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::{Ascii, MetadataKey, MetadataMap, MetadataValue};
use tonic::{Extensions, Status};

use super::deadline;
use super::route::{Loopback, Services, receive_limit};
use super::{ClientCertificate, FromGateway};
use crate::raw::Raw;
use input::Messages;

/// What precedes the name of a header that is meant for the service.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// As many calls as one connection may have open: to etcd's services its gateway is a client
/// with one connection, so that `--max-concurrent-streams` holds for all calls together.
pub fn permits(streams_max: u32) -> Semaphore {
    let most = usize::try_from(streams_max).unwrap_or(usize::MAX);
    Semaphore::new(most.min(Semaphore::MAX_PERMITS))
}

/// Whether the gateway answers this path.
pub fn serves(path: &str) -> bool {
    paths::below(path).or(paths::meant(path).as_deref()).is_some()
}

/// Answers a request to a path of the gateway.
pub async fn answer<B>(services: &Services, request: Request<B>) -> Response<Body>
where
    B: HttpBody + Unpin + Send + 'static,
    B::Error: std::fmt::Display,
{
    // A browser sends its certificate whoever's page it shows; etcd refuses rather than let
    // somebody believe that the name counts.
    if names_somebody(request.extensions()) && services.service.auth_enabled() {
        return reply::certificate_named();
    }
    if websocket::is_asked(request.headers()) {
        return websocket::accept(services, request);
    }
    answer_once(services, request).await
}

/// Whether the client showed a certificate with a name, where certificates are names.
fn names_somebody(extensions: &Extensions) -> bool {
    extensions.get::<ClientCertificate>().is_some_and(|shown| !shown.common_name.is_empty())
}

/// Answers a request with a response, and nothing more.
async fn answer_once<B>(services: &Services, request: Request<B>) -> Response<Body>
where
    B: HttpBody + Unpin + Send + 'static,
    B::Error: std::fmt::Display,
{
    if request.method() == Method::OPTIONS {
        return reply::options();
    }
    if let Some(meant) = paths::meant(request.uri().path()) {
        let query = request.uri().query().filter(|query| !query.is_empty());
        return reply::redirect(&query.map_or(meant.clone(), |query| format!("{meant}?{query}")));
    }
    let path = paths::below(request.uri().path()).and_then(paths::method);
    let found = path.and_then(|path| Some((path, schema::schema().method(path)?)));
    let Some((path, method)) = found else { return reply::not_found() };
    if request.method() != Method::POST {
        return reply::method_not_allowed();
    }
    let (parts, body) = request.into_parts();
    let limit = match time_limit(&parts.headers) {
        Ok(limit) => limit,
        Err(status) => return reply::error(&status),
    };
    let messages = Messages::new(body, method.input(), receive_limit(&services.service));
    let permits = services.service.gateway_calls.clone();
    let call = Call {
        client: client(services),
        // Paths are constants of ours.
        path: format!("/{path}").parse().unwrap_or_else(|_| PathAndQuery::from_static("/")),
        metadata: metadata(&parts.headers),
        extensions: parts.extensions,
        method,
    };
    tokio::select! {
        reply = call.run(messages, permits) => reply,
        () = deadline::over(limit) => reply::error(&deadline::exceeded()),
    }
}

fn client(services: &Services) -> Grpc<Loopback> {
    // Both sides are this process, and the services bound what they take and give.
    Grpc::new(Loopback::of_client(services.clone()))
        .max_decoding_message_size(usize::MAX)
        .max_encoding_message_size(usize::MAX)
}

/// A call that is to be made.
struct Call {
    client: Grpc<Loopback>,
    path: PathAndQuery,
    metadata: MetadataMap,
    extensions: Extensions,
    method: MethodDescriptor,
}

impl Call {
    async fn run<B>(mut self, mut messages: Messages<B>, permits: Arc<Semaphore>) -> Response<Body>
    where
        B: HttpBody + Unpin + Send + 'static,
        B::Error: std::fmt::Display,
    {
        // Read before anything is called: nonsense is refused, not acted upon.
        let first = match messages.next().await {
            Some(Ok(message)) => Some(message),
            Some(Err(status)) => return reply::error(&status),
            None => None,
        };
        // The semaphore is never closed.
        let permit = permits.acquire_owned().await.ok();
        if self.method.is_client_streaming() {
            let messages = tokio_stream::iter(first).chain(messages);
            let request = self.request(messages);
            let answered = self.ready(request).await;
            return self.lines(answered, permit).await;
        }
        // What follows the first object is not read, and no object is an empty one.
        let request = self.request(first.unwrap_or_default());
        if self.method.is_server_streaming() {
            let request = request.map(tokio_stream::once);
            let answered = self.ready(request).await;
            return self.lines(answered, permit).await;
        }
        self.one(request).await
    }

    fn request<T>(&mut self, message: T) -> tonic::Request<T> {
        let (metadata, mut extensions) =
            (std::mem::take(&mut self.metadata), std::mem::take(&mut self.extensions));
        extensions.insert(FromGateway);
        tonic::Request::from_parts(metadata, extensions, message)
    }

    /// A call whose answer is a stream.
    async fn ready<S>(
        &mut self,
        request: tonic::Request<S>,
    ) -> Result<tonic::Streaming<Bytes>, Status>
    where
        S: futures::Stream<Item = Bytes> + Send + 'static,
    {
        let path = self.path.clone();
        // The service is this process: it is always ready.
        Ok(self.client.streaming(request, path, Raw).await?.into_inner())
    }

    /// The status line waits for the first message: until then a stream may fail.
    async fn lines(
        self,
        answered: Result<tonic::Streaming<Bytes>, Status>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Response<Body> {
        let mut answers = match answered {
            Ok(answers) => answers,
            Err(status) => return reply::error(&status),
        };
        match answers.message().await {
            Ok(first) => {
                let rest = answers.map(move |answer| {
                    // The call is open for as long as its answers are read.
                    let _held = &permit;
                    answer
                });
                reply::lines(first, rest, self.method.output())
            }
            Err(status) => reply::stream_error(&status),
        }
    }

    async fn one(mut self, request: tonic::Request<Bytes>) -> Response<Body> {
        let path = self.path.clone();
        let answered = self.client.unary(request, path, Raw).await;
        let json =
            answered.and_then(|answer| schema::to_json(self.method.output(), answer.into_inner()));
        match json {
            Ok(json) => reply::message(json),
            Err(status) => reply::error(&status),
        }
    }
}

/// The header `Grpc-Timeout`, which has to be understood if it is there. Other than for gRPC
/// the number may have a sign: what is less than nothing is over before it begins.
fn time_limit(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(deadline::HEADER).filter(|value| !value.is_empty()) else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let limit = signed_limit(&text)
        .ok_or_else(|| Status::invalid_argument(format!("invalid grpc-timeout: {text}")))?;
    match limit {
        limit if limit.is_zero() => Err(deadline::exceeded()),
        limit => Ok(Some(limit)),
    }
}

fn signed_limit(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: i64 = number.parse().ok()?;
    deadline::of_unit(u64::try_from(number).unwrap_or(0), unit)
}

/// What the service is told of the request's headers: who asks, and what is marked for it.
fn metadata(headers: &HeaderMap) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    for (name, value) in headers {
        let name = match name.as_str() {
            "authorization" => "authorization",
            other => match other.strip_prefix(METADATA_PREFIX) {
                Some(name) => name,
                None => continue,
            },
        };
        // Names with `-bin` are no ASCII metadata; nothing of etcd's is of that kind.
        let name = MetadataKey::<Ascii>::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, MetadataValue::try_from(value.as_bytes())) {
            metadata.append(name, value);
        }
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_limit_may_have_a_sign_and_be_nothing() {
        let limit = |text: &str| {
            let headers = [(http::header::HeaderName::from_static(deadline::HEADER), text)];
            let headers = headers.map(|(name, text)| (name, text.parse().unwrap()));
            time_limit(&HeaderMap::from_iter(headers)).map_err(|status| status.code())
        };
        assert_eq!(limit(""), Ok(None));
        assert_eq!(limit("5S"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(limit("+5S"), Ok(Some(Duration::from_secs(5))));
        assert_eq!(limit("123456789S"), Ok(Some(Duration::from_secs(123_456_789))));
        for over in ["-1S", "0m"] {
            assert_eq!(limit(over), Err(tonic::Code::DeadlineExceeded), "{over}");
        }
        for bad in ["S", "5", "soon", "1.5S", " 5S", "9223372036854775808S"] {
            assert_eq!(limit(bad), Err(tonic::Code::InvalidArgument), "{bad}");
        }
    }

    #[test]
    fn only_what_is_meant_for_the_service_reaches_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "secret"),
            ("grpc-metadata-hasleader", "true"),
            ("grpc-metadata-x-bin", "AAA="),
            ("cookie", "a=b"),
            ("token", "forged"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let metadata = metadata(&headers);
        assert_eq!(metadata.get("authorization").unwrap(), "secret");
        assert_eq!(metadata.get("hasleader").unwrap(), "true");
        assert_eq!(metadata.len(), 2);
    }
}
