//! Flags that give up a promise.

use crate::flags::FlagError;
use crate::flags::syntax::Settings;
use crate::flags::table::{Section, boolean};

pub const SECTION: Section = Section {
    title: "Unsafe",
    flags: &[
        boolean("force-new-cluster", "false", "Start as a cluster of this member alone."),
        boolean("unsafe-no-fsync", "false", "Never wait for the disk; a crash loses data."),
    ],
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    pub force_new_cluster: bool,
    pub no_fsync: bool,
}

pub fn build(settings: &Settings) -> Result<Options, FlagError> {
    Ok(Options {
        force_new_cluster: settings.boolean("force-new-cluster")?,
        no_fsync: settings.boolean("unsafe-no-fsync")?,
    })
}
