//! Counters and histograms in Prometheus' text format.
//!
//! Names, labels and buckets are etcd's, because dashboards and alerts know them. Only what
//! has a true value here is exported: names of bbolt's or Go's insides are left out. What
//! happens is counted where it happens, in [`Metrics`]; what can be looked up when somebody
//! asks is looked up then (`api::metrics_page`).

pub mod applied;
pub mod health;
pub mod histogram;
pub mod page;
pub mod peers;
pub mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

pub use applied::op_name;
pub use histogram::Histogram;
pub use page::Page;
pub use peers::PeerCounts;

/// What physical compaction does.
#[derive(Debug)]
pub struct CompactionCounts {
    pub keys: AtomicU64,
    /// When the last one ended, in seconds since 1970.
    pub last: AtomicU64,
    /// A step.
    pub pause: Histogram,
    /// From the first step to the last.
    pub total: Histogram,
}

impl Default for CompactionCounts {
    fn default() -> Self {
        Self {
            keys: AtomicU64::new(0),
            last: AtomicU64::new(0),
            pause: Histogram::doubling(1.0, 13),
            total: Histogram::doubling(100.0, 14),
        }
    }
}

impl CompactionCounts {
    /// A compaction has come to its end.
    pub fn ended(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(now.as_secs(), Ordering::Relaxed);
    }
}

/// What the write-ahead log does.
#[derive(Debug, Default)]
pub struct WalCounts {
    pub fsync: Histogram,
    pub bytes: AtomicU64,
}

/// What is counted where it happens.
pub struct Metrics {
    pub wal: Arc<WalCounts>,
    pub backend_commit: Arc<Histogram>,
    pub compaction: Arc<CompactionCounts>,
    pub index_compaction: Histogram,
    pub apply_times: applied::ApplyTimes,
    pub range_done: Histogram,
    pub range_refused: Histogram,
    pub hash: Histogram,
    pub hash_rev: Histogram,
    pub defrag: Histogram,
    pub defrag_running: AtomicU64,
    pub backup: Histogram,
    pub snapshot_save: Histogram,
    pub snapshot_install: Histogram,
    pub snapshots_installing: AtomicU64,
    pub lease_ttl: Histogram,
    pub proposals_failed: AtomicU64,
    pub reads_failed: AtomicU64,
    pub puts: AtomicU64,
    pub put_bytes: AtomicU64,
    pub deletes: AtomicU64,
    pub ranges: AtomicU64,
    pub txns: AtomicU64,
    pub leases_granted: AtomicU64,
    pub leases_revoked: AtomicU64,
    pub leases_renewed: AtomicU64,
    pub leases_expired: AtomicU64,
    pub client_received_bytes: AtomicU64,
    pub client_sent_bytes: AtomicU64,
    pub health_successes: AtomicU64,
    pub health_failures: AtomicU64,
    pub slow_applies: AtomicU64,
    pub promoted: AtomicU64,
    pub events: AtomicU64,
    pub scrapes: AtomicU64,
    pub checks: health::Checks,
    pub rpcs: crate::api::rpc_counts::RpcCounts,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests = || {
            let (first, count) = applied::REQUEST_BOUNDS;
            Histogram::doubling(first, count)
        };
        let zero = || AtomicU64::new(0);
        Self {
            wal: Arc::default(),
            backend_commit: Arc::default(),
            compaction: Arc::default(),
            index_compaction: Histogram::doubling(0.5, 14),
            apply_times: applied::ApplyTimes::default(),
            range_done: requests(),
            range_refused: requests(),
            hash: Histogram::doubling(0.01, 15),
            hash_rev: Histogram::doubling(0.01, 15),
            defrag: Histogram::doubling(0.1, 13),
            defrag_running: zero(),
            backup: Histogram::doubling(0.01, 17),
            snapshot_save: Histogram::default(),
            snapshot_install: Histogram::doubling(0.1, 10),
            snapshots_installing: zero(),
            lease_ttl: Histogram::doubling(1.0, 24),
            proposals_failed: zero(),
            reads_failed: zero(),
            puts: zero(),
            put_bytes: zero(),
            deletes: zero(),
            ranges: zero(),
            txns: zero(),
            leases_granted: zero(),
            leases_revoked: zero(),
            leases_renewed: zero(),
            leases_expired: zero(),
            client_received_bytes: zero(),
            client_sent_bytes: zero(),
            health_successes: zero(),
            health_failures: zero(),
            slow_applies: zero(),
            promoted: zero(),
            events: zero(),
            scrapes: zero(),
            checks: health::Checks::default(),
            rpcs: crate::api::rpc_counts::RpcCounts::default(),
        }
    }
}

type Counter = fn(&Metrics) -> &AtomicU64;

/// Name, help, value of everything that only goes up.
const COUNTERS: [(&str, &str, Counter); 18] = [
    (
        "etcd_network_client_grpc_received_bytes_total",
        "The total number of bytes received from grpc clients.",
        |metrics| &metrics.client_received_bytes,
    ),
    (
        "etcd_network_client_grpc_sent_bytes_total",
        "The total number of bytes sent to grpc clients.",
        |metrics| &metrics.client_sent_bytes,
    ),
    (
        "etcd_server_proposals_failed_total",
        "The total number of failed proposals seen.",
        |metrics| &metrics.proposals_failed,
    ),
    (
        "etcd_server_read_indexes_failed_total",
        "The total number of failed read indexes seen.",
        |metrics| &metrics.reads_failed,
    ),
    ("etcd_mvcc_put_total", "Total number of puts seen by this member.", |metrics| &metrics.puts),
    ("etcd_mvcc_delete_total", "Total number of deletes seen by this member.", |metrics| {
        &metrics.deletes
    }),
    ("etcd_mvcc_range_total", "Total number of ranges seen by this member.", |metrics| {
        &metrics.ranges
    }),
    ("etcd_mvcc_txn_total", "Total number of txns seen by this member.", |metrics| &metrics.txns),
    ("etcd_debugging_lease_granted_total", "The total number of granted leases.", |metrics| {
        &metrics.leases_granted
    }),
    ("etcd_debugging_lease_revoked_total", "The total number of revoked leases.", |metrics| {
        &metrics.leases_revoked
    }),
    (
        "etcd_debugging_lease_renewed_total",
        "The number of renewed leases seen by the leader.",
        |metrics| &metrics.leases_renewed,
    ),
    (
        "etcd_debugging_server_lease_expired_total",
        "The total number of expired leases.",
        |metrics| &metrics.leases_expired,
    ),
    ("etcd_server_health_success", "The total number of successful health checks", |metrics| {
        &metrics.health_successes
    }),
    ("etcd_server_health_failures", "The total number of failed health checks", |metrics| {
        &metrics.health_failures
    }),
    (
        "etcd_server_slow_apply_total",
        "The total number of slow apply requests (likely overloaded from slow disk).",
        |metrics| &metrics.slow_applies,
    ),
    (
        "etcd_server_learner_promote_successes",
        "The total number of successful learner promotions while this member is leader.",
        |metrics| &metrics.promoted,
    ),
    (
        "etcd_debugging_mvcc_events_total",
        "Total number of events sent by this member.",
        |metrics| &metrics.events,
    ),
    (
        "etcd_debugging_mvcc_db_compaction_keys_total",
        "Total number of db keys compacted.",
        |metrics| &metrics.compaction.keys,
    ),
];

/// Name, help, value of what may go down.
const GAUGES: [(&str, &str, Counter); 5] = [
    ("etcd_disk_wal_write_bytes_total", "Total number of bytes written in WAL.", |metrics| {
        &metrics.wal.bytes
    }),
    (
        "etcd_disk_defrag_inflight",
        "Whether or not defrag is active on the member. 1 means active, 0 means not.",
        |metrics| &metrics.defrag_running,
    ),
    (
        "etcd_server_snapshot_apply_in_progress_total",
        "1 if the server is applying the incoming snapshot. 0 if none.",
        |metrics| &metrics.snapshots_installing,
    ),
    (
        "etcd_debugging_mvcc_total_put_size_in_bytes",
        "The total size of put kv pairs seen by this member.",
        |metrics| &metrics.put_bytes,
    ),
    (
        "etcd_debugging_mvcc_db_compaction_last",
        "The unix time of the last db compaction. Resets to 0 on start.",
        |metrics| &metrics.compaction.last,
    ),
];

type Times = fn(&Metrics) -> &Histogram;

const HISTOGRAMS: [(&str, &str, Times); 12] = [
    (
        "etcd_disk_wal_fsync_duration_seconds",
        "The latency distributions of fsync called by WAL.",
        |metrics| &metrics.wal.fsync,
    ),
    (
        "etcd_disk_backend_commit_duration_seconds",
        "The latency distributions of commit called by backend.",
        |metrics| &metrics.backend_commit,
    ),
    (
        "etcd_disk_backend_defrag_duration_seconds",
        "The latency distribution of backend defragmentation.",
        |metrics| &metrics.defrag,
    ),
    (
        "etcd_disk_backend_snapshot_duration_seconds",
        "The latency distribution of backend snapshots.",
        |metrics| &metrics.backup,
    ),
    (
        "etcd_debugging_snap_save_total_duration_seconds",
        "The total latency distributions of save called by snapshot.",
        |metrics| &metrics.snapshot_save,
    ),
    (
        "etcd_snap_db_save_total_duration_seconds",
        "The total latency distributions of v3 snapshot save",
        |metrics| &metrics.snapshot_install,
    ),
    (
        "etcd_mvcc_hash_duration_seconds",
        "The latency distribution of storage hash operation.",
        |metrics| &metrics.hash,
    ),
    (
        "etcd_mvcc_hash_rev_duration_seconds",
        "The latency distribution of storage hash by revision operation.",
        |metrics| &metrics.hash_rev,
    ),
    ("etcd_debugging_lease_ttl_total", "Bucketed histogram of lease TTLs.", |metrics| {
        &metrics.lease_ttl
    }),
    (
        "etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds",
        "Bucketed histogram of index compaction pause duration.",
        |metrics| &metrics.index_compaction,
    ),
    (
        "etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds",
        "Bucketed histogram of db compaction pause duration.",
        |metrics| &metrics.compaction.pause,
    ),
    (
        "etcd_debugging_mvcc_db_compaction_total_duration_milliseconds",
        "Bucketed histogram of db compaction total duration.",
        |metrics| &metrics.compaction.total,
    ),
];

impl Metrics {
    /// Adds one to a counter.
    pub fn count(counter: &AtomicU64) {
        Self::add(counter, 1);
    }

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, by: u64) {
        counter.fetch_add(by, Ordering::Relaxed);
    }

    /// Writes all of them.
    pub fn write(&self, page: &mut Page) {
        for (name, help, counter) in COUNTERS {
            page.counter(name, help, counter(self).load(Ordering::Relaxed) as f64);
        }
        for (name, help, gauge) in GAUGES {
            page.gauge(name, help, gauge(self).load(Ordering::Relaxed) as f64);
        }
        for (name, help, times) in HISTOGRAMS {
            times(self).write(page, name, help);
        }
        self.apply_times.write(page);
        let name = "etcd_server_range_duration_seconds";
        page.head(name, "histogram", "The latency distributions of txn.Range");
        self.range_done.write_series(page, name, "success=\"true\"");
        self.range_refused.write_series(page, name, "success=\"false\"");
        self.checks.write(page);
    }
}
