//! The command line of everything but `node`, whose flags are etcd's and read elsewhere.
//!
//! Only shapes are checked here; what a name or a number may be is said by the playground,
//! which can say why.

use clap::{Args, Parser, Subcommand};
use playground::{Verb, launch::NAME_DEFAULT};

use crate::engine_arguments::{EngineArguments, SettingsArguments};

/// Local raft key-value clusters that speak etcd's v3 API, and a terminal UI for any of them.
#[derive(Debug, Parser)]
#[command(name = "etcd-tui", version, arg_required_else_help = true, after_help = SELECTORS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const SELECTORS: &str = "\
SELECTOR says which nodes: n2 (or n1,n3), leader, follower, follower:2, minority, majority, all.
A cluster without a name is called default. ETCD_TUI_HOME names the state directory.

  etcd-tui up --nodes 3          start three nodes and open the terminal UI
  eval \"$(etcd-tui env)\"         let etcdctl talk to them
  etcd-tui kill leader           see what happens";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a cluster, or the nodes of a stopped one, and open the terminal UI on it
    Up(Up),
    /// Open the terminal UI on a running cluster
    Attach(Attach),
    /// Learn what etcd does when members fail: a guided course on a cluster of its own
    Learn(Learn),
    /// List the clusters of this machine
    Ls(Ls),
    /// Show the nodes of a cluster
    Ps(Ps),
    /// Print the environment for etcdctl
    Env(Named),
    /// Print the logs of nodes
    Logs(Logs),
    /// Stop a cluster; its data stays
    Down(Down),
    #[command(flatten)]
    Act(Act),
    /// Make the disk, clock, speed or power of nodes fail, or take it back
    Fault(Fault),
    #[command(flatten)]
    Links(crate::links::Command),
    /// Replace nodes: remove the member, add an empty one, wait until it has caught up
    Replace(Select),
    /// Add nodes, as learners first
    Grow(Resize),
    /// Remove the nodes added last
    Shrink(Resize),
    /// Save a snapshot of a cluster beside its data
    Backup(crate::links::Named),
    /// Make a new cluster of all nodes, which must be down, with the data of a snapshot
    Restore(crate::recovery::Restore),
    /// Open the terminal UI on any etcd cluster
    Connect(Connect),
    /// Save, look at, restore and export snapshots in etcd's own format
    #[command(subcommand)]
    Snapshot(crate::backup::arguments::Command),
    /// Break a cluster on purpose, and see whether what must hold holds
    #[command(subcommand)]
    Drill(crate::drill::arguments::Command),
    /// Run small applications on a cluster: a lock, service discovery, configuration, election
    #[command(subcommand)]
    App(crate::app::Command),
    /// Run one member; takes the flags of etcd (see `etcd-tui node --help`)
    Node {
        /// etcd's flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Pass TCP connections on to members; takes the flags of `etcd gateway`
    Gateway {
        /// start, and etcd's flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    /// Pass gRPC calls on to members; takes the flags of `etcd grpc-proxy`
    GrpcProxy {
        /// start, and etcd's flags
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        flags: Vec<String>,
    },
    #[command(name = "__supervise", hide = true)]
    Supervise { name: String },
}

#[derive(Debug, Subcommand)]
pub enum Act {
    /// End nodes with SIGKILL, as a crash would
    Kill(Select),
    /// End nodes with SIGTERM
    Stop(Select),
    /// Start nodes that are down
    Start(Select),
    /// Stop and start nodes, one after the other
    Restart(Select),
    /// Freeze nodes with SIGSTOP
    Pause(Select),
    /// Continue frozen nodes
    Resume(Select),
    /// Move the data of stopped nodes aside
    Wipe(Select),
}

impl Act {
    /// The verb, and to which nodes of which cluster it is applied.
    pub fn parts(self) -> (Verb, Select) {
        match self {
            Self::Kill(select) => (Verb::Kill, select),
            Self::Stop(select) => (Verb::Stop, select),
            Self::Start(select) => (Verb::Start, select),
            Self::Restart(select) => (Verb::Restart, select),
            Self::Pause(select) => (Verb::Pause, select),
            Self::Resume(select) => (Verb::Resume, select),
            Self::Wipe(select) => (Verb::Wipe, select),
        }
    }
}

#[derive(Debug, Args)]
pub struct Up {
    /// Which cluster
    #[arg(default_value = NAME_DEFAULT)]
    pub name: String,
    /// How many nodes a new cluster gets, 1 to 9 [default: 3]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub nodes: Option<usize>,
    /// Return when every node is ready, without the terminal UI
    #[arg(short, long)]
    pub detach: bool,
    /// First port of a new cluster [default: the first free block from 23790]
    #[arg(long, value_name = "P")]
    pub base_port: Option<u16>,
    /// Delete the data when the cluster goes down
    #[arg(long)]
    pub ephemeral: bool,
    /// Give a new cluster the data of a snapshot file, of ours or of etcd
    #[arg(long, value_name = "FILE")]
    pub from_snapshot: Option<std::path::PathBuf>,
    #[command(flatten)]
    pub engine: EngineArguments,
    #[command(flatten)]
    pub settings: SettingsArguments,
    #[command(flatten)]
    pub snapshot: Snapshot,
}

#[derive(Debug, Args)]
pub struct Attach {
    /// Which cluster
    #[arg(default_value = NAME_DEFAULT)]
    pub name: String,
    #[command(flatten)]
    pub snapshot: Snapshot,
}

#[derive(Debug, Args)]
pub struct Learn {
    /// The cluster that is used, and made if it is missing
    #[arg(default_value = "learn")]
    pub name: String,
    #[command(flatten)]
    pub snapshot: Snapshot,
}

#[derive(Debug, Args)]
pub struct Snapshot {
    /// Print one frame of the terminal UI instead of opening it, e.g. 120x36 cluster
    #[arg(long, num_args = 2, value_names = ["WxH", "SCREEN"])]
    pub snapshot: Option<Vec<String>>,
}

#[derive(Debug, Args)]
pub struct Ls {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Ps {
    /// Which cluster
    #[arg(default_value = NAME_DEFAULT)]
    pub name: String,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Named {
    /// Which cluster
    #[arg(default_value = NAME_DEFAULT)]
    pub name: String,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// Which cluster, or which node of the default cluster
    pub name: Option<String>,
    /// Which node; all of them, merged, if none is named
    pub node: Option<String>,
    /// Keep printing what is appended
    #[arg(short, long)]
    pub follow: bool,
}

#[derive(Debug, Args)]
pub struct Down {
    /// Which cluster
    #[arg(default_value = NAME_DEFAULT)]
    pub name: String,
    /// With SIGKILL, all nodes at once
    #[arg(long)]
    pub now: bool,
    /// Delete the cluster with its data
    #[arg(long)]
    pub purge: bool,
}

#[derive(Debug, Args)]
pub struct Select {
    /// Which nodes: n2, leader, follower[:k], minority, majority, all
    pub selector: String,
    /// Of which cluster
    #[arg(long, value_name = "NAME", default_value = NAME_DEFAULT)]
    pub cluster: String,
}

#[derive(Debug, Args)]
pub struct Fault {
    /// Which nodes: n2, leader, follower[:k], minority, majority, all
    pub selector: String,
    /// slow PERCENT, disk-full, disk-error, fsync-delay MS, clock SECONDS, power-loss, bit-flip, or
    /// none, which takes all of them back
    #[arg(required = true, num_args = 1..=2, allow_negative_numbers = true)]
    pub fault: Vec<String>,
    /// Of which cluster
    #[arg(long, value_name = "NAME", default_value = NAME_DEFAULT)]
    pub cluster: String,
}

#[derive(Debug, Args)]
pub struct Resize {
    /// How many nodes the cluster shall have [default: the next odd number]
    #[arg(short, long, value_name = "N", allow_negative_numbers = true)]
    pub nodes: Option<usize>,
    /// Which cluster
    #[arg(long, value_name = "NAME", default_value = NAME_DEFAULT)]
    pub cluster: String,
}

#[derive(Debug, Args)]
pub struct Connect {
    /// Client URLs of the members
    #[arg(
        long,
        env = "ETCDCTL_ENDPOINTS",
        value_name = "URL,URL…",
        value_delimiter = ',',
        required = true
    )]
    pub endpoints: Vec<String>,
    /// Authority of the members' certificates, in PEM [default: the system's]
    #[arg(long, env = "ETCDCTL_CACERT", value_name = "FILE")]
    pub cacert: Option<std::path::PathBuf>,
    /// Certificate to show to the members
    #[arg(long, env = "ETCDCTL_CERT", value_name = "FILE", requires = "key")]
    pub cert: Option<std::path::PathBuf>,
    /// Its private key
    #[arg(long, env = "ETCDCTL_KEY", value_name = "FILE", requires = "cert")]
    pub key: Option<std::path::PathBuf>,
    /// User to log in as; without a password, it is that of ETCDCTL_PASSWORD
    #[arg(long, env = "ETCDCTL_USER", hide_env_values = true, value_name = "NAME[:PASSWORD]")]
    pub user: Option<String>,
    /// Let keys be changed and leadership be moved; without it the session only reads
    #[arg(long)]
    pub write: bool,
    #[command(flatten)]
    pub snapshot: Snapshot,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_session_that_connects_reads_unless_it_is_told_to_write() {
        for (line, may) in [
            ("etcd-tui connect --endpoints a:1", false),
            ("etcd-tui connect --endpoints a:1 --write", true),
        ] {
            let Command::Connect(connect) = Cli::try_parse_from(line.split(' ')).unwrap().command
            else {
                panic!()
            };
            assert_eq!(connect.write, may);
        }
    }

    #[test]
    fn names_have_a_default_everywhere() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().command;
        assert!(matches!(parse("etcd-tui up"), Command::Up(up) if up.name == "default"));
        let Command::Act(act) = parse("etcd-tui kill leader") else { panic!() };
        let (verb, select) = act.parts();
        assert_eq!((verb, select.cluster.as_str()), (Verb::Kill, "default"));
        let Command::Up(up) = parse("etcd-tui up x -n 5 -d --snapshot 80x24 cluster") else {
            panic!()
        };
        assert_eq!((up.nodes, up.detach), (Some(5), true));
        assert_eq!(up.snapshot.snapshot.unwrap(), ["80x24", "cluster"]);
    }
}
