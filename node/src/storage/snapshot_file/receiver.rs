//! Receiving a snapshot from another member, chunk by chunk.
//!
//! Nothing that arrives is believed: every chunk has its checksum, the whole file must have
//! the size and SHA-256 that were announced, and it must open as a snapshot. Until then it has
//! a temporary name.

use std::io::Write;
use std::path::Path;

use super::temporary::Temporary;
use super::{SnapshotError, SnapshotInfo, SnapshotReader, file_name};

/// A snapshot on its way; dropped before [`SnapshotReceiver::finish`], it leaves nothing.
/// After an error the transfer has to begin again.
#[derive(Debug)]
pub struct SnapshotReceiver {
    temporary: Temporary,
    expected_size: u64,
    sha256: [u8; 32],
    received: u64,
}

impl SnapshotReceiver {
    /// Begins to receive a file of this size and SHA-256 into `dir`.
    pub fn create(dir: &Path, expected_size: u64, sha256: [u8; 32]) -> Result<Self, SnapshotError> {
        Ok(Self { temporary: Temporary::create(dir)?, expected_size, sha256, received: 0 })
    }

    /// Bytes received so far: the offset of the next chunk.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next chunk; `checksum` is the CRC-32C of `bytes`.
    pub fn write(&mut self, offset: u64, bytes: &[u8], checksum: u32) -> Result<(), SnapshotError> {
        if offset != self.received {
            return Err(SnapshotError::ChunkOutOfOrder { expected: self.received, got: offset });
        }
        let received = self.received.saturating_add(bytes.len() as u64);
        if received > self.expected_size {
            return Err(SnapshotError::WrongSize { received, expected: self.expected_size });
        }
        if crc32c::crc32c(bytes) != checksum {
            return Err(SnapshotError::BadChunk { offset });
        }
        let written = self.temporary.file.write_all(bytes);
        written.map_err(SnapshotError::io("write to", self.temporary.path()))?;
        self.received = received;
        Ok(())
    }

    /// Checks the whole file, makes it durable, and gives it its name.
    pub fn finish(self) -> Result<SnapshotInfo, SnapshotError> {
        let (received, expected) = (self.received, self.expected_size);
        if received != expected {
            return Err(SnapshotError::WrongSize { received, expected });
        }
        self.temporary.sync()?;
        let mut info = SnapshotReader::open(self.temporary.path())?.info().clone();
        if info.sha256 != self.sha256 {
            return Err(SnapshotError::WrongHash { file: self.temporary.path().to_owned() });
        }
        info.path = self.temporary.publish(&file_name(info.index, info.term))?;
        Ok(info)
    }
}
