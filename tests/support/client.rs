//! A plain, blocking client of one endpoint.
//!
//! It retries nothing and hides nothing: what the server answers is what the test sees.

use std::time::Duration;

use proto::etcdserverpb as pb;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

/// Longer than a server's own request timeout, so that its answer is seen, not ours.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// A client of one endpoint.
pub struct Client {
    runtime: tokio::runtime::Runtime,
    channel: Channel,
}

/// What a server refused, comparable.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: Code,
    pub text: String,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        Refusal { code: status.code(), text: status.message().to_string() }
    }
}

impl From<Refusal> for String {
    fn from(refusal: Refusal) -> String {
        format!("{:?}: {}", refusal.code, refusal.text)
    }
}

/// A member as a client sees it.
#[derive(Debug, Clone)]
pub struct Member {
    pub id: u64,
    pub name: String,
    pub peer_url: String,
    pub is_learner: bool,
}

impl Client {
    pub fn new(url: &str) -> Client {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let endpoint = Endpoint::from_shared(url.to_string())
            .expect("a URL")
            .connect_timeout(Duration::from_secs(5))
            .timeout(CALL_TIMEOUT);
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        Client { runtime, channel }
    }

    /// The connection, for a call this client has no word for.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Runs a call to its end on this client's runtime.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Waits for the answer of a unary call.
    pub fn wait<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Refusal> {
        Ok(self.runtime.block_on(call)?.into_inner())
    }

    pub fn put(&self, key: &str, value: &str) -> Result<i64, Refusal> {
        let request = pb::PutRequest {
            key: key.to_string().into(),
            value: value.to_string().into(),
            ..Default::default()
        };
        let answer = self.wait(KvClient::new(self.channel.clone()).put(request))?;
        Ok(answer.header.expect("a header").revision)
    }

    /// A range, raw.
    pub fn range(&self, request: pb::RangeRequest) -> Result<pb::RangeResponse, Refusal> {
        let mut client =
            KvClient::new(self.channel.clone()).max_decoding_message_size(256 * 1024 * 1024);
        self.wait(client.range(request))
    }

    /// The value of one key.
    pub fn get(&self, key: &str, serializable: bool) -> Result<Option<String>, Refusal> {
        let answer = self.range(pb::RangeRequest {
            key: key.to_string().into(),
            serializable,
            ..Default::default()
        })?;
        let value = |kv: &proto::mvccpb::KeyValue| String::from_utf8_lossy(&kv.value).into_owned();
        Ok(answer.kvs.first().map(value))
    }

    pub fn status(&self) -> Result<pb::StatusResponse, Refusal> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        self.wait(client.status(pb::StatusRequest::default()))
    }

    /// Its own member id and the leader it follows (0 = none).
    pub fn leader(&self) -> Result<(u64, u64), Refusal> {
        let status = self.status()?;
        Ok((status.header.expect("a header").member_id, status.leader))
    }

    /// The hash of the key space at a revision and the revision compacted to.
    pub fn hash_kv(&self, revision: i64) -> Result<(u32, i64), Refusal> {
        let mut client = MaintenanceClient::new(self.channel.clone());
        let answer = self.wait(client.hash_kv(pb::HashKvRequest { revision }))?;
        Ok((answer.hash, answer.compact_revision))
    }

    pub fn members(&self) -> Result<Vec<Member>, Refusal> {
        let mut client = ClusterClient::new(self.channel.clone());
        let request = pb::MemberListRequest { linearizable: true };
        let answer = self.wait(client.member_list(request))?;
        Ok(answer.members.into_iter().map(member).collect())
    }

    pub fn add_member(&self, peer_url: &str, is_learner: bool) -> Result<Vec<Member>, Refusal> {
        let mut client = ClusterClient::new(self.channel.clone());
        let request = pb::MemberAddRequest { peer_ur_ls: vec![peer_url.into()], is_learner };
        let answer = self.wait(client.member_add(request))?;
        Ok(answer.members.into_iter().map(member).collect())
    }

    pub fn remove_member(&self, id: u64) -> Result<(), Refusal> {
        let mut client = ClusterClient::new(self.channel.clone());
        self.wait(client.member_remove(pb::MemberRemoveRequest { id })).map(drop)
    }

    pub fn promote_member(&self, id: u64) -> Result<(), Refusal> {
        let mut client = ClusterClient::new(self.channel.clone());
        self.wait(client.member_promote(pb::MemberPromoteRequest { id })).map(drop)
    }
}

fn member(member: pb::Member) -> Member {
    Member {
        id: member.id,
        name: member.name,
        peer_url: member.peer_ur_ls.into_iter().next().unwrap_or_default(),
        is_learner: member.is_learner,
    }
}
