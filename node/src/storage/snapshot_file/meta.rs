//! The contents of the meta section and of the footer.

use super::SnapshotMeta;
use crate::storage::codec::{
    CodecError, Decoder, put_bytes, put_conf_state, put_number, put_signed,
};

/// A tag and an empty byte string.
const TABLE_BYTES_MIN: usize = 2;

pub(super) fn encode(meta: &SnapshotMeta) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, meta.index);
    put_number(&mut out, meta.term);
    put_conf_state(&mut out, &meta.conf_state);
    put_signed(&mut out, meta.kv_revision);
    put_signed(&mut out, meta.compacted);
    put_number(&mut out, meta.tables.len() as u64);
    for (tag, bytes) in &meta.tables {
        out.push(*tag);
        put_bytes(&mut out, bytes);
    }
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<SnapshotMeta, CodecError> {
    let mut decoder = Decoder::new(bytes);
    let mut meta = SnapshotMeta {
        index: decoder.number()?,
        term: decoder.number()?,
        conf_state: decoder.conf_state()?,
        kv_revision: decoder.signed()?,
        compacted: decoder.signed()?,
        tables: Vec::new(),
    };
    for _ in 0..decoder.count(TABLE_BYTES_MIN)? {
        meta.tables.push((decoder.byte()?, decoder.bytes()?.to_vec()));
    }
    decoder.finish()?;
    Ok(meta)
}

/// The last block of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub index: u64,
    pub term: u64,
    pub records: u64,
    /// Of all bytes before the footer's block.
    pub sha256: [u8; 32],
}

impl Footer {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, self.index);
        put_number(&mut out, self.term);
        put_number(&mut out, self.records);
        out.extend_from_slice(&self.sha256);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut decoder = Decoder::new(bytes);
        let (index, term, records) = (decoder.number()?, decoder.number()?, decoder.number()?);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(decoder.slice(32)?);
        decoder.finish()?;
        Ok(Self { index, term, records, sha256 })
    }
}
