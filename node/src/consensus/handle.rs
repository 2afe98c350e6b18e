//! Consensus as the rest of the member uses it: propose, read, wait.
//!
//! A proposal's reply comes from *this* member's state machine when it applies the entry,
//! whoever the leader is; so a client that was answered finds its write at the member it
//! asked. Reads of many clients share one question to the leader.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot, watch};

use super::core::FollowerProgress;
use super::drive::{Input, Leadership, Progress};
use super::pending::Proposal;
use crate::machine::{ApplyError, Reply};
use crate::mailbox::Sender;

/// What came of a proposal.
#[derive(Debug)]
pub struct Outcome {
    pub reply: Result<Reply, ApplyError>,
    /// The store's revision after it was applied.
    pub revision: i64,
}

/// Why a request got no answer from the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsensusError {
    #[error("etcdserver: request timed out")]
    Timeout,
    /// Like [`ConsensusError::Timeout`], while or just after there was no leader.
    #[error("etcdserver: request timed out, possibly due to previous leader failure")]
    TimeoutLeaderFailure,
    #[error("etcdserver: server stopped")]
    Stopped,
    #[error("etcdserver: too many requests")]
    TooManyRequests,
    #[error("etcdserver: no leader")]
    NoLeader,
    #[error("etcdserver: leader changed")]
    LeaderChanged,
}

/// Committed entries that may wait to be applied before new requests are refused.
const APPLY_LAG_MAX: u64 = 5000;
/// The same for requests with priority.
const APPLY_LAG_MAX_PRIORITY: u64 = 10_000;
/// Proposals of this member under way at one time; more are refused.
const PROPOSALS_MAX: usize = 20_000;

type Slots = Mutex<HashMap<u64, oneshot::Sender<Outcome>>>;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    inner: Arc<Shared>,
}

struct Shared {
    inbox: Sender<Input>,
    slots: Arc<Slots>,
    next_id: AtomicU64,
    timeout: Duration,
    leadership: watch::Receiver<Leadership>,
    applied: watch::Receiver<u64>,
    progress: Arc<Progress>,
    reads: mpsc::UnboundedSender<oneshot::Sender<u64>>,
}

/// The applier's side of the slots.
#[derive(Clone)]
pub struct Replies(Arc<Slots>);

impl Replies {
    /// Answers whoever waits for proposal `id`.
    pub fn send(&self, id: u64, outcome: Outcome) {
        if let Some(waiting) = self.0.lock().remove(&id) {
            let _ = waiting.send(outcome);
        }
    }

    /// Whether anybody waits at all.
    pub fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// What a handle is made of.
pub struct Parts {
    pub inbox: Sender<Input>,
    pub timeout: Duration,
    pub leadership: watch::Receiver<Leadership>,
    pub applied: watch::Receiver<u64>,
    pub progress: Arc<Progress>,
    /// Answers to [`Input::Read`].
    pub answers: mpsc::UnboundedReceiver<(u64, Option<u64>)>,
}

/// Takes a slot out again when its request is dropped.
struct SlotGuard<'a>(&'a Slots, u64);

impl Drop for SlotGuard<'_> {
    fn drop(&mut self) {
        self.0.lock().remove(&self.1);
    }
}

impl Handle {
    /// A handle, and the side of it that the applier answers to. Must be called on the
    /// clients' runtime, where reads are gathered.
    pub fn new(parts: Parts, first_id: u64) -> (Self, Replies) {
        let slots = Arc::new(Slots::default());
        let (reads, waiting) = mpsc::unbounded_channel();
        let gate = ReadGate {
            inbox: parts.inbox.clone(),
            waiting,
            answers: parts.answers,
            leadership: parts.leadership.clone(),
            progress: parts.progress.clone(),
            // An answer to a question of an earlier life must not pass for one of this life.
            next_id: first_id,
        };
        tokio::spawn(gate.run());
        let shared = Shared {
            inbox: parts.inbox,
            slots: slots.clone(),
            next_id: AtomicU64::new(first_id),
            timeout: parts.timeout,
            leadership: parts.leadership,
            applied: parts.applied,
            progress: parts.progress,
            reads,
        };
        (Self { inner: Arc::new(shared) }, Replies(slots))
    }

    /// Proposes an encoded command and waits until this member has applied it.
    pub async fn propose(&self, data: Bytes) -> Result<Outcome, ConsensusError> {
        self.admit(APPLY_LAG_MAX)?;
        self.submit(data, false, None).await
    }

    /// Proposes what helps out of an overload, and is therefore let through longer.
    pub async fn propose_first(&self, data: Bytes) -> Result<Outcome, ConsensusError> {
        self.admit(APPLY_LAG_MAX_PRIORITY)?;
        self.submit(data, false, None).await
    }

    /// Proposes a change of membership.
    pub async fn change_members(&self, data: Bytes) -> Result<Outcome, ConsensusError> {
        self.submit(data, true, None).await
    }

    /// Proposes what only the leader of `term` may propose (the expiry of leases): in any
    /// other term it is dropped.
    pub async fn propose_in_term(&self, data: Bytes, term: u64) -> Result<Outcome, ConsensusError> {
        self.submit(data, false, Some(term)).await
    }

    fn admit(&self, lag_max: u64) -> Result<(), ConsensusError> {
        let shared = &self.inner;
        let commit = shared.progress.commit.load(Ordering::Relaxed);
        let lag = commit.saturating_sub(*shared.applied.borrow());
        if lag > lag_max || shared.slots.lock().len() >= PROPOSALS_MAX {
            return Err(ConsensusError::TooManyRequests);
        }
        Ok(())
    }

    async fn submit(
        &self,
        data: Bytes,
        member_change: bool,
        term: Option<u64>,
    ) -> Result<Outcome, ConsensusError> {
        let shared = &self.inner;
        let id = shared.next_id.fetch_add(1, Ordering::Relaxed);
        let (reply, outcome) = oneshot::channel();
        shared.slots.lock().insert(id, reply);
        let _guard = SlotGuard(&shared.slots, id);
        let proposal = Proposal { id, data, member_change };
        let input = match term {
            Some(term) => Input::ProposeInTerm { term, proposal },
            None => Input::Propose(proposal),
        };
        shared.inbox.send(input).map_err(|_| ConsensusError::Stopped)?;
        match tokio::time::timeout(shared.timeout, outcome).await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(_)) => Err(ConsensusError::Stopped),
            Err(_) => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> ConsensusError {
        ConsensusError::Timeout
    }

    /// Waits until a read of this member's state is linearizable: leadership has been
    /// confirmed since the call, and everything committed before is applied here.
    pub async fn linearize(&self) -> Result<(), ConsensusError> {
        let shared = &self.inner;
        let (reply, index) = oneshot::channel();
        shared.reads.send(reply).map_err(|_| ConsensusError::Stopped)?;
        let wait = async {
            let index = index.await.map_err(|_| ConsensusError::Stopped)?;
            self.wait_applied(index).await
        };
        match tokio::time::timeout(shared.timeout, wait).await {
            Ok(done) => done,
            Err(_) => Err(self.timed_out()),
        }
    }

    /// Waits until `index` is applied here.
    pub async fn wait_applied(&self, index: u64) -> Result<(), ConsensusError> {
        if *self.inner.applied.borrow() >= index {
            return Ok(());
        }
        let mut applied = self.inner.applied.clone();
        applied.wait_for(|at| *at >= index).await.map_err(|_| ConsensusError::Stopped)?;
        Ok(())
    }

    /// Who leads, now.
    pub fn leadership(&self) -> Leadership {
        *self.inner.leadership.borrow()
    }

    /// Changes of leadership as they come.
    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Applied index.
    pub fn applied(&self) -> u64 {
        *self.inner.applied.borrow()
    }

    /// The applied index as it moves.
    pub fn watch_applied(&self) -> watch::Receiver<u64> {
        self.inner.applied.clone()
    }

    /// Counters that the consensus thread keeps.
    pub fn progress(&self) -> &Progress {
        &self.inner.progress
    }

    /// The limit for requests that go through consensus.
    pub fn timeout(&self) -> Duration {
        self.inner.timeout
    }

    /// Asks the leader (this member) how far everybody is.
    pub async fn inspect(&self) -> Vec<FollowerProgress> {
        let (reply, progress) = oneshot::channel();
        if self.inner.inbox.send(Input::Inspect(reply)).is_err() {
            return Vec::new();
        }
        progress.await.unwrap_or_default()
    }

    /// Asks raft to hand leadership to `target`, and waits until it leads.
    pub async fn transfer(&self, target: u64) -> Result<(), ConsensusError> {
        let mut leadership = self.inner.leadership.clone();
        let _ = self.inner.inbox.send(Input::Transfer(target));
        let moved = leadership.wait_for(|now| now.leader == target);
        match tokio::time::timeout(self.inner.timeout, moved).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(ConsensusError::Stopped),
            Err(_) => Err(ConsensusError::TimeoutLeaderFailure),
        }
    }
}

/// Gathers the reads of many clients into one question at a time.
struct ReadGate {
    inbox: Sender<Input>,
    waiting: mpsc::UnboundedReceiver<oneshot::Sender<u64>>,
    answers: mpsc::UnboundedReceiver<(u64, Option<u64>)>,
    leadership: watch::Receiver<Leadership>,
    progress: Arc<Progress>,
    next_id: u64,
}

/// A question may be lost on its way; etcd asks again after the same time.
const READ_RETRY: Duration = Duration::from_millis(500);
/// Pause after a refusal, when there is no leader to ask.
const READ_PAUSE: Duration = Duration::from_millis(20);

impl ReadGate {
    async fn run(mut self) {
        let mut round = Vec::new();
        while self.waiting.recv_many(&mut round, usize::MAX).await > 0 {
            while !round.is_empty() {
                if let Some(index) = self.ask().await {
                    for waiting in round.drain(..) {
                        let _ = waiting.send(index);
                    }
                }
                round.retain(|waiting| !waiting.is_closed());
            }
        }
    }

    /// One question; `None` when it must be asked again.
    async fn ask(&mut self) -> Option<u64> {
        self.next_id += 1;
        let id = self.next_id;
        self.leadership.borrow_and_update();
        self.inbox.send(Input::Read(id)).ok()?;
        let answer = async {
            loop {
                match self.answers.recv().await {
                    Some((answered, index)) if answered == id => return index,
                    Some(_) => {}
                    // The consensus thread is gone; whoever waits runs into its time limit.
                    None => std::future::pending().await,
                }
            }
        };
        let answer = tokio::select! {
            biased;
            answer = tokio::time::timeout(READ_RETRY, answer) => answer,
            // Whoever was asked leads no more, and may be dead.
            Ok(()) = self.leadership.changed() => return None,
        };
        match answer {
            Ok(Some(index)) => Some(index),
            Ok(None) => {
                let _ = tokio::time::timeout(READ_PAUSE, self.leadership.changed()).await;
                None
            }
            Err(_) => {
                self.progress.slow_reads.fetch_add(1, Ordering::Relaxed);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_to_a_lost_leader_is_asked_again_as_soon_as_there_is_another() {
        let (inbox, asked) = crate::mailbox::mailbox();
        let asked = || {
            let mut questions = Vec::new();
            asked.take_until(&mut questions, std::time::Instant::now());
            questions
        };
        let (reads, waiting) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let lost = Leadership { leader: 2, term: 5, is_leader: false };
        let (leadership, watching) = watch::channel(lost);
        let gate = ReadGate {
            inbox,
            waiting,
            answers,
            leadership: watching,
            progress: Arc::default(),
            next_id: 0,
        };
        tokio::spawn(gate.run());
        let (reply, index) = oneshot::channel();
        reads.send(reply).unwrap();
        tokio::task::yield_now().await;
        assert!(matches!(asked()[..], [Input::Read(1)]));
        leadership.send_replace(Leadership { leader: 3, term: 6, is_leader: false });
        tokio::task::yield_now().await;
        // No time limit can have run out by now.
        assert!(matches!(asked()[..], [Input::Read(2)]));
        // What the first question is answered with after all counts no more.
        answer.send((1, Some(7))).unwrap();
        answer.send((2, Some(9))).unwrap();
        assert_eq!(index.await, Ok(9));
    }
}
