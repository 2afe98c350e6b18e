//! HTTP/1.1 beside gRPC on the client port: health, version, metrics.

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::{Service, checks, debug, metrics_page, profiles};

/// What a plain request gets.
pub type Reply = Response<Full<Bytes>>;

fn reply(status: StatusCode, content_type: &str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    if let Ok(value) = header::HeaderValue::from_str(content_type) {
        reply.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    reply
}

/// An answer in words.
pub fn text(status: StatusCode, body: impl Into<String>) -> Reply {
    reply(status, "text/plain; charset=utf-8", body.into())
}

/// An error as Go's library writes it.
pub fn error(status: StatusCode, body: &str) -> Reply {
    let mut reply = text(status, format!("{body}\n"));
    let nosniff = header::HeaderValue::from_static("nosniff");
    reply.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    reply
}

/// Nothing is served there.
pub fn not_found() -> Reply {
    error(StatusCode::NOT_FOUND, "404 page not found")
}

/// Parameters of a query: names may come more than once.
pub fn parameters(query: Option<&str>) -> Vec<(&str, &str)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect()
}

/// Answers a request that is not gRPC.
pub async fn answer<B>(service: &Service, request: &Request<B>) -> Reply {
    let path = request.uri().path();
    let query = parameters(request.uri().query());
    if request.method() != Method::GET && is_known(path) {
        let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        reply.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        return reply;
    }
    if service.member.config.http.profiles && profiles::owns(path) {
        return profiles::answer(path, &query).await;
    }
    match path {
        "/version" => reply(StatusCode::OK, "application/json", version(service)),
        "/debug/vars" => {
            reply(StatusCode::OK, "application/json; charset=utf-8", debug::variables(service))
        }
        "/metrics" => reply(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            metrics_page::page(service),
        ),
        _ => match checks::answer(service, path, &query).await {
            Some(reply) => reply,
            None => not_found(),
        },
    }
}

/// Whether only GET makes sense; the metrics answer to anything, as etcd's do.
fn is_known(path: &str) -> bool {
    path == "/version" || path == "/debug/vars" || checks::is_check(path)
}

/// Whether a listener for metrics alone serves it.
pub fn is_of_metrics(path: &str) -> bool {
    path == "/metrics" || checks::is_check(path)
}

/// In etcd's order, which scripts take parts out of.
fn version(service: &Service) -> String {
    let cluster = service.member.state.read().cluster_version.clone();
    let cluster = if cluster.is_empty() { "not_decided".to_owned() } else { cluster };
    let server = &service.member.config.version;
    // Versions are numbers and dots.
    format!(r#"{{"etcdserver":"{server}","etcdcluster":"{cluster}","storage":"{cluster}"}}"#)
}
