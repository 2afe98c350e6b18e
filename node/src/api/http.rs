//! HTTP/1.1 beside gRPC on the client port: health, version, metrics.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;

use super::{Service, checks, debug};
use crate::metrics::{Page, write_peers};

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
        let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        reply.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET"));
        return reply;
    }
    match path {
        "/version" => json(StatusCode::OK, &version(service)),
        "/debug/vars" => {
            reply(StatusCode::OK, "application/json; charset=utf-8", debug::variables(service))
        }
        "/metrics" => {
            reply(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics(service))
        }
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

fn version(service: &Service) -> serde_json::Value {
    let cluster = service.member.state.read().cluster_version.clone();
    let cluster = if cluster.is_empty() { "not_decided".to_owned() } else { cluster };
    serde_json::json!({
        "etcdserver": service.member.config.version,
        "etcdcluster": cluster,
        "storage": cluster,
    })
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
