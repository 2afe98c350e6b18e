//! The stored form of one change of one key.
//!
//! Snapshots and the applied state share it. A record says where it ends, so records can be
//! put behind one another. Decoded keys and values are copies: a record never keeps the
//! buffer it was read from alive. No checksum is here; the block or the stored value around
//! the record carries it.

use std::sync::Arc;

use bytes::Bytes;

pub use super::codec::CodecError;
use super::codec::{Decoder, put_bytes, put_number, put_signed};
use crate::kv::{KeyValue, Record, RecordKind, Revision};

const PUT: u8 = 1;
const TOMBSTONE: u8 = 2;

/// Appends `record` to `out`.
pub fn encode(record: &Record, out: &mut Vec<u8>) {
    match &record.kind {
        RecordKind::Put(kv) => {
            out.push(PUT);
            put_signed(out, record.revision.main);
            put_signed(out, record.revision.sub);
            put_bytes(out, &kv.key);
            put_signed(out, kv.create_revision);
            put_signed(out, kv.mod_revision);
            put_signed(out, kv.version);
            // Lease numbers are random 64-bit numbers, so a varint would not save anything.
            out.extend_from_slice(&kv.lease.to_le_bytes());
            put_number(out, kv.value.len() as u64);
            out.extend_from_slice(&kv.value);
        }
        RecordKind::Tombstone(key) => {
            out.push(TOMBSTONE);
            put_signed(out, record.revision.main);
            put_signed(out, record.revision.sub);
            put_bytes(out, key);
        }
    }
}

/// Reads one record from the front of `bytes`, and says how many bytes it took.
pub fn decode(bytes: &[u8]) -> Result<(Record, usize), CodecError> {
    let mut decoder = Decoder::new(bytes);
    let tag = decoder.byte()?;
    if tag != PUT && tag != TOMBSTONE {
        return Err(CodecError::UnknownTag(tag));
    }
    let revision = Revision::new(decoder.signed()?, decoder.signed()?);
    let key: Arc<[u8]> = Arc::from(decoder.bytes()?);
    let kind = if tag == PUT {
        let create_revision = decoder.signed()?;
        let mod_revision = decoder.signed()?;
        let version = decoder.signed()?;
        let mut lease = [0; 8];
        lease.copy_from_slice(decoder.slice(8)?);
        let lease = i64::from_le_bytes(lease);
        let value = Bytes::copy_from_slice(decoder.bytes()?);
        let kv = KeyValue { key, value, create_revision, mod_revision, version, lease };
        RecordKind::Put(Arc::new(kv))
    } else {
        RecordKind::Tombstone(key)
    };
    Ok((Record { revision, kind }, decoder.position()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Any record, with a value of up to `value_size` bytes.
    pub(crate) fn any_record(value_size: usize) -> impl Strategy<Value = Record> {
        let put = (
            prop::collection::vec(any::<u8>(), 0..40),
            prop::collection::vec(any::<u8>(), 0..=value_size),
            any::<[i64; 4]>(),
        )
            .prop_map(|(key, value, [create_revision, mod_revision, version, lease])| {
                RecordKind::Put(Arc::new(KeyValue {
                    key: Arc::from(key),
                    value: Bytes::from(value),
                    create_revision,
                    mod_revision,
                    version,
                    lease,
                }))
            });
        let tombstone = prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|key| RecordKind::Tombstone(Arc::from(key)));
        (any::<i64>(), any::<i64>(), prop_oneof![put, tombstone])
            .prop_map(|(main, sub, kind)| Record { revision: Revision::new(main, sub), kind })
    }

    proptest! {
        #[test]
        fn records_behind_one_another_come_back(
            records in prop::collection::vec(any_record(300), 0..6)
        ) {
            let mut bytes = Vec::new();
            records.iter().for_each(|record| encode(record, &mut bytes));
            let mut rest = &bytes[..];
            for record in &records {
                let (decoded, length) = decode(rest).unwrap();
                prop_assert_eq!(&decoded, record);
                rest = &rest[length..];
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn a_cut_record_is_refused(record in any_record(60)) {
            let mut bytes = Vec::new();
            encode(&record, &mut bytes);
            for cut in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..cut]), Err(CodecError::Truncated));
            }
        }
    }
}
