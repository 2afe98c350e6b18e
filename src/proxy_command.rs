//! `etcd-tui gateway …` and `etcd-tui grpc-proxy …`, and the same under the name `etcd`.
//!
//! Reads the flags, starts the log, and runs the proxy until SIGINT or SIGTERM. As with etcd's,
//! what cannot be read or run ends with 1 and one line.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use node::proxy::ProxyError;
use node::proxy::gateway::Gateway;
use node::proxy::grpc::GrpcProxy;
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::groups::logging::Options;
use crate::flags::proxies::{Proxy, Request};
use crate::flags::{LogFormat, LogLevel, LogOutput};
use crate::{logging, service_manager, start_node};

/// The proxy that the first of these words names.
pub fn named(arguments: &[OsString]) -> Option<Proxy> {
    Proxy::named(arguments.first()?.to_str()?)
}

/// Runs a proxy; `arguments` are the words after its name.
pub fn run(proxy: Proxy, arguments: &[OsString]) -> ExitCode {
    let words: Vec<String> =
        arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let complain = |what: &dyn std::fmt::Display| {
        eprintln!("etcd-tui {}: {what}", proxy.name());
        ExitCode::FAILURE
    };
    let request = match proxy.parse(&words) {
        Ok(Request::Help(text)) => {
            // A closed pipe (`--help | head`) is no failure.
            let _closed = std::io::stdout().write_all(text.as_bytes());
            return ExitCode::SUCCESS;
        }
        Ok(request) => request,
        Err(error) => return complain(&error),
    };
    if let Err(error) = logging::start(&log_options(&request)) {
        return complain(&error);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error),
    };
    let outcome = runtime.block_on(serve(request));
    // Connections that are still there end with the process.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error),
    }
}

fn log_options(request: &Request) -> Options {
    let debug = matches!(request, Request::Grpc(config) if config.debug);
    let level = if debug { LogLevel::Debug } else { LogLevel::Info };
    let outputs = vec![LogOutput::Stderr];
    Options { level, format: LogFormat::Json, outputs, rotation: None }
}

async fn serve(request: Request) -> Result<(), ProxyError> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        ended = serve_until_it_fails(request) => ended,
        _ = terminate.recv() => {
            tracing::info!(signal = "terminated", "received signal; shutting down");
            Ok(())
        }
        _ = interrupt.recv() => {
            tracing::info!(signal = "interrupt", "received signal; shutting down");
            Ok(())
        }
    }
}

async fn serve_until_it_fails(request: Request) -> Result<(), ProxyError> {
    match request {
        Request::Gateway(mut config) => {
            if let Some(discovery) = &mut config.discovery {
                discovery.name_server = start_node::name_server();
            }
            let gateway = Gateway::start(config).await?;
            service_manager::notify_ready();
            gateway.run().await
        }
        Request::Grpc(mut config) => {
            if let Some(discovery) = &mut config.discovery {
                discovery.name_server = start_node::name_server();
            }
            let proxy = GrpcProxy::start(*config).await?;
            service_manager::notify_ready();
            proxy.run().await;
            Ok(())
        }
        Request::Help(_) => Ok(()),
    }
}
