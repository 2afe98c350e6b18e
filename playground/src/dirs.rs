//! Where things are on disk.
//!
//! ```text
//! <home>/clusters/.ports.lock           held while ports are chosen
//! <home>/clusters/<name>/
//!   cluster.toml                        the plan; exists = the cluster exists
//!   state.json                          pids and member ids; written by the supervisor
//!   lock                                flock held by the supervisor for its life
//!   socket                              a link to where the supervisor listens
//!   supervisor.log  events.jsonl
//!   backups/<milliseconds>.db
//!   nodes/n1/{data,data.restored,data.trash-<seconds>,node.log,node.log.1…,faults,bit-flip.json}
//! ```
//!
//! The lock, not the socket file, says whether a supervisor lives: the kernel drops it with
//! the process. Directories are created 0700.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use crate::PlaygroundError;

/// Longest socket path that every kernel takes (`sun_path` is 104 bytes on some, with a NUL).
const SOCKET_PATH_MAX: usize = 103;

/// The state directory of this program.
#[derive(Clone, Debug)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The state directory at `root`; nothing is created yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// The directory of one cluster.
    pub fn cluster(&self, name: &str) -> ClusterDirs {
        ClusterDirs { home: self.root.clone(), root: self.clusters().join(name) }
    }

    /// The names of the clusters that exist, in order.
    pub fn cluster_names(&self) -> Result<Vec<String>, PlaygroundError> {
        let clusters = self.clusters();
        let entries = match fs::read_dir(&clusters) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(PlaygroundError::file("read", clusters)(error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| self.cluster(name).exists())
            .collect();
        names.sort();
        Ok(names)
    }

    /// Waits for the right to choose ports and create clusters. Dropping the file gives it up.
    pub fn lock_ports(&self) -> Result<File, PlaygroundError> {
        create_dir(&self.clusters())?;
        let path = self.clusters().join(".ports.lock");
        let file = open_lock(&path)?;
        file.lock().map_err(PlaygroundError::file("lock", path))?;
        Ok(file)
    }

    fn clusters(&self) -> PathBuf {
        self.root.join("clusters")
    }
}

/// The directory of one cluster.
#[derive(Clone, Debug)]
pub struct ClusterDirs {
    home: PathBuf,
    root: PathBuf,
}

#[allow(missing_docs, reason = "the names are those of the files")]
impl ClusterDirs {
    pub fn path(&self) -> &Path {
        &self.root
    }
    pub fn spec(&self) -> PathBuf {
        self.root.join("cluster.toml")
    }
    pub fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }
    pub fn events(&self) -> PathBuf {
        self.root.join("events.jsonl")
    }
    pub fn supervisor_log(&self) -> PathBuf {
        self.root.join("supervisor.log")
    }
    pub fn node(&self, node: &str) -> PathBuf {
        self.root.join("nodes").join(node)
    }
    pub fn data(&self, node: &str) -> PathBuf {
        self.node(node).join("data")
    }
    pub fn restored(&self, node: &str) -> PathBuf {
        self.node(node).join("data.restored")
    }
    pub fn backups(&self) -> PathBuf {
        self.root.join("backups")
    }
    pub fn faults(&self, node: &str) -> PathBuf {
        self.node(node).join("faults")
    }
    pub fn synced(&self, node: &str) -> PathBuf {
        beside(&self.faults(node), "synced")
    }
    pub fn bit_flip(&self, node: &str) -> PathBuf {
        self.node(node).join("bit-flip.json")
    }
    pub fn log(&self, node: &str) -> PathBuf {
        self.node(node).join("node.log")
    }

    /// Whether the cluster was created.
    pub fn exists(&self) -> bool {
        self.spec().is_file()
    }

    /// Creates the directories of a node.
    pub fn create_node(&self, node: &str) -> Result<(), PlaygroundError> {
        create_dir(&self.node(node))
    }

    /// Moves a node's data aside, where `down --purge` finds it. Without data, does nothing.
    pub fn trash_data(&self, node: &str) -> Result<Option<PathBuf>, PlaygroundError> {
        let data = self.data(node);
        if !data.exists() {
            return Ok(None);
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let mut seconds = now.map_or(0, |elapsed| elapsed.as_secs());
        let mut trash = self.node(node).join(format!("data.trash-{seconds}"));
        while trash.exists() {
            seconds += 1;
            trash = self.node(node).join(format!("data.trash-{seconds}"));
        }
        fs::rename(&data, &trash).map_err(PlaygroundError::file("move aside", data))?;
        Ok(Some(trash))
    }

    /// Deletes the cluster with its data.
    pub fn delete(&self) -> Result<(), PlaygroundError> {
        // The plan goes last: until then the cluster exists and can be deleted again.
        let nodes = self.root.join("nodes");
        if nodes.exists() {
            fs::remove_dir_all(&nodes).map_err(PlaygroundError::file("delete", nodes))?;
        }
        fs::remove_dir_all(&self.root).map_err(PlaygroundError::file("delete", &self.root))
    }

    /// Takes the supervisor's lock, or says that it is held.
    pub fn try_lock(&self) -> Result<Option<File>, PlaygroundError> {
        let path = self.root.join("lock");
        let file = open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(PlaygroundError::file("lock", path)(error)),
        }
    }

    /// Whether a supervisor lives.
    pub fn is_locked(&self) -> bool {
        matches!(self.try_lock(), Ok(None))
    }

    /// Waits until the supervisor has gone; false when it outlives `patience`.
    pub async fn wait_unlocked(&self, patience: Duration) -> bool {
        let deadline = tokio::time::Instant::now() + patience;
        while self.is_locked() {
            if tokio::time::Instant::now() >= deadline {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Where the supervisor listens. It has said so in the cluster's directory, because the
    /// environment of whoever asks may be another one than its own.
    pub fn socket(&self) -> Result<PathBuf, PlaygroundError> {
        fs::read_link(self.announcement()).or_else(|_| self.new_socket())
    }

    /// Chooses where to listen, and says it.
    pub fn announce_socket(&self) -> Result<PathBuf, PlaygroundError> {
        let (socket, link) = (self.new_socket()?, self.announcement());
        // What an earlier supervisor said; mostly there is nothing.
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(&socket, &link).map_err(PlaygroundError::file("write", link))?;
        Ok(socket)
    }

    fn announcement(&self) -> PathBuf {
        self.root.join("socket")
    }

    /// A control socket: short, in a directory that only this user can enter.
    fn new_socket(&self) -> Result<PathBuf, PlaygroundError> {
        let file = format!("{:016x}.sock", fnv1a(self.root.as_os_str().as_encoded_bytes()));
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
        let wanted = match runtime {
            Some(dir) => PathBuf::from(dir).join("etcd-tui"),
            None => self.home.join("run"),
        };
        let fits = wanted.join(&file).as_os_str().len() <= SOCKET_PATH_MAX;
        if fits && create_dir(&wanted).is_ok() {
            return Ok(wanted.join(file));
        }
        Ok(user_dir()?.join(file))
    }
}

/// A directory of this user that does not depend on any setting, for what must be short or be
/// shared by all state directories.
fn user_dir() -> Result<PathBuf, PlaygroundError> {
    let path = PathBuf::from(format!("/tmp/etcd-tui-{}", nix::unistd::getuid()));
    create_dir(&path)?;
    // Anyone may create this name in /tmp first.
    let owner = fs::symlink_metadata(&path).map_err(PlaygroundError::file("read", &path))?;
    let ours = owner.is_dir() && owner.uid() == nix::unistd::getuid().as_raw();
    if ours && owner.mode() & 0o077 == 0 {
        return Ok(path);
    }
    Err(PlaygroundError::Refused(format!(
        "{} belongs to somebody else or is open to others: set XDG_RUNTIME_DIR to a directory of \
         your own",
        path.display()
    )))
}

/// Waits for the right to choose and first use ports, among all state directories of this
/// user. Ports that were chosen are free until the nodes listen, and another launcher must not
/// choose them meanwhile. Without a place for the lock there is none.
pub(crate) fn lock_launch() -> Option<File> {
    let file = open_lock(&user_dir().ok()?.join("launch.lock")).ok()?;
    file.lock().ok()?;
    Some(file)
}

/// The path with one more ending.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

/// Creates a directory and its parents for this user alone.
pub(crate) fn create_dir(path: &Path) -> Result<(), PlaygroundError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(PlaygroundError::file("create", path))
}

/// Replaces a file so that a crash leaves the old content or the new.
/// The snapshot file of the latest name, if there is one.
pub(crate) fn latest(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?.flatten().map(|entry| entry.path());
    entries.filter(|path| path.extension().is_some_and(|it| it == "db")).max()
}

/// Deletes a directory with all that is in it.
pub(crate) fn delete_if_there(path: &Path) -> Result<(), PlaygroundError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(PlaygroundError::file("delete", path)(error))
        }
        _ => Ok(()),
    }
}

pub(crate) fn write_atomically(path: &Path, content: &[u8]) -> Result<(), PlaygroundError> {
    let draft = path.with_extension("tmp");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
    };
    write().map_err(PlaygroundError::file("write", path))
}

fn open_lock(path: &Path) -> Result<File, PlaygroundError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(PlaygroundError::file("open", path))
}

/// A stable hash: the name of the socket must be the same for every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(dir: &Path, name: &str) -> ClusterDirs {
        let dirs = Home::new(dir).cluster(name);
        dirs.create_node("n1").unwrap();
        dirs
    }

    #[test]
    fn only_one_holds_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = cluster(dir.path(), "a");
        let held = dirs.try_lock().unwrap();
        assert!(held.is_some());
        assert!(dirs.is_locked());
        drop(held);
        assert!(!dirs.is_locked());
    }

    #[test]
    fn socket_paths_stay_short_and_differ_between_clusters() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("x".repeat(120));
        let one = cluster(&deep, "one").socket().unwrap();
        let two = cluster(&deep, "two").socket().unwrap();
        assert_ne!(one, two);
        assert!(one.as_os_str().len() <= SOCKET_PATH_MAX);
    }

    #[test]
    fn a_supervisor_is_found_where_it_said_it_listens() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = cluster(dir.path(), "a");
        std::os::unix::fs::symlink("/elsewhere/a.sock", dirs.path().join("socket")).unwrap();
        assert_eq!(dirs.socket().unwrap(), Path::new("/elsewhere/a.sock"));
        let chosen = dirs.announce_socket().unwrap();
        assert_ne!(chosen, Path::new("/elsewhere/a.sock"));
        assert_eq!(dirs.socket().unwrap(), chosen);
    }

    #[test]
    fn data_is_moved_aside_never_over_older_trash() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = cluster(dir.path(), "a");
        assert_eq!(dirs.trash_data("n1").unwrap(), None);
        let mut seen = Vec::new();
        for round in ["first", "second"] {
            fs::create_dir(dirs.data("n1")).unwrap();
            fs::write(dirs.data("n1").join("file"), round).unwrap();
            let trash = dirs.trash_data("n1").unwrap().unwrap();
            assert_eq!(fs::read_to_string(trash.join("file")).unwrap(), round);
            seen.push(trash);
        }
        assert_ne!(seen[0], seen[1]);
        assert!(!dirs.data("n1").exists());
    }

    #[test]
    fn a_directory_without_a_plan_is_no_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        assert!(home.cluster_names().unwrap().is_empty());
        cluster(dir.path(), "half");
        fs::write(cluster(dir.path(), "whole").spec(), "").unwrap();
        assert_eq!(home.cluster_names().unwrap(), ["whole"]);
        home.cluster("whole").delete().unwrap();
        assert!(home.cluster_names().unwrap().is_empty());
    }
}
