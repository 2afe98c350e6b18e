//! The payload of a batch record: a row of items in the order in which they were appended.
//!
//! Our own compact form rather than protobuf: an entry is its two byte strings and about six
//! bytes around them, its index follows from its place, and decoding copies nothing that
//! nobody wants.

use raft::eraftpb::{Entry, EntryType, HardState};

use super::SnapshotMarker;
use crate::storage::codec::{CodecError, Decoder, put_bytes, put_conf_state, put_number};

const HARD_STATE: u8 = 1;
const ENTRIES: u8 = 2;
/// A snapshot of what the log holds.
const SNAPSHOT_TAKEN: u8 = 3;
/// A snapshot that takes the place of the whole log.
const SNAPSHOT_INSTALLED: u8 = 4;

/// Type, term, and the lengths of two empty strings.
const ENTRY_BYTES_MIN: usize = 4;

/// One item of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item<'a> {
    HardState(HardState),
    Entries { first: u64, entries: Vec<EntryView<'a>> },
    Snapshot { marker: SnapshotMarker, installed: bool },
}

/// An entry still lying in the segment's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryView<'a> {
    pub kind: EntryType,
    pub term: u64,
    pub data: &'a [u8],
    pub context: &'a [u8],
}

impl EntryView<'_> {
    /// Copies the entry out.
    pub(super) fn to_entry(self, index: u64) -> Entry {
        let mut entry = Entry::default();
        entry.set_entry_type(self.kind);
        entry.term = self.term;
        entry.index = index;
        entry.data = bytes::Bytes::copy_from_slice(self.data);
        entry.context = bytes::Bytes::copy_from_slice(self.context);
        entry
    }
}

pub(super) fn put_hard_state(out: &mut Vec<u8>, hard_state: &HardState) {
    out.push(HARD_STATE);
    for number in [hard_state.term, hard_state.vote, hard_state.commit] {
        put_number(out, number);
    }
}

/// Appends entries whose indexes follow one another.
pub(super) fn put_entries(out: &mut Vec<u8>, entries: &[Entry]) {
    let Some(first) = entries.first() else { return };
    out.push(ENTRIES);
    put_number(out, first.index);
    put_number(out, entries.len() as u64);
    for entry in entries {
        out.push(match entry.entry_type {
            EntryType::EntryNormal => 0,
            EntryType::EntryConfChange => 1,
            EntryType::EntryConfChangeV2 => 2,
        });
        put_number(out, entry.term);
        put_bytes(out, &entry.context);
        put_bytes(out, &entry.data);
    }
}

pub(super) fn put_snapshot(out: &mut Vec<u8>, marker: &SnapshotMarker, installed: bool) {
    out.push(if installed { SNAPSHOT_INSTALLED } else { SNAPSHOT_TAKEN });
    put_number(out, marker.index);
    put_number(out, marker.term);
    put_conf_state(out, &marker.conf_state);
}

/// Reads all items of a payload.
pub(super) fn decode(payload: &[u8]) -> Result<Vec<Item<'_>>, CodecError> {
    let mut decoder = Decoder::new(payload);
    let mut items = Vec::new();
    while decoder.remaining() > 0 {
        items.push(match decoder.byte()? {
            HARD_STATE => Item::HardState(hard_state(&mut decoder)?),
            ENTRIES => {
                let first = decoder.number()?;
                let count = decoder.count(ENTRY_BYTES_MIN)?;
                let entries =
                    (0..count).map(|_| entry(&mut decoder)).collect::<Result<Vec<_>, _>>()?;
                Item::Entries { first, entries }
            }
            SNAPSHOT_TAKEN => Item::Snapshot { marker: marker(&mut decoder)?, installed: false },
            SNAPSHOT_INSTALLED => Item::Snapshot { marker: marker(&mut decoder)?, installed: true },
            other => return Err(CodecError::UnknownTag(other)),
        });
    }
    Ok(items)
}

fn hard_state(decoder: &mut Decoder<'_>) -> Result<HardState, CodecError> {
    let (term, vote, commit) = (decoder.number()?, decoder.number()?, decoder.number()?);
    Ok(HardState { term, vote, commit, ..HardState::default() })
}

fn entry<'a>(decoder: &mut Decoder<'a>) -> Result<EntryView<'a>, CodecError> {
    let kind = match decoder.byte()? {
        0 => EntryType::EntryNormal,
        1 => EntryType::EntryConfChange,
        2 => EntryType::EntryConfChangeV2,
        other => return Err(CodecError::UnknownTag(other)),
    };
    let term = decoder.number()?;
    let context = decoder.bytes()?;
    let data = decoder.bytes()?;
    Ok(EntryView { kind, term, data, context })
}

fn marker(decoder: &mut Decoder<'_>) -> Result<SnapshotMarker, CodecError> {
    let index = decoder.number()?;
    let term = decoder.number()?;
    Ok(SnapshotMarker { index, term, conf_state: decoder.conf_state()? })
}
