//! The simulated network, with the product's rules of who may speak to whom.
//!
//! Raft's messages may be lost, late, repeated, and heard again much later. Other frames may
//! be lost or late but come once, as on the product's streams; so does a snapshot.

use proto::peer::{self, frame};
use raft::eraftpb::{Message, MessageType, Snapshot};

use super::node::Input;
use super::world::{Event, Packet, Roughness, World};
use crate::consensus::message;

impl World {
    pub fn send(&mut self, from: u64, messages: Vec<Message>) {
        for mut message in messages {
            let to = message.to;
            if message.get_msg_type() == MessageType::MsgSnapshot {
                let meta = message.take_snapshot().take_metadata();
                self.send_snapshot(from, message::to_wire(message), (meta.index, meta.term));
                continue;
            }
            self.strike_voter(from, &message);
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

    /// In a storm, members die just after they have voted and are back before anybody leads:
    /// the worst moment to have forgotten the vote.
    fn strike_voter(&mut self, node: u64, message: &Message) {
        let votes =
            message.get_msg_type() == MessageType::MsgRequestVoteResponse && !message.reject;
        if votes && self.settings.storm && !self.calm && self.random.chance(300) {
            let life = self.member(node).life;
            self.after(1, Event::Kill { node, life });
            self.after(2, Event::Start(node));
        }
    }

    pub fn send_frame(&mut self, from: u64, to: u64, frame: frame::Kind) -> bool {
        self.transmit(from, to, Packet::Frame(frame))
    }

    /// False when the sender knows that it will not arrive.
    pub fn transmit(&mut self, from: u64, to: u64, packet: Packet) -> bool {
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

    pub fn send_snapshot(&mut self, from: u64, message: peer::RaftMessage, place: (u64, u64)) {
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

    pub fn deliver(&mut self, from: u64, to: u64, packet: Packet) {
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
    pub fn reconnect_sometimes(&mut self, node: u64) {
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
    pub fn greets(&mut self, from: u64, to: u64) -> bool {
        let Some(run) = self.nodes.get(&to).and_then(|member| member.run.as_ref()) else {
            return false;
        };
        let (known, removed) = (run.links.get(from).is_some(), run.links.is_removed(from));
        if removed && self.nodes.get(&from).is_some_and(|sender| !sender.gone) {
            self.after(1, Event::Leave(from));
        }
        known
    }
}
