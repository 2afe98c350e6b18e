//! The replicated state of a simulated member, with its store in memory.
//!
//! Uses the product's [`machine`]; a [`Saved`] state stands for a snapshot file as well as for
//! what the applied state's files held at some moment, and is read back the same way as
//! they are.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use prost::Message as _;
use proto::command::{Command, MemberChange};
use raft::eraftpb::{ConfChange, ConfState, Entry, SnapshotMetadata};

use super::random::{hash, mix};
use crate::kv::{History, HistoryError, KeyValue, Record, RecordKind, Revision};
use crate::machine::side::{self, SideChange};
use crate::machine::{self, ApplyError, Position, Reply, State};
use crate::snapshots;
use crate::storage::record_codec;

/// A state at rest.
pub struct Saved {
    pub position: Position,
    pub revision: i64,
    pub compacted: i64,
    records: Vec<Record>,
    rows: Vec<SideChange>,
}

impl Saved {
    /// Raft's view of it.
    pub fn meta(&self) -> SnapshotMetadata {
        let mut conf_state = ConfState::default();
        conf_state.set_voters(self.position.voters.clone());
        conf_state.set_learners(self.position.learners.clone());
        let Position { index, term, .. } = self.position;
        let mut meta = SnapshotMetadata { index, term, ..SnapshotMetadata::default() };
        meta.set_conf_state(conf_state);
        meta
    }

    /// The same contents under another place in the log: a store whose mark and contents were
    /// not written together.
    pub fn misplaced(&self, position: Position) -> Self {
        let (records, rows) = (self.records.clone(), self.rows.clone());
        Self { position, revision: self.revision, compacted: self.compacted, records, rows }
    }
}

#[derive(Default)]
struct Store(BTreeMap<Revision, Record>);

impl History for Store {
    fn put_at(&self, revision: Revision) -> Result<Option<Arc<KeyValue>>, HistoryError> {
        Ok(self.0.get(&revision).and_then(|record| match &record.kind {
            RecordKind::Put(value) => Some(value.clone()),
            RecordKind::Tombstone(_) => None,
        }))
    }
}

/// What an entry did.
pub struct Outcome {
    /// A hash of the reply and of where the store stood after it.
    pub reply: u64,
    /// A configuration change that raft must hear of.
    pub change: Option<(ConfChange, MemberChange)>,
}

/// See the module.
#[derive(Default)]
pub struct Applied {
    pub state: State,
    store: Store,
}

impl Applied {
    /// The state as it comes back from a snapshot file or from the applied state's files.
    pub fn load(saved: &Saved) -> Self {
        let mut applied = Self::default();
        for record in &saved.records {
            applied.state.kv.restore_record(record);
            applied.store.0.insert(record.revision, record.clone());
        }
        applied.state.kv.restore_marks(saved.revision, saved.compacted);
        applied.state.applied = saved.position.clone();
        let rows = side::decode_rows(&side::encode_rows(&saved.rows)).expect("rows just encoded");
        for row in rows {
            let value = row.value.unwrap_or_default();
            side::load(&mut applied.state, row.table, &row.key, &value).expect("rows just encoded");
        }
        snapshots::attach_leases(&mut applied.state);
        applied
    }

    pub fn save(&self) -> Rc<Saved> {
        Rc::new(Saved {
            position: self.state.applied.clone(),
            revision: self.state.kv.revision(),
            compacted: self.state.kv.compacted(),
            records: self.store.0.values().cloned().collect(),
            rows: side::dump(&self.state),
        })
    }

    /// Applies one entry as the applier does. The position's configuration is the caller's
    /// business: raft has a say in it.
    pub fn apply(&mut self, entry: &Entry, is_change: bool) -> Outcome {
        self.state.applied.index = entry.index;
        self.state.applied.term = entry.term;
        if is_change {
            return self.change(entry);
        }
        if entry.data.is_empty() {
            return self.outcome(Ok(Reply::Done), None);
        }
        let Ok(command) = Command::decode(entry.data.clone()) else {
            return self.outcome(Err(ApplyError::Unknown), None);
        };
        let done = machine::apply(&mut self.state, &self.store, command);
        for change in done.changes.iter().flatten() {
            self.store.0.insert(change.record.revision, change.record.clone());
        }
        if let Some(revision) = done.compacted {
            let keep = self.state.kv.keep_at(revision);
            self.store.0.retain(|at, _| at.main > revision || keep.contains(at));
        }
        self.outcome(done.reply, None)
    }

    fn change(&mut self, entry: &Entry) -> Outcome {
        let mut conf = ConfChange::default();
        protobuf::Message::merge_from_bytes(&mut conf, &entry.data).expect("our own change");
        let change = MemberChange::decode(conf.context.clone()).expect("our own change");
        match machine::change_members(&mut self.state, &change) {
            Ok(_) => self.outcome(Ok(Reply::Done), Some((conf, change))),
            Err(error) => self.outcome(Err(error.into()), None),
        }
    }

    fn outcome(
        &self,
        reply: Result<Reply, ApplyError>,
        change: Option<(ConfChange, MemberChange)>,
    ) -> Outcome {
        let text = format!("{reply:?}");
        let kv = &self.state.kv;
        let stand = mix(kv.revision().unsigned_abs()) ^ kv.compacted().unsigned_abs();
        Outcome { reply: hash(text.as_bytes()) ^ stand, change }
    }

    /// A hash of the whole state.
    pub fn digest(&self) -> u64 {
        let mut bytes = side::encode_rows(&side::dump(&self.state));
        for value in self.state.kv.current() {
            let record = Record {
                revision: Revision::new(value.mod_revision, 0),
                kind: RecordKind::Put(value.clone()),
            };
            record_codec::encode(&record, &mut bytes);
        }
        for record in self.store.0.values() {
            record_codec::encode(record, &mut bytes);
        }
        // Raft gives them in no order.
        let mut position = self.state.applied.clone();
        position.voters.sort_unstable();
        position.learners.sort_unstable();
        let conf = format!("{:?} {:?}", position.voters, position.learners);
        hash(&bytes) ^ hash(conf.as_bytes()) ^ mix(position.term)
    }
}
