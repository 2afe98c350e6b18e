//! Cut, flipped, exchanged and missing bytes and files.

use super::*;

/// Three synced records in one segment; returns the file's bytes and where each record ends.
fn small_log() -> (TempDir, PathBuf, Vec<u8>, Vec<usize>) {
    let (temp, dir, mut wal) = create(4096);
    let mut ends = Vec::new();
    let mut step = |wal: &mut Wal, indexes, size, commit| {
        wal.append(&entries(indexes, 1, size), Some(&hard_state(1, 1, commit))).unwrap();
        wal.sync().unwrap();
        ends.push(wal.bytes() as usize);
    };
    step(&mut wal, 1..=3, 30, 1);
    step(&mut wal, 4..=5, 300, 3);
    step(&mut wal, 6..=9, 170, 5);
    drop(wal);
    let path = segments(&dir).remove(0);
    let bytes = std::fs::read(path).unwrap();
    (temp, dir, bytes, ends)
}

/// Asserts that opening fails at this file, and leaves every byte of it alone.
fn assert_refused(dir: &Path, path: &Path, context: &str) {
    let before = std::fs::read(path).unwrap();
    let error = recovered(dir).expect_err(context);
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{context}: {text}");
    assert!(std::fs::read(path).unwrap() == before, "{context}: the file was changed");
    assert!(files_with(dir, ".broken").is_empty(), "{context}");
}

#[test]
fn cut_anywhere_in_its_last_records_the_log_keeps_the_whole_ones() {
    let (_temp, dir, bytes, ends) = small_log();
    let path = segments(&dir).remove(0);
    for cut in ends[0]..=bytes.len() {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let whole = ends.iter().filter(|end| **end <= cut).count();
        let recovered = recovered(&dir).unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!(recovered.entries.len(), [0, 3, 5, 9][whole], "cut at {cut}");
        assert_eq!(recovered.hard_state.commit, [0, 1, 3, 5][whole], "cut at {cut}");

        let at_border = ends.contains(&cut) || cut > ends[2];
        assert_eq!(recovered.repaired.is_none(), at_border, "cut at {cut}");
        let broken = files_with(&dir, ".broken");
        assert_eq!(broken.is_empty(), at_border, "cut at {cut}");
        for broken in broken {
            let kept = std::fs::read(&broken).unwrap();
            let torn = &bytes[ends[whole - 1]..cut];
            assert!(kept == torn[..used(torn)], "cut at {cut}");
            std::fs::remove_file(broken).unwrap();
        }
    }
}

#[test]
fn after_a_repair_the_log_goes_on() {
    let (_temp, dir, bytes, ends) = small_log();
    let path = segments(&dir).remove(0);
    std::fs::write(&path, &bytes[..ends[2] - 20]).unwrap();
    let (mut wal, recovered) = Wal::open(&dir, options(4096), 0).unwrap();
    let text = recovered.repaired.unwrap();
    assert!(text.contains(&format!("at offset {}", ends[1])) && text.contains(".broken"), "{text}");
    put(&mut wal, &entries(6..=6, 2, 50));
    drop(wal);
    let (_wal, recovered) = Wal::open(&dir, options(4096), 4).unwrap();
    assert_eq!(recovered.entries, [entries(4..=5, 1, 300), entries(6..=6, 2, 50)].concat());
    assert_eq!(recovered.repaired, None);
    assert_eq!(std::fs::metadata(&path).unwrap().len(), 4096);
}

#[test]
fn a_flipped_byte_is_refused_unless_nothing_was_written_there() {
    let (_temp, dir, bytes, ends) = small_log();
    let path = segments(&dir).remove(0);
    let everything = recovered(&dir).unwrap().entries;
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bad = bytes.clone();
            bad[at] ^= flip;
            std::fs::write(&path, &bad).unwrap();
            let context = format!("byte {at} flipped by {flip:#x}");
            if at < ends[2] {
                assert_refused(&dir, &path, &context);
            } else if let Ok(recovered) = recovered(&dir) {
                assert!(recovered.entries == everything, "{context}");
                assert!(recovered.repaired.is_some(), "{context}");
                files_with(&dir, ".broken")
                    .iter()
                    .for_each(|path| std::fs::remove_file(path).unwrap());
            }
        }
    }
}

#[test]
fn a_flipped_byte_in_a_log_of_many_segments_is_never_believed() {
    let (_temp, dir, mut wal) = create(1024);
    for index in 1..=6 {
        put(&mut wal, &entries(index..=index, 1, 400));
    }
    drop(wal);
    let paths = segments(&dir);
    assert!(paths.len() >= 3);
    let everything = recovered(&dir).unwrap().entries;
    for path in &paths {
        let good = std::fs::read(path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(path, &bad).unwrap();
            if at < used(&good) || Some(path) != paths.last() {
                assert_refused(&dir, path, &format!("{} byte {at}", path.display()));
            } else if let Ok(recovered) = recovered(&dir) {
                assert!(recovered.entries == everything);
                files_with(&dir, ".broken")
                    .iter()
                    .for_each(|path| std::fs::remove_file(path).unwrap());
            }
        }
        std::fs::write(path, &good).unwrap();
    }
}

#[test]
fn an_entry_full_of_zeros_does_not_make_a_flipped_byte_look_like_a_torn_record() {
    let (_temp, dir, mut wal) = create(1 << 14);
    put(&mut wal, &[entry(1, 1, vec![0; 5000])]);
    let end = wal.bytes() as usize;
    drop(wal);
    let path = segments(&dir).remove(0);
    let good = std::fs::read(&path).unwrap();
    assert_eq!(recovered(&dir).unwrap().entries, [entry(1, 1, vec![0; 5000])]);
    for at in (0..end).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0xff;
        std::fs::write(&path, &bad).unwrap();
        assert_refused(&dir, &path, &format!("byte {at}"));
    }
}

#[test]
fn a_zeroed_sector_in_front_of_a_good_record_is_refused() {
    let (_temp, dir, mut wal) = create(1 << 14);
    for index in 1..=4 {
        put(&mut wal, &entries(index..=index, 1, 1500));
    }
    let end = wal.bytes() as usize;
    drop(wal);
    let path = segments(&dir).remove(0);
    let good = std::fs::read(&path).unwrap();
    let last_record = end - record::framed_bytes(1500);
    for sector in (0..last_record - 512).step_by(512) {
        let mut bad = good.clone();
        bad[sector..sector + 512].fill(0);
        std::fs::write(&path, &bad).unwrap();
        assert_refused(&dir, &path, &format!("sector at {sector}"));
    }
}

#[test]
fn a_missing_exchanged_or_foreign_segment_is_refused() {
    let (temp, dir, mut wal) = create(1024);
    for index in 1..=8 {
        put(&mut wal, &entries(index..=index, 1, 700));
    }
    drop(wal);
    let paths = segments(&dir);
    assert!(paths.len() >= 5);
    let away = temp.path().join("away");

    std::fs::rename(&paths[2], &away).unwrap();
    assert_refused(&dir, &paths[3], "one is missing");
    let other = std::fs::read(&paths[1]).unwrap();
    std::fs::write(&paths[2], &other).unwrap();
    assert_refused(&dir, &paths[2], "a copy of another in its place");
    std::fs::rename(&away, &paths[2]).unwrap();

    let odd = dir.join("7-odd.wal");
    std::fs::write(&odd, "").unwrap();
    assert_refused(&dir, &odd, "not a segment's name");
    std::fs::remove_file(&odd).unwrap();

    // The same history, written by another member.
    let foreign = temp.path().join("foreign");
    let identity = Identity { member_id: 0x3f, ..IDENTITY };
    let mut wal = Wal::create(&foreign, &identity, options(1024)).unwrap();
    for index in 1..=8 {
        put(&mut wal, &entries(index..=index, 1, 700));
    }
    drop(wal);
    std::fs::copy(&paths[2], &away).unwrap();
    std::fs::copy(foreign.join(paths[2].file_name().unwrap()), &paths[2]).unwrap();
    let error = recovered(&dir).unwrap_err();
    assert!(matches!(error, WalError::WrongIdentity { .. }), "{error}");

    // And by this member, in another life of the directory.
    std::fs::remove_dir_all(&foreign).unwrap();
    let mut wal = Wal::create(&foreign, &IDENTITY, options(1024)).unwrap();
    for index in 1..=8 {
        put(&mut wal, &entries(index..=index, 1, 700));
    }
    drop(wal);
    std::fs::copy(foreign.join(paths[2].file_name().unwrap()), &paths[2]).unwrap();
    assert_refused(&dir, &paths[2], "the chain of checksums is another");
    std::fs::copy(&away, &paths[2]).unwrap();
    assert_eq!(recovered(&dir).unwrap().entries, entries(1..=8, 1, 700));
}

#[test]
fn a_shortened_segment_with_another_behind_it_is_refused() {
    let (_temp, dir, mut wal) = create(1024);
    let mut end = 0;
    for index in 1..=4 {
        put(&mut wal, &entries(index..=index, 1, 300));
        end = if index == 1 { wal.bytes() as usize } else { end };
    }
    drop(wal);
    let paths = segments(&dir);
    let mut bytes = std::fs::read(&paths[0]).unwrap();
    assert!(used(&bytes) > end);
    bytes[end..].fill(0);
    std::fs::write(&paths[0], &bytes).unwrap();
    assert_refused(&dir, &paths[1], "its last record is gone without a trace");
}

#[test]
fn a_newer_version_is_refused_with_both_versions() {
    let (_temp, dir, bytes, _) = small_log();
    let path = segments(&dir).remove(0);
    let mut newer = bytes;
    newer[8] = 2;
    let checksum = crc32c::crc32c(&newer[..12]).to_le_bytes();
    newer[12..16].copy_from_slice(&checksum);
    std::fs::write(&path, &newer).unwrap();
    assert_refused(&dir, &path, "version");
    let text = recovered(&dir).unwrap_err().to_string();
    assert!(text.contains("version 2") && text.contains("version 1"), "{text}");
}

#[test]
fn old_bytes_behind_the_end_of_a_recycled_segment_are_not_replayed() {
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=1, 1, 100));
    put(&mut wal, &entries(2..=2, 1, 100));
    drop(wal);
    let old = std::fs::read(&segments(&dir)[0]).unwrap();

    // The same records at the same offsets in a new life, of which one has been written yet.
    let (_temp, dir, mut wal) = create(4096);
    put(&mut wal, &entries(1..=1, 1, 100));
    let end = wal.bytes() as usize;
    drop(wal);
    let path = segments(&dir).remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    assert_eq!(used(&bytes), end, "nothing behind the end");
    bytes[end..].copy_from_slice(&old[end..]);
    std::fs::write(&path, &bytes).unwrap();
    assert_refused(&dir, &path, "records of another epoch");
}

#[test]
fn recycled_segments_hold_nothing_of_their_earlier_life() {
    let (_temp, dir, mut wal) = create(4096);
    for round in 1..=60 {
        let last = wal.last_index();
        put(&mut wal, &entries(last + 1..=last + 3, 1, 400));
        if round % 7 == 0 {
            wal.mark_snapshot(&marker(wal.last_index() - 2, 1)).unwrap();
            wal.sync().unwrap();
            wal.release(wal.last_index() - 2).unwrap();
        }
        if round % 10 == 0 {
            let copy = tempfile::tempdir().unwrap();
            copy_segments(&dir, copy.path());
            let recovered = recovered(copy.path()).unwrap();
            assert_eq!(recovered.last_index, wal.last_index());
            assert_eq!(recovered.repaired, None);
            let first = recovered.first_index;
            assert_eq!(recovered.entries, entries(first..=wal.last_index(), 1, 400));
        }
    }
}
