//! What a database file holds, as `etcdutl snapshot status` says it.

use std::collections::HashSet;
use std::path::Path;

use super::file::{Backup, Hash};
use super::{Error, buckets};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// CRC-32C of all names of buckets, keys and values, in order.
    pub hash: u32,
    pub revision: i64,
    /// Keys that are live at the last revision.
    pub total_keys: usize,
    /// Bytes of the database.
    pub total_size: u64,
    /// The version of the layout; empty before etcd 3.6.
    pub version: String,
}

/// Reads a whole file. Its trailing SHA-256 is not looked at, as in etcdutl.
pub fn status(path: &Path) -> Result<Status, Error> {
    let mut backup = Backup::open(path, Hash::Ignore)?;
    let mut status = Status { total_size: backup.size(), ..Status::default() };
    let mut live: HashSet<Vec<u8>> = HashSet::new();
    for name in backup.reader().buckets() {
        let mut hash = crc32c::crc32c_append(status.hash, &name);
        let is_keys = name == buckets::KEY.as_bytes();
        let is_meta = name == buckets::META.as_bytes();
        for entry in backup.reader().entries(&name) {
            let (key, value) = entry?;
            hash = crc32c::crc32c_append(crc32c::crc32c_append(hash, &key), &value);
            if is_meta && key == buckets::STORAGE_VERSION.as_bytes() {
                status.version = String::from_utf8_lossy(&value).into_owned();
            }
            if is_keys {
                let (revision, tombstone) = buckets::parse_revision_key(&key)?;
                status.revision = revision.main;
                let key = buckets::key_of(&value)?;
                if tombstone {
                    live.remove(&key);
                } else {
                    live.insert(key);
                }
            }
        }
        status.hash = hash;
    }
    status.total_keys = live.len();
    Ok(status)
}
