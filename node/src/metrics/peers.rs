//! What goes to and comes from each other member.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::histogram::Histogram;
use super::page::Page;

/// Counted for one other member.
pub struct PeerCounts {
    pub sent_bytes: AtomicU64,
    pub received_bytes: AtomicU64,
    pub sent_failures: AtomicU64,
    pub received_failures: AtomicU64,
    pub disconnects: AtomicU64,
    pub snapshots_sent: AtomicU64,
    pub snapshot_send_failures: AtomicU64,
    pub snapshots_in_flight: AtomicU64,
    pub snapshots_received: AtomicU64,
    pub snapshot_receive_failures: AtomicU64,
    pub snapshot_send_time: Histogram,
    pub round_trip: Histogram,
    pub latency: crate::v2::latency::Latency,
}

impl Default for PeerCounts {
    fn default() -> Self {
        Self {
            sent_bytes: AtomicU64::new(0),
            received_bytes: AtomicU64::new(0),
            sent_failures: AtomicU64::new(0),
            received_failures: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            snapshots_sent: AtomicU64::new(0),
            snapshot_send_failures: AtomicU64::new(0),
            snapshots_in_flight: AtomicU64::new(0),
            snapshots_received: AtomicU64::new(0),
            snapshot_receive_failures: AtomicU64::new(0),
            snapshot_send_time: Histogram::doubling(0.1, 10),
            round_trip: Histogram::doubling(0.0001, 14),
            latency: Default::default(),
        }
    }
}

type Counter = fn(&PeerCounts) -> &AtomicU64;

/// Name, label, help, value. Those with `false` appear only when there was one, as in etcd.
const COUNTERS: [(&str, &str, &str, bool, Counter); 8] = [
    (
        "etcd_network_peer_sent_bytes_total",
        "To",
        "The total number of bytes sent to peers.",
        true,
        |peer| &peer.sent_bytes,
    ),
    (
        "etcd_network_peer_received_bytes_total",
        "From",
        "The total number of bytes received from peers.",
        true,
        |peer| &peer.received_bytes,
    ),
    (
        "etcd_network_peer_sent_failures_total",
        "To",
        "The total number of send failures from peers.",
        true,
        |peer| &peer.sent_failures,
    ),
    (
        "etcd_network_peer_received_failures_total",
        "From",
        "The total number of receive failures from peers.",
        false,
        |peer| &peer.received_failures,
    ),
    (
        "etcd_network_snapshot_send_success",
        "To",
        "Total number of successful snapshot sends",
        false,
        |peer| &peer.snapshots_sent,
    ),
    (
        "etcd_network_snapshot_send_failures",
        "To",
        "Total number of snapshot send failures",
        false,
        |peer| &peer.snapshot_send_failures,
    ),
    (
        "etcd_network_snapshot_receive_success",
        "From",
        "Total number of successful snapshot receives",
        false,
        |peer| &peer.snapshots_received,
    ),
    (
        "etcd_network_snapshot_receive_failures",
        "From",
        "Total number of snapshot receive failures",
        false,
        |peer| &peer.snapshot_receive_failures,
    ),
];

/// One other member: its id, what was counted, and whether it is connected.
pub type PeerRow = (u64, Arc<PeerCounts>, bool);

/// Writes what was counted for every other member of member `own`.
pub fn write(page: &mut Page, own: u64, peers: &[PeerRow]) {
    let pair = |id: u64| format!("Local=\"{own:x}\",Remote=\"{id:x}\"");
    let active: Vec<_> = peers.iter().map(|(id, _, up)| (pair(*id), f64::from(*up))).collect();
    let help = "The current number of active peer connections.";
    page.labelled("etcd_network_active_peers", "gauge", help, &active);
    // A member knows itself too, as in etcd.
    let ids = peers.iter().map(|(id, ..)| *id).chain([own]);
    let known: Vec<_> = ids.map(|id| (pair(id), 1.0)).collect();
    let help = "The current number of known peers.";
    page.labelled("etcd_network_known_peers", "gauge", help, &known);
    let lost = peers.iter().filter_map(|(id, counts, _)| {
        let lost = counts.disconnects.load(Ordering::Relaxed);
        (lost > 0).then(|| (pair(*id), lost as f64))
    });
    let help = "The total number of disconnected peers.";
    let lost: Vec<_> = lost.collect();
    page.labelled("etcd_network_disconnected_peers_total", "counter", help, &lost);
    for (name, label, help, always, counter) in COUNTERS {
        let rows = peers.iter().filter_map(|(id, counts, _)| {
            let value = counter(counts).load(Ordering::Relaxed);
            (always || value > 0).then(|| (format!("{label}=\"{id:x}\""), value as f64))
        });
        page.labelled(name, "counter", help, &rows.collect::<Vec<_>>());
    }
    write_snapshots(page, peers);
    if peers.is_empty() {
        return;
    }
    let name = "etcd_network_peer_round_trip_time_seconds";
    page.head(name, "histogram", "Round-Trip-Time histogram between peers");
    for (id, counts, _) in peers {
        counts.round_trip.write_series(page, name, &format!("To=\"{id:x}\""));
    }
}

fn write_snapshots(page: &mut Page, peers: &[PeerRow]) {
    let attempts = |counts: &PeerCounts| {
        counts.snapshots_sent.load(Ordering::Relaxed)
            + counts.snapshot_send_failures.load(Ordering::Relaxed)
            + counts.snapshots_in_flight.load(Ordering::Relaxed)
    };
    let sent: Vec<_> = peers.iter().filter(|(_, counts, _)| attempts(counts) > 0).collect();
    if sent.is_empty() {
        return;
    }
    let in_flight = sent.iter().map(|(id, counts, _)| {
        (format!("To=\"{id:x}\""), counts.snapshots_in_flight.load(Ordering::Relaxed) as f64)
    });
    let help = "Total number of inflight snapshot sends";
    let in_flight: Vec<_> = in_flight.collect();
    page.labelled("etcd_network_snapshot_send_inflights_total", "gauge", help, &in_flight);
    let name = "etcd_network_snapshot_send_total_duration_seconds";
    page.head(name, "histogram", "Total latency distributions of v3 snapshot sends");
    for (id, counts, _) in sent {
        counts.snapshot_send_time.write_series(page, name, &format!("To=\"{id:x}\""));
    }
}
