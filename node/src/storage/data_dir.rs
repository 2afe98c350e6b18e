//! The directory of one member: its layout, its permissions, its lock.
//!
//! ```text
//! <data-dir>/            mode 0700
//!   lock                 held while a process uses the directory; holds its process number
//!   member/
//!     wal/               the write-ahead log, unless --wal-dir puts it elsewhere
//!     snap/              snapshot files
//!     state/             the applied state, which may be deleted at any moment
//! ```
//!
//! # Invariant
//! While a [`DataDir`] lives, no other process has one for the same directory, nor for the
//! same write-ahead log. The lock is the kernel's, so it ends with its process however that
//! ends, and a left-over file means nothing.
//!
//! The member's identity is not kept here but in the log, which cannot be deleted without
//! deleting what the identity stands for.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::files;

const LOCK: &str = "lock";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    #[error("data directory {} is in use by {holder}", path.display())]
    InUse { path: PathBuf, holder: Holder },
    #[error(
        "data directory {} can be entered by other users (mode {mode:04o}); run: chmod 700 {}",
        path.display(),
        path.display()
    )]
    TooOpen { path: PathBuf, mode: u32 },
    #[error(
        "data directory {} belongs to user {owner}, but this process runs as user {user}",
        path.display()
    )]
    WrongOwner { path: PathBuf, owner: u32, user: u32 },
    #[error("data directory {} is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("data directory: cannot {op} {}: {source}", path.display())]
    Io { op: &'static str, path: PathBuf, source: io::Error },
}

/// Who has the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    Process(u32),
    /// It took the lock a moment ago and has not written its number yet.
    Unknown,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(pid) => write!(f, "process {pid}"),
            Self::Unknown => f.write_str("another process"),
        }
    }
}

/// A data directory that this process alone may use.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    wal: PathBuf,
    /// Released when dropped.
    _locks: Vec<Flock<File>>,
}

impl DataDir {
    /// Makes what is missing, checks what is there, and takes the lock. `wal_dir` puts the
    /// write-ahead log elsewhere. The log's own directory is left to the log, unless it is
    /// elsewhere: then it is made, checked and locked as well.
    pub fn open(root: &Path, wal_dir: Option<&Path>) -> Result<Self, DataDirError> {
        claim(root)?;
        let mut locks = vec![lock(root)?];
        let member = root.join("member");
        for directory in [member.clone(), member.join("snap"), member.join("state")] {
            claim(&directory)?;
        }
        let wal = match wal_dir {
            Some(elsewhere) => {
                claim(elsewhere)?;
                locks.push(lock(elsewhere)?);
                elsewhere.to_owned()
            }
            None => {
                let wal = member.join("wal");
                claim(&wal)?;
                wal
            }
        };
        Ok(Self { root: root.to_owned(), wal, _locks: locks })
    }

    /// Makes a data directory and nothing in it, or checks the one that is there.
    pub fn claim(root: &Path) -> Result<(), DataDirError> {
        claim(root)
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Segments of the write-ahead log.
    pub fn wal(&self) -> PathBuf {
        self.wal.clone()
    }

    /// Snapshot files.
    pub fn snap(&self) -> PathBuf {
        self.root.join("member").join("snap")
    }

    /// The applied state.
    pub fn state(&self) -> PathBuf {
        self.root.join("member").join("state")
    }
}

/// A number for a data directory that is about to get its first log.
pub fn new_directory_id() -> [u8; 16] {
    rand::random()
}

/// Makes a directory (and those above it), or checks that an existing one is ours alone.
fn claim(path: &Path) -> Result<(), DataDirError> {
    let io = |op| move |source| DataDirError::Io { op, path: path.to_owned(), source };
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // Those above it are not ours to restrict.
        std::fs::create_dir_all(parent).map_err(io("create the directory above"))?;
    }
    if path.exists() && !path.is_dir() {
        return Err(DataDirError::NotADirectory { path: path.to_owned() });
    }
    if files::create_directory(path).map_err(io("create"))? {
        return Ok(());
    }
    let metadata = std::fs::metadata(path).map_err(io("look at"))?;
    check(path, &metadata, nix::unistd::geteuid().as_raw())
}

fn check(path: &Path, metadata: &Metadata, user: u32) -> Result<(), DataDirError> {
    let path = path.to_owned();
    let owner = metadata.uid();
    if owner != user {
        return Err(DataDirError::WrongOwner { path, owner, user });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(DataDirError::TooOpen { path, mode });
    }
    Ok(())
}

fn lock(directory: &Path) -> Result<Flock<File>, DataDirError> {
    let path = directory.join(LOCK);
    let io = |op| {
        let path = path.clone();
        move |source| DataDirError::Io { op, path, source }
    };
    let file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io("open"))?;
    let mut locked = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(locked) => locked,
        Err((file, Errno::EWOULDBLOCK)) => {
            let holder = read_holder(file);
            return Err(DataDirError::InUse { path: directory.to_owned(), holder });
        }
        Err((_, errno)) => return Err(io("lock")(errno.into())),
    };
    let number = format!("{}\n", std::process::id());
    locked
        .set_len(0)
        .and_then(|()| locked.rewind())
        .and_then(|()| locked.write_all(number.as_bytes()))
        .map_err(io("write to"))?;
    Ok(locked)
}

fn read_holder(mut file: File) -> Holder {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) => text.trim().parse().map_or(Holder::Unknown, Holder::Process),
        Err(_) => Holder::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn the_layout_is_made_for_the_owner_only() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("above").join("data");
        let data_dir = DataDir::open(&root, None).unwrap();
        for directory in [root.clone(), data_dir.wal(), data_dir.snap(), data_dir.state()] {
            let mode = std::fs::metadata(&directory).unwrap().mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", directory.display());
        }
        assert_eq!(data_dir.wal(), root.join("member/wal"));
        let mode = std::fs::metadata(root.join(LOCK)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
    }

    #[test]
    fn a_second_user_is_refused_with_the_process_number_until_the_first_lets_go() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("data");
        let first = DataDir::open(&root, None).unwrap();
        let error = DataDir::open(&root, None).unwrap_err();
        let text = format!(
            "data directory {} is in use by process {}",
            root.display(),
            std::process::id()
        );
        assert_eq!(error.to_string(), text);
        drop(first);
        DataDir::open(&root, None).unwrap();
    }

    #[test]
    fn two_data_directories_cannot_share_a_log() {
        let temp = tempfile::tempdir().unwrap();
        let wal = temp.path().join("wal");
        let first = DataDir::open(&temp.path().join("a"), Some(&wal)).unwrap();
        assert_eq!(first.wal(), wal);
        let error = DataDir::open(&temp.path().join("b"), Some(&wal)).unwrap_err();
        assert!(matches!(error, DataDirError::InUse { path, .. } if path == wal));
    }

    #[test]
    fn a_stale_lock_file_does_not_matter() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("data");
        drop(DataDir::open(&root, None).unwrap());
        std::fs::write(root.join(LOCK), "4194304999 and more than a number").unwrap();
        drop(DataDir::open(&root, None).unwrap());
        let text = std::fs::read_to_string(root.join(LOCK)).unwrap();
        assert_eq!(text, format!("{}\n", std::process::id()));
    }

    #[test]
    fn an_open_or_foreign_directory_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("data");
        drop(DataDir::open(&root, None).unwrap());
        set_mode(&root, 0o750);
        let text = DataDir::open(&root, None).unwrap_err().to_string();
        assert!(text.contains("mode 0750") && text.contains("chmod 700"), "{text}");
        set_mode(&root, 0o700);
        set_mode(&root.join("member"), 0o705);
        let error = DataDir::open(&root, None).unwrap_err();
        assert!(matches!(error, DataDirError::TooOpen { mode: 0o705, .. }));

        let metadata = std::fs::metadata(&root).unwrap();
        let error = check(&root, &metadata, metadata.uid() + 1).unwrap_err();
        assert!(matches!(error, DataDirError::WrongOwner { .. }));
    }

    #[test]
    fn a_file_in_its_place_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("data");
        std::fs::write(&root, "").unwrap();
        let error = DataDir::open(&root, None).unwrap_err();
        assert!(matches!(error, DataDirError::NotADirectory { .. }));
    }
}
