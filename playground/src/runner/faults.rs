//! Faults of nodes, carried out: signals in turns, and who has which fault.
//!
//! What a fault means and whether the engine can have it is said by [`crate::faults`] and
//! [`crate::engine`]. A fault belongs to one process: it goes when the process does.

use std::{cmp::Reverse, collections::BTreeMap, mem::discriminant};

use super::{Answered, Due, Supervisor, requests::refuse};
use crate::{
    engine,
    faults::{NodeFault, duty::Duty},
    fleet::Signal,
    protocol::{Refusal, Reply},
    selector::{Eligible, Selector},
    view::NodeState,
};

/// What every node of the cluster suffers from.
#[derive(Debug, Default)]
pub(super) struct Faults {
    nodes: BTreeMap<String, Suffering>,
    duties: u64,
}

/// The faults of one process.
#[derive(Debug, Default)]
struct Suffering {
    faults: Vec<NodeFault>,
    duty: Option<Duty>,
}

impl Faults {
    pub(super) fn of(&self, node: &str) -> Vec<NodeFault> {
        self.nodes.get(node).map(|it| it.faults.clone()).unwrap_or_default()
    }

    /// The process has ended, and its faults with it.
    pub(super) fn forget(&mut self, node: &str) {
        self.nodes.remove(node);
    }

    /// Notes a fault in the place of an earlier one of its kind.
    fn add(&mut self, node: &str, fault: NodeFault) {
        let suffering = self.nodes.entry(node.to_owned()).or_default();
        suffering.faults.retain(|it| discriminant(it) != discriminant(&fault));
        suffering.faults.push(fault);
    }
}

impl Supervisor {
    pub(super) async fn fault(&mut self, selector: &str, fault: NodeFault, answered: Answered) {
        let answer = self.apply(selector, fault).map(Reply::Done);
        // The client may have gone.
        let _ = answered.send(answer);
    }

    fn apply(&mut self, selector: &str, fault: NodeFault) -> Result<Vec<String>, Refusal> {
        let fault = fault.check().map_err(Refusal::from)?;
        let selector: Selector = selector.parse().map_err(Refusal::from)?;
        if let Some(name) = fault.capability()
            && let Some(reason) = engine::missing(self.spec.engine, name)
        {
            return Err(refuse(format!("{fault} is not possible here: {reason}")));
        }
        let eligible = if fault == NodeFault::None { Eligible::Any } else { Eligible::Live };
        let nodes = selector.resolve(&self.view(), eligible).map_err(Refusal::from)?;
        let mut done = Vec::new();
        for node in &nodes {
            done.push(self.apply_to(node, fault)?);
        }
        Ok(done)
    }

    fn apply_to(&mut self, node: &str, fault: NodeFault) -> Result<String, Refusal> {
        let live = self.fleet.is_live(node);
        if !live && fault != NodeFault::None {
            return Err(refuse(format!("{node} does not run: `etcd-tui start {node}` first")));
        }
        let text = match fault {
            NodeFault::None => {
                self.heal(node);
                "is well again".to_owned()
            }
            NodeFault::Slow { percent } => {
                self.slow_down(node, percent);
                format!("is slow: frozen {percent} % of the time")
            }
            other => return Err(refuse(format!("{other} is not possible here"))),
        };
        self.journal.note(Some(node.to_owned()), text.clone());
        Ok(format!("{node} {text}"))
    }

    fn heal(&mut self, node: &str) {
        let Some(suffering) = self.faults.nodes.remove(node) else { return };
        let awake = [NodeState::Starting, NodeState::Running, NodeState::Stopping];
        let state = self.fleet.state(node).map(|(state, _)| state);
        if suffering.duty.is_some() && state.is_some_and(|state| awake.contains(&state)) {
            self.signal(node, Signal::Continue);
        }
    }

    fn slow_down(&mut self, node: &str, percent: u8) {
        self.faults.add(node, NodeFault::Slow { percent });
        self.faults.duties += 1;
        let number = self.faults.duties;
        if let Some(suffering) = self.faults.nodes.get_mut(node) {
            suffering.duty = Some(Duty::new(percent, number));
        }
        self.take_duty(node, number);
    }

    /// A slow node freezes or goes on.
    pub(super) fn take_duty(&mut self, node: &str, number: u64) {
        let Some((state, _)) = self.fleet.state(node) else { return };
        let duty = self.faults.nodes.get_mut(node).and_then(|it| it.duty.as_mut());
        let Some(duty) = duty.filter(|duty| duty.number == number) else { return };
        let turn = duty.turn(state);
        if let Some(signal) = turn.signal {
            self.signal(node, signal);
        }
        if let Some(after) = turn.after {
            self.due.push(Reverse((self.now() + after, Due::Duty(node.to_owned(), number))));
        }
    }
}
