//! The words of `etcd-tui drill`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use playground::applications::Kind;

use crate::engine_arguments::EngineArguments;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the drills
    List(List),
    /// Print a drill: what it claims, does and teaches
    Show(Show),
    /// Run drills and give a verdict; exits 0 pass, 1 fail, 2 unsafe, 3 not carried out, 4 skipped
    Run(Run),
    /// Put clusters back on which a drill was cut off
    Rollback,
    /// Set two JSON reports of a drill side by side, or all reports of several folders in a table
    Compare(Compare),
}

#[derive(Debug, Args)]
pub struct List {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Show {
    /// Which drill, or a file of your own
    pub drill: String,
    /// The file it is read from
    #[arg(long)]
    pub toml: bool,
}

#[derive(Debug, Args)]
pub struct Run {
    /// Which drills, or files of your own
    #[arg(required_unless_present = "all")]
    pub drills: Vec<String>,
    /// All that come with the program
    #[arg(long, conflicts_with = "drills")]
    pub all: bool,
    /// On this cluster; without it each drill makes one of its own and takes it down
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// What the cluster of its own runs
    #[command(flatten)]
    pub engine: EngineArguments,
    /// Let small clients use the cluster meanwhile (see `etcd-tui app list`)
    #[arg(long, value_name = "NAME")]
    pub application: Option<Kind>,
    /// Decides keys, requests and what `random` means
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// For machines: a line per drill, and the summary of a GitHub step if there is one
    #[arg(long)]
    pub ci: bool,
    /// Write a report of each drill here, as JSON, Markdown, HTML and JUnit
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct Compare {
    /// Two reports, or folders that `drill run --out` wrote
    #[arg(required = true, value_name = "REPORT|DIR")]
    pub reports: Vec<PathBuf>,
}
