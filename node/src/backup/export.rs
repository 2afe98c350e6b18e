//! From the state of a member to a database file.
//!
//! The small tables and the position are taken at once, under one lock of the state; the
//! records follow from the store, which keeps everything up to that revision while physical
//! compaction pauses. So applying goes on while the file is written.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::BufWriter;
use std::ops::ControlFlow;

use super::buckets::{self, Rows};
use super::{Error, bbolt};
use crate::kv::{Record, Revision};
use crate::machine::State;
use crate::storage::store::{CompactionPause, Store};

const BUFFER_BYTES: usize = 256 << 10;

/// A backup whose moment is fixed and whose records are still to be written.
pub struct Job {
    tables: BTreeMap<&'static str, Rows>,
    revision: i64,
    compacted: i64,
    /// Of the revisions up to the compacted one, those that are kept.
    keep: HashSet<Revision>,
    store: Store,
    _pause: CompactionPause,
}

/// Fixes the moment. `pause` must be older than the look at `state`, so that nothing it needs
/// goes in between.
pub fn begin(state: &State, store: &Store, pause: CompactionPause) -> Job {
    let compacted = state.kv.compacted();
    Job {
        tables: buckets::tables(state),
        revision: state.kv.revision(),
        compacted,
        keep: if compacted > 0 { state.kv.keep_at(compacted) } else { HashSet::new() },
        store: store.clone(),
        _pause: pause,
    }
}

impl Job {
    /// Writes an empty `file`; gives it back with its size in bytes. Blocks.
    pub fn write(self, file: File) -> Result<(File, u64), Error> {
        let file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut writer = bbolt::Writer::new(file)?;
        let mut keys = writer.begin(buckets::KEY.as_bytes());
        let mut failed = None;
        self.store.scan(Revision::default(), self.revision, &mut |record: Record| {
            let at = record.revision;
            if at.main <= self.compacted && !self.keep.contains(&at) {
                return ControlFlow::Continue(());
            }
            let (key, value) = buckets::record_row(&record);
            match keys.put(key, value) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        keys.finish()?;
        for (name, rows) in self.tables {
            writer.bucket::<bbolt::Error>(name.as_bytes(), rows.into_iter().map(Ok))?;
        }
        let (file, size) = writer.finish()?;
        let file =
            file.into_inner().map_err(|error| bbolt::Error::Io("write", error.into_error()))?;
        Ok((file, size))
    }
}
