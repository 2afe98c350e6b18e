//! `/debug/vars`: facts of this process as Go's expvar writes them.
//!
//! Only values that exist here: a Go runtime's memory statistics do not, except for the
//! memory that the process has from the system.

use std::sync::atomic::Ordering;

use nix::sys::resource::{Resource, getrlimit};
use serde_json::{Value, json};

use super::Service;

/// The page.
pub fn variables(service: &Service) -> String {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let leadership = service.handle.leadership();
    let commit = service.handle.progress().commit.load(Ordering::Relaxed);
    let raft = json!({
        "id": format!("{:x}", service.member.id()),
        "term": leadership.term,
        "lead": format!("{:x}", leadership.leader),
        "raftState": if leadership.is_leader { "StateLeader" } else { "StateFollower" },
        "commit": commit,
        "applied": service.handle.applied(),
    });
    let variables: [(&str, Value); 4] = [
        ("cmdline", json!(arguments)),
        ("file_descriptor_limit", json!(files)),
        ("memstats", json!({ "Sys": resident_bytes() })),
        ("raft.status", raft),
    ];
    let lines: Vec<String> =
        variables.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).and_then(|count| count.parse::<u64>().ok()).unwrap_or(0) * 4096
}
