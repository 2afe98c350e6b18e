//! The raft crate's log lines, as ours.

use slog::{Drain, Level, Logger, OwnedKVList, Record, o};

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), slog::Never> {
        let message = record.msg();
        match record.level() {
            Level::Critical | Level::Error => tracing::error!(target: "raft", "{message}"),
            Level::Warning => tracing::warn!(target: "raft", "{message}"),
            // Raft's own news of every vote is for those who debug.
            _ => tracing::debug!(target: "raft", "{message}"),
        }
        Ok(())
    }
}

/// A logger for the raft crate.
pub fn slog_to_tracing() -> Logger {
    Logger::root(ToTracing.fuse(), o!())
}
