//! The cluster version: written down by the leader, lowered and raised by downgrades.

use std::time::Duration;

use proto::command::{ClusterVersion, Downgrade, command::Kind};

use super::RETRY;
use crate::api::Service;
use crate::cluster::version::{self, Version};
use crate::consensus::handle::Handle;
use crate::tasks;

/// etcd looks this often whether the version is to change.
const INTERVAL: Duration = Duration::from_secs(4);

/// While this member leads, keeps the cluster version what it should be.
pub async fn monitor(service: Service) {
    let Some(own) = Version::parse(&service.member.config.version) else { return };
    let mut leadership = service.handle.watch_leadership();
    loop {
        let leads = leadership.borrow_and_update().is_leader;
        // A new leader may not have applied yet what others were told: a version decided on
        // that would take a downgrade back.
        let up_to_date = leads && service.handle.linearize().await.is_ok();
        let (cluster, downgrade) = {
            let state = service.member.state.read();
            (Version::parse(&state.cluster_version), state.downgrade)
        };
        // All members of a cluster of ours can do what this one can: older ones do not exist.
        if up_to_date && let Some(wanted) = version::decide(cluster, own, downgrade) {
            match cluster {
                Some(from) => {
                    tracing::info!(%from, to = %wanted, "updating cluster version using v3 API");
                }
                None => tracing::info!(
                    cluster_version = %wanted,
                    "setting up initial cluster version using v3 API"
                ),
            }
            let command = Kind::ClusterVersion(ClusterVersion { version: wanted.to_string() });
            propose(&service.handle, command).await;
        }
        let pause = if cluster.is_none() { RETRY } else { INTERVAL };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            changed = leadership.changed() => if changed.is_err() { return },
        }
    }
}

/// While this member leads, ends a downgrade that every member has followed.
pub async fn end_downgrades(service: Service) {
    let Some(interval) = service.member.config.upkeep.downgrade_check else { return };
    loop {
        tokio::time::sleep(interval).await;
        if !service.handle.leadership().is_leader || service.handle.linearize().await.is_err() {
            continue;
        }
        let Some(target) = service.member.state.read().downgrade else { continue };
        let mut versions = vec![Version::parse(&service.member.config.version)];
        versions.extend(service.versions_of_others().await);
        if version::is_reached(target, &versions) {
            tracing::info!(%target, "the cluster has been downgraded");
            propose(&service.handle, Kind::Downgrade(Downgrade::default())).await;
        }
    }
}

async fn propose(handle: &Handle, kind: Kind) {
    if let Err(error) = handle.propose(tasks::encode(kind)).await {
        tracing::warn!(%error, "could not write the cluster version down; it is tried again");
    }
}
