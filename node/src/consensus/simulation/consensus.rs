//! The consensus thread of a simulated member: the product's drive loop, with faults that can
//! be planted in it.

use proto::peer::frame;
use raft::Storage;
use raft::eraftpb::Entry;

use super::Fault;
use super::disk::Job;
use super::ledger::Checked;
use super::node::{Input, Work};
use super::random::mix;
use super::world::World;
use crate::consensus::router::Effect;

impl World {
    /// One round of the consensus thread.
    pub fn think(&mut self, node: u64) -> Checked {
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

    pub fn handle(&mut self, node: u64, input: Input) -> Checked {
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

    pub fn perform(&mut self, node: u64, effect: Effect) -> Checked {
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
            // No simulated disk loses what was synced.
            Effect::Lost(lost) => return Err(format!("member {node} lost entries: {lost:?}")),
            Effect::Answer { id, index } => return self.answered(node, id, index),
        }
        Ok(())
    }

    /// Plants a fault: a member that learns of a new term sends what is open again at once.
    pub fn resend_if_faulty(&mut self, node: u64) {
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

    pub fn committed(&mut self, node: u64, entry: Entry) -> Checked {
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
}
