//! What takes more than one request: a watch of its own, a lock, an election.

use proto::etcdserverpb as pb;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::mvccpb::Event;
use proto::{v3electionpb as election, v3lockpb as lock};

use crate::normal::header;
use crate::side::{Side, told};
use crate::watching::{last_revision, revision};

impl Side {
    /// Watches until the last event has come that there is for it: a write is made for it.
    pub fn watch_once(&mut self, request: &pb::WatchCreateRequest) -> String {
        let key = if request.key.is_empty() { vec![0].into() } else { request.key.clone() };
        let put = pb::PutRequest { key: key.clone(), value: "last".into(), ..Default::default() };
        let put = self.wire.call::<_, pb::PutResponse>("etcdserverpb.KV/Put", put);
        let delete = pb::DeleteRangeRequest { key, ..Default::default() };
        let deleted: Result<pb::DeleteRangeResponse, _> =
            self.wire.call("etcdserverpb.KV/DeleteRange", delete);
        let last = match (put, deleted) {
            (Ok(_), Ok(deleted)) => {
                self.saw(&deleted.header);
                last_revision(request, deleted.header.map_or(0, |header| header.revision))
            }
            // Without the right to write nothing is waited for.
            _ => None,
        };
        // Of the past, or nothing would be written any more that it waits for.
        let last = last.filter(|_| request.start_revision > 0);
        let union = RequestUnion::CreateRequest(request.clone());
        let requests = vec![pb::WatchRequest { request_union: Some(union) }];
        let is_last = |answer: &pb::WatchResponse| {
            let newest = answer.events.last().map(revision);
            answer.canceled
                || last.is_none_or(|last| request.start_revision > last)
                || newest >= last && !answer.fragment
        };
        let answers: Result<Vec<pb::WatchResponse>, _> =
            self.wire.stream("etcdserverpb.Watch/Watch", requests, is_last);
        let answers = match answers {
            Ok(answers) => answers,
            Err(refusal) => return told::<()>(Err(refusal)),
        };
        let mut lines = Vec::new();
        let mut events = Vec::new();
        for answer in answers {
            let seen = (answer.created, answer.canceled, answer.watch_id, answer.compact_revision);
            if answer.created || answer.canceled {
                lines.push(format!("{seen:?} {:?}", answer.cancel_reason));
            }
            events.extend(answer.events);
        }
        lines.push(format!("{:?}", self.leveled(events)));
        lines.join("\n")
    }

    fn leveled(&self, mut events: Vec<Event>) -> Vec<Event> {
        for event in &mut events {
            // What is compacted etcd may find or not.
            if revision(event) <= self.compacted() {
                event.prev_kv = None;
            }
            for kv in [&mut event.kv, &mut event.prev_kv].into_iter().flatten() {
                self.names.kv(kv);
            }
        }
        events
    }

    pub fn lock(&mut self, name: &str, lease: i64) -> String {
        let lease = self.names.real_lease(lease);
        let request = lock::LockRequest { name: name.to_owned().into(), lease };
        let mut locked = self.wire.call("v3lockpb.Lock/Lock", request);
        let key = match &mut locked {
            Ok(lock::LockResponse { header: head, key }) => {
                header(head);
                key.clone()
            }
            Err(_) => name.to_owned().into(),
        };
        let unlock = lock::UnlockRequest { key };
        let mut unlocked = self.wire.call("v3lockpb.Lock/Unlock", unlock);
        if let Ok(lock::UnlockResponse { header: head }) = &mut unlocked {
            self.saw(head);
            header(head);
        }
        // The key has the id of the lease in it.
        let locked = locked.map(|locked| (locked.header, !locked.key.is_empty()));
        format!("{}\n{}", told(locked), told(unlocked))
    }

    pub fn elect(&mut self, name: &str, lease: i64) -> String {
        let lease = self.names.real_lease(lease);
        let request =
            election::CampaignRequest { name: name.to_owned().into(), lease, value: "one".into() };
        let won: Result<election::CampaignResponse, _> =
            self.wire.call("v3electionpb.Election/Campaign", request);
        let leader = match &won {
            Ok(won) => won.leader.clone(),
            Err(_) => {
                let (name, key) = (name.to_owned().into(), format!("{name}/0").into());
                Some(election::LeaderKey { name, key, rev: 1, lease })
            }
        };
        let mut lines = vec![told(won.map(|won| {
            let rev = won.leader.map(|leader| (leader.rev, leader.lease == lease));
            (won.header.map(|header| header.revision), rev)
        }))];
        let value = "two".into();
        let proclaim = election::ProclaimRequest { leader: leader.clone(), value };
        let proclaimed: Result<election::ProclaimResponse, _> =
            self.wire.call("v3electionpb.Election/Proclaim", proclaim);
        lines.push(told(proclaimed.map(|answer| answer.header.map(|header| header.revision))));
        let request = || election::LeaderRequest { name: name.to_owned().into() };
        let told_leader = |answer: election::LeaderResponse| {
            (
                answer.header.map(|header| header.revision),
                answer.kv.map(|kv| (kv.value, kv.version)),
            )
        };
        let seen = self.wire.call("v3electionpb.Election/Leader", request());
        lines.push(told(seen.map(told_leader)));
        // Without a leader it waits for one.
        if lines[0].starts_with("(Some") {
            let requests = vec![request()];
            let observed: Result<Vec<election::LeaderResponse>, _> =
                self.wire.stream("v3electionpb.Election/Observe", requests, |_| true);
            lines.push(told(observed.map(|mut all| all.pop().map(told_leader))));
        }
        let resign = election::ResignRequest { leader };
        let mut resigned = self.wire.call("v3electionpb.Election/Resign", resign);
        if let Ok(election::ResignResponse { header: head }) = &mut resigned {
            self.saw(head);
            header(head);
        }
        lines.push(told(resigned));
        lines.join("\n")
    }
}
