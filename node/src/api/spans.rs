//! Traces: a span for each call of a client, sent to a collector of OpenTelemetry.
//!
//! A call is traced if its client traces it (`traceparent`, W3C Trace Context), or else by the
//! rate that was asked for. Spans are named and described as etcd's are, by the conventions for
//! gRPC. They are collected and sent in batches, beside the calls: a collector that is slow or
//! gone costs spans and no call. Which calls there are and when they end is
//! [`super::rpc_counts`]'s.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{Span as _, SpanKind, Status as End, Tracer as _, TracerProvider as _};
use opentelemetry_otlp::{SpanExporter as Exporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{Sampler, SdkTracer, SdkTracerProvider, SpanData, SpanExporter};
use tonic::{Code, Status};

use crate::config::DistributedTracing;

/// What the last spans may take on their way when a member stops.
const LAST_SPANS: Duration = Duration::from_millis(500);

/// Makes spans, and sends them.
#[derive(Debug)]
pub struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// The traced part of one call.
#[derive(Debug)]
pub struct Span(opentelemetry_sdk::trace::Span);

/// The other side of the connection that a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub SocketAddr);

impl Spans {
    /// Sends spans where `options` say. Call on the runtime that is to send them.
    pub fn start(options: &DistributedTracing) -> Result<Self, String> {
        let exporter = Exporter::builder()
            .with_tonic()
            .with_endpoint(format!("http://{}", options.address))
            .build()
            .map_err(|error| error.to_string())?;
        let exporter = Told { exporter, failing: AtomicBool::new(false) };
        let id = options.instance_id.iter();
        let resource = Resource::builder_empty()
            .with_attribute(KeyValue::new("service.name", options.service_name.clone()))
            .with_attributes(id.map(|id| KeyValue::new("service.instance.id", id.clone())))
            .build();
        let own = match options.samples_per_million {
            0 => Sampler::AlwaysOff,
            rate => Sampler::TraceIdRatioBased(f64::from(rate) / 1e6),
        };
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(own)))
            .build();
        Ok(Self { tracer: provider.tracer("etcd-tui"), provider })
    }

    /// A call begins; `None` if it is not traced.
    pub fn begin(
        &self,
        headers: &HeaderMap,
        remote: Option<Remote>,
        (service, method): (&'static str, &'static str),
    ) -> Option<Span> {
        let parent = TraceContextPropagator::new().extract(&Headers(headers));
        let builder =
            self.tracer.span_builder(format!("{service}/{method}")).with_kind(SpanKind::Server);
        let mut span = self.tracer.build_with_context(builder, &parent);
        if !span.is_recording() {
            return None;
        }
        span.set_attribute(KeyValue::new("rpc.system", "grpc"));
        span.set_attribute(KeyValue::new("rpc.service", service));
        span.set_attribute(KeyValue::new("rpc.method", method));
        if let Some(Remote(address)) = remote {
            span.set_attribute(KeyValue::new("net.sock.peer.addr", address.ip().to_string()));
            span.set_attribute(KeyValue::new("net.sock.peer.port", i64::from(address.port())));
        }
        Some(Span(span))
    }

    /// Sends what is left. Blocks, for a moment at most.
    pub fn stop(&self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LAST_SPANS) {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

impl Span {
    /// Keeps what the client is told of an error, if the error is the server's fault.
    pub fn failed(&mut self, status: &Status) {
        if is_the_servers(status.code()) {
            self.0.set_status(End::error(status.message().to_owned()));
        }
    }

    /// The call has ended.
    pub fn end(mut self, code: Code) {
        self.0.set_attribute(KeyValue::new("rpc.grpc.status_code", i64::from(i32::from(code))));
        self.0.end();
    }
}

/// An exporter that says in the log when it begins to fail, and when it is over.
#[derive(Debug)]
struct Told {
    exporter: Exporter,
    failing: AtomicBool,
}

impl SpanExporter for Told {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let done = self.exporter.export(batch).await;
        let failed_before = self.failing.swap(done.is_err(), Ordering::Relaxed);
        match &done {
            Err(error) if !failed_before => tracing::warn!(%error, "traces are not sent"),
            Ok(()) if failed_before => tracing::info!("traces are sent again"),
            _ => {}
        }
        done
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// The codes that count as errors of the server, by OpenTelemetry's conventions for gRPC.
fn is_the_servers(code: Code) -> bool {
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
