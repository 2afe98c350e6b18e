//! Which service a gRPC request goes to.
//!
//! The one way to the services, for requests of clients and for those that this member makes
//! itself on behalf of a client: nothing that holds for the former can be missed by the
//! latter. A request goes to the service that its path names, without a router in between:
//! this is the hot path of every request.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body as HttpBody;
use proto::etcdserverpb::auth_server::AuthServer;
use proto::etcdserverpb::cluster_server::ClusterServer;
use proto::etcdserverpb::kv_server::KvServer;
use proto::etcdserverpb::lease_server::LeaseServer;
use proto::etcdserverpb::maintenance_server::MaintenanceServer;
use proto::etcdserverpb::watch_server::WatchServer;
use proto::health::health_server::HealthServer;
use proto::v3electionpb::election_server::ElectionServer;
use proto::v3lockpb::lock_server::LockServer;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service as _;

use super::message_count::CountedRequest;
use super::rpc_counts::{Call, client_version};
use super::{Service, gate, status};

/// What etcd accepts beyond `--max-request-bytes`.
const RECEIVE_EXTRA: usize = 512 << 10;

/// The services, ready to be called.
#[derive(Clone)]
pub struct Services {
    kv: KvServer<Service>,
    watch: WatchServer<Service>,
    lease: LeaseServer<Service>,
    cluster: ClusterServer<Service>,
    maintenance: MaintenanceServer<Service>,
    auth: AuthServer<Service>,
    lock: LockServer<Service>,
    election: ElectionServer<Service>,
    health: HealthServer<Service>,
    /// What all of them work with.
    pub service: Service,
}

/// The largest request message that is taken.
pub fn receive_limit(service: &Service) -> usize {
    service.member.config.limits.max_request_bytes + RECEIVE_EXTRA
}

impl Services {
    /// The services of a member.
    pub fn new(service: Service) -> Self {
        let receive = receive_limit(&service);
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
            lock: limited!(LockServer),
            election: limited!(ElectionServer),
            health: limited!(HealthServer),
            service,
        }
    }

    /// Answers a client's gRPC request, and counts it.
    pub async fn answer<B>(&mut self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let version = match client_version(request.headers()) {
            Ok(version) => version,
            Err(status) => return status.into_http(),
        };
        let Some(call) = Call::begin(&self.service.member, &request, version) else {
            return self.route(request).await;
        };
        let response = match call.counts_requests() {
            Some(count) => {
                let counted = |body| CountedRequest::new(Box::pin(body), count);
                self.route(request.map(counted)).await
            }
            None => self.route(request).await,
        };
        call.answer(response)
    }

    /// Calls the service that the request's path names.
    pub async fn route<B>(&mut self, request: Request<B>) -> Response<Body>
    where
        B: HttpBody + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
    {
        let admitted = match gate::toll(&request) {
            Ok(None) => Ok(()),
            Ok(Some(toll)) => self.service.admit(toll).await,
            Err(unknown) => Err(unknown),
        };
        if let Err(refusal) = admitted {
            return refusal.into_http();
        }
        let path = request.uri().path();
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        let answered = match service {
            "etcdserverpb.Auth" => self.auth.call(request).await,
            "etcdserverpb.KV" => self.kv.call(request).await,
            "etcdserverpb.Watch" => self.watch.call(request).await,
            "etcdserverpb.Lease" => self.lease.call(request).await,
            "etcdserverpb.Cluster" => self.cluster.call(request).await,
            "etcdserverpb.Maintenance" => self.maintenance.call(request).await,
            "v3lockpb.Lock" => self.lock.call(request).await,
            "v3electionpb.Election" => self.election.call(request).await,
            "grpc.health.v1.Health" => self.health.call(request).await,
            _ => Ok(Status::unimplemented(format!("unknown service {service}")).into_http()),
        };
        map_too_large(answered.unwrap_or_else(|never| match never {}))
    }
}

/// The services as a client of them sees them, for requests that this member makes itself.
#[derive(Clone)]
pub struct Loopback {
    services: Services,
    counted: bool,
}

impl Loopback {
    /// For requests that are a client's, in another form.
    pub fn of_client(services: Services) -> Self {
        Self { services, counted: true }
    }

    /// For requests that are part of a client's request, which is counted already.
    pub fn within(service: Service) -> Self {
        Self { services: Services::new(service), counted: false }
    }
}

impl tower::Service<Request<Body>> for Loopback {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { mut services, counted } = self.clone();
        Box::pin(async move {
            if counted {
                return Ok(services.answer(request).await);
            }
            Ok(services.route(request).await)
        })
    }
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

/// Says it of an answer that is an error from its beginning.
pub fn map_too_large(response: Response<Body>) -> Response<Body> {
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
