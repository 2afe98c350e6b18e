//! The once-a-second round: every endpoint's status at the same time, and two probe reads.
//!
//! Only what answers without a quorum is asked of everyone; what needs a leader is asked
//! only while one is known, with the same short deadline.

use super::failure::within;
use super::pool::{MESSAGE_BYTES_MOST, Pool, Rank};
use crate::msg::{Alarm, Failure, FailureKind, MemberFacts, Msg, Report, StatusFacts};
use futures::future::{join, join_all};
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::{
    AlarmRequest, AlarmType, MemberListRequest, RangeRequest, StatusRequest, StatusResponse,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};

const ROUND: Duration = Duration::from_secs(1);
/// Shorter than a round, so that rounds do not pile up.
const ANSWER_WITHIN: Duration = Duration::from_millis(900);
/// A burst of wishes to look again is one look.
const ROUNDS_APART: Duration = Duration::from_millis(150);
/// Rounds between looks at what rarely changes.
const ROUNDS_PER_MEMBER_LIST: u64 = 2;
const ROUNDS_PER_ALARM_LIST: u64 = 5;
/// Read, never written; that it does not exist is as good an answer.
const PROBE_KEY: &[u8] = b"/etcd-tui/probe";

/// Polls until the receiver is gone.
pub async fn run(pool: Arc<Pool>, messages: mpsc::Sender<Msg>, now: Arc<Notify>) {
    let mut clock = interval(ROUND);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut round = 0u64;
    loop {
        // A round that was asked for is an extra: the charts' samples stay a second apart.
        let regular = tokio::select! {
            _ = clock.tick() => true,
            () = now.notified() => {
                tokio::time::sleep(ROUNDS_APART).await;
                false
            }
        };
        let endpoints = pool.endpoints();
        if endpoints.is_empty() {
            continue;
        }
        pool.session().ready().await;
        let members = !regular || round.is_multiple_of(ROUNDS_PER_MEMBER_LIST);
        let statuses = endpoints.iter().map(|url| ask(&pool, &messages, url, members));
        join(join_all(statuses), probe(&pool, &messages, regular)).await;
        if round.is_multiple_of(ROUNDS_PER_ALARM_LIST) && pool.leader_known() {
            alarms(&pool, &messages).await;
        }
        // The first complete look counts as a round even if it was asked for.
        if regular || round == 0 {
            round += 1;
            if messages.send(Msg::Cluster(Report::Round)).await.is_err() {
                return;
            }
        }
    }
}

/// Status of one endpoint, its member list if it is time, and whether it is in touch.
async fn ask(pool: &Pool, messages: &mpsc::Sender<Msg>, url: &str, members: bool) {
    let report = |report: Report| messages.send(Msg::Cluster(report));
    let started = Instant::now();
    let outcome = status(pool, url).await.map_err(|failure| pool.session().explain(failure));
    let rtt_us = started.elapsed().as_micros() as u64;
    let rank = match &outcome {
        Ok(status) if status.leader == status.member_id => Rank::Leader,
        Ok(status) if status.leader == 0 => Rank::Alone,
        Ok(_) => Rank::Follows,
        Err(_) => Rank::Silent,
    };
    pool.set_rank(url, rank);
    let from = outcome.as_ref().ok().map(|status| status.member_id);
    let votes = outcome.as_ref().is_ok_and(|status| status.leader != 0 && !status.learner);
    // A closed channel means the UI is gone; the round's end notices.
    let _ = report(Report::Status { endpoint: url.to_owned(), rtt_us, outcome }).await;
    let list = async {
        if let Some(from) = from.filter(|_| members)
            && let Ok(members) = member_list(pool, url).await
        {
            let _ = report(Report::Members { from, members }).await;
        }
    };
    let touch = async {
        if votes {
            let left = ANSWER_WITHIN.saturating_sub(started.elapsed());
            let yes = in_touch(pool, url, left).await;
            let _ = report(Report::InTouch { endpoint: url.to_owned(), yes }).await;
        }
    };
    join(list, touch).await;
}

/// A member may hear a leader that does not hear it. Then Status looks well, and only what needs
/// the leader's answer does not come. Any answer, a refusal as well, comes after that.
async fn in_touch(pool: &Pool, url: &str, limit: Duration) -> bool {
    let Ok(channel) = pool.channel(url) else { return true };
    let request = RangeRequest { key: PROBE_KEY.into(), count_only: true, ..Default::default() };
    match within(limit, KvClient::new(channel).range(request)).await {
        Ok(_) => true,
        Err(failure) => !matches!(failure.kind, FailureKind::Timeout | FailureKind::NoLeader),
    }
}

async fn status(pool: &Pool, url: &str) -> Result<StatusFacts, Failure> {
    let channel = pool.channel(url)?;
    let mut client = MaintenanceClient::new(channel);
    let answer = within(ANSWER_WITHIN, client.status(StatusRequest {})).await?;
    facts(answer)
}

fn facts(answer: StatusResponse) -> Result<StatusFacts, Failure> {
    let Some(header) = answer.header else {
        let text = "something answers there, but not as an etcd v3 server";
        return Err(Failure::new(FailureKind::NotEtcd, text));
    };
    Ok(StatusFacts {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: header.revision,
        term: answer.raft_term,
        version: answer.version,
        leader: answer.leader,
        commit_index: answer.raft_index,
        applied_index: answer.raft_applied_index,
        db_size: answer.db_size,
        db_in_use: answer.db_size_in_use,
        learner: answer.is_learner,
        errors: answer.errors,
    })
}

async fn member_list(pool: &Pool, url: &str) -> Result<Vec<MemberFacts>, Failure> {
    let mut client = ClusterClient::new(pool.channel(url)?);
    // The member's own view: the linearizable list waits for a quorum.
    let request = MemberListRequest { linearizable: false };
    let answer = within(ANSWER_WITHIN, client.member_list(request)).await?;
    let members = answer.members.into_iter().map(|member| MemberFacts {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_ur_ls,
        client_urls: member.client_ur_ls,
        learner: member.is_learner,
    });
    Ok(members.collect())
}

/// One read that needs the leader, and one that does not, of a key nobody writes.
async fn probe(pool: &Pool, messages: &mpsc::Sender<Msg>, regular: bool) {
    let Some((_, channel)) = pool.best().into_iter().next() else { return };
    if !regular {
        return;
    }
    let read = |serializable: bool| {
        let mut client =
            KvClient::new(channel.clone()).max_decoding_message_size(MESSAGE_BYTES_MOST);
        async move {
            let request = RangeRequest {
                key: PROBE_KEY.into(),
                serializable,
                keys_only: true,
                ..RangeRequest::default()
            };
            let started = Instant::now();
            let outcome = within(ANSWER_WITHIN, client.range(request)).await;
            let outcome = outcome
                .map(|_| started.elapsed().as_micros() as u64)
                .map_err(|failure| pool.session().explain(failure));
            let report = Report::Probe { linearizable: !serializable, outcome };
            let _ = messages.send(Msg::Cluster(report)).await;
        }
    };
    join(read(true), read(false)).await;
}

async fn alarms(pool: &Pool, messages: &mpsc::Sender<Msg>) {
    let Some((_, channel)) = pool.best().into_iter().next() else { return };
    let mut client = MaintenanceClient::new(channel);
    let request = AlarmRequest::default();
    let Ok(answer) = within(ANSWER_WITHIN, client.alarm(request)).await else { return };
    let alarms = answer.alarms.into_iter().filter(|alarm| alarm.alarm != 0);
    let alarms = alarms.map(|alarm| Alarm {
        member: alarm.member_id,
        kind: match AlarmType::try_from(alarm.alarm) {
            Ok(AlarmType::Nospace) => "NOSPACE".to_owned(),
            Ok(AlarmType::Corrupt) => "CORRUPT".to_owned(),
            _ => format!("number {}", alarm.alarm),
        },
    });
    let _ = messages.send(Msg::Cluster(Report::Alarms(alarms.collect()))).await;
}
