//! The supervisor's decisions: what each node should do next, and what its exits mean.
//!
//! [`Fleet`] is a plain state machine. Orders come from users ([`Fleet::order`]), facts from
//! the shell ([`Fleet::step`]); both return effects as data, and time is an argument. It
//! never spawns, signals, reads a clock or a socket; `runner` does.
//!
//! Invariants:
//! - A node has at most one process. Every spawn raises the node's *epoch*, every fact carries
//!   the epoch it is about, and a fact about an older process changes nothing.
//! - A node that was stopped or killed stays down until it is ordered to start: there is no
//!   automatic restart, since a corpse is what a failure drill wants to look at.
//! - Ordered stops and restarts of several nodes take turns, followers first and the leader
//!   last: stopping a leader whose peers are already ending costs seconds, because it waits
//!   for a transfer of leadership that can no longer succeed.
//!
//! What a node reports about raft (leader, term) is kept as reported, with whether it is
//! fresh; [`view`](Fleet::view) derives roles and health from it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::{classify::Diagnosis, probe::Report, view::NodeState};

mod observe;
#[cfg(test)]
mod tests;
mod turns;
mod vocabulary;

use turns::Turn;
pub use vocabulary::{FleetEffect, FleetEvent, Identity, Order, Signal};

/// How long an ordered stop may take before the process is killed.
pub const STOP_GRACE: Duration = Duration::from_secs(10);
/// How long a rolling restart waits for one node before it goes on to the next.
pub const READY_GRACE: Duration = Duration::from_secs(30);
/// Unanswered probes after which a node's last report no longer counts.
const MISSES_MAX: u8 = 2;
/// Rounds without an answer to what needs the others, after which a node counts as cut off: two
/// seconds. A machine that has much to do takes one for a read. Rounds and not a time, because
/// whoever sleeps through it, like a computer that is shut, has heard nothing and asked nothing.
pub const SILENT_ROUNDS: u8 = 4;

#[derive(Debug)]
struct Node {
    client_url: String,
    peer_url: String,
    log_path: String,
    state: NodeState,
    /// Counts spawns; 0 is a node that was never started.
    epoch: u64,
    pid: Option<u32>,
    since: Duration,
    /// Seen serving under a leader in this epoch.
    ready: bool,
    killed: bool,
    why: Option<String>,
    member_id: Option<u64>,
    report: Option<Report>,
    misses: u8,
    /// Rounds in a row in which nothing came back that needs the others.
    silent_rounds: u8,
}

impl Node {
    fn is_fresh(&self) -> bool {
        self.state.is_live() && self.report.is_some() && self.misses < MISSES_MAX
    }

    /// Whether it answers for itself, but has lost touch with the others.
    fn is_cut_off(&self) -> bool {
        self.is_fresh() && self.silent_rounds >= SILENT_ROUNDS
    }
}

/// The state of every node of one cluster. See the module's text.
#[derive(Debug, Default)]
pub struct Fleet {
    nodes: BTreeMap<String, Node>,
    turns: VecDeque<Turn>,
    /// Set once the cluster is going down: nothing starts any more.
    closing: bool,
    last_leader: Option<(u64, String)>,
}

impl Fleet {
    /// Adds a node that has no process.
    pub fn enroll(&mut self, identity: Identity) {
        let node = Node {
            client_url: identity.client_url,
            peer_url: identity.peer_url,
            log_path: identity.log_path,
            state: NodeState::Stopped,
            epoch: 0,
            pid: None,
            since: Duration::ZERO,
            ready: false,
            killed: false,
            why: None,
            member_id: identity.member_id,
            report: None,
            misses: 0,
            silent_rounds: 0,
        };
        self.nodes.insert(identity.name, node);
    }

    /// Drops a node; one with a process cannot be dropped.
    pub fn forget(&mut self, name: &str) -> bool {
        if self.is_live(name) {
            return false;
        }
        self.nodes.remove(name).is_some()
    }

    /// Whether a process runs for this node.
    pub fn is_live(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.state.is_live())
    }

    /// The state of a node, and why it is in it.
    pub fn state(&self, name: &str) -> Option<(NodeState, Option<&str>)> {
        self.nodes.get(name).map(|node| (node.state, node.why.as_deref()))
    }

    /// The names, in order.
    pub fn names(&self) -> Vec<String> {
        self.nodes.keys().cloned().collect()
    }

    /// Orders something of `names`. An order that fits none of them is refused with a sentence.
    pub fn order(
        &mut self,
        order: Order,
        names: &[String],
        now: Duration,
    ) -> Result<Vec<FleetEffect>, String> {
        for name in names {
            self.admit(order, name)?;
        }
        let mut effects = Vec::new();
        match order {
            Order::Start => {
                for name in names {
                    if !self.is_live(name) {
                        self.spawn(name, now, &mut effects);
                    }
                }
            }
            Order::Stop | Order::Restart => {
                self.queue(names, order == Order::Restart);
                self.take_turns(now, &mut effects);
            }
            Order::Kill => {
                for name in names {
                    self.kill(name, &mut effects);
                }
            }
            Order::Pause | Order::Resume => {
                for name in names {
                    self.freeze(name, order == Order::Pause, &mut effects);
                }
            }
        }
        Ok(effects)
    }

    /// Ends every node and lets nothing start again.
    pub fn close(&mut self, at_once: bool, now: Duration) -> Vec<FleetEffect> {
        self.closing = true;
        self.turns.clear();
        let mut effects = Vec::new();
        let live: Vec<String> =
            self.names().into_iter().filter(|name| self.is_live(name)).collect();
        if at_once {
            for name in &live {
                self.set_state(name, NodeState::Stopping);
                effects.push(signal(name, Signal::Kill));
            }
        } else {
            self.queue(&live, false);
            self.take_turns(now, &mut effects);
        }
        effects
    }

    /// Whether [`Fleet::close`] has done its work.
    pub fn is_closed(&self) -> bool {
        self.closing && self.nodes.values().all(|node| !node.state.is_live())
    }

    /// Takes a fact about the process of `name` in `epoch`.
    pub fn step(
        &mut self,
        name: &str,
        epoch: u64,
        event: FleetEvent,
        now: Duration,
    ) -> Vec<FleetEffect> {
        let mut effects = Vec::new();
        let Some(node) = self.nodes.get_mut(name) else { return effects };
        // A late fact about an older process.
        if node.epoch != epoch {
            return effects;
        }
        match event {
            FleetEvent::Spawned { pid } => {
                node.pid = Some(pid);
                effects.push(note(name, format!("started, pid {pid}")));
            }
            FleetEvent::SpawnFailed { why } => {
                effects.push(note(name, format!("could not be started: {why}")));
                node.state = NodeState::Exited;
                node.why = Some(why);
            }
            FleetEvent::Exited(diagnosis) => self.on_exit(name, diagnosis, now, &mut effects),
            FleetEvent::Probed(report) => self.on_probe(name, report, &mut effects),
            FleetEvent::Touched(yes) => self.on_touch(name, yes, &mut effects),
            FleetEvent::TimerFired => self.on_timer(name, now, &mut effects),
        }
        self.take_turns(now, &mut effects);
        self.note_leader(&mut effects);
        effects
    }

    fn admit(&self, order: Order, name: &str) -> Result<(), String> {
        let Some(node) = self.nodes.get(name) else {
            return Err(format!("there is no node {name}"));
        };
        let state = node.state;
        let fits = match order {
            Order::Start if self.closing => return Err("the cluster is going down".to_owned()),
            Order::Start if state == NodeState::Stopping => {
                return Err(format!("{name} is still stopping: try again in a moment"));
            }
            // Starting what runs and stopping what does not are no mistakes.
            Order::Start | Order::Stop | Order::Restart => true,
            Order::Kill => state.is_live(),
            Order::Pause => matches!(state, NodeState::Starting | NodeState::Running),
            Order::Resume => state == NodeState::Paused,
        };
        if fits {
            return Ok(());
        }
        Err(match order {
            Order::Resume => format!("{name} is not paused but {}", state.word()),
            _ if state == NodeState::Paused => format!("{name} is already paused"),
            _ => format!("{name} does not run ({}): `etcd-tui start {name}`", state.word()),
        })
    }

    fn spawn(&mut self, name: &str, now: Duration, effects: &mut Vec<FleetEffect>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        node.epoch += 1;
        node.state = NodeState::Starting;
        node.since = now;
        node.pid = None;
        node.ready = false;
        node.killed = false;
        node.why = None;
        node.report = None;
        node.misses = 0;
        node.silent_rounds = 0;
        effects.push(FleetEffect::Spawn { node: name.to_owned(), epoch: node.epoch });
    }

    fn kill(&mut self, name: &str, effects: &mut Vec<FleetEffect>) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.killed = true;
            effects.push(note(name, "killed on request (SIGKILL)"));
            effects.push(signal(name, Signal::Kill));
        }
    }

    fn freeze(&mut self, name: &str, frozen: bool, effects: &mut Vec<FleetEffect>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        if frozen {
            node.state = NodeState::Paused;
            node.misses = MISSES_MAX;
            effects.push(signal(name, Signal::Stop));
            effects.push(note(name, "paused (SIGSTOP)"));
        } else {
            node.state = if node.ready { NodeState::Running } else { NodeState::Starting };
            effects.push(signal(name, Signal::Continue));
            effects.push(note(name, "resumed"));
        }
        self.note_leader(effects);
    }

    fn set_state(&mut self, name: &str, state: NodeState) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.state = state;
        }
    }

    fn on_exit(
        &mut self,
        name: &str,
        diagnosis: Diagnosis,
        now: Duration,
        effects: &mut Vec<FleetEffect>,
    ) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        let asked = node.state == NodeState::Stopping;
        node.pid = None;
        node.report = None;
        node.since = now;
        if asked && !diagnosis.removed {
            node.state = NodeState::Stopped;
            effects.push(note(name, "stopped"));
        } else {
            node.state = if diagnosis.removed { NodeState::Removed } else { NodeState::Exited };
            // The kill itself has been noted when it was ordered.
            if !node.killed {
                effects.push(note(name, format!("ended: {}", diagnosis.why)));
            }
            node.why = Some(diagnosis.why);
        }
    }

    fn on_probe(
        &mut self,
        name: &str,
        report: Option<Box<Report>>,
        effects: &mut Vec<FleetEffect>,
    ) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        // A frozen process may still have answered a probe sent before; it serves nothing now.
        if matches!(node.state, NodeState::Paused) || !node.state.is_live() {
            return;
        }
        let Some(report) = report else {
            node.misses = node.misses.saturating_add(1);
            return;
        };
        node.misses = 0;
        node.member_id = Some(report.member_id);
        let found_leader = node.report.as_ref().is_none_or(|it| it.leader == 0);
        if found_leader && report.leader != 0 {
            // What failed before says nothing about this leader.
            node.silent_rounds = 0;
        }
        if node.state == NodeState::Starting && report.leader != 0 {
            node.state = NodeState::Running;
            node.ready = true;
            effects.push(note(name, "ready to serve"));
        }
        node.report = Some(*report);
    }

    /// A round is over: whether something came back that needs the others.
    fn on_touch(&mut self, name: &str, yes: bool, effects: &mut Vec<FleetEffect>) {
        let led = self.leader_name().is_some();
        let Some(node) = self.nodes.get_mut(name) else { return };
        let before = node.is_cut_off();
        // Before it was ready, or while it is frozen, nothing is known of the others.
        let silent = !yes && node.state == NodeState::Running;
        node.silent_rounds = if silent { node.silent_rounds.saturating_add(1) } else { 0 };
        match (before, node.is_cut_off()) {
            (false, true) if led => {
                effects.push(note(name, "answers, and is out of touch with the others"));
            }
            (true, false) if yes => effects.push(note(name, "is in touch with the others again")),
            _ => {}
        }
    }

    /// The grace of a stop has passed.
    fn on_timer(&mut self, name: &str, now: Duration, effects: &mut Vec<FleetEffect>) {
        let Some(node) = self.nodes.get(name) else { return };
        if node.state == NodeState::Stopping {
            let text = format!("did not stop within {} s, killed", STOP_GRACE.as_secs());
            effects.push(note(name, text));
            effects.push(signal(name, Signal::Kill));
        } else {
            self.give_up_turn(name, now);
        }
    }
}

fn signal(name: &str, signal: Signal) -> FleetEffect {
    FleetEffect::Signal { node: name.to_owned(), signal }
}

fn note(name: &str, text: impl Into<String>) -> FleetEffect {
    FleetEffect::Note { node: Some(name.to_owned()), text: text.into() }
}
