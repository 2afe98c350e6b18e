//! Reading a log back.
//!
//! Everything is checked before anything is changed: the row of segments (names, sequence,
//! identity, chain of checksums), every record, the order of entries. Only then is a torn
//! tail, if there is one, copied away and overwritten with zeros. At last the end of the log
//! is synced, since a process that was killed may have left a record in the page cache that
//! was never made durable, and from now on we rely on it.

use std::collections::VecDeque;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use raft::eraftpb::Entry;

use super::batch::{self, Item};
use super::record::{self, Chain, Fault, Kind, is_zero};
use super::segment::{self, Header, Name, Segment};
use super::state::LogState;
use super::tail::{self, Ending};
use super::writer::{FullSegment, Resume};
use super::{Identity, Recovered, SnapshotMarker, WalError, WalOptions};

/// How much is read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// The segments in `dir` by their names, oldest first.
pub(super) fn list(dir: &Path) -> Result<Vec<(Name, PathBuf)>, WalError> {
    let mut segments = Vec::new();
    for path in file_paths(dir)? {
        let Some(file_name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !file_name.ends_with(".wal") {
            continue;
        }
        let name = Name::parse(file_name).ok_or_else(|| {
            WalError::corrupt(&path, 0, "the file's name is not that of a segment")
        })?;
        segments.push((name, path));
    }
    segments.sort_by_key(|(name, _)| name.sequence);
    Ok(segments)
}

/// Removes what a crash left of segments in preparation.
pub(super) fn sweep(dir: &Path) -> Result<(), WalError> {
    for path in file_paths(dir)? {
        if path.extension().is_some_and(|extension| extension == "tmp") {
            std::fs::remove_file(&path).map_err(WalError::io("remove", &path))?;
        }
    }
    Ok(())
}

fn file_paths(dir: &Path) -> Result<Vec<PathBuf>, WalError> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(WalError::io("list directory", dir))?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    paths.collect::<Result<_, _>>().map_err(WalError::io("list directory", dir))
}

/// Reads the whole log; see [`super::Wal::open`].
pub(super) fn recover(
    dir: &Path,
    options: WalOptions,
    keep_from: u64,
) -> Result<(Resume, Recovered), WalError> {
    let mut names = list(dir)?;
    let Some((last_name, last_path)) = names.pop() else {
        return Err(WalError::Missing { dir: dir.to_owned() });
    };
    let mut replay = Replay::new(keep_from);
    let mut full = VecDeque::new();
    for (name, path) in names {
        let bytes = read(&path)?;
        let (offset, fault) = replay.segment(name, &path, &bytes)?;
        if let Ending::Corrupt(why) | Ending::Torn(why) = tail::judge_inner(&bytes, offset, fault) {
            return Err(WalError::corrupt(&path, offset, why));
        }
        full.push_back(FullSegment { path, name, used: offset as u64 });
    }

    let bytes = read(&last_path)?;
    let (offset, fault) = replay.segment(last_name, &last_path, &bytes)?;
    let torn = match tail::judge(&bytes, offset, replay.chain, fault) {
        Ending::Clean => None,
        Ending::Torn(why) => Some(why),
        Ending::Corrupt(why) => return Err(WalError::corrupt(&last_path, offset, why)),
    };
    replay.check_wanted_entries()?;

    sweep(dir)?;
    let repaired = match torn {
        None => None,
        Some(why) => Some(cut_tail(dir, last_name, &last_path, &bytes, offset, why, options)?),
    };
    let active = reopen(dir, last_name, last_path, offset, replay.chain, options)?;
    replay.finish(active, full, repaired).ok_or_else(|| WalError::Missing { dir: dir.to_owned() })
}

/// The log as read so far.
struct Replay {
    keep_from: u64,
    identity: Option<Identity>,
    /// Sequence number of the segment read last.
    sequence: u64,
    chain: Chain,
    state: LogState,
    entries: Vec<Entry>,
    markers: Vec<SnapshotMarker>,
    bytes_since_snapshot: u64,
}

impl Replay {
    fn new(keep_from: u64) -> Self {
        Self {
            keep_from,
            identity: None,
            sequence: 0,
            chain: Chain { epoch: 0, previous: 0 },
            state: LogState::default(),
            entries: Vec::new(),
            markers: Vec::new(),
            bytes_since_snapshot: 0,
        }
    }

    /// Reads one segment up to where its good records end.
    fn segment(
        &mut self,
        name: Name,
        path: &Path,
        bytes: &[u8],
    ) -> Result<(usize, Fault), WalError> {
        let (header, mut offset, chain) = segment::read_header(bytes, path)?;
        self.join(name, path, header)?;
        self.chain = chain;
        loop {
            let framed = match record::parse(bytes, offset, self.chain) {
                Ok(framed) => framed,
                Err(fault) => return Ok((offset, fault)),
            };
            let bad = |why: String| WalError::corrupt(path, offset, why);
            if framed.kind != Kind::Batch {
                return Err(bad("a second segment header stands among the records".into()));
            }
            let items = batch::decode(framed.payload)
                .map_err(|error| bad(format!("the record makes no sense: {error}")))?;
            let mut has_marker = false;
            for item in items {
                has_marker |= matches!(item, Item::Snapshot { .. });
                self.apply(item).map_err(bad)?;
            }
            let record_bytes = (framed.end - offset) as u64;
            let since = &mut self.bytes_since_snapshot;
            *since = if has_marker { 0 } else { *since + record_bytes };
            self.chain = framed.chain;
            offset = framed.end;
        }
    }

    /// Checks that a segment goes on where the one before it ended.
    fn join(&mut self, name: Name, path: &Path, header: Header) -> Result<(), WalError> {
        let bad = |why: String| Err(WalError::corrupt(path, segment::PREAMBLE_BYTES, why));
        if header.name != name {
            return bad(format!("its header says that it is {}", header.name.file_name()));
        }
        let Some(expected) = self.identity else {
            self.identity = Some(header.identity);
            self.sequence = name.sequence;
            self.markers.extend(header.marker.clone());
            let state = LogState::resumed(name.first_index, header.hard_state, header.marker);
            self.state = state;
            return Ok(());
        };
        if header.identity != expected {
            return Err(WalError::WrongIdentity {
                file: path.to_owned(),
                expected: Box::new(expected),
                found: Box::new(header.identity),
            });
        }
        if name.sequence != self.sequence + 1 {
            return bad(format!("segment {} before it is missing", name.sequence - 1));
        }
        if header.previous != self.chain.previous {
            return bad("the segment before it does not end where this one goes on".into());
        }
        let agrees = name.first_index == self.state.last() + 1
            && header.hard_state == self.state.hard_state
            && header.marker.as_ref() == self.state.marker.as_deref();
        if !agrees {
            return bad("its header contradicts the segments before it".into());
        }
        self.sequence = name.sequence;
        Ok(())
    }

    fn apply(&mut self, item: Item<'_>) -> Result<(), String> {
        match item {
            Item::HardState(hard_state) => self.state.hard_state = hard_state,
            Item::Entries { first, entries } => {
                if !self.state.accepts(first) {
                    let (last, snapshot) = (self.state.last(), self.state.snapshot_index());
                    return Err(format!(
                        "an entry with index {first} follows entry {last} and snapshot {snapshot}"
                    ));
                }
                self.state.extend(first, entries.iter().map(|entry| entry.term));
                let kept = self.entries.partition_point(|entry| entry.index < first);
                self.entries.truncate(kept);
                let wanted = (first..).zip(entries).filter(|(index, _)| *index >= self.keep_from);
                self.entries.extend(wanted.map(|(index, entry)| entry.to_entry(index)));
            }
            Item::Snapshot { marker, installed } => {
                if installed {
                    self.entries.clear();
                }
                self.markers.push(marker.clone());
                self.state.note_snapshot(marker, installed);
            }
        }
        Ok(())
    }

    fn check_wanted_entries(&self) -> Result<(), WalError> {
        let first = self.state.base() + 1;
        if self.keep_from > 0 && first > self.keep_from {
            return Err(WalError::MissingEntries { needed: self.keep_from, first });
        }
        Ok(())
    }

    /// Nothing, if no segment was read.
    fn finish(
        self,
        active: Segment,
        full: VecDeque<FullSegment>,
        repaired: Option<String>,
    ) -> Option<(Resume, Recovered)> {
        let identity = self.identity?;
        let recovered = Recovered {
            identity,
            hard_state: self.state.hard_state.clone(),
            entries: self.entries,
            first_index: self.state.base() + 1,
            last_index: self.state.last(),
            markers: self.markers,
            repaired,
        };
        let bytes_since_snapshot = self.bytes_since_snapshot;
        let resume = Resume { identity, active, full, state: self.state, bytes_since_snapshot };
        Some((resume, recovered))
    }
}

/// The whole file. Memory for its zeros, which are most of a young segment, is never touched.
fn read(path: &Path) -> Result<Vec<u8>, WalError> {
    let io = || WalError::io("read", path);
    let file = std::fs::File::open(path).map_err(io())?;
    let length = file.metadata().map_err(io())?.len();
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
    let mut piece = vec![0; PIECE_BYTES.min(bytes.len())];
    let mut offset = 0;
    while offset < bytes.len() {
        let wanted = piece.len().min(bytes.len() - offset);
        file.read_exact_at(&mut piece[..wanted], offset as u64).map_err(io())?;
        if !is_zero(&piece[..wanted]) {
            bytes[offset..offset + wanted].copy_from_slice(&piece[..wanted]);
        }
        offset += wanted;
    }
    Ok(bytes)
}

/// Keeps a copy of a torn record and puts zeros in its place.
fn cut_tail(
    dir: &Path,
    name: Name,
    path: &Path,
    bytes: &[u8],
    offset: usize,
    why: &str,
    options: WalOptions,
) -> Result<String, WalError> {
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(offset, |last| last + 1);
    let torn = &bytes[offset..end.max(offset)];
    let copy = segment::keep_broken(dir, name, torn, options)?;
    let file = std::fs::File::options().write(true).open(path);
    let file = file.map_err(WalError::io("open", path))?;
    file.write_all_at(&vec![0; torn.len()], offset as u64)
        .map_err(WalError::io("write to", path))?;
    if !options.unsafe_no_fsync {
        file.sync_data().map_err(WalError::io("sync", path))?;
    }
    Ok(format!(
        "{} ends in a record torn by a crash: at offset {offset}, the last record {why}; its {} \
         bytes were cut off and kept as {}",
        path.display(),
        torn.len(),
        copy.display()
    ))
}

/// Opens the last segment for writing at its end, and makes sure that what was read from it
/// is durable.
fn reopen(
    dir: &Path,
    name: Name,
    path: PathBuf,
    offset: usize,
    chain: Chain,
    options: WalOptions,
) -> Result<Segment, WalError> {
    let file = std::fs::File::options().read(true).write(true).open(&path);
    let file = file.map_err(WalError::io("open", &path))?;
    let mut bytes = file.metadata().map_err(WalError::io("look at", &path))?.len();
    let nominal = options.segment_bytes.max(offset as u64);
    if bytes < nominal {
        file.set_len(nominal).map_err(WalError::io("enlarge", &path))?;
        bytes = nominal;
    }
    if !options.unsafe_no_fsync {
        file.sync_all().map_err(WalError::io("sync", &path))?;
    }
    segment::sync_directory(dir, options)?;
    let segment = Segment { file, path, name, offset, bytes, chain };
    segment.note_synced(options)?;
    Ok(segment)
}
