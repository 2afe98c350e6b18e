//! The mark of a drill in progress: `drills/<cluster>.json` in the state directory.
//!
//! It is written before a drill touches anything and removed after its rollback. The program
//! that runs the drill holds a lock on it; the kernel drops the lock with the program. So a mark
//! that is locked is a drill that runs, and one that is not is a drill whose program died: the
//! next drill refuses to start, and `drill rollback` knows what to put back.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Home, PlaygroundError, dirs};

/// What has to be known to put things back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub cluster: String,
    pub drill: String,
    /// How many nodes there were.
    pub nodes: usize,
    /// Whether the cluster was made for the drill, and is to be taken down.
    pub temporary: bool,
}

/// A mark that this program has set; dropped without [`Held::clear`], it stays.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    _lock: File,
}

fn path(home: &Home, cluster: &str) -> PathBuf {
    directory(home).join(format!("{cluster}.json"))
}

fn directory(home: &Home) -> PathBuf {
    home.path().join("drills")
}

/// Sets the mark.
///
/// # Errors
/// If a drill runs on the cluster, or one was cut off there.
pub fn set(home: &Home, mark: &Mark) -> Result<Held, PlaygroundError> {
    check(home, &mark.cluster)?;
    dirs::create_dir(&directory(home))?;
    let path = path(home, &mark.cluster);
    let text = serde_json::to_string(mark).unwrap_or_default();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(PlaygroundError::file("write", &path))?;
    file.try_lock().map_err(|_| {
        PlaygroundError::Refused(format!(
            "another drill starts on cluster {} at this moment",
            mark.cluster
        ))
    })?;
    let written = file.set_len(0).and_then(|()| file.write_all(text.as_bytes()));
    written.and_then(|()| file.sync_all()).map_err(PlaygroundError::file("write", &path))?;
    Ok(Held { path, _lock: file })
}

/// Whether a drill may begin on the cluster.
///
/// # Errors
/// If a drill runs there, or one was cut off there.
pub fn check(home: &Home, cluster: &str) -> Result<(), PlaygroundError> {
    let path = path(home, cluster);
    let Some(found) = read(&path) else { return Ok(()) };
    Err(PlaygroundError::Refused(match is_held(&path) {
        true => format!("drill {} runs on cluster {cluster} now", found.drill),
        false => format!(
            "drill {} was cut off on cluster {cluster}: `etcd-tui drill rollback` puts it back \
             first",
            found.drill
        ),
    }))
}

impl Held {
    /// Everything is as it was.
    pub fn clear(self) {
        // If it stays, the next drill says so.
        let _ = fs::remove_file(&self.path);
    }
}

fn read(path: &Path) -> Option<Mark> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}

fn is_held(path: &Path) -> bool {
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.is_ok_and(|file| matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock)))
}

/// Drills that were cut off, and those that run.
pub fn found(home: &Home) -> (Vec<Mark>, Vec<Mark>) {
    let entries = fs::read_dir(directory(home)).into_iter().flatten().flatten();
    let marks = entries.filter_map(|entry| {
        let path = entry.path();
        Some((is_held(&path), read(&path)?))
    });
    let (running, cut_off): (Vec<_>, Vec<_>) = marks.partition(|(held, _)| *held);
    let marks = |list: Vec<(bool, Mark)>| list.into_iter().map(|(_, mark)| mark).collect();
    (marks(cut_off), marks(running))
}

/// Forgets a drill that was cut off.
pub fn forget(home: &Home, cluster: &str) {
    // If it stays, it is found again.
    let _ = fs::remove_file(path(home, cluster));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_drill_at_a_time_and_what_is_cut_off_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        assert_eq!(found(&home), (Vec::new(), Vec::new()));
        let mark = Mark { cluster: "a".into(), drill: "x".into(), nodes: 3, temporary: false };
        let held = set(&home, &mark).unwrap();
        assert_eq!(found(&home), (Vec::new(), vec![mark.clone()]));
        assert!(set(&home, &mark).unwrap_err().to_string().contains("runs on cluster a"));
        // The program ends without a rollback.
        drop(held);
        // A process that another test is starting has the file for a moment, until its exec.
        let cut_off = (vec![mark.clone()], Vec::new());
        let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while found(&home) != cut_off && std::time::Instant::now() < patience {
            std::thread::yield_now();
        }
        assert_eq!(found(&home), cut_off);
        assert!(set(&home, &mark).unwrap_err().to_string().contains("drill rollback"));
        forget(&home, "a");
        set(&home, &mark).unwrap().clear();
        assert_eq!(found(&home), (Vec::new(), Vec::new()));
    }
}
