//! `etcd-tui __guard PID PROGRAM ARGUMENT…`: becomes the program, after asking the kernel to end
//! it when the process PID ends.
//!
//! The launcher starts an unmodified etcd in this way. The wish outlives the change of program,
//! and the pid stays the same, so that for everybody else the process simply is that etcd.

use std::{
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use crate::node_command::tie_to_parent;

/// Returns only if it could not become the program.
pub fn run(arguments: &[OsString]) -> ExitCode {
    let why = become_program(arguments);
    eprintln!("etcd-tui: {why}");
    ExitCode::FAILURE
}

fn become_program(arguments: &[OsString]) -> String {
    let [parent, program, arguments @ ..] = arguments else {
        return "__guard is for the launcher: it takes a pid and a program".to_owned();
    };
    let Some(parent) = parent.to_str().and_then(|pid| pid.parse().ok()) else {
        return format!("__guard: {} is no pid", parent.display());
    };
    if let Err(why) = tie_to_parent(parent) {
        return why;
    }
    let error = Command::new(program).args(arguments).exec();
    format!("cannot run {}: {error}", program.display())
}
