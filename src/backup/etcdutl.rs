//! The program under the name `etcdutl`: what it can do of it, in its words.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use super::arguments::FileCommand;
use crate::flags::groups::logging::Options;
use crate::flags::{LogFormat, LogLevel, LogOutput};
use crate::version::ETCD_VERSION;
use crate::{logging, output};

/// The offline commands of etcd that this program has
#[derive(Debug, Parser)]
#[command(name = "etcdutl", disable_version_flag = true, arg_required_else_help = true)]
struct Etcdutl {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Commands on snapshot files
    #[command(subcommand)]
    Snapshot(FileCommand),
    /// Print the version
    Version,
}

/// Whether the program was called by the name `etcdutl` (a symlink).
pub fn is_etcdutl_name(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new("etcdutl"))
}

/// Runs one command. `arguments` are the words after the program's name.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    // As etcdutl it tells what it does by its log alone.
    if let Err(error) = logging::start(&logs()) {
        eprintln!("Error: {error}");
        return ExitCode::FAILURE;
    }
    let words = std::iter::once(OsString::from("etcdutl")).chain(arguments);
    let outcome = match Etcdutl::parse_from(words).command {
        Command::Snapshot(FileCommand::Restore(arguments)) => {
            super::restore(&arguments).map(|_logged| ())
        }
        Command::Snapshot(command) => super::file(&command),
        Command::Version => output::print(&version()).map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {}", output::sentence(&error));
            ExitCode::FAILURE
        }
    }
}

/// etcdutl's log.
fn logs() -> Options {
    Options {
        level: LogLevel::Info,
        format: LogFormat::Console,
        outputs: vec![LogOutput::Stderr],
        rotation: None,
    }
}

fn version() -> String {
    let api = ETCD_VERSION.rsplit_once('.').map_or(ETCD_VERSION, |(api, _)| api);
    format!("etcdutl version: {ETCD_VERSION}\nAPI version: {api}\n")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Etcdutl::command().debug_assert();
        let words =
            "etcdutl snapshot restore f --skip-hash-check=true --data-dir d --mark-compacted";
        let Command::Snapshot(FileCommand::Restore(restore)) =
            Etcdutl::try_parse_from(words.split(' ')).unwrap().command
        else {
            panic!()
        };
        assert!(restore.skip_hash_check && restore.mark_compacted);
        assert_eq!(version().lines().count(), 2);
    }

    #[test]
    fn only_the_file_name_makes_it_etcdutl() {
        assert!(is_etcdutl_name(OsStr::new("/usr/bin/etcdutl")));
        assert!(!is_etcdutl_name(OsStr::new("etcdctl")));
    }
}
