//! How a simulated member gathers reads into one question at a time.

use super::Fault;
use super::ledger::Checked;
use super::node::Input;
use super::world::{Event, TICK, World};

/// etcd asks for a read index again after half a second.
const READ_RETRY: u64 = 5 * TICK;
/// Pause after a refusal.
const READ_PAUSE: u64 = 2;

impl World {
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

    pub fn answered(&mut self, node: u64, id: u64, index: Option<u64>) -> Checked {
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

    pub fn finish_reads(&mut self, node: u64) -> Checked {
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
