use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::kv::{KeyValue, Record, RecordKind};
use crate::storage::record_codec::tests::any_record;

fn meta(index: u64, term: u64) -> SnapshotMeta {
    SnapshotMeta {
        index,
        term,
        conf_state: ConfState::from((vec![1, 2, 3], vec![4])),
        kv_revision: 90,
        compacted: 12,
        tables: vec![(1, b"leases".to_vec()), (9, Vec::new())],
    }
}

fn put(main: i64, value: Vec<u8>) -> Record {
    let kv = KeyValue {
        key: Arc::from(&b"key"[..]),
        value: Bytes::from(value),
        create_revision: 2,
        mod_revision: main,
        version: main - 1,
        lease: 7,
    };
    Record { revision: Revision::new(main, 0), kind: RecordKind::Put(Arc::new(kv)) }
}

fn write(dir: &Path, meta: &SnapshotMeta, records: &[Record]) -> SnapshotInfo {
    let mut writer = SnapshotWriter::create(dir, meta).unwrap();
    records.iter().for_each(|record| writer.push(record).unwrap());
    writer.finish().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn what_is_written_is_read(
        records in prop::collection::vec(any_record(30_000), 0..12),
        tables in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..9000)), 0..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut records = records;
        for (at, record) in records.iter_mut().enumerate() {
            record.revision = Revision::new(2 + at as i64 / 3, at as i64 % 3);
        }
        let meta = SnapshotMeta { tables, ..meta(7, 3) };
        let info = write(dir.path(), &meta, &records);
        let bytes = std::fs::read(&info.path).unwrap();
        prop_assert_eq!(bytes.len() as u64, info.size);
        prop_assert_eq!(<[u8; 32]>::from(Sha256::digest(&bytes)), info.sha256);
        let reader = SnapshotReader::open(&info.path).unwrap();
        prop_assert_eq!(reader.info(), &info);
        prop_assert_eq!(reader.meta(), &meta);
        prop_assert_eq!(reader.record_count(), records.len() as u64);
        let read: Vec<Record> = reader.map(Result::unwrap).collect();
        prop_assert_eq!(read, records);
    }
}

#[test]
fn values_larger_than_many_blocks_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<Record> = [3 << 20, 0, 64 << 10, (64 << 10) - 1]
        .map(|size| size as usize)
        .into_iter()
        .zip(2..)
        .map(|(size, main)| put(main, (0..size).map(|at| (at % 251) as u8).collect()))
        .collect();
    let info = write(dir.path(), &meta(5, 1), &records);
    let read: Vec<Record> = SnapshotReader::open(&info.path).unwrap().map(Result::unwrap).collect();
    assert!(read == records);
}

#[test]
fn every_flipped_byte_and_every_cut_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let info = write(dir.path(), &meta(5, 1), &[put(2, b"value".to_vec()), put(3, vec![0; 40])]);
    let good = std::fs::read(&info.path).unwrap();
    for at in 0..good.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= flip;
            std::fs::write(&info.path, &bad).unwrap();
            assert!(SnapshotReader::open(&info.path).is_err(), "byte {at} flipped by {flip:#x}");
            assert!(matches!(
                verify(&info.path, &info.sha256),
                Err(SnapshotError::WrongHash { .. })
            ));
        }
        std::fs::write(&info.path, &good[..at]).unwrap();
        assert!(SnapshotReader::open(&info.path).is_err(), "cut at {at}");
    }
    let longer = [&good[..], b"x"].concat();
    std::fs::write(&info.path, longer).unwrap();
    assert!(SnapshotReader::open(&info.path).is_err(), "a byte too many");
    std::fs::write(&info.path, good).unwrap();
    verify(&info.path, &info.sha256).unwrap();
    assert_eq!(SnapshotReader::open(&info.path).unwrap().count(), 2);
}

#[test]
fn damage_after_opening_ends_the_records_with_one_error() {
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<Record> = (2..40).map(|main| put(main, vec![main as u8; 10_000])).collect();
    let info = write(dir.path(), &meta(5, 1), &records);
    let reader = SnapshotReader::open(&info.path).unwrap();
    let mut bytes = std::fs::read(&info.path).unwrap();
    bytes[200_000] ^= 1;
    std::fs::write(&info.path, bytes).unwrap();
    let read: Vec<_> = reader.collect();
    let (last, before) = read.split_last().unwrap();
    assert!(matches!(last, Err(SnapshotError::Corrupt { .. })));
    for (read, written) in before.iter().zip(&records) {
        assert_eq!(read.as_ref().unwrap(), written);
    }
}

#[test]
fn records_must_rise() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = SnapshotWriter::create(dir.path(), &meta(5, 1)).unwrap();
    writer.push(&put(4, Vec::new())).unwrap();
    let error = writer.push(&put(4, Vec::new())).unwrap_err();
    assert!(matches!(error, SnapshotError::RecordOutOfOrder { .. }));
}

#[test]
fn a_newer_version_is_refused_with_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let info = write(dir.path(), &meta(5, 1), &[]);
    let mut bytes = std::fs::read(&info.path).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..12]).to_le_bytes();
    bytes[12..16].copy_from_slice(&checksum);
    std::fs::write(&info.path, bytes).unwrap();
    let text = SnapshotReader::open(&info.path).unwrap_err().to_string();
    assert!(text.contains("version 2") && text.contains("version 1"), "{text}");
}

#[test]
fn an_abandoned_snapshot_leaves_nothing_and_a_crashed_one_is_swept() {
    let dir = tempfile::tempdir().unwrap();
    drop(SnapshotWriter::create(dir.path(), &meta(5, 1)).unwrap());
    drop(SnapshotReceiver::create(dir.path(), 10, [0; 32]).unwrap());
    assert_eq!(names(dir.path()), Vec::<String>::new());
    std::mem::forget(SnapshotWriter::create(dir.path(), &meta(5, 1)).unwrap());
    assert_eq!(names(dir.path()).len(), 1);
    assert!(list(dir.path()).unwrap().is_empty());
    assert_eq!(sweep(dir.path()).unwrap().len(), 1);
    assert_eq!(names(dir.path()), Vec::<String>::new());
}

#[test]
fn the_newest_whole_snapshot_is_found_and_old_ones_go() {
    let dir = tempfile::tempdir().unwrap();
    let infos: Vec<SnapshotInfo> =
        [(5, 1), (0x20, 2), (9, 1)].map(|(i, t)| write(dir.path(), &meta(i, t), &[])).to_vec();
    std::fs::write(dir.path().join("20-2.snap"), "not in the exact form").unwrap();
    let indexes = |dir| -> Vec<u64> { list(dir).unwrap().iter().map(|name| name.index).collect() };
    assert_eq!(indexes(dir.path()), [0x20, 9, 5]);
    std::fs::write(&infos[1].path, "damaged").unwrap();
    let newest = newest_valid(dir.path()).unwrap();
    assert_eq!(newest.reader.unwrap().info().index, 9);
    assert_eq!(newest.rejected.len(), 1);
    // The log names nothing newer than 9 yet: whatever came after it, 9 and 5 must stay.
    assert_eq!(prune(dir.path(), 9, 2).unwrap(), Vec::<std::path::PathBuf>::new());
    assert_eq!(prune(dir.path(), 0x20, 2).unwrap(), std::slice::from_ref(&infos[0].path));
    assert_eq!(indexes(dir.path()), [0x20, 9]);
}

#[test]
fn a_snapshot_is_received_in_chunks() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sent = write(from.path(), &meta(5, 1), &[put(2, vec![9; 5000])]);
    let bytes = std::fs::read(&sent.path).unwrap();
    let mut receiver = SnapshotReceiver::create(to.path(), sent.size, sent.sha256).unwrap();
    for chunk in bytes.chunks(700) {
        receiver.write(receiver.received(), chunk, crc32c::crc32c(chunk)).unwrap();
    }
    assert!(list(to.path()).unwrap().is_empty(), "no name before it is complete");
    let got = receiver.finish().unwrap();
    assert_eq!(
        SnapshotInfo { path: sent.path, ..got.clone() },
        SnapshotInfo { path: from.path().join(file_name(5, 1)), ..sent }
    );
    assert_eq!(SnapshotReader::open(&got.path).unwrap().count(), 1);
}

#[test]
fn a_bad_transfer_is_refused_and_leaves_nothing() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let sent = write(from.path(), &meta(5, 1), &[put(2, vec![9; 500])]);
    let bytes = std::fs::read(&sent.path).unwrap();
    let create = || SnapshotReceiver::create(to.path(), sent.size, sent.sha256).unwrap();
    let write = |receiver: &mut SnapshotReceiver, offset: usize, bytes: &[u8]| {
        receiver.write(offset as u64, bytes, crc32c::crc32c(bytes))
    };

    let mut receiver = create();
    write(&mut receiver, 0, &bytes[..100]).unwrap();
    let error = write(&mut receiver, 200, &bytes[200..]).unwrap_err();
    assert!(matches!(error, SnapshotError::ChunkOutOfOrder { expected: 100, got: 200 }));
    let error = write(&mut receiver, 0, &bytes[..100]).unwrap_err();
    assert!(matches!(error, SnapshotError::ChunkOutOfOrder { .. }), "a chunk twice");
    let error = receiver.write(100, &bytes[100..], 1).unwrap_err();
    assert!(matches!(error, SnapshotError::BadChunk { offset: 100 }));
    let error = write(&mut receiver, 100, &[&bytes[100..], b"x"].concat()).unwrap_err();
    assert!(matches!(error, SnapshotError::WrongSize { .. }));
    assert!(matches!(receiver.finish(), Err(SnapshotError::WrongSize { received: 100, .. })));

    let mut receiver = create();
    let mut flipped = bytes.clone();
    flipped[300] ^= 1;
    write(&mut receiver, 0, &flipped).unwrap();
    assert!(receiver.finish().is_err(), "right chunk checksums, wrong file");

    let mut receiver = SnapshotReceiver::create(to.path(), sent.size, [1; 32]).unwrap();
    write(&mut receiver, 0, &bytes).unwrap();
    assert!(matches!(receiver.finish(), Err(SnapshotError::WrongHash { .. })));
    assert_eq!(names(to.path()), Vec::<String>::new());
}
