//! The log as it is meant to be used, and misused.

use super::*;

#[test]
fn what_was_synced_comes_back_and_what_was_not_is_lost() {
    let (_temp, dir, mut wal) = create(1 << 16);
    wal.append(&entries(1..=3, 1, 10), Some(&hard_state(1, 2, 0))).unwrap();
    wal.append(&entries(4..=5, 2, 0), Some(&hard_state(2, 3, 3))).unwrap();
    assert_eq!((wal.last_index(), wal.durable_index()), (5, 0));
    wal.sync().unwrap();
    assert_eq!((wal.last_index(), wal.durable_index()), (5, 5));
    wal.append(&entries(6..=6, 2, 10), Some(&hard_state(2, 3, 6))).unwrap();
    drop(wal);

    let (mut wal, recovered) = Wal::open(&dir, options(1 << 16), 0).unwrap();
    assert_eq!(recovered.identity, IDENTITY);
    assert_eq!(recovered.hard_state, hard_state(2, 3, 3));
    assert_eq!(recovered.entries, [entries(1..=3, 1, 10), entries(4..=5, 2, 0)].concat());
    assert_eq!((recovered.first_index, recovered.last_index), (1, 5));
    assert_eq!((recovered.markers, recovered.repaired), (vec![], None));
    put(&mut wal, &entries(6..=6, 3, 1));
    drop(wal);
    assert_eq!(Wal::open(&dir, options(1 << 16), 6).unwrap().1.entries, entries(6..=6, 3, 1));
}

#[test]
fn it_works_with_real_syncs_and_the_normal_size() {
    let temp = tempfile::tempdir().unwrap();
    let options = WalOptions::default();
    let mut wal = Wal::create(temp.path(), &IDENTITY, options).unwrap();
    put(&mut wal, &entries(1..=1, 1, 100));
    let size = std::fs::metadata(&segments(temp.path())[0]).unwrap().len();
    assert_eq!(size, 64 << 20);
    drop(wal);
    let (_wal, recovered) = Wal::open(temp.path(), options, 1).unwrap();
    assert_eq!(recovered.entries, entries(1..=1, 1, 100));
}

#[test]
fn later_entries_with_a_lower_index_take_the_place_of_earlier_ones() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=9, 1, 10));
    put(&mut wal, &entries(4..=5, 2, 20));
    put(&mut wal, &entries(6..=6, 2, 30));
    drop(wal);
    let expected = [entries(1..=3, 1, 10), entries(4..=5, 2, 20), entries(6..=6, 2, 30)].concat();
    assert_eq!(recovered(&dir).unwrap().entries, expected);
}

#[test]
fn a_log_of_many_segments_comes_back() {
    let (_temp, dir, mut wal) = create(4096);
    for index in 1..=40 {
        wal.append(&entries(index..=index, index, 700), Some(&hard_state(index, 1, index - 1)))
            .unwrap();
        wal.sync().unwrap();
    }
    assert!(segments(&dir).len() >= 8);
    let bytes = wal.bytes();
    drop(wal);
    let (wal, recovered) = Wal::open(&dir, options(4096), 0).unwrap();
    let expected: Vec<Entry> = (1..=40).flat_map(|i| entries(i..=i, i, 700)).collect();
    assert_eq!(recovered.entries, expected);
    assert_eq!(recovered.hard_state, hard_state(40, 1, 39));
    assert_eq!(wal.bytes(), bytes);
}

#[test]
fn a_record_larger_than_a_segment_gets_a_larger_file() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=1, 1, 10));
    put(&mut wal, &entries(2..=2, 1, 100_000));
    put(&mut wal, &entries(3..=3, 1, 10));
    drop(wal);
    let expected =
        [entries(1..=1, 1, 10), entries(2..=2, 1, 100_000), entries(3..=3, 1, 10)].concat();
    assert_eq!(recovered(&dir).unwrap().entries, expected);
}

#[test]
fn a_segment_size_that_is_no_multiple_of_anything_works() {
    let (_temp, dir, mut wal) = create(1001);
    for index in 1..=30 {
        put(&mut wal, &entries(index..=index, 1, 61));
    }
    drop(wal);
    let recovered = recovered(&dir).unwrap();
    assert_eq!(recovered.entries, entries(1..=30, 1, 61));
    assert_eq!(recovered.repaired, None);
}

#[test]
fn segments_go_only_behind_a_durable_snapshot_marker() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &[]);
    for index in 1..=40 {
        put(&mut wal, &entries(index..=index, 1, 700));
    }
    let all = segments(&dir).len();
    wal.release(40).unwrap();
    wal.mark_snapshot(&marker(20, 1)).unwrap();
    wal.release(40).unwrap();
    let counted = wal.bytes();
    wal.sync().unwrap();
    wal.release(40).unwrap();
    assert!(wal.bytes() < counted);
    drop(wal);
    let left = segments(&dir);
    assert!(left.len() < all && left.len() >= all / 2, "{all} {left:?}");
    assert_eq!(files_with(&dir, ".tmp"), Vec::<PathBuf>::new());

    let (mut wal, recovered) = Wal::open(&dir, options(4096), 21).unwrap();
    assert_eq!(recovered.entries, entries(21..=40, 1, 700));
    assert!(recovered.first_index <= 21);
    assert_eq!(recovered.markers, [marker(20, 1)]);
    let first = recovered.first_index;
    let error = Wal::open(&dir, options(4096), first - 1).unwrap_err();
    assert!(
        matches!(error, WalError::MissingEntries { needed, first: at } if needed + 1 == at && at == first)
    );
    // The snapshot covers all of it: only the active segment stays, and still has the state.
    wal.append(&[], Some(&hard_state(4, 1, 40))).unwrap();
    wal.mark_snapshot(&marker(40, 1)).unwrap();
    wal.sync().unwrap();
    wal.release(40).unwrap();
    drop(wal);
    assert_eq!(segments(&dir).len(), 1);
    let (_wal, recovered) = Wal::open(&dir, options(4096), 41).unwrap();
    assert_eq!((recovered.hard_state, recovered.last_index), (hard_state(4, 1, 40), 40));
}

#[test]
fn hard_state_and_marker_outlive_the_segment_they_were_written_to() {
    let (_temp, dir, mut wal) = create(4096);
    wal.append(&entries(1..=2, 3, 10), Some(&hard_state(3, 9, 2))).unwrap();
    wal.mark_snapshot(&marker(2, 3)).unwrap();
    wal.sync().unwrap();
    for index in 3..=20 {
        put(&mut wal, &entries(index..=index, 3, 3900));
    }
    wal.release(2).unwrap();
    drop(wal);
    assert!(segments(&dir)[0].to_str().unwrap().contains("0000000000000002-"));
    let (_wal, recovered) = Wal::open(&dir, options(4096), 3).unwrap();
    assert_eq!(recovered.hard_state, hard_state(3, 9, 2));
    assert_eq!(recovered.markers, [marker(2, 3)]);
    assert_eq!(recovered.entries, entries(3..=20, 3, 3900));
}

#[test]
fn a_snapshot_ahead_of_the_log_takes_its_place() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=9, 1, 10));
    wal.mark_snapshot(&marker(1000, 4)).unwrap();
    assert_eq!(wal.last_index(), 1000);
    wal.append(&entries(1001..=1002, 4, 10), None).unwrap();
    wal.sync().unwrap();
    drop(wal);
    let (mut wal, recovered) = Wal::open(&dir, options(4096), 1001).unwrap();
    assert_eq!(recovered.entries, entries(1001..=1002, 4, 10));
    assert_eq!(recovered.markers, [marker(1000, 4)]);
    assert!(matches!(
        wal.append(&entries(1000..=1001, 5, 1), None),
        Err(WalError::OutOfOrder { index: 1000, last: 1002, snapshot: 1000 })
    ));
}

#[test]
fn a_snapshot_of_another_history_takes_the_place_of_the_log_and_its_own_does_not() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=9, 1, 10));
    wal.mark_snapshot(&marker(5, 1)).unwrap();
    assert_eq!(wal.last_index(), 9);
    wal.mark_snapshot(&marker(8, 3)).unwrap();
    assert_eq!(wal.last_index(), 8);
    wal.sync().unwrap();
    drop(wal);
    let recovered = recovered(&dir).unwrap();
    assert_eq!((recovered.entries, recovered.last_index), (vec![], 8));
    assert_eq!(recovered.markers, [marker(5, 1), marker(8, 3)]);
}

#[test]
fn a_gap_is_refused_and_then_nothing_works_any_more() {
    for bad in [entries(5..=5, 1, 1), entries(0..=1, 1, 1), {
        let mut gap = entries(4..=6, 1, 1);
        gap.remove(1);
        gap
    }] {
        let (_temp, dir, mut wal) = create(4096);
        put(&mut wal, &entries(1..=3, 1, 1));
        assert!(matches!(wal.append(&bad, None), Err(WalError::OutOfOrder { .. })));
        assert!(matches!(wal.append(&[], None), Err(WalError::Poisoned)));
        assert!(matches!(wal.mark_snapshot(&marker(1, 1)), Err(WalError::Poisoned)));
        assert!(matches!(wal.sync(), Err(WalError::Poisoned)));
        assert!(matches!(wal.release(1), Err(WalError::Poisoned)));
        drop(wal);
        assert_eq!(recovered(&dir).unwrap().entries, entries(1..=3, 1, 1));
    }
}

#[test]
fn an_error_of_the_file_system_poisons_the_log() {
    let (temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=1, 1, 3000));
    std::fs::rename(&dir, temp.path().join("elsewhere")).unwrap();
    wal.append(&entries(2..=2, 1, 3000), None).unwrap();
    let error = wal.sync().unwrap_err();
    assert!(matches!(&error, WalError::Io { .. }), "{error}");
    assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    assert!(matches!(wal.sync(), Err(WalError::Poisoned)));
}

#[test]
fn a_blank_that_cannot_be_made_is_announced_and_made_later() {
    let (_temp, dir, mut wal) = create(4096);
    // Stands where the second blank would be made; the first is there or in the making.
    let obstacle = dir.join("spare-2.tmp");
    std::fs::create_dir(&obstacle).unwrap();
    put(&mut wal, &entries(1..=1, 1, 3000));
    put(&mut wal, &entries(2..=2, 1, 3000));
    await_condition(|| wal.trouble_ahead().is_some_and(|text| text.contains("spare-2.tmp")));
    put(&mut wal, &entries(3..=3, 1, 100));
    std::fs::remove_dir(&obstacle).unwrap();
    await_condition(|| wal.trouble_ahead().is_none());
    put(&mut wal, &entries(4..=4, 1, 3000));
    drop(wal);
    assert_eq!(recovered(&dir).unwrap().last_index, 4);
}

#[test]
fn running_out_of_segments_is_an_error_and_the_log_opens_again_once_there_is_room() {
    let (_temp, dir, mut wal) = create(4096);
    let obstacles: Vec<PathBuf> =
        (2..40).map(|number| dir.join(format!("spare-{number}.tmp"))).collect();
    obstacles.iter().for_each(|path| std::fs::create_dir(path).unwrap());
    put(&mut wal, &entries(1..=1, 1, 3000));
    put(&mut wal, &entries(2..=2, 1, 3000));
    wal.append(&entries(3..=3, 1, 3000), None).unwrap();
    assert!(matches!(wal.sync(), Err(WalError::Io { .. })));
    assert!(matches!(wal.sync(), Err(WalError::Poisoned)));
    drop(wal);
    obstacles.iter().for_each(|path| std::fs::remove_dir(path).unwrap());
    let (mut wal, recovered) = Wal::open(&dir, options(4096), 0).unwrap();
    assert_eq!(recovered.last_index, 2);
    put(&mut wal, &entries(3..=3, 1, 3000));
}

fn await_condition(mut holds: impl FnMut() -> bool) {
    while !holds() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn a_directory_with_a_log_is_not_given_another_and_one_without_is_not_opened() {
    let (_temp, dir, wal) = create(4096);
    drop(wal);
    let error = Wal::create(&dir, &IDENTITY, options(4096)).unwrap_err();
    assert!(matches!(error, WalError::AlreadyExists { .. }));
    assert!(Wal::exists(&dir).unwrap());

    let empty = tempfile::tempdir().unwrap();
    assert!(!Wal::exists(&empty.path().join("none")).unwrap());
    std::fs::write(empty.path().join("first.tmp"), "left by a crash").unwrap();
    let error = recovered(empty.path()).unwrap_err();
    assert!(matches!(error, WalError::Missing { .. }));
    drop(Wal::create(empty.path(), &IDENTITY, options(4096)).unwrap());
    assert_eq!(files_with(empty.path(), ".tmp"), Vec::<PathBuf>::new());
    assert_eq!(recovered(empty.path()).unwrap().last_index, 0);
}

#[test]
fn bytes_since_the_last_snapshot_are_counted_across_a_restart() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=5, 1, 100));
    assert!(wal.bytes_since_snapshot() > 500);
    wal.mark_snapshot(&marker(5, 1)).unwrap();
    wal.sync().unwrap();
    assert_eq!(wal.bytes_since_snapshot(), 0);
    for index in 6..=20 {
        put(&mut wal, &entries(index..=index, 1, 500));
    }
    let since = wal.bytes_since_snapshot();
    assert!(since > 15 * 500);
    drop(wal);
    let (wal, _) = Wal::open(&dir, options(4096), 0).unwrap();
    assert_eq!(wal.bytes_since_snapshot(), since);
}
