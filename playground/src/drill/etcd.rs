//! What drills ask members for beyond the load, in etcd's API: membership, alarms, upkeep.
//! Every call is made once, has a limit, and answers with one sentence.

use std::time::Duration;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// What a call may take when nothing else is said.
const PATIENCE: Duration = Duration::from_secs(7);

/// Keys of drills that are not the load's.
pub const PREFIX: &str = "drill-step/";

async fn ask<T>(
    call: impl Future<Output = Result<Response<T>, Status>>,
    patience: Duration,
) -> Result<T, String> {
    match tokio::time::timeout(patience, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(status.message().to_string()),
        Err(_) => Err(format!("no answer in {} ms", patience.as_millis())),
    }
}

/// Puts one key.
pub async fn put(
    channel: Channel,
    key: &str,
    value: Vec<u8>,
    patience: Duration,
) -> Result<i64, String> {
    let request = pb::PutRequest {
        key: format!("{PREFIX}{key}").into(),
        value: value.into(),
        ..Default::default()
    };
    let answer = ask(KvClient::new(channel).put(request), patience).await?;
    Ok(answer.header.map_or(0, |header| header.revision))
}

/// Reads one key.
pub async fn get(
    channel: Channel,
    key: &str,
    serializable: bool,
    patience: Duration,
) -> Result<Option<String>, String> {
    let key = format!("{PREFIX}{key}").into();
    let request = pb::RangeRequest { key, serializable, ..Default::default() };
    let answer = ask(KvClient::new(channel).range(request), patience).await?;
    Ok(answer.kvs.first().map(|kv| String::from_utf8_lossy(&kv.value).into_owned()))
}

/// Deletes what steps have put; says how many keys.
pub async fn delete_all(channel: Channel) -> Result<i64, String> {
    let request = pb::DeleteRangeRequest {
        key: PREFIX.into(),
        range_end: prefix_end().into(),
        ..Default::default()
    };
    Ok(ask(KvClient::new(channel).delete_range(request), PATIENCE).await?.deleted)
}

/// The first key behind those of steps.
fn prefix_end() -> String {
    PREFIX.trim_end_matches('/').to_string() + "0"
}

/// The revision of now.
pub async fn revision(channel: Channel) -> Result<i64, String> {
    let range = pb::RangeRequest { key: "a".into(), ..Default::default() };
    let answer = ask(KvClient::new(channel).range(range), PATIENCE).await?;
    Ok(answer.header.map_or(0, |it| it.revision))
}

/// What a revision stands for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A write of a step.
    Step,
    /// A write of somebody else.
    Another,
    /// Nothing that can be read any more.
    Compacted,
    /// Nothing yet.
    Future,
}

/// What was written at a revision that a step was told.
pub async fn meaning(channel: Channel, revision: i64) -> Result<Meaning, String> {
    let range = pb::RangeRequest {
        key: PREFIX.into(),
        range_end: prefix_end().into(),
        revision,
        min_mod_revision: revision,
        ..Default::default()
    };
    match ask(KvClient::new(channel).range(range), PATIENCE).await {
        Ok(answer) if answer.kvs.is_empty() => Ok(Meaning::Another),
        Ok(_) => Ok(Meaning::Step),
        Err(why) if why.contains("revision has been compacted") => Ok(Meaning::Compacted),
        Err(why) if why.contains("is a future revision") => Ok(Meaning::Future),
        Err(why) => Err(why),
    }
}

/// Compacts up to now.
pub async fn compact(channel: Channel) -> Result<i64, String> {
    let revision = revision(channel.clone()).await?;
    let mut kv = KvClient::new(channel);
    let request = pb::CompactionRequest { revision, physical: true };
    ask(kv.compact(request), Duration::from_secs(30)).await?;
    Ok(revision)
}

/// Gives free space back.
pub async fn defragment(channel: Channel) -> Result<(), String> {
    let call = async { MaintenanceClient::new(channel).defragment(pb::DefragmentRequest {}).await };
    ask(call, Duration::from_secs(30)).await.map(drop)
}

/// The names of the alarms that are raised.
pub async fn alarms(channel: Channel) -> Result<Vec<(u64, pb::AlarmType)>, String> {
    let action = pb::alarm_request::AlarmAction::Get.into();
    let request = pb::AlarmRequest { action, ..Default::default() };
    let answer = ask(MaintenanceClient::new(channel).alarm(request), PATIENCE).await?;
    Ok(answer.alarms.into_iter().map(|alarm| (alarm.member_id, alarm.alarm())).collect())
}

/// Lowers every alarm; says how many there were.
pub async fn disarm(channel: Channel) -> Result<usize, String> {
    let raised = alarms(channel.clone()).await?;
    for (member_id, alarm) in &raised {
        let action = pb::alarm_request::AlarmAction::Deactivate.into();
        let request = pb::AlarmRequest { action, member_id: *member_id, alarm: (*alarm).into() };
        ask(MaintenanceClient::new(channel.clone()).alarm(request), PATIENCE).await?;
    }
    Ok(raised.len())
}

/// Leadership to another member; the leader must be asked.
pub async fn move_leader(leader: Channel, to: u64) -> Result<(), String> {
    let request = pb::MoveLeaderRequest { target_id: to };
    let call = async { MaintenanceClient::new(leader).move_leader(request).await };
    ask(call, PATIENCE).await.map(drop)
}

/// Announces a voting member.
pub async fn member_add(channel: Channel, url: &str) -> Result<(), String> {
    let request = pb::MemberAddRequest { peer_ur_ls: vec![url.to_string()], is_learner: false };
    ask(ClusterClient::new(channel).member_add(request), PATIENCE).await.map(drop)
}

/// Removes the member of this peer URL.
pub async fn member_remove(channel: Channel, url: &str) -> Result<(), String> {
    let list = members(channel.clone()).await?;
    let member = list.iter().find(|member| member.peer_ur_ls.iter().any(|it| it == url));
    let id = member.ok_or_else(|| format!("no member has the peer URL {url}"))?.id;
    let request = pb::MemberRemoveRequest { id };
    ask(ClusterClient::new(channel).member_remove(request), PATIENCE).await.map(drop)
}

/// The members there are.
pub async fn members(channel: Channel) -> Result<Vec<pb::Member>, String> {
    let request = pb::MemberListRequest { linearizable: true };
    Ok(ask(ClusterClient::new(channel).member_list(request), PATIENCE).await?.members)
}
