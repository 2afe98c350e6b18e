//! What goes wrong in the simulated world, and how it ends well.

use raft::Storage;

use super::ledger::Checked;
use super::node::Input;
use super::world::{Event, Roughness, TICK, World};

/// How long the world may take to be well again, in ticks.
const RECOVERY_TICKS: u64 = 600;
/// How often it is looked at meanwhile.
const LOOK: u64 = 5 * TICK;

impl World {
    /// Something goes wrong.
    pub fn weather(&mut self) {
        if self.calm {
            return;
        }
        let longest = if self.settings.storm { 10 * TICK } else { 30 * TICK };
        let next = self.random.between(2 * TICK, longest);
        self.after(next, Event::Weather);
        let running = self.running_members();
        if running.is_empty() {
            return;
        }
        let node = self.random.pick(&running);
        let length = self.random.between(1, 40 * TICK);
        match self.random.between(0, 100) {
            0..14 => self.crash(node),
            14..19 => running.into_iter().for_each(|node| self.crash(node)),
            19..32 => self.member(node).paused_until = self.now + length,
            32..45 => self.part(node),
            45..57 => self.blocked.clear(),
            57..66 => self.member(node).slow_disk_until = self.now + 2 * length,
            66..75 => self.member(node).slow_apply_until = self.now + 2 * length,
            75..84 => self.hand_over(),
            84..90 => self.roughen(),
            _ => self.replay(),
        }
    }

    fn crash(&mut self, node: u64) {
        self.kill(node);
        if self.random.chance(150) {
            // The applied state is only a cache of snapshot and log.
            self.member(node).disk.saved = None;
        }
        let longest = if self.settings.storm { 3 * TICK } else { 60 * TICK };
        let delay = self.random.between(1, longest);
        self.after(delay, Event::Start(node));
    }

    /// One direction, one pair, or a member from all others.
    fn part(&mut self, node: u64) {
        let others: Vec<u64> = self.nodes.keys().copied().filter(|id| *id != node).collect();
        if others.is_empty() {
            return;
        }
        let other = self.random.pick(&others);
        let (out, back) = self.random.pick(&[(true, false), (false, true), (true, true)]);
        let cut = if self.random.chance(500) { vec![other] } else { others };
        for other in cut {
            if out {
                self.blocked.insert((node, other));
            }
            if back {
                self.blocked.insert((other, node));
            }
        }
    }

    pub fn leader(&mut self) -> Option<u64> {
        let running = self.running_members();
        running.into_iter().rev().find(|node| self.running(*node).router.status().is_leader)
    }

    fn hand_over(&mut self) {
        let Some(leader) = self.leader() else { return };
        let voters = self.running(leader).applied.state.applied.voters.clone();
        if !voters.is_empty() {
            let target = self.random.pick(&voters);
            self.input(leader, Input::Transfer(target));
        }
    }

    fn roughen(&mut self) {
        self.roughness = Roughness {
            loss: self.random.pick(&[0, 0, 20, 100, 300]),
            twice: self.random.pick(&[0, 50, 300]),
            late: self.random.pick(&[0, 50, 300]),
        };
    }

    /// Old messages are heard again.
    fn replay(&mut self) {
        for _ in 0..self.past.len().min(8) {
            let at = self.random.between(0, self.past.len() as u64) as usize;
            let (from, to, packet) = self.past[at].clone();
            let delay = self.random.between(0, 3 * TICK);
            self.after(delay, Event::Deliver { from, to, packet });
        }
        self.past.truncate(200);
    }

    /// Everything is well again: all are up, all hear each other. A leader must come, every
    /// proposal must be settled, and all must end in the same state; then the cluster must
    /// still be of use.
    pub fn recover(&mut self) -> Checked {
        self.calm = true;
        self.blocked.clear();
        self.roughness = Roughness::default();
        let now = self.now;
        let nodes: Vec<u64> = self.nodes.keys().copied().collect();
        for node in nodes {
            let member = self.member(node);
            member.paused_until = member.paused_until.min(now);
            member.slow_disk_until = 0;
            member.slow_apply_until = 0;
            self.after(0, Event::Start(node));
        }
        self.until_settled("after all faults were gone")?;
        // One that falls behind meanwhile gets a snapshot, and does not hear of its own write.
        let mut served = false;
        for _ in 0..5 {
            served = served || self.serves_all()?;
        }
        self.until_settled("after the last writes")?;
        if !served {
            return Err("a member did not answer five times".to_owned());
        }
        self.compare_all()
    }

    /// Whether a write and a read at every member are answered.
    fn serves_all(&mut self) -> Result<bool, String> {
        let (before, reads) = (self.ledger.acknowledgements(), self.ledger.reads);
        let running = self.serving();
        for node in &running {
            self.write(*node);
            self.read(*node);
        }
        self.until_settled("after the last writes")?;
        let served = self.ledger.acknowledgements() - before;
        let read = (self.ledger.reads - reads) as usize;
        Ok(served == running.len() && read == running.len())
    }

    fn until_settled(&mut self, when: &str) -> Checked {
        let end = self.now + RECOVERY_TICKS * TICK;
        let mut why = String::new();
        while self.now < end {
            self.run_until(self.now + LOOK)?;
            match self.unsettled() {
                Some(reason) => why = reason,
                None => return Ok(()),
            }
        }
        Err(format!("no rest within {RECOVERY_TICKS} ticks {when}: {why}"))
    }

    /// One line a member.
    pub fn describe(&mut self) -> String {
        let mut text = String::new();
        for node in self.nodes.values_mut() {
            let (id, gone) = (node.id, node.gone);
            text += &match &mut node.run {
                Some(run) => {
                    let position = &run.applied.state.applied;
                    let (status, links) = (run.router.status(), &run.links);
                    let known: Vec<u64> = links.iter().map(|member| member.id).collect();
                    format!(
                        "\n  {id}: {status:?} applied {} of term {}, voters {:?}, learners {:?}, \
                         knows {known:?}, works on {}",
                        position.index,
                        position.term,
                        position.voters,
                        position.learners,
                        run.work.len()
                    )
                }
                None => format!("\n  {id}: does not run, gone: {gone}"),
            };
        }
        text
    }

    /// Why the cluster is not at rest, if it is not.
    fn unsettled(&mut self) -> Option<String> {
        let Some(leader) = self.leader() else { return Some("there is no leader".to_owned()) };
        let end = self.running(leader).router.status();
        let last = self.ledger.last_committed();
        if end.last_index != last {
            return Some(format!("{last} is committed of {}", end.last_index));
        }
        let members = self.running(leader).applied.state.members.clone();
        for member in members.iter().map(|member| member.id) {
            let Some(node) = self.nodes.get_mut(&member) else {
                return Some(format!("member {member} is not there"));
            };
            let Some(run) = node.run.as_mut() else {
                return Some(format!("member {member} does not run"));
            };
            if run.links.get(leader).is_none() {
                continue; // see `serving`
            }
            let (status, open) = (run.router.status(), run.router.pending_proposals());
            let applied = run.applied.state.applied.index;
            if status.leader != leader || applied != last || open > 0 || run.gate.asked.is_some() {
                return Some(format!(
                    "member {member}: {status:?}, applied {applied} of {last}, {open} proposals open"
                ));
            }
        }
        let strangers = self.running_members();
        let stranger = strangers.into_iter().find(|id| {
            let known = &self.running(*id).links;
            members.get(*id).is_none() && members.iter().any(|one| known.get(one.id).is_some())
        });
        stranger.map(|id| format!("member {id}, removed, still runs"))
    }

    /// Members that can be of use. One that slept while everybody it knew was replaced listens
    /// to nobody; the operator has to remove and add it again.
    fn serving(&mut self) -> Vec<u64> {
        let leader = self.leader().unwrap_or_default();
        let mut running = self.running_members();
        running.retain(|node| self.running(*node).links.get(leader).is_some());
        running
    }

    /// All logs and states are the same.
    fn compare_all(&mut self) -> Checked {
        for node in self.serving() {
            let run = self.running(node);
            let index = run.applied.state.applied.index;
            let digest = run.applied.digest();
            let log = run.router.core().log();
            let last = log.last_index().map_err(|error| error.to_string())?;
            if last != index {
                return Err(format!("member {node} has a log up to {last}, applied up to {index}"));
            }
            self.ledger.digest(node, index, digest)?;
        }
        Ok(())
    }
}
