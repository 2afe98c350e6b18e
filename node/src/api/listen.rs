//! The client port: HTTP/2 with gRPC and HTTP/1.1 on one listener.
//!
//! gRPC requests go on to [`Services`], the others to [`gateway`] or [`plain`]. Limits are etcd's: any number
//! of streams a connection, and a receive window large enough that a burst of small frames
//! does not end the connection (h2 counts unread small frames against half of it).

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tonic::body::Body;

use super::authority::Mended;
use super::counted_io::CountedIo;
use super::route::Services;
use super::{Service, gateway, http as plain, v2};

const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
/// Headers must be here by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (too many open files) others get time to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

async fn answer(services: &mut Services, request: Request<Incoming>) -> Response<Body> {
    let grpc = request
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    if grpc {
        return services.answer(request).await;
    }
    if services.service.member.config.grpc_gateway && gateway::serves(request.uri().path()) {
        return gateway::answer(services, request).await;
    }
    let service = &services.service;
    if service.member.config.enable_v2 && v2::owns(request.uri().path()) {
        return v2::answer(service, request).await;
    }
    let reply = plain::answer(service, &request).await;
    reply.map(|body| Body::new(body.map_err(|never| match never {})))
}

/// Accepts clients for as long as the runtime lives.
pub async fn serve(listener: TcpListener, service: Service) {
    let services = Services::new(service);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "accepting a client failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let services = services.clone();
        let stream = CountedIo { stream, member: services.service.member.clone() };
        tokio::spawn(async move {
            let handler = hyper::service::service_fn(move |request| {
                let mut services = services.clone();
                async move { Ok::<_, Infallible>(answer(&mut services, request).await) }
            });
            // How a client's connection ends is the client's business.
            let _ = builder().serve_connection(TokioIo::new(Mended::new(stream)), handler).await;
        });
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        // As Go writes them: scripts grep for `X-Etcd-Index`.
        .title_case_headers(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(None)
        .max_header_list_size(64 << 10);
    builder
}
