//! Traces of requests, as a collector gets them: `--enable-distributed-tracing`.

use std::sync::mpsc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use tonic::{Request, Response, Status};

use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// Spans are sent every five seconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a collector was sent: a span, and the attributes of who sent it.
struct Sent {
    from: Vec<KeyValue>,
    span: Span,
}

struct Collector {
    sent: mpsc::Sender<Sent>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for group in request.into_inner().resource_spans {
            let from = group.resource.unwrap_or_default().attributes;
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let _ = self.sent.send(Sent { from: from.clone(), span });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector, for as long as the runtime lives: its address, and what comes in.
fn collector(runtime: &tokio::runtime::Runtime) -> (String, mpsc::Receiver<Sent>) {
    let (sent, received) = mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    runtime.spawn(async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Collector { sent }))
            .serve_with_incoming(incoming)
            .await
    });
    (address, received)
}

fn text(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|it| it.key == name)?.value.clone();
    match found {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        other => panic!("{name} is {other:?}"),
    }
}

/// etcd 3.4 has no traces.
#[test]
fn traces_of_our_requests_reach_a_collector() {
    crate::run_on_wire(Engine::Ours, traces_of_requests_reach_a_collector);
}

#[test]
fn traces_of_requests_of_etcd_reach_a_collector() {
    crate::run_on_wire(Engine::Etcd35, traces_of_requests_reach_a_collector);
}

fn traces_of_requests_reach_a_collector(engine: Engine) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (address, received) = collector(&runtime);
    let flags = [
        "--experimental-enable-distributed-tracing".to_owned(),
        format!("--experimental-distributed-tracing-address={address}"),
        "--experimental-distributed-tracing-service-name=traced".to_owned(),
        "--experimental-distributed-tracing-instance-id=one".to_owned(),
    ];
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let cluster = Cluster::start(engine, 1, &flags);
    let client = Client::new(&cluster.nodes[0].client_url());

    let range = |key: &str, traced: bool| {
        let mut request =
            Request::new(pb::RangeRequest { key: key.to_owned().into(), ..Default::default() });
        if traced {
            let parent = format!("00-{TRACE}-{PARENT}-01").parse().unwrap();
            request.metadata_mut().insert("traceparent", parent);
        }
        client.wait(KvClient::new(client.channel()).range(request))
    };
    range("untraced", false).unwrap();
    range("k", true).unwrap();
    assert!(range("", true).is_err(), "no key is an error");

    let ours = engine == Engine::Ours;
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let mut codes = Vec::new();
    while codes.len() < 2 {
        let Sent { from, span } = received.recv_timeout(PATIENCE).expect("a span");
        if hex(&span.trace_id) != TRACE {
            // etcd 3.5 traces everything.
            assert!(!ours, "{} was not to be traced", span.name);
            continue;
        }
        assert_eq!(hex(&span.parent_span_id), PARENT);
        assert_eq!(
            (span.name.as_str(), span.kind),
            ("etcdserverpb.KV/Range", SpanKind::Server as i32)
        );
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert_eq!(text(&from, "service.name").as_deref(), Some("traced"));
        assert_eq!(text(&from, "service.instance.id").as_deref(), Some("one"));
        let is = |name: &str| text(&span.attributes, name).unwrap_or_default();
        assert_eq!((is("rpc.system"), is("rpc.method")), ("grpc".into(), "Range".into()));
        assert_eq!(is("rpc.service"), "etcdserverpb.KV");
        codes.push(is("rpc.grpc.status_code"));
    }
    assert_eq!(codes, ["0", "3"], "OK, and InvalidArgument");
}
