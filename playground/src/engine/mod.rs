//! What the nodes of a cluster run: our own node, or an unmodified etcd.
//!
//! Everything that differs between the two, and between versions of etcd, is decided here and
//! nowhere else: which program it is ([`Binary`]), how it is told what to do ([`command`]), what
//! can be done to it ([`capabilities`]). [`Settings`] are the knobs that both have. The rest of
//! the playground knows nodes as processes that speak etcd's API.
//!
//! Invariant: what is run is in the plan, with version and checksum, from the moment at which
//! the cluster is made; a restart runs the same.

use serde::{Deserialize, Serialize};

mod binary;
mod capability;
mod choice;
pub mod command;
pub mod restore;
mod settings;
mod version;

pub use binary::Binary;
pub use capability::{Capability, capabilities, missing};
pub use choice::Choice;
pub use settings::Settings;
pub use version::{Dialect, Version};

/// The kinds of node.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The node that is part of this program.
    #[default]
    Builtin,
    /// The original, as a program on this machine.
    Etcd,
}

impl Engine {
    /// The word used on every surface.
    pub fn word(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Etcd => "etcd",
        }
    }
}
