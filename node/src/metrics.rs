//! Counters and histograms in Prometheus' text format.
//!
//! Names, labels and buckets are etcd's, because dashboards and alerts know them. Only what
//! has a true value here is exported.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets of a histogram; each bound is twice the one before, as in etcd.
const BUCKETS: usize = 14;
/// First bound of etcd's disk histograms.
const DISK_BOUND_US: u64 = 1000;
/// First bound of etcd's round trip histogram.
const ROUND_TRIP_BOUND_US: u64 = 100;

/// Durations.
#[derive(Debug)]
pub struct Histogram {
    first_bound_us: u64,
    buckets: [AtomicU64; BUCKETS],
    count: AtomicU64,
    sum_us: AtomicU64,
}

impl Default for Histogram {
    /// One for disk operations.
    fn default() -> Self {
        Self::new(DISK_BOUND_US)
    }
}

impl Histogram {
    fn new(first_bound_us: u64) -> Self {
        let (buckets, count, sum_us) = Default::default();
        Self { first_bound_us, buckets, count, sum_us }
    }

    /// One for round trips between members.
    pub fn of_round_trips() -> Self {
        Self::new(ROUND_TRIP_BOUND_US)
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let mut bound = Duration::from_micros(self.first_bound_us);
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
        self.write_series(out, name, "");
    }

    /// The lines of one series; `label` is empty or `key="value",`.
    fn write_series(&self, out: &mut Page, name: &str, label: &str) {
        let mut total = 0;
        let mut bound_us = self.first_bound_us;
        for bucket in &self.buckets {
            total += bucket.load(Ordering::Relaxed);
            let bound = bound_us as f64 / 1e6;
            out.line(&format!("{name}_bucket{{{label}le=\"{bound}\"}}"), total as f64);
            bound_us *= 2;
        }
        let count = self.count.load(Ordering::Relaxed);
        out.line(&format!("{name}_bucket{{{label}le=\"+Inf\"}}"), count as f64);
        let labels = label.trim_end_matches(',');
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = self.sum_us.load(Ordering::Relaxed) as f64 / 1e6;
        out.line(&format!("{name}_sum{labels}"), sum);
        out.line(&format!("{name}_count{labels}"), count as f64);
    }
}

/// What goes to and comes from one other member.
pub struct PeerCounts {
    pub sent_bytes: AtomicU64,
    pub received_bytes: AtomicU64,
    pub sent_failures: AtomicU64,
    pub round_trip: Histogram,
    pub latency: crate::v2::latency::Latency,
}

impl Default for PeerCounts {
    fn default() -> Self {
        let (sent_bytes, received_bytes, sent_failures) = Default::default();
        let round_trip = Histogram::of_round_trips();
        let latency = Default::default();
        Self { sent_bytes, received_bytes, sent_failures, round_trip, latency }
    }
}

/// Writes what was counted for every other member.
pub fn write_peers(page: &mut Page, peers: &[(u64, std::sync::Arc<PeerCounts>)]) {
    type Counter = fn(&PeerCounts) -> &AtomicU64;
    let counters: [(&str, &str, &str, Counter); 3] = [
        (
            "etcd_network_peer_sent_bytes_total",
            "The total number of bytes sent to peers.",
            "To",
            |peer| &peer.sent_bytes,
        ),
        (
            "etcd_network_peer_received_bytes_total",
            "The total number of bytes received from peers.",
            "From",
            |peer| &peer.received_bytes,
        ),
        (
            "etcd_network_peer_sent_failures_total",
            "The total number of send failures to peers.",
            "To",
            |peer| &peer.sent_failures,
        ),
    ];
    for (name, help, label, counter) in counters {
        let row = |(id, peer): &(u64, std::sync::Arc<PeerCounts>)| {
            (format!("{label}=\"{id:x}\""), counter(peer).load(Ordering::Relaxed) as f64)
        };
        page.labelled(name, "counter", help, &peers.iter().map(row).collect::<Vec<_>>());
    }
    let name = "etcd_network_peer_round_trip_time_seconds";
    page.head(name, "histogram", "Round-Trip-Time histogram between peers");
    for (id, peer) in peers {
        peer.round_trip.write_series(page, name, &format!("To=\"{id:x}\","));
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
    pub leases_granted: AtomicU64,
    pub leases_revoked: AtomicU64,
    pub leases_renewed: AtomicU64,
    pub leases_expired: AtomicU64,
    pub client_received_bytes: AtomicU64,
    pub client_sent_bytes: AtomicU64,
    pub health_successes: AtomicU64,
    pub health_failures: AtomicU64,
    pub slow_applies: AtomicU64,
    pub rpcs: crate::api::rpc_counts::RpcCounts,
}

impl Metrics {
    /// Adds one to a counter.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn counters(&self) -> [(&str, &str, &AtomicU64); 14] {
        [
            (
                "etcd_network_client_grpc_received_bytes_total",
                "The total number of bytes received from grpc clients.",
                &self.client_received_bytes,
            ),
            (
                "etcd_network_client_grpc_sent_bytes_total",
                "The total number of bytes sent to grpc clients.",
                &self.client_sent_bytes,
            ),
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
        ]
    }

    /// Writes all of them.
    pub fn write(&self, page: &mut Page) {
        for (name, help, counter) in self.counters() {
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
