//! The answer to Maintenance.Snapshot: a database file, and its SHA-256 behind it.
//!
//! The file is written first, where nobody else sees it: its size is in the first message, and
//! its beginning is known last. It has no name, so it goes with this process at the latest.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use proto::etcdserverpb::SnapshotResponse;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::backup;
use crate::member::Member;
use crate::storage::files;

/// etcd's chunk, which its clients know.
const CHUNK_BYTES: usize = 32 << 10;
/// Chunks that wait for a slow client.
const CHUNKS_AHEAD: usize = 4;

/// The stream of one answer.
pub type Stream = ReceiverStream<Result<SnapshotResponse, Status>>;

/// Begins an answer, which names `version` as that of the storage.
pub fn stream(member: Arc<Member>, version: String) -> Stream {
    let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
    tokio::spawn(async move {
        if let Err(error) = send(member, &version, &chunks).await {
            tracing::warn!(%error, "a snapshot for a client failed");
            let _ = chunks.send(Err(Status::unknown(error.to_string()))).await;
        }
    });
    ReceiverStream::new(stream)
}

async fn send(
    member: Arc<Member>,
    version: &str,
    chunks: &mpsc::Sender<Result<SnapshotResponse, Status>>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (begin, making) = (Instant::now(), member.clone());
    let (file, total) = tokio::task::spawn_blocking(move || write(&making)).await??;
    let mut file = tokio::fs::File::from_std(file);
    file.rewind().await?;
    let mut hash = Sha256::new();
    let mut left = total;
    while left > 0 {
        let mut data = vec![0; CHUNK_BYTES.min(usize::try_from(left).unwrap_or(CHUNK_BYTES))];
        file.read_exact(&mut data).await?;
        hash.update(&data);
        left -= data.len() as u64;
        if chunks.send(Ok(chunk(left, Bytes::from(data), version))).await.is_err() {
            return Ok(()); // the client has gone
        }
    }
    let sum = Bytes::copy_from_slice(&hash.finalize());
    let _ = chunks.send(Ok(chunk(0, sum, version))).await;
    member.metrics.backup.observe(begin.elapsed());
    Ok(())
}

fn chunk(remaining_bytes: u64, blob: Bytes, version: &str) -> SnapshotResponse {
    let version = version.to_owned();
    SnapshotResponse { header: None, remaining_bytes, blob, version }
}

fn write(member: &Member) -> Result<(File, u64), backup::Error> {
    let pause = member.store.pause_compaction();
    let job = backup::export::begin(&member.state.read(), &member.store, pause);
    job.write(nameless(&member.directories.snapshots)?)
}

/// An empty file in `directory` that has no name any more.
fn nameless(directory: &Path) -> Result<File, backup::Error> {
    let path = directory.join(format!("{:016x}.db.tmp", rand::random::<u64>()));
    let failed = |op| {
        let path = path.clone();
        move |source| backup::Error::Io { op, path, source }
    };
    let file = files::create_file(&path).map_err(failed("create"))?;
    std::fs::remove_file(&path).map_err(failed("remove"))?;
    Ok(file)
}
