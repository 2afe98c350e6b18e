//! `etcd-tui app`: small applications on a cluster, outside of any drill. What their clients do
//! is printed line by line until Ctrl-C; break the cluster meanwhile from another terminal.
//!
//! Reads words, asks `playground::applications`, prints. Keys are deleted in the end.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use playground::applications::run::Setup;
use playground::applications::{Application, ApplicationReport, Kind};
use playground::launch::NAME_DEFAULT;
use playground::workload::Target;
use playground::{Client, Home, PlaygroundError, view::NodeState};

use crate::output;

/// Between two looks at what happened.
const PAUSE: Duration = Duration::from_millis(100);
/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the applications, and what each promises
    List,
    /// Run one on a cluster, and print what its clients do until Ctrl-C; exits 2 if a promise
    /// was broken, 1 if it did not come to rest
    Run(Run),
}

#[derive(Debug, Args)]
pub struct Run {
    /// Which: lock, fenced-lock, discovery, configuration, election
    pub application: Kind,
    /// On which cluster
    #[arg(long, value_name = "NAME", default_value = NAME_DEFAULT)]
    pub cluster: String,
}

pub async fn dispatch(home: &Home, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::List => {
            output::print(&list())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(arguments) => run(home, &arguments).await,
    }
}

fn list() -> String {
    let mut text = String::new();
    for kind in Kind::ALL {
        let (clients, facts) = (kind.clients().join(", "), kind.facts().join(", "));
        text.push_str(&format!(
            "{kind}: {}\n  what must hold: {}\n  clients: {clients}\n  counts: {facts}\n",
            kind.about(),
            kind.claim()
        ));
    }
    text + "\netcd-tui drill run ID --application NAME lets one use the cluster of any drill.\n"
}

async fn run(home: &Home, arguments: &Run) -> anyhow::Result<ExitCode> {
    let client = Client::connect(home, &arguments.cluster).await?;
    let view = client.view().await?;
    let targets = view.nodes.iter().filter(|node| node.state != NodeState::Removed);
    let targets: Vec<Target> = targets
        .map(|node| Target::new(&node.name, &node.client_url))
        .collect::<Result<_, _>>()
        .map_err(|error| PlaygroundError::Refused(error.to_string()))?;
    let prefix = format!("application/{:x}/", std::process::id());
    let setup = Setup { targets, prefix, patience: PATIENCE };
    let application = Application::start(arguments.application, setup);
    output::print(&format!("{}\nCtrl-C ends it.\n", arguments.application.about()))?;
    let stop = crate::drill::stop_signal();
    tokio::pin!(stop);
    let mut next = 0;
    loop {
        next = tell(&application, next)?;
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
    let report = application.finish().await;
    tell(&application, next)?;
    output::print(&summary(&report))?;
    Ok(match (report.violations.is_empty(), report.held()) {
        (false, _) => ExitCode::from(2),
        (true, false) => ExitCode::FAILURE,
        (true, true) => ExitCode::SUCCESS,
    })
}

/// Prints what is new; the number of the next line.
fn tell(application: &Application, next: usize) -> std::io::Result<usize> {
    let (lines, next) = application.since(next);
    for line in lines {
        output::print(&format!("{:8.2}s  {}\n", line.at.as_secs_f64(), line.text))?;
    }
    Ok(next)
}

fn summary(report: &ApplicationReport) -> String {
    let (counts, claim) = (report.counts(), &report.claim);
    let (name, verdict) = (&report.application, report.verdict());
    format!("{counts}\nwhat must hold: {claim}\n{name}: {verdict}\n")
}
