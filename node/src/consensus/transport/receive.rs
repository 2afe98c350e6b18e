//! A snapshot as it comes in: to a temporary file, checked whole, and only then told to raft.

use proto::peer::{SnapshotChunk, SnapshotMeta};
use raft::eraftpb::{ConfState, Snapshot, SnapshotMetadata};
use tonic::{Status, Streaming};

use super::super::drive::Input;
use super::super::message;
use super::{Transport, accept};
use crate::metrics::Metrics;
use crate::storage::snapshot_file::SnapshotReceiver;

/// Takes a snapshot file.
pub async fn snapshot(
    transport: &Transport,
    mut chunks: Streaming<SnapshotChunk>,
) -> Result<(), Status> {
    let missing = || Status::invalid_argument("the first chunk does not describe a snapshot");
    let first = chunks.message().await?.ok_or_else(missing)?;
    let from = accept::greet(transport, first.hello.as_ref())?;
    let outcome = take(transport, from, first, chunks).await;
    if let Some(counts) = transport.counts_of(from) {
        let failed = &counts.snapshot_receive_failures;
        Metrics::count(if outcome.is_ok() { &counts.snapshots_received } else { failed });
    }
    outcome
}

async fn take(
    transport: &Transport,
    from: u64,
    first: SnapshotChunk,
    mut chunks: Streaming<SnapshotChunk>,
) -> Result<(), Status> {
    let missing = || Status::invalid_argument("the first chunk does not describe a snapshot");
    let wire = first.message.ok_or_else(missing)?;
    let meta = first.meta.ok_or_else(missing)?;
    let own = transport.identity.member_id;
    let mut raft_message = message::check(wire, from, own)
        .map_err(|error| Status::invalid_argument(error.to_string()))?;
    let metadata = metadata(&meta)?;
    let sha256 = meta.sha256[..].try_into().map_err(|_| missing())?;
    let failed = |error: &dyn std::fmt::Display| Status::internal(error.to_string());
    let mut receiver = SnapshotReceiver::create(&transport.snapshots, meta.size, sha256)
        .map_err(|error| failed(&error))?;
    while let Some(chunk) = chunks.message().await? {
        // Small writes to the page cache; the sync is in `finish`.
        receiver.write(chunk.offset, &chunk.data, chunk.crc32c).map_err(|error| failed(&error))?;
    }
    let finish = tokio::task::spawn_blocking(move || receiver.finish());
    let info = finish.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    if (info.index, info.term) != (meta.index, meta.term) {
        return Err(Status::invalid_argument("the file is another snapshot than announced"));
    }
    let mut snapshot = Snapshot::default();
    snapshot.set_metadata(metadata);
    raft_message.set_snapshot(snapshot);
    let _ = transport.inbox.send(Input::Message(raft_message));
    Ok(())
}

/// Raft panics on a configuration that cannot be.
fn metadata(meta: &SnapshotMeta) -> Result<SnapshotMetadata, Status> {
    if meta.voters.is_empty() || meta.index == 0 || meta.term == 0 {
        return Err(Status::invalid_argument("a snapshot without voters, index or term"));
    }
    if meta.learners.iter().any(|id| meta.voters.contains(id)) {
        return Err(Status::invalid_argument("a member cannot be voter and learner"));
    }
    let mut conf_state = ConfState::default();
    conf_state.set_voters(meta.voters.clone());
    conf_state.set_learners(meta.learners.clone());
    let mut metadata = SnapshotMetadata::default();
    metadata.index = meta.index;
    metadata.term = meta.term;
    metadata.set_conf_state(conf_state);
    Ok(metadata)
}
