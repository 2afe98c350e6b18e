//! Whether a directory is on a file system that keeps what was synced.

use std::path::Path;

use nix::sys::statfs::{self, FsType};

/// File systems that do not, or whose servers decide.
const DOUBTFUL: [(FsType, &str); 3] = [
    (statfs::TMPFS_MAGIC, "it is in memory (tmpfs): a restart of the machine loses everything"),
    (statfs::NFS_SUPER_MAGIC, "it is on NFS: locks and syncs are only as good as the server's"),
    (statfs::SMB_SUPER_MAGIC, "it is on SMB: locks and syncs are only as good as the server's"),
];

/// Why `directory` should not hold a member's data; `None` if nothing is known against it.
pub fn doubt(directory: &Path) -> Option<&'static str> {
    let kind = statfs::statfs(directory).ok()?.filesystem_type();
    DOUBTFUL.iter().find(|(doubtful, _)| *doubtful == kind).map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_a_disk() {
        assert_eq!(doubt(Path::new("/proc")), None, "nothing is known against it");
        assert_eq!(doubt(Path::new("/no/such/directory")), None);
        let memory = Path::new("/dev/shm");
        if statfs::statfs(memory).is_ok_and(|fs| fs.filesystem_type() == statfs::TMPFS_MAGIC) {
            assert!(doubt(memory).is_some_and(|why| why.contains("tmpfs")));
        }
    }
}
