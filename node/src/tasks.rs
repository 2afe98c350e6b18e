//! What a member does by itself, on its clients' runtime.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use prost::Message as _;
use proto::command::{
    LeaseCheckpoint, LeaseRevoke, MemberAttributes, command::Kind, lease_checkpoint::Left,
};
use proto::etcdserverpb::CompactionRequest;
use tokio::sync::oneshot;

use crate::config::AutoCompaction;
use crate::consensus::handle::Handle;
use crate::machine::rights;
use crate::member::Member;
use crate::metrics::Metrics;

/// Between tries of what needs a leader.
const RETRY: Duration = Duration::from_millis(200);
/// etcd's lease loop.
const LEASE_TICK: Duration = Duration::from_millis(500);

/// A command that this member proposes by itself.
pub fn encode(kind: Kind) -> bytes::Bytes {
    rights::by_member(kind).encode_to_vec().into()
}

/// Makes this member's name and client URLs known through the log, then says it is ready.
pub async fn publish(member: Arc<Member>, handle: Handle, ready: oneshot::Sender<()>) {
    let attributes = MemberAttributes {
        member_id: member.id(),
        name: member.config.name.clone(),
        client_urls: member.config.listen.advertise_client.clone(),
        directory_id: member.identity.directory_id.to_vec().into(),
    };
    let mut skipped = member.skipped.subscribe();
    loop {
        let command = encode(Kind::MemberAttributes(attributes.clone()));
        tokio::select! {
            outcome = handle.propose(command) => match outcome {
                Ok(_) => break,
                Err(_) => tokio::time::sleep(RETRY).await,
            },
            // A member that joins begins by a snapshot, and what it has proposed by then may be
            // in that. It would wait in vain for the entry; saying it again does no harm.
            Ok(()) = skipped.changed() => {}
        }
    }
    // What was in this member's log before that is applied, too.
    member.caught_up.send_replace(true);
    tracing::info!(
        local_member_id = %format!("{:x}", member.id()),
        name = %member.config.name,
        cluster_id = %format!("{:x}", member.identity.cluster_id),
        "published local member to cluster through raft"
    );
    for url in &member.config.listen.client {
        let (scheme, address) = url.split_once("://").unwrap_or(("http", url));
        if matches!(scheme, "https" | "unixs") {
            tracing::info!(address, "serving client traffic securely");
        } else {
            tracing::info!(
                address,
                "serving client traffic insecurely; this is strongly discouraged!"
            );
        }
    }
    tracing::info!("ready to serve client requests");
    let _nobody_waits = ready.send(());
}

/// Lets local reads begin when no leader is found in time: what is known here is then all that
/// can be had, and better than nothing.
pub async fn serve_without_leader(member: Arc<Member>) {
    tokio::time::sleep(member.config.timing.request_timeout()).await;
    member.caught_up.send_replace(true);
}

/// While this member leads, ends leases whose time is over.
pub async fn lease_clock(member: Arc<Member>, handle: Handle) {
    let mut leadership = handle.watch_leadership();
    let mut tick = tokio::time::interval(LEASE_TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut led_term = 0;
    loop {
        tokio::select! {
            changed = leadership.changed() => if changed.is_err() { return },
            _ = tick.tick() => {}
        }
        let now = *leadership.borrow_and_update();
        if !now.is_leader {
            if led_term != 0 {
                member.lessor.lock().demote();
                led_term = 0;
            }
            continue;
        }
        if led_term != now.term {
            promote(&member);
            led_term = now.term;
        }
        let (expired, checkpoints) = {
            let mut lessor = member.lessor.lock();
            (lessor.tick(member.now()), lessor.checkpoints(member.now()))
        };
        if !checkpoints.is_empty() {
            let left = checkpoints.into_iter().map(|(id, seconds)| Left { id, seconds }).collect();
            let command = encode(Kind::LeaseCheckpoint(LeaseCheckpoint { left }));
            let (handle, term) = (handle.clone(), now.term);
            tokio::spawn(async move { handle.propose_in_term(command, term).await });
        }
        if expired.is_empty() {
            continue;
        }
        member.metrics.leases_expired.fetch_add(expired.len() as u64, Ordering::Relaxed);
        let command = encode(Kind::LeaseRevoke(LeaseRevoke { ids: expired }));
        let (handle, term) = (handle.clone(), now.term);
        // Not awaited: a slow round must not stop the clock. What fails is tried again by
        // the lessor; in another term it must not be, since leases live longer then.
        tokio::spawn(async move { handle.propose_in_term(command, term).await });
    }
}

fn promote(member: &Member) {
    let (leases, checkpoints): (Vec<_>, Vec<_>) = {
        let state = member.state.read();
        (state.leases.export().collect(), state.leases.checkpoints().collect())
    };
    let (now, extend) = (member.now(), member.config.timing.election);
    let mut lessor = member.lessor.lock();
    lessor.promote(now, extend, leases);
    for (id, left) in checkpoints {
        lessor.resume(id, left, now + extend);
    }
}

/// Brings watchers up to date that are behind, a bounded piece at a time.
pub async fn catch_up_watchers(member: Arc<Member>) {
    loop {
        member.watchers.catch_up_wanted().await;
        let worker = member.clone();
        let more = tokio::task::spawn_blocking(move || {
            worker.watchers.catch_up(&worker.store, &worker.state)
        });
        match more.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(%error, "history for watchers cannot be read");
                tokio::time::sleep(RETRY).await;
            }
            Err(_) => return,
        }
    }
}

/// Tells idle watchers that asked for it how far the store is.
pub async fn watch_progress(member: Arc<Member>) {
    loop {
        tokio::time::sleep(member.config.upkeep.watch_progress).await;
        member.watchers.progress_tick();
    }
}

/// Compacts old revisions, if the flags say so. Only the leader does.
pub async fn auto_compaction(member: Arc<Member>, handle: Handle) {
    match member.config.auto_compaction {
        AutoCompaction::Off => {}
        AutoCompaction::Periodic(period) => periodic(&member, &handle, period).await,
        AutoCompaction::Revisions(keep) => by_revision(&member, &handle, keep).await,
    }
}

/// etcd's rule: look every five minutes, keep the last `keep` revisions.
async fn by_revision(member: &Member, handle: &Handle, keep: i64) {
    loop {
        tokio::time::sleep(Duration::from_secs(300)).await;
        let revision = member.state.read().kv.revision() - keep;
        compact(member, handle, revision).await;
    }
}

/// etcd's rule: sample the revision ten times a period (at most an hour), and compact to the
/// sample that is a period old, at the end of every period or hour.
async fn periodic(member: &Member, handle: &Handle, period: Duration) {
    let interval = period.min(Duration::from_secs(3600));
    let sample = (interval / 10).max(Duration::from_secs(1));
    let samples_kept = usize::try_from(period.as_millis() / sample.as_millis()).unwrap_or(10);
    let per_interval = usize::try_from(interval.as_millis() / sample.as_millis()).unwrap_or(10);
    let mut samples = VecDeque::new();
    let mut since = 0;
    loop {
        samples.push_back(member.state.read().kv.revision());
        tokio::time::sleep(sample).await;
        since += 1;
        while samples.len() > samples_kept.max(1) {
            samples.pop_front();
        }
        if since >= per_interval
            && samples.len() >= samples_kept
            && let Some(revision) = samples.front().copied()
        {
            since = 0;
            compact(member, handle, revision).await;
        }
    }
}

async fn compact(member: &Member, handle: &Handle, revision: i64) {
    let compacted = member.state.read().kv.compacted();
    if revision <= compacted || revision < 1 || !handle.leadership().is_leader {
        return;
    }
    let request = CompactionRequest { revision, physical: false };
    match handle.propose(encode(Kind::Compaction(request))).await {
        Ok(_) => tracing::info!(revision, "completed auto compaction"),
        Err(error) => {
            Metrics::count(&member.metrics.proposals_failed);
            tracing::warn!(%error, revision, "auto compaction failed; it is tried again");
        }
    }
}
