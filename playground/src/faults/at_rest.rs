//! What is done to the files of a node that does not run: the loss of what was not synced, and
//! a bit that turned around.
//!
//! Both engines keep their log as `*.wal` files whose names sort by age and which are zeros
//! behind their last record. Nothing else about them is known here. A flipped bit is remembered
//! in a file of its own, so that the same bit can be turned back, also by a later supervisor.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{PlaygroundError, dirs};

/// Where either engine keeps its log below the data directory.
const LOG_DIRECTORY: &str = "member/wal";

/// Takes away what the log holds beyond the last sync, as a machine without power would have.
/// The answer is how many bytes that were; `None` if nothing is known of a sync.
pub fn lose_power(data: &Path, synced: &Path) -> Result<Option<u64>, PlaygroundError> {
    let Ok(place) = fs::read_to_string(synced) else { return Ok(None) };
    let Some((name, offset)) = parse_place(&place) else { return Ok(None) };
    let Some(path) = logs(data)?.into_iter().find(|path| path.ends_with(name)) else {
        return Ok(None);
    };
    let lose = || {
        let file = File::options().read(true).write(true).open(&path)?;
        let end = used(&file)?;
        let lost = end.saturating_sub(offset);
        if lost > 0 {
            let length = usize::try_from(lost).map_err(io::Error::other)?;
            file.write_all_at(&vec![0; length], offset)?;
            file.sync_all()?;
        }
        Ok(lost)
    };
    lose().map(Some).map_err(PlaygroundError::file("cut", &path))
}

fn parse_place(text: &str) -> Option<(&str, u64)> {
    let mut words = text.split_whitespace();
    Some((words.next()?, words.next()?.parse().ok()?))
}

/// A bit that was turned around.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Flip {
    /// In which file.
    pub path: PathBuf,
    /// In which byte.
    pub offset: u64,
}

/// Turns one bit in the middle of the log around, and remembers it in `record`.
pub fn flip_bit(data: &Path, record: &Path) -> Result<Flip, PlaygroundError> {
    let newest = logs(data)?.pop().ok_or_else(|| {
        PlaygroundError::Refused(format!("there is no log below {} to damage", data.display()))
    })?;
    let offset = File::open(&newest)
        .and_then(|file| middle(&file))
        .map_err(PlaygroundError::file("read", &newest))?;
    let flip = Flip { path: newest, offset };
    let json = serde_json::to_vec(&flip).map_err(|error| PlaygroundError::Damaged {
        path: record.to_owned(),
        why: error.to_string(),
    })?;
    // First the note: a bit that nobody remembers could not be turned back.
    dirs::write_atomically(record, &json)?;
    turn(&flip)?;
    Ok(flip)
}

/// Readable bytes in a row that are somebody's data, and not by chance a length or a checksum.
const TEXT_MIN: usize = 8;

/// etcd looks at a record in pieces of so many bytes, as disks write them.
const SECTOR: usize = 512;

/// A byte whose change is found out, near the middle of the log: one of readable text, such as a
/// key or a URL. That is data under a checksum, while a damaged length can look like a torn end,
/// and records are filled up with zeros that nobody reads.
///
/// etcd cuts its log where the checksum of a record is wrong and one of the record's sectors is
/// all zeros (`isTornEntry` in `wal/decoder.go`), which may be nothing but the filling. Then it
/// starts, and misses what it has acknowledged. So text is better whose next sector begins with
/// data.
fn middle(file: &File) -> io::Result<u64> {
    let end = used(file)?;
    let mut bytes = vec![0; usize::try_from(end).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, 0)?;
    let middle = bytes.len() / 2;
    let looks_torn = |place: usize| bytes.get((place / SECTOR + 1) * SECTOR) == Some(&0);
    let texts = || text_places(&bytes);
    let nearest = |place: &usize| place.abs_diff(middle);
    let place = texts()
        .filter(|place| !looks_torn(*place))
        .min_by_key(nearest)
        .or_else(|| texts().min_by_key(nearest))
        .unwrap_or_else(|| {
            // The last byte in use is not zero.
            middle + bytes[middle..].iter().position(|byte| *byte != 0).unwrap_or_default()
        });
    Ok(place as u64)
}

/// The middle of every piece of text.
fn text_places(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let mut begin = 0;
    bytes.split(|byte| !byte.is_ascii_graphic()).filter_map(move |piece| {
        let place = begin + piece.len() / 2;
        begin += piece.len() + 1;
        (piece.len() >= TEXT_MIN).then_some(place)
    })
}

/// Turns the bit back, if one was turned around and the file is still there.
pub fn flip_back(record: &Path) -> Result<Option<Flip>, PlaygroundError> {
    let Some(flip) = flipped(record) else { return Ok(None) };
    let turned = match turn(&flip) {
        Err(PlaygroundError::File { source, .. }) if source.kind() == ErrorKind::NotFound => None,
        turned => turned.map(|()| Some(flip))?,
    };
    fs::remove_file(record).map_err(PlaygroundError::file("remove", record))?;
    Ok(turned)
}

/// The bit that was turned around.
pub fn flipped(record: &Path) -> Option<Flip> {
    serde_json::from_slice(&fs::read(record).ok()?).ok()
}

fn turn(flip: &Flip) -> Result<(), PlaygroundError> {
    let turn = || {
        let file = File::options().read(true).write(true).open(&flip.path)?;
        let mut byte = [0];
        file.read_exact_at(&mut byte, flip.offset)?;
        file.write_all_at(&[byte[0] ^ 1], flip.offset)?;
        file.sync_all()
    };
    turn().map_err(PlaygroundError::file("change", &flip.path))
}

/// The log's files, oldest first.
fn logs(data: &Path) -> Result<Vec<PathBuf>, PlaygroundError> {
    let directory = data.join(LOG_DIRECTORY);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(PlaygroundError::file("read", directory))?,
    };
    let paths = entries.flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "wal")).collect();
    found.sort();
    Ok(found)
}

/// Bytes up to the last that is not zero.
fn used(file: &File) -> io::Result<u64> {
    const CHUNK: u64 = 1 << 20;
    let mut end = file.metadata()?.len();
    let mut buffer = vec![0; CHUNK as usize];
    while end > 0 {
        let start = end.saturating_sub(CHUNK);
        let chunk = &mut buffer[..(end - start) as usize];
        file.read_exact_at(chunk, start)?;
        if let Some(last) = chunk.iter().rposition(|byte| *byte != 0) {
            return Ok(start + last as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &Path, name: &str, used: usize) -> PathBuf {
        let wal = dir.join(LOG_DIRECTORY);
        fs::create_dir_all(&wal).unwrap();
        let mut bytes = vec![7; used];
        bytes.resize(used + (2 << 20) + 5, 0);
        fs::write(wal.join(name), bytes).unwrap();
        wal.join(name)
    }

    #[test]
    fn what_was_not_synced_is_gone_and_the_rest_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (path, place) = (log(dir.path(), "2.wal", 100), dir.path().join("synced"));
        assert_eq!(lose_power(dir.path(), &place).unwrap(), None);
        fs::write(&place, "2.wal    60\n").unwrap();
        assert_eq!(lose_power(dir.path(), &place).unwrap(), Some(40));
        let bytes = fs::read(&path).unwrap();
        assert!(bytes[..60].iter().all(|byte| *byte == 7));
        assert!(bytes[60..].iter().all(|byte| *byte == 0));
        assert_eq!(bytes.len(), 100 + (2 << 20) + 5);
        assert_eq!(lose_power(dir.path(), &place).unwrap(), Some(0));
    }

    #[test]
    fn one_bit_of_the_newest_log_changes_and_changes_back() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("flip.json");
        assert!(flip_bit(dir.path(), &record).is_err());
        let (old, new) = (log(dir.path(), "1.wal", 50), log(dir.path(), "2.wal", 100));
        let before = [fs::read(&old).unwrap(), fs::read(&new).unwrap()];
        let flip = flip_bit(dir.path(), &record).unwrap();
        assert_eq!((flip.path.clone(), flip.offset), (new.clone(), 50));
        let after = fs::read(&new).unwrap();
        let differ: Vec<usize> =
            (0..after.len()).filter(|at| after[*at] != before[1][*at]).collect();
        assert_eq!(differ, [50]);
        assert_eq!(flip_back(&record).unwrap(), Some(flip));
        assert_eq!([fs::read(&old).unwrap(), fs::read(&new).unwrap()], before);
        assert_eq!(flip_back(&record).unwrap(), None);
    }

    #[test]
    fn what_fills_up_a_record_is_not_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), "1.wal", 100);
        let file = File::options().write(true).open(&path).unwrap();
        file.write_all_at(&[0; 8], 48).unwrap();
        assert_eq!(flip_bit(dir.path(), &dir.path().join("flip.json")).unwrap().offset, 56);
    }

    #[test]
    fn it_is_data_that_is_damaged_and_no_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), "1.wal", 1000);
        let file = File::options().write(true).open(&path).unwrap();
        for (place, text) in [(100, "/too/far/away"), (530, "shorter"), (560, "http://127.0.0.1:1")]
        {
            file.write_all_at(text.as_bytes(), place).unwrap();
        }
        assert_eq!(flip_bit(dir.path(), &dir.path().join("flip.json")).unwrap().offset, 569);
        assert_eq!(&fs::read(&path).unwrap()[560..578], b"http://126.0.0.1:1");
    }

    #[test]
    fn text_is_spared_whose_record_would_look_torn() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), "1.wal", 2000);
        let file = File::options().write(true).open(&path).unwrap();
        let lay = |place, bytes: &[u8]| file.write_all_at(bytes, place).unwrap();
        let flip = || {
            let record = dir.path().join("flip.json");
            let flip = flip_bit(dir.path(), &record).unwrap();
            flip_back(&record).unwrap();
            flip.offset
        };
        lay(950, b"\"name\":\"n2\"");
        lay(1020, &[0; 12]);
        assert_eq!(flip(), 955, "there is no other");
        lay(1300, b"/the/key/of/another");
        assert_eq!(flip(), 1309);
    }

    #[test]
    fn a_bit_of_data_that_was_wiped_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("flip.json");
        log(dir.path(), "1.wal", 50);
        flip_bit(dir.path(), &record).unwrap();
        fs::remove_dir_all(dir.path().join("member")).unwrap();
        assert_eq!(flip_back(&record).unwrap(), None);
        assert_eq!(flipped(&record), None);
    }
}
