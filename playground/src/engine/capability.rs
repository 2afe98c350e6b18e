//! What can be done to the nodes of a cluster, and why the rest cannot.
//!
//! Screens grey out what is not available and drills skip it, each with the reason given here.
//! A capability is claimed only for what works: an unmodified etcd has no way to be told that
//! its disk is slow, and saying otherwise would make a drill's verdict worthless.

use serde::{Deserialize, Serialize};

use super::{Engine, restore};
use crate::spec::FleetSpec;

/// One thing that can, or cannot, be done.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Capability {
    /// Its name, such as `disk.full`.
    pub name: String,
    /// Whether it can be done.
    pub available: bool,
    /// Why not; empty when it can.
    pub reason: String,
}

const NAMES: [&str; 13] = [
    "proc.kill",
    "proc.pause",
    "link",
    "link.oneway",
    "disk.full",
    "disk.slow",
    "disk.error",
    "clock",
    "power",
    "corrupt",
    "learner",
    "restore",
    "restore.bump",
];

/// All capabilities of a cluster, in a fixed order.
pub fn capabilities(spec: &FleetSpec) -> Vec<Capability> {
    let capability = |name: &&str| {
        let reason = match *name {
            "restore" => restore::missing(spec, false),
            "restore.bump" => restore::missing(spec, true),
            name => missing(spec.engine, name),
        };
        let reason = reason.unwrap_or_default();
        Capability { name: (*name).to_owned(), available: reason.is_empty(), reason }
    };
    NAMES.iter().map(capability).collect()
}

/// Why this cannot be done, if it cannot.
pub fn missing(engine: Engine, name: &str) -> Option<String> {
    let own_only = |what: &str| {
        Some(format!("an unmodified etcd cannot be told {what}: --engine builtin can"))
    };
    match (name, engine) {
        ("proc.kill" | "proc.pause" | "learner" | "disk.full" | "corrupt", _)
        | ("link" | "link.oneway", _) => None,
        ("disk.slow" | "disk.error" | "clock" | "power", Engine::Builtin) => None,
        ("disk.slow", Engine::Etcd) => own_only("that its disk is slow"),
        ("disk.error", Engine::Etcd) => own_only("that its disk is broken"),
        ("clock", Engine::Etcd) => own_only("another time of day"),
        ("power", Engine::Etcd) => Some(
            "an unmodified etcd does not tell how far its log is synced: --engine builtin does"
                .to_owned(),
        ),
        _ => Some("this version of etcd-tui cannot do it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_available_has_a_reason() {
        for engine in [Engine::Builtin, Engine::Etcd] {
            let spec = FleetSpec::new("a", 3, 23790, 7, false).run_by(engine, None);
            for it in capabilities(&spec) {
                assert_eq!(it.available, it.reason.is_empty(), "{it:?}");
            }
        }
    }
}
