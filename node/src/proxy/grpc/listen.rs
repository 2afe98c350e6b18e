//! The proxy's own ports: gRPC and HTTP on one, HTTP alone on another.
//!
//! Accepting, TLS and the rules for connections are a member's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Code, Status, Streaming};

use super::members::Register;
use super::methods::{self, Shape};
use super::plain::Plain;
use crate::api::authority::Mended;
use crate::api::listen::builder;
use crate::api::rpc_counts::code_name;
use crate::api::{gate, route};
use crate::config;
use crate::net::accept::{self, Gate};
use crate::net::pings::Guarded;
use crate::net::{Connection, Listener};
use crate::raw::Raw;

/// The largest message that is taken from a client (grpc-go's default).
const RECEIVE_MAX: usize = 4 << 20;

/// What all requests have in common.
pub struct Port {
    pub plain: Plain,
    pub register: Register,
    pub rules: config::Http,
    /// Write a line about each call.
    pub log_calls: bool,
}

/// Accepts clients for as long as the runtime lives. `grpc`: not HTTP alone.
pub async fn serve(listener: Listener, gate: Gate, port: Arc<Port>, grpc: bool) {
    accept::run(listener, gate, move |connection| converse(port.clone(), connection, grpc)).await;
}

async fn converse(port: Arc<Port>, connection: Connection, grpc: bool) {
    let stream = Mended::new(Guarded::new(connection, port.rules.ping_least));
    let rules = port.rules.clone();
    let handler = hyper::service::service_fn(move |request| {
        let port = port.clone();
        async move { Ok::<_, Infallible>(port.answer(request, grpc).await) }
    });
    // How a client's connection ends is the client's business.
    let _ = builder(&rules).serve_connection(TokioIo::new(stream), handler).await;
}

impl Port {
    async fn answer(&self, request: Request<Incoming>, grpc: bool) -> Response<Body> {
        let is_grpc = request.version() == Version::HTTP_2
            && request
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if is_grpc && grpc {
            return self.carry(request).await;
        }
        let reply = self.plain.answer(&request).await;
        reply.map(|body| Body::new(body.map_err(|never| match never {})))
    }

    async fn carry(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let begin = Instant::now();
        let response = match methods::shape(&path) {
            None => gate::unknown(&path).into_http(),
            Some(Shape::Single { .. }) => self.carry_single(&path, request).await,
            Some(Shape::Stream) => self.carry_stream(&path, request).await,
        };
        if self.log_calls {
            let status = Status::from_header_map(response.headers());
            let code = code_name(status.map_or(Code::Ok, |status| status.code()));
            tracing::info!(method = %path, code, took = ?begin.elapsed(), "gRPC call");
        }
        response
    }

    async fn carry_single(&self, path: &str, request: Request<Incoming>) -> Response<Body> {
        let mut server = Grpc::new(Raw).max_decoding_message_size(RECEIVE_MAX);
        let (relay, register) = (self.plain.relay.clone(), self.register.clone());
        let path = path.to_owned();
        let service = tower::service_fn(move |request: tonic::Request<Bytes>| {
            let (relay, register, path) = (relay.clone(), register.clone(), path.clone());
            async move {
                if path == methods::MEMBER_LIST
                    && let Some(list) = register.list(&relay).await
                {
                    let list = prost::Message::encode_to_vec(&list);
                    return Ok(tonic::Response::new(Bytes::from(list)));
                }
                relay.single(&path, request).await
            }
        });
        route::map_too_large(server.unary(service, request).await)
    }

    async fn carry_stream(&self, path: &str, request: Request<Incoming>) -> Response<Body> {
        let mut server = Grpc::new(Raw).max_decoding_message_size(RECEIVE_MAX);
        let (relay, path) = (self.plain.relay.clone(), path.to_owned());
        let service = tower::service_fn(move |request: tonic::Request<Streaming<Bytes>>| {
            let (relay, path) = (relay.clone(), path.clone());
            async move { relay.stream(&path, request).await }
        });
        server.streaming(service, request).await
    }
}
