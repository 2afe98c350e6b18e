//! What clients and the operator ask of the simulated cluster.

use prost::Message as _;
use proto::command::{Command, LeaseRevoke, MemberChange, command::Kind, member_change};
use proto::etcdserverpb::{
    CompactionRequest, Compare, DeleteRangeRequest, LeaseGrantRequest, PutRequest, RequestOp,
    TxnRequest, compare, request_op,
};

use super::node::{Input, Read};
use super::world::{Event, PROPOSAL_TICKS, TICK, World};
use crate::consensus::pending::Proposal;

/// A client waits a little less long than the member tries.
const CLIENT_WAIT: u64 = PROPOSAL_TICKS * TICK;
const MEMBERS_MAX: usize = 6;

fn put(key: Vec<u8>, value: u64, lease: i64) -> PutRequest {
    let value = value.to_be_bytes().to_vec().into();
    PutRequest { key: key.into(), value, lease, ..PutRequest::default() }
}

impl World {
    /// Clients ask for something at any member that runs.
    pub fn clients(&mut self) {
        if self.calm {
            return;
        }
        let next = self.random.between(1, 12);
        self.after(next, Event::Clients);
        let Some(node) = self.any_running() else { return };
        match self.random.between(0, 100) {
            0..55 => self.write(node),
            55..90 => self.read(node),
            90..94 => self.revoke_in_term(node),
            94..97 => self.compact(node),
            _ => self.change_members(node),
        }
    }

    fn any_running(&mut self) -> Option<u64> {
        let running: Vec<u64> = self.running_members();
        (!running.is_empty()).then(|| self.random.pick(&running))
    }

    /// Members whose process runs.
    pub fn running_members(&self) -> Vec<u64> {
        self.nodes.values().filter(|node| node.runs()).map(|node| node.id).collect()
    }

    fn plain_key(&mut self) -> Vec<u8> {
        format!("plain{}", self.random.between(0, 4)).into_bytes()
    }

    /// A write of any kind, with a value that no other write has.
    pub fn write(&mut self, node: u64) {
        self.writes += 1;
        let value = self.writes;
        let lease = self.random.between(1, 5) as i64;
        let kind = match self.random.between(0, 10) {
            0..5 => Kind::Put(put(self.plain_key(), value, 0)),
            5 => {
                let key = self.plain_key().into();
                Kind::DeleteRange(DeleteRangeRequest { key, ..DeleteRangeRequest::default() })
            }
            6 => Kind::LeaseGrant(LeaseGrantRequest { id: lease, ttl: 10 + lease }),
            7 => Kind::Put(put(format!("leased{lease}").into_bytes(), value, lease)),
            _ => Kind::Txn(self.swap(value)),
        };
        self.propose(node, kind, None);
    }

    /// Puts if the key was not changed twice since; else deletes it.
    fn swap(&mut self, value: u64) -> TxnRequest {
        let key = format!("swapped{}", self.random.between(0, 2)).into_bytes();
        let version = self.random.between(0, 3) as i64;
        let request = |request| RequestOp { request: Some(request) };
        TxnRequest {
            compare: vec![Compare {
                result: compare::CompareResult::Equal as i32,
                target: compare::CompareTarget::Version as i32,
                key: key.clone().into(),
                target_union: Some(compare::TargetUnion::Version(version)),
                ..Compare::default()
            }],
            success: vec![request(request_op::Request::RequestPut(put(key.clone(), value, 0)))],
            failure: vec![request(request_op::Request::RequestDeleteRange(DeleteRangeRequest {
                key: key.into(),
                ..DeleteRangeRequest::default()
            }))],
        }
    }

    fn propose(&mut self, node: u64, kind: Kind, term: Option<u64>) {
        let data = Command { kind: Some(kind), ..Command::default() }.encode_to_vec().into();
        self.submit(node, data, false, term);
    }

    fn submit(&mut self, node: u64, data: bytes::Bytes, member_change: bool, term: Option<u64>) {
        let deadline = self.now + CLIENT_WAIT;
        let run = self.running(node);
        run.next_id += 1;
        let proposal = Proposal { id: run.next_id, data, member_change };
        run.clients.insert(proposal.id, deadline);
        let input = match term {
            Some(term) => Input::ProposeInTerm { term, proposal },
            None => Input::Propose(proposal),
        };
        self.input(node, input);
    }

    /// A linearizable read.
    pub fn read(&mut self, node: u64) {
        let key = self.plain_key();
        let floor = self.ledger.floor();
        let deadline = self.now + CLIENT_WAIT;
        let gate = &mut self.running(node).gate;
        gate.waiting.push(Read { key, floor, deadline });
        if gate.asked.is_none() {
            self.ask(node);
        }
    }

    /// The leader ends leases, as only the leader of that term may.
    fn revoke_in_term(&mut self, node: u64) {
        let status = self.running(node).router.status();
        if status.is_leader {
            let ids = vec![self.random.between(1, 5) as i64, self.random.between(1, 5) as i64];
            self.propose(node, Kind::LeaseRevoke(LeaseRevoke { ids }), Some(status.term));
        }
    }

    fn compact(&mut self, node: u64) {
        let revision = self.running(node).applied.state.kv.revision();
        let revision = revision - self.random.between(0, 10) as i64;
        if revision > 0 {
            let request = CompactionRequest { revision, physical: false };
            self.propose(node, Kind::Compaction(request), None);
        }
    }

    /// The operator adds, promotes or removes a member.
    fn change_members(&mut self, node: u64) {
        let members = self.running(node).links.clone();
        let id = match self.random.between(0, 3) {
            0 if self.nodes.len() < MEMBERS_MAX => 1 + self.nodes.len() as u64,
            1 => return self.promote(node),
            // Two voters cannot lose one safely: the one that is left may never hear of it.
            2 if members.voters().count() > 2 && self.now >= self.next_removal => {
                self.next_removal = self.now + 2 * CLIENT_WAIT;
                let ids: Vec<u64> = members.iter().map(|member| member.id).collect();
                let member_id = self.random.pick(&ids);
                let kind = member_change::Kind::Remove as i32;
                return self.change(node, MemberChange { kind, member_id, ..Default::default() });
            }
            _ => return,
        };
        let change = MemberChange {
            kind: member_change::Kind::Add as i32,
            member_id: id,
            peer_urls: vec![format!("http://{id}")],
            is_learner: self.random.chance(700),
            ..Default::default()
        };
        self.change(node, change);
    }

    /// Only the leader knows whether a learner is in sync.
    fn promote(&mut self, node: u64) {
        let run = self.running(node);
        let own = run.applied.state.applied.index;
        let learners = run.applied.state.applied.learners.clone();
        let progress = run.router.progress();
        let ready = progress
            .iter()
            .find(|one| learners.contains(&one.member) && one.matched * 100 >= own * 90);
        if let Some(member_id) = ready.map(|one| one.member) {
            let kind = member_change::Kind::Promote as i32;
            self.change(node, MemberChange { kind, member_id, ..Default::default() });
        }
    }

    fn change(&mut self, node: u64, change: MemberChange) {
        self.submit(node, change.encode_to_vec().into(), true, None);
    }
}
