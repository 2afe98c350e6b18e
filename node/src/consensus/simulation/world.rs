//! The simulated world: virtual time, a queue of events, a network, and members that meet
//! nothing but these.
//!
//! One seed is one history. Nothing here reads a clock or a random number from outside, and
//! raft's own (it draws election timeouts from the thread's generator) is pinned at every tick.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proto::command::member_change;
use proto::peer::{self, frame};
use raft::Storage;
use raft::eraftpb::{ConfState, Entry, Message, MessageType, Snapshot, SnapshotMetadata};

use super::Fault;
use super::applied::{Applied, Saved};
use super::disk::{Disk, Job};
use super::ledger::{Checked, Ledger};
use super::node::{Input, Node, Running, Work};
use super::random::{Random, mix};
use crate::cluster::{Member, Members};
use crate::consensus::core::{entry_origin, is_change};
use crate::consensus::message;
use crate::consensus::router::{Effect, Retention};
use crate::machine::{Position, State};

/// Time between two ticks of a member.
pub const TICK: u64 = 10;
/// How long a client waits, in ticks.
pub const PROPOSAL_TICKS: u64 = 50;
/// etcd asks for a read index again after half a second.
const READ_RETRY: u64 = 5 * TICK;
const READ_PAUSE: u64 = 2;
/// A removed member ends this much later.
const REMOVED_GRACE: u64 = 10 * TICK;
/// No history is this long, unless something never comes to an end.
const EVENTS_MAX: u64 = 500_000;

/// What stays the same through one history.
#[derive(Clone)]
pub struct Settings {
    pub seed: u64,
    pub founders: u64,
    pub retention: Retention,
    pub proposal_ticks: u64,
    pub fault: Option<Fault>,
    /// One thing after the other goes wrong: quick restarts, slow disks, close elections.
    pub storm: bool,
    small_messages: bool,
}

impl Settings {
    pub fn of(seed: u64, fault: Option<Fault>) -> Self {
        let mut random = Random::new(seed ^ 0x5e77);
        let founders = random.pick(&[1, 2, 3, 3, 3, 3, 5]);
        let (snapshot_count, catch_up) = random.pick(&[(0, 0), (4, 2), (4, 2), (30, 10), (500, 50)]);
        Self {
            seed,
            founders,
            retention: Retention { snapshot_count, catch_up },
            proposal_ticks: PROPOSAL_TICKS,
            fault,
            storm: random.chance(400),
            small_messages: random.chance(300),
        }
    }

    pub fn fault_is(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub fn raft_config(&self, id: u64, applied: u64) -> raft::Config {
        raft::Config {
            id,
            election_tick: 10,
            heartbeat_tick: 1,
            applied,
            max_size_per_msg: if self.small_messages { 100 } else { 1 << 20 },
            max_inflight_msgs: if self.small_messages { 4 } else { 256 },
            check_quorum: true,
            pre_vote: true,
            batch_append: true,
            max_uncommitted_size: 1 << 20,
            max_committed_size_per_ready: if self.small_messages { 200 } else { 16 << 20 },
            ..raft::Config::default()
        }
    }
}

/// What travels between members.
#[derive(Clone)]
pub enum Packet {
    Raft(peer::RaftMessage),
    Frame(frame::Kind),
    Snapshot { message: peer::RaftMessage, saved: Rc<Saved> },
}

/// What happens at a moment.
pub enum Event {
    Tick { node: u64, life: u64 },
    Wake { node: u64, life: u64 },
    Deliver { from: u64, to: u64, packet: Packet },
    Synced { node: u64, life: u64 },
    Apply { node: u64, life: u64 },
    SnapshotWritten { node: u64, life: u64, saved: Rc<Saved> },
    SnapshotReported { node: u64, life: u64, member: u64, ok: bool },
    ReadTimeout { node: u64, life: u64, id: u64 },
    AskAgain { node: u64, life: u64, id: u64 },
    Start(u64),
    Leave(u64),
    Clients,
    Weather,
}

impl Event {
    /// Whom it happens to, in which life, and a number for its kind.
    fn subject(&self) -> (u64, u64, u64) {
        match self {
            Self::Tick { node, life } => (*node, *life, 1),
            Self::Wake { node, life } => (*node, *life, 2),
            Self::Deliver { to, .. } => (*to, 0, 3),
            Self::Synced { node, life } => (*node, *life, 4),
            Self::Apply { node, life } => (*node, *life, 6),
            Self::SnapshotWritten { node, life, .. } => (*node, *life, 7),
            Self::SnapshotReported { node, life, .. } => (*node, *life, 8),
            Self::ReadTimeout { node, life, .. } => (*node, *life, 9),
            Self::AskAgain { node, life, .. } => (*node, *life, 10),
            Self::Start(node) => (*node, 0, 11),
            Self::Leave(node) => (*node, 0, 12),
            Self::Clients => (0, 0, 13),
            Self::Weather => (0, 0, 14),
        }
    }
}

/// How rough the network is, in thousandths.
#[derive(Clone, Copy, Default)]
pub struct Roughness {
    pub loss: u64,
    pub twice: u64,
    pub late: u64,
}

/// See the module.
pub struct World {
    pub settings: Settings,
    pub now: u64,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    happened: u64,
    pub random: Random,
    pub nodes: BTreeMap<u64, Node>,
    /// Who cannot be heard by whom.
    pub blocked: BTreeSet<(u64, u64)>,
    pub roughness: Roughness,
    pub ledger: Ledger,
    /// Raft messages of the past, to be heard again.
    pub past: Vec<(u64, u64, Packet)>,
    pub calm: bool,
    pub writes: u64,
    /// The operator removes one member at a time.
    pub next_removal: u64,
    pub trace: u64,
}

fn founder(id: u64) -> Member {
    Member { id, peer_urls: vec![format!("http://{id}")], ..Member::default() }
}

impl World {
    /// A cluster that has just been founded.
    pub fn new(settings: Settings) -> Self {
        let ids: Vec<u64> = (1..=settings.founders).collect();
        let members = Members::new(1, ids.iter().map(|id| founder(*id)));
        let mut state = State { members: members.clone(), ..State::default() };
        state.applied = Position { index: 1, term: 1, voters: ids.clone(), learners: Vec::new() };
        let mut first = Applied::default();
        first.state = state;
        let saved = first.save();
        let storm = Roughness { loss: 30, twice: 100, late: 200 };
        let mut world = Self {
            roughness: if settings.storm { storm } else { Roughness::default() },
            random: Random::new(settings.seed),
            settings,
            now: 0,
            events: BTreeMap::new(),
            sequence: 0,
            happened: 0,
            nodes: BTreeMap::new(),
            blocked: BTreeSet::new(),
            ledger: Ledger::default(),
            past: Vec::new(),
            calm: false,
            writes: 0,
            next_removal: 0,
            trace: 0,
        };
        for id in ids {
            world.nodes.insert(id, Node::new(id, Disk::founded(saved.clone()), members.clone()));
            world.after(0, Event::Start(id));
        }
        world.after(5, Event::Clients);
        world.after(20 * TICK, Event::Weather);
        world
    }

    /// Something will happen in `delay`.
    pub fn after(&mut self, delay: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((self.now + delay, self.sequence), event);
    }

    /// Lets everything happen up to a moment.
    pub fn run_until(&mut self, end: u64) -> Checked {
        while let Some(next) = self.events.first_entry() {
            let (time, _) = *next.key();
            if time > end {
                break;
            }
            let event = next.remove();
            self.now = time;
            self.happened += 1;
            if self.happened > EVENTS_MAX {
                return Err(format!("more than {EVENTS_MAX} events: the cluster runs in circles"));
            }
            let (node, life, kind) = event.subject();
            self.trace = mix(self.trace ^ time ^ (node << 32) ^ (kind << 48));
            if let Some(member) = self.nodes.get(&node) {
                if life != 0 && (life != member.life || !member.runs()) {
                    continue;
                }
                if member.paused_until > self.now && !matches!(event, Event::Start(_)) {
                    let wait = member.paused_until - self.now + self.random.between(0, 3);
                    self.after(wait, event);
                    continue;
                }
            }
            self.happen(event)?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Tick { node, life } => {
                self.after(TICK, Event::Tick { node, life });
                self.running(node).tick_due = true;
                self.wake(node, 0);
                self.reconnect_sometimes(node);
            }
            Event::Wake { node, .. } => return self.think(node),
            Event::Deliver { from, to, packet } => self.deliver(from, to, packet),
            Event::Synced { node, .. } => return self.synced(node),
            Event::Apply { node, .. } => return self.apply(node),
            Event::SnapshotWritten { node, saved, .. } => self.snapshot_written(node, saved),
            Event::SnapshotReported { node, member, ok, .. } => {
                self.input(node, Input::SnapshotSent { member, ok });
            }
            Event::ReadTimeout { node, id, .. } | Event::AskAgain { node, id, .. } => {
                if self.running(node).gate.asked == Some(id) {
                    self.ask(node);
                }
            }
            Event::Start(node) => return self.start(node),
            Event::Leave(node) => {
                self.kill(node);
                self.member(node).gone = true;
            }
            Event::Clients => self.clients(),
            Event::Weather => self.weather(),
        }
        Ok(())
    }

    /// A member that exists.
    pub fn member(&mut self, node: u64) -> &mut Node {
        self.nodes.get_mut(&node).expect("events name members that exist")
    }

    /// The process of a member that runs.
    pub fn running(&mut self, node: u64) -> &mut Running {
        self.member(node).run.as_mut().expect("events of a process that does not run are void")
    }

    fn start(&mut self, node: u64) -> Checked {
        let settings = self.settings.clone();
        let member = self.member(node);
        if member.gone || member.runs() {
            return Ok(());
        }
        member.disk.forgets_votes = settings.fault_is(Fault::VoteNotWritten);
        member.start(&settings)?;
        if !member.runs() {
            return Ok(());
        }
        let life = member.life;
        let applied = &self.running(node).applied;
        let (index, digest) = (applied.state.applied.index, applied.digest());
        self.ledger.digest(node, index, digest)?;
        let first = self.random.between(1, TICK + 1);
        self.after(first, Event::Tick { node, life });
        self.wake(node, 0);
        Ok(())
    }

    /// Ends a process as `kill -9` does.
    pub fn kill(&mut self, node: u64) {
        let random = &mut self.random;
        let Some(member) = self.nodes.get_mut(&node).filter(|member| member.runs()) else { return };
        member.run = None;
        member.paused_until = 0;
        member.disk.crash(random);
    }

    /// Something for a member's consensus thread.
    pub fn input(&mut self, node: u64, input: Input) {
        if self.member(node).runs() {
            self.running(node).inbox.push_back(input);
            self.wake(node, 1);
        }
    }

    fn wake(&mut self, node: u64, within: u64) {
        let life = self.member(node).life;
        if !std::mem::replace(&mut self.running(node).wakes, true) {
            let delay = self.random.between(0, within + 1);
            self.after(delay, Event::Wake { node, life });
        }
    }

    /// One round of the consensus thread.
    fn think(&mut self, node: u64) -> Checked {
        let (seed, storm) = (self.settings.seed, self.settings.storm);
        let spread = if storm { 3 } else { 10 };
        let run = self.running(node);
        run.wakes = false;
        while let Some(input) = self.running(node).inbox.pop_front() {
            self.handle(node, input)?;
        }
        let life = self.member(node).life;
        let run = self.running(node);
        if std::mem::take(&mut run.tick_due) {
            run.ticks += 1;
            let draw = mix(seed ^ (node << 40) ^ (life << 20) ^ (run.ticks / 20));
            run.router.core().pin_election_timeout(10 + (draw % spread) as usize);
            run.router.tick();
        }
        run.router.think();
        let effects = run.router.take_effects();
        for effect in effects {
            self.perform(node, effect)?;
        }
        self.resend_if_faulty(node);
        let run = self.nodes.get_mut(&node).and_then(|member| member.run.as_mut());
        if let Some(run) = run {
            let status = run.router.status();
            if status.is_leader {
                self.ledger.leads(node, status.term, run.router.core().log())?;
            }
        }
        Ok(())
    }

    fn handle(&mut self, node: u64, input: Input) -> Checked {
        let unconfirmed = self.settings.fault_is(Fault::ReadUnconfirmed);
        let run = self.running(node);
        let router = &mut run.router;
        match input {
            Input::Propose(proposal) => {
                run.remembered.insert(proposal.id, proposal.clone());
                router.propose(proposal);
            }
            Input::ProposeInTerm { term, proposal } => router.propose_in_term(term, proposal),
            Input::Read(id) if unconfirmed && router.status().is_leader => {
                let commit = router.status().commit;
                self.answered(node, id, Some(commit))?;
            }
            Input::Read(id) => router.read(id),
            Input::Message(message) => router.step(message),
            Input::Frame { from, frame } => router.frame(from, frame),
            Input::Persisted(number) => router.persisted(number),
            Input::Applied(index) => router.applied(index),
            Input::Change(change) => {
                let conf_state = match &change {
                    Some((conf, _)) => {
                        Some(router.apply_change(conf).map_err(|error| error.to_string())?)
                    }
                    None => None,
                };
                return self.changed(node, conf_state, change.map(|(_, change)| change));
            }
            Input::SnapshotBuilt(meta) => router.snapshot_built(meta),
            Input::SnapshotSent { member, ok } => router.snapshot_sent(member, ok),
            Input::Unreachable(member) => router.unreachable(member),
            Input::Transfer(target) => router.transfer(target),
        }
        Ok(())
    }

    fn perform(&mut self, node: u64, effect: Effect) -> Checked {
        match effect {
            Effect::Send(messages) => self.send(node, messages),
            Effect::Forward { to, proposal } => {
                let (id, term) = (proposal.id, proposal.term);
                if !self.send_frame(node, to, frame::Kind::Proposal(proposal)) {
                    self.running(node).router.not_forwarded(id, term);
                }
            }
            Effect::Frame { to, mut frame } => {
                if let frame::Kind::ProposalRefused(refused) = &mut frame
                    && self.settings.fault_is(Fault::RefusedInLaterTerm)
                {
                    refused.term = self.running(node).router.status().term;
                }
                self.send_frame(node, to, frame);
            }
            Effect::Persist(mut persist) => {
                let log = self.running(node).router.core().log();
                let before = match persist.entries.first() {
                    Some(first) => log.term(first.index - 1).map_err(|error| error.to_string())?,
                    None => 0,
                };
                if self.settings.fault_is(Fault::AckBeforePersist) {
                    self.send(node, std::mem::take(&mut persist.after));
                    self.input(node, Input::Persisted(persist.number));
                }
                self.member(node).disk.queue.push_back(Job::Persist(persist, before));
                self.begin_sync(node);
            }
            Effect::Install(meta) => self.work(node, Work::Install(meta)),
            Effect::Apply(entries) => {
                for entry in entries {
                    self.committed(node, entry)?;
                }
            }
            Effect::BuildSnapshot => self.work(node, Work::Snapshot),
            Effect::Answer { id, index } => return self.answered(node, id, index),
        }
        Ok(())
    }

    /// Plants a fault: a member that learns of a new term sends what is open again at once.
    fn resend_if_faulty(&mut self, node: u64) {
        if !self.settings.fault_is(Fault::ResendAtOnce) {
            return;
        }
        let run = self.running(node);
        let status = run.router.status();
        if status.leader != 0 && status.term != run.seen_term {
            run.seen_term = status.term;
            let open: Vec<_> = run.remembered.values().cloned().collect();
            for proposal in open {
                run.router.propose(proposal);
            }
        }
    }

    fn committed(&mut self, node: u64, entry: Entry) -> Checked {
        self.ledger.committed(node, &entry)?;
        let early = self.settings.fault_is(Fault::AckBeforePersist);
        let (index, term) = (entry.index, entry.term);
        if !early && !self.member(node).disk.holds(index, term) {
            return Err(format!("member {node} applies entry {index} that it could still lose"));
        }
        let run = self.running(node);
        if std::mem::take(&mut run.skip_next) {
            return Ok(());
        }
        self.work(node, Work::Entry(entry));
        Ok(())
    }

    // The log's thread.

    fn begin_sync(&mut self, node: u64) {
        let (now, life) = (self.now, self.member(node).life);
        if !self.member(node).disk.begin_sync() {
            return;
        }
        let slow = self.member(node).slow_disk_until > now;
        let took = if slow {
            self.random.between(5, 200)
        } else if self.settings.storm && !self.calm {
            self.random.between(0, 20)
        } else {
            self.random.between(0, 3)
        };
        self.after(took, Event::Synced { node, life });
    }

    fn synced(&mut self, node: u64) -> Checked {
        let early = self.settings.fault_is(Fault::AckBeforePersist);
        let random = &mut self.random;
        let jobs = match self.nodes.get_mut(&node) {
            Some(member) => member.disk.end_sync(random),
            None => Vec::new(),
        };
        for job in jobs {
            let Job::Persist(persist, before) = job else {
                self.member(node).disk.prune();
                continue;
            };
            self.ledger.appended(node, before, &persist.entries)?;
            if !early {
                self.input(node, Input::Persisted(persist.number));
            }
            self.send(node, persist.after);
        }
        if self.random.chance(10) {
            self.work(node, Work::Snapshot);
        }
        self.begin_sync(node);
        Ok(())
    }

    // The applier.

    fn work(&mut self, node: u64, work: Work) {
        self.running(node).work.push_back(work);
        self.begin_work(node);
    }

    fn begin_work(&mut self, node: u64) {
        let (now, life) = (self.now, self.member(node).life);
        let slow = self.member(node).slow_apply_until > now;
        let run = self.running(node);
        if run.applier_busy || run.at_change.is_some() || run.work.is_empty() {
            return;
        }
        run.applier_busy = true;
        let took = if slow {
            self.random.between(5, 100)
        } else {
            self.random.between(0, 2)
        };
        self.after(took, Event::Apply { node, life });
    }

    fn apply(&mut self, node: u64) -> Checked {
        self.running(node).applier_busy = false;
        let batch = self.random.between(1, 30);
        let mut applied = None;
        for _ in 0..batch {
            match self.running(node).work.pop_front() {
                Some(Work::Entry(entry)) => {
                    // Raft hears of what is applied before it is asked for a change.
                    if is_change(&entry)
                        && let Some(index) = applied.take()
                    {
                        self.input(node, Input::Applied(index));
                    }
                    self.apply_entry(node, &entry)?;
                    if is_change(&entry) {
                        break;
                    }
                    applied = Some(entry.index);
                }
                Some(Work::Install(meta)) => applied = Some(self.install(node, &meta)?),
                Some(Work::Snapshot) => self.begin_snapshot(node),
                None => break,
            }
        }
        if let Some(index) = applied {
            self.input(node, Input::Applied(index));
            self.save_sometimes(node);
        }
        self.finish_reads(node)?;
        self.begin_work(node);
        Ok(())
    }

    fn apply_entry(&mut self, node: u64, entry: &Entry) -> Checked {
        let run = self.running(node);
        let at = run.applied.state.applied.index;
        if entry.index != at + 1 && !self.settings.fault_is(Fault::SkipAfterSnapshot) {
            return Err(format!("member {node} applies entry {} after {at}", entry.index));
        }
        let run = self.running(node);
        let outcome = run.applied.apply(entry, is_change(entry));
        self.ledger.applied(node, entry.index, outcome.reply)?;
        if is_change(entry) {
            self.running(node).at_change = Some(entry_origin(entry));
            self.input(node, Input::Change(outcome.change));
            return Ok(());
        }
        if entry.index.is_multiple_of(8) {
            let digest = self.running(node).applied.digest();
            self.ledger.digest(node, entry.index, digest)?;
        }
        self.reply(node, entry_origin(entry), entry.index)
    }

    fn reply(&mut self, node: u64, origin: (u64, u64), index: u64) -> Checked {
        let now = self.now;
        if origin.0 != node {
            return Ok(());
        }
        self.running(node).remembered.remove(&origin.1);
        match self.running(node).clients.remove(&origin.1) {
            Some(deadline) if now <= deadline => self.ledger.acknowledged(origin, index),
            _ => Ok(()),
        }
    }

    /// Raft has answered to a configuration change that the applier is at.
    fn changed(
        &mut self,
        node: u64,
        conf_state: Option<ConfState>,
        change: Option<proto::command::MemberChange>,
    ) -> Checked {
        let run = self.running(node);
        let origin = run.at_change.take().unwrap_or_default();
        if let Some(conf_state) = conf_state {
            run.applied.state.applied.voters = conf_state.get_voters().to_vec();
            run.applied.state.applied.learners = conf_state.get_learners().to_vec();
        }
        run.links = run.applied.state.members.clone();
        let links = run.links.clone();
        let index = run.applied.state.applied.index;
        if let Some(change) = change {
            match change.kind() {
                member_change::Kind::Remove if change.member_id == node => {
                    self.after(REMOVED_GRACE, Event::Leave(node));
                }
                member_change::Kind::Add if !self.nodes.contains_key(&change.member_id) => {
                    let joiner = Node::new(change.member_id, Disk::default(), links);
                    self.nodes.insert(change.member_id, joiner);
                    let delay = self.random.between(0, 20 * TICK);
                    self.after(delay, Event::Start(change.member_id));
                }
                _ => {}
            }
        }
        self.reply(node, origin, index)?;
        self.input(node, Input::Applied(index));
        self.finish_reads(node)?;
        self.begin_work(node);
        Ok(())
    }

    fn save_sometimes(&mut self, node: u64) {
        // A change is written with the configuration that raft made of it, or not at all.
        let in_between = self.running(node).at_change.is_some();
        if in_between || !self.random.chance(150) {
            return;
        }
        let ahead = self.settings.fault_is(Fault::MarkAheadOfState);
        let saved = self.running(node).applied.save();
        let disk = &mut self.member(node).disk;
        disk.saved = match disk.saved.take() {
            Some(before) if ahead => Some(Rc::new(before.misplaced(saved.position.clone()))),
            _ => Some(saved),
        };
    }

    fn install(&mut self, node: u64, meta: &SnapshotMetadata) -> Result<u64, String> {
        let skip = self.settings.fault_is(Fault::SkipAfterSnapshot);
        let place = (meta.index, meta.term);
        let member = self.member(node);
        let saved = member.disk.snapshots.get(&place).cloned();
        let saved = saved.ok_or_else(|| format!("member {node}: snapshot {place:?} is not there"))?;
        member.disk.saved = None;
        member.disk.queue.push_back(Job::Snapshot { meta: meta.clone(), release: meta.index });
        let run = self.running(node);
        run.applied = Applied::load(&saved);
        run.links = run.applied.state.members.clone();
        run.skip_next = skip;
        let digest = run.applied.digest();
        self.ledger.digest(node, meta.index, digest)?;
        self.begin_sync(node);
        Ok(meta.index)
    }

    fn begin_snapshot(&mut self, node: u64) {
        let life = self.member(node).life;
        let run = self.running(node);
        if std::mem::replace(&mut run.building, true) {
            return;
        }
        let saved = run.applied.save();
        let took = self.random.between(1, 50);
        self.after(took, Event::SnapshotWritten { node, life, saved });
    }

    fn snapshot_written(&mut self, node: u64, saved: Rc<Saved>) {
        let meta = saved.meta();
        let disk = &mut self.member(node).disk;
        disk.publish(saved);
        disk.queue.push_back(Job::Snapshot { meta: meta.clone(), release: meta.index });
        self.running(node).building = false;
        self.begin_sync(node);
        self.input(node, Input::SnapshotBuilt(meta));
    }

    // The network.

    fn send(&mut self, from: u64, messages: Vec<Message>) {
        for mut message in messages {
            let to = message.to;
            if message.get_msg_type() == MessageType::MsgSnapshot {
                let meta = message.take_snapshot().take_metadata();
                self.send_snapshot(from, message::to_wire(message), (meta.index, meta.term));
                continue;
            }
            let packet = Packet::Raft(message::to_wire(message));
            if !self.transmit(from, to, packet.clone()) {
                self.input(from, Input::Unreachable(to));
                continue;
            }
            let Roughness { twice, .. } = self.roughness;
            if self.random.chance(twice) {
                self.transmit(from, to, packet.clone());
            }
            if !self.calm && self.random.chance(20) {
                self.past.push((from, to, packet));
            }
        }
    }

    fn send_frame(&mut self, from: u64, to: u64, frame: frame::Kind) -> bool {
        self.transmit(from, to, Packet::Frame(frame))
    }

    /// False when the sender knows that it will not arrive.
    fn transmit(&mut self, from: u64, to: u64, packet: Packet) -> bool {
        if self.running(from).links.get(to).is_none() {
            return false;
        }
        if self.blocked.contains(&(from, to)) {
            return self.random.chance(500);
        }
        let Roughness { loss, late, .. } = self.roughness;
        if self.random.chance(loss) {
            return true;
        }
        let delay = if self.random.chance(late) {
            self.random.between(3, 60)
        } else {
            self.random.between(0, 3)
        };
        self.after(delay, Event::Deliver { from, to, packet });
        true
    }

    fn send_snapshot(&mut self, from: u64, message: peer::RaftMessage, place: (u64, u64)) {
        let (life, to) = (self.member(from).life, message.to);
        let saved = self.member(from).disk.snapshots.get(&place).cloned();
        let lost = self.blocked.contains(&(from, to)) || self.random.chance(self.roughness.loss);
        let delay = self.random.between(2, 60);
        match saved {
            Some(saved) if !lost => {
                let packet = Packet::Snapshot { message, saved };
                self.after(delay, Event::Deliver { from, to, packet });
            }
            _ => {
                let failed = Event::SnapshotReported { node: from, life, member: to, ok: false };
                self.after(delay, failed);
            }
        }
    }

    fn deliver(&mut self, from: u64, to: u64, packet: Packet) {
        let heard = self.greets(from, to);
        if let Packet::Snapshot { .. } = &packet
            && let Some(sender) = self.nodes.get(&from)
        {
            let life = sender.life;
            let told = Event::SnapshotReported { node: from, life, member: to, ok: heard };
            self.after(1, told);
        }
        if !heard {
            return;
        }
        match packet {
            Packet::Frame(frame) => self.input(to, Input::Frame { from, frame }),
            Packet::Raft(wire) => {
                if let Ok(message) = message::check(wire, from, to) {
                    self.input(to, Input::Message(message));
                }
            }
            Packet::Snapshot { message, saved } => {
                let Ok(mut message) = message::check(message, from, to) else { return };
                let mut snapshot = Snapshot::default();
                snapshot.set_metadata(saved.meta());
                message.set_snapshot(snapshot);
                self.member(to).disk.publish(saved);
                self.input(to, Input::Message(message));
            }
        }
    }

    /// A member tries to connect to all others for ever, and is told when it was removed.
    fn reconnect_sometimes(&mut self, node: u64) {
        if !self.random.chance(20) {
            return;
        }
        let others: Vec<u64> = self.running(node).links.iter().map(|other| other.id).collect();
        for other in others {
            if other != node && !self.blocked.contains(&(node, other)) {
                self.greets(node, other);
            }
        }
    }

    /// Whether the receiver lets the sender speak; one that was removed is told so.
    fn greets(&mut self, from: u64, to: u64) -> bool {
        let Some(run) = self.nodes.get(&to).and_then(|member| member.run.as_ref()) else {
            return false;
        };
        let (known, removed) = (run.links.get(from).is_some(), run.links.is_removed(from));
        if removed && self.nodes.get(&from).is_some_and(|sender| !sender.gone) {
            self.after(1, Event::Leave(from));
        }
        known
    }

    // Reads.

    /// Asks for a read index, for all reads that wait.
    pub fn ask(&mut self, node: u64) {
        let same = self.settings.fault_is(Fault::SameReadIdOnRetry);
        let (now, life) = (self.now, self.member(node).life);
        let gate = &mut self.running(node).gate;
        gate.round.retain(|read| read.deadline > now);
        if gate.round.is_empty() {
            gate.asked = None;
            gate.round = std::mem::take(&mut gate.waiting);
        }
        if gate.round.is_empty() {
            return;
        }
        if !same {
            gate.next_id += 1;
        }
        let id = gate.next_id;
        gate.asked = Some(id);
        self.after(READ_RETRY, Event::ReadTimeout { node, life, id });
        self.input(node, Input::Read(id));
    }

    fn answered(&mut self, node: u64, id: u64, index: Option<u64>) -> Checked {
        let life = self.member(node).life;
        let gate = &mut self.running(node).gate;
        if gate.asked != Some(id) {
            return Ok(());
        }
        let Some(index) = index else {
            self.after(READ_PAUSE, Event::AskAgain { node, life, id });
            return Ok(());
        };
        gate.asked = None;
        let round = std::mem::take(&mut gate.round);
        gate.ready.extend(round.into_iter().map(|read| (index, read)));
        self.ask(node);
        self.finish_reads(node)
    }

    fn finish_reads(&mut self, node: u64) -> Checked {
        let now = self.now;
        let member = self.nodes.get_mut(&node).and_then(|member| member.run.as_mut());
        let Some(run) = member else { return Ok(()) };
        let at = run.applied.state.applied.index;
        let mut rest = Vec::new();
        for (index, read) in std::mem::take(&mut run.gate.ready) {
            if index > at {
                rest.push((index, read));
            } else if read.deadline > now {
                let value = run.applied.state.kv.get(&read.key);
                let value = value.map(|value| value.value.as_ref());
                self.ledger.read(node, read.floor, at, &read.key, value)?;
            }
        }
        run.gate.ready = rest;
        Ok(())
    }
}
