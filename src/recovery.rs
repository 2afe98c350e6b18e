//! `backup` and `restore`: against the loss of a whole cluster of this machine.
//!
//! The supervisor does both; it knows the nodes, their data and the tools of their engine. Files
//! of other clusters are made and looked at with `snapshot` ([`crate::backup`]).

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use playground::{Home, PlaygroundError, Request, launch::NAME_DEFAULT};

use crate::{links, output, verbs};

#[derive(Debug, Args)]
pub struct Restore {
    /// The snapshot, of ours or of etcd [default: the latest backup of the cluster]
    pub file: Option<PathBuf>,
    /// How much to raise the revision, so that none is given twice; the history before counts as
    /// compacted
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub bump_revision: u64,
    /// Of which cluster
    #[arg(long, value_name = "NAME", default_value = NAME_DEFAULT)]
    pub cluster: String,
}

pub async fn backup(home: &Home, of: &links::Named) -> anyhow::Result<ExitCode> {
    let client = verbs::connect(home, &of.cluster).await?;
    output::print_lines(&client.perform(Request::Backup).await?)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn restore(home: &Home, arguments: Restore) -> anyhow::Result<ExitCode> {
    // The supervisor is in another directory.
    let absolute = |file: PathBuf| {
        file.canonicalize().map_err(|error| {
            PlaygroundError::Usage(format!("cannot read {}: {error}", file.display()))
        })
    };
    let file = arguments.file.map(absolute).transpose()?;
    let client = verbs::connect(home, &arguments.cluster).await?;
    let request = Request::Restore { file, bump_revision: arguments.bump_revision };
    output::print_lines(&client.perform(request).await?)?;
    Ok(ExitCode::SUCCESS)
}
