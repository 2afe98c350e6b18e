//! What the nodes of a cluster run: our own node, or an unmodified etcd.
//!
//! Everything that differs between the two, and between versions of etcd, is decided here:
//! [`capabilities`] says what can be done to them. [`Settings`] are the knobs that both have.

use serde::{Deserialize, Serialize};

mod capability;
mod settings;

pub use capability::{Capability, capabilities, missing};
pub use settings::Settings;

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
