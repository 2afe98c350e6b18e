//! One member's part in consensus without its threads: where a proposal or a read goes, what
//! came back, and what is to be done next.
//!
//! Stands around [`RaftCore`] and is as pure: inputs are method calls, everything it wants
//! from the world is an [`Effect`]. The thread in [`super::drive`] carries effects out with
//! real queues; the simulation does the same with simulated ones, so what is tried there is
//! what runs here.
//!
//! # Invariants
//! * A proposal of term T is appended in term T by the leader of T, or by nobody. Whoever
//!   refuses it names T, however far terms have gone since: a refusal says "not in the log of
//!   T", and the proposer may since have sent the same proposal in a later term.
//! * A proposal is refused only when it is certainly not in the log.
//! * The log in memory is compacted only behind what is applied, and not behind a snapshot
//!   that is being made for, or sent to, a follower (unless it grows beyond its limit).

use prost::Message as _;
use proto::command::{MemberChange, member_change};
use proto::peer::{self, frame};
use raft::eraftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, Message, MessageType, SnapshotMetadata,
};

use super::core::{
    Actions, FollowerProgress, Persist, RaftCore, RaftError, RaftStatus, entry_origin,
};
use super::guard::Lost;
use super::pending::{Pending, Proposal};
use super::reads::Waiter;

/// How much of the log stays in memory.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Compact when more than this many applied entries (beyond `catch_up`) are held.
    pub snapshot_count: u64,
    /// Entries kept for followers that lag.
    pub catch_up: u64,
}

/// Bytes of entries kept in memory however few they are in number.
const LOG_BYTES_MAX: usize = 16 << 20;
/// The same while a follower is being sent a snapshot and will want what follows it.
const LOG_BYTES_MAX_SENDING: usize = 256 << 20;
/// Commands in one proposal message.
const PROPOSE_MAX: usize = 512;

/// What the world is asked to do, in this order.
pub enum Effect {
    /// Raft messages to other members. They may be lost.
    Send(Vec<Message>),
    /// A proposal to the leader. When it certainly will not get there, call
    /// [`Router::not_forwarded`].
    Forward { to: u64, proposal: peer::Proposal },
    /// Another frame to a member. It may be lost.
    Frame { to: u64, frame: frame::Kind },
    /// A record for the write-ahead log; [`Router::persisted`] when it is durable.
    Persist(Persist),
    /// A snapshot replaces the applied state, before any later entry.
    Install(SnapshotMetadata),
    /// Committed entries, in order; [`Router::applied`] when they are applied.
    Apply(Vec<Entry>),
    /// Make a snapshot of the applied state; [`Router::snapshot_built`] when it is there.
    BuildSnapshot,
    /// The answer to [`Router::read`]: an index, or a refusal.
    Answer { id: u64, index: Option<u64> },
    /// This member lacks what it acknowledged, and must end.
    Lost(Lost),
}

/// A proposal to be appended in its term or not at all.
struct Forwarded {
    origin: u64,
    term: u64,
    proposal: Proposal,
}

/// See the module.
pub struct Router {
    member: u64,
    core: RaftCore,
    pending: Pending,
    /// Proposals of other members, to be appended with our own.
    forwarded: Vec<Forwarded>,
    proposal_ticks: u64,
    retention: Retention,
    applied: u64,
    /// Oldest snapshot on its way to a follower.
    sending_from: Option<u64>,
    /// What was applied when the snapshot being made was asked for.
    building_from: Option<u64>,
    effects: Vec<Effect>,
}

impl Router {
    /// A member that has applied everything up to `applied`. Proposals are given up after
    /// `proposal_ticks`.
    pub fn new(
        member: u64,
        core: RaftCore,
        applied: u64,
        proposal_ticks: u64,
        retention: Retention,
    ) -> Self {
        Self {
            member,
            core,
            pending: Pending::default(),
            forwarded: Vec::new(),
            proposal_ticks,
            retention,
            applied,
            sending_from: None,
            building_from: None,
            effects: Vec::new(),
        }
    }

    /// A client's command or membership change, at this member.
    pub fn propose(&mut self, proposal: Proposal) {
        self.pending.add(proposal, self.proposal_ticks);
    }

    /// A command that is only valid while this member leads this very term.
    pub fn propose_in_term(&mut self, term: u64, proposal: Proposal) {
        if self.core.leads(term) {
            self.forwarded.push(Forwarded { origin: self.member, term, proposal });
        }
    }

    /// A linearizable read wants an index; answered by [`Effect::Answer`], or never when the
    /// question gets lost.
    pub fn read(&mut self, id: u64) {
        let status = self.core.status();
        if status.is_leader {
            self.core.read(Waiter::Local(id));
        } else if status.leader != 0 {
            let frame = frame::Kind::ReadAsk(peer::ReadIndexAsk { id });
            self.effects.push(Effect::Frame { to: status.leader, frame });
        } else {
            self.effects.push(Effect::Answer { id, index: None });
        }
    }

    /// A checked raft message.
    pub fn step(&mut self, message: Message) {
        self.core.step(message);
    }

    /// Another member's frame that is not a raft message.
    pub fn frame(&mut self, from: u64, frame: frame::Kind) {
        match frame {
            frame::Kind::Proposal(wire) => {
                let (id, term) = (wire.id, wire.term);
                if self.core.leads(term) {
                    let proposal =
                        Proposal { id, data: wire.data, member_change: wire.member_change };
                    self.forwarded.push(Forwarded { origin: from, term, proposal });
                } else {
                    self.refuse(from, id, term);
                }
            }
            frame::Kind::ProposalRefused(wire) => self.pending.not_sent(wire.id, wire.term),
            frame::Kind::ReadAsk(ask) => {
                let waiter = Waiter::Peer { member: from, id: ask.id };
                if self.core.is_leader() {
                    self.core.read(waiter);
                } else {
                    self.answer(waiter, None);
                }
            }
            frame::Kind::ReadAnswer(answer) => {
                let index = (!answer.refused).then_some(answer.index);
                self.effects.push(Effect::Answer { id: answer.id, index });
            }
            // Raft messages come checked, by `step`.
            frame::Kind::Raft(_) | frame::Kind::Probe(_) | frame::Kind::ProbeAnswer(_) => {}
        }
    }

    /// A proposal of [`Effect::Forward`] certainly did not leave.
    pub fn not_forwarded(&mut self, id: u64, term: u64) {
        self.pending.not_sent(id, term);
    }

    /// The record of this number, and all before it, are on disk.
    pub fn persisted(&mut self, number: u64) {
        self.core.persisted(number);
    }

    /// The state machine has applied everything up to `index`.
    pub fn applied(&mut self, index: u64) {
        self.applied = index;
        self.core.applied(index);
    }

    /// The state machine accepted a committed configuration change.
    pub fn apply_change(&mut self, change: &ConfChange) -> Result<ConfState, RaftError> {
        self.core.apply_change(change)
    }

    /// A snapshot file is there.
    pub fn snapshot_built(&mut self, meta: SnapshotMetadata) {
        self.building_from = None;
        self.core.log().set_snapshot(meta);
    }

    /// A snapshot could not be made; it is asked for again when needed.
    pub fn snapshot_failed(&mut self) {
        self.building_from = None;
    }

    /// What became of a snapshot on its way to a member.
    pub fn snapshot_sent(&mut self, member: u64, ok: bool) {
        self.sending_from = None;
        self.core.report_snapshot(member, ok);
    }

    /// Messages to a member were lost.
    pub fn unreachable(&mut self, member: u64) {
        self.core.report_unreachable(member);
    }

    /// Hand leadership to a member.
    pub fn transfer(&mut self, target: u64) {
        self.core.transfer(target);
    }

    /// One tick of the heartbeat clock.
    pub fn tick(&mut self) {
        self.core.tick();
        self.pending.tick();
    }

    /// After a batch of inputs: what follows from them.
    pub fn think(&mut self) {
        self.send_proposals();
        while let Some(actions) = self.core.poll() {
            self.follow(actions);
        }
        self.effects.extend(self.core.take_lost().map(Effect::Lost));
        self.keep_house();
    }

    /// What is to be done now, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// Where raft stands.
    pub fn status(&self) -> RaftStatus {
        self.core.status()
    }

    /// Every member's progress; empty unless leader.
    pub fn progress(&self) -> Vec<FollowerProgress> {
        self.core.progress()
    }

    /// Whether a change of leader is under way.
    pub fn transferring(&self) -> Option<u64> {
        self.core.transferring()
    }

    /// Proposals whose fate is open.
    pub fn pending_proposals(&self) -> usize {
        self.pending.len()
    }

    /// Raft itself, for those who watch it.
    #[cfg(test)]
    pub fn core(&mut self) -> &mut RaftCore {
        &mut self.core
    }

    fn refuse(&mut self, origin: u64, id: u64, term: u64) {
        if origin == self.member {
            self.pending.not_sent(id, term);
            return;
        }
        let frame = frame::Kind::ProposalRefused(peer::ProposalRefused { id, term });
        self.effects.push(Effect::Frame { to: origin, frame });
    }

    fn answer(&mut self, waiter: Waiter, index: Option<u64>) {
        self.effects.push(match waiter {
            Waiter::Local(id) => Effect::Answer { id, index },
            Waiter::Peer { member, id } => {
                let (index, refused) = (index.unwrap_or(0), index.is_none());
                let answer = peer::ReadIndexAnswer { id, index, refused };
                Effect::Frame { to: member, frame: frame::Kind::ReadAnswer(answer) }
            }
        });
    }

    /// Appends what waits, or passes it to the leader.
    fn send_proposals(&mut self) {
        let status = self.core.status();
        let (current, stale): (Vec<_>, Vec<_>) = std::mem::take(&mut self.forwarded)
            .into_iter()
            .partition(|forwarded| status.is_leader && forwarded.term == status.term);
        for forwarded in stale {
            self.refuse(forwarded.origin, forwarded.proposal.id, forwarded.term);
        }
        if status.is_leader {
            let mut all: Vec<_> = current
                .into_iter()
                .map(|forwarded| (forwarded.origin, forwarded.proposal))
                .collect();
            if self.pending.has_unsent() {
                let own = self.pending.take_unsent(status.term);
                all.extend(own.into_iter().map(|proposal| (self.member, proposal)));
            }
            self.append(all, status.term);
        } else if status.leader != 0 && self.pending.has_unsent() {
            for proposal in self.pending.take_unsent(status.term) {
                let Proposal { id, data, member_change } = proposal;
                let proposal = peer::Proposal { id, term: status.term, data, member_change };
                self.effects.push(Effect::Forward { to: status.leader, proposal });
            }
        }
    }

    fn append(&mut self, proposals: Vec<(u64, Proposal)>, term: u64) {
        let (changes, commands): (Vec<_>, Vec<_>) =
            proposals.into_iter().partition(|(_, proposal)| proposal.member_change);
        for chunk in commands.chunks(PROPOSE_MAX) {
            if !self.core.propose(chunk.iter().cloned()) {
                for (origin, proposal) in chunk {
                    self.refuse(*origin, proposal.id, term);
                }
            }
        }
        for (origin, proposal) in changes {
            let appended = conf_change(&proposal)
                .is_some_and(|change| self.core.propose_change(origin, proposal.id, change));
            if !appended {
                self.refuse(origin, proposal.id, term);
            }
        }
    }

    fn follow(&mut self, actions: Actions) {
        for message in &actions.send {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                let index = message.get_snapshot().get_metadata().index;
                self.sending_from = Some(self.sending_from.map_or(index, |from| from.min(index)));
            }
        }
        if !actions.send.is_empty() {
            self.effects.push(Effect::Send(actions.send));
        }
        self.effects.extend(actions.persist.map(Effect::Persist));
        if let Some(meta) = actions.install {
            self.pending.skipped_entries();
            self.effects.push(Effect::Install(meta));
        }
        if !actions.committed.is_empty() {
            for entry in &actions.committed {
                let (origin, id) = entry_origin(entry);
                if origin == self.member {
                    self.pending.committed(id);
                }
                self.pending.entry_of_term(entry.term);
            }
            self.effects.push(Effect::Apply(actions.committed));
        }
        for (waiter, index) in actions.reads {
            self.answer(waiter, Some(index));
        }
        for waiter in actions.refused_reads {
            self.answer(waiter, None);
        }
    }

    /// After each round: keep the log small, and a snapshot ready for who needs one.
    fn keep_house(&mut self) {
        if self.core.log().take_snapshot_wish() && self.building_from.is_none() {
            self.building_from = Some(self.applied);
            self.effects.push(Effect::BuildSnapshot);
        }
        self.compact_log();
    }

    fn compact_log(&mut self) {
        let applied = self.applied;
        let held = [self.sending_from, self.building_from].into_iter().flatten().min();
        let keep = self.retention.catch_up;
        let count_max = (self.retention.snapshot_count + keep) as usize;
        let bytes_max = if held.is_some() { LOG_BYTES_MAX_SENDING } else { LOG_BYTES_MAX };
        let log = self.core.log();
        let too_big = log.bytes() > bytes_max;
        if !too_big && log.len() <= count_max {
            return;
        }
        let by_count = applied.saturating_sub(keep);
        let mut index = by_count;
        if too_big {
            index = index.max(log.index_with_bytes_after(bytes_max / 2).min(applied));
        } else if let Some(from) = held {
            index = index.min(from);
        }
        log.compact(index.min(applied));
    }
}

fn conf_change(proposal: &Proposal) -> Option<ConfChange> {
    let change = MemberChange::decode(proposal.data.clone()).ok()?;
    let mut out = ConfChange {
        node_id: change.member_id,
        context: proposal.data.clone(),
        ..ConfChange::default()
    };
    out.set_change_type(match change.kind() {
        member_change::Kind::Remove => ConfChangeType::RemoveNode,
        member_change::Kind::Add if change.is_learner => ConfChangeType::AddLearnerNode,
        member_change::Kind::Add | member_change::Kind::Promote => ConfChangeType::AddNode,
        // New URLs are a command, not a change of raft's configuration.
        member_change::Kind::Update => return None,
    });
    Some(out)
}

#[cfg(test)]
mod tests {
    use raft::Storage;

    use super::super::core::tests::{leader, message};
    use super::*;

    /// Carries out what can be done at once; gives back the rest.
    fn settle(router: &mut Router) -> Vec<Effect> {
        let mut rest = Vec::new();
        router.think();
        let mut effects = router.take_effects();
        while !effects.is_empty() {
            for effect in effects {
                match effect {
                    Effect::Persist(persist) => router.persisted(persist.number),
                    Effect::Apply(entries) => {
                        entries.last().into_iter().for_each(|entry| router.applied(entry.index));
                    }
                    other => rest.push(other),
                }
            }
            router.think();
            effects = router.take_effects();
        }
        rest
    }

    fn commit_one(router: &mut Router, id: u64) {
        let data = bytes::Bytes::from_static(b"command");
        router.propose(Proposal { id, data, member_change: false });
        settle(router);
        let mut answer = message(MessageType::MsgAppendResponse, 2, 2);
        answer.index = router.status().last_index;
        router.step(answer);
        settle(router);
    }

    #[test]
    fn the_log_is_not_cut_behind_a_snapshot_that_is_being_made() {
        let retention = Retention { snapshot_count: 0, catch_up: 0 };
        let mut router = Router::new(1, leader(&[1, 2, 3]), 1, 50, retention);
        (1..4).for_each(|id| commit_one(&mut router, id));
        let index = router.status().commit;
        router.step(message(MessageType::MsgHeartbeatResponse, 3, 2));
        let asked = settle(&mut router);
        assert!(asked.iter().any(|effect| matches!(effect, Effect::BuildSnapshot)));
        // It takes its time, and writes go on.
        (4..20).for_each(|id| commit_one(&mut router, id));
        let mut meta = router.core().log().snapshot_meta().clone();
        meta.index = index;
        meta.term = router.core().log().term(index).expect("still in the log");
        router.snapshot_built(meta);
        router.step(message(MessageType::MsgHeartbeatResponse, 3, 2));
        let sent = settle(&mut router);
        let snapshot = sent.iter().any(|effect| match effect {
            Effect::Send(messages) => {
                messages.iter().any(|one| one.get_msg_type() == MessageType::MsgSnapshot)
            }
            _ => false,
        });
        assert!(snapshot, "or no snapshot would ever be new enough");
    }

    #[test]
    fn a_refusal_names_the_term_of_the_proposal() {
        let retention = Retention { snapshot_count: 10, catch_up: 10 };
        let mut router = Router::new(1, leader(&[1, 2, 3]), 1, 50, retention);
        let proposal = peer::Proposal { id: 7, term: 2, ..peer::Proposal::default() };
        router.frame(3, frame::Kind::Proposal(proposal));
        // In the same batch of inputs another member turns out to lead a later term, where
        // member 3 may have sent its proposal again already.
        router.step(message(MessageType::MsgHeartbeat, 2, 4));
        router.think();
        let refused = router.take_effects().into_iter().find_map(|effect| match effect {
            Effect::Frame { to: 3, frame: frame::Kind::ProposalRefused(refused) } => Some(refused),
            _ => None,
        });
        assert_eq!(refused, Some(peer::ProposalRefused { id: 7, term: 2 }));
    }
}
