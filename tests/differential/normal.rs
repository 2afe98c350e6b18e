//! Makes answers of two servers comparable.
//!
//! Made equal: ids of cluster, members and leases the server picked, terms, ports, the order
//! of what has no order. Kept: whether a field is set at all, every revision, every text.

use proto::etcdserverpb as pb;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::response_op::Response;
use proto::mvccpb::KeyValue;

use crate::ask::PICKED;

/// Ids of one server, by the order in which they appeared.
#[derive(Default)]
pub struct Names {
    picked: Vec<i64>,
    /// What stands for this node's own URLs: the URL and its name.
    urls: Vec<(String, &'static str)>,
}

impl Names {
    pub fn new(urls: Vec<(String, &'static str)>) -> Names {
        Names { picked: Vec::new(), urls }
    }

    /// A lease the server picked the id of.
    pub fn pick(&mut self, id: i64) {
        self.picked.push(id);
    }

    /// The id as this server knows it.
    pub fn real_lease(&self, id: i64) -> i64 {
        match usize::try_from(id.wrapping_sub(PICKED)) {
            Ok(place) if place < 1_000 && !self.picked.is_empty() => {
                self.picked[place % self.picked.len()]
            }
            _ => id,
        }
    }

    /// The id as all servers know it.
    pub fn lease(&self, id: i64) -> i64 {
        let place = self.picked.iter().position(|picked| *picked == id);
        place.map_or(id, |place| PICKED + place as i64)
    }

    fn url(&self, url: &str) -> String {
        let name = self.urls.iter().find(|(own, _)| own == url);
        name.map_or(url.to_string(), |(_, name)| name.to_string())
    }

    pub fn member(&self, member: &mut pb::Member) {
        member.id = u64::from(member.id != 0);
        for url in member.peer_ur_ls.iter_mut().chain(&mut member.client_ur_ls) {
            *url = self.url(url);
        }
    }

    pub fn members(&self, members: &mut [pb::Member]) {
        for member in &mut *members {
            self.member(member);
        }
        members.sort_by_key(|member| (member.name.clone(), member.peer_ur_ls.clone()));
    }

    pub fn kv(&self, kv: &mut KeyValue) {
        kv.lease = self.lease(kv.lease);
        if kv.value.len() > 64 {
            let sum = kv
                .value
                .iter()
                .fold(7u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
            kv.value = format!("{} bytes, sum {sum:x}", kv.value.len()).into();
        }
    }

    pub fn range(&self, request: &pb::RangeRequest, answer: &mut pb::RangeResponse) {
        header(&mut answer.header);
        equal_in_key_order(request, answer);
        for kv in &mut answer.kvs {
            self.kv(kv);
        }
    }

    pub fn put(&self, answer: &mut pb::PutResponse) {
        header(&mut answer.header);
        if let Some(kv) = &mut answer.prev_kv {
            self.kv(kv);
        }
    }

    pub fn delete(&self, answer: &mut pb::DeleteRangeResponse) {
        header(&mut answer.header);
        for kv in &mut answer.prev_kvs {
            self.kv(kv);
        }
    }

    pub fn txn(&self, request: &pb::TxnRequest, answer: &mut pb::TxnResponse) {
        header(&mut answer.header);
        let ops = if answer.succeeded { &request.success } else { &request.failure };
        for (op, answer) in ops.iter().zip(&mut answer.responses) {
            match (&op.request, &mut answer.response) {
                (Some(Request::RequestRange(range)), Some(Response::ResponseRange(answer))) => {
                    self.range(range, answer);
                }
                (Some(Request::RequestTxn(txn)), Some(Response::ResponseTxn(answer))) => {
                    self.txn(txn, answer);
                }
                (_, Some(Response::ResponsePut(put))) => self.put(put),
                (_, Some(Response::ResponseDeleteRange(delete))) => self.delete(delete),
                _ => {}
            }
        }
    }

    /// The time left runs: what is close to all of it counts as all of it.
    pub fn time_to_live(&self, answer: &mut pb::LeaseTimeToLiveResponse) {
        header(&mut answer.header);
        answer.id = self.lease(answer.id);
        if answer.ttl > answer.granted_ttl - 90 && answer.ttl > 0 {
            answer.ttl = answer.granted_ttl;
        }
        answer.keys.sort();
    }
}

/// Ids and terms become 1, or stay 0.
pub fn header(header: &mut Option<pb::ResponseHeader>) {
    if let Some(header) = header {
        header.cluster_id = header.cluster_id.min(1);
        header.member_id = header.member_id.min(1);
        header.raft_term = header.raft_term.min(1);
    }
}

/// Keys that sort equal come in any order from etcd, whose sort is not stable: here they come
/// in key order. Where a limit cuts, any of those that are equal to the last may be missing,
/// so all of them are left out.
fn equal_in_key_order(request: &pb::RangeRequest, answer: &mut pb::RangeResponse) {
    let target = request.sort_target();
    let place = |kv: &KeyValue| match target {
        SortTarget::Key => (0, kv.key.clone()),
        SortTarget::Version => (kv.version, Default::default()),
        SortTarget::Create => (kv.create_revision, Default::default()),
        SortTarget::Mod => (kv.mod_revision, Default::default()),
        // With keys_only nobody sees what they were sorted by.
        SortTarget::Value => (0, kv.value.clone()),
    };
    if answer.more
        && target != SortTarget::Key
        && let Some(last) = answer.kvs.last().map(place)
    {
        answer.kvs.retain(|kv| place(kv) != last);
    }
    match request.sort_order() {
        SortOrder::Descend => {
            answer.kvs.sort_by(|a, b| place(b).cmp(&place(a)).then(a.key.cmp(&b.key)));
        }
        _ => answer.kvs.sort_by(|a, b| place(a).cmp(&place(b)).then(a.key.cmp(&b.key))),
    }
}
