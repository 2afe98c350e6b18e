//! The shell around [`Router`]: one thread, one loop.
//!
//! Everything that concerns raft comes in through one queue of [`Input`]. The loop takes all
//! that is there (that is the batching; there is no timer that waits for more), lets raft
//! think, and hands out what it wants done: messages to the transport, records to the
//! write-ahead log's thread, committed entries to the applier. It never waits for any of
//! them, so heartbeats leave in time whatever the disk or the state machine are doing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proto::peer::frame;
use raft::eraftpb::{ConfChange, ConfState, Entry, Message, SnapshotMetadata};
use tokio::sync::{mpsc, oneshot, watch};

use super::core::{FollowerProgress, Persist};
use super::pending::Proposal;
use super::router::{Effect, Router};
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
    /// Ticks of a leader that came more than a heartbeat late.
    pub late_heartbeats: AtomicU64,
    /// Questions for a read index that had to be asked again.
    pub slow_reads: AtomicU64,
}

/// The consensus thread's belongings.
pub struct Drive {
    pub router: Router,
    pub inbox: Receiver<Input>,
    pub transport: Arc<Transport>,
    pub log: Sender<LogJob>,
    pub applier: Sender<ApplyJob>,
    pub answers: mpsc::UnboundedSender<(u64, Option<u64>)>,
    pub leadership: watch::Sender<Leadership>,
    pub progress: Arc<Progress>,
    /// Between two heartbeats.
    pub tick: Duration,
}

impl Drive {
    /// Runs until told to stop.
    pub fn run(mut self) {
        let mut next_tick = Instant::now() + self.tick;
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
                if now - next_tick > self.tick && self.leadership.borrow().is_leader {
                    self.progress.late_heartbeats.fetch_add(1, Ordering::Relaxed);
                }
                self.router.tick();
                // After a pause the missed ticks are gone: nobody is late for what happened
                // while we did not run.
                next_tick = now + self.tick;
            }
            self.router.think();
            for effect in self.router.take_effects() {
                self.perform(effect);
            }
            self.publish();
        }
    }

    fn handle(&mut self, input: Input) {
        let router = &mut self.router;
        match input {
            Input::Propose(proposal) => router.propose(proposal),
            Input::ProposeInTerm { term, proposal } => router.propose_in_term(term, proposal),
            Input::Read(id) => router.read(id),
            Input::Message(message) => router.step(message),
            Input::Frame { from, frame } => router.frame(from, frame),
            Input::Persisted(number) => router.persisted(number),
            Input::Applied(index) => router.applied(index),
            Input::Change { change, done } => {
                let conf_state = change.and_then(|change| match router.apply_change(&change) {
                    Ok(conf_state) => Some(conf_state),
                    Err(error) => {
                        tracing::error!(%error, "a committed configuration change was refused");
                        None
                    }
                });
                let _ = done.send(conf_state);
            }
            Input::SnapshotBuilt(meta) => router.snapshot_built(meta),
            Input::SnapshotFailed => router.snapshot_failed(),
            Input::SnapshotSent { member, ok } => router.snapshot_sent(member, ok),
            Input::Unreachable(member) => router.unreachable(member),
            Input::Transfer(target) => router.transfer(target),
            Input::Inspect(reply) => {
                let _ = reply.send(router.progress());
            }
            Input::Stop => {}
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Send(messages) => self.transport.send(messages),
            Effect::Forward { to, proposal } => {
                let (id, term) = (proposal.id, proposal.term);
                if !self.transport.send_frame(to, frame::Kind::Proposal(proposal)) {
                    self.router.not_forwarded(id, term);
                }
            }
            Effect::Frame { to, frame } => {
                self.transport.send_frame(to, frame);
            }
            Effect::Persist(persist) => {
                let _ = self.log.send(LogJob::Persist(persist));
            }
            Effect::Install(meta) => {
                let _ = self.applier.send(ApplyJob::Install(meta));
            }
            Effect::Apply(entries) => {
                let _ = self.applier.send(ApplyJob::Entries(entries));
            }
            Effect::BuildSnapshot => {
                let _ = self.applier.send(ApplyJob::Snapshot);
            }
            Effect::Lost(lost) => self.transport.lost(lost),
            Effect::Answer { id, index } => {
                let _ = self.answers.send((id, index));
            }
        }
    }

    /// After each round: tell the world.
    fn publish(&mut self) {
        let status = self.router.status();
        let now =
            Leadership { leader: status.leader, term: status.term, is_leader: status.is_leader };
        self.leadership.send_if_modified(|seen| {
            if *seen == now {
                return false;
            }
            if now.leader != 0 && seen.leader != now.leader {
                self.progress.leader_changes.fetch_add(1, Ordering::Relaxed);
            }
            tell(self.transport.identity.member_id, seen.leader, now);
            *seen = now;
            true
        });
        self.progress.commit.store(status.commit, Ordering::Relaxed);
        self.progress.last_index.store(status.last_index, Ordering::Relaxed);
        self.progress
            .pending_proposals
            .store(self.router.pending_proposals() as u64, Ordering::Relaxed);
        self.progress.transferee.store(self.router.transferring().unwrap_or(0), Ordering::Relaxed);
    }
}

/// A change of leader in the log, in etcd's words.
fn tell(own: u64, before: u64, now: Leadership) {
    let Leadership { leader, term, .. } = now;
    match (before, leader) {
        (before, leader) if before == leader => {}
        (0, leader) => {
            tracing::info!("raft.node: {own:x} elected leader {leader:x} at term {term}")
        }
        (before, 0) => tracing::info!("raft.node: {own:x} lost leader {before:x} at term {term}"),
        (before, leader) => {
            tracing::info!(
                "raft.node: {own:x} changed leader from {before:x} to {leader:x} at term {term}"
            );
        }
    }
}
