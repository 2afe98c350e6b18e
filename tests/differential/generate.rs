//! Random requests: mostly sensible, often at an edge, sometimes wrong.
//!
//! A function of the seed and of what the reference answered (its revision), so a seed gives
//! the same run again as long as etcd's answers are the same. Keys, ends and revisions come
//! from small sets, so that requests meet each other.

use std::collections::{BTreeMap, VecDeque};

use prost::Message as _;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::compare::TargetUnion;
use proto::etcdserverpb::downgrade_request::DowngradeAction;
use proto::etcdserverpb::request_op::Request;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

use crate::accepted::Reference;
use crate::ask::{Ask, PICKED};
use crate::malformed::Malformed;
use crate::support::tools::Engine;
use crate::upkeep::Target;

const KEYS: &[&[u8]] = &[
    b"a",
    b"b",
    b"c",
    b"ab",
    b"abc",
    b"a\0",
    b"\0",
    b"\0\0",
    b"m/1",
    b"m/2",
    b"m/10",
    b"z",
    b"\xff",
    b"\xff\xff",
    b"\xfe\xff",
    b"",
    b"key with spaces",
    b"\xf0\x28\x8c\x28",
];
const ENDS: &[&[u8]] =
    &[b"\0", b"b", b"m0", b"m/2", b"n", b"z", b"a", b"ac", b"\xff", b"\xff\xff\xff", b"\0\0"];
const VALUES: &[&[u8]] = &[b"", b"1", b"2", b"10", b"\0", b"\xff\xfe", b"a longer value"];

/// The next request of a run.
pub struct Generator {
    pub random: StdRng,
    pub reference: Reference,
    /// What is asked before anything else.
    pub planned: VecDeque<Ask>,
    /// Where a role's rights to ranges end, by the key they begin at.
    pub ends: BTreeMap<(&'static str, bytes::Bytes), bytes::Bytes>,
    /// Nothing was asked yet.
    pub fresh: bool,
    revision: i64,
    compacted: i64,
    /// A compaction is next: the watches had to catch up before it.
    compaction: bool,
    /// The last id a watch was given by us, if that watch is still there.
    watch_id: Option<i64>,
    watch_ids: i64,
}

impl Generator {
    pub fn new(seed: u64, engine: Engine) -> Generator {
        Generator {
            random: StdRng::seed_from_u64(seed),
            reference: Reference::of(engine),
            planned: VecDeque::new(),
            ends: BTreeMap::new(),
            fresh: true,
            revision: 1,
            compacted: 0,
            compaction: false,
            watch_id: None,
            watch_ids: 1_000,
        }
    }

    /// Where the store is now.
    pub fn learn(&mut self, revision: i64, compacted: i64) {
        (self.revision, self.compacted) = (revision, compacted);
    }

    pub fn next(&mut self) -> Ask {
        if std::mem::take(&mut self.compaction) {
            return Ask::Compact(self.compact());
        }
        match self.random.random_range(0..1_000) {
            0..260 => Ask::Range(self.range()),
            260..430 => Ask::Put(self.put()),
            430..500 => Ask::Delete(self.delete()),
            500..740 => Ask::Txn(self.txn(0)),
            740..850 => self.lease(),
            850..925 => self.watch(),
            925..945 => {
                self.compaction = true;
                Ask::CatchUp
            }
            945..970 => self.membership(),
            _ => self.maintenance(),
        }
    }

    /// The next request of a run by the gateway.
    pub fn next_by_gateway(&mut self) -> Ask {
        match self.random.random_range(0..10) {
            0..3 => Ask::Malformed(self.malformed()),
            3 => {
                let mut watch = self.new_watch();
                // etcd's gateway cannot write what is less than 0 into a list of choices.
                watch.filters.retain(|filter| *filter >= 0);
                Ask::WatchOnce(watch)
            }
            4 if self.one_in(4) => match self.one_in(2) {
                // The keys have the lease's id in them, so it is none that a server picked.
                true => Ask::Lock("lock".into(), self.random.random_range(1..6)),
                false => Ask::Elect("election".into(), self.random.random_range(1..6)),
            },
            _ => match self.next() {
                // That path was another method's.
                Ask::HashKv(_) if !self.reference.has_hashkv_path => Ask::Status,
                ask => ask,
            },
        }
    }

    /// A request that only reads: it is about to be put wrong, and may come out right.
    fn malformed(&mut self) -> Malformed {
        let range = pb::RangeRequest {
            key: self.key(),
            range_end: self.end(),
            revision: self.some_revision(),
            limit: self.pick(&[0, 1, 5]),
            serializable: self.one_in(2),
            keys_only: self.one_in(4),
            ..Default::default()
        };
        let (method, request) = match self.random.random_range(0..10) {
            0..6 => ("etcdserverpb.KV/Range", range.encode_to_vec()),
            6 | 7 => {
                let compare = vec![self.compare(), self.compare()];
                let read = || pb::RequestOp { request: Some(Request::RequestRange(range.clone())) };
                let (success, failure) = (vec![read()], vec![read()]);
                let txn = pb::TxnRequest { compare, success, failure };
                ("etcdserverpb.KV/Txn", txn.encode_to_vec())
            }
            8 => {
                let request = pb::LeaseTimeToLiveRequest { id: self.lease_id(), keys: true };
                ("etcdserverpb.Lease/LeaseTimeToLive", request.encode_to_vec())
            }
            _ => {
                let request = pb::AuthenticateRequest { name: "a".into(), password: "b".into() };
                ("etcdserverpb.Auth/Authenticate", request.encode_to_vec())
            }
        };
        Malformed { method, request, seed: self.random.random(), parser: self.reference.parser }
    }

    pub fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from.choose(&mut self.random).expect("not empty").clone()
    }

    pub fn key(&mut self) -> bytes::Bytes {
        if self.one_in(4) { self.pick(&KEYS[..3]) } else { self.pick(KEYS) }.into()
    }

    pub fn end(&mut self) -> bytes::Bytes {
        match self.random.random_range(0..4) {
            0 | 1 => Default::default(),
            2 => b"\0".as_slice().into(),
            _ => self.pick(ENDS).into(),
        }
    }

    fn value(&mut self) -> bytes::Bytes {
        match self.random.random_range(0..600) {
            0 => vec![b'v'; 1_600_000].into(),
            1 => vec![b'v'; 2_200_000].into(),
            2..6 => vec![b'v'; self.random.random_range(1_000..400_000)].into(),
            _ => self.pick(VALUES).into(),
        }
    }

    /// A revision around those that mean something; 0 more often than not.
    fn some_revision(&mut self) -> i64 {
        let now = self.revision;
        match self.random.random_range(0..20) {
            0 => now,
            1 => now + 1,
            2 => now + 1_000,
            3 => self.compacted,
            4 => self.compacted - 1,
            5 => self.compacted + 1,
            6 => -1,
            7 => self.pick(&[i64::MIN, i64::MAX, 1, 2]),
            8 | 9 => self.random.random_range(0..=now),
            _ => 0,
        }
    }

    /// One of the named values of an enum with `count` of them, rarely another one.
    fn choice(&mut self, count: i32) -> i32 {
        if self.one_in(40) {
            return self.pick(&[count, -1, i32::MAX]);
        }
        self.random.random_range(0..count)
    }

    fn sort_choice(&mut self, count: i32) -> i32 {
        match self.reference.survives_unknown_sort {
            true => self.choice(count),
            false => self.random.random_range(0..count),
        }
    }

    pub fn range(&mut self) -> pb::RangeRequest {
        let mut request = pb::RangeRequest {
            key: self.key(),
            range_end: self.end(),
            revision: self.some_revision(),
            serializable: self.one_in(3),
            ..Default::default()
        };
        if self.one_in(2) {
            request.limit = self.pick(&[0, 1, 2, 3, 100, -1, i64::MIN, i64::MAX]);
            request.sort_order = self.sort_choice(3);
            request.sort_target = self.sort_choice(5);
            request.keys_only = self.one_in(4);
            request.count_only = self.one_in(5);
        }
        if self.one_in(4) {
            request.min_mod_revision = self.some_revision();
            request.max_mod_revision = self.some_revision();
            request.min_create_revision = self.some_revision();
            request.max_create_revision = self.some_revision();
        }
        request
    }

    pub fn put(&mut self) -> pb::PutRequest {
        let mut request = pb::PutRequest {
            key: self.key(),
            value: self.value(),
            lease: if self.one_in(4) { self.lease_id() } else { 0 },
            prev_kv: self.one_in(3),
            ..Default::default()
        };
        if self.one_in(8) {
            request.ignore_value = self.one_in(2);
            request.ignore_lease = self.one_in(2);
            if self.one_in(2) {
                request.value = Default::default();
            }
        }
        request
    }

    pub fn delete(&mut self) -> pb::DeleteRangeRequest {
        // Deleting everything is rare, or there would never be much.
        let range_end = if self.one_in(3) { self.end() } else { Default::default() };
        pb::DeleteRangeRequest { key: self.key(), range_end, prev_kv: self.one_in(2) }
    }

    pub fn txn(&mut self, depth: u32) -> pb::TxnRequest {
        let count = self.random.random_range(0..4);
        let compare = (0..count).map(|_| self.compare()).collect();
        let success = self.ops(depth);
        let failure = self.ops(depth);
        let mut request = pb::TxnRequest { compare, success, failure };
        if depth == 0 && self.one_in(60) {
            let many = self.pick(&[127, 128, 129]);
            let op = self.op(9);
            request.failure = vec![op; many];
        }
        request
    }

    fn ops(&mut self, depth: u32) -> Vec<pb::RequestOp> {
        let count = self.random.random_range(0..4);
        (0..count).map(|_| self.op(depth)).collect()
    }

    fn op(&mut self, depth: u32) -> pb::RequestOp {
        let request = match self.random.random_range(0..12) {
            0..4 => Request::RequestRange(self.range()),
            4..8 => Request::RequestPut(self.put()),
            8 | 9 => {
                let mut delete = self.delete();
                if delete.range_end == b"\0".as_slice() {
                    delete.range_end = b"n".as_slice().into();
                }
                Request::RequestDeleteRange(delete)
            }
            10 if depth < 3 => Request::RequestTxn(self.txn(depth + 1)),
            11 if self.one_in(12) => return pb::RequestOp { request: None },
            _ => Request::RequestRange(self.range()),
        };
        pb::RequestOp { request: Some(request) }
    }

    fn compare(&mut self) -> pb::Compare {
        let target = self.choice(5);
        // Now and then the value is not of the kind that is compared.
        let kind = if self.one_in(10) { self.random.random_range(0..6) } else { target };
        let revision = self.some_revision();
        let target_union = match kind {
            0 => Some(TargetUnion::Version(self.random.random_range(0..4))),
            1 => Some(TargetUnion::CreateRevision(revision)),
            2 => Some(TargetUnion::ModRevision(revision)),
            3 => Some(TargetUnion::Value(self.pick(VALUES).into())),
            4 => Some(TargetUnion::Lease(self.pick(&[0, 1, 2]))),
            _ => None,
        };
        let range_end = if self.one_in(3) { self.end() } else { Default::default() };
        pb::Compare { result: self.choice(4), target, key: self.key(), target_union, range_end }
    }

    /// Few ids, so that they are taken, unknown and used again.
    fn lease_id(&mut self) -> i64 {
        match self.random.random_range(0..8) {
            0 => PICKED + self.random.random_range(0..4),
            1 => self.pick(&[-5, i64::MAX, i64::MIN, 99]),
            _ => self.random.random_range(1..6),
        }
    }

    pub fn lease(&mut self) -> Ask {
        let id = self.lease_id();
        match self.random.random_range(0..10) {
            0..3 => {
                let ttl = self.pick(&[1_000, 5_000, 9_000_000_000, 9_000_000_001, i64::MAX]);
                let id = if self.one_in(5) { 0 } else { id };
                Ask::Grant(pb::LeaseGrantRequest { ttl, id: if id < -10 { 7 } else { id } })
            }
            3 => {
                let ttl = self.pick(&[0, 1, 2, 3, -1, i64::MIN, 60]);
                Ask::GrantAndRevoke(pb::LeaseGrantRequest { ttl, id: 1_000 })
            }
            4 | 5 => Ask::Revoke(id),
            6 | 7 => Ask::TimeToLive(pb::LeaseTimeToLiveRequest { id, keys: self.one_in(2) }),
            8 => Ask::Leases,
            _ => Ask::KeepAlive(vec![id, self.lease_id(), self.lease_id()]),
        }
    }

    fn watch(&mut self) -> Ask {
        match self.random.random_range(0..10) {
            0..4 => Ask::Watch(self.new_watch()),
            4 | 5 => {
                let id = match self.one_in(3) {
                    true => self.watch_id.take().unwrap_or(999),
                    false => self.random.random_range(-1..30),
                };
                Ask::CancelWatch(id)
            }
            6 => Ask::Progress,
            _ => Ask::CatchUp,
        }
    }

    pub fn new_watch(&mut self) -> pb::WatchCreateRequest {
        let count = self.pick(&[0, 0, 1, 2]);
        let start_revision = match self.some_revision() {
            negative if negative < 0 && !self.reference.refuses_negative_watches => 0,
            // The end of time cannot be waited for.
            i64::MAX => self.revision + 3,
            at if at == self.compacted && !self.reference.keeps_last_deletes => at + 1,
            revision => revision,
        };
        let mut filters: Vec<i32> = (0..count).map(|_| self.choice(2)).collect();
        // One that never gets an event never says that it was cancelled before, either.
        if filters.contains(&0) && filters.contains(&1) && start_revision != 0 {
            filters.clear();
        }
        let watch_id = match self.random.random_range(0..6) {
            0 | 1 => self.new_watch_id(start_revision == 0),
            2 => self.watch_id.unwrap_or(0),
            _ => 0,
        };
        pb::WatchCreateRequest {
            key: self.key(),
            range_end: self.end(),
            start_revision,
            progress_notify: self.one_in(4),
            filters,
            prev_kv: self.one_in(2),
            watch_id,
            fragment: self.one_in(3),
        }
    }

    /// A new id; one that may be asked for again if its watch `stays`, so that nothing but a
    /// cancel ends it.
    fn new_watch_id(&mut self, stays: bool) -> i64 {
        self.watch_ids += 1;
        if stays {
            self.watch_id = Some(self.watch_ids);
        }
        self.watch_ids
    }

    pub fn compact(&mut self) -> pb::CompactionRequest {
        let span = self.revision - self.compacted;
        let revision = match self.random.random_range(0..4) {
            0 => self.some_revision(),
            _ => self.compacted + self.random.random_range(0..=span / 2),
        };
        // Compacting a fresh store at 0 is allowed, in etcd but once.
        let revision = if revision == 0 { 1 } else { revision };
        pb::CompactionRequest { revision, physical: self.one_in(2) }
    }

    fn membership(&mut self) -> Ask {
        let urls: &[&[&str]] = &[
            &[],
            &[""],
            &["nonsense"],
            &["http://no-port"],
            &["ftp://127.0.0.1:1"],
            &["http://127.0.0.1:1/path"],
            &["127.0.0.1:1"],
            &["http://127.0.0.1:1", "bad"],
            &["http://127.0.0.1:x"],
            &["http://:1/"],
        ];
        let peer_ur_ls: Vec<String> = self.pick(urls).iter().map(|url| url.to_string()).collect();
        let id = self.pick(&[0, 1, 7, u64::MAX]);
        match self.random.random_range(0..8) {
            0 => Ask::MemberList,
            1 => Ask::MemberAdd(pb::MemberAddRequest { peer_ur_ls, is_learner: self.one_in(2) }),
            2 => Ask::MemberRemove(id),
            3 => Ask::MemberUpdate(pb::MemberUpdateRequest { id, peer_ur_ls }),
            4 => Ask::MemberPromote(id),
            5 => Ask::Learner,
            _ => Ask::MoveLeader(id),
        }
    }

    fn maintenance(&mut self) -> Ask {
        match self.random.random_range(0..11) {
            0..3 => Ask::HashKv(self.some_revision()),
            3 => Ask::Alarms,
            4 => {
                let count = self.random.random_range(1..6);
                let mut asks = Vec::new();
                for _ in 0..count {
                    asks.push(match self.random.random_range(0..5) {
                        0 => Ask::Put(self.put()),
                        // etcd overlooks what a transaction within one would write.
                        1 => Ask::Txn(self.txn(9)),
                        2 => Ask::Delete(self.delete()),
                        3 => Ask::Range(self.range()),
                        _ => Ask::Grant(pb::LeaseGrantRequest { ttl: 1_000, id: 5 }),
                    });
                }
                Ask::NoSpace(asks)
            }
            5 => Ask::Defragment,
            6 => Ask::Hash,
            7 => Ask::Snapshot,
            8 => self.downgrade(),
            _ => Ask::Status,
        }
    }

    /// Whether the cluster may go down, or an end of going down; none is announced.
    fn downgrade(&mut self) -> Ask {
        let target = self.pick(&[
            Target::Below(0),
            Target::Below(1),
            Target::Short(1),
            Target::Below(2),
            Target::Text("4.0.0"),
            Target::Text("3"),
            Target::Text("3.x"),
            Target::Text(""),
        ]);
        let [validate, cancel] =
            [DowngradeAction::Validate, DowngradeAction::Cancel].map(|action| action as i32);
        Ask::Downgrade(self.pick(&[validate, validate, validate, cancel, 3, -1]), target)
    }
}
