//! One record: a header, a payload, padding.
//!
//! ```text
//! length u32 │ kind u8 │ zero pieces u24 │ header checksum u32 │ chain checksum u32 │ payload …
//! ```
//!
//! Records begin at multiples of 16, so a header never lies across the border of two 512-byte
//! sectors: after a crash it is there as a whole or not at all. Its own checksum (over the
//! segment's epoch, the offset and the first eight bytes) lets the length be trusted before
//! the payload is read, and lets a search find a record without knowing what came before it.
//!
//! The chain checksum covers epoch, the previous record's chain checksum, header, payload and
//! padding. "Zero pieces" is how many of the sectors that the record touches are rightly all
//! zero; more of them on disk means that a sector was never written. The padding is at least
//! two bytes and not zero, so that one bad byte cannot make the last, short piece look unwritten.

/// Bytes in front of a payload.
pub(super) const HEADER_BYTES: usize = 16;
/// Records begin and end at multiples of this.
pub(super) const ALIGNMENT: usize = 16;
/// What a disk writes as a whole.
pub(super) const SECTOR: usize = 512;
/// Largest payload; far above what raft hands over at once, far below what overflows.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 30;

const PADDING_BYTES_MIN: usize = 2;
const PADDING: u8 = 0xff;
/// The count of zero pieces has 24 bits.
const ZERO_PIECES_MAX: usize = (1 << 24) - 1;

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    SegmentHeader = 1,
    Batch = 2,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::SegmentHeader),
            2 => Some(Self::Batch),
            _ => None,
        }
    }
}

/// What the next record's checksums begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chain {
    /// Random number of the segment.
    pub epoch: u64,
    /// Chain checksum of the record before.
    pub previous: u32,
}

/// A record that is as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Framed<'a> {
    pub kind: Kind,
    pub payload: &'a [u8],
    /// Where the next record begins.
    pub end: usize,
    /// The chain behind this record.
    pub chain: Chain,
}

/// Why there is no good record at an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The file ends inside the header, or exactly where it would begin.
    NoRoom,
    /// The header is all zero: the log ends here, or the header was never written.
    Blank,
    /// The header is not one of this segment at this offset.
    BadHeader,
    /// The header is good, the record would run past the end of the file.
    PastEnd,
    /// The header is good, the rest is not.
    BadBody {
        end: usize,
        /// Some sector of the record is all zero although it was not written so.
        unwritten: bool,
    },
}

/// Size on disk of a record with this payload.
pub(super) fn framed_bytes(payload: usize) -> usize {
    (HEADER_BYTES + payload + PADDING_BYTES_MIN).next_multiple_of(ALIGNMENT)
}

/// Turns `buffer` (room for a header, then the payload) into the record for `offset`, and
/// returns the chain behind it. The payload must not be larger than [`PAYLOAD_BYTES_MAX`].
pub(super) fn seal(buffer: &mut Vec<u8>, kind: Kind, offset: usize, chain: Chain) -> Chain {
    let length = buffer.len() - HEADER_BYTES;
    debug_assert!(length <= PAYLOAD_BYTES_MAX && offset.is_multiple_of(ALIGNMENT));
    buffer.resize(framed_bytes(length), PADDING);
    buffer[..4].copy_from_slice(&(length as u32).to_le_bytes());
    buffer[4] = kind as u8;
    let zero_pieces = zero_pieces(buffer, offset).min(ZERO_PIECES_MAX) as u32;
    buffer[5..8].copy_from_slice(&zero_pieces.to_le_bytes()[..3]);
    let header_checksum = header_checksum(&buffer[..8], offset, chain.epoch);
    buffer[8..12].copy_from_slice(&header_checksum.to_le_bytes());
    let checksum = chain_checksum(buffer, chain);
    buffer[12..16].copy_from_slice(&checksum.to_le_bytes());
    Chain { epoch: chain.epoch, previous: checksum }
}

/// Reads the record at `offset` of a segment file's bytes.
pub(super) fn parse(bytes: &[u8], offset: usize, chain: Chain) -> Result<Framed<'_>, Fault> {
    let header = bytes.get(offset..offset + HEADER_BYTES).ok_or(Fault::NoRoom)?;
    if is_zero(header) {
        return Err(Fault::Blank);
    }
    let (kind, length) = parse_header(header, offset, chain.epoch).ok_or(Fault::BadHeader)?;
    let end = offset + framed_bytes(length);
    let record = bytes.get(offset..end).ok_or(Fault::PastEnd)?;
    let checksum = chain_checksum(record, chain);
    if header[12..16] != checksum.to_le_bytes() {
        let declared = u32::from_le_bytes([header[5], header[6], header[7], 0]) as usize;
        let unwritten = zero_pieces(record, offset) > declared;
        return Err(Fault::BadBody { end, unwritten });
    }
    let payload = &record[HEADER_BYTES..HEADER_BYTES + length];
    Ok(Framed { kind, payload, end, chain: Chain { epoch: chain.epoch, previous: checksum } })
}

/// Whether a header of this segment stands at `offset`, whatever came before it.
pub(super) fn header_stands_at(bytes: &[u8], offset: usize, epoch: u64) -> bool {
    bytes
        .get(offset..offset + HEADER_BYTES)
        .is_some_and(|header| parse_header(header, offset, epoch).is_some())
}

/// Compares with a stretch of zeros: a blank segment is 64 MiB, and one byte after the other
/// would take a good part of a start.
pub(super) fn is_zero(bytes: &[u8]) -> bool {
    static ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|piece| piece == &ZEROS[..piece.len()])
}

fn parse_header(header: &[u8], offset: usize, epoch: u64) -> Option<(Kind, usize)> {
    if header[8..12] != header_checksum(&header[..8], offset, epoch).to_le_bytes() {
        return None;
    }
    let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
    let kind = Kind::from_byte(header[4])?;
    (length <= PAYLOAD_BYTES_MAX).then_some((kind, length))
}

fn header_checksum(fields: &[u8], offset: usize, epoch: u64) -> u32 {
    let checksum = crc32c::crc32c(&epoch.to_le_bytes());
    let checksum = crc32c::crc32c_append(checksum, &(offset as u64).to_le_bytes());
    crc32c::crc32c_append(checksum, fields)
}

/// Over everything but the place of the checksum itself.
fn chain_checksum(record: &[u8], chain: Chain) -> u32 {
    let checksum = crc32c::crc32c(&chain.epoch.to_le_bytes());
    let checksum = crc32c::crc32c_append(checksum, &chain.previous.to_le_bytes());
    let checksum = crc32c::crc32c_append(checksum, &record[..12]);
    crc32c::crc32c_append(checksum, &record[HEADER_BYTES..])
}

/// How many of the sectors that the record touches hold nothing but zeros of it.
fn zero_pieces(record: &[u8], offset: usize) -> usize {
    let first = (SECTOR - offset % SECTOR).min(record.len());
    let (head, rest) = record.split_at(first);
    usize::from(is_zero(head)) + rest.chunks(SECTOR).filter(|piece| is_zero(piece)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHAIN: Chain = Chain { epoch: 77, previous: 5 };

    fn sealed(payload: &[u8], offset: usize) -> (Vec<u8>, Chain) {
        let mut record = vec![0; HEADER_BYTES];
        record.extend_from_slice(payload);
        let chain = seal(&mut record, Kind::Batch, offset, CHAIN);
        let mut bytes = vec![0; offset];
        bytes.append(&mut record);
        (bytes, chain)
    }

    #[test]
    fn a_record_comes_back_at_its_own_place_only() {
        let (bytes, chain) = sealed(b"payload", 48);
        let framed = parse(&bytes, 48, CHAIN).unwrap();
        assert_eq!((framed.kind, framed.payload), (Kind::Batch, &b"payload"[..]));
        assert_eq!((framed.end, framed.chain), (bytes.len(), chain));

        let moved = [&[0; 16][..], &bytes].concat();
        assert_eq!(parse(&moved, 64, CHAIN), Err(Fault::BadHeader));
        let other_epoch = Chain { epoch: 78, ..CHAIN };
        assert_eq!(parse(&bytes, 48, other_epoch), Err(Fault::BadHeader));
        let other_chain = Chain { previous: 6, ..CHAIN };
        let fault = Fault::BadBody { end: bytes.len(), unwritten: false };
        assert_eq!(parse(&bytes, 48, other_chain), Err(fault));
    }

    #[test]
    fn a_sector_lost_from_a_payload_that_holds_zero_sectors_is_noticed() {
        let mut payload = vec![7; 4000];
        payload[1000..2500].fill(0);
        let (bytes, _) = sealed(&payload, 16);
        for sector in (SECTOR..bytes.len()).step_by(SECTOR) {
            let mut lost = bytes.clone();
            let end = (sector + SECTOR).min(lost.len());
            if is_zero(&lost[sector..end]) {
                continue;
            }
            lost[sector..end].fill(0);
            let fault = Fault::BadBody { end: bytes.len(), unwritten: true };
            assert_eq!(parse(&lost, 16, CHAIN), Err(fault), "sector at {sector}");
        }
        let mut flipped = bytes.clone();
        flipped[1500] ^= 1;
        let fault = Fault::BadBody { end: bytes.len(), unwritten: false };
        assert_eq!(parse(&flipped, 16, CHAIN), Err(fault), "its zero sectors are no excuse");
    }

    #[test]
    fn no_single_byte_in_the_last_piece_makes_it_look_unwritten() {
        for length in SECTOR - 40..SECTOR + 40 {
            let (bytes, _) = sealed(&vec![0; length], 0);
            for at in HEADER_BYTES..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[at] ^= 0xff;
                let fault = Fault::BadBody { end: bytes.len(), unwritten: false };
                assert_eq!(parse(&flipped, 0, CHAIN), Err(fault), "length {length}, byte {at}");
            }
        }
    }
}
