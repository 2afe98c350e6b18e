//! Everything the simulated cluster has promised so far, and the checks that it keeps it.
//!
//! The ledger sees more than any member could: each log, each state, each answer to a client.
//! It knows nothing of how members work; it only compares.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use proto::command::{Command, command::Kind};
use raft::Storage;
use raft::eraftpb::Entry;

use super::random::{hash, mix};
use crate::consensus::core::{entry_origin, is_change};
use crate::consensus::log_view::LogView;

/// What a check says when a promise is broken.
pub type Checked = Result<(), String>;

fn ensure(good: bool, broken: impl FnOnce() -> String) -> Checked {
    if good { Ok(()) } else { Err(broken()) }
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Committed {
    term: u64,
    contents: u64,
    origin: (u64, u64),
}

/// See the module.
#[derive(Default)]
pub struct Ledger {
    leaders: BTreeMap<u64, u64>,
    /// Every entry that was ever in a log, by index and term: its contents, and the term of
    /// the entry before it.
    entries: BTreeMap<(u64, u64), (u64, u64)>,
    committed: BTreeMap<u64, Committed>,
    /// Where each proposal is in the log.
    places: BTreeMap<(u64, u64), u64>,
    acknowledged: BTreeSet<(u64, u64)>,
    replies: BTreeMap<u64, u64>,
    digests: BTreeMap<u64, u64>,
    /// A naive key space: each plain key's values by the index that wrote them.
    values: BTreeMap<Vec<u8>, BTreeMap<u64, Option<Vec<u8>>>>,
    /// Every read that begins now must see this index.
    floor: u64,
    pub reads: u64,
}

impl Ledger {
    /// At most one leader a term, and it has everything that is committed.
    pub fn leads(&mut self, member: u64, term: u64, log: &LogView) -> Checked {
        if let Some(other) = self.leaders.get(&term) {
            return ensure(*other == member, || {
                format!("members {other} and {member} both lead term {term}")
            });
        }
        self.leaders.insert(term, member);
        let first = log.first_index().unwrap_or(1);
        // Entries match by index and term, so the last one speaks for all before it.
        let Some((index, last)) = self.committed.last_key_value() else { return Ok(()) };
        if *index < first || last.term > term {
            return Ok(());
        }
        ensure(log.term(*index).is_ok_and(|term| term == last.term), || {
            format!("member {member} leads term {term} without the committed entry {index}")
        })
    }

    /// Entries went into a member's log, behind an entry of term `before`.
    pub fn appended(&mut self, member: u64, before: u64, entries: &[Entry]) -> Checked {
        let mut before = before;
        for entry in entries {
            let mine = (contents(entry), before);
            let known = *self.entries.entry((entry.index, entry.term)).or_insert(mine);
            ensure(known == mine, || {
                let (index, term) = (entry.index, entry.term);
                format!(
                    "member {member}: another entry {index} of term {term} than elsewhere: \
                     behind {} instead of {}, of {:?}",
                    before,
                    known.1,
                    entry_origin(entry)
                )
            })?;
            if let Some(committed) = self.committed.get(&entry.index) {
                ensure(entry.term <= committed.term || *committed == of(entry), || {
                    let (index, term) = (entry.index, entry.term);
                    format!(
                        "member {member}: entry {index} of term {term} would replace a committed one"
                    )
                })?;
            }
            before = entry.term;
        }
        Ok(())
    }

    /// A member learnt that an entry is committed.
    pub fn committed(&mut self, member: u64, entry: &Entry) -> Checked {
        let (mine, index) = (of(entry), entry.index);
        if let Some(known) = self.committed.get(&index) {
            return ensure(*known == mine, || {
                format!("member {member} has another committed entry at {index}")
            });
        }
        self.committed.insert(index, mine);
        if mine.origin != (0, 0) {
            let before = self.places.insert(mine.origin, index);
            ensure(before.is_none(), || {
                format!("proposal {:?} is in the log twice: at {before:?} and {index}", mine.origin)
            })?;
        }
        self.model(entry);
        Ok(())
    }

    fn model(&mut self, entry: &Entry) {
        if is_change(entry) || entry.data.is_empty() {
            return;
        }
        let command = Command::decode(entry.data.clone()).unwrap_or_default();
        let (key, value) = match command.kind {
            Some(Kind::Put(put)) => (put.key.to_vec(), Some(put.value.to_vec())),
            Some(Kind::DeleteRange(delete)) => (delete.key.to_vec(), None),
            _ => return,
        };
        if key.starts_with(b"plain") {
            self.values.entry(key).or_default().insert(entry.index, value);
        }
    }

    /// A member applied an entry.
    pub fn applied(&mut self, member: u64, index: u64, reply: u64) -> Checked {
        let known = *self.replies.entry(index).or_insert(reply);
        ensure(known == reply, || format!("member {member} applied entry {index} differently"))
    }

    /// The whole state of a member at an index.
    pub fn digest(&mut self, member: u64, index: u64, digest: u64) -> Checked {
        let known = *self.digests.entry(index).or_insert(digest);
        ensure(known == digest, || format!("member {member} is in another state at {index}"))
    }

    /// A client got the answer to its proposal.
    pub fn acknowledged(&mut self, origin: (u64, u64), index: u64) -> Checked {
        let place = self.places.get(&origin);
        ensure(place == Some(&index), || {
            format!("{origin:?} was acknowledged at {index}, but is at {place:?}")
        })?;
        let first = self.acknowledged.insert(origin);
        ensure(first, || format!("{origin:?} was acknowledged twice"))?;
        self.floor = self.floor.max(index);
        Ok(())
    }

    /// The index a read that begins now must at least see.
    pub fn floor(&self) -> u64 {
        self.floor
    }

    /// A linearizable read that began when the floor was `floor` was answered from a state at
    /// `applied`.
    pub fn read(
        &mut self,
        member: u64,
        floor: u64,
        applied: u64,
        key: &[u8],
        value: Option<&[u8]>,
    ) -> Checked {
        ensure(applied >= floor, || {
            format!("a stale read at member {member}: index {applied}, but {floor} was visible")
        })?;
        let expected = self
            .values
            .get(key)
            .and_then(|values| values.range(..=applied).next_back())
            .and_then(|(_, value)| value.as_deref());
        ensure(expected == value, || format!("member {member} read a wrong value at {applied}"))?;
        self.floor = self.floor.max(applied);
        self.reads += 1;
        Ok(())
    }

    pub fn last_committed(&self) -> u64 {
        self.committed.last_key_value().map_or(0, |(index, _)| *index)
    }

    pub fn acknowledgements(&self) -> usize {
        self.acknowledged.len()
    }

    pub fn terms(&self) -> usize {
        self.leaders.len()
    }

    /// A hash of all that happened.
    pub fn fingerprint(&self) -> u64 {
        let committed = self
            .committed
            .iter()
            .fold(0, |sum, (index, entry)| mix(sum ^ index ^ entry.contents ^ entry.term));
        let leaders = self.leaders.iter().fold(0, |sum, (term, leader)| mix(sum ^ term ^ leader));
        mix(committed ^ leaders.rotate_left(1) ^ self.reads ^ self.floor)
    }
}

fn contents(entry: &Entry) -> u64 {
    hash(&entry.data) ^ hash(&entry.context) ^ u64::from(is_change(entry))
}

fn of(entry: &Entry) -> Committed {
    Committed { term: entry.term, contents: contents(entry), origin: entry_origin(entry) }
}
