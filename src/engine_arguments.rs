//! The arguments that say what the nodes of a new cluster run, and how.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use playground::{Engine, PlaygroundError, Settings, engine::Choice};

/// The kinds of node.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum EngineName {
    /// The node that is part of this program
    Builtin,
    /// An unmodified etcd, 3.4 to 3.6
    Etcd,
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Builtin => Self::Builtin,
            EngineName::Etcd => Self::Etcd,
        }
    }
}

/// Which engine.
#[derive(Debug, Default, Args)]
pub struct EngineArguments {
    /// What the nodes of a new cluster run [default: builtin]
    #[arg(long, value_name = "ENGINE")]
    pub engine: Option<EngineName>,
    /// The etcd to run [default: $ETCD_BIN, or the first etcd on the path]
    #[arg(long, value_name = "PATH")]
    pub etcd_bin: Option<PathBuf>,
    /// Another etcd for one node, e.g. n3=/opt/etcd-3.5/etcd; may be repeated
    #[arg(long, value_name = "NODE=PATH")]
    pub node_bin: Vec<String>,
}

impl EngineArguments {
    /// The choice in the playground's words.
    pub fn choice(&self) -> Result<Choice, PlaygroundError> {
        let node_bins: Result<Vec<_>, _> =
            self.node_bin.iter().map(|text| Choice::node_bin(text)).collect();
        Ok(Choice {
            engine: self.engine.map(Engine::from),
            etcd_bin: self.etcd_bin.clone(),
            node_bins: node_bins?,
        })
    }
}

/// Knobs of a new cluster, under etcd's names.
#[derive(Debug, Default, Args)]
pub struct SettingsArguments {
    /// Milliseconds between heartbeats
    #[arg(long, value_name = "MS")]
    pub heartbeat_interval: Option<u32>,
    /// Milliseconds without a heartbeat before an election
    #[arg(long, value_name = "MS")]
    pub election_timeout: Option<u32>,
    /// Entries after which a snapshot is taken
    #[arg(long, value_name = "N")]
    pub snapshot_count: Option<u64>,
    /// Size of the database at which writes are refused
    #[arg(long, value_name = "BYTES")]
    pub quota_backend_bytes: Option<u64>,
    /// Ask before asking for votes [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub pre_vote: Option<bool>,
}

impl SettingsArguments {
    /// The knobs as part of a plan.
    pub fn settings(&self) -> Settings {
        Settings {
            heartbeat_interval_ms: self.heartbeat_interval,
            election_timeout_ms: self.election_timeout,
            snapshot_count: self.snapshot_count,
            quota_backend_bytes: self.quota_backend_bytes,
            pre_vote: self.pre_vote,
        }
    }
}
