//! The bytes of sled's keys and values.
//!
//! A *cell* is one sled entry. Records are packed into cells in revision order, several to
//! a cell, under the revision of the first; whatever is larger than a cell (a big record,
//! a big side value) is spread over a head and numbered parts.
//!
//! | key | value |
//! |---|---|
//! | `r` main sub | block: records one after another |
//! | `r` main sub | head: total length, first bytes of one large record |
//! | `r` main sub part | next bytes of that record |
//! | `s` table length key part | head or part of a side value |
//! | `m` | the mark |
//!
//! # Invariants
//! Every value starts with a CRC32C over its key and the rest, so neither a flipped bit nor
//! a value that turned up under another key is ever taken for data. No value exceeds
//! [`CELL_LIMIT`]: sled merges up to twenty entries in a page and moves pages of more than
//! 128 KiB to blob files, which it never syncs.

use crate::kv::{Record, Revision};
use crate::storage::record_codec;

/// Largest sled value. 22 of them, with keys, stay below sled's 128 KiB limit of a page.
pub(super) const CELL_LIMIT: usize = 5632;
/// Largest key of a side value.
pub(super) const SIDE_KEY_LIMIT: usize = 1024;

/// Where the mark is stored.
pub(super) const MARK_KEY: &[u8] = b"m";
/// The first byte of every key of a record.
pub(super) const RECORDS: u8 = b'r';
/// The first byte of every key of a side value.
pub(super) const SIDES: u8 = b's';

const HEADER: usize = 5;
const BODY_LIMIT: usize = CELL_LIMIT - HEADER;
const LENGTH: usize = 8;

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Block = 1,
    Head = 2,
    Part = 3,
    Whole = 4,
}

/// A sled key with its new value; `None` removes it.
pub(super) type Write = (Vec<u8>, Option<Vec<u8>>);

/// The key of the cell whose first record is `revision`.
pub(super) fn record_key(revision: Revision) -> [u8; 17] {
    let mut key = [0; 17];
    key[0] = RECORDS;
    key[1..9].copy_from_slice(&revision.main.to_be_bytes());
    key[9..].copy_from_slice(&revision.sub.to_be_bytes());
    key
}

/// The revision in a record's key, and whether the key is that of a part.
pub(super) fn parse_record_key(key: &[u8]) -> Option<(Revision, bool)> {
    let part = match key.len() {
        17 => false,
        21 => true,
        _ => return None,
    };
    let main = i64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    let sub = i64::from_be_bytes(key.get(9..17)?.try_into().ok()?);
    (key[0] == RECORDS).then_some((Revision { main, sub }, part))
}

/// The key of a side value without the part number.
pub(super) fn side_key(table: u8, key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 8);
    out.extend_from_slice(&[SIDES, table]);
    out.extend_from_slice(&(key.len() as u16).to_be_bytes());
    out.extend_from_slice(key);
    out
}

/// Table and key of a side value's cell, without the part number.
pub(super) fn parse_side_key(cell_key: &[u8]) -> Option<(u8, Vec<u8>)> {
    let table = *cell_key.get(1)?;
    let length = usize::from(u16::from_be_bytes(cell_key.get(2..4)?.try_into().ok()?));
    let rest = cell_key.get(4..)?;
    (rest.len() == length + 4).then(|| (table, rest[..length].to_vec()))
}

/// `key` followed by the number of the part.
pub(super) fn part_key(key: &[u8], part: u32) -> Vec<u8> {
    [key, &part.to_be_bytes()].concat()
}

/// The value to store under `key`.
pub(super) fn seal(key: &[u8], kind: Kind, body: &[&[u8]]) -> Vec<u8> {
    let mut value = Vec::with_capacity(HEADER + body.iter().map(|part| part.len()).sum::<usize>());
    value.extend_from_slice(&[0, 0, 0, 0, kind as u8]);
    for part in body {
        value.extend_from_slice(part);
    }
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &value[4..]);
    value[..4].copy_from_slice(&crc.to_le_bytes());
    value
}

/// Kind and body of a stored value, if the checksum holds.
pub(super) fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<(Kind, &'a [u8]), String> {
    let (crc, rest) = value.split_first_chunk::<4>().ok_or("a stored value is too short")?;
    let (kind, body) = rest.split_first().ok_or("a stored value is too short")?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c_append(crc32c::crc32c(key), rest) {
        return Err("a stored value does not match its checksum".into());
    }
    let kind = match kind {
        1 => Kind::Block,
        2 => Kind::Head,
        3 => Kind::Part,
        4 => Kind::Whole,
        other => return Err(format!("a stored value is of the unknown kind {other}")),
    };
    Ok((kind, body))
}

/// Spreads `value` over a head under `head_key` and parts under `part_stem` + 1, 2, …;
/// returns the number of cells.
pub(super) fn spread(head_key: &[u8], part_stem: &[u8], value: &[u8], out: &mut Vec<Write>) -> u32 {
    let (first, mut rest) = value.split_at(value.len().min(BODY_LIMIT - LENGTH));
    let length = (value.len() as u64).to_le_bytes();
    out.push((head_key.to_vec(), Some(seal(head_key, Kind::Head, &[&length, first]))));
    let mut parts = 1;
    while !rest.is_empty() {
        let (chunk, left) = rest.split_at(rest.len().min(BODY_LIMIT));
        let key = part_key(part_stem, parts);
        let sealed = seal(&key, Kind::Part, &[chunk]);
        out.push((key, Some(sealed)));
        rest = left;
        parts += 1;
    }
    parts
}

/// Collects a value that was [`spread`].
pub(super) struct Gather {
    stem: Vec<u8>,
    total: u64,
    bytes: Vec<u8>,
    parts: u32,
}

impl Gather {
    /// Begins with the body of the head; `stem` is the key that parts add their number to.
    pub(super) fn begin(stem: &[u8], head: &[u8]) -> Result<Self, String> {
        let (length, first) =
            head.split_first_chunk::<LENGTH>().ok_or("the head of a large value is too short")?;
        let total = u64::from_le_bytes(*length);
        Ok(Self { stem: stem.to_vec(), total, bytes: first.to_vec(), parts: 1 })
    }

    /// All bytes are there.
    pub(super) fn is_complete(&self) -> bool {
        self.bytes.len() as u64 == self.total
    }

    /// Adds the next cell, which must be the next part of this value.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        if key != part_key(&self.stem, self.parts) {
            return Err("a part of a large value is missing".into());
        }
        let (kind, body) = unseal(key, value)?;
        if kind != Kind::Part || self.bytes.len() as u64 + body.len() as u64 > self.total {
            return Err("a part of a large value does not fit its head".into());
        }
        self.bytes.extend_from_slice(body);
        self.parts += 1;
        Ok(())
    }

    /// The value and the number of cells it took.
    pub(super) fn finish(self) -> (Vec<u8>, u32) {
        (self.bytes, self.parts)
    }
}

/// How much is stored: kept beside the mark in the same atomic write, so that a load can
/// tell that nothing is missing, doubled or from an older time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Number of records.
    pub(super) count: u64,
    /// Their encoded length.
    pub(super) bytes: u64,
    /// Wrapping sum of their checksums, whatever their order.
    pub(super) digest: u64,
}

impl Sums {
    /// The sums of one encoded record.
    pub(super) fn of(encoded: &[u8]) -> Self {
        let digest = u64::from(crc32c::crc32c(encoded));
        Self { count: 1, bytes: encoded.len() as u64, digest }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.bytes = self.bytes.wrapping_add(other.bytes);
        self.digest = self.digest.wrapping_add(other.digest);
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.count = self.count.wrapping_sub(other.count);
        self.bytes = self.bytes.wrapping_sub(other.bytes);
        self.digest = self.digest.wrapping_sub(other.digest);
    }
}

/// A record as it was read back.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) record: Record,
    pub(super) sums: Sums,
}

/// The records of a block, or of one gathered large record.
pub(super) fn unpack(mut body: &[u8]) -> Result<Vec<Stored>, String> {
    let mut records = Vec::new();
    while !body.is_empty() {
        let (record, used) = record_codec::decode(body).map_err(|error| error.to_string())?;
        let (encoded, rest) = body.split_at(used);
        records.push(Stored { record, sums: Sums::of(encoded) });
        body = rest;
    }
    Ok(records)
}

/// Packs records, given in revision order, into cells.
#[derive(Default)]
pub(super) struct Packer {
    cells: Vec<Write>,
    first: Revision,
    block: Vec<u8>,
    sums: Sums,
}

impl Packer {
    /// Adds one record.
    pub(super) fn push(&mut self, record: &Record) {
        let start = self.block.len();
        record_codec::encode(record, &mut self.block);
        self.sums.add(Sums::of(&self.block[start..]));
        if start == 0 {
            self.first = record.revision;
        } else if self.block.len() > BODY_LIMIT {
            // It opens the next block.
            let encoded = self.block.split_off(start);
            self.close();
            self.block = encoded;
            self.first = record.revision;
        }
        if self.block.len() > BODY_LIMIT {
            let key = record_key(self.first);
            spread(&key, &key, &self.block, &mut self.cells);
            self.block.clear();
        }
    }

    fn close(&mut self) {
        if !self.block.is_empty() {
            let key = record_key(self.first);
            self.cells.push((key.to_vec(), Some(seal(&key, Kind::Block, &[&self.block]))));
            self.block.clear();
        }
    }

    /// Encoded length of everything that was pushed.
    pub(super) fn bytes(&self) -> u64 {
        self.sums.bytes
    }

    /// The cells, and the sums of everything that was pushed.
    pub(super) fn finish(mut self) -> (Vec<Write>, Sums) {
        self.close();
        (self.cells, self.sums)
    }
}
