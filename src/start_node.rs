//! From checked flags to a running member, and from a signal to its end.

use std::time::Duration;

use anyhow::Context as _;
use node::Server;
use node::config::{self, Config};
use node::faults::{self, DiskFaults};
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::{ClusterState, HttpUrl, NodeOptions};
use crate::version::ETCD_VERSION;
use crate::{service_manager, start_settings};

/// Going down must not take longer, whatever hangs.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Runs a member until SIGINT or SIGTERM, or until its cluster has removed it.
pub fn start(options: NodeOptions) -> anyhow::Result<()> {
    // One thread serves all clients: requests never cross threads on their way in.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    let outcome = runtime.block_on(run(options));
    // Connections and blocking reads that are still there end with the process.
    runtime.shutdown_background();
    outcome
}

async fn run(options: NodeOptions) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    start_settings::log(&options);
    let faults = match &options.fault_file {
        Some(path) => Some(faults::start(path).context("cannot use the fault file")?),
        None => None,
    };
    // A start may wait for others for long: a signal ends it as it ends a running member.
    let started = tokio::select! {
        started = Server::start(config(options, faults)) => Some(started?),
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
    };
    let Some(mut server) = started else {
        tracing::info!("received signal while starting; shutting down");
        return Ok(());
    };
    if let Some(ready) = server.take_ready() {
        tokio::spawn(async move {
            if ready.await.is_ok() {
                service_manager::notify_ready();
            }
        });
    }
    tokio::select! {
        why = server.ended() => anyhow::bail!(why),
        _ = terminate.recv() => tracing::info!(signal = "terminated", "received signal; shutting down"),
        _ = interrupt.recv() => tracing::info!(signal = "interrupt", "received signal; shutting down"),
    }
    if tokio::time::timeout(STOP_LIMIT, server.stop()).await.is_err() {
        tracing::warn!("stopping took too long");
    }
    Ok(())
}

/// Go's switch for a line about each header that HTTP/2 decodes; tests that start a server
/// and look for what clients send use it.
fn wants_authority() -> bool {
    std::env::var("GODEBUG").is_ok_and(|words| words.split(',').any(|word| word == "http2debug=2"))
}

fn texts(urls: &[HttpUrl]) -> Vec<String> {
    urls.iter().map(HttpUrl::to_string).collect()
}

/// The name server that tests set; see `node`'s `discovery::dns`.
pub fn name_server() -> Option<std::net::SocketAddr> {
    std::env::var("ETCD_TUI_DNS_SERVER").ok()?.parse().ok()
}

fn config(options: NodeOptions, faults: Option<&'static DiskFaults>) -> Config {
    let NodeOptions { member, listen, clustering, danger, .. } = options;
    Config {
        name: member.name,
        data_dir: member.data_dir,
        wal_dir: member.wal_dir,
        listen: config::Listen {
            client: texts(&listen.client),
            client_http: texts(&listen.client_http),
            metrics: texts(&listen.metrics),
            socket: listen.socket,
            peer: texts(&listen.peer),
            advertise_client: texts(&listen.advertise_client),
            advertise_peer: texts(&listen.advertise_peer),
        },
        security: options.security,
        peer_proxy: options.peer_proxy,
        http: config::Http { print_authority: wants_authority(), ..options.http },
        bootstrap: config::Bootstrap {
            cluster: clustering
                .initial_cluster
                .iter()
                .map(|(name, urls)| (name.clone(), texts(urls)))
                .collect(),
            discovery: options.discovery,
            name_server: name_server(),
            token: clustering.token,
            existing: clustering.state == ClusterState::Existing,
            force_new_cluster: danger.force_new_cluster,
        },
        timing: member.timing,
        limits: options.limits,
        slow: options.slow,
        tracing: options.tracing,
        upkeep: options.upkeep,
        auto_compaction: options.auto_compaction,
        auth: options.auth,
        strict_reconfig: clustering.strict_reconfig,
        pre_vote: member.pre_vote,
        grpc_gateway: options.grpc_gateway,
        enable_v2: clustering.enable_v2,
        unsafe_no_fsync: danger.no_fsync,
        faults,
        version: ETCD_VERSION.to_owned(),
    }
}
