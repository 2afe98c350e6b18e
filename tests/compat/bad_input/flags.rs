//! Settings that cannot work: one line that names the setting, and etcd's exit code.
//!
//! A word that cannot be read ends with 2, a configuration that cannot run with 1, as in etcd.

use std::process::Stdio;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::tools::Engine;

/// Flags, the exit code, and what the last line says.
const ROWS: &[(&[&str], i32, &str)] = &[
    (&["--auto-compaction-retention=-1"], 1, "CompactionRetention: invalid value \"-1\""),
    (&["--auto-compaction-mode=never"], 1, "unknown auto-compaction-mode \"never\""),
    (&["--max-txn-ops=-1"], 2, "\"-1\" for flag -max-txn-ops"),
    (&["--snapshot-count=-1"], 2, "\"-1\" for flag -snapshot-count"),
    (&["--snapshot-count=many"], 2, "\"many\" for flag -snapshot-count"),
    (&["--heartbeat-interval=0"], 1, "--heartbeat-interval must be >0"),
    (&["--election-timeout=60000"], 1, "is too long, and should be set less than 50000ms"),
    (&["--election-timeout=100"], 1, "--election-timeout[100ms]"),
    (&["--listen-client-urls=ftp://127.0.0.1:1"], 2, "URL scheme must be http, https"),
    (&["--listen-client-urls=127.0.0.1:1"], 2, "URL scheme must be http, https"),
    (&["--listen-client-urls=http://name:1"], 2, "expected IP in URL for binding"),
    (&["--listen-client-urls=http://127.0.0.1"], 2, "does not have the form \"host:port\""),
    (&["--listen-client-urls=http://127.0.0.1:99999"], 2, "does not have the form"),
    (&["--listen-client-urls=https://127.0.0.1:1"], 1, "TLS key/cert"),
    (
        &["--listen-metrics-urls=https://127.0.0.1:1"],
        1,
        "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url",
    ),
    (&["--initial-cluster=n1"], 2, "\"n1\" is not name=url"),
    (&["--initial-cluster-state=old"], 2, "it is 'new' or 'existing'"),
    (&["--discovery=http://127.0.0.1:1/x"], 1, "multiple discovery or bootstrap flags are set"),
    (&["--log-level=loud"], 2, "it is one of debug, info, warn"),
    (&["--auth-token=none"], 2, "it is 'simple' or 'jwt,"),
    (&["--metrics=all"], 2, "it is 'basic' or 'extensive'"),
    (&["--grpc-keepalive-min-time=soon"], 2, "\"soon\" is not a duration"),
    (&["--experimental-corrupt-check-time=-1s"], 2, "\"-1s\" is not a duration"),
    (&["--cert-file=/nowhere.pem"], 1, "cert file and key file must both be present"),
];

#[test]
fn settings_that_cannot_work_end_the_start() {
    let cluster = Cluster::prepare(Engine::Ours, 1, &[]);
    let mut wrong = Vec::new();
    for (flags, code, text) in ROWS {
        let mut command = cluster.command(0);
        command.args(*flags).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let ended = eventually("the end of a start", || {
            child.try_wait().map_err(|e| e.to_string())?.ok_or(format!("{flags:?} starts"))
        });
        let said = std::io::read_to_string(child.stderr.take().unwrap()).unwrap();
        let right = said.lines().last().is_some_and(|line| line.contains(text));
        if ended.code() != Some(*code) || !right || said.contains("panicked") {
            wrong.push(format!("{flags:?}: {ended}: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
