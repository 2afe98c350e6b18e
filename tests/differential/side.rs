//! One of the two servers, and how it is asked.

use std::fmt::Debug;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::request_op::Request;

use crate::ask::Ask;
use crate::normal::{Names, header};
use crate::support::client::{Client, Refusal};
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;
use crate::watching::Watching;

/// Where a learner is said to be; nothing listens there.
const LEARNER_URL: &str = "http://127.0.0.1:9";

/// A running server and what the run knows about it.
pub struct Side {
    engine: Engine,
    names: Names,
    watching: Watching,
    client: Client,
    revision: i64,
    compacted: i64,
    _cluster: Cluster,
}

impl Side {
    pub fn start(engine: Engine) -> Side {
        let cluster = Cluster::start(engine, 1, &[]);
        let client = cluster.client(0);
        let node = &cluster.nodes[0];
        let names = Names::new(vec![
            (node.client_url(), "the node's client URL"),
            (node.peer_url(), "the node's peer URL"),
        ]);
        let watching = Watching::open(&client);
        Side { engine, names, watching, client, revision: 1, compacted: 0, _cluster: cluster }
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
                told(self.client.wait(self.maintenance().move_leader(request)))
            }
            Ask::HashKv(revision) => self.hash_kv(*revision),
            Ask::Alarms => self.alarm(pb::alarm_request::AlarmAction::Get),
            Ask::NoSpace(asks) => self.no_space(asks),
            Ask::Status => self.status(),
            Ask::Defragment => {
                let request = pb::DefragmentRequest::default();
                told(self.client.wait(self.maintenance().defragment(request)))
            }
            Ask::Watch(request) => self.watching.create(&self.client, request),
            Ask::CancelWatch(id) => self.watching.cancel(&self.client, *id),
            Ask::CatchUp => self.watching.catch_up(&self.client, &self.names, self.compacted),
            Ask::Progress => {
                self.watching.progress(&self.client, &self.names, (self.revision, self.compacted))
            }
        }
    }

    fn saw(&mut self, header: &Option<pb::ResponseHeader>) {
        if let Some(header) = header {
            self.revision = self.revision.max(header.revision);
        }
    }

    fn range(&mut self, request: &pb::RangeRequest) -> String {
        let mut answer = self.client.range(request.clone());
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.names.range(request, answer);
        }
        told(answer)
    }

    fn put(&mut self, request: &pb::PutRequest) -> String {
        let mut request = request.clone();
        request.lease = self.names.real_lease(request.lease);
        let mut answer = self.client.wait(self.kv().put(request));
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.names.put(answer);
        }
        told(answer)
    }

    fn delete(&mut self, request: &pb::DeleteRangeRequest) -> String {
        let mut answer = self.client.wait(self.kv().delete_range(request.clone()));
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.names.delete(answer);
        }
        told(answer)
    }

    fn txn(&mut self, request: &pb::TxnRequest) -> String {
        let mut request = request.clone();
        self.real_leases(&mut request);
        let mut answer = self.client.wait(self.kv().txn(request.clone()));
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
        let mut answer = self.client.wait(self.kv().compact(*request));
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            self.compacted = self.compacted.max(request.revision);
            header(&mut answer.header);
        }
        told(answer)
    }

    fn grant(&mut self, request: &pb::LeaseGrantRequest) -> (String, Option<i64>) {
        let mut answer = self.client.wait(self.lease().lease_grant(*request));
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
        let mut answer = self.client.wait(self.lease().lease_revoke(request));
        if let Ok(answer) = &mut answer {
            self.saw(&answer.header);
            header(&mut answer.header);
        }
        told(answer)
    }

    fn time_to_live(&mut self, request: &pb::LeaseTimeToLiveRequest) -> String {
        let id = self.names.real_lease(request.id);
        let request = pb::LeaseTimeToLiveRequest { id, ..*request };
        let mut answer = self.client.wait(self.lease().lease_time_to_live(request));
        if let Ok(answer) = &mut answer {
            self.names.time_to_live(answer);
        }
        told(answer)
    }

    fn leases(&mut self) -> String {
        let request = pb::LeaseLeasesRequest::default();
        let mut answer = self.client.wait(self.lease().lease_leases(request));
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
        let mut leases = self.lease();
        let names = &self.names;
        let call = async {
            let mut told = Vec::new();
            let mut answers = leases.lease_keep_alive(tokio_stream::iter(real)).await?.into_inner();
            while let Some(mut answer) = answers.message().await? {
                header(&mut answer.header);
                answer.id = names.lease(answer.id);
                told.push(answer);
            }
            Ok(told)
        };
        let answer: Result<_, tonic::Status> = self.client.block_on(call);
        told(answer.map_err(Refusal::from))
    }

    /// A write that changes nothing. Until one has come through, etcd 3.5.1 may drop a change
    /// of the members that follows another, and never answer it.
    fn pass(&mut self) {
        let delete = pb::DeleteRangeRequest { key: "nothing".into(), ..Default::default() };
        self.client.wait(self.kv().delete_range(delete)).expect("a delete of nothing");
    }

    fn cluster(&mut self, ask: &Ask) -> String {
        self.pass();
        let mut client = ClusterClient::new(self.client.channel());
        let wait = &self.client;
        let members = match ask {
            Ask::MemberList => {
                let request = pb::MemberListRequest { linearizable: true };
                let answer = wait.wait(client.member_list(request));
                answer.map(|answer| (answer.header, answer.members))
            }
            Ask::MemberAdd(request) => {
                let answer = wait.wait(client.member_add(request.clone()));
                answer.map(|answer| (answer.header, answer.members))
            }
            Ask::MemberRemove(id) => {
                let answer = wait.wait(client.member_remove(pb::MemberRemoveRequest { id: *id }));
                answer.map(|answer| (answer.header, answer.members))
            }
            Ask::MemberUpdate(request) => {
                let answer = wait.wait(client.member_update(request.clone()));
                answer.map(|answer| (answer.header, answer.members))
            }
            Ask::MemberPromote(id) => {
                let answer = wait.wait(client.member_promote(pb::MemberPromoteRequest { id: *id }));
                answer.map(|answer| (answer.header, answer.members))
            }
            _ => return self.learner(),
        };
        told(members.map(|(mut head, mut members)| {
            header(&mut head);
            self.names.members(&mut members);
            (head, members)
        }))
    }

    fn learner(&mut self) -> String {
        let mut client = ClusterClient::new(self.client.channel());
        let peer_ur_ls = vec![LEARNER_URL.to_string()];
        let request = pb::MemberAddRequest { peer_ur_ls, is_learner: true };
        let added = self.client.wait(client.member_add(request));
        let Ok(added) = added else { return told(added) };
        let member = added.member.unwrap_or_default();
        let mut lines = vec![format!("{} {:?}", member.is_learner, member.name)];
        lines.push(self.cluster(&Ask::MemberPromote(member.id)));
        lines.push(self.cluster(&Ask::MemberList));
        lines.push(self.cluster(&Ask::MemberRemove(member.id)));
        lines.push(self.cluster(&Ask::MemberRemove(member.id)));
        lines.join("\n")
    }

    fn hash_kv(&mut self, revision: i64) -> String {
        let answer = self.client.wait(self.maintenance().hash_kv(pb::HashKvRequest { revision }));
        // The sum itself is each implementation's own.
        told(answer.map(|mut answer| {
            header(&mut answer.header);
            (answer.header, answer.compact_revision)
        }))
    }

    fn alarm(&mut self, action: pb::alarm_request::AlarmAction) -> String {
        let request = pb::AlarmRequest {
            action: action as i32,
            member_id: 0,
            alarm: pb::AlarmType::Nospace as i32,
        };
        let mut answer = self.client.wait(self.maintenance().alarm(request));
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
        told(self.client.status().map(|mut status| {
            let own = status.header.as_ref().is_some_and(|h| h.member_id == status.leader);
            header(&mut status.header);
            let sizes = (status.db_size > 0, status.db_size >= status.db_size_in_use);
            let indexes = (status.raft_index > 0, status.raft_term > 0);
            (status.header, own, sizes, indexes, status.errors, status.is_learner)
        }))
    }

    fn kv(&self) -> KvClient<tonic::transport::Channel> {
        KvClient::new(self.client.channel())
    }

    fn lease(&self) -> LeaseClient<tonic::transport::Channel> {
        LeaseClient::new(self.client.channel())
    }

    fn maintenance(&self) -> MaintenanceClient<tonic::transport::Channel> {
        MaintenanceClient::new(self.client.channel())
    }
}

/// An answer as text; a refusal is its code and its text.
fn told<T: Debug>(answer: Result<T, Refusal>) -> String {
    match answer {
        Ok(answer) => format!("{answer:?}"),
        Err(refusal) => format!("refused {:?} {:?}", refusal.code, refusal.text),
    }
}
