//! HTTP beside gRPC: whether the proxy and the members behind it work, and both sides' metrics.
//!
//! `/health` asks a member for a key; `/proxy/health` also opens a watch, through the same code
//! as a client's. `/metrics` are a member's, `/proxy/metrics` the proxy's own.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::StreamExt as _;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use proto::etcdserverpb as pb;
use tokio::time::timeout;
use tonic::Code;
use tonic::metadata::MetadataMap;

use super::methods;
use super::relay::Relay;
use crate::api::http::{Reply, error, not_found, text};
use crate::api::{checks, profiles};
use crate::metrics::{page::Page, process};
use crate::net::{Dialer, Url};

/// The key that is read; whether it is there does not matter.
const KEY: &[u8] = b"a";
const READ: Duration = Duration::from_secs(1);
const WATCH: Duration = Duration::from_secs(3);
const FETCH: Duration = Duration::from_secs(5);
const PAGE_MAX: usize = 16 << 20;

/// What answers HTTP.
#[derive(Clone)]
pub struct Plain {
    pub relay: Relay,
    /// For HTTP/1.1 with a member.
    pub dialer: Dialer,
    pub profiles: bool,
    /// Whether the proxy says where it is.
    pub advertised: bool,
    pub started: Instant,
}

impl Plain {
    /// Answers a request that is not gRPC.
    pub async fn answer<B>(&self, request: &Request<B>) -> Reply {
        let path = request.uri().path();
        let is_check = matches!(path, "/health" | "/proxy/health");
        if is_check && request.method() != Method::GET {
            let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
            reply.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
            return reply;
        }
        match path {
            "/health" => checks::verdict(self.unhealthy().await),
            "/proxy/health" => checks::verdict(self.proxy_unhealthy().await),
            "/metrics" => match timeout(FETCH, self.metrics_of_a_member()).await {
                Ok(Ok(page)) => metrics(page),
                Ok(Err(why)) => unreachable_member(&why),
                Err(_) => unreachable_member("no answer in time"),
            },
            "/proxy/metrics" => metrics(self.page().into()),
            _ if self.profiles && profiles::owns(path) => {
                let query = crate::api::http::parameters(request.uri().query());
                profiles::answer(path, &query).await
            }
            _ => not_found(),
        }
    }

    async fn unhealthy(&self) -> Option<String> {
        let question = pb::RangeRequest { key: Bytes::from_static(KEY), ..Default::default() };
        let asked = self.relay.ask::<_, pb::RangeResponse>(methods::RANGE, &question);
        match timeout(READ, asked).await {
            Ok(Ok(_)) => None,
            Ok(Err(status)) if status.code() == Code::PermissionDenied => None,
            // While users are in force nobody may read, and a member said so.
            Ok(Err(status)) if status.message() == "etcdserver: user name is empty" => None,
            Ok(Err(status)) => Some(format!("GET ERROR:{}", status.message())),
            Err(_) => Some("GET ERROR:context deadline exceeded".to_owned()),
        }
    }

    async fn proxy_unhealthy(&self) -> Option<String> {
        if !self.advertised {
            return Some("no connection to proxy".to_owned());
        }
        if let Some(why) = self.unhealthy().await {
            return Some(why);
        }
        match timeout(WATCH, self.opens_a_watch()).await {
            Ok(true) => None,
            Ok(false) | Err(_) => Some("WATCH TIMEOUT".to_owned()),
        }
    }

    async fn opens_a_watch(&self) -> bool {
        let create = pb::WatchCreateRequest { key: Bytes::from_static(KEY), ..Default::default() };
        let request_union = Some(pb::watch_request::RequestUnion::CreateRequest(create));
        let question = Bytes::from(pb::WatchRequest { request_union }.encode_to_vec());
        // The stream stays open: a client's would.
        let asked = futures::stream::once(async { Ok(question) }).chain(futures::stream::pending());
        let carried = self.relay.carry(methods::WATCH, MetadataMap::new(), Box::pin(asked));
        match carried.await {
            Ok(answers) => matches!(answers.into_inner().next().await, Some(Ok(_))),
            Err(_) => false,
        }
    }

    async fn metrics_of_a_member(&self) -> Result<Bytes, String> {
        let endpoint = self.relay.upstream.endpoint().ok_or("there is no endpoint")?;
        let url = Url::parse(&endpoint).map_err(|error| error.to_string())?;
        let host = url.host().to_owned();
        let opened = self.dialer.clone().open(url, FETCH).await;
        let stream = TokioIo::new(opened.map_err(|error| error.to_string())?);
        let (mut sender, connection) =
            http1::handshake(stream).await.map_err(|error| error.to_string())?;
        tokio::spawn(connection);
        let request = Request::get("/metrics")
            .header(header::HOST, host)
            .body(Full::<Bytes>::default())
            .map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let body = Limited::new(response.into_body(), PAGE_MAX).collect().await;
        Ok(body.map_err(|error| error.to_string())?.to_bytes())
    }

    /// The families that etcd's proxy has; nothing is cached and no watch is shared here.
    fn page(&self) -> String {
        let mut page = Page::default();
        let name = "etcd_grpc_proxy_cache_hits_total";
        page.gauge(name, "Total number of cache hits", 0.0);
        let name = "etcd_grpc_proxy_cache_keys_total";
        page.gauge(name, "Total number of keys/ranges cached", 0.0);
        let name = "etcd_grpc_proxy_cache_misses_total";
        page.gauge(name, "Total number of cache misses", 0.0);
        let name = "etcd_grpc_proxy_events_coalescing_total";
        page.counter(name, "Total number of events coalescing", 0.0);
        let name = "etcd_grpc_proxy_watchers_coalescing_total";
        page.gauge(name, "Total number of current watchers coalescing", 0.0);
        process::write(&mut page, self.started.elapsed());
        page.into_text()
    }
}

fn metrics(page: Bytes) -> Reply {
    let mut reply = text(StatusCode::OK, "");
    *reply.body_mut() = Full::new(page);
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4");
    reply.headers_mut().insert(header::CONTENT_TYPE, kind);
    reply
}

fn unreachable_member(why: &str) -> Reply {
    tracing::warn!(error = %why, "the metrics of a member cannot be fetched");
    error(StatusCode::INTERNAL_SERVER_ERROR, "Internal server error")
}
