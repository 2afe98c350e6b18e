//! The steps of a membership change that the cluster itself carries out, over etcd's API.
//!
//! Requests go to the leader: etcd judges health from the connections of the member that is
//! asked, and only the leader hands over leadership or knows whether a learner has caught up.
//! Every step first looks at what is already true, so trying again is harmless.

use std::time::Duration;

use proto::etcdserverpb::{
    HashKvRequest, MemberAddRequest, MemberListRequest, MemberPromoteRequest, MemberRemoveRequest,
    MoveLeaderRequest, RangeRequest, cluster_client::ClusterClient, kv_client::KvClient,
    maintenance_client::MaintenanceClient,
};
use tonic::{Code, Status, transport::Channel};

use crate::{
    members::Answer,
    probe::{self, MemberInfo},
};

/// How long one request may take. Longer than an election.
const DEADLINE: Duration = Duration::from_secs(5);

/// What the cluster is asked to do.
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "the names are etcd's")]
pub enum Ask {
    MoveAway {
        peer_url: String,
    },
    Remove {
        peer_url: String,
    },
    Add {
        peer_url: String,
    },
    Promote {
        peer_url: String,
    },
    /// Compare these members.
    Verify {
        clients: Vec<(String, Channel)>,
    },
}

/// Asks the leader, reached over `leader`.
pub async fn ask(leader: Channel, ask: Ask) -> Answer {
    let answer = async {
        match ask {
            Ask::MoveAway { peer_url } => move_away(leader, &peer_url).await,
            Ask::Remove { peer_url } => remove(leader, &peer_url).await,
            Ask::Add { peer_url } => add(leader, &peer_url).await,
            Ask::Promote { peer_url } => promote(leader, &peer_url).await,
            Ask::Verify { clients } => return verify(leader, clients).await,
        }
        .map_or_else(judge, |()| Answer::Done)
    };
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(answer) => answer,
        Err(_) => Answer::Unreachable("no answer from the leader".to_owned()),
    }
}

fn judge(status: Status) -> Answer {
    let text = status.message().to_owned();
    match status.code() {
        // etcd's own refusals are Unavailable too, but carry its name.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown
            if !text.starts_with("etcdserver:") =>
        {
            Answer::Unreachable(format!("no answer from the leader ({text})"))
        }
        _ => Answer::Refused(text),
    }
}

async fn list(leader: &Channel) -> Result<Vec<MemberInfo>, Status> {
    let mut cluster = ClusterClient::new(leader.clone());
    let list = cluster.member_list(MemberListRequest { linearizable: true }).await?.into_inner();
    Ok(list.members.into_iter().map(probe::member).collect())
}

async fn find(leader: &Channel, peer_url: &str) -> Result<Option<MemberInfo>, Status> {
    let members = list(leader).await?;
    Ok(members.into_iter().find(|member| member.peer_urls.iter().any(|url| url == peer_url)))
}

async fn move_away(leader: Channel, peer_url: &str) -> Result<(), Status> {
    let mut maintenance = MaintenanceClient::new(leader.clone());
    let status = maintenance.status(proto::etcdserverpb::StatusRequest {}).await?.into_inner();
    let members = list(&leader).await?;
    let is_target = |member: &MemberInfo| member.peer_urls.iter().any(|url| url == peer_url);
    let target_leads = members.iter().any(|it| is_target(it) && it.id == status.leader);
    if !target_leads {
        return Ok(());
    }
    // Any voter that has been connected will do: etcd refuses one that has not, and the next
    // attempt finds the leader as it then is.
    let mut refusal = None;
    for member in members.iter().filter(|member| !is_target(member) && !member.learner) {
        let request = MoveLeaderRequest { target_id: member.id };
        match maintenance.move_leader(request).await {
            Ok(_) => return Ok(()),
            Err(status) => refusal = Some(status),
        }
    }
    refusal.map_or(Ok(()), Err)
}

async fn remove(leader: Channel, peer_url: &str) -> Result<(), Status> {
    let Some(member) = find(&leader, peer_url).await? else { return Ok(()) };
    let mut cluster = ClusterClient::new(leader);
    cluster.member_remove(MemberRemoveRequest { id: member.id }).await.map(drop)
}

async fn add(leader: Channel, peer_url: &str) -> Result<(), Status> {
    if find(&leader, peer_url).await?.is_some() {
        return Ok(());
    }
    let mut cluster = ClusterClient::new(leader);
    let request = MemberAddRequest { peer_ur_ls: vec![peer_url.to_owned()], is_learner: true };
    cluster.member_add(request).await.map(drop)
}

async fn promote(leader: Channel, peer_url: &str) -> Result<(), Status> {
    let member = find(&leader, peer_url).await?;
    let Some(member) = member else {
        return Err(Status::not_found(format!("no member has the peer URL {peer_url}")));
    };
    if !member.learner {
        return Ok(());
    }
    let mut cluster = ClusterClient::new(leader);
    cluster.member_promote(MemberPromoteRequest { id: member.id }).await.map(drop)
}

/// Compares all members at the revision that the leader has now.
async fn verify(leader: Channel, clients: Vec<(String, Channel)>) -> Answer {
    let range = RangeRequest {
        key: vec![0].into(),
        range_end: vec![0].into(),
        count_only: true,
        ..RangeRequest::default()
    };
    let revision = match KvClient::new(leader).range(range).await {
        Ok(response) => response.into_inner().header.map_or(0, |header| header.revision),
        Err(status) => return judge(status),
    };
    let mut hashes = Vec::new();
    for (name, channel) in clients {
        let mut maintenance = MaintenanceClient::new(channel);
        match maintenance.hash_kv(HashKvRequest { revision }).await {
            Ok(response) => {
                let response = response.into_inner();
                hashes.push((name, response.hash, response.compact_revision));
            }
            // A member that has not applied this revision yet refuses: ask again.
            Err(status) => return judge(status),
        }
    }
    let differs = |left: &(String, u32, i64), right: &(String, u32, i64)| left.1 != right.1;
    match hashes.windows(2).find(|pair| differs(&pair[0], &pair[1])) {
        None => Answer::Done,
        // A compaction that has reached one of the two only explains it; the next attempt
        // compares again.
        Some(pair) => Answer::Refused(format!(
            "hashes differ at revision {revision}: {} has {:08x} (compacted at {}), {} has {:08x} \
             (compacted at {})",
            pair[0].0, pair[0].1, pair[0].2, pair[1].0, pair[1].1, pair[1].2
        )),
    }
}
