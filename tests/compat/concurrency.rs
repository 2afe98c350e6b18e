//! The Lock and Election services.

use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::v3electionpb as epb;
use proto::v3electionpb::election_client::ElectionClient;
use proto::v3lockpb::lock_client::LockClient;
use proto::v3lockpb::{LockRequest, LockResponse, UnlockRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use crate::against_every_server;
use crate::support::PATIENCE;
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

against_every_server!(
    a_lock_is_passed_on_in_order,
    a_lock_is_held_by_its_lease,
    a_lock_without_a_lease_gets_one,
    who_gives_up_leaves_no_key,
    a_lock_is_not_given_to_an_ended_lease,
    one_leader_after_the_other,
    a_campaign_again_is_a_proclamation,
    an_observer_sees_every_leader,
    a_lock_over_three_members,
);

type Outcome<T> = Result<T, Status>;

/// Runs a scenario with clients of a cluster's members.
fn run<F>(engine: Engine, count: usize, scenario: impl FnOnce(Members) -> F)
where
    F: Future<Output = ()>,
{
    let cluster = Cluster::start(engine, count, &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let party = |url| Party(Endpoint::from_shared(url).unwrap().connect_lazy());
        let parties = cluster.endpoints().into_iter().map(party).collect();
        scenario(Members { cluster, parties }).await;
    });
}

/// Members and clients of them.
struct Members {
    cluster: Cluster,
    parties: Vec<Party>,
}

impl Members {
    fn party(&self, index: usize) -> Party {
        self.parties[index].clone()
    }
}

/// A client of one member.
#[derive(Clone)]
struct Party(Channel);

impl Party {
    async fn grant(&self) -> i64 {
        let request = pb::LeaseGrantRequest { ttl: 500, id: 0 };
        message(LeaseClient::new(self.0.clone()).lease_grant(request).await).unwrap().id
    }

    async fn revoke(&self, id: i64) {
        let request = pb::LeaseRevokeRequest { id };
        LeaseClient::new(self.0.clone()).lease_revoke(request).await.unwrap();
    }

    async fn lock(&self, lease: i64) -> Outcome<LockResponse> {
        let request = LockRequest { name: "m".into(), lease };
        message(LockClient::new(self.0.clone()).lock(request).await)
    }

    async fn unlock(&self, locked: LockResponse) -> i64 {
        let request = UnlockRequest { key: locked.key };
        let answer = message(LockClient::new(self.0.clone()).unlock(request).await).unwrap();
        revision(answer.header)
    }

    fn election(&self) -> ElectionClient<Channel> {
        ElectionClient::new(self.0.clone())
    }

    async fn campaign(&self, lease: i64, value: &'static str) -> Outcome<epb::CampaignResponse> {
        let request = epb::CampaignRequest { name: "e".into(), lease, value: value.into() };
        message(self.election().campaign(request).await)
    }

    async fn leader(&self) -> Outcome<String> {
        let request = epb::LeaderRequest { name: "e".into() };
        let kv = message(self.election().leader(request).await)?.kv.unwrap();
        Ok(String::from_utf8(kv.value.to_vec()).unwrap())
    }

    async fn resign(&self, leader: Option<epb::LeaderKey>) {
        self.election().resign(epb::ResignRequest { leader }).await.unwrap();
    }

    async fn proclaim(&self, leader: Option<epb::LeaderKey>, value: &'static str) -> Outcome<()> {
        let request = epb::ProclaimRequest { leader, value: value.into() };
        self.election().proclaim(request).await.map(drop)
    }

    /// The keys below a prefix.
    async fn line(&self, prefix: &'static str) -> Vec<String> {
        let end = prefix.replace('/', "0");
        let request =
            pb::RangeRequest { key: prefix.into(), range_end: end.into(), ..Default::default() };
        let answer = message(KvClient::new(self.0.clone()).range(request).await).unwrap();
        answer.kvs.iter().map(|kv| String::from_utf8(kv.key.to_vec()).unwrap()).collect()
    }

    async fn wait_for_line(&self, prefix: &'static str, length: usize) {
        let seen = async {
            while self.line(prefix).await.len() != length {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, seen).await.expect("a line of that length");
    }
}

fn message<T>(answer: Outcome<Response<T>>) -> Outcome<T> {
    answer.map(Response::into_inner)
}

fn revision(header: Option<pb::ResponseHeader>) -> i64 {
    header.expect("a header").revision
}

/// The outcome of a call made in the background.
async fn end<T>(call: tokio::task::JoinHandle<T>) -> T {
    tokio::time::timeout(PATIENCE, call).await.expect("an end in time").unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Outcome<T>, text: &str) {
    let status = outcome.expect_err(text);
    assert_eq!((status.code(), status.message()), (Code::Unknown, text));
}

fn a_lock_is_passed_on_in_order(engine: Engine) {
    run(engine, 1, |members| async move {
        let party = members.party(0);
        let first = party.lock(party.grant().await).await.unwrap();
        let mut waiting = Vec::new();
        for before in 1..4 {
            let (waiter, lease) = (party.clone(), party.grant().await);
            waiting.push((lease, tokio::spawn(async move { waiter.lock(lease).await })));
            party.wait_for_line("m/", before + 1).await;
        }
        let mut holder = first;
        for (lease, call) in waiting {
            assert!(!call.is_finished());
            let before = revision(holder.header);
            let unlocked = party.unlock(holder).await;
            holder = end(call).await.unwrap();
            assert_eq!(holder.key, format!("m/{lease:x}"));
            assert!(revision(holder.header) >= unlocked && unlocked > before);
        }
        party.unlock(holder).await;
        assert!(party.line("m/").await.is_empty());
    });
}

fn a_lock_is_held_by_its_lease(engine: Engine) {
    run(engine, 1, |members| async move {
        let party = members.party(0);
        let lease = party.grant().await;
        let first = party.lock(lease).await.unwrap();
        let again = party.lock(lease).await.unwrap();
        assert_eq!((&first.key, first.header), (&again.key, again.header), "it is held already");
        let (waiter, other) = (party.clone(), party.grant().await);
        let call = tokio::spawn(async move { waiter.lock(other).await });
        party.wait_for_line("m/", 2).await;
        party.revoke(lease).await;
        assert_eq!(end(call).await.unwrap().key, format!("m/{other:x}"));
        refused(party.lock(12_345).await, "etcdserver: requested lease not found");
        refused(party.lock(-5).await, "etcdserver: requested lease not found");
    });
}

fn a_lock_without_a_lease_gets_one(engine: Engine) {
    run(engine, 1, |members| async move {
        let party = members.party(0);
        let locked = party.lock(0).await.unwrap();
        let key = String::from_utf8(locked.key.to_vec()).unwrap();
        let lease = i64::from_str_radix(key.strip_prefix("m/").unwrap(), 16).unwrap();
        let request = pb::LeaseTimeToLiveRequest { id: lease, keys: true };
        let left =
            message(LeaseClient::new(party.0.clone()).lease_time_to_live(request).await).unwrap();
        assert_eq!((left.granted_ttl, &left.keys[..]), (60, &[locked.key][..]));
        party.revoke(lease).await;
        party.lock(0).await.unwrap();
    });
}

fn who_gives_up_leaves_no_key(engine: Engine) {
    run(engine, 1, |members| async move {
        let party = members.party(0);
        let holder = party.lock(party.grant().await).await.unwrap();
        let leader = party.campaign(party.grant().await, "v").await.unwrap().leader;
        for lease in [party.grant().await, 0] {
            let (one, two) = (party.clone(), party.clone());
            let lock = tokio::spawn(async move { one.lock(lease).await });
            let campaign = tokio::spawn(async move { two.campaign(lease, "w").await });
            party.wait_for_line("m/", 2).await;
            party.wait_for_line("e/", 2).await;
            lock.abort();
            campaign.abort();
            party.wait_for_line("m/", 1).await;
            party.wait_for_line("e/", 1).await;
        }
        // It was not taken from those who have it.
        assert_eq!(party.line("m/").await, [String::from_utf8(holder.key.to_vec()).unwrap()]);
        party.proclaim(leader, "x").await.unwrap();
    });
}

fn a_lock_is_not_given_to_an_ended_lease(engine: Engine) {
    if engine == Engine::Etcd34 {
        // It gave the lock (etcd issue 11408).
        return;
    }
    run(engine, 1, |members| async move {
        let party = members.party(0);
        let holder = party.lock(party.grant().await).await.unwrap();
        let (waiter, lease) = (party.clone(), party.grant().await);
        let call = tokio::spawn(async move { waiter.lock(lease).await });
        party.wait_for_line("m/", 2).await;
        party.revoke(lease).await;
        party.wait_for_line("m/", 1).await;
        party.unlock(holder).await;
        refused(end(call).await, "mutex: session is expired");
        if engine != Engine::Ours {
            // etcd makes a leader of one whose key is gone.
            return;
        }
        let leader = party.campaign(party.grant().await, "v").await.unwrap().leader;
        let (waiter, lease) = (party.clone(), party.grant().await);
        let call = tokio::spawn(async move { waiter.campaign(lease, "w").await });
        party.wait_for_line("e/", 2).await;
        party.revoke(lease).await;
        party.resign(leader).await;
        refused(end(call).await, "election: session is expired");
    });
}

fn one_leader_after_the_other(engine: Engine) {
    run(engine, 1, |members| async move {
        let party = members.party(0);
        refused(party.leader().await, "election: no leader");
        let first = party.campaign(party.grant().await, "abc").await.unwrap();
        let leader = first.leader.clone().unwrap();
        assert_eq!((&leader.name[..], leader.rev), (&b"e"[..], revision(first.header)));
        assert_eq!(leader.key, format!("e/{:x}", leader.lease));
        let (waiter, lease) = (party.clone(), party.grant().await);
        let call = tokio::spawn(async move { waiter.campaign(lease, "def").await });
        party.wait_for_line("e/", 2).await;
        assert_eq!(party.leader().await.unwrap(), "abc");
        party.proclaim(first.leader.clone(), "ghi").await.unwrap();
        assert_eq!(party.leader().await.unwrap(), "ghi");
        // A word for a key that was created at another time is nobody's.
        let other = Some(epb::LeaderKey { rev: leader.rev + 1, ..leader });
        refused(party.proclaim(other.clone(), "no").await, "election: not leader");
        party.resign(other).await;
        assert_eq!(party.leader().await.unwrap(), "ghi");
        party.resign(first.leader.clone()).await;
        let second = end(call).await.unwrap();
        assert!(revision(second.header) > revision(first.header));
        assert_eq!(party.leader().await.unwrap(), "def");
        refused(party.proclaim(first.leader, "no").await, "election: not leader");
        refused(party.proclaim(None, "no").await, r#""leader" field must be provided"#);
        party.resign(second.leader).await;
        refused(party.leader().await, "election: no leader");
    });
}

fn a_campaign_again_is_a_proclamation(engine: Engine) {
    run(engine, 1, |members| async move {
        let party = members.party(0);
        let lease = party.grant().await;
        let first = party.campaign(lease, "a").await.unwrap();
        let again = party.campaign(lease, "a").await.unwrap();
        assert_eq!((&first.leader, first.header), (&again.leader, again.header));
        let other = party.campaign(lease, "b").await.unwrap();
        assert_eq!(first.leader, other.leader);
        assert_eq!(party.leader().await.unwrap(), "b");
    });
}

fn an_observer_sees_every_leader(engine: Engine) {
    run(engine, 1, |members| async move {
        let party = members.party(0);
        let request = epb::LeaderRequest { name: "e".into() };
        let (seen, mut words) = tokio::sync::mpsc::unbounded_channel();
        let mut election = party.election();
        tokio::spawn(async move {
            let mut leaders = election.observe(request).await.unwrap().into_inner();
            while let Some(leader) = leaders.message().await.unwrap() {
                let kv = leader.kv.unwrap();
                assert!(leader.header.unwrap().revision >= kv.mod_revision);
                seen.send(String::from_utf8(kv.value.to_vec()).unwrap()).unwrap();
            }
        });
        let mut next = async || {
            tokio::time::timeout(PATIENCE, words.recv()).await.expect("a word in time").unwrap()
        };
        for value in ["a", "b"] {
            let won = party.campaign(party.grant().await, value).await.unwrap();
            assert_eq!(next().await, value);
            for word in ["1", "2", "3"] {
                party.proclaim(won.leader.clone(), word).await.unwrap();
                assert_eq!(next().await, word);
            }
            party.resign(won.leader).await;
        }
    });
}

fn a_lock_over_three_members(engine: Engine) {
    run(engine, 3, |mut members| async move {
        let (one, two, three) = (members.party(0), members.party(1), members.party(2));
        let holder = one.lock(one.grant().await).await.unwrap();
        let lease = two.grant().await;
        let call = tokio::spawn(async move { two.lock(lease).await });
        three.wait_for_line("m/", 2).await;
        // The line is in the keys, not in the member that was asked for the lock.
        members.cluster.nodes[0].kill();
        let unlock = async {
            // Until there is a leader again, if it was that one.
            let request = UnlockRequest { key: holder.key };
            while LockClient::new(three.0.clone()).unlock(request.clone()).await.is_err() {}
        };
        tokio::time::timeout(PATIENCE, unlock).await.expect("an unlock in time");
        assert_eq!(end(call).await.unwrap().key, format!("m/{lease:x}"));
    });
}
