//! Snapshot files on their way to a member.
//!
//! Whatever happens, raft hears of it ([`Input::SnapshotSent`]): a follower whose snapshot
//! is neither reported sent nor failed would be left alone for ever.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proto::peer::{SnapshotChunk, SnapshotMeta};
use raft::eraftpb::Message;
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::super::drive::Input;
use super::super::message;
use super::{Transport, dial};
use crate::metrics::Metrics;
use crate::snapshots;
use crate::storage::snapshot_file::SnapshotInfo;

const CHUNK_BYTES: usize = 256 << 10;
/// A transfer that makes no progress at all for this long has failed.
const STALL: Duration = Duration::from_secs(30);

/// Sends the snapshot that `message` speaks of.
pub async fn send(transport: Arc<Transport>, message: Message) {
    let member = message.to;
    let counts = transport.counts_of(member).unwrap_or_default();
    let begin = Instant::now();
    counts.snapshots_in_flight.fetch_add(1, Ordering::Relaxed);
    let outcome = try_send(&transport, message).await;
    counts.snapshots_in_flight.fetch_sub(1, Ordering::Relaxed);
    if outcome.is_ok() {
        counts.snapshot_send_time.observe(begin.elapsed());
        Metrics::count(&counts.snapshots_sent);
    } else {
        Metrics::count(&counts.snapshot_send_failures);
    }
    if let Err(error) = &outcome {
        tracing::warn!(peer = %format!("{member:x}"), %error, "sending a snapshot failed");
    }
    let _ = transport.inbox.send(Input::SnapshotSent { member, ok: outcome.is_ok() });
}

async fn try_send(transport: &Arc<Transport>, mut raft_message: Message) -> Result<(), String> {
    let member = raft_message.to;
    let meta = raft_message.take_snapshot().take_metadata();
    let meta_place = (meta.index, meta.term);
    let directory = transport.snapshots.clone();
    // Reads the whole file to check it, so not on this thread.
    let found = move || snapshots::find(&directory, meta_place.0, meta_place.1);
    let info = tokio::task::spawn_blocking(found)
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?
        .ok_or("its file is gone")?
        .info()
        .clone();
    let conf_state = meta.get_conf_state();
    let first = SnapshotChunk {
        hello: Some(transport.identity.hello(member)),
        message: Some(message::to_wire(raft_message)),
        meta: Some(SnapshotMeta {
            index: meta.index,
            term: meta.term,
            voters: conf_state.get_voters().to_vec(),
            learners: conf_state.get_learners().to_vec(),
            size: info.size,
            sha256: info.sha256.to_vec().into(),
        }),
        ..SnapshotChunk::default()
    };
    let channel = dial::connect(&transport.dialer, &transport.urls(member)).await?;
    let (chunks, outgoing) = mpsc::channel(4);
    let mut client = dial::client(channel);
    let call = client.snapshot(ReceiverStream::new(outgoing));
    let (fed, answer) = tokio::join!(feed(info, first, chunks), call);
    answer.map_err(|status| status.message().to_owned())?;
    fed
}

async fn feed(
    info: SnapshotInfo,
    first: SnapshotChunk,
    chunks: mpsc::Sender<SnapshotChunk>,
) -> Result<(), String> {
    let mut file = tokio::fs::File::open(&info.path).await.map_err(|error| error.to_string())?;
    let mut next = first;
    let mut offset = 0;
    loop {
        let sent = tokio::time::timeout(STALL, chunks.send(next)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err("the receiver closed the stream".to_owned()),
            Err(_) => return Err(format!("no progress for {} s", STALL.as_secs())),
        }
        let mut data = vec![0; CHUNK_BYTES];
        let read = file.read(&mut data).await.map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(());
        }
        data.truncate(read);
        next = SnapshotChunk {
            offset,
            crc32c: crc32c::crc32c(&data),
            data: Bytes::from(data),
            ..SnapshotChunk::default()
        };
        offset += read as u64;
    }
}
