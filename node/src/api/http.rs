//! HTTP/1.1 beside gRPC on the client port: health, version, metrics.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use proto::etcdserverpb::AlarmType;

use super::Service;
use crate::metrics::{Metrics, Page, write_peers};

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
        "/metrics" => {
            reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics(service))
        }
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

async fn check(service: &Service, name: &str) -> Result<(), String> {
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

async fn checks(service: &Service, path: &str, query: &[(&str, &str)]) -> Reply {
    let names: &[&str] = if path == "/livez" { &LIVE } else { &READY };
    let verbose = query.iter().any(|(name, _)| *name == "verbose");
    let mut lines = String::new();
    let mut healthy = true;
    for name in names {
        if query.contains(&("exclude", *name)) {
            lines.push_str(&format!("[+]{name} excluded: ok\n"));
            continue;
        }
        match check(service, name).await {
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
    let names: &[&str] = if kind == "livez" { &LIVE } else { &READY };
    if !names.contains(&name) {
        return text(StatusCode::NOT_FOUND, "404 page not found\n");
    }
    match check(service, name).await {
        Ok(()) => text(StatusCode::OK, "ok\n"),
        Err(why) => text(StatusCode::SERVICE_UNAVAILABLE, format!("[-]{name} failed: {why}\n")),
    }
}

fn metrics(service: &Service) -> String {
    let mut page = Page::default();
    let member = &service.member;
    let leadership = service.handle.leadership();
    let progress = service.handle.progress();
    let applied = service.handle.applied() as f64;
    let commit = progress.commit.load(Ordering::Relaxed) as f64;
    let flag = |value: bool| f64::from(u8::from(value));
    page.gauge(
        "etcd_server_has_leader",
        "Whether or not a leader exists. 1 is existence, 0 is not.",
        flag(leadership.leader != 0),
    );
    page.gauge(
        "etcd_server_is_leader",
        "Whether or not this member is a leader. 1 if is, 0 otherwise.",
        flag(leadership.is_leader),
    );
    page.gauge(
        "etcd_server_is_learner",
        "Whether or not this member is a learner. 1 if is, 0 otherwise.",
        flag(service.is_learner()),
    );
    page.counter(
        "etcd_server_leader_changes_seen_total",
        "The number of leader changes seen.",
        progress.leader_changes.load(Ordering::Relaxed) as f64,
    );
    page.gauge(
        "etcd_server_proposals_committed_total",
        "The total number of consensus proposals committed.",
        commit,
    );
    page.gauge(
        "etcd_server_proposals_applied_total",
        "The total number of consensus proposals applied.",
        applied,
    );
    page.gauge(
        "etcd_server_proposals_pending",
        "The current number of pending proposals to commit.",
        progress.pending_proposals.load(Ordering::Relaxed) as f64,
    );
    page.labelled(
        "etcd_server_version",
        "gauge",
        "Which version is running. 1 for 'server_version' label with current version.",
        &[(format!("server_version=\"{}\"", member.config.version), 1.0)],
    );
    page.labelled(
        "etcd_server_id",
        "gauge",
        "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
        &[(format!("server_id=\"{:x}\"", member.id()), 1.0)],
    );
    page.gauge(
        "etcd_server_quota_backend_bytes",
        "Current backend storage quota size in bytes.",
        member.config.limits.quota_bytes.unwrap_or(0) as f64,
    );
    state_metrics(service, &mut page);
    member.metrics.write(&mut page);
    member.metrics.rpcs.write(&mut page);
    write_peers(&mut page, &member.transport.counts());
    process_metrics(&mut page, member.started.elapsed());
    page.into_text()
}

fn state_metrics(service: &Service, page: &mut Page) {
    let member = &service.member;
    page.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
        member.db_size() as f64,
    );
    page.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Total size of the underlying database logically in use in bytes.",
        member.db_size_in_use() as f64,
    );
    let counts = member.watchers.counts();
    page.gauge(
        "etcd_debugging_mvcc_watcher_total",
        "Total number of watchers.",
        counts.watchers as f64,
    );
    page.gauge(
        "etcd_debugging_mvcc_watch_stream_total",
        "Total number of watch streams.",
        counts.streams as f64,
    );
    page.gauge(
        "etcd_debugging_mvcc_slow_watcher_total",
        "Total number of unsynced slow watchers.",
        counts.lagging as f64,
    );
    let state = member.state.read();
    page.gauge(
        "etcd_debugging_mvcc_keys_total",
        "Total number of keys.",
        state.kv.key_count() as f64,
    );
    page.gauge(
        "etcd_debugging_mvcc_current_revision",
        "The current revision of store.",
        state.kv.revision() as f64,
    );
    page.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The revision of the last compaction in store.",
        state.kv.compacted() as f64,
    );
    if !state.cluster_version.is_empty() {
        let short = state.cluster_version.trim_end_matches(".0");
        page.labelled(
            "etcd_cluster_version",
            "gauge",
            "Which version is running. 1 for 'cluster_version' label with current cluster version",
            &[(format!("cluster_version=\"{short}\""), 1.0)],
        );
    }
}

/// What the kernel says of this process.
fn process_metrics(page: &mut Page, uptime: Duration) {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    if let Some(resident) = pages.split(' ').nth(1).and_then(|count| count.parse::<f64>().ok()) {
        page.gauge(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            resident * 4096.0,
        );
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Number of open file descriptors.", files.count() as f64);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    if let Ok(now) = now {
        page.gauge(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            (now.saturating_sub(uptime)).as_secs_f64(),
        );
    }
}
