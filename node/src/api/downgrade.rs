//! The Downgrade call of the Maintenance service.

use proto::command::{Downgrade, command::Kind};
use proto::etcdserverpb::downgrade_request::DowngradeAction;
use proto::etcdserverpb::{DowngradeInfo, DowngradeRequest, DowngradeResponse};
use tonic::Status;

use super::Service;
use super::status::to_status;
use crate::auth::Caller;
use crate::cluster::version::{DowngradeError, Version, check_target};

impl Service {
    /// Answers a Downgrade call. Cancelling when there is nothing to cancel is fine, as in
    /// etcd 3.6.
    pub async fn downgrade_call(
        &self,
        caller: Caller,
        request: DowngradeRequest,
    ) -> Result<DowngradeResponse, Status> {
        let Ok(action) = DowngradeAction::try_from(request.action) else {
            return Err(Status::unknown("etcdserver: unknown method"));
        };
        let target = match action {
            DowngradeAction::Cancel => None,
            DowngradeAction::Validate | DowngradeAction::Enable => {
                let target = Version::parse(&request.version)
                    .ok_or_else(|| to_status(DowngradeError::Format))?;
                Some(target)
            }
        };
        self.linearize().await?;
        let (cluster, in_progress) = {
            let state = self.member.state.read();
            (Version::parse(&state.cluster_version), state.downgrade.is_some())
        };
        let cluster = cluster.ok_or_else(|| to_status(DowngradeError::NoClusterVersion))?;
        if let Some(target) = target {
            check_target(cluster, target, in_progress).map_err(to_status)?;
        }
        match action {
            DowngradeAction::Cancel if !in_progress => {
                tracing::warn!(error = "no inflight downgrade job", "failed to cancel downgrade");
            }
            DowngradeAction::Cancel | DowngradeAction::Enable => {
                let target_version = target.map(|target| target.to_string()).unwrap_or_default();
                self.propose_for(caller, Kind::Downgrade(Downgrade { target_version })).await?;
            }
            DowngradeAction::Validate => {}
        }
        let version = cluster.short();
        Ok(DowngradeResponse { header: Some(self.header()), version })
    }

    /// What Status says of a downgrade.
    pub fn downgrade_info(&self) -> DowngradeInfo {
        let target = self.member.state.read().downgrade;
        DowngradeInfo {
            enabled: target.is_some(),
            target_version: target.map(|target| target.to_string()).unwrap_or_default(),
        }
    }
}
