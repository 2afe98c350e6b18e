//! What one node says about itself, asked over its client port as any client would.
//!
//! [`probe`] makes only requests that a member answers from its own state (Status, and the member
//! list without linearizability), so it tells something even when the quorum is gone, and one
//! silent node never delays what is known about the others. What a member says about itself looks
//! well as long as it hears a leader, also if that leader does not hear it: [`in_touch`] asks for
//! what needs the leader's answer.

use std::time::Duration;

use proto::etcdserverpb::{
    MemberListRequest, RangeRequest, StatusRequest, cluster_client::ClusterClient,
    kv_client::KvClient, maintenance_client::MaintenanceClient,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

/// How long a node may take to answer. A paused node never does.
pub const DEADLINE: Duration = Duration::from_millis(800);

/// One member of the cluster, as a node lists it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names are etcd's")]
pub struct MemberInfo {
    pub id: u64,
    pub name: String,
    pub peer_urls: Vec<String>,
    pub learner: bool,
}

/// A node's answer.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[allow(missing_docs, reason = "the names are etcd's")]
pub struct Report {
    pub member_id: u64,
    pub cluster_id: u64,
    /// 0 when it knows none.
    pub leader: u64,
    pub term: u64,
    pub applied: u64,
    pub commit: u64,
    pub revision: i64,
    pub db_size: i64,
    pub db_size_in_use: i64,
    pub learner: bool,
    pub version: String,
    pub members: Vec<MemberInfo>,
}

/// A connection that is made on first use, and made again when it breaks.
pub fn channel(url: &str) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())?;
    Ok(endpoint.connect_timeout(DEADLINE).connect_lazy())
}

/// Asks once. `None` is a node that does not answer in time, or not with sense.
pub async fn probe(channel: &Channel) -> Option<Report> {
    tokio::time::timeout(DEADLINE, ask(channel)).await.ok()?.ok()
}

/// Read, never written; that it does not exist is as good an answer.
const KEY: &[u8] = b"/etcd-tui/probe";

/// After that nobody waits for an answer any more. Far more than what makes a member mute: an
/// answer that is late is an answer.
pub const TOUCH_DEADLINE: Duration = Duration::from_secs(5);

/// Whether a linearizable read comes back. A refusal does too, and is as good.
pub async fn in_touch(channel: Channel) -> bool {
    let request = RangeRequest { key: KEY.into(), count_only: true, ..RangeRequest::default() };
    let mut kv = KvClient::new(channel);
    match tokio::time::timeout(TOUCH_DEADLINE, kv.range(request)).await {
        Ok(Ok(_)) => true,
        Ok(Err(status)) => !matches!(
            status.code(),
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
        ),
        Err(_) => false,
    }
}

async fn ask(channel: &Channel) -> Result<Report, tonic::Status> {
    let mut maintenance = MaintenanceClient::new(channel.clone());
    let mut cluster = ClusterClient::new(channel.clone());
    let status = maintenance.status(StatusRequest {}).await?.into_inner();
    let list = cluster.member_list(MemberListRequest { linearizable: false }).await?.into_inner();
    let header = status.header.unwrap_or_default();
    Ok(Report {
        member_id: header.member_id,
        cluster_id: header.cluster_id,
        leader: status.leader,
        term: status.raft_term,
        // Before 3.4 a member did not say what it had applied.
        applied: if status.raft_applied_index > 0 {
            status.raft_applied_index
        } else {
            status.raft_index
        },
        commit: status.raft_index,
        revision: header.revision,
        db_size: status.db_size,
        db_size_in_use: status.db_size_in_use,
        learner: status.is_learner,
        version: status.version,
        members: list.members.into_iter().map(member).collect(),
    })
}

pub(crate) fn member(member: proto::etcdserverpb::Member) -> MemberInfo {
    MemberInfo {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_ur_ls,
        learner: member.is_learner,
    }
}
