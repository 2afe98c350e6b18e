//! One HTTP/2 connection to a member, and what became of a request that was given to it.
//!
//! tonic's own channel hides whether a request was sent before its connection broke. Here that is
//! the difference between asking another member and telling the client that nobody knows.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::body::Body;

use crate::net::{Dialer, Place, Url};

const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
const HEADERS_MAX: u32 = 64 << 10;
/// A connection is there by then (etcd's limit).
const CONNECT: Duration = Duration::from_secs(5);

/// What every server of gRPC has an answer to, and a member answers to anybody.
const PROBE: &str = "/grpc.health.v1.Health/Check";
/// Not compressed, no bytes.
const EMPTY_MESSAGE: [u8; 5] = [0; 5];

/// How connections to members are looked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pings {
    /// Zero: none.
    pub interval: Duration,
    pub timeout: Duration,
    pub while_idle: bool,
}

/// What became of a request.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The member has not seen it.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// Nobody knows.
    #[error("the connection ended before there was an answer; it may have been carried out: {0}")]
    Ended(String),
}

/// A connection that can be shared.
#[derive(Clone)]
pub struct Link {
    sender: http2::SendRequest<Body>,
    authority: Authority,
}

impl Link {
    /// Opens one; the task ends with the connection.
    pub async fn open(
        dialer: &Dialer,
        url: &str,
        pings: &Pings,
    ) -> Result<(Self, JoinHandle<()>), String> {
        let url = Url::parse(url).map_err(|error| error.to_string())?;
        let authority = match &url.place {
            Place::Tcp(address) => address.parse().map_err(|error| format!("{error}"))?,
            Place::Unix(_) => Authority::from_static("localhost"),
        };
        let opened = dialer.clone().open(url, CONNECT).await.map_err(|error| error.to_string())?;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_stream_window_size(STREAM_WINDOW)
            .max_header_list_size(HEADERS_MAX);
        if !pings.interval.is_zero() {
            builder
                .keep_alive_interval(pings.interval)
                .keep_alive_timeout(pings.timeout)
                .keep_alive_while_idle(pings.while_idle);
        }
        let (sender, connection) =
            builder.handshake(TokioIo::new(opened)).await.map_err(|error| error.to_string())?;
        let ended = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to a member has ended");
            }
        });
        let link = Self { sender, authority };
        match timeout(CONNECT, link.clone().probe()).await {
            Ok(Ok(())) => Ok((link, ended)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it accepts connections and does not answer".to_owned()),
        }
    }

    /// Waits until somebody answers: the kernel of a machine accepts connections for a process that
    /// hangs. What is answered does not matter.
    async fn probe(mut self) -> Result<(), LinkError> {
        let question =
            Full::new(Bytes::from_static(&EMPTY_MESSAGE)).map_err(|never| match never {});
        let request = Request::post(PROBE)
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers")
            .body(Body::new(question))
            .map_err(|error| LinkError::NotSent(error.to_string()))?;
        tower::Service::call(&mut self, request).await.map(drop)
    }

    /// Whether nothing can be sent any more.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl tower::Service<Request<Body>> for Link {
    type Response = Response<Incoming>;
    type Error = LinkError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Incoming>, LinkError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        self.sender.poll_ready(context).map_err(|error| LinkError::NotSent(error.to_string()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let (mut parts, body) = request.into_parts();
        let mut uri = parts.uri.into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        parts.uri = match Uri::from_parts(uri) {
            Ok(uri) => uri,
            Err(error) => {
                let failed = Err(LinkError::NotSent(error.to_string()));
                return Box::pin(std::future::ready(failed));
            }
        };
        let sent = self.sender.try_send_request(Request::from_parts(parts, body));
        Box::pin(async move {
            sent.await.map_err(|mut failed| {
                let came_back = failed.take_message().is_some();
                let error = failed.into_error();
                match came_back || was_refused(&error) {
                    true => LinkError::NotSent(error.to_string()),
                    false => LinkError::Ended(error.to_string()),
                }
            })
        })
    }
}

/// Whether the other side says that it has not looked at it.
fn was_refused(error: &hyper::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::REFUSED_STREAM);
        }
        cause = error.source();
    }
    false
}
