//! Commands of the cluster's upkeep: downgrades and lease checkpoints.

use proto::command::{Downgrade, LeaseCheckpoint};

use super::side;
use super::{Applied, ApplyError, Reply, State};
use crate::cluster::version::{DowngradeError, Version, check_target};

/// Begins a downgrade, or ends the one there is. Judged when it was asked for, and again
/// here: two may have been asked for at once.
pub fn downgrade(state: &mut State, request: &Downgrade) -> Applied {
    let target = match Version::parse(&request.target_version) {
        None if request.target_version.is_empty() => None,
        None => return Applied::new(Err(DowngradeError::Format.into())),
        Some(target) => {
            let Some(cluster) = Version::parse(&state.cluster_version) else {
                return Applied::new(Err(DowngradeError::NoClusterVersion.into()));
            };
            if let Err(error) = check_target(cluster, target, state.downgrade.is_some()) {
                return Applied::new(Err(error.into()));
            }
            Some(target)
        }
    };
    state.downgrade = target;
    let mut applied = Applied::new(Ok(Reply::Done));
    applied.side.push(side::downgrade(target));
    applied
}

/// Notes what is left of leases. One that has ended meanwhile is passed over.
pub fn checkpoint(state: &mut State, request: &LeaseCheckpoint) -> Applied {
    let mut applied = Applied::new(Ok(Reply::Done));
    for left in &request.left {
        if state.leases.checkpoint(left.id, left.seconds) {
            applied.side.push(side::lease_left(left.id, state.leases.left(left.id)));
        }
    }
    applied
}

impl From<DowngradeError> for ApplyError {
    fn from(error: DowngradeError) -> Self {
        Self::Downgrade(error)
    }
}

#[cfg(test)]
mod tests {
    use proto::command::{Command, LeaseRevoke, command::Kind, lease_checkpoint::Left};
    use proto::etcdserverpb::LeaseGrantRequest;

    use super::super::{apply, side};
    use super::*;
    use crate::kv::{History, HistoryError, KeyValue, Revision};

    struct NoHistory;

    impl History for NoHistory {
        fn put_at(
            &self,
            _revision: Revision,
        ) -> Result<Option<std::sync::Arc<KeyValue>>, HistoryError> {
            Ok(None)
        }
    }

    fn run(state: &mut State, kind: Kind) -> Applied {
        apply(state, &NoHistory, Command { kind: Some(kind), ..Command::default() })
    }

    fn go_down(state: &mut State, target: &str) -> Result<Reply, ApplyError> {
        let target_version = target.to_owned();
        run(state, Kind::Downgrade(Downgrade { target_version })).reply
    }

    /// The state as it is after a restart.
    fn reloaded(state: &State) -> State {
        let rows = side::decode_rows(&side::encode_rows(&side::dump(state))).unwrap();
        let mut loaded = State::default();
        for row in rows {
            side::load(&mut loaded, row.table, &row.key, &row.value.unwrap()).unwrap();
        }
        loaded
    }

    #[test]
    fn a_downgrade_is_announced_once_and_survives_a_restart() {
        let mut state = State::default();
        let refused = go_down(&mut state, "3.5.0");
        assert_eq!(refused, Err(DowngradeError::NoClusterVersion.into()));
        state.cluster_version = "3.6.0".to_owned();
        assert_eq!(go_down(&mut state, "x"), Err(DowngradeError::Format.into()));
        assert_eq!(go_down(&mut state, "3.4.0"), Err(DowngradeError::Target.into()));
        assert_eq!(go_down(&mut state, "3.5.0"), Ok(Reply::Done));
        assert_eq!(go_down(&mut state, "3.5.0"), Err(DowngradeError::InProgress.into()));
        assert_eq!(reloaded(&state).downgrade, Version::parse("3.5"));
        assert_eq!(go_down(&mut state, ""), Ok(Reply::Done));
        assert_eq!(reloaded(&state).downgrade, None);
    }

    #[test]
    fn a_checkpoint_is_kept_until_it_is_taken_back_or_the_lease_ends() {
        let mut state = State::default();
        for id in [1, 2] {
            run(&mut state, Kind::LeaseGrant(LeaseGrantRequest { id, ttl: 1000 }));
        }
        let left = |id, seconds| Left { id, seconds };
        let checkpoint = |left: Vec<Left>| Kind::LeaseCheckpoint(LeaseCheckpoint { left });
        let applied = run(&mut state, checkpoint(vec![left(1, 700), left(2, 600), left(9, 5)]));
        assert_eq!(applied.side.len(), 2, "there is no lease 9");
        assert_eq!(reloaded(&state).leases.left(1), Some(700));
        assert_eq!(reloaded(&state).leases.ttl(1), Some(1000));

        run(&mut state, checkpoint(vec![left(1, 0)]));
        assert_eq!(reloaded(&state).leases.left(1), None);
        let applied = run(&mut state, Kind::LeaseRevoke(LeaseRevoke { ids: vec![2] }));
        // A lease of the same id that comes later must not find it.
        let gone = side::lease_left(2, None);
        assert!(applied.side.contains(&gone), "{:?}", applied.side);
        assert_eq!(reloaded(&state).leases.left(2), None);
    }
}
