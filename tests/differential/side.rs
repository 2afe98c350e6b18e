//! One of the two servers, and how it is asked.

use std::collections::BTreeMap;
use std::fmt::Debug;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request;
use tonic::Code;

use crate::ask::Ask;
use crate::normal::{Names, header};
use crate::support::client::Refusal;
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::tools::Engine;
use crate::watching::Watching;
use crate::wire::{Way, Wire};

/// Where a learner is said to be, and where else; nothing listens there.
const LEARNER_URL: &str = "http://127.0.0.1:9";
pub const OTHER_URL: &str = "http://127.0.0.1:7";

/// A running server and what the run knows about it.
pub struct Side {
    engine: Engine,
    pub names: Names,
    pub wire: Wire,
    /// The tokens that users were given last.
    pub tokens: BTreeMap<String, String>,
    watching: Option<Watching>,
    revision: i64,
    compacted: i64,
    _cluster: Cluster,
}

impl Side {
    pub fn start(engine: Engine, way: Way) -> Side {
        let cluster = Cluster::start(engine, 1, &["--bcrypt-cost=4"]);
        let node = &cluster.nodes[0];
        let names = Names::new(vec![
            (node.client_url(), "the node's client URL"),
            (node.peer_url(), "the node's peer URL"),
        ]);
        // By the gateway a stream of watches cannot be asked for more once it is open.
        let is_stream = matches!(way, Way::Grpc);
        let wire = Wire::new(&node.client_url(), way);
        let watching = is_stream.then(|| Watching::open(&wire.client));
        Side {
            engine,
            names,
            wire,
            tokens: BTreeMap::new(),
            watching,
            revision: 1,
            compacted: 0,
            _cluster: cluster,
        }
    }

    /// The newest revision an answer told of.
    pub fn revision(&self) -> i64 {
        self.revision
    }

    /// Up to where it is compacted.
    pub fn compacted(&self) -> i64 {
        self.compacted
    }

    /// Asks, and tells the answer as text.
    pub fn answer(&mut self, ask: &Ask) -> String {
        match ask {
            Ask::Range(request) => self.range(request),
            Ask::Put(request) => self.put(request),
            Ask::Delete(request) => self.delete(request),
            Ask::Txn(request) => self.txn(request),
            Ask::Compact(request) => self.compact(request),
            Ask::Grant(request) => self.grant(request).0,
            Ask::GrantAndRevoke(request) => {
                let (granted, id) = self.grant(request);
                let revoked = self.revoke(id.unwrap_or(request.id));
                format!("{granted}\n{revoked}")
            }
            Ask::Revoke(id) => self.revoke(*id),
            Ask::TimeToLive(request) => self.time_to_live(request),
            Ask::Leases => self.leases(),
            Ask::KeepAlive(ids) => self.keep_alive(ids),
            Ask::MemberList
            | Ask::MemberAdd(_)
            | Ask::MemberRemove(_)
            | Ask::MemberUpdate(_)
            | Ask::MemberPromote(_)
            | Ask::Learner => self.cluster(ask),
            Ask::MoveLeader(target_id) => {
                let request = pb::MoveLeaderRequest { target_id: *target_id };
                self.ask::<_, pb::MoveLeaderResponse>(
                    "etcdserverpb.Maintenance/MoveLeader",
                    request,
                )
            }
            Ask::HashKv(revision) => self.hash_kv(*revision),
            Ask::Hash => self.hash(),
            Ask::Snapshot => self.snapshot(),
            Ask::Downgrade(action, target) => self.downgrade(*action, *target),
            Ask::Downgrades => self.downgrades(),
            Ask::Alarms => self.alarm(pb::alarm_request::AlarmAction::Get),
            Ask::NoSpace(asks) => self.no_space(asks),
            Ask::Status => self.status(),
            Ask::Defragment => {
                let request = pb::DefragmentRequest::default();
                self.ask::<_, pb::DefragmentResponse>(
                    "etcdserverpb.Maintenance/Defragment",
                    request,
                )
            }
            Ask::Watch(_) | Ask::CancelWatch(_) | Ask::CatchUp | Ask::Progress => self.watch(ask),
            Ask::WatchOnce(request) => self.watch_once(request),
            Ask::Lock(name, lease) => self.lock(name, *lease),
            Ask::Elect(name, lease) => self.elect(name, *lease),
            Ask::Malformed(request) => request.answer(&self.wire, &self.names),
            Ask::Users(users) => self.users(users),
            Ask::As(who, ask) => self.answer_as(who, ask),
        }
    }

    fn watch(&mut self, ask: &Ask) -> String {
        let Some(watching) = &mut self.watching else { return "there is no stream".into() };
        let client = &self.wire.client;
        match ask {
            Ask::Watch(request) => watching.create(client, request),
            Ask::CancelWatch(id) => watching.cancel(client, *id),
            Ask::CatchUp => watching.catch_up(client, &self.names, self.compacted),
            _ => watching.progress(client, &self.names, (self.revision, self.compacted)),
        }
    }

    /// Asks what has nothing in its answer that differs from server to server.
    fn ask<Q, A>(&mut self, method: &'static str, request: Q) -> String
    where
        Q: prost::Message + 'static,
        A: prost::Message + Default + Debug + 'static,
    {
        told(self.wire.call::<Q, A>(method, request))
    }

    pub fn saw(&mut self, header: &Option<pb::ResponseHeader>) {
        if let Some(header) = header {
            self.revision = self.revision.max(header.revision);
        }
    }

    fn range(&mut self, request: &pb::RangeRequest) -> String {
        let mut answer: Result<pb::RangeResponse, _> =
            self.wire.call("etcdserverpb.KV/Range", request.clone());
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.names.range(request, answer);
        }
        told(answer)
    }

    fn put(&mut self, request: &pb::PutRequest) -> String {
        let mut request = request.clone();
        request.lease = self.names.real_lease(request.lease);
        let mut answer: Result<pb::PutResponse, _> = self.wire.call("etcdserverpb.KV/Put", request);
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.names.put(answer);
        }
        told(answer)
    }

    fn delete(&mut self, request: &pb::DeleteRangeRequest) -> String {
        let mut answer: Result<pb::DeleteRangeResponse, _> =
            self.wire.call("etcdserverpb.KV/DeleteRange", request.clone());
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.names.delete(answer);
        }
        told(answer)
    }

    fn txn(&mut self, request: &pb::TxnRequest) -> String {
        let mut request = request.clone();
        self.real_leases(&mut request);
        let mut answer: Result<pb::TxnResponse, _> =
            self.wire.call("etcdserverpb.KV/Txn", request.clone());
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.names.txn(&request, answer);
        }
        told(answer)
    }

    fn real_leases(&self, request: &mut pb::TxnRequest) {
        for op in request.success.iter_mut().chain(&mut request.failure) {
            match &mut op.request {
                Some(Request::RequestPut(put)) => put.lease = self.names.real_lease(put.lease),
                Some(Request::RequestTxn(txn)) => self.real_leases(txn),
                _ => {}
            }
        }
    }

    fn compact(&mut self, request: &pb::CompactionRequest) -> String {
        let mut answer: Result<pb::CompactionResponse, _> =
            self.wire.call("etcdserverpb.KV/Compact", *request);
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.compacted = self.compacted.max(request.revision);
            header(&mut answer.header);
        }
        told(answer)
    }

    fn grant(&mut self, request: &pb::LeaseGrantRequest) -> (String, Option<i64>) {
        let mut answer: Result<pb::LeaseGrantResponse, _> =
            self.wire.call("etcdserverpb.Lease/LeaseGrant", *request);
        let mut id = None;
        if let Ok(answer) = &mut answer {
            header(&mut answer.header);
            if request.id == 0 {
                assert!(answer.id > 0, "{}: picked {}", self.engine, answer.id);
                self.names.pick(answer.id);
            }
            answer.id = self.names.lease(answer.id);
            id = Some(answer.id);
        }
        (told(answer), id)
    }

    fn revoke(&mut self, id: i64) -> String {
        let request = pb::LeaseRevokeRequest { id: self.names.real_lease(id) };
        let mut answer: Result<pb::LeaseRevokeResponse, _> =
            self.wire.call("etcdserverpb.Lease/LeaseRevoke", request);
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            header(&mut answer.header);
        }
        told(answer)
    }

    fn time_to_live(&mut self, request: &pb::LeaseTimeToLiveRequest) -> String {
        let id = self.names.real_lease(request.id);
        let request = pb::LeaseTimeToLiveRequest { id, ..*request };
        let mut answer: Result<pb::LeaseTimeToLiveResponse, _> =
            self.wire.call("etcdserverpb.Lease/LeaseTimeToLive", request);
        if let Ok(answer) = &mut answer {
            self.names.time_to_live(answer);
        }
        told(answer)
    }

    fn leases(&mut self) -> String {
        let request = pb::LeaseLeasesRequest::default();
        let mut answer: Result<pb::LeaseLeasesResponse, _> =
            self.wire.call("etcdserverpb.Lease/LeaseLeases", request);
        if let Ok(answer) = &mut answer {
            header(&mut answer.header);
            for lease in &mut answer.leases {
                lease.id = self.names.lease(lease.id);
            }
            // They come by the time they end, which is a question of milliseconds here.
            answer.leases.sort_by_key(|lease| lease.id);
        }
        told(answer)
    }

    fn keep_alive(&mut self, ids: &[i64]) -> String {
        let real: Vec<pb::LeaseKeepAliveRequest> = ids
            .iter()
            .map(|id| pb::LeaseKeepAliveRequest { id: self.names.real_lease(*id) })
            .collect();
        let mut left = real.len();
        let answers: Result<Vec<pb::LeaseKeepAliveResponse>, _> =
            self.wire.stream("etcdserverpb.Lease/LeaseKeepAlive", real, |_| {
                left -= 1;
                left == 0
            });
        told(answers.map(|mut answers| {
            for answer in &mut answers {
                header(&mut answer.header);
                answer.id = self.names.lease(answer.id);
            }
            answers
        }))
    }

    /// A write that changes nothing. Until one has come through, etcd 3.5.1 may drop a change
    /// of the members that follows another, and never answer it.
    fn pass(&mut self) {
        let delete = pb::DeleteRangeRequest { key: "nothing".into(), ..Default::default() };
        // Without the right to it there is no change of members after it, either.
        let _ = self.wire.call::<_, pb::DeleteRangeResponse>("etcdserverpb.KV/DeleteRange", delete);
    }

    fn cluster(&mut self, ask: &Ask) -> String {
        self.pass();
        let answer = match ask {
            Ask::MemberList => {
                let request = pb::MemberListRequest { linearizable: true };
                let answer = self.wire.call("etcdserverpb.Cluster/MemberList", request);
                answer.map(|answer: pb::MemberListResponse| (answer.header, answer.members))
            }
            Ask::MemberAdd(request) => {
                let answer = self.wire.call("etcdserverpb.Cluster/MemberAdd", request.clone());
                answer.map(|answer: pb::MemberAddResponse| (answer.header, answer.members))
            }
            Ask::MemberRemove(id) => {
                let request = pb::MemberRemoveRequest { id: *id };
                let answer = self.wire.call("etcdserverpb.Cluster/MemberRemove", request);
                answer.map(|answer: pb::MemberRemoveResponse| (answer.header, answer.members))
            }
            Ask::MemberUpdate(request) => {
                let answer = self.wire.call("etcdserverpb.Cluster/MemberUpdate", request.clone());
                answer.map(|answer: pb::MemberUpdateResponse| (answer.header, answer.members))
            }
            Ask::MemberPromote(id) => {
                let request = pb::MemberPromoteRequest { id: *id };
                let answer = self.wire.call("etcdserverpb.Cluster/MemberPromote", request);
                answer.map(|answer: pb::MemberPromoteResponse| (answer.header, answer.members))
            }
            _ => return self.learner(),
        };
        told(answer.map(|(mut head, mut members)| {
            header(&mut head);
            self.names.members(&mut members);
            (head, members)
        }))
    }

    fn learner(&mut self) -> String {
        let peer_ur_ls = vec![LEARNER_URL.to_string()];
        let request = pb::MemberAddRequest { peer_ur_ls, is_learner: true };
        // etcd gives who comes again within a second the id of who has gone, and refuses it.
        let added = eventually("a second in which no learner came", || {
            match self.wire.call("etcdserverpb.Cluster/MemberAdd", request.clone()) {
                Err(refusal) if refusal.code == Code::NotFound => Err(refusal.text),
                other => Ok(other),
            }
        });
        let added: pb::MemberAddResponse = match added {
            Ok(added) => added,
            Err(refusal) => return told::<()>(Err(refusal)),
        };
        let member = added.member.unwrap_or_default();
        let mut lines = vec![format!("{} {:?}", member.is_learner, member.name)];
        let own = self.own_id();
        let second = Ask::MemberAdd(pb::MemberAddRequest {
            peer_ur_ls: vec![OTHER_URL.to_string()],
            is_learner: true,
        });
        let update = |id, url: &str| {
            Ask::MemberUpdate(pb::MemberUpdateRequest { id, peer_ur_ls: vec![url.to_string()] })
        };
        for ask in [
            Ask::MemberPromote(member.id),
            Ask::MemberList,
            // Nothing of this is possible.
            second,
            update(own, LEARNER_URL),
            Ask::MemberPromote(own),
            update(member.id, OTHER_URL),
            Ask::MemberList,
            Ask::MemberRemove(member.id),
            Ask::MemberRemove(member.id),
            Ask::MemberPromote(member.id),
            update(member.id, LEARNER_URL),
        ] {
            lines.push(self.cluster(&ask));
        }
        for target in [member.id, own] {
            lines.push(self.answer(&Ask::MoveLeader(target)));
        }
        lines.join("\n")
    }

    /// The server's id, if it may be known.
    fn own_id(&mut self) -> u64 {
        let request = pb::StatusRequest::default();
        let status: Result<pb::StatusResponse, _> =
            self.wire.call("etcdserverpb.Maintenance/Status", request);
        status.ok().and_then(|status| status.header).map_or(0, |header| header.member_id)
    }

    fn alarm(&mut self, action: pb::alarm_request::AlarmAction) -> String {
        let request = pb::AlarmRequest {
            action: action as i32,
            member_id: 0,
            alarm: pb::AlarmType::Nospace as i32,
        };
        let mut answer: Result<pb::AlarmResponse, _> =
            self.wire.call("etcdserverpb.Maintenance/Alarm", request);
        if let Ok(answer) = &mut answer {
            header(&mut answer.header);
            for alarm in &mut answer.alarms {
                alarm.member_id = alarm.member_id.min(1);
            }
        }
        told(answer)
    }

    fn no_space(&mut self, asks: &[Ask]) -> String {
        let mut lines = vec![self.alarm(pb::alarm_request::AlarmAction::Activate)];
        for ask in asks {
            lines.push(self.answer(ask));
        }
        lines.push(self.alarm(pb::alarm_request::AlarmAction::Get));
        lines.push(self.alarm(pb::alarm_request::AlarmAction::Deactivate));
        lines.join("\n")
    }

    fn status(&mut self) -> String {
        let request = pb::StatusRequest::default();
        let status = self.wire.call("etcdserverpb.Maintenance/Status", request);
        told(status.map(|mut status: pb::StatusResponse| {
            let own = status.header.as_ref().is_some_and(|h| h.member_id == status.leader);
            header(&mut status.header);
            let sizes = (status.db_size > 0, status.db_size >= status.db_size_in_use);
            let indexes = (status.raft_index > 0, status.raft_term > 0);
            (status.header, own, sizes, indexes, status.errors, status.is_learner)
        }))
    }
}

/// An answer as text; a refusal is its code and its text.
pub fn told<T: Debug>(answer: Result<T, Refusal>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(refusal) => format!("refused {:?} {:?}", refusal.code, refusal.text),
    }
}
