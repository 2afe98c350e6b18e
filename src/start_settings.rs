//! The settings that a member starts with, in one line of its log: etcd's `starting an etcd server`.
//!
//! Names and spelling are etcd's, so what reads that line of etcd's reads it here. A setting that
//! is only accepted here is not in it, and nothing secret is.

use std::path::Path;

use node::config::{AutoCompaction, Discovery};
use node::spelling::duration;
use serde_json::{Value, json};

use crate::flags::groups::legacy;
use crate::flags::{ClusterState, HttpUrl, NodeOptions};
use crate::logging;
use crate::version::ETCD_VERSION;

/// Writes the line, and before it what was asked for.
pub fn log(options: &NodeOptions) {
    let words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    tracing::info!(args = ?redacted(words), "Running: ");
    let is_member = options.member.data_dir.join("member").exists();
    let kind = if is_member { "member" } else { "empty" };
    let data_dir = options.member.data_dir.display();
    tracing::info!(%data_dir, dir_type = kind, "Initialize and start etcd server");
    let fields = logging::pairs(fields(options, is_member));
    tracing::info!(target: logging::LISTED, fields, "starting an etcd server");
}

/// Flags whose values nobody else is to read.
const SECRET: [&str; 2] = ["discovery-password", "discovery-user"];

/// The words without secrets.
fn redacted(words: Vec<String>) -> Vec<String> {
    let mut hides_next = false;
    let hide = |word: String| {
        let (flag, value) = word.split_once('=').unwrap_or((&word, ""));
        let hides = std::mem::take(&mut hides_next);
        let is_secret = SECRET.contains(&flag.trim_start_matches('-'));
        hides_next = !hides && is_secret && value.is_empty();
        match (hides, is_secret && !value.is_empty()) {
            (true, _) => "***".to_owned(),
            (false, true) => format!("{flag}=***"),
            (false, false) => word,
        }
    };
    words.into_iter().map(hide).collect()
}

fn texts(urls: &[HttpUrl]) -> Value {
    urls.iter().map(HttpUrl::to_string).collect()
}

fn path(path: &Path) -> Value {
    path.display().to_string().into()
}

fn fields(options: &NodeOptions, initialized: bool) -> Vec<(&'static str, Value)> {
    let NodeOptions { member, listen, limits, upkeep, http, danger, .. } = options;
    let timing = member.timing;
    let wal_dir = member.wal_dir.as_deref().unwrap_or(Path::new(""));
    let gates = upkeep.features.list();
    let gates: Vec<String> = gates.iter().map(|(name, _, open)| format!("{name}={open}")).collect();
    let mut fields = vec![
        ("etcd-version", ETCD_VERSION.into()),
        ("etcd-tui-version", env!("CARGO_PKG_VERSION").into()),
        ("member-initialized", initialized.into()),
        ("name", member.name.as_str().into()),
        ("data-dir", path(&member.data_dir)),
        ("wal-dir", path(wal_dir)),
        ("member-dir", path(&member.data_dir.join("member"))),
        ("force-new-cluster", danger.force_new_cluster.into()),
        ("heartbeat-interval", duration(timing.heartbeat).into()),
        ("election-timeout", duration(timing.election).into()),
        ("initial-election-tick-advance", timing.advance_first_election.into()),
        ("snapshot-count", limits.snapshot_count.into()),
        ("snapshot-catchup-entries", limits.catch_up_entries.into()),
        ("initial-advertise-peer-urls", texts(&listen.advertise_peer)),
        ("listen-peer-urls", texts(&listen.peer)),
        ("advertise-client-urls", texts(&listen.advertise_client)),
        ("listen-client-urls", texts(&listen.client)),
        ("listen-metrics-urls", texts(&listen.metrics)),
        ("cors", json!(http.cors)),
        ("host-whitelist", json!(http.host_whitelist)),
    ];
    fields.extend(cluster(options));
    fields.extend([
        ("quota-backend-bytes", limits.quota_for_show().into()),
        ("max-request-bytes", limits.max_request_bytes.into()),
        ("max-concurrent-streams", http.streams_max.into()),
        ("pre-vote", member.pre_vote.into()),
        ("feature-gates", gates.join(",").into()),
        ("corrupt-check-time-interval", duration(upkeep.corrupt_check.unwrap_or_default()).into()),
        ("compact-check-time-interval", duration(upkeep.compact_hash_check).into()),
    ]);
    fields.extend(compaction(options.auto_compaction));
    fields.extend([
        ("downgrade-check-interval", duration(upkeep.downgrade_check.unwrap_or_default()).into()),
        ("max-learners", upkeep.max_learners.into()),
        ("v2-deprecation", legacy::STAGE.into()),
        ("enable-v2", options.clustering.enable_v2.into()),
    ]);
    fields
}

/// How the cluster is found.
fn cluster(options: &NodeOptions) -> Vec<(&'static str, Value)> {
    let clustering = &options.clustering;
    let listed = clustering.initial_cluster.iter();
    let members =
        listed.flat_map(|(name, urls)| urls.iter().map(move |url| format!("{name}={url}")));
    let members: Vec<String> = members.collect();
    let state = match clustering.state {
        ClusterState::New => "new",
        ClusterState::Existing => "existing",
    };
    let mut fields = vec![
        ("initial-cluster", members.join(",").into()),
        ("initial-cluster-state", state.into()),
        ("initial-cluster-token", clustering.token.as_str().into()),
    ];
    match &options.discovery {
        None => {}
        Some(Discovery::V2(v2)) => fields.push(("discovery-url", v2.url.as_str().into())),
        Some(Discovery::V3(v3)) => fields.extend([
            ("discovery-token", v3.token.as_str().into()),
            ("discovery-endpoints", v3.endpoints.join(",").into()),
        ]),
        Some(Discovery::Srv(srv)) => fields.push(("discovery-srv", srv.domain.as_str().into())),
    }
    fields
}

fn compaction(rule: AutoCompaction) -> [(&'static str, Value); 2] {
    let (mode, retention) = match rule {
        AutoCompaction::Off => ("periodic", "0s".into()),
        AutoCompaction::Periodic(time) => ("periodic", duration(time).into()),
        AutoCompaction::Revisions(count) => ("revision", count.into()),
    };
    [("auto-compaction-mode", mode.into()), ("auto-compaction-retention", retention)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::testing::options;

    #[test]
    fn the_line_says_what_the_flags_decided() {
        let words = ["--name=n1", "--snapshot-catchup-entries=7", "--auto-compaction-retention=2"];
        let options = options(&words).unwrap();
        let fields = fields(&options, false);
        let find = |name: &str| &fields.iter().find(|(field, _)| *field == name).expect(name).1;
        assert_eq!(find("name"), "n1");
        assert_eq!(find("snapshot-catchup-entries"), 7);
        assert_eq!(find("auto-compaction-retention"), "2h0m0s");
        assert_eq!(find("listen-client-urls"), &json!(["http://localhost:2379"]));
        assert_eq!(find("initial-cluster"), "n1=http://localhost:2380");
        assert_eq!(find("election-timeout"), "1s");
        assert_eq!(find("v2-deprecation"), "write-only");
    }

    #[test]
    fn passwords_are_not_in_it() {
        let words = ["etcd", "--discovery-password=secret", "--discovery-password", "secret", "x"];
        let shown = redacted(words.map(str::to_owned).to_vec());
        assert!(!shown.iter().any(|word| word.contains("secret")), "{shown:?}");
        assert_eq!(shown.last().unwrap(), "x");
    }
}
