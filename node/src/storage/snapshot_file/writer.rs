//! Writing a snapshot, record by record.

use std::io::Write;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::block::{self, Kind, PAYLOAD_BYTES_MAX};
use super::meta::{self, Footer};
use super::temporary::Temporary;
use super::{SnapshotError, SnapshotInfo, SnapshotMeta, file_name};
use crate::kv::{Record, Revision};
use crate::storage::codec::put_number;
use crate::storage::record_codec;

/// A snapshot in the making; dropped before [`SnapshotWriter::finish`], it leaves nothing.
#[derive(Debug)]
pub struct SnapshotWriter {
    blocks: BlockWriter,
    index: u64,
    term: u64,
    records: u64,
    last: Option<Revision>,
    /// One encoded record.
    encoded: Vec<u8>,
}

impl SnapshotWriter {
    /// Begins a snapshot in `dir`.
    pub fn create(dir: &Path, meta: &SnapshotMeta) -> Result<Self, SnapshotError> {
        let mut blocks = BlockWriter::begin(Temporary::create(dir)?)?;
        blocks.put(&meta::encode(meta))?;
        blocks.end_section(Kind::Records)?;
        let SnapshotMeta { index, term, .. } = *meta;
        Ok(Self { blocks, index, term, records: 0, last: None, encoded: Vec::new() })
    }

    /// Adds a record. Revisions must rise.
    pub fn push(&mut self, record: &Record) -> Result<(), SnapshotError> {
        let after = record.revision;
        if let Some(before) = self.last.filter(|before| *before >= after) {
            return Err(SnapshotError::RecordOutOfOrder { before, after });
        }
        self.last = Some(after);
        self.records += 1;
        self.encoded.clear();
        record_codec::encode(record, &mut self.encoded);
        let mut length = Vec::with_capacity(10);
        put_number(&mut length, self.encoded.len() as u64);
        self.blocks.put(&length)?;
        self.blocks.put(&self.encoded)
    }

    /// Completes the file, makes it durable, and gives it its name. A snapshot of the same
    /// index and term is replaced.
    pub fn finish(mut self) -> Result<SnapshotInfo, SnapshotError> {
        let (index, term) = (self.index, self.term);
        self.blocks.end_section(Kind::Footer)?;
        let sha256 = self.blocks.hasher.clone().finalize().into();
        let footer = Footer { index, term, records: self.records, sha256 };
        self.blocks.put(&footer.encode())?;
        self.blocks.flush_block()?;
        let BlockWriter { temporary, hasher, size, .. } = self.blocks;
        temporary.sync()?;
        let path = temporary.publish(&file_name(index, term))?;
        Ok(SnapshotInfo { path, index, term, size, sha256: hasher.finalize().into() })
    }
}

/// Cuts sections into blocks.
#[derive(Debug)]
struct BlockWriter {
    temporary: Temporary,
    hasher: Sha256,
    size: u64,
    /// Number of the block that is being filled.
    number: u64,
    kind: Kind,
    payload: Vec<u8>,
}

impl BlockWriter {
    fn begin(temporary: Temporary) -> Result<Self, SnapshotError> {
        let payload = Vec::with_capacity(PAYLOAD_BYTES_MAX);
        let (hasher, kind) = (Sha256::new(), Kind::Meta);
        let mut writer = Self { temporary, hasher, size: 0, number: 0, kind, payload };
        writer.write(&block::preamble())?;
        Ok(writer)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), SnapshotError> {
        while !bytes.is_empty() {
            if self.payload.len() == PAYLOAD_BYTES_MAX {
                self.flush_block()?;
            }
            let room = PAYLOAD_BYTES_MAX - self.payload.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.payload.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn end_section(&mut self, next: Kind) -> Result<(), SnapshotError> {
        if !self.payload.is_empty() {
            self.flush_block()?;
        }
        self.kind = next;
        Ok(())
    }

    fn flush_block(&mut self) -> Result<(), SnapshotError> {
        let mut payload = std::mem::take(&mut self.payload);
        self.write(&block::header(self.number, self.kind, &payload))?;
        self.write(&payload)?;
        payload.clear();
        self.payload = payload;
        self.number += 1;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        let written = self.temporary.file.write_all(bytes);
        written.map_err(SnapshotError::io("write to", self.temporary.path()))
    }
}
