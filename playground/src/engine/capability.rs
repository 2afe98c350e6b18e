//! What can be done to the nodes of a cluster, and why the rest cannot.
//!
//! Screens grey out what is not available and drills skip it, each with the reason given here.
//! A capability is claimed only for what works: an unmodified etcd has no way to be told that
//! its disk is slow, and saying otherwise would make a drill's verdict worthless.

use serde::{Deserialize, Serialize};

use super::Engine;

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

const NAMES: [&str; 11] = [
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
];

/// All capabilities of an engine, in a fixed order.
pub fn capabilities(engine: Engine) -> Vec<Capability> {
    let capability = |name: &&str| {
        let reason = missing(engine, name).unwrap_or_default();
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
            for it in capabilities(engine) {
                assert_eq!(it.available, it.reason.is_empty(), "{it:?}");
            }
        }
    }
}
