//! What the cluster holds: the state to begin with, and everything that happened since.

use std::time::Duration;

use history::record::{Event, MemberHash, Pair};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::watch_client::WatchClient;
use tokio_stream::StreamExt as _;
use tonic::Status;

use super::generate::Generator;
use super::watcher::told;
use super::{Target, calls};

/// How long a healed cluster is given to answer.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The keys of the load at a revision.
pub struct State {
    pub revision: i64,
    pub pairs: Vec<Pair>,
}

/// Asks one member after the other until one answers.
async fn any<T, F: Future<Output = Result<T, Status>>>(
    targets: &[Target],
    ask: impl Fn(Target) -> F,
) -> Result<T, Status> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let mut turn = 0;
    loop {
        let target = targets.get(turn % targets.len().max(1)).cloned();
        let target = target.ok_or_else(|| Status::invalid_argument("there is no member to ask"))?;
        let answer = match tokio::time::timeout(PATIENCE / 4, ask(target)).await {
            Ok(answer) => answer,
            Err(_) => Err(Status::deadline_exceeded("no answer")),
        };
        match answer {
            Ok(answer) => return Ok(answer),
            Err(status) if tokio::time::Instant::now() >= deadline => return Err(status),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        turn += 1;
    }
}

/// The state now, linearizable.
///
/// # Errors
/// The last answer, if no member tells it in time.
pub async fn state(targets: &[Target], prefix: &str) -> Result<State, Status> {
    let range = calls::range(&Generator::everything(prefix));
    any(targets, |target| {
        let range = range.clone();
        async move {
            let answer = KvClient::new(target.channel).range(range).await?.into_inner();
            let revision = answer.header.map_or(0, |header| header.revision);
            Ok(State { revision, pairs: answer.kvs.into_iter().map(calls::pair).collect() })
        }
    })
    .await
}

/// All events of the load after `from` and up to `to`, as one member tells them.
///
/// # Errors
/// The last answer, if no member tells them in time; `OutOfRange` if they are compacted away.
pub async fn events(
    targets: &[Target],
    prefix: &str,
    from: i64,
    to: i64,
) -> Result<Vec<Event>, Status> {
    let range = Generator::everything(prefix);
    let create = pb::WatchCreateRequest {
        key: range.key.into(),
        range_end: range.end.unwrap_or_default().into(),
        start_revision: from + 1,
        ..Default::default()
    };
    let union = pb::watch_request::RequestUnion::CreateRequest(create);
    let request = pb::WatchRequest { request_union: Some(union) };
    any(targets, |target| read_events(target, request.clone(), to)).await
}

async fn read_events(
    target: Target,
    request: pb::WatchRequest,
    to: i64,
) -> Result<Vec<Event>, Status> {
    let requests = tokio_stream::once(request).chain(tokio_stream::pending());
    let mut client = WatchClient::new(target.channel).max_decoding_message_size(256 << 20);
    let mut stream = client.watch(requests).await?.into_inner();
    let mut events: Vec<Event> = Vec::new();
    while let Some(response) = stream.message().await? {
        if response.compact_revision > 0 {
            return Err(Status::out_of_range("the events of the load are compacted away"));
        }
        let told = response.events.into_iter().filter_map(told);
        events.extend(told.map(|told| told.event));
        if events.last().is_some_and(|last| last.revision() >= to) {
            return Ok(events);
        }
    }
    Err(Status::unavailable("the watch ended early"))
}

/// The hash of every member that tells it, at one revision all have reached.
pub async fn hashes(targets: &[Target], revision: i64) -> Vec<MemberHash> {
    let mut hashes = Vec::new();
    for target in targets {
        let answer = any(std::slice::from_ref(target), |target| async move {
            let request = pb::HashKvRequest { revision };
            Ok(MaintenanceClient::new(target.channel).hash_kv(request).await?.into_inner())
        });
        if let Ok(answer) = answer.await {
            hashes.push(MemberHash {
                member: target.name.clone(),
                revision,
                compact_revision: answer.compact_revision,
                hash: answer.hash,
            });
        }
    }
    hashes
}
