//! The simulated world: virtual time, a queue of events, a network, and members that meet
//! nothing but these.
//!
//! One seed is one history. Nothing here reads a clock or a random number from outside, and
//! raft's own (it draws election timeouts from the thread's generator) is pinned at every tick.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proto::peer::{self, frame};

use super::Fault;
use super::applied::{Applied, Saved};
use super::disk::Disk;
use super::ledger::{Checked, Ledger};
use super::node::{Input, Node, Running};
use super::random::{Random, mix};
use crate::cluster::{Member, Members};
use crate::consensus::router::Retention;
use crate::machine::{Position, State};

/// Time between two ticks of a member.
pub const TICK: u64 = 10;
/// How long a client waits, in ticks.
pub const PROPOSAL_TICKS: u64 = 50;
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
    pre_vote: bool,
}

impl Settings {
    pub fn of(seed: u64, fault: Option<Fault>) -> Self {
        let mut random = Random::new(seed ^ 0x5e77);
        let founders = random.pick(&[1, 2, 3, 3, 3, 3, 5]);
        let (snapshot_count, catch_up) =
            random.pick(&[(0, 0), (4, 2), (4, 2), (30, 10), (500, 50)]);
        Self {
            seed,
            founders,
            retention: Retention { snapshot_count, catch_up },
            proposal_ticks: PROPOSAL_TICKS,
            fault,
            storm: random.chance(400),
            small_messages: random.chance(300),
            pre_vote: random.chance(700),
        }
    }

    /// Three members and no trouble.
    pub fn quiet(fault: Option<Fault>) -> Self {
        let retention = Retention { snapshot_count: 500, catch_up: 50 };
        let small_messages = false;
        Self { founders: 3, retention, storm: false, small_messages, ..Self::of(0, fault) }
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
            pre_vote: self.pre_vote,
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
    Kill { node: u64, life: u64 },
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
            Self::Kill { node, life } => (*node, *life, 5),
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
            Event::Kill { node, .. } => self.kill(node),
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

    pub fn wake(&mut self, node: u64, within: u64) {
        let life = self.member(node).life;
        if !std::mem::replace(&mut self.running(node).wakes, true) {
            let delay = self.random.between(0, within + 1);
            self.after(delay, Event::Wake { node, life });
        }
    }
}
