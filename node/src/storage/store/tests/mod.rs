//! Records that tests share, and what the store does when nothing is broken.

mod damage;
mod model;

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::sample::Index;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;

use super::engine::Engine;
use super::place::Place;
use super::*;

fn put(main: i64, sub: i64, size: usize) -> Record {
    let key: Arc<[u8]> = format!("key/{:03}", (main * 7 + sub) % 50).into_bytes().into();
    let value: Vec<u8> = (0..size).map(|i| (i as i64 * 31 + main * 17 + sub) as u8).collect();
    let kv = KeyValue {
        key,
        value: Bytes::from(value),
        create_revision: main,
        mod_revision: main,
        version: 1,
        lease: sub,
    };
    Record { revision: Revision { main, sub }, kind: RecordKind::Put(Arc::new(kv)) }
}

fn tombstone(main: i64, sub: i64) -> Record {
    let key: Arc<[u8]> = format!("key/{main}").into_bytes().into();
    Record { revision: Revision { main, sub }, kind: RecordKind::Tombstone(key) }
}

fn quick() -> StoreOptions {
    StoreOptions { linger: Duration::ZERO, batch_bytes: 8 << 10, ..StoreOptions::default() }
}

fn batch(index: u64, records: Vec<Record>) -> Batch {
    let kv_revision = records.last().map_or(0, |record| record.revision.main);
    let mark = AppliedMark { index, term: 1, kv_revision, ..AppliedMark::default() };
    Batch { mark, records, ..Batch::default() }
}

fn all(store: &Store) -> Vec<Record> {
    let mut records = Vec::new();
    store
        .scan(Revision::default(), i64::MAX, &mut |record| {
            records.push(record);
            ControlFlow::Continue(())
        })
        .unwrap();
    records
}

fn load(store: &Store) -> Result<Vec<Record>, StoreError> {
    let mut records = Vec::new();
    store.load_records(&mut |record| records.push(record))?;
    Ok(records)
}

fn value_at(store: &Store, main: i64, sub: i64) -> Option<Arc<KeyValue>> {
    store.put_at(Revision { main, sub }).unwrap()
}

fn kv_of(record: &Record) -> Option<Arc<KeyValue>> {
    match &record.kind {
        RecordKind::Put(kv) => Some(kv.clone()),
        RecordKind::Tombstone(_) => None,
    }
}

/// Every file below `dir`, in a fixed order.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { dirs.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn blob_count(dir: &Path) -> usize {
    files(dir).iter().filter(|path| path.parent().unwrap().ends_with("blobs")).count()
}

#[test]
fn a_scan_begins_and_ends_where_it_is_told() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    for main in 2..60 {
        store
            .enqueue(batch(main, vec![put(main as i64, 0, 300), put(main as i64, 1, 9000)]))
            .unwrap();
        if main == 40 {
            store.drain().unwrap();
        }
    }
    let scan = |from: Revision, to: i64, count: usize| {
        let mut found = Vec::new();
        store
            .scan(from, to, &mut |record| {
                found.push((record.revision.main, record.revision.sub));
                if found.len() == count {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })
            .unwrap();
        found
    };
    assert_eq!(scan(Revision::new(38, 1), 42, 99).len(), 9);
    assert_eq!(scan(Revision::new(38, 1), 42, 99)[0], (38, 1));
    assert_eq!(scan(Revision::new(38, 1), 42, 99)[8], (42, 1));
    assert_eq!(scan(Revision::new(3, 0), 99, 2), [(3, 0), (3, 1)]);
    assert_eq!(scan(Revision::new(58, 7), 99, 9), [(59, 0), (59, 1)]);
    assert_eq!(scan(Revision::new(60, 0), 99, 9), []);
    assert_eq!(scan(Revision::new(5, 0), 4, 9), []);
}

#[test]
fn values_of_a_mebibyte_need_no_blob_files() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..12 {
        let mut records = vec![put(main, 0, 1 << 20)];
        records.extend((1..40).map(|sub| put(main, sub, 5000)));
        store.enqueue(batch(main as u64, records)).unwrap();
    }
    let keep: HashSet<_> =
        (2..8).flat_map(|main| [Revision::new(main, 0), Revision::new(main, 9)]).collect();
    let compaction = Some(Compaction { revision: 8, keep: keep.clone() });
    store.enqueue(Batch { compaction, ..batch(12, vec![]) }).unwrap();
    store.wait_compacted(8).unwrap();
    store.defragment().unwrap();
    drop(store);
    assert_eq!(blob_count(home.path()), 0);

    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert_eq!(loaded.unwrap().mark.index, 12);
    let found: Vec<_> = load(&store).unwrap();
    assert_eq!(found.len(), keep.len() + 3 * 40);
    for record in found {
        let Revision { main, sub } = record.revision;
        assert_eq!(record, put(main, sub, if sub == 0 { 1 << 20 } else { 5000 }));
        assert_eq!(value_at(&store, main, sub), kv_of(&record));
    }
}

#[test]
fn a_round_that_is_written_in_pieces_is_whole_before_and_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("kv");
    let few = vec![put(1, 0, 100)];
    let many: Vec<Record> = (0..10_000).map(|sub| put(2, sub, 1000)).collect();
    let mut expected = few.clone();
    expected.extend(many.iter().cloned());
    {
        let store = Store::open(&path, quick()).unwrap().0;
        store.enqueue(batch(1, few)).unwrap();
        store.enqueue(batch(2, many)).unwrap();
        // Most likely while the pieces are written.
        assert_eq!(all(&store), expected);
        store.flush().unwrap();
        assert_eq!(all(&store), expected);
    }
    let (store, loaded) = Store::open(&path, quick()).unwrap();
    assert_eq!(loaded.unwrap().mark.index, 2);
    assert_eq!(load(&store).unwrap(), expected);
}

#[test]
fn compaction_frees_logical_bytes_and_defragment_frees_files() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..2000 {
        store.enqueue(batch(main as u64, vec![put(main, 0, 3000)])).unwrap();
    }
    store.drain().unwrap();
    let (full, full_files) = (store.logical_bytes(), store.size_on_disk());
    assert!(full > 1998 * 3000);
    let compaction = Some(Compaction { revision: 1900, keep: HashSet::new() });
    store.enqueue(Batch { compaction, ..batch(2000, vec![]) }).unwrap();
    store.wait_compacted(1900).unwrap();
    assert!((99 * 3000..99 * 3050).contains(&store.logical_bytes()), "{}", store.logical_bytes());
    store.defragment().unwrap();
    assert!(store.size_on_disk() * 4 < full_files, "{} of {full_files}", store.size_on_disk());
    assert_eq!(all(&store).len(), 99);
    assert_eq!(
        fs::read_dir(&dir).unwrap().filter(|e| e.as_ref().unwrap().path().is_dir()).count(),
        1
    );
}

#[test]
fn a_paused_compaction_removes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    let pause = store.pause_compaction();
    let compaction = Some(Compaction { revision: 3, keep: HashSet::new() });
    store.enqueue(batch(1, vec![put(2, 0, 20), put(3, 0, 20), put(4, 0, 20)])).unwrap();
    store.enqueue(Batch { compaction, ..batch(2, vec![]) }).unwrap();
    // Commands and batches behind the compaction are carried out all the same.
    store.defragment().unwrap();
    store.enqueue(batch(3, vec![put(5, 0, 20)])).unwrap();
    store.flush().unwrap();
    assert_eq!(all(&store).len(), 4);
    drop(pause);
    store.wait_compacted(3).unwrap();
    assert_eq!(all(&store), [put(4, 0, 20), put(5, 0, 20)]);
}

#[test]
fn waiting_for_a_compaction_nobody_asked_for_returns() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    store.wait_compacted(77).unwrap();
}

#[test]
fn a_failed_writer_is_told_to_everybody_and_reads_go_on() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    store.drain().unwrap();
    store.handle.shared.fail("no space left on device".into());
    let results = [
        store.enqueue(batch(2, vec![put(3, 0, 20)])),
        store.drain(),
        store.flush(),
        store.defragment(),
        store.reset(),
        store.wait_compacted(1),
    ];
    for result in results {
        let error = result.unwrap_err().to_string();
        assert!(error.contains("no space left on device"), "{error}");
    }
    assert_eq!(store.is_failed().as_deref(), Some("no space left on device"));
    assert_eq!(value_at(&store, 2, 0), kv_of(&put(2, 0, 20)));
}

#[test]
fn records_out_of_order_and_long_side_keys_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    store.enqueue(batch(1, vec![put(5, 0, 20)])).unwrap();
    for wrong in [put(5, 0, 20), put(4, 9, 20)] {
        let error = store.enqueue(batch(2, vec![wrong])).unwrap_err();
        assert!(matches!(error, StoreError::OutOfOrder { .. }), "{error}");
    }
    let side = vec![SideWrite { table: 1, key: vec![0; 1025], value: None }];
    let error = store.enqueue(Batch { side, ..batch(2, vec![]) }).unwrap_err();
    assert!(matches!(error, StoreError::SideKeyTooLong(1025)), "{error}");
    assert_eq!(all(&store).len(), 1);
}

#[test]
fn a_store_that_was_being_filled_opens_as_new() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(0, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert_eq!(loaded, None);
    assert_eq!(all(&store), []);
    store.enqueue(batch(9, vec![put(2, 0, 20)])).unwrap();
}

#[test]
fn readers_see_every_record_while_it_is_written_compacted_and_copied() {
    let home = tempfile::tempdir().unwrap();
    let (store, _) = Store::open(home.path(), quick()).unwrap();
    let keep: HashSet<_> = (2..300).step_by(3).map(|main| Revision::new(main, 0)).collect();
    let reader = {
        let (store, keep) = (store.clone(), keep.clone());
        std::thread::spawn(move || {
            let mut newest = 1;
            while newest < 599 {
                let found: Vec<i64> = all(&store).iter().map(|r| r.revision.main).collect();
                assert!(found.is_sorted());
                assert!(found.last().copied().unwrap_or(1) >= newest, "went back");
                newest = found.last().copied().unwrap_or(1);
                let expected = keep.iter().filter(|at| at.main <= newest).count();
                assert_eq!(
                    found.iter().filter(|m| keep.contains(&Revision::new(**m, 0))).count(),
                    expected
                );
                if newest >= 2 {
                    assert_eq!(value_at(&store, newest, 0), kv_of(&put(newest, 0, 900)));
                    assert_eq!(value_at(&store, 2, 0), kv_of(&put(2, 0, 900)));
                }
            }
        })
    };
    for main in 2..600 {
        store.enqueue(batch(main as u64, vec![put(main, 0, 900)])).unwrap();
        if main == 310 {
            let compaction = Some(Compaction { revision: 299, keep: keep.clone() });
            store.enqueue(Batch { compaction, ..batch(310, vec![]) }).unwrap();
        }
        if main % 150 == 0 {
            store.defragment().unwrap();
        }
    }
    reader.join().unwrap();
    store.wait_compacted(299).unwrap();
    assert_eq!(all(&store).len(), keep.len() + 300);
}
