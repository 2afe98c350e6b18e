//! HTTP/1.1 beside gRPC on the client port: health, version, metrics.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use proto::etcdserverpb::AlarmType;

use super::Service;
use crate::metrics::Metrics;

type Reply = Response<Full<Bytes>>;

/// How long a health check waits for a linearizable read.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

fn reply(status: StatusCode, content_type: &str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    if let Ok(value) = header::HeaderValue::from_str(content_type) {
        reply.headers_mut().insert(header::CONTENT_TYPE, value);
    }
    reply
}

fn text(status: StatusCode, body: impl Into<String>) -> Reply {
    reply(status, "text/plain; charset=utf-8", body.into())
}

fn json(status: StatusCode, body: &serde_json::Value) -> Reply {
    reply(status, "application/json", body.to_string())
}

/// Parameters of a query: names may come more than once.
fn parameters(query: Option<&str>) -> Vec<(&str, &str)> {
    let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect()
}

/// Answers a request that is not gRPC.
pub async fn answer<B>(service: &Service, request: &Request<B>) -> Reply {
    let path = request.uri().path();
    let query = parameters(request.uri().query());
    if request.method() != Method::GET && is_known(path) {
        let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
        reply.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        return reply;
    }
    match path {
        "/health" => health(service, &query).await,
        "/version" => json(StatusCode::OK, &version(service)),
        "/metrics" => reply(
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            super::metrics_page::page(service),
        ),
        "/livez" | "/readyz" => checks(service, path, &query).await,
        _ => match path.split_once('/').and_then(|(_, rest)| rest.split_once('/')) {
            Some((kind @ ("livez" | "readyz"), name)) => one_check(service, kind, name).await,
            _ => text(StatusCode::NOT_FOUND, "404 page not found\n"),
        },
    }
}

fn is_known(path: &str) -> bool {
    ["/health", "/version", "/metrics", "/livez", "/readyz"].iter().any(|known| {
        path.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn version(service: &Service) -> serde_json::Value {
    let cluster = service.member.state.read().cluster_version.clone();
    let cluster = if cluster.is_empty() { "not_decided".to_owned() } else { cluster };
    serde_json::json!({
        "etcdserver": service.member.config.version,
        "etcdcluster": cluster,
        "storage": cluster,
    })
}

async fn health(service: &Service, query: &[(&str, &str)]) -> Reply {
    let excluded = |alarm: &str| {
        query.iter().any(|(name, value)| *name == "exclude" && value.eq_ignore_ascii_case(alarm))
    };
    let serializable = query.contains(&("serializable", "true"));
    let reason = unhealthy(service, excluded, serializable).await;
    let metrics = &service.member.metrics;
    let counter =
        if reason.is_empty() { &metrics.health_successes } else { &metrics.health_failures };
    Metrics::count(counter);
    let healthy = reason.is_empty();
    let body = serde_json::json!({ "health": healthy.to_string(), "reason": reason });
    let status = if healthy { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &body)
}

async fn unhealthy(
    service: &Service,
    excluded: impl Fn(&str) -> bool,
    serializable: bool,
) -> String {
    for alarm in service.member.state.read().alarms.list(AlarmType::None) {
        let name = alarm.alarm().as_str_name();
        if !excluded(name) {
            return format!("ALARM {name}");
        }
    }
    if serializable {
        return String::new();
    }
    if service.handle.leadership().leader == 0 {
        return "RAFT NO LEADER".to_owned();
    }
    match tokio::time::timeout(HEALTH_TIMEOUT, service.linearize()).await {
        Ok(Ok(())) => String::new(),
        Ok(Err(status)) => format!("RANGE ERROR:{}", status.message()),
        Err(_) => "RANGE ERROR:etcdserver: request timed out".to_owned(),
    }
}

const LIVE: [&str; 1] = ["serializable_read"];
const READY: [&str; 4] =
    ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];

async fn check(service: &Service, kind: &'static str, name: &'static str) -> Result<(), String> {
    let outcome = look(service, name).await;
    service.member.metrics.checks.ended(kind, name, outcome.is_ok());
    outcome
}

async fn look(service: &Service, name: &str) -> Result<(), String> {
    match name {
        "data_corruption" => {
            let state = service.member.state.read();
            if state.alarms.any(AlarmType::Corrupt) {
                return Err("alarm activated: CORRUPT".to_owned());
            }
            Ok(())
        }
        "linearizable_read" => {
            match tokio::time::timeout(HEALTH_TIMEOUT, service.linearize()).await {
                Ok(done) => done.map_err(|status| status.message().to_owned()),
                Err(_) => Err("etcdserver: request timed out".to_owned()),
            }
        }
        "non_learner" if service.is_learner() => Err("member is a learner".to_owned()),
        _ => Ok(()),
    }
}

fn checks_of(kind: &str) -> (&'static str, &'static [&'static str]) {
    if kind == "livez" { ("livez", &LIVE) } else { ("readyz", &READY) }
}

async fn checks(service: &Service, path: &str, query: &[(&str, &str)]) -> Reply {
    let (kind, names) = checks_of(path.trim_start_matches('/'));
    let verbose = query.iter().any(|(name, _)| *name == "verbose");
    let mut lines = String::new();
    let mut healthy = true;
    for name in names {
        if query.contains(&("exclude", *name)) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match check(service, kind, name).await {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                healthy = false;
                lines.push_str(&format!("[-]{name} failed: {why}\n"));
            }
        }
    }
    match (healthy, verbose) {
        (true, false) => text(StatusCode::OK, "ok\n"),
        (true, true) => text(StatusCode::OK, format!("{lines}ok\n")),
        (false, _) => text(StatusCode::SERVICE_UNAVAILABLE, lines),
    }
}

async fn one_check(service: &Service, kind: &str, name: &str) -> Reply {
    let (kind, names) = checks_of(kind);
    let Some(name) = names.iter().find(|known| **known == name) else {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    };
    match check(service, kind, name).await {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("[-]{name} failed: {why}\n")),
    }
}
