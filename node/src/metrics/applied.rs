//! What applying commands did, counted.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use proto::command::command::Kind;
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{ResponseOp, TxnResponse};

use super::Metrics;
use super::histogram::Histogram;
use super::page::Page;
use crate::kv::RecordKind;
use crate::machine::{Applied, Reply};

/// How long commands took, by what they are and whether they were carried out.
#[derive(Default)]
pub struct ApplyTimes(Mutex<BTreeMap<(&'static str, bool), Histogram>>);

/// First bound and number of bounds of etcd's histograms of requests: 0.1 ms to 52 s.
pub(super) const REQUEST_BOUNDS: (f64, i32) = (0.0001, 20);

impl ApplyTimes {
    fn observe(&self, op: &'static str, success: bool, took: Duration) {
        let (first, count) = REQUEST_BOUNDS;
        let new = || Histogram::doubling(first, count);
        self.0.lock().entry((op, success)).or_insert_with(new).observe(took);
    }

    pub(super) fn write(&self, page: &mut Page) {
        let times = self.0.lock();
        if times.is_empty() {
            return;
        }
        let name = "etcd_server_apply_duration_seconds";
        page.head(name, "histogram", "The latency distributions of v2 apply called by backend.");
        for ((op, success), histogram) in &*times {
            let version = if *op == "V2" { "v2" } else { "v3" };
            let labels = format!("op=\"{op}\",success=\"{success}\",version=\"{version}\"");
            histogram.write_series(page, name, &labels);
        }
    }
}

/// etcd's name for a command.
pub fn op_name(kind: &Kind) -> &'static str {
    #[allow(unreachable_patterns, reason = "parts of the API add commands of their own")]
    match kind {
        Kind::Put(_) => "Put",
        Kind::DeleteRange(_) => "DeleteRange",
        Kind::Txn(_) => "Txn",
        Kind::Compaction(_) => "Compaction",
        Kind::LeaseGrant(_) => "LeaseGrant",
        Kind::LeaseRevoke(_) => "LeaseRevoke",
        Kind::LeaseCheckpoint(_) => "LeaseCheckpoint",
        Kind::Alarm(_) => "Alarm",
        Kind::MemberAttributes(_) => "ClusterMemberAttrSet",
        Kind::MemberUpdate(_) => "ClusterMemberUpdate",
        Kind::ClusterVersion(_) => "ClusterVersionSet",
        Kind::Downgrade(_) => "DowngradeInfoSet",
        Kind::V2(_) => "V2",
        _ => "Auth",
    }
}

/// Operations inside a transaction, counted as etcd's key space counts them.
#[derive(Default)]
struct Ops {
    ranges: u64,
    deletes: u64,
    puts: u64,
}

impl Ops {
    fn add(&mut self, responses: &[ResponseOp]) {
        for response in responses.iter().filter_map(|op| op.response.as_ref()) {
            match response {
                Response::ResponseRange(_) => self.ranges += 1,
                Response::ResponsePut(_) => self.puts += 1,
                Response::ResponseDeleteRange(_) => self.deletes += 1,
                Response::ResponseTxn(nested) => self.add(&nested.responses),
            }
        }
    }
}

impl Metrics {
    /// A command was applied.
    pub fn applied(&self, op: &'static str, applied: &Applied, took: Duration) {
        self.apply_times.observe(op, applied.reply.is_ok(), took);
        if applied.compacted.is_some() {
            self.index_compaction.observe_ms(took);
        }
        let mut ops = Ops::default();
        match &applied.reply {
            Ok(Reply::Put(_)) => ops.puts = 1,
            Ok(Reply::DeleteRange(_)) => ops.deletes = 1,
            Ok(Reply::Txn(response)) => ops.add(&response.responses),
            // The keys of leases that ended.
            Ok(Reply::Done) => {
                ops.deletes = applied.changes.iter().map(Vec::len).sum::<usize>() as u64
            }
            _ => {}
        }
        self.count_ops(&ops);
        for change in applied.changes.iter().flatten() {
            if let RecordKind::Put(kv) = &change.record.kind {
                Self::add(&self.put_bytes, (kv.key.len() + kv.value.len()) as u64);
            }
        }
    }

    /// A transaction that only read was answered.
    pub fn read_txn(&self, response: &TxnResponse) {
        let mut ops = Ops::default();
        ops.add(&response.responses);
        self.count_ops(&ops);
    }

    fn count_ops(&self, ops: &Ops) {
        Self::add(&self.ranges, ops.ranges);
        Self::add(&self.puts, ops.puts);
        Self::add(&self.deletes, ops.deletes);
        if ops.ranges + ops.puts + ops.deletes > 1 {
            Self::count(&self.txns);
        }
    }
}
