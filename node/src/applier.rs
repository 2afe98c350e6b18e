//! The applier: one thread that applies committed entries, in order.
//!
//! It takes all entries that wait, applies them under one lock of the state, hands the
//! effects to the store as one batch, and only then tells watchers, clients and raft. What a
//! client is told has been decided by [`machine::apply`] alone; this thread adds durability
//! off the path (the store may lag) and delivery.
//!
//! It also makes and installs snapshots, because both need the state to stand still for a
//! moment: making one takes only the small tables here and leaves the records to a thread of
//! its own, which reads them from the store at the fixed revision.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use proto::command::{Command, MemberChange, member_change};
use raft::eraftpb::{ConfChange, ConfState, Entry, SnapshotMetadata};
use tokio::sync::watch;

use crate::auth::AuthEvent;
use crate::consensus::core::{entry_bytes, entry_origin, is_change};
use crate::consensus::drive::{ApplyJob, Input, LogJob};
use crate::consensus::handle::{Outcome, Replies};
use crate::kv::Change;
use crate::machine::{self, ApplyError, LeaseEvent, Position, Reply, side::SideChange};
use crate::mailbox::{Receiver, Sender};
use crate::member::Member;
use crate::metrics::op_name;
use crate::snapshots;
use crate::storage::store::{AppliedMark, Batch, Compaction, SideWrite};
use crate::v2;

/// Bytes of entries applied under one lock of the state.
const ROUND_BYTES: usize = 1 << 20;

/// The thread's belongings.
pub struct Applier {
    pub member: Arc<Member>,
    pub jobs: Receiver<ApplyJob>,
    pub inbox: Sender<Input>,
    pub log: Sender<LogJob>,
    pub replies: Replies,
    pub applied: watch::Sender<u64>,
    pub building: Arc<AtomicBool>,
}

/// Effects of one round, gathered.
#[derive(Default)]
struct Round {
    changes: Vec<Vec<Change>>,
    side: Vec<SideChange>,
    compaction: Option<Compaction>,
    leases: Vec<LeaseEvent>,
    auth: Vec<AuthEvent>,
    v2: Vec<v2::Outcome>,
    outcomes: Vec<(u64, Outcome)>,
}

impl Applier {
    /// Runs until told to stop. An error of the store ends the process: the state in memory
    /// would run away from the one on disk.
    pub fn run(self) {
        let mut jobs = Vec::new();
        loop {
            self.jobs.take(&mut jobs);
            let mut rest = jobs.drain(..).peekable();
            while let Some(job) = rest.next() {
                match job {
                    ApplyJob::Entries(mut entries) => {
                        gather(&mut entries, &mut rest);
                        self.entries(entries);
                    }
                    ApplyJob::Install(meta) => self.install(&meta),
                    ApplyJob::Snapshot => self.snapshot(),
                    ApplyJob::Stop => return,
                }
            }
            if let Some(why) = self.member.store.is_failed() {
                fatal(&format!("the applied state cannot be written: {why}"));
            }
        }
    }

    fn entries(&self, entries: Vec<Entry>) {
        let begin = Instant::now();
        let count = entries.len();
        let mut rest = entries.into_iter().peekable();
        while rest.peek().is_some() {
            let mut commands = Vec::new();
            while let Some(entry) = rest.next_if(|entry| !is_change(entry)) {
                commands.push(entry);
            }
            if !commands.is_empty() {
                self.commands(commands);
            }
            if let Some(entry) = rest.next() {
                self.change(&entry);
            }
        }
        let took = begin.elapsed();
        if took > self.member.config.slow.apply {
            machine_slow(&self.member, took, count);
        }
    }

    /// Applies commands and tells everybody.
    fn commands(&self, entries: Vec<Entry>) {
        let mut round = Round::default();
        let position = {
            let mut state = self.member.state.write();
            for entry in entries {
                state.applied.index = entry.index;
                state.applied.term = entry.term;
                self.command(&mut state, entry, &mut round);
            }
            state.applied.clone()
        };
        self.finish(round, &position);
    }

    fn command(&self, state: &mut machine::State, mut entry: Entry, round: &mut Round) {
        if entry.data.is_empty() {
            return; // a new leader's first entry
        }
        let (origin, id) = entry_origin(&entry);
        let applied = match Command::decode(std::mem::take(&mut entry.data)) {
            Ok(command) => self.timed(state, command),
            Err(_) => return self.reply(round, origin, id, Err(ApplyError::Unknown), state),
        };
        round.changes.extend(applied.changes);
        round.side.extend(applied.side);
        round.leases.extend(applied.leases);
        round.auth.extend(applied.auth);
        round.v2.extend(applied.v2);
        if let Some(revision) = applied.compacted {
            let keep = state.kv.keep_at(revision);
            round.compaction = Some(Compaction { revision, keep });
        }
        self.reply(round, origin, id, applied.reply, state);
    }

    fn timed(&self, state: &mut machine::State, command: Command) -> machine::Applied {
        let op = command.kind.as_ref().map_or("Unknown", op_name);
        let begin = Instant::now();
        let applied = machine::apply(state, &self.member.store, command);
        self.member.metrics.applied(op, &applied, begin.elapsed());
        applied
    }

    fn reply(
        &self,
        round: &mut Round,
        origin: u64,
        id: u64,
        reply: Result<Reply, ApplyError>,
        state: &machine::State,
    ) {
        if origin == self.member.id() {
            round.outcomes.push((id, Outcome { reply, revision: state.kv.revision() }));
        }
    }

    /// A change of membership: possible or not, raft must hear of it before anything after
    /// it is applied, and the configuration it answers with goes to disk with this entry.
    fn change(&self, entry: &Entry) {
        let mut round = Round::default();
        let (origin, id) = entry_origin(entry);
        let change = decode_change(entry);
        let mut position = self.member.state.read().applied.clone();
        position.index = entry.index;
        position.term = entry.term;
        let (outcome, before) = {
            let mut state = self.member.state.write();
            state.applied = position.clone();
            let id = change.as_ref().map_or(0, |(_, change)| change.member_id);
            let before = state.members.get(id).cloned();
            let outcome = match &change {
                Some((_, change)) => machine::change_members(&mut state, change),
                None => Err(crate::cluster::ClusterError::NotFound),
            };
            (outcome, before)
        };
        let accepted = outcome.is_ok();
        let reply = match outcome {
            Ok(rows) => {
                round.side = rows;
                Ok(Reply::Done)
            }
            Err(error) => Err(error.into()),
        };
        let for_raft = change.as_ref().filter(|_| accepted).map(|(conf, _)| conf.clone());
        if let Some(conf_state) = self.tell_raft(for_raft) {
            position.voters = conf_state.get_voters().to_vec();
            position.learners = conf_state.get_learners().to_vec();
            self.member.state.write().applied = position.clone();
        }
        {
            let state = self.member.state.read();
            self.reply(&mut round, origin, id, reply, &state);
        }
        self.finish(round, &position);
        self.member.members_changed();
        if let Some((_, change)) = change.filter(|_| accepted) {
            self.tell(&change, before);
            if change.kind() == member_change::Kind::Remove && change.member_id == self.member.id()
            {
                self.member.removed();
            }
        }
    }

    /// The change in the log, in etcd's words.
    fn tell(&self, change: &MemberChange, before: Option<crate::cluster::Member>) {
        let identity = &self.member.identity;
        let [cluster_id, local_member_id, id] =
            [identity.cluster_id, identity.member_id, change.member_id].map(|id| format!("{id:x}"));
        match change.kind() {
            member_change::Kind::Add => tracing::info!(
                cluster_id,
                local_member_id,
                added_peer_id = id,
                added_peer_peer_urls = ?change.peer_urls,
                added_peer_is_learner = change.is_learner,
                "added member"
            ),
            member_change::Kind::Remove => {
                let before = before.unwrap_or_default();
                tracing::info!(
                    cluster_id,
                    local_member_id,
                    removed_remote_peer_id = id,
                    removed_remote_peer_urls = ?before.peer_urls,
                    removed_remote_peer_is_learner = before.is_learner,
                    "removed member"
                );
            }
            member_change::Kind::Update => tracing::info!(
                cluster_id,
                local_member_id,
                updated_remote_peer_id = id,
                updated_remote_peer_urls = ?change.peer_urls,
                "updated member"
            ),
            member_change::Kind::Promote => {
                tracing::info!(
                    cluster_id,
                    local_member_id,
                    promoted_member_id = id,
                    "promote member"
                );
            }
        }
    }

    fn tell_raft(&self, change: Option<ConfChange>) -> Option<ConfState> {
        let (done, conf_state) = crossbeam_channel::bounded(1);
        self.inbox.send(Input::Change { change, done }).ok()?;
        conf_state.recv().ok().flatten()
    }

    fn finish(&self, round: Round, position: &Position) {
        if let Some(compaction) = &round.compaction {
            // Before any of it goes, whoever still needs it must hear.
            self.member.watchers.compacted(compaction.revision);
        }
        let batch = Batch {
            mark: self.mark(position),
            records: round.changes.iter().flatten().map(|change| change.record.clone()).collect(),
            side: round.side.into_iter().map(side_write).collect(),
            compaction: round.compaction,
        };
        if let Err(error) = self.member.store.enqueue(batch) {
            fatal(&error.to_string());
        }
        self.member.publish(&round.changes, &round.leases, &round.auth);
        self.member.v2.publish(&round.v2);
        self.applied.send_replace(position.index);
        for (id, outcome) in round.outcomes {
            self.replies.send(id, outcome);
        }
        let _ = self.inbox.send(Input::Applied(position.index));
    }

    fn mark(&self, position: &Position) -> AppliedMark {
        let state = self.member.state.read();
        snapshots::mark(position, state.kv.revision(), state.kv.compacted())
    }

    fn install(&self, meta: &SnapshotMetadata) {
        tracing::info!(
            incoming_leader_snapshot_index = meta.index,
            incoming_leader_snapshot_term = meta.term,
            "applying snapshot"
        );
        let metrics = &self.member.metrics;
        let begin = Instant::now();
        metrics.snapshots_installing.store(1, Ordering::Relaxed);
        let state = match snapshots::load(&self.member, meta.index, meta.term) {
            Ok(state) => state,
            Err(error) => fatal(&format!("a received snapshot cannot be installed: {error}")),
        };
        let position = state.applied.clone();
        let (revision, compacted) = (state.kv.revision(), state.kv.compacted());
        *self.member.state.write() = state;
        self.member.restored(revision, compacted);
        metrics.snapshots_installing.store(0, Ordering::Relaxed);
        metrics.snapshot_install.observe(begin.elapsed());
        self.applied.send_replace(position.index);
        let _ = self.inbox.send(Input::Applied(position.index));
        // The file and its marker let the log behind it go.
        let done = LogJob::Snapshot { meta: meta.clone(), release: meta.index, size: 0 };
        let _ = self.log.send(done);
    }

    fn snapshot(&self) {
        if self.building.swap(true, Ordering::AcqRel) {
            return;
        }
        let job = snapshots::begin(&self.member);
        let (inbox, log, building) = (self.inbox.clone(), self.log.clone(), self.building.clone());
        let member = self.member.clone();
        let spawned = std::thread::Builder::new().name("snapshot".to_owned()).spawn(move || {
            let begin = Instant::now();
            match job.write() {
                Ok((meta, size)) => {
                    member.metrics.snapshot_save.observe(begin.elapsed());
                    let release = meta.index;
                    tracing::info!(snapshot_index = release, "saved snapshot to disk");
                    let _ = log.send(LogJob::Snapshot { meta: meta.clone(), release, size });
                    let _ = inbox.send(Input::SnapshotBuilt(meta));
                }
                Err(error) => {
                    tracing::error!(%error, "making a snapshot failed");
                    let _ = inbox.send(Input::SnapshotFailed);
                }
            }
            building.store(false, Ordering::Release);
        });
        if let Err(error) = spawned {
            fatal(&format!("cannot start a thread: {error}"));
        }
    }
}

/// Takes further entries that wait already, up to what is applied under one lock.
fn gather(entries: &mut Vec<Entry>, jobs: &mut std::iter::Peekable<std::vec::Drain<'_, ApplyJob>>) {
    let mut bytes: usize = entries.iter().map(entry_bytes).sum();
    while bytes < ROUND_BYTES
        && let Some(ApplyJob::Entries(more)) =
            jobs.next_if(|job| matches!(job, ApplyJob::Entries(_)))
    {
        bytes += more.iter().map(entry_bytes).sum::<usize>();
        entries.extend(more);
    }
}

fn side_write(change: SideChange) -> SideWrite {
    SideWrite { table: change.table, key: change.key, value: change.value }
}

/// The change in an entry, as raft and as the state machine see it.
pub(crate) fn decode_change(entry: &Entry) -> Option<(ConfChange, MemberChange)> {
    let mut conf = ConfChange::default();
    protobuf::Message::merge_from_bytes(&mut conf, &entry.data).ok()?;
    let change = MemberChange::decode(conf.context.clone()).ok()?;
    Some((conf, change))
}

fn machine_slow(member: &Member, took: Duration, entries: usize) {
    crate::metrics::Metrics::count(&member.metrics.slow_applies);
    let expected_duration = member.config.slow.apply;
    tracing::warn!(?took, ?expected_duration, entries, "apply request took too long");
}

fn fatal(why: &str) -> ! {
    tracing::error!(error = why, "the member cannot go on");
    std::process::exit(1)
}
