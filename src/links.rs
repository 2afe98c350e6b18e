//! The verbs about links between nodes: `link`, `partition`, `isolate`, `bridge`, `heal`.
//!
//! A side like `leader` is resolved here, once for all links that a verb means; the supervisor
//! is then told names.

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, Subcommand};
use playground::{
    Home, LinkFault, PlaygroundError, Request,
    launch::NAME_DEFAULT,
    links::{Cut, resolve},
};

use crate::{output, verbs};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Set the state of the link from one node to another: 'n1>n2' freeze
    Link(Link),
    /// Freeze all links between two sides, or more: 'leader|rest'
    Partition(Words),
    /// Freeze all links between nodes and the rest
    Isolate(Isolate),
    /// Freeze all links between two sides that both still reach a third: n1 n2 via n3
    Bridge(Words),
    /// Take the faults off all links
    Heal(Named),
}

#[derive(Debug, Args)]
pub struct Link {
    /// From which nodes to which: 'n1>n2', 'leader>rest', 'n1<>n2' for both ways
    pub link: String,
    /// freeze, reset, delay MS[±MS], rate KB_PER_SECOND, flap UP_MS/DOWN_MS, or ok
    #[arg(required = true, num_args = 1..=2, allow_negative_numbers = true)]
    pub fault: Vec<String>,
    #[command(flatten)]
    pub of: Named,
}

#[derive(Debug, Args)]
pub struct Words {
    /// The sides: n2, n1,n3, leader, follower[:k], minority, majority; or rest
    #[arg(required = true)]
    pub sides: Vec<String>,
    #[command(flatten)]
    pub of: Named,
}

#[derive(Debug, Args)]
pub struct Isolate {
    /// Which nodes: n2, leader, follower[:k], minority, majority
    pub selector: String,
    #[command(flatten)]
    pub of: Named,
}

#[derive(Debug, Args)]
pub struct Named {
    /// Of which cluster
    #[arg(long, value_name = "NAME", default_value = NAME_DEFAULT)]
    pub cluster: String,
}

pub async fn run(home: &Home, command: Command) -> anyhow::Result<ExitCode> {
    let (of, cut, fault) = match command {
        Command::Link(Link { link, fault, of }) => {
            (of, Cut::link(&link)?, fault.join(" ").parse::<LinkFault>()?)
        }
        Command::Partition(Words { sides, of }) => (of, Cut::partition(&sides)?, LinkFault::Freeze),
        Command::Isolate(Isolate { selector, of }) => {
            (of, Cut::isolate(&selector)?, LinkFault::Freeze)
        }
        Command::Bridge(Words { sides, of }) => (of, bridge(&sides)?, LinkFault::Freeze),
        Command::Heal(of) => {
            let client = verbs::connect(home, &of.cluster).await?;
            output::print_lines(&client.perform(Request::Heal).await?)?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let client = verbs::connect(home, &of.cluster).await?;
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (from, to) in resolve(&cut, &client.view().await?)? {
        targets.entry(from).or_default().push(to);
    }
    for (from, to) in targets {
        let request = Request::Link { from, to: to.join(","), fault };
        output::print_lines(&client.perform(request).await?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn bridge(words: &[String]) -> Result<Cut, PlaygroundError> {
    match words {
        [one, other, via, third] if via == "via" => Cut::bridge(one, other, third),
        _ => Err(PlaygroundError::Usage(
            "a bridge is said as two sides and the third that both reach: bridge n1 n2 via n3"
                .to_owned(),
        )),
    }
}
