//! Tuning of etcd's own storage and transport, which have no counterpart here.
//!
//! They are accepted so that a command line written for etcd starts, their values are checked,
//! and they change nothing; the help text says so of each.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, duration, number, text};

pub const SECTION: Section = Section {
    title: "Tuning (accepted, without effect)",
    flags: &[
        number("max-snapshots", "5", "Only the newest snapshot is of use, and kept."),
        number("max-wals", "5", "The log is cut behind the newest snapshot."),
        duration("raft-read-timeout", "5s", "Peers are pinged every 2 seconds."),
        duration("raft-write-timeout", "5s", "As above."),
        text("backend-bbolt-freelist-type", "map", "There is no bbolt; 'map' or 'array'."),
        duration("backend-batch-interval", "0s", "The applied state is written when it changes."),
        number("backend-batch-limit", "0", "As above."),
        number("compaction-batch-limit", "1000", "Compaction chooses its own steps."),
        duration("compaction-sleep-interval", "10ms", "As above."),
    ],
};

/// Checks the values.
pub fn check(settings: &Settings) -> Result<(), FlagError> {
    match settings.text("backend-bbolt-freelist-type") {
        "map" | "array" => Ok(()),
        _ => Err(settings.invalid("backend-bbolt-freelist-type", "it is 'map' or 'array'".into())),
    }
}
