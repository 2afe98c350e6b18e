//! From checked flags to a running member, and from a signal to its end.

use std::time::Duration;

use anyhow::Context as _;
use node::Server;
use node::config::{self, Config};
use tokio::signal::unix::{SignalKind, signal};

use crate::flags::{AutoCompaction, ClusterState, HttpUrl, NodeOptions};
use crate::version::ETCD_VERSION;

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
    tracing::info!(
        name = %options.name,
        data_dir = %options.data_dir.display(),
        version = ETCD_VERSION,
        "starting a member"
    );
    let mut server = Server::start(config(options)).await?;
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

fn addresses(urls: &[HttpUrl]) -> Vec<String> {
    let address = |url: &HttpUrl| {
        if url.host.contains(':') {
            format!("[{}]:{}", url.host, url.port)
        } else {
            format!("{}:{}", url.host, url.port)
        }
    };
    urls.iter().map(address).collect()
}

fn texts(urls: &[HttpUrl]) -> Vec<String> {
    urls.iter().map(HttpUrl::to_string).collect()
}

fn config(options: NodeOptions) -> Config {
    Config {
        name: options.name,
        data_dir: options.data_dir,
        wal_dir: options.wal_dir,
        listen: config::Listen {
            client: addresses(&options.listen_client_urls),
            peer: addresses(&options.listen_peer_urls),
            advertise_client: texts(&options.advertise_client_urls),
            advertise_peer: texts(&options.initial_advertise_peer_urls),
        },
        bootstrap: config::Bootstrap {
            cluster: options
                .initial_cluster
                .iter()
                .map(|(name, urls)| (name.clone(), texts(urls)))
                .collect(),
            token: options.initial_cluster_token,
            existing: options.initial_cluster_state == ClusterState::Existing,
            force_new_cluster: options.force_new_cluster,
        },
        timing: config::Timing {
            heartbeat: options.heartbeat_interval,
            election: options.election_timeout,
        },
        limits: config::Limits {
            snapshot_count: options.snapshot_count,
            catch_up_entries: options.snapshot_catchup_entries,
            quota_bytes: options.quota_backend_bytes,
            max_request_bytes: options.max_request_bytes as usize,
            max_txn_ops: options.max_txn_ops as usize,
        },
        auto_compaction: match options.auto_compaction {
            AutoCompaction::Off => config::AutoCompaction::Off,
            AutoCompaction::Periodic(period) => config::AutoCompaction::Periodic(period),
            AutoCompaction::Revision(keep) => config::AutoCompaction::Revisions(keep),
        },
        auth: config::Auth::default(),
        strict_reconfig: options.strict_reconfig_check,
        pre_vote: options.pre_vote,
        unsafe_no_fsync: options.unsafe_no_fsync,
        version: ETCD_VERSION.to_owned(),
    }
}
