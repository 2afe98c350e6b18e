//! One sled database: cells in, records out. The only file that mentions sled.
//!
//! # Invariants
//! - A write is one sled batch, hence all or nothing after a crash, and readers see all of
//!   it or nothing: a read collects a bounded run of records under the same lock. So a
//!   block that is rewritten between two runs can neither hide nor repeat a record.
//! - Every value passes its checksum before it is used. The first thing that is wrong ends
//!   the read: sled repeats an error for ever, so skipping would never end.
//! - A panic inside sled becomes [`StoreError::Damaged`] where panics unwind.
//!
//! Left to others: which records exist (`writer`), where directories live (`place`).

use std::any::Any;
use std::fs::{self, File};
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use parking_lot::RwLock;

use crate::kv::Revision;

use super::StoreError;
use super::cell::{self, Gather, Kind, Stored, Write};
use super::mark::StoredMark;

/// Waiting for the lock of a database that this process is just closing: tries and pause.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Extra uses of a page for each block read from it, see [`Engine::touch`].
const TOUCHES: usize = 4;

/// One entry of the small tables: table, key, value.
pub type SideEntry = (u8, Vec<u8>, Vec<u8>);

/// A cell, or a head with its parts, as it was read back.
#[derive(Debug)]
pub(super) struct Block {
    /// The revision in its key.
    pub(super) first: Revision,
    /// Its keys in sled.
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) records: Vec<Stored>,
}

impl Block {
    /// Encoded length of its records.
    pub(super) fn bytes(&self) -> u64 {
        self.records.iter().map(|stored| stored.sums.bytes).sum()
    }
}

/// What a run collected.
#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) blocks: Vec<Block>,
    /// Nothing is stored after these blocks.
    pub(super) at_end: bool,
}

/// An open database.
pub(super) struct Engine {
    db: sled::Db,
    dir: PathBuf,
    /// Held for reading by a run, for writing by a batch.
    whole: RwLock<()>,
}

impl Engine {
    /// Opens or creates the database in `dir`.
    pub(super) fn open(dir: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        remove_unfinished_snapshots(dir).map_err(|error| StoreError::io("open", dir, error))?;
        let config = sled::Config::new().path(dir).cache_capacity(cache_bytes).flush_every_ms(None);
        let mut tries = 0;
        let db = loop {
            match guarded(|| config.open().map_err(damaged)) {
                Ok(db) => break db,
                Err(StoreError::Damaged(why)) if why.contains("could not acquire lock") => {
                    tries += 1;
                    if tries == LOCK_TRIES {
                        return Err(StoreError::Locked { dir: dir.to_path_buf() });
                    }
                    thread::sleep(LOCK_PAUSE);
                }
                Err(error) => return Err(error),
            }
        };
        Ok(Self { db, dir: dir.to_path_buf(), whole: RwLock::new(()) })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes all cells and the mark, or nothing.
    pub(super) fn write(
        &self,
        cells: Vec<Write>,
        mark: Option<&StoredMark>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (key, value) in cells {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        if let Some(mark) = mark {
            let value = cell::seal(cell::MARK_KEY, Kind::Whole, &[&mark.encode()]);
            batch.insert(cell::MARK_KEY, value);
        }
        let _alone = self.whole.write();
        guarded(|| self.db.apply_batch(batch).map_err(write_failed))
    }

    /// Waits until sled has handed everything to the operating system.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        guarded(|| self.db.flush().map(drop).map_err(write_failed))
    }

    /// Makes everything durable: sled's own flush does not sync.
    pub(super) fn sync(&self) -> Result<(), StoreError> {
        self.flush()?;
        let result = fs::read_dir(&self.dir).and_then(|entries| {
            for entry in entries {
                let path = entry?.path();
                if path.is_file() {
                    File::open(path)?.sync_all()?;
                }
            }
            File::open(&self.dir)?.sync_all()
        });
        result.map_err(|error| StoreError::io("sync", &self.dir, error))
    }

    /// The mark; `None` in a database that never got one.
    pub(super) fn mark(&self) -> Result<Option<StoredMark>, StoreError> {
        guarded(|| {
            let Some(value) = self.db.get(cell::MARK_KEY).map_err(damaged)? else {
                return Ok(None);
            };
            let (_, body) = unseal(cell::MARK_KEY, &value)?;
            let mark = StoredMark::decode(body)
                .ok_or_else(|| StoreError::Damaged("the mark cannot be read".into()))?;
            Ok(Some(mark))
        })
    }

    /// The small tables, and how many cells each value takes.
    pub(super) fn sides(&self) -> Result<Vec<(SideEntry, u32)>, StoreError> {
        let _still = self.whole.read();
        guarded(|| {
            let mut entries = Vec::new();
            let mut cells = self.db.scan_prefix([cell::SIDES]);
            while let Some(next) = cells.next() {
                let (key, value) = next.map_err(damaged)?;
                let (table, name) = cell::parse_side_key(&key)
                    .ok_or_else(|| StoreError::Damaged("a side key cannot be read".into()))?;
                let stem = &key[..key.len() - 4];
                let (value, count) = gather(stem, &key, &value, &mut cells)?;
                entries.push(((table, name, value), count));
            }
            Ok(entries)
        })
    }

    /// Blocks with records at or after `from`, in order, until about `limit` bytes of
    /// records are collected; at least one unless there is none.
    pub(super) fn run(&self, from: Revision, limit: u64) -> Result<Run, StoreError> {
        let _still = self.whole.read();
        guarded(|| {
            let mut run = Run::default();
            let start = self.floor(from)?;
            let mut cells = self.db.range(start.as_slice()..&[cell::RECORDS + 1]);
            let mut collected = 0;
            while let Some(next) = cells.next() {
                let block = read_block(next, &mut cells)?;
                if block.records.last().is_none_or(|stored| stored.record.revision < from) {
                    continue;
                }
                collected += block.bytes();
                self.touch(&block.keys[0])?;
                run.blocks.push(block);
                if collected >= limit {
                    return Ok(run);
                }
            }
            run.at_end = true;
            Ok(run)
        })
    }

    /// The record at `revision`.
    pub(super) fn at(&self, revision: Revision) -> Result<Option<Stored>, StoreError> {
        let run = self.run(revision, 0)?;
        let records = run.blocks.into_iter().flat_map(|block| block.records);
        Ok(records.into_iter().find(|stored| stored.record.revision == revision))
    }

    /// Has sled notice that a page is in memory. It looks at its cache only after 64 uses of
    /// pages of the same of its 256 shards; a scan uses each page once, and would leave
    /// gigabytes behind before anything is evicted.
    fn touch(&self, key: &[u8]) -> Result<(), StoreError> {
        for _ in 0..TOUCHES {
            self.db.contains_key(key).map_err(damaged)?;
        }
        Ok(())
    }

    /// The key where a block that may hold `revision` begins.
    fn floor(&self, revision: Revision) -> Result<Vec<u8>, StoreError> {
        let key = cell::record_key(revision);
        let before = self.db.range(&[cell::RECORDS][..]..=key.as_slice()).next_back();
        match before.transpose().map_err(damaged)? {
            Some((found, _)) if found.len() == key.len() => Ok(found.to_vec()),
            // A part of a large record, which is alone in its cells, or nothing at all.
            _ => Ok(key.to_vec()),
        }
    }

    /// Bytes of the files.
    pub(super) fn size_on_disk(&self) -> u64 {
        directory_size(&self.dir)
    }
}

type Cell = sled::Result<(sled::IVec, sled::IVec)>;

fn read_block(head: Cell, cells: &mut sled::Iter) -> Result<Block, StoreError> {
    let (key, value) = head.map_err(damaged)?;
    let Some((first, false)) = cell::parse_record_key(&key) else {
        return Err(StoreError::Damaged("a part of a large record has no head".into()));
    };
    let mut keys = vec![key.to_vec()];
    let (kind, body) = unseal(&key, &value)?;
    let records = match kind {
        Kind::Block => cell::unpack(body),
        Kind::Head => {
            let (bytes, parts) = gather(&key, &key, &value, cells)?;
            keys.extend((1..parts).map(|part| cell::part_key(&key, part)));
            cell::unpack(&bytes)
        }
        other => Err(format!("a record is stored as {other:?}")),
    };
    let records = records.map_err(StoreError::Damaged)?;
    // Ranges of blocks do not overlap, so ordered blocks mean ordered records.
    let mut previous = None;
    for stored in &records {
        let revision = stored.record.revision;
        if revision < first || previous.is_some_and(|earlier| earlier >= revision) {
            return Err(StoreError::Damaged("records are stored out of order".into()));
        }
        previous = Some(revision);
    }
    Ok(Block { first, keys, records })
}

/// A spread value from its head and the parts that follow in `cells`.
fn gather(
    stem: &[u8],
    key: &[u8],
    head: &[u8],
    cells: &mut sled::Iter,
) -> Result<(Vec<u8>, u32), StoreError> {
    let (kind, body) = unseal(key, head)?;
    if kind != Kind::Head {
        return Err(StoreError::Damaged("a large value does not begin with a head".into()));
    }
    let mut value = Gather::begin(stem, body).map_err(StoreError::Damaged)?;
    while !value.is_complete() {
        let Some(part) = cells.next() else {
            return Err(StoreError::Damaged("the last parts of a large value are missing".into()));
        };
        let (key, part) = part.map_err(damaged)?;
        value.push(&key, &part).map_err(StoreError::Damaged)?;
    }
    Ok(value.finish())
}

fn unseal<'a>(key: &[u8], value: &'a [u8]) -> Result<(Kind, &'a [u8]), StoreError> {
    cell::unseal(key, value).map_err(StoreError::Damaged)
}

fn damaged(error: sled::Error) -> StoreError {
    StoreError::Damaged(error.to_string())
}

fn write_failed(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => StoreError::WriteFailed(error.to_string()),
        other => damaged(other),
    }
}

/// Runs `action`; a panic in it is damage.
fn guarded<T>(action: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    panic::catch_unwind(AssertUnwindSafe(action)).unwrap_or_else(|payload| {
        Err(StoreError::Damaged(format!("sled panicked: {}", panic_text(&*payload))))
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

/// A kill while sled writes its snapshot leaves a file that makes every later open fail.
fn remove_unfinished_snapshots(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "generating") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn directory_size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => directory_size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
