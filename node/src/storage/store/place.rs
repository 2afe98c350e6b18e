//! Where the databases of a store live.
//!
//! | path | what |
//! |---|---|
//! | `<dir>/<8 digits>/` | a generation: one sled database |
//! | `<dir>/CURRENT` | the number of the one that counts, replaced by rename |
//! | `<dir>/STARTING` | starts that did not get through reading, one byte each |
//! | `<dir>/CONDEMNED` | why the current one must not be used again |
//! | `<dir>.bad-<n>/` | the last generation that was set aside, for a post mortem |
//!
//! # Invariants
//! A generation becomes current by one rename, after its files are complete; every other
//! generation is rubbish and is swept at open. sled keeps absolute paths, so a generation
//! in use is never renamed, except to be set aside for good.
//!
//! `STARTING` exists because a release build aborts on a panic: a database that kills the
//! process while it is read would kill every later start too. After [`START_LIMIT`] such
//! starts it is set aside, like one that reports an error.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::StoreError;

const CURRENT: &str = "CURRENT";
const STARTING: &str = "STARTING";
const CONDEMNED: &str = "CONDEMNED";

/// Starts that may end while reading before the database is blamed; one may be a plain kill.
const START_LIMIT: u64 = 2;

/// The directory of a store.
#[derive(Clone, Debug)]
pub(super) struct Place {
    dir: PathBuf,
}

impl Place {
    /// Creates the directory if it is missing.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let place = Self { dir: dir.to_path_buf() };
        fs::create_dir_all(dir).map_err(|error| place.error("create", error))?;
        Ok(place)
    }

    /// The number of the current generation; `None` in a new or unreadable directory.
    pub(super) fn current(&self) -> Option<u64> {
        let text = fs::read_to_string(self.dir.join(CURRENT)).ok()?;
        let number = text.strip_suffix('\n')?.parse().ok()?;
        self.generation(number).is_dir().then_some(number)
    }

    /// The directory of a generation.
    pub(super) fn generation(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:08}"))
    }

    /// A new, empty generation that nothing points to yet.
    pub(super) fn begin(&self) -> Result<u64, StoreError> {
        let numbers = self.generations().map_err(|error| self.error("list", error))?;
        let number = numbers.into_iter().max().unwrap_or(0) + 1;
        fs::create_dir(self.generation(number)).map_err(|error| self.error("create", error))?;
        Ok(number)
    }

    /// Makes a generation the current one.
    pub(super) fn publish(&self, number: u64) -> Result<(), StoreError> {
        let result = (|| {
            let temporary = self.dir.join("CURRENT.new");
            let mut file = File::create(&temporary)?;
            writeln!(file, "{number}")?;
            file.sync_all()?;
            fs::rename(&temporary, self.dir.join(CURRENT))?;
            remove_if_there(&self.dir.join(CONDEMNED))?;
            File::open(&self.dir)?.sync_all()
        })();
        result.map_err(|error| self.error("publish a generation in", error))
    }

    /// Removes every generation but `keep`; returns how many.
    pub(super) fn sweep(&self, keep: Option<u64>) -> Result<usize, StoreError> {
        let result = self.generations().and_then(|mut numbers| {
            numbers.retain(|number| Some(*number) != keep);
            for number in &numbers {
                fs::remove_dir_all(self.generation(*number))?;
            }
            Ok(numbers.len())
        });
        result.map_err(|error| self.error("sweep", error))
    }

    /// Moves a generation out of the way; what was set aside before is removed.
    pub(super) fn set_aside(&self, number: u64) -> Result<PathBuf, StoreError> {
        let result = (|| {
            let mut newest = 0;
            for (earlier, path) in self.bad_directories()? {
                newest = newest.max(earlier);
                fs::remove_dir_all(path)?;
            }
            let aside = self.bad_directory(newest + 1);
            fs::rename(self.generation(number), &aside)?;
            Ok(aside)
        })();
        result.map_err(|error| self.error("set a damaged database aside from", error))
    }

    /// Notes that a start begins to read; returns how many before it did not get through.
    pub(super) fn starting(&self) -> Result<u64, StoreError> {
        let path = self.dir.join(STARTING);
        let before = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        let result = OpenOptions::new().create(true).append(true).open(path);
        result
            .and_then(|mut file| file.write_all(b"."))
            .map_err(|error| self.error("note a start in", error))?;
        Ok(before)
    }

    /// Whether so many starts in a row are too many.
    pub(super) fn too_many_starts(before: u64) -> bool {
        before >= START_LIMIT
    }

    /// The reading is over.
    pub(super) fn started(&self) -> Result<(), StoreError> {
        remove_if_there(&self.dir.join(STARTING)).map_err(|error| self.error("tidy", error))
    }

    /// Lets the next open set the current generation aside. Best effort: it runs when
    /// something has failed already.
    pub(super) fn condemn(&self, why: &str) {
        let _ = fs::write(self.dir.join(CONDEMNED), why);
    }

    /// Why the current generation must not be used.
    pub(super) fn condemned(&self) -> Option<String> {
        let bytes = fs::read(self.dir.join(CONDEMNED)).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn generations(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let name = entry?.file_name();
            let number = name.to_str().filter(|name| name.len() == 8);
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        Ok(numbers)
    }

    fn bad_directories(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let stem = self.bad_stem();
        let mut found = Vec::new();
        let parent = match self.dir.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix(&stem));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                found.push((number, entry.path()));
            }
        }
        Ok(found)
    }

    fn bad_directory(&self, number: u64) -> PathBuf {
        self.dir.with_file_name(format!("{}{number}", self.bad_stem()))
    }

    fn bad_stem(&self) -> String {
        let name = self.dir.file_name().unwrap_or_default();
        format!("{}.bad-", name.to_string_lossy())
    }

    fn error(&self, action: &'static str, source: io::Error) -> StoreError {
        StoreError::io(action, &self.dir, source)
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
