//! How many calls of each method came in, and how they ended.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::{Code, Status};

use super::message_count::Messages;
use super::spans::{Remote, Span};
use super::status;
use crate::member::Member;
use crate::metrics::page::escaped;
use crate::metrics::{Histogram, Page};

/// Calls by method and by end. One lock: a call takes it twice, for a few nanoseconds.
#[derive(Default)]
pub struct RpcCounts {
    methods: Mutex<BTreeMap<Method, Counts>>,
    /// Requests by kind and by the version that the client says it has.
    versions: Mutex<BTreeMap<(&'static str, String), u64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Method {
    service: &'static str,
    name: &'static str,
}

#[derive(Default)]
struct Counts {
    started: u64,
    handled: BTreeMap<&'static str, u64>,
    received: u64,
    sent: u64,
    times: Option<Histogram>,
}

/// Bounds of the histogram of calls, as Go's gRPC library has them.
const TIME_BOUNDS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Different versions that are told apart: clients can say anything.
const VERSIONS_MAX: usize = 64;
const VERSION_HEADER: &str = "client-api-version";

/// The version a client says it has.
pub fn client_version(headers: &HeaderMap) -> Result<&str, Status> {
    let Some(value) = headers.get(VERSION_HEADER) else { return Ok("unknown") };
    std::str::from_utf8(value.as_bytes()).map_err(|_| status::invalid_client_version())
}

const METHODS: [(&str, &[&str]); 9] = [
    ("etcdserverpb.KV", &["Range", "Put", "DeleteRange", "Txn", "Compact"]),
    ("etcdserverpb.Watch", &["Watch"]),
    (
        "etcdserverpb.Lease",
        &["LeaseGrant", "LeaseRevoke", "LeaseKeepAlive", "LeaseTimeToLive", "LeaseLeases"],
    ),
    (
        "etcdserverpb.Cluster",
        &["MemberAdd", "MemberRemove", "MemberUpdate", "MemberList", "MemberPromote"],
    ),
    (
        "etcdserverpb.Maintenance",
        &["Alarm", "Status", "Defragment", "Hash", "HashKV", "Snapshot", "MoveLeader", "Downgrade"],
    ),
    (
        "etcdserverpb.Auth",
        &[
            "AuthEnable",
            "AuthDisable",
            "AuthStatus",
            "Authenticate",
            "UserAdd",
            "UserGet",
            "UserList",
            "UserDelete",
            "UserChangePassword",
            "UserGrantRole",
            "UserRevokeRole",
            "RoleAdd",
            "RoleGet",
            "RoleList",
            "RoleDelete",
            "RoleGrantPermission",
            "RoleRevokePermission",
        ],
    ),
    ("v3lockpb.Lock", &["Lock", "Unlock"]),
    ("v3electionpb.Election", &["Campaign", "Proclaim", "Leader", "Observe", "Resign"]),
    ("grpc.health.v1.Health", &["Check", "Watch"]),
];

impl Method {
    fn of(path: &str) -> Option<Self> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        let (service, names) = METHODS.iter().find(|(known, _)| *known == service)?;
        let name = names.iter().find(|known| **known == name)?;
        Some(Self { service, name })
    }

    fn labels(self) -> String {
        let Self { service, name } = self;
        let kind = self.kind();
        format!("grpc_method=\"{name}\",grpc_service=\"{service}\",grpc_type=\"{kind}\"")
    }

    fn client_streams(self) -> bool {
        self.kind() == "bidi_stream"
    }

    fn kind(self) -> &'static str {
        match self.name {
            "Watch" if self.service == "etcdserverpb.Watch" => "bidi_stream",
            "LeaseKeepAlive" => "bidi_stream",
            "Snapshot" | "Watch" | "Observe" => "server_stream",
            _ => "unary",
        }
    }
}

/// Go's name of a code, as the dashboards know it.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "Canceled",
        Code::Unknown => "Unknown",
        Code::InvalidArgument => "InvalidArgument",
        Code::DeadlineExceeded => "DeadlineExceeded",
        Code::NotFound => "NotFound",
        Code::AlreadyExists => "AlreadyExists",
        Code::PermissionDenied => "PermissionDenied",
        Code::ResourceExhausted => "ResourceExhausted",
        Code::FailedPrecondition => "FailedPrecondition",
        Code::Aborted => "Aborted",
        Code::OutOfRange => "OutOfRange",
        Code::Unimplemented => "Unimplemented",
        Code::Internal => "Internal",
        Code::Unavailable => "Unavailable",
        Code::DataLoss => "DataLoss",
        Code::Unauthenticated => "Unauthenticated",
    }
}

impl RpcCounts {
    fn started(&self, method: Method) {
        self.methods.lock().entry(method).or_default().started += 1;
    }

    fn handled(&self, call: &Call) {
        let mut methods = self.methods.lock();
        let counts = methods.entry(call.method).or_default();
        *counts.handled.entry(code_name(call.code)).or_default() += 1;
        counts.received += call.received.load(Ordering::Relaxed);
        counts.sent += call.sent;
        if call.member.config.upkeep.extensive_metrics {
            let times = counts.times.get_or_insert_with(|| Histogram::of(TIME_BOUNDS.to_vec()));
            times.observe(call.began.elapsed());
        }
    }

    fn version(&self, kind: &'static str, version: &str) {
        let mut versions = self.versions.lock();
        let full = versions.len() >= VERSIONS_MAX;
        let key = (kind, version.to_owned());
        let key =
            if full && !versions.contains_key(&key) { (kind, "other".to_owned()) } else { key };
        *versions.entry(key).or_default() += 1;
    }

    /// Writes both counters; methods never called are there too.
    pub fn write(&self, page: &mut Page, extensive: bool) {
        let counts = self.methods.lock();
        let (mut received, mut sent) = (Vec::new(), Vec::new());
        let mut started = Vec::new();
        let mut handled = Vec::new();
        for (service, names) in METHODS {
            for name in names {
                let method = Method { service, name };
                let labels = method.labels();
                let counts = counts.get(&method);
                for (code, count) in counts.iter().flat_map(|counts| &counts.handled) {
                    handled.push((format!("grpc_code=\"{code}\",{labels}"), *count as f64));
                }
                let of = |pick: fn(&Counts) -> u64| counts.map_or(0, pick) as f64;
                received.push((labels.clone(), of(|counts| counts.received)));
                sent.push((labels.clone(), of(|counts| counts.sent)));
                started.push((labels, of(|counts| counts.started)));
            }
        }
        page.labelled(
            "grpc_server_started_total",
            "counter",
            "Total number of RPCs started on the server.",
            &started,
        );
        page.labelled(
            "grpc_server_handled_total",
            "counter",
            "Total number of RPCs completed on the server, regardless of success or failure.",
            &handled,
        );
        let help = "Total number of RPC stream messages received on the server.";
        page.labelled("grpc_server_msg_received_total", "counter", help, &received);
        let help = "Total number of gRPC stream messages sent by the server.";
        page.labelled("grpc_server_msg_sent_total", "counter", help, &sent);
        if extensive {
            let name = "grpc_server_handling_seconds";
            let help = "Histogram of response latency (seconds) of gRPC that had been \
                        application-level handled by the server.";
            page.head(name, "histogram", help);
            for (method, times) in
                counts.iter().filter_map(|(method, counts)| Some((method, counts.times.as_ref()?)))
            {
                times.write_series(page, name, &method.labels());
            }
        }
        let versions = self.versions.lock();
        let rows = versions.iter().map(|((kind, version), count)| {
            let version = escaped(version);
            (format!("client_api_version=\"{version}\",type=\"{kind}\""), *count as f64)
        });
        page.labelled(
            "etcd_server_client_requests_total",
            "counter",
            "The total number of client requests per client version.",
            &rows.collect::<Vec<_>>(),
        );
    }
}

/// Counts a call from its start; the end is counted when this goes.
pub struct Call {
    member: Arc<Member>,
    method: Method,
    /// A call that is dropped before it has ended was cancelled by its client.
    code: Code,
    began: Instant,
    /// Messages of the client's stream; one for a unary call.
    received: Arc<AtomicU64>,
    sent: u64,
    span: Option<Span>,
}

impl Call {
    /// A call begins, if its path is one of ours.
    pub fn begin<B>(member: &Arc<Member>, request: &Request<B>, version: &str) -> Option<Self> {
        let method = Method::of(request.uri().path())?;
        let rpcs = &member.metrics.rpcs;
        rpcs.started(method);
        let streams = method.client_streams();
        rpcs.version(if method.kind() == "unary" { "unary" } else { "stream" }, version);
        Some(Self {
            member: member.clone(),
            method,
            code: Code::Cancelled,
            began: Instant::now(),
            received: Arc::new(AtomicU64::new(u64::from(!streams))),
            sent: 0,
            span: member.spans.as_ref().and_then(|spans| {
                let remote = request.extensions().get::<Remote>().copied();
                spans.begin(request.headers(), remote, (method.service, method.name))
            }),
        })
    }

    /// Where messages of the client's stream are to be counted, if it sends one.
    pub fn counts_requests(&self) -> Option<Arc<AtomicU64>> {
        self.method.client_streams().then(|| self.received.clone())
    }

    /// The call has an answer: it has failed at once, or ends with the response's body.
    pub fn answer(mut self, response: Response<Body>) -> Response<Body> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            self.conclude(&status);
            return response;
        }
        if self.method.kind() == "unary" {
            // What follows is one message that is there already.
            self.code = Code::Ok;
            self.sent = 1;
            return response;
        }
        let messages = Messages::default();
        response.map(|body| Body::new(Counted { body, call: self, messages }))
    }

    fn conclude(&mut self, status: &Status) {
        self.code = status.code();
        if let Some(span) = &mut self.span {
            span.failed(status);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.member.metrics.rpcs.handled(self);
        if let Some(span) = self.span.take() {
            span.end(self.code);
        }
        let took = self.began.elapsed();
        if took > self.member.config.slow.unary && self.method.kind() == "unary" {
            let Method { service, name } = self.method;
            tracing::warn!(
                time_spent = ?took,
                expected_duration = ?self.member.config.slow.unary,
                request = %format!("/{service}/{name}"),
                code = code_name(self.code),
                "request stats"
            );
        }
    }
}

/// A stream's body, which ends its call.
struct Counted {
    body: Body,
    call: Call,
    messages: Messages,
}

impl Counted {
    fn ended(&mut self, trailers: Option<&HeaderMap>) {
        match trailers.and_then(Status::from_header_map) {
            Some(status) => self.call.conclude(&status),
            None => self.call.code = Code::Ok,
        }
    }
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.call.sent += this.messages.pass(data);
                }
                if let Some(trailers) = frame.trailers_ref() {
                    this.ended(Some(trailers));
                }
            }
            Some(Err(status)) => this.call.conclude(status),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
