//! The client's ports: HTTP/2 with gRPC and HTTP/1.1 on one listener, or apart.
//!
//! gRPC requests go on to [`Services`], the others to [`gateway`], [`v2`] or [`plain`],
//! if they may ([`access`]).
//! Limits are etcd's: any number of streams a connection unless a flag says otherwise, and a
//! receive window large enough that a burst of small frames does not end the connection (h2
//! counts unread small frames against half of it).

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tonic::body::Body;

use super::authority::Mended;
use super::client_certificate::ClientCertificate;
use super::counted_io::CountedIo;
use super::route::Services;
use super::spans::Remote;
use super::{Service, access, gateway, http as plain, v2};
use crate::config;
use crate::net::accept::{self, Gate};
use crate::net::pings::Guarded;
use crate::net::{Connection, Listener};

const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
/// Requests of one connection that their client gave up before they were looked at. A member that
/// was stalled finds many; the usual limit of 20 would end the connection and every watch on it.
/// Each costs a few hundred bytes until it is looked at.
pub const GIVEN_UP_MOST: usize = 10_000;
/// Headers must be here by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// What a listener serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    All,
    /// There are other listeners for HTTP.
    Grpc,
    Http,
    /// Metrics and health, of HTTP.
    Metrics,
}

/// What is the same for all requests of a connection.
#[derive(Clone)]
struct Port {
    services: Services,
    traffic: Traffic,
    secure: bool,
    certificate: Option<ClientCertificate>,
    /// Who calls, if calls are traced.
    remote: Option<Remote>,
}

impl Port {
    async fn answer(&mut self, mut request: Request<Incoming>) -> Response<Body> {
        if self.services.service.member.config.http.print_authority {
            print_authority(&request);
        }
        if let Some(certificate) = &self.certificate {
            request.extensions_mut().insert(certificate.clone());
        }
        if let Some(remote) = self.remote {
            request.extensions_mut().insert(remote);
        }
        // There is no gRPC by HTTP/1: whoever calls a request so is still held to the rules of
        // pages and hosts.
        let is_grpc = request.version() == Version::HTTP_2
            && request
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        match (is_grpc, self.traffic) {
            (true, Traffic::All | Traffic::Grpc) => self.services.answer(request).await,
            (false, Traffic::Grpc) => {
                let text = "this port speaks gRPC only; HTTP has one of its own\n";
                whole(plain::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, text))
            }
            (true, _) => whole(plain::not_found()),
            (false, Traffic::Metrics) if !plain::is_of_metrics(request.uri().path()) => {
                whole(plain::not_found())
            }
            (false, Traffic::Metrics) => self.serve_plain(request).await,
            (false, Traffic::All | Traffic::Http) => self.answer_plain(request).await,
        }
    }

    async fn answer_plain(&mut self, request: Request<Incoming>) -> Response<Body> {
        let member = self.services.service.member.clone();
        let rules = &member.config.http;
        let origin = request.headers().get(header::ORIGIN).cloned();
        let mut response = match access::refusal(rules, &request, self.secure) {
            Some(refusal) => return whole(refusal),
            None if request.method() == http::Method::OPTIONS => Response::new(Body::empty()),
            None => self.serve_plain(request).await,
        };
        access::allow_origin(rules, origin.as_ref(), response.headers_mut());
        response
    }

    /// Answers a request that is not gRPC and may be made.
    async fn serve_plain(&mut self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        if !has_sense(path) {
            return whole(plain::text(StatusCode::BAD_REQUEST, "400 Bad Request"));
        }
        if self.services.service.member.config.grpc_gateway && gateway::serves(path) {
            return gateway::answer(&self.services, request).await;
        }
        let service = &self.services.service;
        if service.member.config.enable_v2 && v2::owns(request.uri().path()) {
            return v2::answer(service, request).await;
        }
        whole(plain::answer(service, &request).await)
    }
}

/// Whether each `%` of a path is followed by the two digits of a byte.
fn has_sense(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

fn whole(reply: plain::Reply) -> Response<Body> {
    reply.map(|body| Body::new(body.map_err(|never| match never {})))
}

/// Go's line for a header that HTTP/2 has decoded; tests of clients look for it.
fn print_authority(request: &Request<Incoming>) {
    if request.version() == Version::HTTP_2
        && let Some(authority) = request.uri().authority()
    {
        eprintln!("http2: decoded hpack field header field \":authority\" = \"{authority}\"");
    }
}

/// Accepts clients for as long as the runtime lives.
pub async fn serve(listener: Listener, gate: Gate, traffic: Traffic, service: Service) {
    let asks = service.member.config.security.client.client_cert_auth;
    let traces = service.member.spans.is_some();
    let services = Services::new(service);
    accept::run(listener, gate, move |connection| {
        let port = Port {
            services: services.clone(),
            traffic,
            secure: connection.is_secure(),
            certificate: connection
                .common_name
                .clone()
                .filter(|_| asks)
                .map(|common_name| ClientCertificate { common_name }),
            remote: connection.remote.filter(|_| traces).map(Remote),
        };
        converse(port, connection)
    })
    .await;
}

async fn converse(port: Port, connection: Connection) {
    let member = port.services.service.member.clone();
    let rules = member.config.http.clone();
    let stream = Guarded::new(CountedIo { stream: connection, member }, rules.ping_least);
    let handler = hyper::service::service_fn(move |request| {
        let mut port = port.clone();
        async move { Ok::<_, Infallible>(port.answer(request).await) }
    });
    // How a client's connection ends is the client's business.
    let _ = builder(&rules)
        .serve_connection_with_upgrades(TokioIo::new(Mended::new(stream)), handler)
        .await;
}

/// How HTTP is spoken with a client.
pub fn builder(rules: &config::Http) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // As Go writes them: scripts grep for `X-Etcd-Index`.
        .title_case_headers(true);
    // As in Go, the greatest number of all is no limit, and is not told to the client.
    let streams_max = Some(rules.streams_max).filter(|most| *most != u32::MAX);
    let pings = !rules.ping_interval.is_zero() && !rules.ping_timeout.is_zero();
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(streams_max)
        .max_pending_accept_reset_streams(GIVEN_UP_MOST)
        .keep_alive_interval(pings.then_some(rules.ping_interval))
        .keep_alive_timeout(rules.ping_timeout)
        .max_header_list_size(64 << 10);
    builder
}
