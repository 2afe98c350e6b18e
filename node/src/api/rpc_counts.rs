//! How many calls of each method came in, and how they ended.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tonic::body::Body;
use tonic::{Code, Status};

use crate::member::Member;
use crate::metrics::Page;

/// Calls by method and by end. One lock: a call takes it twice, for a few nanoseconds.
#[derive(Default)]
pub struct RpcCounts(Mutex<BTreeMap<Method, Counts>>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Method {
    service: &'static str,
    name: &'static str,
}

#[derive(Default)]
struct Counts {
    started: u64,
    handled: BTreeMap<&'static str, u64>,
}

const METHODS: [(&str, &[&str]); 8] = [
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
fn code_name(code: Code) -> &'static str {
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
        self.0.lock().entry(method).or_default().started += 1;
    }

    fn handled(&self, method: Method, code: Code) {
        let mut counts = self.0.lock();
        *counts.entry(method).or_default().handled.entry(code_name(code)).or_default() += 1;
    }

    /// Writes both counters; methods never called are there too.
    pub fn write(&self, page: &mut Page) {
        let counts = self.0.lock();
        let mut started = Vec::new();
        let mut handled = Vec::new();
        for (service, names) in METHODS {
            for name in names {
                let method = Method { service, name };
                let labels = format!(
                    "grpc_method=\"{name}\",grpc_service=\"{service}\",grpc_type=\"{}\"",
                    method.kind()
                );
                let counts = counts.get(&method);
                for (code, count) in counts.iter().flat_map(|counts| &counts.handled) {
                    handled.push((format!("grpc_code=\"{code}\",{labels}"), *count as f64));
                }
                let calls = counts.map_or(0, |counts| counts.started);
                started.push((labels, calls as f64));
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
    }
}

/// Counts a call from its start; the end is counted when this goes.
pub struct Call {
    member: Arc<Member>,
    method: Method,
    /// A call that is dropped before it has ended was cancelled by its client.
    code: Code,
}

impl Call {
    /// A call to `path` begins, if it is one of ours.
    pub fn begin(member: &Arc<Member>, path: &str) -> Option<Self> {
        let method = Method::of(path)?;
        member.metrics.rpcs.started(method);
        Some(Self { member: member.clone(), method, code: Code::Cancelled })
    }

    /// The call has an answer: it has failed at once, or ends with the response's body.
    pub fn answer(mut self, response: Response<Body>) -> Response<Body> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            self.code = status.code();
            return response;
        }
        if self.method.kind() == "unary" {
            // What follows is one message that is there already.
            self.code = Code::Ok;
            return response;
        }
        response.map(|body| Body::new(Counted { body, call: self }))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.member.metrics.rpcs.handled(self.method, self.code);
    }
}

/// A stream's body, which ends its call.
struct Counted {
    body: Body,
    call: Call,
}

impl Counted {
    fn ended(&mut self, trailers: Option<&HeaderMap>) {
        let status = trailers.and_then(Status::from_header_map);
        self.call.code = status.map_or(Code::Ok, |status| status.code());
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
                if let Some(trailers) = frame.trailers_ref() {
                    this.ended(Some(trailers));
                }
            }
            Some(Err(status)) => this.call.code = status.code(),
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
