//! A database file that came from anywhere.
//!
//! A file made by `snapshot save` has the SHA-256 of all before it as its last 32 bytes; one that
//! was copied from a data directory has none. Which it is shows in the size alone: a database is
//! whole sectors.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::buckets::{self, Rows};
use super::{Error, bbolt};
use crate::kv::Record;

const SECTOR_BYTES: u64 = 512;
const HASH_BYTES: u64 = 32;

/// What is asked of the trailing SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// It must be there and be right.
    Check,
    Ignore,
}

/// A file found whole as far as its SHA-256 goes.
pub struct Backup {
    reader: bbolt::Reader<BufReader<File>>,
}

/// How many records a file holds, and its last revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    pub records: u64,
    pub revision: i64,
}

impl Backup {
    /// Opens a file.
    pub fn open(path: &Path, hash: Hash) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(Error::io("open", path))?;
        if hash == Hash::Check {
            check(&mut file, path)?;
        }
        Ok(Self { reader: bbolt::Reader::open(BufReader::new(file))? })
    }

    /// Bytes of the database, without what follows.
    pub fn size(&self) -> u64 {
        self.reader.size()
    }

    pub(super) fn reader(&mut self) -> &mut bbolt::Reader<BufReader<File>> {
        &mut self.reader
    }

    /// All rows of a small bucket.
    pub(super) fn rows(&mut self, bucket: &str) -> Result<Rows, Error> {
        Ok(self.reader.entries(bucket.as_bytes()).collect::<Result<Rows, _>>()?)
    }

    /// Hands over all records in revision order; gives how far they go.
    pub fn records(
        &mut self,
        give: &mut dyn FnMut(Record) -> Result<(), Error>,
    ) -> Result<Extent, Error> {
        let mut extent = Extent::default();
        for entry in self.reader.entries(buckets::KEY.as_bytes()) {
            let (key, value) = entry?;
            let (revision, tombstone) = buckets::parse_revision_key(&key)?;
            extent.revision = revision.main;
            if let Some(record) = buckets::record(revision, tombstone, &value)? {
                extent.records += 1;
                give(record)?;
            }
        }
        Ok(extent)
    }
}

/// Checks the SHA-256 behind the database in `path`.
pub fn verify(path: &Path) -> Result<(), Error> {
    check(&mut File::open(path).map_err(Error::io("open", path))?, path)
}

/// Compares the SHA-256 behind the database with the database.
fn check(file: &mut File, path: &Path) -> Result<(), Error> {
    let read = || Error::io("read", path);
    let size = file.seek(SeekFrom::End(0)).map_err(read())?;
    if size % SECTOR_BYTES != HASH_BYTES {
        return Err(Error::NoHash);
    }
    file.rewind().map_err(read())?;
    let mut hash = Sha256::new();
    let mut left = size - HASH_BYTES;
    let mut buffer = vec![0; 64 << 10];
    while left > 0 {
        let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..want]).map_err(read())?;
        hash.update(&buffer[..want]);
        left -= want as u64;
    }
    let mut expected = [0; HASH_BYTES as usize];
    file.read_exact(&mut expected).map_err(read())?;
    let found: [u8; 32] = hash.finalize().into();
    if found != expected {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return Err(Error::WrongHash { expected: hex(expected), found: hex(found) });
    }
    Ok(())
}
