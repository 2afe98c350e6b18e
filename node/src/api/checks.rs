//! `/health`, and `/livez` and `/readyz` with their checks, as probes ask them.
//!
//! Paths, parameters, words and codes are etcd 3.6's.

use std::time::Duration;

use http::StatusCode;
use proto::etcdserverpb::AlarmType;

use super::Service;
use super::http::{Reply, error, text};
use crate::metrics::Metrics;

const LIVE: &[&str] = &["serializable_read"];
const READY: &[&str] =
    &["data_corruption", "serializable_read", "linearizable_read", "non_learner"];

/// Names and values of a query; a name may come more than once.
pub type Query<'a> = [(&'a str, &'a str)];

/// The checks behind a path: all of an endpoint's, or one.
fn checks_of(path: &str) -> Option<(&'static [&'static str], bool)> {
    let mut parts = path.strip_prefix('/')?.splitn(2, '/');
    let all = match parts.next()? {
        "livez" => LIVE,
        "readyz" => READY,
        _ => return None,
    };
    match parts.next() {
        None => Some((all, true)),
        Some(name) => {
            let at = all.iter().position(|known| *known == name)?;
            Some((&all[at..=at], false))
        }
    }
}

/// Whether something is checked at this path.
pub fn is_check(path: &str) -> bool {
    path == "/health" || checks_of(path).is_some()
}

/// The answer, if something is checked at this path.
pub async fn answer(service: &Service, path: &str, query: &Query<'_>) -> Option<Reply> {
    if path == "/health" {
        return Some(health(service, query).await);
    }
    let (names, may_exclude) = checks_of(path)?;
    let is_excluded = |name: &str| may_exclude && query.contains(&("exclude", name));
    let verbose = query.iter().any(|(name, _)| *name == "verbose");
    let mut lines = String::new();
    let mut healthy = true;
    for name in names.iter().filter(|name| !is_excluded(name)) {
        let kind = if path.starts_with("/livez") { "livez" } else { "readyz" };
        let outcome = check(service, name).await;
        service.member.metrics.checks.ended(kind, name, outcome.is_ok());
        match outcome {
            Ok(()) => lines.push_str(&format!("[+]{name} ok\n")),
            Err(why) => {
                healthy = false;
                lines.push_str(&format!("[-]{name} failed: {why}\n"));
            }
        }
    }
    if !healthy {
        tracing::warn!(path, reason = %lines, "Health check error");
        return Some(error(StatusCode::SERVICE_UNAVAILABLE, &lines));
    }
    let mut reply = error(StatusCode::OK, "ok");
    if verbose {
        *reply.body_mut() = format!("{lines}ok\n").into();
    }
    Some(reply)
}

async fn health(service: &Service, query: &Query<'_>) -> Reply {
    let is_excluded = |alarm: &str| query.contains(&("exclude", alarm));
    let serializable =
        query.iter().find(|(name, _)| *name == "serializable").is_some_and(|(_, v)| *v == "true");
    let metrics = &service.member.metrics;
    let reason = unhealthy(service, is_excluded, serializable).await;
    Metrics::count(match reason {
        None => &metrics.health_successes,
        Some(_) => &metrics.health_failures,
    });
    verdict(reason)
}

/// What `/health` says: why it is not well, if it is not.
pub fn verdict(reason: Option<String>) -> Reply {
    match reason {
        None => text(StatusCode::OK, r#"{"health":"true","reason":""}"#),
        Some(reason) => {
            tracing::warn!(%reason, "/health error");
            let reason = serde_json::Value::String(reason);
            let body = format!(r#"{{"health":"false","reason":{reason}}}"#);
            error(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

/// Why the member is not healthy, if it is not.
async fn unhealthy(
    service: &Service,
    is_excluded: impl Fn(&str) -> bool,
    serializable: bool,
) -> Option<String> {
    for alarm in service.member.state.read().alarms.list(AlarmType::None) {
        let name = alarm.alarm().as_str_name();
        if !is_excluded(name) {
            return Some(format!("ALARM {name}"));
        }
    }
    if serializable {
        return None;
    }
    if service.handle.leadership().leader == 0 {
        return Some("RAFT NO LEADER".to_owned());
    }
    read(service).await.err().map(|why| format!("RANGE ERROR:{why}"))
}

/// A linearizable read, with the limit that a client's has.
async fn read(service: &Service) -> Result<(), String> {
    let limit: Duration = service.member.config.timing.request_timeout();
    match tokio::time::timeout(limit, service.linearize()).await {
        Ok(done) => done.map_err(|status| status.message().to_owned()),
        Err(_) => Err("etcdserver: request timed out".to_owned()),
    }
}

async fn check(service: &Service, name: &str) -> Result<(), String> {
    match name {
        "data_corruption" if service.member.state.read().alarms.any(AlarmType::Corrupt) => {
            Err("alarm activated: CORRUPT".to_owned())
        }
        "linearizable_read" => read(service).await,
        "non_learner" if service.is_learner() => Err("not supported for learner".to_owned()),
        // What is in memory can always be read.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_a_path() {
        assert_eq!(checks_of("/livez"), Some((LIVE, true)));
        assert_eq!(checks_of("/readyz"), Some((READY, true)));
        for name in READY {
            let path = format!("/readyz/{name}");
            assert_eq!(checks_of(&path), Some((&[*name][..], false)));
        }
        for path in ["/livez/non_learner", "/readyz/", "/readyz/x", "/livezz", "/", "", "livez"] {
            assert_eq!(checks_of(path), None, "{path}");
        }
    }
}
