//! The page that `/metrics` answers: what was counted, and what is looked up when asked.

use std::sync::atomic::Ordering;

use proto::etcdserverpb::AlarmType;

use super::Service;
use crate::metrics::{Metrics, Page, peers, process};

/// The whole page.
pub fn page(service: &Service) -> String {
    let member = &service.member;
    Metrics::count(&member.metrics.scrapes);
    let mut page = Page::default();
    consensus(service, &mut page);
    identity(service, &mut page);
    storage(service, &mut page);
    watchers(service, &mut page);
    state(service, &mut page);
    v2(service, &mut page);
    member.metrics.write(&mut page);
    member.metrics.rpcs.write(&mut page, member.config.upkeep.extensive_metrics);
    let rows: Vec<peers::PeerRow> = member
        .transport
        .counts()
        .into_iter()
        .map(|(id, counts)| (id, counts, member.transport.connected_for(id).is_some()))
        .collect();
    peers::write(&mut page, member.id(), &rows);
    process::write(&mut page, member.started.elapsed());
    page.into_text()
}

fn flag(value: bool) -> f64 {
    f64::from(u8::from(value))
}

fn consensus(service: &Service, page: &mut Page) {
    let leadership = service.handle.leadership();
    let progress = service.handle.progress();
    page.gauge(
        "etcd_server_has_leader",
        "Whether or not a leader exists. 1 is existence, 0 is not.",
        flag(leadership.leader != 0),
    );
    page.gauge(
        "etcd_server_is_leader",
        "Whether or not this member is a leader. 1 if is, 0 otherwise.",
        flag(leadership.is_leader),
    );
    page.gauge(
        "etcd_server_is_learner",
        "Whether or not this member is a learner. 1 if is, 0 otherwise.",
        flag(service.is_learner()),
    );
    page.gauge(
        "etcd_server_proposals_committed_total",
        "The total number of consensus proposals committed.",
        progress.commit.load(Ordering::Relaxed) as f64,
    );
    page.gauge(
        "etcd_server_proposals_applied_total",
        "The total number of consensus proposals applied.",
        service.handle.applied() as f64,
    );
    page.gauge(
        "etcd_server_proposals_pending",
        "The current number of pending proposals to commit.",
        progress.pending_proposals.load(Ordering::Relaxed) as f64,
    );
    let counters = [
        (
            "etcd_server_leader_changes_seen_total",
            "The number of leader changes seen.",
            &progress.leader_changes,
        ),
        (
            "etcd_server_heartbeat_send_failures_total",
            "The total number of leader heartbeat send failures (likely overloaded from slow disk).",
            &progress.late_heartbeats,
        ),
        (
            "etcd_server_slow_read_indexes_total",
            "The total number of pending read indexes not in sync with leader's or timed out read index requests.",
            &progress.slow_reads,
        ),
    ];
    for (name, help, counter) in counters {
        page.counter(name, help, counter.load(Ordering::Relaxed) as f64);
    }
}

fn identity(service: &Service, page: &mut Page) {
    let member = &service.member;
    page.labelled(
        "etcd_server_version",
        "gauge",
        "Which version is running. 1 for 'server_version' label with current version.",
        &[(format!("server_version=\"{}\"", member.config.version), 1.0)],
    );
    page.labelled(
        "etcd_server_id",
        "gauge",
        "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.",
        &[(format!("server_id=\"{:x}\"", member.id()), 1.0)],
    );
    let gates = member.config.upkeep.features.list().into_iter().map(|(name, stage, open)| {
        (format!("name=\"{name}\",stage=\"{}\"", stage.name()), flag(open))
    });
    page.labelled(
        "etcd_server_feature_enabled",
        "gauge",
        "Whether or not a feature is enabled. 1 is enabled, 0 is not.",
        &gates.collect::<Vec<_>>(),
    );
    page.gauge(
        "promhttp_metric_handler_requests_in_flight",
        "Current number of scrapes being served.",
        1.0,
    );
    page.labelled(
        "promhttp_metric_handler_requests_total",
        "counter",
        "Total number of scrapes by HTTP status code.",
        &[("code=\"200\"".to_owned(), member.metrics.scrapes.load(Ordering::Relaxed) as f64)],
    );
}

fn storage(service: &Service, page: &mut Page) {
    let member = &service.member;
    page.gauge(
        "etcd_server_quota_backend_bytes",
        "Current backend storage quota size in bytes.",
        member.config.limits.quota_for_show() as f64,
    );
    page.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
        member.db_size() as f64,
    );
    page.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Total size of the underlying database logically in use in bytes.",
        member.db_size_in_use() as f64,
    );
}

fn watchers(service: &Service, page: &mut Page) {
    let counts = service.member.watchers.counts();
    let gauges = [
        ("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", counts.watchers),
        (
            "etcd_debugging_mvcc_watch_stream_total",
            "Total number of watch streams.",
            counts.streams,
        ),
        (
            "etcd_debugging_mvcc_slow_watcher_total",
            "Total number of unsynced slow watchers.",
            counts.lagging,
        ),
        (
            "etcd_debugging_mvcc_pending_events_total",
            "Total number of pending events to be sent.",
            counts.pending_events,
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, value as f64);
    }
}

fn state(service: &Service, page: &mut Page) {
    let state = service.member.state.read();
    let keys = state.kv.key_count() as f64;
    page.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", keys);
    page.gauge(
        "etcd_debugging_mvcc_current_revision",
        "The current revision of store.",
        state.kv.revision() as f64,
    );
    page.gauge(
        "etcd_debugging_auth_revision",
        "The current revision of auth store.",
        state.auth.revision() as f64,
    );
    // etcd says -1 before the first compaction.
    let compacted = if state.kv.compacted() == 0 { -1 } else { state.kv.compacted() };
    page.gauge(
        "etcd_debugging_mvcc_compact_revision",
        "The revision of the last compaction in store.",
        compacted as f64,
    );
    let alarms = state.alarms.list(AlarmType::None);
    let alarms = alarms.iter().map(|raised| {
        let kind = raised.alarm().as_str_name();
        (format!("alarm_type=\"{kind}\",server_id=\"{:x}\"", raised.member_id), 1.0)
    });
    page.labelled(
        "etcd_debugging_server_alarms",
        "gauge",
        "Alarms for every member in cluster. 1 for 'server_id' label with current ID. 2 for 'alarm_type' label with type of this alarm",
        &alarms.collect::<Vec<_>>(),
    );
    if let Some(version) = crate::cluster::version::Version::parse(&state.cluster_version) {
        page.labelled(
            "etcd_cluster_version",
            "gauge",
            "Which version is running. 1 for 'cluster_version' label with current cluster version",
            &[(format!("cluster_version=\"{}\"", version.short()), 1.0)],
        );
    }
}

/// The v2 store's counters.
fn v2(service: &Service, page: &mut Page) {
    let v2 = &service.member.v2;
    let stats = &v2.stats;
    let pairs = [
        ("create", &stats.creates),
        ("set", &stats.sets),
        ("update", &stats.updates),
        ("delete", &stats.deletes),
        ("compareAndSwap", &stats.swaps),
        ("compareAndDelete", &stats.compared_deletes),
    ];
    let writes =
        pairs.into_iter().map(|(action, pair)| (format!("action=\"{action}\""), pair.read().0));
    let writes: Vec<_> =
        writes.filter(|(_, done)| *done > 0).map(|(labels, done)| (labels, done as f64)).collect();
    page.labelled(
        "etcd_debugging_store_writes_total",
        "counter",
        "Total number of writes (e.g. set/compareAndDelete) seen by this member.",
        &writes,
    );
    let reads = stats.gets.read().0;
    let reads = if reads > 0 { vec![("action=\"get\"".to_owned(), reads as f64)] } else { vec![] };
    page.labelled(
        "etcd_debugging_store_reads_total",
        "counter",
        "Total number of reads action by (get/getRecursive), local to this member.",
        &reads,
    );
    page.counter(
        "etcd_debugging_store_expires_total",
        "Total number of expired keys.",
        stats.expired.load(Ordering::Relaxed) as f64,
    );
    page.gauge(
        "etcd_debugging_store_watchers",
        "Count of currently active watchers.",
        v2.hub.count() as f64,
    );
}
