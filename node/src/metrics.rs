//! Counters and histograms in Prometheus' text format.
//!
//! Names, labels and buckets are etcd's, because dashboards and alerts know them. Only what
//! has a true value here is exported.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in seconds: 1 ms to 8.192 s, doubling, as etcd's disk histograms.
const BUCKETS: usize = 14;

/// Durations, in etcd's disk buckets.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let mut bound = Duration::from_millis(1);
        for bucket in &self.buckets {
            if duration <= bound {
                bucket.fetch_add(1, Ordering::Relaxed);
                break;
            }
            bound *= 2;
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.sum_us.fetch_add(micros, Ordering::Relaxed);
    }

    fn write(&self, out: &mut Page, name: &str, help: &str) {
        out.head(name, "histogram", help);
        let mut total = 0;
        let mut bound_ms = 1u64;
        for bucket in &self.buckets {
            total += bucket.load(Ordering::Relaxed);
            let bound = bound_ms as f64 / 1000.0;
            out.line(&format!("{name}_bucket{{le=\"{bound}\"}}"), total as f64);
            bound_ms *= 2;
        }
        let count = self.count.load(Ordering::Relaxed);
        out.line(&format!("{name}_bucket{{le=\"+Inf\"}}"), count as f64);
        out.line(&format!("{name}_sum"), self.sum_us.load(Ordering::Relaxed) as f64 / 1e6);
        out.line(&format!("{name}_count"), count as f64);
    }
}

/// A page in Prometheus' text format.
#[derive(Default)]
pub struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, series: &str, value: f64) {
        let _ = writeln!(self.0, "{series} {value}");
    }

    /// One value that may go up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.line(name, value);
    }

    /// One value that only goes up.
    pub fn counter(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "counter", help);
        self.line(name, value);
    }

    /// One value with labels, given as `key="value",…`.
    pub fn labelled(&mut self, name: &str, kind: &str, help: &str, rows: &[(String, f64)]) {
        self.head(name, kind, help);
        for (labels, value) in rows {
            self.line(&format!("{name}{{{labels}}}"), *value);
        }
    }

    /// The text.
    pub fn into_text(self) -> String {
        self.0
    }
}

/// What is counted where it happens.
#[derive(Default)]
pub struct Metrics {
    pub wal_fsync: std::sync::Arc<Histogram>,
    pub backend_commit: std::sync::Arc<Histogram>,
    pub proposals_failed: AtomicU64,
    pub puts: AtomicU64,
    pub deletes: AtomicU64,
    pub ranges: AtomicU64,
    pub txns: AtomicU64,
    pub watch_streams: AtomicI64,
    pub leases_granted: AtomicU64,
    pub leases_revoked: AtomicU64,
    pub leases_renewed: AtomicU64,
    pub leases_expired: AtomicU64,
    pub client_received_bytes: AtomicU64,
    pub client_sent_bytes: AtomicU64,
    pub health_successes: AtomicU64,
    pub health_failures: AtomicU64,
    pub slow_applies: AtomicU64,
}

impl Metrics {
    /// Adds one to a counter.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes all of them.
    pub fn write(&self, page: &mut Page) {
        let counters: [(&str, &str, &AtomicU64); 12] = [
            (
                "etcd_server_proposals_failed_total",
                "The total number of failed proposals seen.",
                &self.proposals_failed,
            ),
            ("etcd_mvcc_put_total", "Total number of puts seen by this member.", &self.puts),
            (
                "etcd_mvcc_delete_total",
                "Total number of deletes seen by this member.",
                &self.deletes,
            ),
            ("etcd_mvcc_range_total", "Total number of ranges seen by this member.", &self.ranges),
            ("etcd_mvcc_txn_total", "Total number of txns seen by this member.", &self.txns),
            (
                "etcd_debugging_lease_granted_total",
                "The total number of granted leases.",
                &self.leases_granted,
            ),
            (
                "etcd_debugging_lease_revoked_total",
                "The total number of revoked leases.",
                &self.leases_revoked,
            ),
            (
                "etcd_debugging_lease_renewed_total",
                "The number of renewed leases seen by the leader.",
                &self.leases_renewed,
            ),
            (
                "etcd_debugging_server_lease_expired_total",
                "The total number of expired leases.",
                &self.leases_expired,
            ),
            (
                "etcd_server_health_success",
                "The total number of successful health checks",
                &self.health_successes,
            ),
            (
                "etcd_server_health_failures",
                "The total number of failed health checks",
                &self.health_failures,
            ),
            (
                "etcd_server_slow_apply_total",
                "The total number of slow apply requests (likely overloaded from slow disk).",
                &self.slow_applies,
            ),
        ];
        for (name, help, counter) in counters {
            page.counter(name, help, counter.load(Ordering::Relaxed) as f64);
        }
        self.wal_fsync.write(
            page,
            "etcd_disk_wal_fsync_duration_seconds",
            "The latency distributions of fsync called by WAL.",
        );
        self.backend_commit.write(
            page,
            "etcd_disk_backend_commit_duration_seconds",
            "The latency distributions of commit called by backend.",
        );
    }
}
