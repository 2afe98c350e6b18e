//! Stops and restarts in turn: followers first, the leader last, one at a time.
//!
//! A turn has two halves: the node ends, and (a restart) serves again. The head of the queue
//! is the only turn in progress; whatever makes it impossible to finish (the process failed to
//! start, or does not become ready in time) ends the turn, so the queue never blocks.

use std::time::Duration;

use super::{Fleet, FleetEffect, READY_GRACE, STOP_GRACE, Signal, note, signal};
use crate::view::NodeState;

/// One node's place in the queue.
#[derive(Debug)]
pub(super) struct Turn {
    node: String,
    restart: bool,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    Waiting,
    Ending,
    Starting { since: Duration },
}

impl Fleet {
    /// Adds turns for `names`; a node that already waits for one keeps its place.
    pub(super) fn queue(&mut self, names: &[String], restart: bool) {
        let leader = self.leader_name();
        let mut order: Vec<&String> = names.iter().collect();
        order.sort_by_key(|name| Some(*name) == leader.as_ref());
        for name in order {
            match self.turns.iter_mut().find(|turn| turn.node == *name) {
                Some(turn) => turn.restart = restart,
                None => self.turns.push_back(Turn {
                    node: name.clone(),
                    restart,
                    phase: Phase::Waiting,
                }),
            }
        }
    }

    /// Whether a stop or restart is queued or in progress for this node.
    pub fn has_turn(&self, name: &str) -> bool {
        self.turns.iter().any(|turn| turn.node == name)
    }

    /// Advances the head of the queue as far as facts allow.
    pub(super) fn take_turns(&mut self, now: Duration, effects: &mut Vec<FleetEffect>) {
        while let Some(turn) = self.turns.front() {
            let (name, restart, phase) = (turn.node.clone(), turn.restart, turn.phase);
            let state = self.nodes.get(&name).map(|node| node.state);
            let next = match (phase, state) {
                (_, None) => None,
                (Phase::Waiting, Some(state)) if state.is_live() => {
                    self.end(&name, state, now, effects);
                    Some(Phase::Ending)
                }
                (Phase::Ending, Some(state)) if state.is_live() => return,
                (Phase::Waiting | Phase::Ending, Some(_)) if restart && !self.closing => {
                    self.spawn(&name, now, effects);
                    let epoch = self.nodes.get(&name).map_or(0, |node| node.epoch);
                    let at = now + READY_GRACE;
                    effects.push(FleetEffect::Timer { node: name.clone(), epoch, at });
                    Some(Phase::Starting { since: now })
                }
                (Phase::Starting { .. }, Some(NodeState::Starting)) => return,
                _ => None,
            };
            match (next, self.turns.front_mut()) {
                (Some(phase), Some(turn)) => turn.phase = phase,
                _ => drop(self.turns.pop_front()),
            }
        }
    }

    /// A timer fired for a node that is not stopping: its restart has taken too long.
    pub(super) fn give_up_turn(&mut self, name: &str, now: Duration) {
        let overdue = |turn: &Turn| match turn.phase {
            Phase::Starting { since } => turn.node == name && since + READY_GRACE <= now,
            _ => false,
        };
        if self.turns.front().is_some_and(overdue) {
            self.turns.pop_front();
        }
    }

    fn end(&mut self, name: &str, state: NodeState, now: Duration, effects: &mut Vec<FleetEffect>) {
        self.set_state(name, NodeState::Stopping);
        effects.push(note(name, "stopping"));
        effects.push(signal(name, Signal::Term));
        if state == NodeState::Paused {
            // A frozen process sees SIGTERM only when it continues.
            effects.push(signal(name, Signal::Continue));
        }
        let epoch = self.nodes.get(name).map_or(0, |node| node.epoch);
        let at = now + STOP_GRACE;
        effects.push(FleetEffect::Timer { node: name.to_owned(), epoch, at });
    }
}
