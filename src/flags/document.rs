//! The table of all flags in `assets/flags.md`, and the tests that hold it to the parser and to
//! the flags that etcd has.
//!
//! The file is written by what is tested here, from the same rows as `--help`:
//! `ETCD_TUI_WRITE_FLAGS=1 cargo test -p etcd-tui --bin etcd-tui flags::document`.

use std::collections::BTreeSet;

use super::groups::{SECTIONS, internal, legacy, tuning};
use super::table::{self, Flag, Kind};
use super::testing::options;

/// The flags of etcd 3.4, 3.5 and 3.6, with those that it accepts and ignores.
const OF_ETCD: &str = "
    advertise-client-urls auth-token auth-token-ttl auto-compaction-mode
    auto-compaction-retention auto-tls backend-batch-interval backend-batch-limit
    backend-bbolt-freelist-type bcrypt-cost bootstrap-defrag-threshold-megabytes cert-file
    cipher-suites client-cert-allowed-hostname client-cert-auth client-cert-file
    client-crl-file client-key-file cluster-active-size cluster-remove-delay
    cluster-sync-interval compact-hash-check-time compaction-batch-limit
    compaction-sleep-interval config config-file corrupt-check-time cors data-dir debug
    discovery discovery-cacert discovery-cert discovery-dial-timeout discovery-endpoints
    discovery-fallback discovery-insecure-skip-tls-verify discovery-insecure-transport
    discovery-keepalive-time discovery-keepalive-timeout discovery-key discovery-password
    discovery-proxy discovery-request-timeout discovery-srv discovery-srv-name
    discovery-token discovery-user distributed-tracing-address
    distributed-tracing-instance-id distributed-tracing-sampling-rate
    distributed-tracing-service-name downgrade-check-time election-timeout
    enable-distributed-tracing enable-grpc-gateway enable-log-rotation enable-pprof
    enable-v2 experimental-backend-bbolt-freelist-type
    experimental-bootstrap-defrag-threshold-megabytes
    experimental-compact-hash-check-enabled experimental-compact-hash-check-time
    experimental-compaction-batch-limit experimental-compaction-sleep-interval
    experimental-corrupt-check-time experimental-distributed-tracing-address
    experimental-distributed-tracing-instance-id
    experimental-distributed-tracing-sampling-rate
    experimental-distributed-tracing-service-name experimental-downgrade-check-time
    experimental-enable-distributed-tracing experimental-enable-lease-checkpoint
    experimental-enable-lease-checkpoint-persist experimental-enable-v2v3
    experimental-initial-corrupt-check experimental-max-learners experimental-memory-mlock
    experimental-peer-skip-client-san-verification experimental-snapshot-catchup-entries
    experimental-stop-grpc-service-on-defrag experimental-txn-mode-write-with-shared-buffer
    experimental-warning-apply-duration experimental-warning-unary-request-duration
    experimental-watch-progress-notify-interval feature-gates force force-new-cluster
    grpc-keepalive-interval grpc-keepalive-min-time grpc-keepalive-timeout
    heartbeat-interval host-whitelist initial-advertise-peer-urls initial-cluster
    initial-cluster-state initial-cluster-token initial-election-tick-advance key-file
    listen-client-http-urls listen-client-urls listen-metrics-urls listen-peer-urls
    log-format log-level log-outputs log-package-levels log-rotation-config-json logger
    max-concurrent-streams max-learners max-request-bytes max-result-buffer
    max-retry-attempts max-snapshots max-txn-ops max-wals memory-mlock metrics name
    peer-auto-tls peer-cert-allowed-cn peer-cert-allowed-hostname peer-cert-file
    peer-client-cert-auth peer-client-cert-file peer-client-key-file peer-crl-file
    peer-election-timeout peer-heartbeat-interval peer-key-file
    peer-skip-client-san-verification peer-trusted-ca-file pre-vote proxy proxy-dial-timeout
    proxy-failure-wait proxy-read-timeout proxy-refresh-interval proxy-write-timeout
    quota-backend-bytes raft-read-timeout raft-write-timeout retry-interval
    self-signed-cert-validity snapshot snapshot-catchup-entries snapshot-count
    socket-reuse-address socket-reuse-port strict-reconfig-check tls-max-version
    tls-min-version trusted-ca-file unsafe-no-fsync v v2-deprecation version vv wal-dir
    warning-apply-duration warning-unary-request-duration watch-progress-notify-interval
";

/// Flags of this program alone.
const OWN: [&str; 3] = ["peer-proxy", "die-with-parent", "fault-file"];

/// Accepted, checked, and of no effect, beside those of [`tuning`].
const ACCEPTED: &[&str] =
    &["discovery-fallback", "logger", "socket-reuse-address", "v2-deprecation"];

/// Accepted only with the value that asks for nothing: the flag, a value that is refused, why.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "experimental-enable-v2v3",
        "/v2",
        "The v2 API has keys of its own; etcd 3.6 has no emulation either.",
    ),
    (
        "proxy",
        "on",
        "The v2 proxy went with etcd 3.6; a node that is none must not seem to be one.",
    ),
];

const INTRODUCTION: &str = "# The flags of a member

Every flag of etcd 3.4, 3.5 and 3.6 is known to `etcd-tui node`. What it does here is one of:

* **works**: it does what it does in etcd;
* **accepted**: a command line written for etcd starts, the value is checked, nothing changes,
  because what it tunes is not there or tunes itself;
* **refused**: it would promise what is not there.

Every `--a-b` may be given as `ETCD_A_B`, and has the key of etcd's in a `--config-file`.
";

/// What becomes of a flag.
fn effect(flag: &Flag) -> &'static str {
    let name = flag.name;
    let is_tuning = tuning::SECTION.flags.iter().any(|other| other.name == name);
    if REFUSED.iter().any(|(refused, _, _)| *refused == name) {
        "refused"
    } else if is_tuning || ACCEPTED.contains(&name) || legacy::is_ignored(name) {
        "accepted"
    } else {
        "works"
    }
}

/// What the table says of a flag.
fn about(flag: &Flag) -> String {
    let renamed = legacy::RENAMED.iter().find(|(old, _)| *old == flag.name);
    let refused = REFUSED.iter().find(|(name, _, _)| *name == flag.name);
    match (renamed, refused) {
        (Some((_, new)), _) => format!("Now `--{new}`."),
        (_, Some((_, _, why))) => (*why).to_owned(),
        _ if legacy::is_ignored(flag.name) => "Ignored with a warning, as in etcd.".to_owned(),
        _ => match flag.name {
            "debug" => "Now `--log-level=debug`.".to_owned(),
            "v2-deprecation" => {
                "The v2 keys stay; `--enable-v2=false` switches them off.".to_owned()
            }
            _ => flag.about.replace('|', "\\|").replace('<', "&lt;"),
        },
    }
}

fn document() -> String {
    let mut out = String::from(INTRODUCTION);
    for section in SECTIONS {
        if section.flags.iter().any(|flag| internal::SECTION.flags[0].name == flag.name) {
            // Nobody but the launcher gives these.
            continue;
        }
        let title = if section.title.is_empty() { "Earlier names" } else { section.title };
        out.push_str(&format!("\n## {title}\n\n| flag | default | here | |\n|---|---|---|---|\n"));
        for flag in section.flags {
            let default = match flag.default {
                "" => String::new(),
                default => format!("`{default}`"),
            };
            let (name, effect, about) = (flag.name, effect(flag), about(flag));
            out.push_str(&format!("| `--{name}` | {default} | {effect} | {about} |\n"));
        }
    }
    out.push_str(&super::proxies::document::tables());
    out
}

#[test]
fn the_table_in_the_documents_is_the_one_of_the_parser() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/flags.md");
    if std::env::var_os("ETCD_TUI_WRITE_FLAGS").is_some() {
        std::fs::write(path, document()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert_eq!(written, document(), "ETCD_TUI_WRITE_FLAGS=1 writes it again");
}

#[test]
fn every_flag_of_etcd_is_known_and_no_other() {
    let etcd: BTreeSet<&str> = OF_ETCD.split_whitespace().chain(OWN).collect();
    let ours: BTreeSet<&str> = table::flags().map(|flag| flag.name).collect();
    let unknown: Vec<_> = etcd.difference(&ours).collect();
    assert!(unknown.is_empty(), "not known: {unknown:?}");
    let invented: Vec<_> = ours.difference(&etcd).collect();
    assert!(invented.is_empty(), "not etcd's: {invented:?}");
}

#[test]
fn what_is_said_to_be_accepted_or_refused_is() {
    let names = ACCEPTED.iter().chain(REFUSED.iter().map(|(name, _, _)| name));
    for name in names.chain(&OWN) {
        assert!(table::find(name).is_some(), "{name}");
    }
    for (name, value, _) in REFUSED {
        let default = table::find(name).unwrap().default;
        options(&[&format!("--{name}={default}")]).expect(name);
        assert_eq!(options(&[&format!("--{name}={value}")]).unwrap_err().exit_code(), 1, "{name}");
    }
    for flag in table::flags().filter(|flag| effect(flag) == "accepted") {
        let value = if flag.kind == Kind::Boolean { "true" } else { flag.default };
        options(&[&format!("--{}={value}", flag.name)]).expect(flag.name);
    }
}
