//! A log file that is put aside when it is large: `--enable-log-rotation`.
//!
//! The rules are those of etcd's library (lumberjack): `name.log` is renamed to
//! `name-<time>.log` before the line that would make it larger than `maxsize` megabytes; of
//! those put aside the newest `maxbackups` stay, and none older than `maxage` days; 0 is no
//! limit. `compress` makes `.gz` of them. Removing and compressing happen on a thread of
//! their own, so that no line waits for them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, civil};

use crate::flags::LogRotation;

const MEGABYTE: u64 = 1 << 20;
const DAY: Duration = Duration::from_secs(24 * 3_600);
const TIME_FORMAT: &str = "%Y-%m-%dT%H-%M-%S%.3f";

/// See the module.
pub struct RotatingFile {
    path: PathBuf,
    file: File,
    size: u64,
    limit: u64,
    time_zone: TimeZone,
    /// Wakes the thread that cleans up; one pending wake is enough.
    cleaning: SyncSender<()>,
}

impl RotatingFile {
    pub fn open(path: &Path, config: &LogRotation) -> io::Result<Self> {
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).append(true).open(path)?;
        let size = file.metadata()?.len();
        let (cleaning, wakes) = sync_channel(1);
        let (cleaned, rules) = (path.to_owned(), config.clone());
        let clean = move || {
            while wakes.recv().is_ok() {
                // What fails now is tried again at the next rotation.
                let _ = tidy(&cleaned, &rules, SystemTime::now());
            }
        };
        std::thread::Builder::new().name("log-rotation".into()).spawn(clean)?;
        let time_zone = if config.local_time { TimeZone::system() } else { TimeZone::UTC };
        let limit = config.max_size_mb.max(1).saturating_mul(MEGABYTE);
        Ok(Self { path: path.to_owned(), file, size, limit, time_zone, cleaning })
    }

    /// Writes a line, after putting the file aside if it would get too large.
    pub fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if self.size > 0 && self.size + length > self.limit {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.size += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        let now = Timestamp::now().to_zoned(self.time_zone.clone()).datetime();
        fs::rename(&self.path, aside(&self.path, now))?;
        self.file = File::options().create(true).append(true).open(&self.path)?;
        self.size = 0;
        // Full means that it will be woken anyway.
        let _ = self.cleaning.try_send(());
        Ok(())
    }
}

/// `name-<time>.log`, and a later millisecond if there is one already.
fn aside(path: &Path, mut time: civil::DateTime) -> PathBuf {
    let (prefix, suffix) = name_parts(path);
    loop {
        let stamp = time.strftime(TIME_FORMAT);
        let candidate = path.with_file_name(format!("{prefix}{stamp}{suffix}"));
        if !candidate.exists() {
            return candidate;
        }
        time = time.saturating_add(Duration::from_millis(1));
    }
}

/// What stands before and behind the time.
fn name_parts(path: &Path) -> (String, String) {
    let part = |part: Option<&std::ffi::OsStr>| {
        part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
    };
    let suffix = match path.extension() {
        Some(extension) => format!(".{}", extension.to_string_lossy()),
        None => String::new(),
    };
    (format!("{}-", part(path.file_stem())), suffix)
}

/// Removes what the rules do not keep and compresses the rest.
fn tidy(path: &Path, config: &LogRotation, now: SystemTime) -> io::Result<()> {
    let mut old = put_aside(path)?;
    // Newest first, by the time in the name.
    old.sort_by(|left, right| right.file_name().cmp(&left.file_name()));
    let kept = if config.max_backups == 0 { old.len() } else { config.max_backups.min(old.len()) };
    let mut removed = old.split_off(kept);
    if config.max_age_days > 0 {
        let limit = DAY.saturating_mul(u32::try_from(config.max_age_days).unwrap_or(u32::MAX));
        let is_young = |path: &PathBuf| {
            let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| now.duration_since(modified).ok());
            age.is_none_or(|age| age <= limit)
        };
        let (young, expired) = old.into_iter().partition(is_young);
        old = young;
        removed.extend::<Vec<PathBuf>>(expired);
    }
    for path in removed {
        fs::remove_file(path)?;
    }
    if config.compress {
        for path in old.iter().filter(|path| path.extension().is_none_or(|end| end != "gz")) {
            compress(path)?;
        }
    }
    Ok(())
}

/// The files that were put aside, compressed or not.
fn put_aside(path: &Path) -> io::Result<Vec<PathBuf>> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let (prefix, suffix) = name_parts(path);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        let stamp = plain.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(&suffix));
        if stamp.is_some_and(|stamp| civil::DateTime::strptime(TIME_FORMAT, stamp).is_ok()) {
            found.push(path);
        }
    }
    Ok(found)
}

/// `x` → `x.gz`; the plain file goes when the other is whole.
fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".gz");
    let target = PathBuf::from(name);
    let compressed = (|| {
        let mut encoder =
            flate2::write::GzEncoder::new(File::create(&target)?, flate2::Compression::default());
        io::copy(&mut File::open(path)?, &mut encoder)?;
        encoder.finish()?.sync_all()
    })();
    match compressed {
        Ok(()) => fs::remove_file(path),
        Err(error) => {
            let _ = fs::remove_file(&target);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_put_aside_before_it_gets_too_large() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/node.log");
        let config = LogRotation { max_size_mb: 1, ..LogRotation::default() };
        let mut file = RotatingFile::open(&path, &config).unwrap();
        let line = vec![b'x'; 400 << 10];
        for _ in 0..5 {
            file.write(&line).unwrap();
        }
        // Two lines to a file.
        let names = names(path.parent().unwrap());
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 400 << 10);
        assert!(names.iter().all(|name| name.starts_with("node") && name.ends_with(".log")));
        // Opened again it goes on where it was.
        let mut file = RotatingFile::open(&path, &config).unwrap();
        file.write(&line).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 800 << 10);
        // A line that is larger than the limit is still written.
        file.write(&vec![b'x'; 2 << 20]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 2 << 20);
    }

    #[test]
    fn names_of_one_moment_differ() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.log");
        let time = civil::date(2026, 1, 2).at(3, 4, 5, 6_000_000);
        let first = aside(&path, time);
        assert_eq!(first.file_name().unwrap(), "node-2026-01-02T03-04-05.006.log");
        fs::write(&first, "").unwrap();
        let second = aside(&path, time);
        assert_eq!(second.file_name().unwrap(), "node-2026-01-02T03-04-05.007.log");
    }

    #[test]
    fn the_rules_keep_the_newest_and_the_young_and_touch_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("node.log");
        let stamps = ["01", "02", "03", "04"].map(|day| format!("node-2026-01-{day}T00-00-00.000"));
        for stamp in &stamps {
            fs::write(directory.path().join(format!("{stamp}.log")), stamp).unwrap();
        }
        for other in ["node.log", "node-x.log", "node2-2026-01-01T00-00-00.000.log"] {
            fs::write(directory.path().join(other), "").unwrap();
        }
        let config = LogRotation { max_backups: 2, compress: true, ..LogRotation::default() };
        tidy(&path, &config, SystemTime::now()).unwrap();
        assert_eq!(
            names(directory.path()),
            [
                "node-2026-01-03T00-00-00.000.log.gz",
                "node-2026-01-04T00-00-00.000.log.gz",
                "node-x.log",
                "node.log",
                "node2-2026-01-01T00-00-00.000.log",
            ]
        );
        let packed = File::open(directory.path().join(format!("{}.log.gz", stamps[3]))).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        assert_eq!(text, stamps[3]);
        let config = LogRotation { max_age_days: 1, ..LogRotation::default() };
        tidy(&path, &config, SystemTime::now()).unwrap();
        assert_eq!(names(directory.path()).len(), 5);
        tidy(&path, &config, SystemTime::now() + 2 * DAY).unwrap();
        assert_eq!(names(directory.path()).len(), 3);
    }
}
