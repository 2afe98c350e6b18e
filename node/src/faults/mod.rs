//! Faults of the machine under a member, on request of the launcher that started it.
//!
//! A real disk that is slow, full or broken needs root, and lost power needs a person. So a
//! member that was given `--fault-file` acts as if: its log meets the errors and delays that the
//! file asks for, at the one place where the log meets the disk, and its wall clock is wrong by
//! what the file says. Without the flag nothing here is ever run.
//!
//! # The files
//! *PATH* is written by the launcher, whole and by renaming, one `name=value` on a line; no file
//! is no fault. *PATH*`.applied` is the member's answer: the same text once it is in force.
//! *PATH*`.synced` is how far the log was durable at the last sync, so that a launcher that
//! kills the member can take away what a machine without power would have lost.
//!
//! # What it leaves to others
//! Taking away those bytes, and turning bits around, is done to the files of a member that does
//! not run; it is the launcher's business.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicI32, AtomicU64, Ordering},
    time::Duration,
};

mod request;

use request::Wanted;

use crate::wall_clock;

/// Between looks at the file.
const INTERVAL: Duration = Duration::from_millis(50);
/// A delay is slept in steps, so that taking it back ends it.
const STEP_MS: u64 = 50;

/// What the disk under the log is like now.
#[derive(Debug)]
pub struct DiskFaults {
    fsync_delay_ms: AtomicU64,
    /// The error number of every write; 0 is none.
    write_error: AtomicI32,
    synced: File,
}

impl DiskFaults {
    fn new(synced: &Path) -> io::Result<Self> {
        Ok(Self {
            fsync_delay_ms: AtomicU64::new(0),
            write_error: AtomicI32::new(0),
            synced: File::create(synced)?,
        })
    }

    /// What a write to the log meets.
    pub(crate) fn before_write(&self) -> io::Result<()> {
        match self.write_error.load(Ordering::Relaxed) {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }

    /// Takes as long as a slow disk would take more.
    pub(crate) fn before_sync(&self) {
        let mut slept = 0;
        while let left @ 1.. = self.fsync_delay_ms.load(Ordering::Relaxed).saturating_sub(slept) {
            let step = left.min(STEP_MS);
            std::thread::sleep(Duration::from_millis(step));
            slept += step;
        }
    }

    /// The log is durable up to `offset` of the segment `name`.
    pub(crate) fn synced(&self, name: &str, offset: usize) -> io::Result<()> {
        // One write of one length, so that a killed process leaves the old place or the new.
        self.synced.write_all_at(format!("{name:<80} {offset:>20}\n").as_bytes(), 0)
    }

    fn set(&self, wanted: &Wanted) {
        self.fsync_delay_ms.store(wanted.fsync_delay_ms, Ordering::Relaxed);
        self.write_error.store(wanted.write_error, Ordering::Relaxed);
        wall_clock::set_offset(wanted.clock_offset_seconds);
    }
}

/// Watches the file from now on. What it returns lives as long as the process.
pub fn start(path: &Path) -> io::Result<&'static DiskFaults> {
    let faults: &'static DiskFaults =
        Box::leak(Box::new(DiskFaults::new(&beside(path, "synced"))?));
    let (path, answer) = (path.to_owned(), beside(path, "applied"));
    std::thread::Builder::new().name("faults".to_owned()).spawn(move || {
        let mut known = String::new();
        loop {
            look(&path, &answer, &mut known, faults);
            std::thread::sleep(INTERVAL);
        }
    })?;
    Ok(faults)
}

/// One look at the file: what is new in it is put in force, and answered.
fn look(path: &Path, answer: &Path, known: &mut String, faults: &DiskFaults) {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return tracing::warn!(%error, "the fault file cannot be read"),
    };
    if text == *known {
        return;
    }
    let said = match text.parse::<Wanted>() {
        Ok(wanted) => {
            faults.set(&wanted);
            tracing::warn!(faults = %text.replace('\n', " "), "faults were asked for");
            text.clone()
        }
        Err(why) => format!("refused: {why}\n"),
    };
    if let Err(error) = std::fs::write(answer, said) {
        tracing::warn!(%error, "the answer to the fault file cannot be written");
    }
    *known = text;
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_in_force_when_it_is_answered() {
        let dir = tempfile::tempdir().unwrap();
        let (path, answer) = (dir.path().join("f"), dir.path().join("f.applied"));
        let faults = DiskFaults::new(&dir.path().join("f.synced")).unwrap();
        let mut known = String::new();
        let mut ask = |text: &str| {
            std::fs::write(&path, text).unwrap();
            look(&path, &answer, &mut known, &faults);
            std::fs::read_to_string(&answer).unwrap()
        };
        assert_eq!(ask("number=1\nwrite_error=enospc\n"), "number=1\nwrite_error=enospc\n");
        let error = faults.before_write().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(ask("write_error=what\n").starts_with("refused: "));
        assert!(faults.before_write().is_err(), "a refused text changes nothing");
        assert_eq!(ask("number=2\n"), "number=2\n");
        assert!(faults.before_write().is_ok());
    }

    #[test]
    fn the_place_of_the_last_sync_has_one_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synced");
        let faults = DiskFaults::new(&path).unwrap();
        faults.synced("0000000000000009-0000000000000010.wal", usize::MAX).unwrap();
        faults.synced("a.wal", 7).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words, ["a.wal", "7"]);
    }
}
