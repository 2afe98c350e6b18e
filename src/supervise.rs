//! `etcd-tui __supervise NAME`: the process that owns the nodes of one cluster.
//!
//! Started by `up`, never by hand. Its standard error is the cluster's `supervisor.log`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use playground::{
    Home, launch,
    runner::{self, Programs},
};
use tracing_subscriber::filter::LevelFilter;

/// Names another program than this one as the node; for tests.
const NODE_PROGRAM: &str = "ETCD_TUI_NODE_BIN";

pub async fn run(home: &Home, name: &str) -> anyhow::Result<ExitCode> {
    launch::detach();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(LevelFilter::INFO)
        .init();
    let guard = std::env::current_exe().context("cannot tell which program this is")?;
    let node = node_program().unwrap_or_else(|| guard.clone());
    runner::supervise(home.cluster(name), Programs { node, guard }).await?;
    Ok(ExitCode::SUCCESS)
}

fn node_program() -> Option<PathBuf> {
    std::env::var_os(NODE_PROGRAM).filter(|program| !program.is_empty()).map(PathBuf::from)
}
