//! Whether a membership change would put the quorum at risk (`--strict-reconfig-check`).
//!
//! etcd's own arithmetic: adding a voter must leave a quorum of *started* members and needs
//! every voter healthy; removing one must leave a quorum of started, and of healthy, members.
//! Healthy is a member that has been connected for at least [`HEALTHY_AFTER`].

use std::time::Duration;

use proto::command::{MemberChange, member_change};

use super::{ClusterError, Members};

/// How long a member must have been connected before it counts (etcd's HealthInterval).
pub const HEALTHY_AFTER: Duration = Duration::from_secs(5);

fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// Judges `change`; `connected_for` says for how long a member has been connected, if it is.
pub fn check(
    members: &Members,
    change: &MemberChange,
    connected_for: impl Fn(u64) -> Option<Duration>,
) -> Result<(), ClusterError> {
    let healthy = |id: u64| connected_for(id).is_some_and(|time| time >= HEALTHY_AFTER);
    let voters = members.voters().count();
    let started = members.voters().filter(|member| member.has_started()).count();
    match change.kind() {
        member_change::Kind::Add => {
            if !change.is_learner && started < quorum(voters + 1) && !(voters == 1 && started == 1)
            {
                return Err(ClusterError::NotEnoughStarted);
            }
            if !members.voters().all(|member| healthy(member.id)) {
                return Err(ClusterError::Unhealthy);
            }
            Ok(())
        }
        member_change::Kind::Remove => {
            let Some(target) = members.get(change.member_id) else {
                return Err(ClusterError::NotFound);
            };
            if target.is_learner {
                return Ok(());
            }
            let started_after = started - usize::from(target.has_started());
            if voters == 1 || started_after < quorum(voters - 1) {
                return Err(ClusterError::NotEnoughStarted);
            }
            // A member that is down may always go.
            if connected_for(target.id).is_none() {
                return Ok(());
            }
            let healthy_after = members
                .voters()
                .filter(|member| member.id != target.id && healthy(member.id))
                .count();
            if healthy_after < quorum(voters - 1) {
                return Err(ClusterError::Unhealthy);
            }
            Ok(())
        }
        member_change::Kind::Promote => {
            if started + 1 < quorum(voters + 1) {
                return Err(ClusterError::NotEnoughStarted);
            }
            Ok(())
        }
        member_change::Kind::Update => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Member;
    use super::*;

    fn cluster(started: &[bool]) -> Members {
        let members = started.iter().zip(1..).map(|(started, id)| Member {
            id,
            name: if *started { format!("n{id}") } else { String::new() },
            ..Member::default()
        });
        Members::new(1, members)
    }

    fn change(kind: member_change::Kind, id: u64) -> MemberChange {
        MemberChange { kind: kind as i32, member_id: id, ..MemberChange::default() }
    }

    fn up(_: u64) -> Option<Duration> {
        Some(HEALTHY_AFTER)
    }

    fn just_up(_: u64) -> Option<Duration> {
        Some(HEALTHY_AFTER / 2)
    }

    fn third_down(id: u64) -> Option<Duration> {
        (id != 3).then_some(HEALTHY_AFTER)
    }

    #[test]
    fn a_voter_may_join_only_a_healthy_cluster() {
        let three = cluster(&[true, true, true]);
        let add = change(member_change::Kind::Add, 4);
        assert_eq!(check(&three, &add, up), Ok(()));
        assert_eq!(check(&three, &add, third_down), Err(ClusterError::Unhealthy));
        assert_eq!(check(&three, &add, just_up), Err(ClusterError::Unhealthy));
        let one_missing = cluster(&[true, true, false]);
        assert_eq!(check(&one_missing, &add, up), Err(ClusterError::NotEnoughStarted));
    }

    #[test]
    fn one_member_may_become_two() {
        let add = change(member_change::Kind::Add, 2);
        assert_eq!(check(&cluster(&[true]), &add, up), Ok(()));
    }

    #[test]
    fn a_dead_member_may_go_but_not_a_live_one_that_is_needed() {
        let three = cluster(&[true, true, true]);
        let remove = |id| change(member_change::Kind::Remove, id);
        assert_eq!(check(&three, &remove(3), third_down), Ok(()));
        assert_eq!(check(&three, &remove(2), third_down), Err(ClusterError::Unhealthy));
        assert_eq!(check(&three, &remove(2), just_up), Err(ClusterError::Unhealthy));
        assert_eq!(check(&three, &remove(2), up), Ok(()));
    }

    #[test]
    fn the_only_member_stays() {
        let one = cluster(&[true]);
        let remove = change(member_change::Kind::Remove, 1);
        assert_eq!(check(&one, &remove, up), Err(ClusterError::NotEnoughStarted));
    }
}
