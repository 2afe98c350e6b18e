//! A file under a temporary name, until it is complete.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::SnapshotError;
use crate::storage::files;

/// Removed when dropped, unless it has been published.
#[derive(Debug)]
pub(super) struct Temporary {
    pub file: File,
    path: PathBuf,
    dir: PathBuf,
    published: bool,
}

impl Temporary {
    pub(super) fn create(dir: &Path) -> Result<Self, SnapshotError> {
        let path = dir.join(format!("{:016x}.snap.tmp", rand::random::<u64>()));
        let file = files::create_file(&path).map_err(SnapshotError::io("create", &path))?;
        Ok(Self { file, path, dir: dir.to_owned(), published: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the contents durable.
    pub(super) fn sync(&self) -> Result<(), SnapshotError> {
        self.file.sync_all().map_err(SnapshotError::io("sync", &self.path))
    }

    /// Gives the file, which has been synced, its name.
    pub(super) fn publish(mut self, file_name: &str) -> Result<PathBuf, SnapshotError> {
        let path = self.dir.join(file_name);
        std::fs::rename(&self.path, &path).map_err(SnapshotError::io("rename", &self.path))?;
        self.published = true;
        files::sync_directory(&self.dir).map_err(SnapshotError::io("sync directory", &self.dir))?;
        Ok(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.published {
            // If this fails, the sweep at the next start gets it.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
