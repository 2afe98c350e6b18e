//! Flags that only our own launcher sets; `--help` does not show them.

use std::path::PathBuf;

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, number, text};

pub const SECTION: Section = Section {
    title: "",
    flags: &[
        number("die-with-parent", "", "End with the process of this pid."),
        text("fault-file", "", "Where faults of disk and clock are asked for."),
    ],
};

/// The process to end with.
pub fn build(settings: &Settings) -> Result<Option<i32>, FlagError> {
    if !settings.is_given("die-with-parent") {
        return Ok(None);
    }
    match settings.number::<i32>("die-with-parent")? {
        pid if pid > 0 => Ok(Some(pid)),
        _ => Err(settings.invalid("die-with-parent", "it is the pid of a process".into())),
    }
}

/// Where faults are asked for.
pub fn fault_file(settings: &Settings) -> Option<PathBuf> {
    let path = settings.text("fault-file");
    (!path.is_empty()).then(|| PathBuf::from(path))
}
