//! What the applied state stands for: the position in the log and the sums of what is stored.

use crate::kv::Revision;

use super::cell::Sums;

const VERSION: u8 = 1;

/// The position in the log whose effects are in the store.
///
/// Index 0 means "not complete": a store that is being filled from a snapshot carries it
/// until the last batch, and opens as an empty one if it never came that far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppliedMark {
    /// Index of the last applied entry.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The voting members at that entry.
    pub voters: Vec<u64>,
    /// The learners at that entry.
    pub learners: Vec<u64>,
    /// Main revision of the key space at that entry.
    pub kv_revision: i64,
    /// Revision up to which the key space is compacted, 0 if never.
    pub compacted: i64,
}

/// The mark as it is stored, with what only the store itself needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoredMark {
    pub(super) applied: AppliedMark,
    /// Revision up to which compaction has been carried out on disk.
    pub(super) compacted: i64,
    /// The greatest revision that was ever stored, also if it was compacted away.
    pub(super) last: Revision,
    pub(super) sums: Sums,
}

impl StoredMark {
    pub(super) fn encode(&self) -> Vec<u8> {
        let applied = &self.applied;
        let mut out = vec![VERSION];
        for number in [applied.index, applied.term, self.sums.count, self.sums.bytes] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.sums.digest.to_le_bytes());
        for number in
            [applied.kv_revision, applied.compacted, self.compacted, self.last.main, self.last.sub]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for members in [&applied.voters, &applied.learners] {
            out.extend_from_slice(&(members.len() as u64).to_le_bytes());
            for member in members {
                out.extend_from_slice(&member.to_le_bytes());
            }
        }
        out
    }

    /// `None` when the bytes are not a mark of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else { return None };
        let mut numbers = rest.chunks(8).map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
        let mut next = || numbers.next().flatten();
        let mut mark = Self::default();
        mark.applied.index = next()?;
        mark.applied.term = next()?;
        mark.sums = Sums { count: next()?, bytes: next()?, digest: next()? };
        mark.applied.kv_revision = next()? as i64;
        mark.applied.compacted = next()? as i64;
        mark.compacted = next()? as i64;
        mark.last = Revision { main: next()? as i64, sub: next()? as i64 };
        for members in [&mut mark.applied.voters, &mut mark.applied.learners] {
            for _ in 0..next()? {
                members.push(next()?);
            }
        }
        numbers.next().is_none().then_some(mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_comes_back_and_a_cut_one_does_not() {
        let mark = StoredMark {
            applied: AppliedMark {
                index: 7,
                term: 3,
                voters: vec![1, u64::MAX],
                learners: vec![9],
                kv_revision: 70,
                compacted: 60,
            },
            compacted: 50,
            last: Revision { main: 70, sub: 4 },
            sums: Sums { count: 1, bytes: 2, digest: 3 },
        };
        let bytes = mark.encode();
        assert_eq!(StoredMark::decode(&bytes), Some(mark));
        for cut in 0..bytes.len() {
            assert_eq!(StoredMark::decode(&bytes[..cut]), None, "cut at {cut}");
        }
    }
}
