//! Raft as a pure state machine: events in, [`Actions`] out.
//!
//! Wraps the raft crate's `RawNode` with asynchronous Ready handling (thesis 10.2.1: the
//! leader sends entries to followers while it writes them to its own disk). What it keeps:
//!
//! * messages of a leader may leave at once; messages of anybody else leave only after what
//!   they promise is on disk ([`Persist::after`]);
//! * entries are handed out for applying only once committed *and* on this member's disk
//!   (raft crate 0.7 counts no entry of ours before [`RaftCore::persisted`]);
//! * `applied` never runs ahead of what is persisted;
//! * a message that would make the raft crate panic never reaches it ([`guard`]).
//!
//! It knows no clock, disk or network, and commands are opaque bytes.

use bytes::Bytes;
use raft::eraftpb::{
    ConfChange, ConfState, Entry, EntryType, HardState, Message, MessageType, Snapshot,
    SnapshotMetadata,
};
use raft::{RawNode, SnapshotStatus, StateRole};

use super::configuration::Configuration;
use super::guard::{self, Lost};
use super::log_view::LogView;
pub use super::log_view::entry_bytes;
use super::pending::Proposal;
use super::reads::{ReadRounds, Waiter};

/// What raft wants done after one round of events.
#[derive(Default)]
pub struct Actions {
    /// To other members, now.
    pub send: Vec<Message>,
    /// To the write-ahead log, in order.
    pub persist: Option<Persist>,
    /// A snapshot to install before anything of `committed`.
    pub install: Option<SnapshotMetadata>,
    /// To the state machine, in order.
    pub committed: Vec<Entry>,
    /// Reads that may run once this index is applied.
    pub reads: Vec<(Waiter, u64)>,
    /// Reads this member cannot confirm: it is not the leader (any more).
    pub refused_reads: Vec<Waiter>,
}

/// One record for the write-ahead log.
pub struct Persist {
    /// Hand this back to [`RaftCore::persisted`] when it is on disk.
    pub number: u64,
    /// Entries to append, replacing any conflicting tail.
    pub entries: Vec<Entry>,
    /// New hard state, in the same record.
    pub hard_state: Option<HardState>,
    /// The log starts over behind this snapshot.
    pub snapshot: Option<SnapshotMetadata>,
    /// Needs an fdatasync before `after` may leave.
    pub must_sync: bool,
    /// Messages that promise what this record holds.
    pub after: Vec<Message>,
}

/// What others want to know of raft.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RaftStatus {
    pub leader: u64,
    pub is_leader: bool,
    pub term: u64,
    pub commit: u64,
    pub last_index: u64,
}

/// How far a follower has got, as its leader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerProgress {
    pub member: u64,
    pub matched: u64,
    pub recently_active: bool,
}

/// See the module.
pub struct RaftCore {
    node: RawNode<LogView>,
    reads: ReadRounds,
    last_hard_state: HardState,
    outstanding: u64,
    applied: u64,
    was_leader: bool,
    configuration: Configuration,
    /// The record with the present term and vote, until it is on disk.
    term_record: Option<u64>,
    lost: Option<Lost>,
}

/// The raft crate refused; the member cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("raft: {0}")]
pub struct RaftError(#[from] raft::Error);

impl RaftCore {
    /// A member that continues from `log`, applied up to `config.applied`.
    pub fn new(
        config: &raft::Config,
        log: LogView,
        logger: &slog::Logger,
    ) -> Result<Self, RaftError> {
        let node = RawNode::new(config, log, logger)?;
        let last_hard_state = node.raft.hard_state();
        let configuration = Configuration::new(node.raft.prs().conf().to_conf_state());
        Ok(Self {
            node,
            reads: ReadRounds::default(),
            last_hard_state,
            outstanding: 0,
            applied: config.applied,
            was_leader: false,
            configuration,
            term_record: None,
            lost: None,
        })
    }

    /// One tick of the heartbeat clock.
    pub fn tick(&mut self) {
        if guard::is_installing(&self.node) {
            self.node.raft.election_elapsed = 0;
        }
        self.node.tick();
        self.reads.tick();
    }

    /// Begins an election at once.
    pub fn campaign(&mut self) {
        let _ = self.node.campaign();
    }

    /// Brings the first election nearer, as if `ticks` had passed without a leader.
    pub fn advance_election(&mut self, ticks: usize) {
        self.node.raft.election_elapsed += ticks;
    }

    /// Fixes the election timeout that raft has drawn from the thread's random numbers.
    #[cfg(test)]
    pub fn pin_election_timeout(&mut self, ticks: usize) {
        self.node.raft.set_randomized_election_timeout(ticks);
    }

    /// A message from another member, already checked by the message filter; what raft would
    /// panic on is left out.
    pub fn step(&mut self, message: Message) {
        self.lost = self.lost.or(guard::lost(&self.node, &message));
        if let Some(message) = guard::admit(&self.node, message) {
            let _ = self.node.step(message);
        }
    }

    /// What this member turned out to have lost; told once. It must not go on: what it
    /// acknowledged may be committed on the strength of its word.
    pub fn take_lost(&mut self) -> Option<Lost> {
        self.lost.take()
    }

    /// Appends proposals of any member to the log. False: nothing was appended, and nothing
    /// will be (no leader, a transfer under way, or too much uncommitted).
    pub fn propose(&mut self, proposals: impl IntoIterator<Item = (u64, Proposal)>) -> bool {
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.from = self.node.raft.id;
        let entries: Vec<Entry> = proposals
            .into_iter()
            .map(|(origin, proposal)| {
                let context = entry_context(origin, proposal.id);
                Entry { data: proposal.data, context, ..Entry::default() }
            })
            .collect();
        if entries.is_empty() {
            return true;
        }
        message.set_entries(entries.into());
        self.node.raft.step(message).is_ok()
    }

    /// Appends a configuration change. False: not now (another one is not applied yet, or we
    /// cannot propose at all).
    pub fn propose_change(&mut self, origin: u64, id: u64, change: ConfChange) -> bool {
        // Raft would silently put an empty entry in its place.
        if self.node.raft.has_pending_conf() {
            return false;
        }
        let context = entry_context(origin, id).to_vec();
        self.node.propose_conf_change(context, change).is_ok()
    }

    /// The state machine accepted a committed configuration change.
    ///
    /// When raft has taken a snapshot in the meantime, its configuration has the change
    /// already ([`Configuration`]).
    pub fn apply_change(&mut self, change: &ConfChange) -> Result<ConfState, RaftError> {
        if guard::is_installing(&self.node) {
            self.configuration.change(change);
        } else {
            self.configuration.set(self.node.apply_conf_change(change)?);
        }
        Ok(self.configuration.current().clone())
    }

    /// A linearizable read; answered in [`Actions::reads`] or [`Actions::refused_reads`].
    pub fn read(&mut self, waiter: Waiter) {
        self.reads.ask(waiter);
    }

    /// The record of this number, and all before it, are on disk.
    pub fn persisted(&mut self, number: u64) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.term_record.take_if(|record| *record <= number);
        if guard::leads_as_stranger(&self.node) {
            return;
        }
        self.node.on_persist_ready(number);
        self.advance_applied();
    }

    /// The state machine has applied everything up to `index`.
    pub fn applied(&mut self, index: u64) {
        self.applied = self.applied.max(index);
        self.configuration.applied(index);
        self.advance_applied();
    }

    fn advance_applied(&mut self) {
        let log = &self.node.raft.raft_log;
        let index = self.applied.min(log.persisted).min(log.committed);
        if index > log.applied {
            self.node.advance_apply_to(index);
        }
    }

    /// Asks `target` to take over.
    pub fn transfer(&mut self, target: u64) {
        self.node.transfer_leader(target);
    }

    /// What became of a snapshot sent to `member`.
    pub fn report_snapshot(&mut self, member: u64, ok: bool) {
        let status = if ok { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        self.node.report_snapshot(member, status);
    }

    /// Messages to `member` were lost.
    pub fn report_unreachable(&mut self, member: u64) {
        self.node.report_unreachable(member);
    }

    /// The in-memory log.
    pub fn log(&mut self) -> &mut LogView {
        self.node.mut_store()
    }

    /// Whether this member may propose for `term`.
    pub fn leads(&self, term: u64) -> bool {
        self.is_leader() && self.node.raft.term == term
    }

    /// Whether this member believes it leads.
    pub fn is_leader(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// Bytes proposed and not committed.
    pub fn uncommitted_bytes(&self) -> usize {
        self.node.raft.uncommitted_size()
    }

    /// Whether a change of leader is under way.
    pub fn transferring(&self) -> Option<u64> {
        self.node.raft.lead_transferee
    }

    /// Where raft stands.
    pub fn status(&self) -> RaftStatus {
        let raft = &self.node.raft;
        RaftStatus {
            leader: raft.leader_id,
            is_leader: raft.state == StateRole::Leader,
            term: raft.term,
            commit: raft.raft_log.committed,
            last_index: raft.raft_log.last_index(),
        }
    }

    /// Every member's progress; empty unless leader.
    pub fn progress(&self) -> Vec<FollowerProgress> {
        if !self.is_leader() {
            return Vec::new();
        }
        self.node
            .raft
            .prs()
            .iter()
            .map(|(member, progress)| FollowerProgress {
                member: *member,
                matched: progress.matched,
                recently_active: progress.recent_active,
            })
            .collect()
    }

    /// The next thing to do, if any. Call until `None`.
    pub fn poll(&mut self) -> Option<Actions> {
        let mut actions = Actions::default();
        self.run_reads(&mut actions);
        if !self.node.has_ready() {
            let idle = actions.refused_reads.is_empty();
            return (!idle).then_some(actions);
        }
        let mut ready = self.node.ready();
        for state in ready.take_read_states() {
            let waiters = self.reads.confirmed(&state.request_ctx);
            actions.reads.extend(waiters.into_iter().map(|waiter| (waiter, state.index)));
        }
        let mut persist = Persist {
            number: ready.number(),
            entries: ready.take_entries(),
            hard_state: None,
            snapshot: None,
            must_sync: ready.must_sync(),
            after: ready.take_persisted_messages(),
        };
        if ready.snapshot() != &Snapshot::default() {
            let meta = ready.snapshot().get_metadata().clone();
            self.node.mut_store().install(&meta);
            actions.install = Some(meta.clone());
            self.configuration.installs(meta.index, meta.get_conf_state().clone());
            persist.snapshot = Some(meta);
        }
        if let Some(hard_state) = ready.hs() {
            let last = &self.last_hard_state;
            if (hard_state.term, hard_state.vote) != (last.term, last.vote) {
                self.term_record = Some(persist.number);
            }
            self.last_hard_state = hard_state.clone();
            self.node.mut_store().set_hard_state(hard_state);
        }
        self.node.mut_store().append(&persist.entries);
        actions.send = ready.take_messages();
        if self.term_record.is_some() {
            // A single voter leads before its vote is on disk. If it were lost, the same term
            // would begin again with other entries; so learners must not see any yet.
            persist.after.append(&mut actions.send);
        }
        actions.committed = ready.take_committed_entries();
        self.node.advance_append_async(ready);
        self.place_persist(persist, &mut actions);
        Some(actions)
    }

    /// Sends a record to the log, or finishes it here when nothing needs the disk.
    fn place_persist(&mut self, mut persist: Persist, actions: &mut Actions) {
        if !persist.must_sync {
            // A heartbeat's answer promises nothing that could be lost.
            let now =
                |message: &mut Message| message.get_msg_type() == MessageType::MsgHeartbeatResponse;
            actions.send.extend(persist.after.extract_if(.., now));
        }
        let writes = !persist.entries.is_empty() || persist.must_sync || persist.snapshot.is_some();
        if writes {
            // The commit index alone is not worth a write; it goes with the next record.
            persist.hard_state = Some(self.last_hard_state.clone());
        }
        if writes || self.outstanding > 0 {
            self.outstanding += 1;
            actions.persist = Some(persist);
        } else {
            actions.send.append(&mut persist.after);
            if !guard::leads_as_stranger(&self.node) {
                self.node.on_persist_ready(persist.number);
                self.advance_applied();
            }
        }
    }

    fn run_reads(&mut self, actions: &mut Actions) {
        let leads = self.is_leader();
        if !leads {
            if self.was_leader || !self.reads.is_idle() {
                actions.refused_reads = self.reads.refuse_all();
            }
            self.was_leader = false;
            return;
        }
        if !self.was_leader {
            // Rounds of an earlier term of ours are void.
            actions.refused_reads = self.reads.refuse_all();
            self.was_leader = true;
        }
        let raft = &self.node.raft;
        // Raft drops reads silently before its first commit of the term; and TiKV's history
        // says to refuse them during a transfer.
        if !raft.commit_to_current_term() || raft.lead_transferee.is_some() {
            return;
        }
        let (term, id) = (raft.term, raft.id);
        if let Some(context) = self.reads.begin(term, id) {
            self.node.read_index(context);
        }
    }
}

/// Who proposed an entry: the member and its counter.
pub fn entry_context(origin: u64, id: u64) -> Bytes {
    Bytes::copy_from_slice(&[origin.to_be_bytes(), id.to_be_bytes()].concat())
}

/// Reads what [`entry_context`] wrote; (0, 0) for raft's own entries.
pub fn entry_origin(entry: &Entry) -> (u64, u64) {
    let number = |at: usize| {
        entry.context.get(at..at + 8).map_or(0, |bytes| {
            bytes.iter().fold(0u64, |value, byte| (value << 8) | u64::from(*byte))
        })
    };
    (number(0), number(8))
}

/// Whether an entry changes the configuration.
pub fn is_change(entry: &Entry) -> bool {
    entry.get_entry_type() != EntryType::EntryNormal
}

#[cfg(test)]
pub mod tests;
