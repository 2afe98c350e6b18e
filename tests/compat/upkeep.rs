//! Downgrades, alarms raised by hand, and members that hold different data.

use std::sync::Arc;

use node::kv::{KeyValue, RecordKind};
use node::storage::store::{Batch, SideWrite, Store, StoreOptions};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::downgrade_request::DowngradeAction::{self, Cancel, Enable, Validate};
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::Code;

use crate::run_on_wire;
use crate::support::client::{Client, Refusal};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::tools::Engine;

/// Scenarios for ours and etcd 3.5; 3.4 knows nothing of downgrades.
mod ours {
    use super::*;

    #[test]
    fn downgrade_refusals() {
        run_on_wire(Engine::Ours, super::downgrade_refusals);
    }

    #[test]
    fn a_downgrade_and_its_end() {
        run_on_wire(Engine::Ours, super::a_downgrade_and_its_end);
    }

    #[test]
    fn a_corrupt_cluster() {
        run_on_wire(Engine::Ours, super::a_corrupt_cluster);
    }

    #[test]
    fn a_member_that_differs_is_named() {
        run_on_wire(Engine::Ours, super::a_member_that_differs_is_named);
    }

    #[test]
    fn a_member_that_differs_does_not_start_with_the_initial_check() {
        run_on_wire(
            Engine::Ours,
            super::a_member_that_differs_does_not_start_with_the_initial_check,
        );
    }

    #[test]
    fn a_member_whose_disk_lies_never_serves_it_and_heals() {
        run_on_wire(Engine::Ours, super::a_member_whose_disk_lies_never_serves_it_and_heals);
    }
}

mod etcd35 {
    use super::*;

    #[test]
    fn downgrade_refusals() {
        run_on_wire(Engine::Etcd35, super::downgrade_refusals);
    }

    #[test]
    fn a_corrupt_cluster() {
        run_on_wire(Engine::Etcd35, super::a_corrupt_cluster);
    }
}

/// The server's minor version, the one below, and the one below that.
fn minors(engine: Engine) -> (&'static str, &'static str, &'static str) {
    if engine == Engine::Ours { ("3.6", "3.5", "3.4") } else { ("3.5", "3.4", "3.3") }
}

/// A Downgrade call; `Ok` is the cluster version.
fn downgrade(client: &Client, action: DowngradeAction, version: &str) -> Result<String, Refusal> {
    let version = version.to_owned();
    let request = pb::DowngradeRequest { action: action as i32, version };
    let mut maintenance = MaintenanceClient::new(client.channel());
    client.wait(maintenance.downgrade(request)).map(|response| response.version)
}

fn refusal(code: Code, text: &str) -> Refusal {
    Refusal { code, text: text.to_owned() }
}

fn downgrade_refusals(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    let (own, below, too_far) = minors(engine);
    eventually("a cluster version", || downgrade(&client, Validate, below).map_err(String::from));
    // 3.5.1 tells it in full.
    let told = if engine == Engine::Ours { own.to_owned() } else { format!("{own}.0") };
    assert_eq!(downgrade(&client, Validate, below), Ok(told.clone()));
    assert_eq!(downgrade(&client, Validate, &format!("{below}.9")), Ok(told));
    let text = "etcdserver: invalid downgrade target version";
    for wrong in [own, too_far, "3.7", "4.5"] {
        for action in [Validate, Enable] {
            let refused = downgrade(&client, action, wrong);
            assert_eq!(refused, Err(refusal(Code::InvalidArgument, text)), "{wrong}");
        }
    }
    let text = "etcdserver: wrong downgrade target version format";
    for wrong in ["", "x", "3", "3.x"] {
        let refused = downgrade(&client, Validate, wrong);
        assert_eq!(refused, Err(refusal(Code::InvalidArgument, text)), "{wrong}");
    }
}

/// etcd 3.5.1 does not lower its cluster version; this is what 3.6 does.
fn a_downgrade_and_its_end(engine: Engine) {
    let mut cluster = Cluster::start(engine, 1, &[]);
    let versions = |cluster: &Cluster| cluster.nodes[0].http("/version").unwrap().1;
    let becomes = |cluster: &Cluster, version: &str| {
        eventually(version, || {
            let now = versions(cluster);
            now.contains(&format!("\"etcdcluster\":\"{version}\"")).then_some(()).ok_or(now)
        });
    };
    becomes(&cluster, "3.6.0");
    let client = cluster.client(0);
    assert_eq!(downgrade(&client, Enable, "3.5"), Ok("3.6".to_owned()));
    let running =
        refusal(Code::FailedPrecondition, "etcdserver: cluster has a downgrade job in progress");
    // Unless the leader has just lowered the cluster version: then 3.5 is not below it.
    let lowered = refusal(Code::InvalidArgument, "etcdserver: invalid downgrade target version");
    let again = downgrade(&client, Enable, "3.5").unwrap_err();
    assert!(again == running || again == lowered, "{again:?}");
    assert!(downgrade(&client, Validate, "3.5").is_err());
    becomes(&cluster, "3.5.0");
    assert!(versions(&cluster).contains("\"storage\":\"3.5.0\""));
    // The announcement is part of the state.
    cluster.nodes[0].kill();
    cluster.restart(0);
    let client = cluster.client(0);
    // It answers before it has read its log again.
    becomes(&cluster, "3.5.0");
    let status = client.status().unwrap();
    let info = status.downgrade_info.unwrap();
    assert_eq!((info.enabled, info.target_version.as_str()), (true, "3.5.0"));
    assert_eq!(status.storage_version, "3.5.0");
    assert!(status.version.starts_with("3.6."));
    client.put("k", "v").unwrap();
    assert_eq!(downgrade(&client, Cancel, ""), Ok("3.5".to_owned()));
    becomes(&cluster, "3.6.0");
    // Nothing to cancel is fine, as in 3.6.
    assert_eq!(downgrade(&client, Cancel, ""), Ok("3.6".to_owned()));
    assert!(!client.status().unwrap().downgrade_info.unwrap().enabled);
}

fn alarm(
    client: &Client,
    action: pb::alarm_request::AlarmAction,
    member_id: u64,
) -> Vec<(u64, pb::AlarmType)> {
    let kind = match action {
        pb::alarm_request::AlarmAction::Activate => pb::AlarmType::Corrupt,
        _ => pb::AlarmType::None,
    };
    let request = pb::AlarmRequest { action: action as i32, member_id, alarm: kind as i32 };
    let response = client.wait(MaintenanceClient::new(client.channel()).alarm(request)).unwrap();
    response.alarms.iter().map(|alarm| (alarm.member_id, alarm.alarm())).collect()
}

fn alarms(client: &Client) -> Vec<(u64, pb::AlarmType)> {
    alarm(client, pb::alarm_request::AlarmAction::Get, 0)
}

fn a_corrupt_cluster(engine: Engine) {
    use pb::alarm_request::AlarmAction::{Activate, Deactivate};
    let mut cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    client.put("k", "v").unwrap();
    let corrupt = Refusal { code: Code::DataLoss, text: "etcdserver: corrupt cluster".to_string() };
    assert_eq!(alarm(&client, Activate, 7), [(7, pb::AlarmType::Corrupt)]);
    // It survives, and names a member that need not exist.
    cluster.nodes[0].kill();
    cluster.spawn(0);
    let client = cluster.client(0);
    eventually("an answer", || {
        client.status().map_err(|refusal| refusal.text).and_then(|status| {
            let raised = status.errors.iter().any(|error| error.contains("CORRUPT"));
            raised.then_some(()).ok_or(format!("{:?}", status.errors))
        })
    });
    assert_eq!(alarms(&client), [(7, pb::AlarmType::Corrupt)]);
    assert_eq!(client.put("k", "w").unwrap_err(), corrupt);
    let kv = || KvClient::new(client.channel());
    let delete = pb::DeleteRangeRequest { key: "k".into(), ..Default::default() };
    assert_eq!(client.wait(kv().delete_range(delete)).unwrap_err(), corrupt);
    let compact = pb::CompactionRequest { revision: 1, physical: false };
    assert_eq!(client.wait(kv().compact(compact)).unwrap_err(), corrupt);
    let put = pb::PutRequest { key: "k".into(), ..Default::default() };
    let request = Some(pb::request_op::Request::RequestPut(put));
    let txn = pb::TxnRequest { success: vec![pb::RequestOp { request }], ..Default::default() };
    assert_eq!(client.wait(kv().txn(txn)).unwrap_err(), corrupt);
    let grant = pb::LeaseGrantRequest { id: 0, ttl: 10 };
    let granted = client.wait(LeaseClient::new(client.channel()).lease_grant(grant));
    assert_eq!(granted.unwrap_err(), corrupt);
    let (status, body) = cluster.nodes[0].http("/health").unwrap();
    assert!(status == 503 && body.contains("ALARM CORRUPT"), "{status} {body}");
    // What might be wrong is not read from ours; etcd goes on answering.
    if engine == Engine::Ours {
        assert_eq!(client.get("k", false).unwrap_err(), corrupt);
    }
    // Without a type nothing is lowered, also not by a client that means all.
    assert_eq!(alarm(&client, Deactivate, 7), []);
    assert_eq!(alarm(&client, Deactivate, 0), []);
    assert_eq!(alarms(&client), [(7, pb::AlarmType::Corrupt)]);
    let lower = pb::AlarmRequest {
        action: Deactivate as i32,
        member_id: 7,
        alarm: pb::AlarmType::Corrupt as i32,
    };
    client.wait(MaintenanceClient::new(client.channel()).alarm(lower)).unwrap();
    assert_eq!(alarms(&client), []);
    client.put("k", "w").unwrap();
}

/// What is on the disk of a stopped node.
struct OnDisk {
    store: Store,
    batch: Batch,
}

impl OnDisk {
    fn read(cluster: &Cluster, index: usize) -> OnDisk {
        let directory = cluster.nodes[index].directory.join("member/state");
        let (store, loaded) = Store::open(&directory, StoreOptions::default()).unwrap();
        let loaded = loaded.expect("a store with something in it");
        let mut records = Vec::new();
        store.load_records(&mut |record| records.push(record)).unwrap();
        let side = |(table, key, value): (u8, Vec<u8>, Vec<u8>)| SideWrite {
            table,
            key,
            value: Some(value),
        };
        let side = loaded.side.into_iter().map(side).collect();
        OnDisk { store, batch: Batch { mark: loaded.mark, records, side, compaction: None } }
    }

    /// Another value under the key, with a checksum that is right: nothing on this disk alone
    /// tells that it is wrong.
    fn change(mut self, key: &str, value: &'static str) {
        for record in &mut self.batch.records {
            if let RecordKind::Put(kv) = &record.kind
                && kv.key[..] == *key.as_bytes()
            {
                let value = value.into();
                record.kind = RecordKind::Put(Arc::new(KeyValue { value, ..(**kv).clone() }));
            }
        }
        self.store.reset().unwrap();
        self.store.enqueue(self.batch).unwrap();
        self.store.flush().unwrap();
    }
}

fn with_keys(count: usize, flags: &[&str]) -> Cluster {
    let cluster = Cluster::start(Engine::Ours, count, flags);
    let client = cluster.client(0);
    for key in ["a", "b", "c"] {
        client.put(key, "right").unwrap();
    }
    cluster
}

fn a_member_that_differs_is_named(_: Engine) {
    let mut cluster = with_keys(3, &["--corrupt-check-time=300ms"]);
    let liar = cluster.follower();
    let id = cluster.client(liar).status().unwrap().header.unwrap().member_id;
    cluster.nodes[liar].stop();
    OnDisk::read(&cluster, liar).change("b", "wrong");
    cluster.spawn(liar);
    let others: Vec<usize> = (0..3).filter(|index| *index != liar).collect();
    for index in others {
        let client = cluster.client(index);
        eventually("the alarm", || {
            let raised = alarms(&client);
            (raised == [(id, pb::AlarmType::Corrupt)]).then_some(()).ok_or(format!("{raised:?}"))
        });
        assert_eq!(client.put("d", "v").unwrap_err().code, Code::DataLoss);
    }
}

fn a_member_that_differs_does_not_start_with_the_initial_check(_: Engine) {
    let mut cluster = with_keys(3, &["--feature-gates=InitialCorruptCheck=true"]);
    // One that does not differ starts.
    let liar = cluster.follower();
    cluster.nodes[liar].stop();
    cluster.restart(liar);
    assert!(cluster.nodes[liar].log().contains("initial corruption checking passed"));
    cluster.nodes[liar].stop();
    OnDisk::read(&cluster, liar).change("b", "wrong");
    cluster.spawn(liar);
    assert_ne!(cluster.nodes[liar].wait_exit().code(), Some(0));
    let log = cluster.nodes[liar].log();
    assert!(log.contains("found data inconsistency with peers"), "{log}");
    let client = cluster.client((liar + 1) % 3);
    assert_eq!(alarms(&client), []);
    client.put("d", "v").unwrap();
}

/// Flips a bit of a value on the disk of a stopped member.
fn flip(cluster: &Cluster, index: usize, text: &[u8]) {
    let state = cluster.nodes[index].directory.join("member/state");
    let mut flipped = 0;
    for generation in std::fs::read_dir(state).unwrap().flatten() {
        let path = generation.path().join("db");
        let Ok(mut bytes) = std::fs::read(&path) else { continue };
        let windows = bytes.windows(text.len()).enumerate();
        let places: Vec<usize> =
            windows.filter(|(_, window)| *window == text).map(|(at, _)| at).collect();
        flipped += places.len();
        for at in places {
            bytes[at] ^= 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    assert!(flipped > 0, "the value is not on the disk");
}

fn a_member_whose_disk_lies_never_serves_it_and_heals(_: Engine) {
    let mut cluster = with_keys(3, &[]);
    let liar = cluster.follower();
    let text = "a value that is easy to find";
    let revision = cluster.client(liar).put("old", text).unwrap();
    cluster.client(liar).put("old", "newer").unwrap();
    cluster.nodes[liar].stop();
    flip(&cluster, liar, text.as_bytes());
    cluster.restart(liar);
    let client = cluster.client(liar);
    let old = pb::RangeRequest { key: "old".into(), revision, ..Default::default() };
    assert_eq!(client.range(old).unwrap().kvs[0].value, text.as_bytes());
    assert_eq!(alarms(&client), [], "it could mend that alone");
    let other = cluster.client((liar + 1) % 3);
    let now = client.put("k", "v").unwrap();
    assert_eq!(client.hash_kv(now).unwrap(), other.hash_kv(now).unwrap());
}
