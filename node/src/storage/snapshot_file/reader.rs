//! Reading a snapshot: once as a whole to check it, then record by record.

use std::fs::File;
use std::io::{BufReader, Seek};
use std::path::Path;

use super::block::{BlockReader, Kind};
use super::meta::{self, Footer};
use super::{SnapshotError, SnapshotInfo, SnapshotMeta};
use crate::kv::{Record, Revision};
use crate::storage::codec::{CodecError, Decoder};
use crate::storage::record_codec;

/// Longest form of a record's length.
const LENGTH_BYTES_MAX: usize = 10;

/// A snapshot that has been found whole; an iterator over its records in revision order.
/// After an error it yields nothing more.
#[derive(Debug)]
pub struct SnapshotReader {
    info: SnapshotInfo,
    meta: SnapshotMeta,
    blocks: BlockReader<BufReader<File>>,
    records: u64,
    stream: Stream,
    failed: bool,
}

/// Records as they come out of the blocks.
#[derive(Debug, Default)]
struct Stream {
    /// Bytes read and not yet decoded, from `at` on.
    bytes: Vec<u8>,
    at: usize,
    block: Vec<u8>,
    /// The records' section has been read to its end.
    ended: bool,
    decoded: u64,
    last: Option<Revision>,
}

/// What the first pass found.
struct Checked {
    meta: SnapshotMeta,
    records: u64,
    sha256: [u8; 32],
    size: u64,
}

impl SnapshotReader {
    /// Opens a file, and checks all of it.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let mut file = File::open(path).map_err(SnapshotError::io("open", path))?;
        let checked = check(&mut BlockReader::begin(BufReader::new(&file), path)?)?;
        let Checked { meta, records, sha256, size } = checked;
        file.rewind().map_err(SnapshotError::io("read", path))?;
        let blocks = BlockReader::begin(BufReader::new(file), path)?;
        let (index, term) = (meta.index, meta.term);
        let info = SnapshotInfo { path: path.to_owned(), index, term, size, sha256 };
        let stream = Stream::default();
        Ok(Self { info, meta, blocks, records, stream, failed: false })
    }

    pub fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    pub fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    /// How many records the snapshot holds.
    pub fn record_count(&self) -> u64 {
        self.records
    }

    fn next_record(&mut self) -> Result<Option<Record>, SnapshotError> {
        let Self { blocks, stream, .. } = self;
        if !stream.fill(blocks, 1)? {
            if stream.decoded != self.records {
                return Err(blocks.corrupt("the footer counts other records than there are"));
            }
            return Ok(None);
        }
        stream.fill(blocks, LENGTH_BYTES_MAX)?;
        let (path, offset) = (&self.info.path, blocks.offset());
        let bad = |error: CodecError| SnapshotError::codec(path, offset)(error);
        let mut decoder = Decoder::new(&stream.bytes[stream.at..]);
        let length = decoder.number().map_err(bad)?;
        if length > self.info.size {
            return Err(bad(CodecError::Truncated));
        }
        stream.at += decoder.position();
        let length = length as usize;
        if !stream.fill(blocks, length)? {
            return Err(bad(CodecError::Truncated));
        }
        let encoded = &stream.bytes[stream.at..stream.at + length];
        let (record, used) = record_codec::decode(encoded).map_err(bad)?;
        if used != length {
            return Err(bad(CodecError::LeftOver(length - used)));
        }
        stream.at += length;
        stream.decoded += 1;
        let after = record.revision;
        if let Some(before) = stream.last.filter(|before| *before >= after) {
            return Err(SnapshotError::RecordOutOfOrder { before, after });
        }
        stream.last = Some(after);
        Ok(Some(record))
    }
}

impl Iterator for SnapshotReader {
    type Item = Result<Record, SnapshotError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_record().transpose();
        self.failed = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Stream {
    /// Reads blocks until at least `wanted` bytes lie ready; says whether they do.
    fn fill(
        &mut self,
        blocks: &mut BlockReader<BufReader<File>>,
        wanted: usize,
    ) -> Result<bool, SnapshotError> {
        while self.bytes.len() - self.at < wanted && !self.ended {
            match blocks.next(&mut self.block)? {
                Kind::Meta => {}
                Kind::Footer => self.ended = true,
                Kind::Records => {
                    self.bytes.drain(..self.at);
                    self.at = 0;
                    self.bytes.extend_from_slice(&self.block);
                }
            }
        }
        Ok(self.bytes.len() - self.at >= wanted)
    }
}

/// Reads everything; what comes out has been compared with every checksum there is.
fn check(blocks: &mut BlockReader<BufReader<&File>>) -> Result<Checked, SnapshotError> {
    let (mut meta_bytes, mut payload) = (Vec::new(), Vec::new());
    let mut section = Kind::Meta;
    let footer_hash = loop {
        let hash_before = blocks.hash();
        let kind = blocks.next(&mut payload)?;
        if kind < section {
            return Err(blocks.corrupt("a block stands outside its section"));
        }
        section = kind;
        match kind {
            Kind::Meta => meta_bytes.extend_from_slice(&payload),
            Kind::Records => {}
            Kind::Footer => break hash_before,
        }
    };
    blocks.expect_end()?;
    let bad = |error: CodecError| blocks.corrupt(&error.to_string());
    let footer = Footer::decode(&payload).map_err(bad)?;
    if footer.sha256 != footer_hash {
        return Err(blocks.corrupt("the file does not match the SHA-256 in its footer"));
    }
    let meta = meta::decode(&meta_bytes).map_err(bad)?;
    if (footer.index, footer.term) != (meta.index, meta.term) {
        return Err(blocks.corrupt("the footer is that of another snapshot"));
    }
    let (sha256, size) = (blocks.hash(), blocks.offset());
    Ok(Checked { meta, records: footer.records, sha256, size })
}
