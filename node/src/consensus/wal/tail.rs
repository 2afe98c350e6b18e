//! Where the log ends: cleanly, in a record torn by a crash, or in damage.
//!
//! A crash can leave one record half written, the last of the last segment, with nothing but
//! the zeros written in advance behind it. It shows in one of four ways:
//! - the file ends inside it (the file was cut);
//! - its header is good and one of its other sectors is still zero;
//! - its first sector, which holds the header, is still zero, and a later one is not;
//! - none of it was written: that is a clean end.
//!
//! All else was not done by a crash. The functions here are pure: bytes in, verdict out.

use super::record::{ALIGNMENT, Chain, Fault, SECTOR, header_stands_at, is_zero};

/// The verdict about what begins where the last good record ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Clean,
    /// A crash tore the record there. The text completes "the last record …".
    Torn(&'static str),
    Corrupt(&'static str),
}

/// Judges the end of the last segment: `fault` is what stands at `offset` instead of a record.
pub(super) fn judge(bytes: &[u8], offset: usize, chain: Chain, fault: Fault) -> Ending {
    match fault {
        Fault::NoRoom if is_zero(&bytes[offset..]) => Ending::Clean,
        Fault::NoRoom => Ending::Torn("is cut off in its header by the end of the file"),
        Fault::PastEnd => Ending::Torn("runs past the end of the file"),
        Fault::BadHeader => Ending::Corrupt("the record's header does not match its checksum"),
        Fault::BadBody { end, .. } if !is_zero(&bytes[end..]) => {
            Ending::Corrupt("the record does not match its checksum and more follows it")
        }
        Fault::BadBody { unwritten: true, .. } => Ending::Torn("has a sector never written"),
        Fault::BadBody { unwritten: false, .. } => {
            Ending::Corrupt("the record does not match its checksum although all of it was written")
        }
        Fault::Blank => judge_blank(bytes, offset, chain.epoch),
    }
}

/// Judges the end of a segment that another one follows. No crash can have torn it, since the
/// next one was made only when all of it was durable.
pub(super) fn judge_inner(bytes: &[u8], offset: usize, fault: Fault) -> Ending {
    match fault {
        Fault::NoRoom if is_zero(&bytes[offset..]) => Ending::Clean,
        Fault::Blank if is_zero(&bytes[offset..]) => Ending::Clean,
        Fault::Blank => Ending::Corrupt("a blank stands between records"),
        _ => Ending::Corrupt("a bad record stands in a segment that another one follows"),
    }
}

fn judge_blank(bytes: &[u8], offset: usize, epoch: u64) -> Ending {
    let rest = &bytes[offset..];
    if is_zero(rest) {
        return Ending::Clean;
    }
    let sector_end = (SECTOR - offset % SECTOR).min(rest.len());
    if !is_zero(&rest[..sector_end]) {
        return Ending::Corrupt("the record's header is blank, the rest of its sector is not");
    }
    let mut later = (offset + ALIGNMENT..bytes.len()).step_by(ALIGNMENT);
    if later.any(|at| header_stands_at(bytes, at, epoch)) {
        return Ending::Corrupt("a blank stands in front of a good record");
    }
    Ending::Torn("has its first sector never written")
}
