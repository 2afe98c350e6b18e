//! The words of `snapshot …`, alike under `etcd-tui` and under `etcdutl`.
//!
//! Names, defaults and syntax are etcd's: a flag that is on or off may have a value
//! (`--skip-hash-check=false`).

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

/// What can be done with a file alone.
#[derive(Debug, Subcommand)]
pub enum FileCommand {
    /// Show what a snapshot file holds
    Status(Status),
    /// Make the data directory of a member of a new cluster from a snapshot file
    Restore(Restore),
}

/// All that can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Save a snapshot of a running member to a file
    Save(Save),
    #[command(flatten)]
    File(FileCommand),
    /// Write the data of a stopped member of ours to a file that etcd restores
    Export(Export),
}

#[derive(Debug, Args)]
pub struct Save {
    /// Where to; an existing file is replaced
    pub file: PathBuf,
    /// Client URL of the member
    #[arg(long, value_name = "URL", default_value = "127.0.0.1:2379")]
    pub endpoints: String,
    /// Authorities that the member's certificate is checked with [default: the system's]
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Certificate to show
    #[arg(long, value_name = "FILE")]
    pub cert: Option<PathBuf>,
    /// Key of the certificate
    #[arg(long, value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// Who asks, where users are in force: root
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub user: Option<String>,
}

/// How a table is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Simple,
    Fields,
    Json,
    Table,
}

#[derive(Debug, Args)]
pub struct Status {
    pub file: PathBuf,
    /// How to print it
    #[arg(short, long, value_enum, default_value = "simple")]
    pub write_out: Format,
}

#[derive(Debug, Args)]
pub struct Restore {
    pub file: PathBuf,
    /// Where to; must be empty or missing [default: NAME.etcd]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where the write-ahead log goes; must be missing [default: in the data directory]
    #[arg(long, value_name = "DIR")]
    pub wal_dir: Option<PathBuf>,
    /// Name of the member
    #[arg(long, default_value = "default")]
    pub name: String,
    /// All members of the new cluster
    #[arg(long, value_name = "NAME=URL,…", default_value = "default=http://localhost:2380")]
    pub initial_cluster: String,
    /// Part of all ids of the new cluster
    #[arg(long, value_name = "TOKEN", default_value = "etcd-cluster")]
    pub initial_cluster_token: String,
    /// Peer URLs of the member
    #[arg(long, value_name = "URL,…", default_value = "http://localhost:2380")]
    pub initial_advertise_peer_urls: String,
    /// Take a file without SHA-256, as one copied from a data directory is
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub skip_hash_check: bool,
    /// How much to raise the revision
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub bump_revision: u64,
    /// Let everything up to the raised revision count as compacted (needed with it)
    #[arg(long, value_name = "BOOL", action = ArgAction::Set, num_args = 0..=1,
          require_equals = true, default_value_t = false, default_missing_value = "true")]
    pub mark_compacted: bool,
    /// Accepted and not needed
    #[arg(long, hide = true)]
    pub initial_memory_map_size: Option<u64>,
}

/// Kinds of files that can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExportFormat {
    Etcd,
}

#[derive(Debug, Args)]
pub struct Export {
    /// Where to; must not exist
    pub file: PathBuf,
    /// Data directory of the member
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Where its write-ahead log is, if not in the data directory
    #[arg(long, value_name = "DIR")]
    pub wal_dir: Option<PathBuf>,
    /// Kind of the file
    #[arg(long, value_enum, default_value = "etcd")]
    pub format: ExportFormat,
}
