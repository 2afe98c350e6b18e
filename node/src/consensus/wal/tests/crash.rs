//! Power cuts in the middle of a sync: any choice of the sectors that were being written has
//! reached the disk. The log must come back as it was before the sync or after it.

use proptest::prelude::*;

use super::*;

/// Everything a log says, to compare two of them.
fn contents(dir: &Path) -> Result<(HardState, Vec<Entry>, Vec<SnapshotMarker>), WalError> {
    recovered(dir).map(|found| (found.hard_state, found.entries, found.markers))
}

/// What appears in one sync: entry sizes, whether the values are zeros, and a marker.
fn steps() -> impl Strategy<Value = Vec<(Vec<(usize, bool)>, bool)>> {
    let sizes = prop::collection::vec((0usize..1800, any::<bool>()), 1..4);
    prop::collection::vec((sizes, any::<bool>()), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn a_torn_sync_happened_or_did_not(
        steps in steps(),
        written in prop::collection::vec(any::<bool>(), 64),
        likely in any::<bool>(),
    ) {
        let (temp, dir, mut wal) = create(8192);
        let mut next = 1;
        let before = temp.path().join("before");
        for (at, (sizes, marked)) in steps.iter().enumerate() {
            if at + 1 == steps.len() {
                copy_segments(&dir, &before);
            }
            let values = sizes.iter().zip(next..);
            let added: Vec<Entry> = values
                .map(|((size, zero), index)| entry(index, 1, vec![u8::from(!zero); *size]))
                .collect();
            next += added.len() as u64;
            wal.append(&added, Some(&hard_state(1, 1, next - 1))).unwrap();
            if *marked {
                wal.mark_snapshot(&marker(next - 1, 1)).unwrap();
            }
            wal.sync().unwrap();
        }
        let after = temp.path().join("after");
        copy_segments(&dir, &after);
        drop(wal);

        // A new segment is durable with its header before a record goes into it.
        let torn = temp.path().join("torn");
        copy_segments(&after, &torn);
        let path = segments(&torn).pop().unwrap();
        let new = std::fs::read(&path).unwrap();
        let old = match std::fs::read(before.join(path.file_name().unwrap())) {
            Ok(old) => old,
            Err(_) => {
                let (_, header_end, _) = segment::read_header(&new, &path).unwrap();
                let mut old = new.clone();
                old[header_end..].fill(0);
                old
            }
        };
        let mut mixed = old.clone();
        let sectors = mixed.chunks_mut(512).zip(new.chunks(512));
        for ((mixed, new), written) in sectors.zip(written.iter().cycle()) {
            if *written || (likely && mixed[0] != 0) {
                mixed.copy_from_slice(new);
            }
        }
        std::fs::write(&path, &mixed).unwrap();
        let found = contents(&torn);
        prop_assert!(found.is_ok(), "{}", found.unwrap_err());
        let expected = if mixed == new {
            contents(&after).unwrap()
        } else {
            std::fs::write(&path, &old).unwrap();
            contents(&torn).unwrap()
        };
        prop_assert_eq!(found.unwrap(), expected);
        prop_assert_eq!(files_with(&torn, ".broken").len(), usize::from(mixed != new && mixed != old));
    }
}

#[test]
fn a_crash_while_a_segment_is_prepared_leaves_the_log_as_it_was() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=3, 1, 100));
    drop(wal);
    for name in ["spare-1.tmp", "spare-9.tmp", "first.tmp"] {
        std::fs::write(dir.join(name), [1, 2, 3]).unwrap();
    }
    assert_eq!(recovered(&dir).unwrap().entries, entries(1..=3, 1, 100));
    assert_eq!(files_with(&dir, ".tmp"), Vec::<PathBuf>::new());
}

#[test]
fn a_crash_between_a_new_segment_and_its_first_record_loses_nothing() {
    let (temp, dir, mut wal) = create(4096);
    wal.append(&entries(1..=3, 1, 1000), Some(&hard_state(1, 1, 2))).unwrap();
    wal.mark_snapshot(&marker(2, 1)).unwrap();
    wal.sync().unwrap();
    // Its commit index covers the entry that is lost: it must not come back without it.
    wal.append(&entries(4..=4, 1, 1000), Some(&hard_state(1, 1, 4))).unwrap();
    wal.sync().unwrap();
    let copy = temp.path().join("copy");
    copy_segments(&dir, &copy);
    let path = segments(&copy).pop().unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let (_, header_end, _) = segment::read_header(&bytes, &path).unwrap();
    bytes[header_end..].fill(0);
    std::fs::write(&path, bytes).unwrap();
    let recovered = recovered(&copy).unwrap();
    assert_eq!(recovered.entries, entries(1..=3, 1, 1000));
    assert_eq!(recovered.hard_state, hard_state(1, 1, 2));
    assert_eq!(recovered.markers, [marker(2, 1)]);
}
