//! Node logs as files: the last lines, following, and keeping them small.
//!
//! A log is written by its node alone, through a descriptor in append mode, and read here by
//! offset. Rotation copies the file and truncates it; lines written between the two steps are
//! lost, which a log bears and a restart of the node would not.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Size from which a log is rotated.
pub const SIZE_MAX: u64 = 16 << 20;
/// Rotated files kept per log.
pub const GENERATIONS: u32 = 3;
/// Most bytes read to find last lines.
const TAIL_BYTES_MAX: u64 = 1 << 20;
/// Most bytes a follower takes at once.
const CHUNK: u64 = 256 << 10;

/// The size of a log; a missing one is empty.
pub fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// The last `count` whole lines written since offset `since`, oldest first.
pub fn tail(path: &Path, since: u64, count: usize) -> io::Result<Vec<String>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let end = file.metadata()?.len();
    // A log shorter than the offset was rotated meanwhile: all of it is new.
    let since = if since > end { 0 } else { since };
    let start = since.max(end.saturating_sub(TAIL_BYTES_MAX));
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::new();
    file.take(end - start).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<&str> = text.lines().collect();
    if start > since && !lines.is_empty() {
        // The first line begins before what was read.
        lines.remove(0);
    }
    let skip = lines.len().saturating_sub(count);
    Ok(lines.into_iter().skip(skip).map(str::to_owned).collect())
}

/// Reads what is appended to a log, whole lines only.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
}

impl Follower {
    /// Follows from the present end.
    pub fn from_end(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { offset: size(&path), path, rest: Vec::new() }
    }

    /// The lines appended since the last call.
    pub fn poll(&mut self) -> io::Result<Vec<String>> {
        let end = size(&self.path);
        if end < self.offset {
            self.offset = 0;
            self.rest.clear();
        }
        if end == self.offset {
            return Ok(Vec::new());
        }
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let read = file.take(CHUNK).read_to_end(&mut self.rest)?;
        self.offset += read as u64;
        let Some(newline) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let whole: Vec<u8> = self.rest.drain(..=newline).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

/// Rotates a log that has grown beyond `size_max`. True when it did.
pub fn rotate(path: &Path, size_max: u64) -> io::Result<bool> {
    if size(path) <= size_max {
        return Ok(false);
    }
    let generation = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    };
    for number in (1..GENERATIONS).rev() {
        match fs::rename(generation(number), generation(number + 1)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::copy(path, generation(1))?;
    File::options().write(true).open(path)?.set_len(0)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, io::Write as _};

    use super::*;

    fn append(path: &Path, text: &str) {
        let mut file = File::options().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    #[test]
    fn the_tail_is_the_last_lines_since_an_offset() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        assert!(tail(&log, 0, 5).unwrap().is_empty());
        append(&log, "old\n");
        let since = size(&log);
        append(&log, "a\nb\nc\n");
        assert_eq!(tail(&log, since, 5).unwrap(), ["a", "b", "c"]);
        assert_eq!(tail(&log, 0, 2).unwrap(), ["b", "c"]);
        assert_eq!(tail(&log, 1 << 30, 9).unwrap(), ["old", "a", "b", "c"]);
    }

    #[test]
    fn a_long_log_costs_a_bounded_read_and_shows_no_half_line() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let mut text = String::new();
        for number in 0..200_000 {
            writeln!(text, "line {number:08}").unwrap();
        }
        append(&log, &text);
        let lines = tail(&log, 0, usize::MAX).unwrap();
        assert!(lines.len() < 200_000);
        assert!(lines.iter().all(|line| line.len() == "line 00000000".len()));
        assert_eq!(lines.last().unwrap(), "line 00199999");
    }

    #[test]
    fn a_follower_sees_every_whole_line_once_and_survives_rotation() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        append(&log, "before\n");
        let mut follower = Follower::from_end(&log);
        append(&log, "one\ntw");
        assert_eq!(follower.poll().unwrap(), ["one"]);
        assert!(follower.poll().unwrap().is_empty());
        append(&log, "o\n");
        assert_eq!(follower.poll().unwrap(), ["two"]);
        assert!(rotate(&log, 3).unwrap());
        append(&log, "x\n");
        assert_eq!(follower.poll().unwrap(), ["x"]);
    }

    #[test]
    fn rotation_keeps_the_writer_and_three_generations() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("node.log");
        let mut writer = File::options().append(true).create(true).open(&log).unwrap();
        for round in 0..5 {
            writeln!(writer, "round {round}").unwrap();
            assert!(rotate(&log, 1).unwrap());
        }
        writeln!(writer, "now").unwrap();
        assert!(!rotate(&log, 1000).unwrap());
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(read("node.log"), "now\n");
        assert_eq!(read("node.log.1"), "round 4\n");
        assert_eq!(read("node.log.3"), "round 2\n");
        assert!(!dir.path().join("node.log.4").exists());
    }
}
