//! `/v2/stats`: counters of this member.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{Response, StatusCode};
use tonic::body::Body;

use super::json::{self, string};
use super::reply::{self, json_reply};
use crate::api::Service;

/// Operations on keys.
pub fn store(service: &Service) -> Response<Body> {
    let v2 = &service.member.v2;
    let stats = &v2.stats;
    let pairs = [
        ("gets", &stats.gets),
        ("sets", &stats.sets),
        ("delete", &stats.deletes),
        ("update", &stats.updates),
        ("create", &stats.creates),
        ("compareAndSwap", &stats.swaps),
        ("compareAndDelete", &stats.compared_deletes),
    ];
    let mut out = String::from("{");
    for (name, pair) in pairs {
        let (done, refused) = pair.read();
        // Writing to a string cannot fail.
        let _ = write!(out, "\"{name}Success\":{done},\"{name}Fail\":{refused},");
    }
    let expired = stats.expired.load(Ordering::Relaxed);
    let _ = write!(out, "\"expireCount\":{expired},\"watchers\":{}}}", v2.hub.count());
    json_reply(StatusCode::OK, out)
}

fn nanos(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

/// Who this member is and whom it follows.
pub fn own(service: &Service) -> Response<Body> {
    let member = &service.member;
    let leadership = service.handle.leadership();
    let started =
        crate::wall_clock::now().checked_sub(member.started.elapsed()).unwrap_or(UNIX_EPOCH);
    let (leader, since) = member.v2.stats.leader.lock().unwrap_or((0, started));
    let state = if leadership.is_leader { "StateLeader" } else { "StateFollower" };
    let mut out = String::from("{\"name\":");
    string(&mut out, &member.config.name);
    let leader = if leader == 0 { String::new() } else { format!("{leader:x}") };
    let uptime = since.elapsed().unwrap_or_default();
    let counts = member.transport.append_counts();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        ",\"id\":\"{:x}\",\"state\":\"{state}\",\"startTime\":\"{}\",\"leaderInfo\":{{\
         \"leader\":\"{leader}\",\"uptime\":\"{}\",\"startTime\":\"{}\"}},\
         \"recvAppendRequestCnt\":{},\"sendAppendRequestCnt\":{}}}",
        member.id(),
        json::time(nanos(started)),
        duration(uptime),
        json::time(nanos(since)),
        counts.received,
        counts.sent,
    );
    json_reply(StatusCode::OK, out)
}

/// How the followers do; only the leader knows.
pub fn leader(service: &Service) -> Response<Body> {
    if !service.handle.leadership().is_leader {
        return reply::message(StatusCode::FORBIDDEN, "not current leader");
    }
    let member = &service.member;
    let mut out = format!("{{\"leader\":\"{:x}\",\"followers\":{{", member.id());
    for (at, (id, peer)) in member.transport.counts().iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let latency = peer.latency.read();
        let failed = peer.sent_failures.load(Ordering::Relaxed);
        let _ = write!(
            out,
            "\"{id:x}\":{{\"latency\":{{\"current\":{},\"average\":{},\"standardDeviation\":{},\
             \"minimum\":{},\"maximum\":{}}},\"counts\":{{\"fail\":{failed},\"success\":{}}}}}",
            latency.current,
            latency.average,
            latency.deviation,
            latency.minimum,
            latency.maximum,
            latency.count,
        );
    }
    out.push_str("}}");
    json_reply(StatusCode::OK, out)
}

/// A time span as Go writes it: `1h2m3.5s`, `12.3ms`.
fn duration(time: Duration) -> String {
    let nanos = time.as_nanos();
    let trimmed = |value: f64, unit: &str| format!("{value}{unit}");
    if nanos < 1_000_000_000 {
        return match nanos {
            0 => "0s".to_owned(),
            1..1_000 => format!("{nanos}ns"),
            1_000..1_000_000 => trimmed(nanos as f64 / 1e3, "µs"),
            _ => trimmed(nanos as f64 / 1e6, "ms"),
        };
    }
    let (minutes, rest) = (time.as_secs() / 60, nanos % 60_000_000_000);
    let fraction = format!("{}.{:09}", rest / 1_000_000_000, rest % 1_000_000_000);
    let seconds = fraction.trim_end_matches('0').trim_end_matches('.');
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_go_does() {
        let cases = [
            (0, "0s"),
            (1, "1ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (2_911_575_011, "2.911575011s"),
            (60_000_000_000, "1m0s"),
            (3_723_500_000_000, "1h2m3.5s"),
            (360_000_000_000_000, "100h0m0s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }
}
