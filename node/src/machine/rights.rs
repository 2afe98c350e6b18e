//! On whose behalf a command is applied, and whether he may still have that.
//!
//! Checked where the request came in as well; checked here because users and rights may have
//! changed between the two. A command that names nobody is somebody without a name: refused
//! once checks are on. Only what a member proposed for itself says so, and passes.
//!
//! The match knows every kind of command: a new one does not compile before it is decided
//! what it needs.

use proto::command::{Command, command::Kind};
use proto::etcdserverpb::alarm_request::AlarmAction;

use super::{ApplyError, State};
use crate::auth::{AuthError, Caller, Walk};

/// Who proposed a command.
pub struct By {
    caller: Caller,
    member: bool,
}

impl By {
    /// As the command says.
    pub fn of(command: &Command) -> Self {
        let caller = Caller { name: command.username.clone(), revision: command.auth_revision };
        Self { caller, member: command.by_member }
    }
}

/// A command that a member proposes for itself.
pub fn by_member(kind: Kind) -> Command {
    Command { by_member: true, kind: Some(kind), ..Command::default() }
}

/// A command that a member proposes for a client.
pub fn on_behalf(caller: Caller, kind: Kind) -> Command {
    Command {
        username: caller.name,
        auth_revision: caller.revision,
        by_member: false,
        kind: Some(kind),
    }
}

/// Refuses what the caller may not do, in this state.
pub fn check(state: &State, by: &By, kind: &Kind) -> Result<(), ApplyError> {
    if by.member || !state.auth.enabled() {
        return Ok(());
    }
    let caller = &by.caller;
    let walk = Walk { auth: &state.auth, leases: &state.leases, caller };
    match kind {
        Kind::Put(request) => walk.put(request)?,
        Kind::DeleteRange(request) => walk.delete_range(request)?,
        Kind::Txn(request) => walk.txn(request)?,
        Kind::LeaseGrant(_) => state.auth.is_authenticated(caller)?,
        Kind::LeaseRevoke(request) => {
            request.ids.iter().try_for_each(|id| walk.lease_revoke(*id))?;
        }
        Kind::Alarm(request) if request.action() == AlarmAction::Get => {
            state.auth.is_authenticated(caller)?;
        }
        // A password was checked at this revision; it may have been changed since.
        Kind::Authenticate(_) if caller.revision != state.auth.revision() => {
            return Err(AuthError::OldRevision.into());
        }
        Kind::Authenticate(_) => {}
        Kind::Compaction(_)
        | Kind::Alarm(_)
        | Kind::MemberUpdate(_)
        | Kind::AuthEnable(_)
        | Kind::AuthDisable(_)
        | Kind::UserAdd(_)
        | Kind::UserDelete(_)
        | Kind::UserPassword(_)
        | Kind::UserGrantRole(_)
        | Kind::UserRevokeRole(_)
        | Kind::RoleAdd(_)
        | Kind::RoleDelete(_)
        | Kind::RoleGrantPermission(_)
        | Kind::RoleRevokePermission(_) => state.auth.is_admin(caller)?,
        // No client can ask for these.
        Kind::MemberAttributes(_) | Kind::ClusterVersion(_) => {
            return Err(AuthError::PermissionDenied.into());
        }
    }
    Ok(())
}
