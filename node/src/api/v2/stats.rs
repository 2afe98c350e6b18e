//! `/v2/stats`: counters of this member.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use http::{Response, StatusCode};
use tonic::body::Body;

use super::json::{self, string};
use super::reply::{self, json_reply};
use crate::api::Service;
use crate::spelling::duration;

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
