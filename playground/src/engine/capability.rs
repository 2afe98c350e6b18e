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
    let not_yet = || Some("this version of etcd-tui cannot do it".to_owned());
    match (name, engine) {
        ("proc.kill" | "proc.pause" | "learner", _) => None,
        ("link" | "link.oneway", Engine::Builtin) => None,
        ("disk.full", Engine::Etcd) => None,
        _ => not_yet(),
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
