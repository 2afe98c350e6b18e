//! The program `etcd-tui`: reads the command line and hands over.
//!
//! Called by the name `etcd` it is a node, and its arguments are etcd's. So they are after the
//! subcommand `node`, which is why neither is parsed here; the same holds for the two proxies.
//! Called by the name `etcdutl` it knows that program's words.
//!
//! Exit status: 0 done, 1 not done, 2 asked for wrongly. A reader that closes our output early
//! is no error.

mod allocator;
mod app;
mod backup;
mod cli;
mod connect;
mod drill;
mod engine_arguments;
mod flags;
mod guard;
mod learn;
mod links;
mod log_lines;
mod logging;
mod node_command;
mod output;
mod paths;
mod proxy_command;
mod recovery;
mod screen;
mod service_manager;
mod start_node;
mod start_settings;
mod supervise;
#[cfg(test)]
mod tidy;
mod up;
mod verbs;
mod version;

use std::{ffi::OsString, process::ExitCode};

use clap::Parser;
use playground::PlaygroundError;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program = arguments.next().unwrap_or_default();
    let mut arguments: Vec<OsString> = arguments.collect();
    if node_command::is_etcd_name(&program) {
        return node_command::run(arguments);
    }
    if backup::etcdutl::is_etcdutl_name(&program) {
        return backup::etcdutl::run(arguments);
    }
    if arguments.first().is_some_and(|first| first == "node") {
        arguments.remove(0);
        return node_command::run(arguments);
    }
    if let Some(proxy) = proxy_command::named(&arguments) {
        return proxy_command::run(proxy, &arguments[1..]);
    }
    if arguments.first().is_some_and(|first| first == playground::engine::command::GUARD) {
        return guard::run(&arguments[1..]);
    }
    match run(cli::Cli::parse()) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("etcd-tui: {}", output::sentence(&error));
            let usage = error.downcast_ref::<PlaygroundError>().is_some_and(|it| it.is_usage());
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

fn run(cli: cli::Cli) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(dispatch(cli.command))
}

async fn dispatch(command: cli::Command) -> anyhow::Result<ExitCode> {
    use cli::Command;
    if let Command::Connect(arguments) = command {
        return connect::run(arguments).await;
    }
    if let Command::Snapshot(command) = command {
        return backup::run(command).await;
    }
    let home = paths::home()?;
    match command {
        Command::Up(arguments) => up::up(&home, arguments).await,
        Command::Attach(arguments) => up::attach(&home, arguments).await,
        Command::Learn(arguments) => learn::run(&home, arguments).await,
        Command::Ls(arguments) => verbs::ls(&home, &arguments).await,
        Command::Ps(arguments) => verbs::ps(&home, &arguments).await,
        Command::Env(arguments) => verbs::env(&home, &arguments).await,
        Command::Logs(arguments) => log_lines::run(&home, &arguments).await,
        Command::Down(arguments) => verbs::down(&home, &arguments).await,
        Command::App(command) => app::dispatch(&home, command).await,
        Command::Drill(command) => drill::dispatch(&home, command).await,
        Command::Supervise { name } => supervise::run(&home, &name).await,
        Command::Act(verb) => verbs::act(&home, verb).await,
        Command::Fault(arguments) => verbs::fault(&home, arguments).await,
        Command::Links(command) => links::run(&home, command).await,
        Command::Backup(of) => recovery::backup(&home, &of).await,
        Command::Restore(arguments) => recovery::restore(&home, arguments).await,
        Command::Replace(arguments) => verbs::replace(&home, arguments).await,
        Command::Grow(arguments) => verbs::resize(&home, arguments, true).await,
        Command::Shrink(arguments) => verbs::resize(&home, arguments, false).await,
        // Handled before; they do not need the state directory.
        Command::Connect(_)
        | Command::Snapshot(_)
        | Command::Node { .. }
        | Command::Gateway { .. }
        | Command::GrpcProxy { .. } => Ok(ExitCode::FAILURE),
    }
}
