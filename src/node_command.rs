//! `etcd-tui node …`, and the same thing under the name `etcd`.
//!
//! Reads the flags, starts the log, ties the process to its supervisor if it has one, and
//! hands over to [`crate::start_node::start`]. What it prints for `--version`, `--help` and
//! a bad flag, and the exit codes, are etcd's: 0, 0, and 2 with one line; 1 when the
//! configuration is readable but cannot run.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use crate::flags::{self, FlagError, NodeOptions, Request};
use crate::{logging, proxy_command, service_manager, start_node, version};

/// Whether the program was called by the name `etcd` (a symlink), so that its arguments are
/// those of `etcd`.
pub fn is_etcd_name(program: &OsStr) -> bool {
    Path::new(program).file_name() == Some(OsStr::new("etcd"))
}

/// Runs a node until it ends. `arguments` are the words after `node`, or after the program's
/// name when that is `etcd`.
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    if let Some(proxy) = proxy_command::named(&arguments) {
        return proxy_command::run(proxy, &arguments[1..]);
    }
    match read(arguments) {
        Ok(Request::Help) => print(&flags::help()),
        Ok(Request::Version) => print(&version::version_lines()),
        Ok(Request::Run(options)) => run_node(*options),
        Err(error) => complain(&error),
    }
}

/// The request in the arguments and the environment. No flag of ours has a value that needs
/// to be anything but UTF-8, so other bytes are replaced and other variables are not seen.
fn read(arguments: Vec<OsString>) -> Result<Request, FlagError> {
    let words: Vec<String> =
        arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    flags::parse(&words, environment, |path| std::fs::read_to_string(path))
}

/// A closed pipe (`--help | head`) is no failure.
fn print(text: &str) -> ExitCode {
    let _closed = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn complain(error: &FlagError) -> ExitCode {
    eprintln!("etcd-tui node: {error}");
    ExitCode::from(error.exit_code())
}

fn run_node(options: NodeOptions) -> ExitCode {
    crate::allocator::settle();
    if let Err(error) = logging::start(&options.logging) {
        return complain(&FlagError::Configuration(error));
    }
    for warning in &options.warnings {
        tracing::warn!("{warning}");
    }
    if let Some(parent) = options.die_with_parent
        && let Err(reason) = tie_to_parent(parent)
    {
        tracing::error!(target: logging::FATAL, "{reason}");
        return ExitCode::FAILURE;
    }
    if options.member.lock_memory
        && let Err(reason) = service_manager::lock_memory()
    {
        tracing::error!(target: logging::FATAL, "{reason}");
        return ExitCode::FAILURE;
    }
    match start_node::start(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(target: logging::FATAL, "{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Asks the kernel to kill this process when `parent` ends. It may have ended already, which
/// the kernel does not tell; then this process has another parent by now.
#[cfg(target_os = "linux")]
pub fn tie_to_parent(parent: i32) -> Result<(), String> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .map_err(|error| format!("cannot tie this process to its parent: {error}"))?;
    match nix::unistd::getppid().as_raw() {
        actual if actual == parent => Ok(()),
        _ => Err(format!("the process {parent} that started this node has ended")),
    }
}

#[cfg(not(target_os = "linux"))]
pub fn tie_to_parent(_: i32) -> Result<(), String> {
    Err("--die-with-parent works on Linux only".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_file_name_makes_it_etcd() {
        for name in ["etcd", "./etcd", "/usr/bin/etcd"] {
            assert!(is_etcd_name(OsStr::new(name)), "{name}");
        }
        for name in ["etcd-tui", "/etcd/etcd-tui", "etcdctl", ""] {
            assert!(!is_etcd_name(OsStr::new(name)), "{name}");
        }
    }
}
