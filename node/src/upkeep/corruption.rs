//! Compares this member's data with the others': before it serves, at an interval, and after
//! compactions.

use std::time::Duration;

use proto::command::command::Kind;
use proto::etcdserverpb::alarm_request::AlarmAction;
use proto::etcdserverpb::{AlarmRequest, AlarmType};

use super::judge::{self, Answer, Verdict};
use crate::api::Service;
use crate::api::hash::Hashed;
use crate::features::Feature;

fn id(member: u64) -> String {
    format!("{member:x}")
}

fn own_answer(service: &Service, hashed: Hashed) -> Answer {
    Answer {
        member: service.member.id(),
        hash: hashed.hash,
        compact_revision: hashed.compact_revision,
        current_revision: hashed.current_revision,
    }
}

/// Compares what was on disk with what the others have. The error says that they differ.
pub async fn before_serving(service: &Service) -> Result<(), String> {
    if !service.member.config.upkeep.features.enabled(Feature::InitialCorruptCheck) {
        return Ok(());
    }
    tracing::info!("starting initial corruption check");
    let own = service.hash_here(0).await.map_err(|status| status.message().to_owned())?;
    let others = service.hashes_of_others(own.revision).await;
    let differing = judge::differing(own_answer(service, own), &others);
    if !differing.is_empty() {
        let differing: Vec<String> = differing.into_iter().map(id).collect();
        return Err(format!(
            "{} found data inconsistency with peers {} at revision {}",
            id(service.member.id()),
            differing.join(", "),
            own.revision
        ));
    }
    tracing::info!(
        peers = others.len(),
        revision = own.revision,
        "initial corruption checking passed; no corruption"
    );
    Ok(())
}

/// While this member leads, compares all data at the interval of `--corrupt-check-time`.
pub async fn periodic(service: Service) {
    let Some(interval) = service.member.config.upkeep.corrupt_check else { return };
    tracing::info!(interval = ?interval, "enabled corruption checking");
    loop {
        tokio::time::sleep(interval).await;
        if service.handle.leadership().is_leader {
            check_all(&service).await;
        }
    }
}

async fn check_all(service: &Service) {
    let Ok(own) = service.hash_here(0).await else { return };
    let others = service.hashes_of_others(own.revision).await;
    if service.linearize().await.is_err() || !service.handle.leadership().is_leader {
        return;
    }
    let (revision, compacted, members) = {
        let state = service.member.state.read();
        (state.kv.revision(), state.kv.compacted(), state.members.iter().count())
    };
    for member in judge::ahead(revision, compacted, &others) {
        tracing::warn!(peer = %id(member), "a follower has revisions that its leader has not");
        accuse(service, member).await;
    }
    let verdict = judge::compare(own_answer(service, own), &others, members);
    act(service, own.revision, &verdict).await;
}

/// While this member leads, compares after compactions what they kept: the same revision for
/// all, however far behind a follower is.
pub async fn after_compactions(service: Service) {
    let upkeep = &service.member.config.upkeep;
    if !upkeep.features.enabled(Feature::CompactHashCheck) {
        return;
    }
    let mut checked = 0;
    loop {
        tokio::time::sleep(upkeep.compact_hash_check).await;
        let compacted = service.member.state.read().kv.compacted();
        if compacted > checked
            && service.handle.leadership().is_leader
            && check_compacted(&service, compacted).await
        {
            checked = compacted;
        }
    }
}

/// False when it must be tried again.
async fn check_compacted(service: &Service, revision: i64) -> bool {
    let Ok(own) = service.hash_here(revision).await else { return false };
    let others = service.hashes_of_others(revision).await;
    let members = service.member.state.read().members.iter().count();
    let verdict = judge::compare(own_answer(service, own), &others, members);
    act(service, revision, &verdict).await;
    if verdict == Verdict::Incomplete {
        return false;
    }
    tracing::info!(revision, "finished compaction hash check");
    true
}

async fn act(service: &Service, revision: i64, verdict: &Verdict) {
    match verdict {
        Verdict::Same => tracing::info!(revision, "successfully checked hash on whole cluster"),
        Verdict::Incomplete => {
            tracing::warn!(revision, "not all members could be asked for their hash");
        }
        Verdict::Corrupt(_) | Verdict::Undecided => {
            tracing::error!(revision, ?verdict, "members hold different data");
            for member in verdict.accused() {
                accuse(service, member).await;
            }
        }
    }
}

async fn accuse(service: &Service, member: u64) {
    let known = {
        let state = service.member.state.read();
        let raised = state.alarms.list(AlarmType::Corrupt);
        raised.iter().any(|alarm| alarm.member_id == member)
    };
    if known {
        return;
    }
    let alarm = AlarmRequest {
        action: AlarmAction::Activate as i32,
        member_id: member,
        alarm: AlarmType::Corrupt as i32,
    };
    if let Err(status) = service.propose_by_member(Kind::Alarm(alarm)).await {
        let error = status.message();
        tracing::warn!(member = %id(member), error, "could not raise the CORRUPT alarm");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
