//! The bytes of one [`Record`] on disk.
//!
//! A kind byte, then integers as varints (seven bits a byte, lowest first; signed ones
//! folded so that small negatives stay short), then key and value behind their lengths.
//! The encoding says where it ends, so records can follow each other without separators.
//!
//! # Invariant
//! `decode(encode(r)) == r`, and `decode` never reads past the slice, never allocates more
//! than the slice holds, and answers every other input with an error. It does not detect
//! flipped bits: whoever stores the bytes adds the checksum.

use std::sync::Arc;

use bytes::Bytes;

use crate::kv::{KeyValue, Record, RecordKind, Revision};

const TOMBSTONE: u8 = 0;
const PUT: u8 = 1;

/// The bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("the bytes end in the middle of a record")]
    Truncated,
    #[error("{0} is not a kind of record")]
    UnknownKind(u8),
    #[error("an integer of a record is longer than 64 bits")]
    Overlong,
}

/// Appends the bytes of `record` to `out`.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    match &record.kind {
        RecordKind::Tombstone(key) => {
            out.push(TOMBSTONE);
            put_revision(record.revision, out);
            put_bytes(key, out);
        }
        RecordKind::Put(kv) => {
            out.push(PUT);
            put_revision(record.revision, out);
            put_bytes(&kv.key, out);
            put_signed(kv.create_revision, out);
            put_signed(kv.mod_revision, out);
            put_signed(kv.version, out);
            put_signed(kv.lease, out);
            put_bytes(&kv.value, out);
        }
    }
}

/// The first record in `bytes` and the number of bytes it takes.
pub fn decode(bytes: &[u8]) -> Result<(Record, usize), CodecError> {
    let mut rest = bytes;
    let kind = take(&mut rest, 1)?[0];
    let revision = Revision { main: take_signed(&mut rest)?, sub: take_signed(&mut rest)? };
    let kind = match kind {
        TOMBSTONE => RecordKind::Tombstone(Arc::from(take_bytes(&mut rest)?)),
        PUT => RecordKind::Put(Arc::new(KeyValue {
            key: Arc::from(take_bytes(&mut rest)?),
            create_revision: take_signed(&mut rest)?,
            mod_revision: take_signed(&mut rest)?,
            version: take_signed(&mut rest)?,
            lease: take_signed(&mut rest)?,
            value: Bytes::copy_from_slice(take_bytes(&mut rest)?),
        })),
        other => return Err(CodecError::UnknownKind(other)),
    };
    Ok((Record { revision, kind }, bytes.len() - rest.len()))
}

fn put_revision(revision: Revision, out: &mut Vec<u8>) {
    put_signed(revision.main, out);
    put_signed(revision.sub, out);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

fn put_signed(value: i64, out: &mut Vec<u8>) {
    // Zigzag: 0, -1, 1, -2 … become 0, 1, 2, 3 …
    put_varint(((value << 1) ^ (value >> 63)) as u64, out);
}

fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], CodecError> {
    let (taken, left) = rest.split_at_checked(count).ok_or(CodecError::Truncated)?;
    *rest = left;
    Ok(taken)
}

fn take_bytes<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], CodecError> {
    let length = usize::try_from(take_varint(rest)?).map_err(|_| CodecError::Truncated)?;
    take(rest, length)
}

fn take_signed(rest: &mut &[u8]) -> Result<i64, CodecError> {
    let folded = take_varint(rest)?;
    Ok((folded >> 1) as i64 ^ -((folded & 1) as i64))
}

fn take_varint(rest: &mut &[u8]) -> Result<u64, CodecError> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(CodecError::Overlong);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(CodecError::Overlong)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn records() -> impl Strategy<Value = Record> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..200);
        let numbers = || (any::<i64>(), any::<i64>(), any::<i64>(), any::<i64>());
        (any::<bool>(), any::<i64>(), any::<i64>(), bytes(), bytes(), numbers()).prop_map(
            |(put, main, sub, key, value, (create_revision, mod_revision, version, lease))| {
                let key: Arc<[u8]> = key.into();
                let kind = if put {
                    let value = value.into();
                    RecordKind::Put(Arc::new(KeyValue {
                        key,
                        value,
                        create_revision,
                        mod_revision,
                        version,
                        lease,
                    }))
                } else {
                    RecordKind::Tombstone(key)
                };
                Record { revision: Revision { main, sub }, kind }
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was_and_ends_where_it_ended(
            record in records(), tail in prop::collection::vec(any::<u8>(), 0..9)
        ) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            let length = bytes.len();
            bytes.extend(tail);
            prop_assert_eq!(decode(&bytes), Ok((record, length)));
        }

        #[test]
        fn a_cut_record_is_an_error(record in records(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            bytes.truncate(cut.index(bytes.len()));
            prop_assert_eq!(decode(&bytes), Err(CodecError::Truncated));
        }

        #[test]
        fn noise_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
