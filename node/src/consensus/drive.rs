//! The shell around [`RaftCore`]: one thread, one loop.
//!
//! Everything that concerns raft comes in through one queue of [`Input`]. The loop takes all
//! that is there (that is the batching; there is no timer that waits for more), lets raft
//! think, and hands out what it wants done: messages to the transport, records to the
//! write-ahead log's thread, committed entries to the applier. It never waits for any of
//! them, so heartbeats leave in time whatever the disk or the state machine are doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use proto::command::{MemberChange, member_change};
use proto::peer::{self, frame};
use raft::eraftpb::{
    ConfChange, ConfChangeType, ConfState, Entry, Message, MessageType, SnapshotMetadata,
};
use tokio::sync::{mpsc, oneshot, watch};

use super::core::{Actions, FollowerProgress, Persist, RaftCore, entry_bytes, entry_origin};
use super::pending::{Pending, Proposal};
use super::reads::Waiter;
use super::transport::Transport;
use crate::mailbox::{Receiver, Sender};

/// What the consensus thread is told.
pub enum Input {
    /// A client's command or membership change, at this member.
    Propose(Proposal),
    /// A command that is only valid while this member leads this very term.
    ProposeInTerm { term: u64, proposal: Proposal },
    /// A linearizable read at this member wants an index; answered with this number.
    Read(u64),
    /// A checked raft message.
    Message(Message),
    /// Another member's frame that is not a raft message.
    Frame { from: u64, frame: frame::Kind },
    /// The log's thread has made this record durable.
    Persisted(u64),
    /// The applier is through with this index.
    Applied(u64),
    /// The applier accepted (or not) a committed configuration change.
    Change { change: Option<ConfChange>, done: crossbeam_channel::Sender<Option<ConfState>> },
    /// A snapshot file was made.
    SnapshotBuilt(SnapshotMetadata),
    /// A snapshot could not be made; ask again when needed.
    SnapshotFailed,
    /// What became of a snapshot on its way to a member.
    SnapshotSent { member: u64, ok: bool },
    /// Messages to a member were lost.
    Unreachable(u64),
    /// Hand leadership to a member.
    Transfer(u64),
    /// Progress of all members, asked on the leader.
    Inspect(oneshot::Sender<Vec<FollowerProgress>>),
    /// End the thread.
    Stop,
}

/// To the write-ahead log's thread.
pub enum LogJob {
    Persist(Persist),
    /// A snapshot file is complete: mark it, and let go of the log behind it.
    Snapshot {
        meta: SnapshotMetadata,
        release: u64,
        size: u64,
    },
    Stop,
}

/// To the applier.
pub enum ApplyJob {
    Entries(Vec<Entry>),
    Install(SnapshotMetadata),
    /// Make a snapshot file of the present state.
    Snapshot,
    Stop,
}

/// Who leads, as seen here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    pub leader: u64,
    pub term: u64,
    pub is_leader: bool,
}

/// What other threads read without asking.
#[derive(Default)]
pub struct Progress {
    pub commit: AtomicU64,
    pub last_index: AtomicU64,
    pub pending_proposals: AtomicU64,
    pub leader_changes: AtomicU64,
    pub transferee: AtomicU64,
}

/// How long things may take, in ticks of the heartbeat interval.
pub struct Timing {
    pub tick: Duration,
    pub proposal_ticks: u64,
}

/// How much of the log stays in memory.
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

/// The consensus thread's belongings.
pub struct Drive {
    pub member: u64,
    pub core: RaftCore,
    pub inbox: Receiver<Input>,
    pub transport: Arc<Transport>,
    pub log: Sender<LogJob>,
    pub applier: Sender<ApplyJob>,
    pub answers: mpsc::UnboundedSender<(u64, Option<u64>)>,
    pub leadership: watch::Sender<Leadership>,
    pub progress: Arc<Progress>,
    pub timing: Timing,
    pub retention: Retention,
    pub pending: Pending,
    pub applied: u64,
    /// Proposals of other members, to be appended with our own.
    pub forwarded: Vec<(u64, Proposal)>,
    /// Oldest snapshot on its way to a follower.
    pub sending_from: Option<u64>,
    pub building: bool,
}

impl Drive {
    /// Runs until told to stop.
    pub fn run(mut self) {
        let mut next_tick = Instant::now() + self.timing.tick;
        let mut inputs = Vec::new();
        loop {
            self.inbox.take_until(&mut inputs, next_tick);
            for input in inputs.drain(..) {
                if matches!(input, Input::Stop) {
                    return;
                }
                self.handle(input);
            }
            let now = Instant::now();
            if now >= next_tick {
                self.core.tick();
                self.pending.tick();
                // After a pause the missed ticks are gone: nobody is late for what happened
                // while we did not run.
                next_tick = now + self.timing.tick;
            }
            self.send_proposals();
            while let Some(actions) = self.core.poll() {
                self.perform(actions);
            }
            self.keep_house();
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Propose(proposal) => self.pending.add(proposal, self.timing.proposal_ticks),
            Input::ProposeInTerm { term, proposal } => {
                if self.core.leads(term) {
                    self.forwarded.push((self.member, proposal));
                }
            }
            Input::Read(id) => self.read(id),
            Input::Message(message) => self.core.step(message),
            Input::Frame { from, frame } => self.frame(from, frame),
            Input::Persisted(number) => self.core.persisted(number),
            Input::Applied(index) => {
                self.applied = index;
                self.core.applied(index);
            }
            Input::Change { change, done } => {
                let conf_state = change.and_then(|change| match self.core.apply_change(&change) {
                    Ok(conf_state) => Some(conf_state),
                    Err(error) => {
                        tracing::error!(%error, "a committed configuration change was refused");
                        None
                    }
                });
                let _ = done.send(conf_state);
            }
            Input::SnapshotBuilt(meta) => {
                self.building = false;
                self.core.log().set_snapshot(meta);
            }
            Input::SnapshotFailed => self.building = false,
            Input::SnapshotSent { member, ok } => {
                self.sending_from = None;
                self.core.report_snapshot(member, ok);
            }
            Input::Unreachable(member) => self.core.report_unreachable(member),
            Input::Transfer(target) => self.core.transfer(target),
            Input::Inspect(reply) => {
                let _ = reply.send(self.core.progress());
            }
            Input::Stop => {}
        }
    }

    fn read(&mut self, id: u64) {
        let status = self.core.status();
        if status.is_leader {
            self.core.read(Waiter::Local(id));
        } else if status.leader != 0 {
            let ask = frame::Kind::ReadAsk(peer::ReadIndexAsk { id });
            self.transport.send_frame(status.leader, ask);
        } else {
            let _ = self.answers.send((id, None));
        }
    }

    fn frame(&mut self, from: u64, frame: frame::Kind) {
        match frame {
            frame::Kind::Proposal(wire) => {
                let proposal =
                    Proposal { id: wire.id, data: wire.data, member_change: wire.member_change };
                if self.core.leads(wire.term) {
                    self.forwarded.push((from, proposal));
                } else {
                    self.refuse(from, wire.id, wire.term);
                }
            }
            frame::Kind::ProposalRefused(wire) => self.pending.not_sent(wire.id, wire.term),
            frame::Kind::ReadAsk(ask) => {
                if self.core.is_leader() {
                    self.core.read(Waiter::Peer { member: from, id: ask.id });
                } else {
                    self.answer_peer(from, ask.id, None);
                }
            }
            frame::Kind::ReadAnswer(answer) => {
                let index = (!answer.refused).then_some(answer.index);
                let _ = self.answers.send((answer.id, index));
            }
            // Raft messages come checked, by `Input::Message`; probes end at the transport.
            frame::Kind::Raft(_) | frame::Kind::Probe(_) | frame::Kind::ProbeAnswer(_) => {}
        }
    }

    fn refuse(&self, origin: u64, id: u64, term: u64) {
        let refused = frame::Kind::ProposalRefused(peer::ProposalRefused { id, term });
        self.transport.send_frame(origin, refused);
    }

    fn answer_peer(&self, member: u64, id: u64, index: Option<u64>) {
        let answer =
            peer::ReadIndexAnswer { id, index: index.unwrap_or(0), refused: index.is_none() };
        self.transport.send_frame(member, frame::Kind::ReadAnswer(answer));
    }

    fn answer(&self, waiter: Waiter, index: Option<u64>) {
        match waiter {
            Waiter::Local(id) => {
                let _ = self.answers.send((id, index));
            }
            Waiter::Peer { member, id } => self.answer_peer(member, id, index),
        }
    }

    /// Appends what waits, or passes it to the leader.
    fn send_proposals(&mut self) {
        let status = self.core.status();
        if status.is_leader {
            let mut all = std::mem::take(&mut self.forwarded);
            if self.pending.has_unsent() {
                let own = self.pending.take_unsent(status.term);
                all.extend(own.into_iter().map(|proposal| (self.member, proposal)));
            }
            self.append(all, status.term);
            return;
        }
        for (origin, proposal) in std::mem::take(&mut self.forwarded) {
            self.refuse_one(origin, &proposal, status.term);
        }
        if status.leader != 0 && self.pending.has_unsent() {
            for proposal in self.pending.take_unsent(status.term) {
                let wire = peer::Proposal {
                    id: proposal.id,
                    term: status.term,
                    data: proposal.data,
                    member_change: proposal.member_change,
                };
                if !self.transport.send_frame(status.leader, frame::Kind::Proposal(wire)) {
                    self.pending.not_sent(proposal.id, status.term);
                }
            }
        }
    }

    fn refuse_one(&mut self, origin: u64, proposal: &Proposal, term: u64) {
        if origin == self.member {
            self.pending.not_sent(proposal.id, term);
        } else {
            self.refuse(origin, proposal.id, term);
        }
    }

    fn append(&mut self, proposals: Vec<(u64, Proposal)>, term: u64) {
        let (changes, commands): (Vec<_>, Vec<_>) =
            proposals.into_iter().partition(|(_, proposal)| proposal.member_change);
        for chunk in commands.chunks(PROPOSE_MAX) {
            if !self.core.propose(chunk.iter().cloned()) {
                for (origin, proposal) in chunk {
                    self.refuse_one(*origin, proposal, term);
                }
            }
        }
        for (origin, proposal) in changes {
            let appended = conf_change(&proposal)
                .is_some_and(|change| self.core.propose_change(origin, proposal.id, change));
            if !appended {
                self.refuse_one(origin, &proposal, term);
            }
        }
    }

    fn perform(&mut self, mut actions: Actions) {
        for message in &actions.send {
            if message.get_msg_type() == MessageType::MsgSnapshot {
                let index = message.get_snapshot().get_metadata().index;
                self.sending_from = Some(self.sending_from.map_or(index, |from| from.min(index)));
            }
        }
        self.transport.send(std::mem::take(&mut actions.send));
        if let Some(persist) = actions.persist {
            let _ = self.log.send(LogJob::Persist(persist));
        }
        if let Some(meta) = actions.install {
            self.pending.skipped_entries();
            let _ = self.applier.send(ApplyJob::Install(meta));
        }
        if !actions.committed.is_empty() {
            for entry in &actions.committed {
                let (origin, id) = entry_origin(entry);
                if origin == self.member {
                    self.pending.committed(id);
                }
                self.pending.entry_of_term(entry.term);
            }
            let _ = self.applier.send(ApplyJob::Entries(actions.committed));
        }
        for (waiter, index) in actions.reads {
            self.answer(waiter, Some(index));
        }
        for waiter in actions.refused_reads {
            self.answer(waiter, None);
        }
    }

    /// After each round: tell the world, and keep the log small.
    fn keep_house(&mut self) {
        let status = self.core.status();
        let now =
            Leadership { leader: status.leader, term: status.term, is_leader: status.is_leader };
        self.leadership.send_if_modified(|seen| {
            if *seen == now {
                return false;
            }
            if now.leader != 0 && seen.leader != now.leader {
                self.progress.leader_changes.fetch_add(1, Ordering::Relaxed);
                tracing::info!(
                    leader = %format!("{:x}", now.leader),
                    term = now.term,
                    "elected leader"
                );
            }
            *seen = now;
            true
        });
        self.progress.commit.store(status.commit, Ordering::Relaxed);
        self.progress.last_index.store(status.last_index, Ordering::Relaxed);
        self.progress.pending_proposals.store(self.pending.len() as u64, Ordering::Relaxed);
        self.progress.transferee.store(self.core.transferring().unwrap_or(0), Ordering::Relaxed);
        if self.core.log().take_snapshot_wish() && !self.building {
            self.building = true;
            let _ = self.applier.send(ApplyJob::Snapshot);
        }
        self.compact_log();
    }

    fn compact_log(&mut self) {
        let applied = self.applied;
        let sending = self.sending_from;
        let keep = self.retention.catch_up;
        let count_max = (self.retention.snapshot_count + keep) as usize;
        let bytes_max = if sending.is_some() { LOG_BYTES_MAX_SENDING } else { LOG_BYTES_MAX };
        let log = self.core.log();
        let too_big = log.bytes() > bytes_max;
        if !too_big && log.len() <= count_max {
            return;
        }
        let by_count = applied.saturating_sub(keep);
        let mut index = by_count;
        if too_big {
            index = index.max(log.index_with_bytes_after(bytes_max / 2).min(applied));
        } else if let Some(from) = sending {
            index = index.min(from);
        }
        log.compact(index.min(applied));
    }
}

fn conf_change(proposal: &Proposal) -> Option<ConfChange> {
    let change = MemberChange::decode(proposal.data.clone()).ok()?;
    let mut out = ConfChange::default();
    out.node_id = change.member_id;
    out.set_change_type(match change.kind() {
        member_change::Kind::Remove => ConfChangeType::RemoveNode,
        member_change::Kind::Add if change.is_learner => ConfChangeType::AddLearnerNode,
        member_change::Kind::Add | member_change::Kind::Promote => ConfChangeType::AddNode,
        // New URLs are a command, not a change of raft's configuration.
        member_change::Kind::Update => return None,
    });
    out.context = proposal.data.clone();
    Some(out)
}

/// Bytes of a batch of entries.
pub fn batch_bytes(entries: &[Entry]) -> usize {
    entries.iter().map(entry_bytes).sum()
}
