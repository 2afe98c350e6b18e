//! The clock of v2: while this member leads, what has expired goes.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use prost::Message as _;
use proto::command::command::Kind;
use proto::v2::{V2Request, v2_request};

use crate::consensus::handle::Handle;
use crate::machine::rights;
use crate::member::Member;

/// How often the leader looks; etcd's number.
const TICK: Duration = Duration::from_millis(500);

/// This member's clock in nanoseconds since 1970.
pub fn now() -> i64 {
    let now = crate::wall_clock::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}

/// Runs for as long as the member does.
pub async fn run(member: Arc<Member>, handle: Handle) {
    let mut leadership = handle.watch_leadership();
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        let now_led = *leadership.borrow_and_update();
        member.v2.stats.led_by(now_led.leader);
        while now_led.is_leader && expire(&member, &handle, now_led.term).await {}
    }
}

/// One command, if anything has expired; false when there is nothing to do, or it failed.
async fn expire(member: &Member, handle: &Handle, term: u64) -> bool {
    let time = now();
    if member.state.read().v2.next_expiration().is_none_or(|at| at > time) {
        return false;
    }
    let kind = v2_request::Kind::Expire as i32;
    let request = V2Request { kind, time, ..V2Request::default() };
    let command = rights::by_member(Kind::V2(request));
    // In another term another member's clock decides.
    handle.propose_in_term(command.encode_to_vec().into(), term).await.is_ok()
}
