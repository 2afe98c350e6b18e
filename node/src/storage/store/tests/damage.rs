//! What is left on disk by damage and by starts that were cut short.

use super::*;

#[test]
fn a_bad_checksum_is_an_error_and_the_next_open_begins_anew() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20), put(3, 0, 20)])).unwrap();
    store.drain().unwrap();
    let engine = store.handle.shared.engine();
    let key = cell::record_key(Revision::new(2, 0));
    let sealed_for_another_key = cell::seal(b"x", cell::Kind::Block, &[b"data"]);
    engine.write(vec![(key.to_vec(), Some(sealed_for_another_key))], None).unwrap();
    drop(engine);
    assert!(store.put_at(Revision::new(3, 0)).is_err());
    assert!(store.scan(Revision::default(), 9, &mut |_| ControlFlow::Continue(())).is_err());
    drop(store);

    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert_eq!(loaded, None);
    assert_eq!(all(&store), []);
    assert!(home.path().join("state.bad-1").is_dir());
}

#[test]
fn a_missing_record_is_noticed_while_loading() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..9 {
        store.enqueue(batch(main as u64, vec![put(main, 0, 4000)])).unwrap();
    }
    store.drain().unwrap();
    let engine = store.handle.shared.engine();
    engine.write(vec![(cell::record_key(Revision::new(5, 0)).to_vec(), None)], None).unwrap();
    drop((engine, store));

    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert!(loaded.is_some());
    assert!(matches!(load(&store), Err(StoreError::Damaged(_))));
    assert_eq!(all(&store), []);
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    assert_eq!(load(&Store::open(&dir, quick()).unwrap().0).unwrap(), [put(2, 0, 20)]);
}

/// A bit flipped anywhere, or the end missing: exactly an earlier state, or none.
#[test]
fn damage_anywhere_in_the_file_is_never_served() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    for main in 2..160 {
        let records = (0..5).map(|sub| put(main, sub, 500 * (main as usize % 8) + 20));
        store.enqueue(batch(main as u64, records.collect())).unwrap();
    }
    let database = store.handle.shared.engine().dir().join("db");
    drop(store);
    let original = fs::read(&database).unwrap();
    let others = files(&dir).into_iter().map(|path| (path.clone(), fs::read(path).unwrap()));
    let others: Vec<_> = others.collect();
    let mut rng = StdRng::seed_from_u64(7);
    let mut outcomes = [0; 2];
    for round in 0..60 {
        let _ = fs::remove_dir_all(&dir);
        for (path, bytes) in &others {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let mut bytes = original.clone();
        let at = rng.random_range(0..bytes.len());
        match round % 4 {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << rng.random_range(0..8),
        }
        fs::write(&database, bytes).unwrap();
        let (store, loaded) = Store::open(&dir, quick()).unwrap();
        match loaded.map(|loaded| (loaded, load(&store))) {
            Some((loaded, Ok(records))) => {
                outcomes[0] += 1;
                assert_eq!(records.len() as u64, (loaded.mark.index - 1) * 5, "round {round}");
                for record in records {
                    let Revision { main, sub } = record.revision;
                    assert_eq!(record, put(main, sub, 500 * (main as usize % 8) + 20));
                }
            }
            Some((_, Err(StoreError::Damaged(_)))) | None => {
                outcomes[1] += 1;
                assert_eq!(all(&store), []);
            }
            Some((_, Err(error))) => panic!("round {round}: {error}"),
        }
    }
    assert!(outcomes.iter().all(|count| *count > 5), "one-sided: {outcomes:?}");
}

#[test]
fn only_the_newest_damaged_database_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    for index in 1..4 {
        let (store, loaded) = Store::open(&dir, quick()).unwrap();
        assert_eq!(loaded, None);
        store.enqueue(batch(index, vec![put(2, 0, 20)])).unwrap();
        drop(store);
        Place::open(&dir).unwrap().condemn("test");
    }
    drop(Store::open(&dir, quick()).unwrap());
    let mut names: Vec<_> =
        fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["state", "state.bad-3"]);
}

#[test]
fn starts_that_end_while_reading_are_counted() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    // Neither of these gets through load_records.
    for _ in 0..2 {
        assert!(Store::open(&dir, quick()).unwrap().1.is_some());
    }
    assert_eq!(Store::open(&dir, quick()).unwrap().1, None);
}

#[test]
fn an_unfinished_snapshot_of_sled_is_no_obstacle() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    let generation = store.handle.shared.engine().dir().to_path_buf();
    drop(store);
    fs::write(generation.join("snap.00000000000FFFFF.generating"), b"half").unwrap();
    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert!(loaded.is_some());
    assert_eq!(load(&store).unwrap(), [put(2, 0, 20)]);
}

#[test]
fn a_defragmentation_that_was_cut_short_leaves_the_old_database() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("state");
    let (store, _) = Store::open(&dir, quick()).unwrap();
    store.enqueue(batch(1, vec![put(2, 0, 20)])).unwrap();
    drop(store);
    let place = Place::open(&dir).unwrap();
    let half = place.generation(place.begin().unwrap());
    Engine::open(&half, 1 << 20).unwrap().sync().unwrap();
    let (store, loaded) = Store::open(&dir, quick()).unwrap();
    assert!(loaded.is_some());
    assert_eq!(load(&store).unwrap(), [put(2, 0, 20)]);
    assert!(!half.exists());
}
