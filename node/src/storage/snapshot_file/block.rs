//! Blocks: how bytes lie in a snapshot file.
//!
//! ```text
//! length u32 │ kind u8 │ 0 0 0 │ checksum u32 │ payload …
//! ```
//!
//! The checksum covers the block's number, so blocks cannot change places unnoticed. The
//! reader hashes what it reads, so one pass checks the blocks and yields the file's hashes.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{FORMAT_VERSION, SnapshotError};

/// Largest payload of a block.
pub(super) const PAYLOAD_BYTES_MAX: usize = 64 << 10;
const HEADER_BYTES: usize = 12;
const MAGIC: &[u8; 8] = b"ETUISNAP";
/// Magic, version, and a checksum of both.
const PREAMBLE_BYTES: usize = 16;

/// What a block's payload is part of. Sections stand in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Meta = 1,
    Records = 2,
    Footer = 3,
}

/// The first bytes of every file.
pub(super) fn preamble() -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

/// The header of the block with this number.
pub(super) fn header(number: u64, kind: Kind, payload: &[u8]) -> [u8; HEADER_BYTES] {
    debug_assert!(payload.len() <= PAYLOAD_BYTES_MAX);
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    header[4] = kind as u8;
    let checksum = checksum(number, &header[..8], payload);
    header[8..].copy_from_slice(&checksum.to_le_bytes());
    header
}

fn checksum(number: u64, fields: &[u8], payload: &[u8]) -> u32 {
    let checksum = crc32c::crc32c(&number.to_le_bytes());
    let checksum = crc32c::crc32c_append(checksum, fields);
    crc32c::crc32c_append(checksum, payload)
}

/// Reads blocks one behind the other.
#[derive(Debug)]
pub(super) struct BlockReader<R> {
    source: R,
    path: PathBuf,
    offset: u64,
    number: u64,
    hasher: Sha256,
}

impl<R: Read> BlockReader<R> {
    /// Reads and checks the preamble.
    pub(super) fn begin(mut source: R, path: &Path) -> Result<Self, SnapshotError> {
        let mut bytes = [0; PREAMBLE_BYTES];
        read(&mut source, &mut bytes, path, 0)?;
        let checksum = crc32c::crc32c(&bytes[..12]).to_le_bytes();
        if bytes[..8] != MAGIC[..] || bytes[12..] != checksum {
            let why = "the file does not begin as a snapshot does";
            return Err(SnapshotError::corrupt(path, 0, why));
        }
        let found = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if found != FORMAT_VERSION {
            let file = path.to_owned();
            return Err(SnapshotError::UnsupportedVersion {
                file,
                found,
                supported: FORMAT_VERSION,
            });
        }
        let hasher = Sha256::new_with_prefix(bytes);
        let offset = PREAMBLE_BYTES as u64;
        Ok(Self { source, path: path.to_owned(), offset, number: 0, hasher })
    }

    /// Reads the next block into `payload`.
    pub(super) fn next(&mut self, payload: &mut Vec<u8>) -> Result<Kind, SnapshotError> {
        let mut header = [0; HEADER_BYTES];
        read(&mut self.source, &mut header, &self.path, self.offset)?;
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return Err(self.corrupt("a block is longer than blocks are"));
        }
        payload.resize(length, 0);
        read(&mut self.source, payload, &self.path, self.offset)?;
        if header[8..] != checksum(self.number, &header[..8], payload).to_le_bytes() {
            return Err(self.corrupt("a block does not match its checksum"));
        }
        let kind = match header[4] {
            1 => Kind::Meta,
            2 => Kind::Records,
            3 => Kind::Footer,
            _ => return Err(self.corrupt("a block is of an unknown kind")),
        };
        self.hasher.update(header);
        self.hasher.update(&payload);
        self.number += 1;
        self.offset += (HEADER_BYTES + length) as u64;
        Ok(kind)
    }

    /// Fails if anything follows the last block.
    pub(super) fn expect_end(&mut self) -> Result<(), SnapshotError> {
        let mut byte = [0];
        match self.source.read(&mut byte) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.corrupt("bytes follow the footer")),
            Err(error) => Err(SnapshotError::io("read", &self.path)(error)),
        }
    }

    /// SHA-256 of all bytes read so far.
    pub(super) fn hash(&self) -> [u8; 32] {
        self.hasher.clone().finalize().into()
    }

    /// Where the next block begins.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn corrupt(&self, why: &str) -> SnapshotError {
        SnapshotError::corrupt(&self.path, self.offset, why)
    }
}

fn read(
    source: &mut impl Read,
    bytes: &mut [u8],
    path: &Path,
    offset: u64,
) -> Result<(), SnapshotError> {
    source.read_exact(bytes).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            SnapshotError::corrupt(path, offset, "the file ends in the middle of a block")
        }
        _ => SnapshotError::io("read", path)(error),
    })
}
