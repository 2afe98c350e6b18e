//! The client port: HTTP/2 with gRPC and HTTP/1.1 on one listener.
//!
//! Requests go to the service that their path names, without a router in between: this is
//! the hot path of every request. Limits are etcd's: any number of streams a connection, and
//! a receive window large enough that a burst of small frames does not end the connection
//! (h2 counts unread small frames against half of it).

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use proto::etcdserverpb::auth_server::AuthServer;
use proto::etcdserverpb::cluster_server::ClusterServer;
use proto::etcdserverpb::kv_server::KvServer;
use proto::etcdserverpb::lease_server::LeaseServer;
use proto::etcdserverpb::maintenance_server::MaintenanceServer;
use proto::etcdserverpb::watch_server::WatchServer;
use proto::health::health_server::HealthServer;
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;

use super::authority::Mended;
use super::counted_io::CountedIo;
use super::rpc_counts::Call;
use super::{Service, http as plain, status};

const CONNECTION_WINDOW: u32 = 64 << 20;
const STREAM_WINDOW: u32 = 8 << 20;
/// Headers must be here by then.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (too many open files) others get time to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// What etcd accepts beyond `--max-request-bytes`.
const RECEIVE_EXTRA: usize = 512 << 10;

/// The services, ready to be called.
#[derive(Clone)]
struct Services {
    kv: KvServer<Service>,
    watch: WatchServer<Service>,
    lease: LeaseServer<Service>,
    cluster: ClusterServer<Service>,
    maintenance: MaintenanceServer<Service>,
    auth: AuthServer<Service>,
    health: HealthServer<Service>,
    plain: Service,
}

impl Services {
    fn new(service: Service) -> Self {
        let receive = service.member.config.limits.max_request_bytes + RECEIVE_EXTRA;
        let send = i32::MAX as usize;
        macro_rules! limited {
            ($server:ident) => {
                $server::new(service.clone())
                    .max_decoding_message_size(receive)
                    .max_encoding_message_size(send)
            };
        }
        Self {
            kv: limited!(KvServer),
            watch: limited!(WatchServer),
            lease: limited!(LeaseServer),
            cluster: limited!(ClusterServer),
            maintenance: limited!(MaintenanceServer),
            auth: limited!(AuthServer),
            health: limited!(HealthServer),
            plain: service,
        }
    }

    async fn call(&mut self, request: Request<Incoming>) -> Response<Body> {
        let grpc = request
            .headers()
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        if !grpc {
            let reply = plain::answer(&self.plain, &request).await;
            return reply.map(|body| Body::new(body.map_err(|never| match never {})));
        }
        let path = request.uri().path();
        let call = Call::begin(&self.plain.member, path);
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        if let Err(refusal) = self.plain.admit(&request).await {
            let response = refusal.into_http();
            return match call {
                Some(call) => call.answer(response),
                None => response,
            };
        }
        let answered = match service {
            "etcdserverpb.Auth" => self.auth.call(request).await,
            "etcdserverpb.KV" => self.kv.call(request).await,
            "etcdserverpb.Watch" => self.watch.call(request).await,
            "etcdserverpb.Lease" => self.lease.call(request).await,
            "etcdserverpb.Cluster" => self.cluster.call(request).await,
            "etcdserverpb.Maintenance" => self.maintenance.call(request).await,
            "grpc.health.v1.Health" => self.health.call(request).await,
            _ => Ok(Status::unimplemented(format!("unknown service {service}")).into_http()),
        };
        let response = answered.unwrap_or_else(|never| match never {});
        let response = map_too_large(response);
        match call {
            Some(call) => call.answer(response),
            None => response,
        }
    }
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
        let stream = CountedIo { stream, member: services.plain.member.clone() };
        tokio::spawn(async move {
            let handler = hyper::service::service_fn(move |request| {
                let mut services = services.clone();
                async move { Ok::<_, Infallible>(services.call(request).await) }
            });
            // How a client's connection ends is the client's business.
            let _ = builder().serve_connection(TokioIo::new(Mended::new(stream)), handler).await;
        });
    }
}

fn builder() -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_concurrent_streams(None)
        .max_header_list_size(64 << 10);
    builder
}

/// tonic's own words for a message over the limit.
const TOO_LARGE: &str = "decoded message length too large: found ";

/// Says what etcd says of a request message over the limit.
pub fn map_decode_error(error: Status) -> Status {
    if error.code() != Code::OutOfRange {
        return error;
    }
    let Some((_, numbers)) = error.message().split_once(TOO_LARGE) else { return error };
    let mut numbers = numbers.split(|c: char| !c.is_ascii_digit()).filter(|word| !word.is_empty());
    let mut number = || numbers.next().and_then(|word| word.parse().ok()).unwrap_or_default();
    let (size, limit) = (number(), number());
    status::message_too_large(size, limit)
}

fn map_too_large(response: Response<Body>) -> Response<Body> {
    // Only a response that failed at once carries its status in the headers.
    let Some(code) = response.headers().get("grpc-status") else { return response };
    if code != "11" {
        return response;
    }
    match Status::from_header_map(response.headers()) {
        Some(error) => map_decode_error(error).into_http(),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_over_the_limit_is_told_in_etcds_words() {
        let text = "Error, decoded message length too large: found 2200000 bytes, the limit is: 2097152 bytes";
        let mapped = map_decode_error(Status::out_of_range(text));
        assert_eq!(mapped.code(), Code::ResourceExhausted);
        assert_eq!(
            mapped.message(),
            "grpc: received message larger than max (2200000 vs. 2097152)"
        );
        let other = Status::out_of_range("etcdserver: mvcc: required revision has been compacted");
        assert_eq!(map_decode_error(other).code(), Code::OutOfRange);
    }
}
