//! One segment file: its name, its first bytes, and writing records into it.
//!
//! A segment begins with a preamble (what kind of file, which version of the format; it can be
//! read whatever the version is) and a header record (whose log, which segment, what the
//! segments before it left behind). It is born from a blank file full of zeros and gets its
//! name when both are durable; recovery may therefore refuse any file whose start is odd.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use raft::eraftpb::HardState;

use super::batch::{self, Item};
use super::record::{self, Chain, HEADER_BYTES, Kind};
use super::{FORMAT_VERSION, Identity, SnapshotMarker, WalError, WalOptions};
use crate::storage::codec::{CodecError, Decoder, put_number};
use crate::storage::files;

const MAGIC: &[u8; 8] = b"ETUI-WAL";
/// Magic, version, and a checksum of both.
pub(super) const PREAMBLE_BYTES: usize = 16;
/// Chain of the header record, which brings the epoch of all others.
const HEADER_CHAIN: Chain = Chain { epoch: 0, previous: 0 };
/// Largest piece of zeros written at once.
const ZERO_CHUNK_BYTES: usize = 1 << 20;
/// Zeros are synced in steps, so that the log's own syncs never wait behind all of them.
const ZERO_SYNC_BYTES: u64 = 8 << 20;

/// Name of a segment file, in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub sequence: u64,
    pub first_index: u64,
}

impl Name {
    pub(super) fn file_name(self) -> String {
        format!("{:016x}-{:016x}.wal", self.sequence, self.first_index)
    }

    /// Only the exact form counts: a name that formats to something else is not one of ours.
    pub(super) fn parse(file_name: &str) -> Option<Self> {
        let (sequence, first_index) = file_name.strip_suffix(".wal")?.split_once('-')?;
        let name = Self {
            sequence: u64::from_str_radix(sequence, 16).ok()?,
            first_index: u64::from_str_radix(first_index, 16).ok()?,
        };
        (name.file_name() == file_name).then_some(name)
    }
}

/// What a segment says about itself and about the segments before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub identity: Identity,
    pub name: Name,
    pub epoch: u64,
    /// Chain checksum of the last record of the segment before; 0 in the first one.
    pub previous: u32,
    pub hard_state: HardState,
    pub marker: Option<SnapshotMarker>,
}

impl Header {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.identity.cluster_id.to_le_bytes());
        out.extend_from_slice(&self.identity.member_id.to_le_bytes());
        out.extend_from_slice(&self.identity.directory_id);
        out.extend_from_slice(&self.epoch.to_le_bytes());
        put_number(out, self.name.sequence);
        put_number(out, self.name.first_index);
        put_number(out, u64::from(self.previous));
        batch::put_hard_state(out, &self.hard_state);
        if let Some(marker) = &self.marker {
            batch::put_snapshot(out, marker, false);
        }
    }

    fn decode(payload: &[u8]) -> Result<Self, CodecError> {
        let mut decoder = Decoder::new(payload);
        let cluster_id = fixed_number(&mut decoder)?;
        let member_id = fixed_number(&mut decoder)?;
        let mut directory_id = [0; 16];
        directory_id.copy_from_slice(decoder.slice(16)?);
        let epoch = fixed_number(&mut decoder)?;
        let name = Name { sequence: decoder.number()?, first_index: decoder.number()? };
        let previous = u32::try_from(decoder.number()?).map_err(|_| CodecError::NumberTooLong)?;
        let mut hard_state = HardState::default();
        let mut marker = None;
        for item in batch::decode(decoder.slice(decoder.remaining())?)? {
            match item {
                Item::HardState(carried) => hard_state = carried,
                Item::Snapshot { marker: carried, .. } => marker = Some(carried),
                Item::Entries { .. } => return Err(CodecError::UnknownTag(0)),
            }
        }
        let identity = Identity { cluster_id, member_id, directory_id };
        Ok(Self { identity, name, epoch, previous, hard_state, marker })
    }
}

fn fixed_number(decoder: &mut Decoder<'_>) -> Result<u64, CodecError> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(decoder.slice(8)?);
    Ok(u64::from_le_bytes(bytes))
}

/// Reads preamble and header; returns where the first batch begins, and its chain.
pub(super) fn read_header(bytes: &[u8], path: &Path) -> Result<(Header, usize, Chain), WalError> {
    let preamble = bytes.get(..PREAMBLE_BYTES);
    let preamble = preamble.ok_or_else(|| WalError::corrupt(path, 0, "the file is too short"))?;
    if preamble[..8] != MAGIC[..] || preamble[12..] != crc32c::crc32c(&preamble[..12]).to_le_bytes()
    {
        return Err(WalError::corrupt(path, 0, "the file does not begin as a segment does"));
    }
    let found = u32::from_le_bytes([preamble[8], preamble[9], preamble[10], preamble[11]]);
    if found != FORMAT_VERSION {
        let file = path.to_owned();
        return Err(WalError::UnsupportedVersion { file, found, supported: FORMAT_VERSION });
    }
    let bad = |why: String| WalError::corrupt(path, PREAMBLE_BYTES, why);
    let framed = record::parse(bytes, PREAMBLE_BYTES, HEADER_CHAIN)
        .map_err(|fault| bad(format!("the segment's header is not readable ({fault:?})")))?;
    if framed.kind != Kind::SegmentHeader {
        return Err(bad("the first record is not a segment's header".into()));
    }
    let header = Header::decode(framed.payload)
        .map_err(|error| bad(format!("the segment's header makes no sense: {error}")))?;
    let chain = Chain { epoch: header.epoch, previous: framed.chain.previous };
    Ok((header, framed.end, chain))
}

/// A file full of zeros that is not a segment yet.
#[derive(Debug)]
pub(super) struct Blank {
    pub file: File,
    pub path: PathBuf,
    pub bytes: u64,
}

impl Blank {
    /// Fills the file at `path` with zeros and makes them durable. An existing file is used
    /// again. Gives up with [`io::ErrorKind::Interrupted`] when `stop` is set.
    pub(super) fn prepare(
        path: PathBuf,
        options: WalOptions,
        stop: &AtomicBool,
    ) -> Result<Self, WalError> {
        let bytes = options.segment_bytes;
        let file = File::options().write(true).read(true).open(&path);
        let file = match file {
            Err(error) if error.kind() == io::ErrorKind::NotFound => files::create_file(&path),
            opened => opened,
        };
        let file = file.map_err(WalError::io("create", &path))?;
        let filled = file.set_len(bytes).and_then(|()| fill(&file, bytes, options, stop));
        filled.map_err(WalError::io("fill with zeros", &path))?;
        Ok(Self { file, path, bytes })
    }
}

fn fill(file: &File, bytes: u64, options: WalOptions, stop: &AtomicBool) -> io::Result<()> {
    let zeros = vec![0; ZERO_CHUNK_BYTES.min(bytes as usize)];
    let (mut at, mut synced) = (0, 0);
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = (zeros.len() as u64).min(bytes - at);
        file.write_all_at(&zeros[..length as usize], at)?;
        at += length;
        if at - synced >= ZERO_SYNC_BYTES && !options.unsafe_no_fsync {
            file.sync_data()?;
            synced = at;
        }
    }
    if options.unsafe_no_fsync { Ok(()) } else { file.sync_all() }
}

/// The segment that records are written to.
#[derive(Debug)]
pub(super) struct Segment {
    pub file: File,
    pub path: PathBuf,
    pub name: Name,
    /// Where the next record goes.
    pub offset: usize,
    /// Size of the file.
    pub bytes: u64,
    pub chain: Chain,
}

impl Segment {
    /// Makes a blank the next segment: header, sync, name, sync of the directory. The file is
    /// made larger when a record of `record_bytes` would not fit.
    pub(super) fn begin(
        blank: Blank,
        dir: &Path,
        header: &Header,
        record_bytes: usize,
        options: WalOptions,
    ) -> Result<Self, WalError> {
        let Blank { file, path: blank_path, mut bytes } = blank;
        let mut start = MAGIC.to_vec();
        start.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        start.extend_from_slice(&crc32c::crc32c(&start).to_le_bytes());
        let mut header_record = vec![0; HEADER_BYTES];
        header.encode(&mut header_record);
        let kind = Kind::SegmentHeader;
        let sealed = record::seal(&mut header_record, kind, start.len(), HEADER_CHAIN);
        start.append(&mut header_record);

        let needed = (start.len() + record_bytes) as u64;
        if needed > bytes {
            bytes = needed;
            file.set_len(bytes).map_err(WalError::io("enlarge", &blank_path))?;
        }
        file.write_all_at(&start, 0).map_err(WalError::io("write to", &blank_path))?;
        if !options.unsafe_no_fsync {
            file.sync_all().map_err(WalError::io("sync", &blank_path))?;
        }
        let path = dir.join(header.name.file_name());
        std::fs::rename(&blank_path, &path).map_err(WalError::io("rename", &blank_path))?;
        sync_directory(dir, options)?;
        let chain = Chain { epoch: header.epoch, previous: sealed.previous };
        let segment = Self { file, path, name: header.name, offset: start.len(), bytes, chain };
        segment.note_synced(options)?;
        Ok(segment)
    }

    pub(super) fn has_room_for(&self, record_bytes: usize) -> bool {
        (self.offset + record_bytes) as u64 <= self.bytes
    }

    /// Seals `buffer` (see [`record::seal`]), writes it, and makes it durable.
    pub(super) fn write(
        &mut self,
        buffer: &mut Vec<u8>,
        options: WalOptions,
    ) -> Result<(), WalError> {
        let chain = record::seal(buffer, Kind::Batch, self.offset, self.chain);
        if let Some(faults) = options.faults {
            faults.before_write().map_err(WalError::io("write to", &self.path))?;
        }
        let written = self.file.write_all_at(buffer, self.offset as u64);
        written.map_err(WalError::io("write to", &self.path))?;
        if let Some(faults) = options.faults {
            faults.before_sync();
        }
        if !options.unsafe_no_fsync {
            self.file.sync_data().map_err(WalError::io("sync", &self.path))?;
        }
        self.chain = chain;
        self.offset += buffer.len();
        if options.unsafe_no_fsync { Ok(()) } else { self.note_synced(options) }
    }

    /// Tells whoever may take away what was not synced how far it was.
    pub(super) fn note_synced(&self, options: WalOptions) -> Result<(), WalError> {
        let Some(faults) = options.faults else { return Ok(()) };
        let noted = faults.synced(&self.name.file_name(), self.offset);
        noted.map_err(WalError::io("note the sync of", &self.path))
    }
}

/// Writes a copy of damaged bytes beside their segment, under a name that is free.
pub(super) fn keep_broken(
    dir: &Path,
    name: Name,
    bytes: &[u8],
    options: WalOptions,
) -> Result<PathBuf, WalError> {
    let mut number = 0u32;
    loop {
        let path = dir.join(format!("{}.{number}.broken", name.file_name()));
        match files::create_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(WalError::io("create", &path)(error)),
            Ok(mut file) => {
                file.write_all(bytes).map_err(WalError::io("write to", &path))?;
                if !options.unsafe_no_fsync {
                    file.sync_all().map_err(WalError::io("sync", &path))?;
                }
                sync_directory(dir, options)?;
                return Ok(path);
            }
        }
    }
}

pub(super) fn sync_directory(dir: &Path, options: WalOptions) -> Result<(), WalError> {
    if options.unsafe_no_fsync {
        return Ok(());
    }
    files::sync_directory(dir).map_err(WalError::io("sync directory", dir))
}
