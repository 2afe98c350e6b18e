//! The log's thread and the applier of a simulated member.

use std::rc::Rc;

use proto::command::member_change;
use raft::eraftpb::{ConfState, Entry, SnapshotMetadata};

use super::Fault;
use super::applied::{Applied, Saved};
use super::disk::{Disk, Job};
use super::ledger::Checked;
use super::node::{Input, Node, Work};
use super::world::{Event, TICK, World};
use crate::consensus::core::{entry_origin, is_change};

/// A removed member ends this much later.
const REMOVED_GRACE: u64 = 10 * TICK;

impl World {
    pub fn begin_sync(&mut self, node: u64) {
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

    pub fn synced(&mut self, node: u64) -> Checked {
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

    pub fn work(&mut self, node: u64, work: Work) {
        self.running(node).work.push_back(work);
        self.begin_work(node);
    }

    pub fn begin_work(&mut self, node: u64) {
        let (now, life) = (self.now, self.member(node).life);
        let slow = self.member(node).slow_apply_until > now;
        let run = self.running(node);
        if run.applier_busy || run.at_change.is_some() || run.work.is_empty() {
            return;
        }
        run.applier_busy = true;
        let took = if slow { self.random.between(5, 100) } else { self.random.between(0, 2) };
        self.after(took, Event::Apply { node, life });
    }

    pub fn apply(&mut self, node: u64) -> Checked {
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

    pub fn apply_entry(&mut self, node: u64, entry: &Entry) -> Checked {
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

    pub fn reply(&mut self, node: u64, origin: (u64, u64), index: u64) -> Checked {
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
    pub fn changed(
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

    pub fn save_sometimes(&mut self, node: u64) {
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

    pub fn install(&mut self, node: u64, meta: &SnapshotMetadata) -> Result<u64, String> {
        let skip = self.settings.fault_is(Fault::SkipAfterSnapshot);
        let place = (meta.index, meta.term);
        let member = self.member(node);
        let saved = member.disk.snapshots.get(&place).cloned();
        let saved =
            saved.ok_or_else(|| format!("member {node}: snapshot {place:?} is not there"))?;
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

    pub fn begin_snapshot(&mut self, node: u64) {
        let life = self.member(node).life;
        let run = self.running(node);
        if std::mem::replace(&mut run.building, true) {
            return;
        }
        let saved = run.applied.save();
        let took = self.random.between(1, 50);
        self.after(took, Event::SnapshotWritten { node, life, saved });
    }

    pub fn snapshot_written(&mut self, node: u64, saved: Rc<Saved>) {
        let meta = saved.meta();
        let disk = &mut self.member(node).disk;
        disk.publish(saved);
        disk.queue.push_back(Job::Snapshot { meta: meta.clone(), release: meta.index });
        self.running(node).building = false;
        self.begin_sync(node);
        self.input(node, Input::SnapshotBuilt(meta));
    }
}
