//! Faults of nodes, carried out: signals in turns, limits, the control file, files at rest; and
//! who has which fault.
//!
//! What a fault means and whether the engine can have it is said by [`crate::faults`] and
//! [`crate::engine`]. A fault belongs to one process and goes when the process does; only a
//! flipped bit stays with the data.

use std::{cmp::Reverse, collections::BTreeMap, mem::discriminant, path::PathBuf, time::Duration};

use super::{
    Answered, Due, Supervisor,
    requests::{Goal, refuse},
};
use crate::{
    PlaygroundError,
    engine::{self, Engine},
    faults::{NodeFault, at_rest, control, duty::Duty, limit},
    fleet::{Order, Signal},
    logs,
    protocol::{Refusal, Reply},
    selector::{Eligible, Selector},
    view::NodeState,
};

/// How long a node may take to put a fault in force: it looks twenty times a second.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// What every node of the cluster suffers from.
#[derive(Debug, Default)]
pub(super) struct Faults {
    nodes: BTreeMap<String, Suffering>,
    /// Counts, so that no two requests look alike.
    number: u64,
}

/// The faults of one process.
#[derive(Debug, Default)]
struct Suffering {
    faults: Vec<NodeFault>,
    duty: Option<Duty>,
}

/// A text that a node has to put in force before the request is answered.
struct Asked {
    node: String,
    path: PathBuf,
    text: String,
}

impl Faults {
    fn of(&self, node: &str) -> Vec<NodeFault> {
        self.nodes.get(node).map(|it| it.faults.clone()).unwrap_or_default()
    }

    fn has(&self, node: &str, fault: NodeFault) -> bool {
        self.nodes.get(node).is_some_and(|it| it.faults.contains(&fault))
    }

    /// Notes a fault in the place of an earlier one of its kind.
    fn add(&mut self, node: &str, fault: NodeFault) {
        let suffering = self.nodes.entry(node.to_owned()).or_default();
        suffering.faults.retain(|it| discriminant(it) != discriminant(&fault));
        suffering.faults.push(fault);
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }
}

impl Supervisor {
    pub(super) async fn fault(&mut self, selector: &str, fault: NodeFault, answered: Answered) {
        let mut asked = Vec::new();
        let done = match self.apply(selector, fault, &mut asked).await {
            Ok((done, nodes)) if fault == NodeFault::PowerLoss => {
                return self.wait_for(Goal::Down, nodes, done, answered);
            }
            Ok((done, _)) => done,
            // The client may have gone.
            Err(refusal) => return drop(answered.send(Err(refusal))),
        };
        tokio::spawn(async move {
            let answer = wait_in_force(&asked).await;
            let _ = answered.send(answer.map(|()| Reply::Done(done)).map_err(refuse));
        });
    }

    async fn apply(
        &mut self,
        selector: &str,
        fault: NodeFault,
        asked: &mut Vec<Asked>,
    ) -> Result<(Vec<String>, Vec<String>), Refusal> {
        let fault = fault.check().map_err(Refusal::from)?;
        let selector: Selector = selector.parse().map_err(Refusal::from)?;
        if let Some(name) = fault.capability()
            && let Some(reason) = engine::missing(self.spec.engine, name)
        {
            return Err(refuse(format!("{fault} is not possible here: {reason}")));
        }
        let eligible = match fault {
            NodeFault::None => Eligible::Any,
            NodeFault::BitFlip => Eligible::Dead,
            _ => Eligible::Live,
        };
        let nodes = selector.resolve(&self.view(), eligible).map_err(Refusal::from)?;
        for node in &nodes {
            self.admit_fault(node, fault)?;
        }
        if fault == NodeFault::PowerLoss {
            self.refuse_during_change(&nodes)?;
            // All of them at once, before any is known to have ended.
            for node in &nodes {
                self.faults.add(node, fault);
            }
            let effects = self.fleet.order(Order::Kill, &nodes, self.now()).map_err(refuse)?;
            self.execute(effects).await;
        }
        let mut done = Vec::new();
        for node in &nodes {
            let text = self.apply_to(node, fault, asked)?;
            self.journal.note(Some(node.to_owned()), text.clone());
            done.push(format!("{node} {text}"));
        }
        Ok((done, nodes))
    }

    /// Whether the node is in a state in which it can have the fault.
    fn admit_fault(&self, node: &str, fault: NodeFault) -> Result<(), Refusal> {
        let live = self.fleet.is_live(node);
        match fault {
            NodeFault::None => Ok(()),
            NodeFault::BitFlip if live => Err(refuse(format!(
                "{node} runs, and a bit flips at rest: `etcd-tui stop {node}` first"
            ))),
            NodeFault::BitFlip if at_rest::flipped(&self.dirs.bit_flip(node)).is_some() => {
                Err(refuse(format!(
                    "a bit of {node} is flipped already: `etcd-tui fault {node} none` turns it back"
                )))
            }
            NodeFault::BitFlip => Ok(()),
            _ if live => Ok(()),
            _ => Err(refuse(format!("{node} does not run: `etcd-tui start {node}` first"))),
        }
    }

    fn apply_to(
        &mut self,
        node: &str,
        fault: NodeFault,
        asked: &mut Vec<Asked>,
    ) -> Result<String, Refusal> {
        Ok(match fault {
            NodeFault::None => return self.heal(node, asked),
            NodeFault::Slow { percent } => {
                self.slow_down(node, percent);
                format!("is slow: frozen {percent} % of the time")
            }
            NodeFault::DiskFull if self.spec.engine == Engine::Etcd => {
                self.limit_files(node, true)?;
                self.faults.add(node, fault);
                "has a full disk: its files cannot grow".to_owned()
            }
            NodeFault::DiskFull => {
                self.ask_node(node, fault, asked)?;
                "has a full disk: writes to its log fail".to_owned()
            }
            NodeFault::DiskError => {
                self.ask_node(node, fault, asked)?;
                "has a broken disk: writes to its log fail".to_owned()
            }
            NodeFault::FsyncDelay { ms } => {
                self.ask_node(node, fault, asked)?;
                format!("has a slow disk: each sync takes {ms} ms more")
            }
            NodeFault::ClockOffset { seconds } => {
                self.ask_node(node, fault, asked)?;
                let way = if seconds > 0 { "ahead" } else { "behind" };
                format!("has a wrong clock: {} s {way}", seconds.unsigned_abs())
            }
            NodeFault::PowerLoss => "has lost its power, and what was not synced".to_owned(),
            NodeFault::BitFlip => {
                let record = self.dirs.bit_flip(node);
                let flip = at_rest::flip_bit(&self.dirs.data(node), &record);
                let flip = flip.map_err(Refusal::from)?;
                format!("has a flipped bit at offset {} of {}", flip.offset, flip.path.display())
            }
        })
    }

    /// Takes everything back.
    fn heal(&mut self, node: &str, asked: &mut Vec<Asked>) -> Result<String, Refusal> {
        let state = self.fleet.state(node).map(|(state, _)| state);
        let live = state.is_some_and(NodeState::is_live);
        let record = self.dirs.bit_flip(node);
        if at_rest::flipped(&record).is_some() {
            if live {
                return Err(refuse(format!(
                    "{node} runs, and its bit is turned back at rest: `etcd-tui stop {node}` first"
                )));
            }
            at_rest::flip_back(&record).map_err(Refusal::from)?;
            return Ok("is well again: its bit is turned back".to_owned());
        }
        let Some(suffering) = self.faults.nodes.remove(node) else {
            return Ok("is well".to_owned());
        };
        if suffering.duty.is_some() && state.is_some_and(|it| it != NodeState::Paused) {
            self.signal(node, Signal::Continue);
        }
        if live
            && self.spec.engine == Engine::Etcd
            && suffering.faults.contains(&NodeFault::DiskFull)
        {
            self.limit_files(node, false)?;
        }
        if live && self.spec.engine == Engine::Builtin {
            self.tell(node, asked)?;
        }
        Ok("is well again".to_owned())
    }

    fn limit_files(&mut self, node: &str, limited: bool) -> Result<(), Refusal> {
        if limited {
            // The limit holds for the log as well: make room for the last words.
            let path = self.dirs.log(node);
            logs::rotate(&path, 0).map_err(|it| PlaygroundError::file("rotate", path)(it))?;
            if let Some(process) = self.processes.get_mut(node) {
                process.log_start = 0;
            }
        }
        let pid = self.processes.get(node).map(|process| process.child.id());
        let pid = pid.ok_or_else(|| refuse(format!("{node} has ended")))?;
        limit::limit_files(pid, limited).map_err(|why| refuse(format!("{node}: {why}")))
    }

    fn ask_node(
        &mut self,
        node: &str,
        fault: NodeFault,
        asked: &mut Vec<Asked>,
    ) -> Result<(), Refusal> {
        // A write has one outcome.
        if matches!(fault, NodeFault::DiskFull | NodeFault::DiskError)
            && let Some(suffering) = self.faults.nodes.get_mut(node)
        {
            let of_writes = [NodeFault::DiskFull, NodeFault::DiskError];
            suffering.faults.retain(|it| !of_writes.contains(it));
        }
        self.faults.add(node, fault);
        self.tell(node, asked)
    }

    fn tell(&mut self, node: &str, asked: &mut Vec<Asked>) -> Result<(), Refusal> {
        let number = self.faults.next_number();
        let text = control::text(number, &self.faults.of(node));
        let path = self.dirs.faults(node);
        control::ask(&path, &text).map_err(Refusal::from)?;
        asked.push(Asked { node: node.to_owned(), path, text });
        Ok(())
    }

    fn slow_down(&mut self, node: &str, percent: u8) {
        self.faults.add(node, NodeFault::Slow { percent });
        let number = self.faults.next_number();
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

    /// The faults of a node, those of its files included.
    pub(super) fn faults_of(&self, node: &str) -> Vec<NodeFault> {
        let mut faults = self.faults.of(node);
        if at_rest::flipped(&self.dirs.bit_flip(node)).is_some() {
            faults.push(NodeFault::BitFlip);
        }
        faults
    }

    /// The process has ended, and its faults with it. Says why, if one of them was the reason.
    pub(super) fn end_of_faults(&mut self, node: &str, on_request: bool) -> Option<String> {
        let full = self.faults.has(node, NodeFault::DiskFull);
        let power = self.faults.has(node, NodeFault::PowerLoss);
        self.faults.nodes.remove(node);
        if power {
            let lost = at_rest::lose_power(&self.dirs.data(node), &self.dirs.synced(node));
            let text = match lost {
                Ok(Some(bytes)) => format!("lost its power on request, and {bytes} unsynced bytes"),
                Ok(None) => "lost its power on request before it had a log".to_owned(),
                Err(error) => format!("lost its power on request, but kept its bytes: {error}"),
            };
            self.journal.note(Some(node.to_owned()), text.clone());
            return Some(text);
        }
        (full && !on_request).then(|| {
            format!("its disk is full on request: `etcd-tui start {node}` gives it room again")
        })
    }

    /// A new process begins without faults.
    pub(super) fn begin_without_faults(&mut self, node: &str) -> Result<(), String> {
        self.faults.nodes.remove(node);
        control::clear(&self.dirs.faults(node)).map_err(|error| error.to_string())
    }
}

/// Waits until every node has put in force what it was asked for.
async fn wait_in_force(asked: &[Asked]) -> Result<(), String> {
    let deadline = tokio::time::Instant::now() + ANSWER_PATIENCE;
    for Asked { node, path, text } in asked {
        loop {
            match control::answer(path, text) {
                Some(Ok(())) => break,
                Some(Err(why)) => return Err(format!("{node} refuses: {why}")),
                None if tokio::time::Instant::now() >= deadline => {
                    return Err(format!(
                        "{node} has not answered: it is in force once {node} runs freely"
                    ));
                }
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }
    Ok(())
}
