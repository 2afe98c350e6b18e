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
        | Kind::Downgrade(_)
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
        // The v2 keys are a store of their own, in which these users have no say.
        Kind::V2(_) => {}
        // No client can ask for these.
        Kind::MemberAttributes(_) | Kind::ClusterVersion(_) | Kind::LeaseCheckpoint(_) => {
            return Err(AuthError::PermissionDenied.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proto::authpb::{Permission, permission::Type};
    use proto::command::{Authenticate, LeaseRevoke, MemberAttributes, UserAdd, UserPassword};
    use proto::etcdserverpb::*;

    use super::*;
    use crate::auth::{AuthEvent, ROOT};
    use crate::kv::{History, HistoryError, KeyValue, Revision};
    use crate::machine::{Applied, Reply, apply, side};

    struct NoHistory;

    impl History for NoHistory {
        fn put_at(&self, _: Revision) -> Result<Option<std::sync::Arc<KeyValue>>, HistoryError> {
            Ok(None)
        }
    }

    fn done(state: &mut State, command: Command) -> Applied {
        state.applied.index += 1;
        apply(state, &NoHistory, command)
    }

    fn refused(state: &mut State, command: Command) -> ApplyError {
        let before = side::dump(state);
        let revision = state.kv.revision();
        let applied = done(state, command);
        assert!(applied.changes.is_empty() && applied.side.is_empty() && applied.auth.is_empty());
        assert_eq!((side::dump(state), state.kv.revision()), (before, revision));
        applied.reply.unwrap_err()
    }

    fn put(key: &'static str) -> Kind {
        Kind::Put(PutRequest { key: key.into(), value: "v".into(), ..Default::default() })
    }

    /// root, and alice who may do anything to keys from a to b; checks on.
    fn on() -> State {
        let mut state = State::default();
        let user = |name: &str| {
            Kind::UserAdd(UserAdd {
                name: name.into(),
                password_hash: "h".into(),
                ..Default::default()
            })
        };
        let perm = Permission {
            perm_type: Type::Readwrite as i32,
            key: "a".into(),
            range_end: "b".into(),
        };
        for kind in [
            user(ROOT),
            user("alice"),
            Kind::RoleAdd(AuthRoleAddRequest { name: "r".into() }),
            Kind::RoleGrantPermission(AuthRoleGrantPermissionRequest {
                name: "r".into(),
                perm: Some(perm),
            }),
            Kind::UserGrantRole(AuthUserGrantRoleRequest { user: ROOT.into(), role: ROOT.into() }),
            Kind::UserGrantRole(AuthUserGrantRoleRequest {
                user: "alice".into(),
                role: "r".into(),
            }),
            Kind::AuthEnable(AuthEnableRequest {}),
        ] {
            done(&mut state, on_behalf(Caller::default(), kind)).reply.unwrap();
        }
        state
    }

    fn by(state: &State, name: &str, kind: Kind) -> Command {
        on_behalf(Caller { name: name.into(), revision: state.auth.revision() }, kind)
    }

    #[test]
    fn a_right_that_was_taken_away_on_the_way_is_not_used() {
        let mut state = on();
        let allowed = by(&state, "alice", put("a1"));
        assert!(done(&mut state, allowed.clone()).reply.is_ok());
        let revoke = AuthUserRevokeRoleRequest { name: "alice".into(), role: "r".into() };
        let revoke = by(&state, ROOT, Kind::UserRevokeRole(revoke));
        assert!(done(&mut state, revoke).reply.is_ok());
        assert_eq!(refused(&mut state, allowed), AuthError::OldRevision.into());
        let again = by(&state, "alice", put("a1"));
        assert_eq!(refused(&mut state, again), AuthError::PermissionDenied.into());
    }

    #[test]
    fn every_kind_of_command_is_checked() {
        let mut state = on();
        let kinds = [
            put("b"),
            Kind::DeleteRange(DeleteRangeRequest { key: "b".into(), ..Default::default() }),
            Kind::Txn(TxnRequest {
                compare: vec![Compare { key: "b".into(), ..Default::default() }],
                ..Default::default()
            }),
            Kind::Compaction(CompactionRequest::default()),
            Kind::Alarm(AlarmRequest { action: 1, ..Default::default() }),
            Kind::MemberUpdate(Default::default()),
            Kind::Downgrade(Default::default()),
            Kind::LeaseCheckpoint(Default::default()),
            Kind::MemberAttributes(MemberAttributes::default()),
            Kind::ClusterVersion(Default::default()),
            Kind::AuthEnable(Default::default()),
            Kind::AuthDisable(Default::default()),
            Kind::UserAdd(Default::default()),
            Kind::UserDelete(AuthUserDeleteRequest { name: "alice".into() }),
            Kind::UserPassword(UserPassword { name: "alice".into(), ..Default::default() }),
            Kind::UserGrantRole(Default::default()),
            Kind::UserRevokeRole(Default::default()),
            Kind::RoleAdd(Default::default()),
            Kind::RoleDelete(Default::default()),
            Kind::RoleGrantPermission(Default::default()),
            Kind::RoleRevokePermission(Default::default()),
        ];
        for kind in kinds {
            let command = by(&state, "alice", kind.clone());
            let error = refused(&mut state, command);
            assert_eq!(error, AuthError::PermissionDenied.into(), "{kind:?}");
            if !matches!(
                kind,
                Kind::MemberAttributes(_) | Kind::ClusterVersion(_) | Kind::LeaseCheckpoint(_)
            ) {
                let error = refused(&mut state, on_behalf(Caller::default(), kind.clone()));
                assert_eq!(error, AuthError::UserEmpty.into(), "{kind:?}");
            }
        }
        let nobody = |kind| on_behalf(Caller::default(), kind);
        let grant = Kind::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 60 });
        let error = refused(&mut state, nobody(grant.clone()));
        assert_eq!(error, AuthError::UserEmpty.into());
        let command = by(&state, "alice", grant);
        assert!(done(&mut state, command).reply.is_ok());
    }

    #[test]
    fn what_a_member_does_for_itself_needs_no_right() {
        let mut state = on();
        let grant = by_member(Kind::LeaseGrant(LeaseGrantRequest { id: 7, ttl: 60 }));
        done(&mut state, grant).reply.unwrap();
        let with_lease =
            PutRequest { key: "z".into(), value: "v".into(), lease: 7, ..Default::default() };
        let root = by(&state, ROOT, Kind::Put(with_lease));
        done(&mut state, root).reply.unwrap();
        let revoke = Kind::LeaseRevoke(LeaseRevoke { ids: vec![7] });
        let alice = by(&state, "alice", revoke.clone());
        assert_eq!(refused(&mut state, alice), AuthError::PermissionDenied.into());
        assert_eq!(done(&mut state, by_member(revoke)).changes.len(), 1, "an expired lease");
    }

    #[test]
    fn a_token_is_given_for_the_password_of_now_only() {
        let mut state = on();
        let token_hash = bytes::Bytes::from_static(&[7; 32]);
        let login = |state: &State, name: &str| {
            let request = Authenticate { name: name.into(), token_hash: token_hash.clone() };
            by(state, name, Kind::Authenticate(request))
        };
        let good = login(&state, "alice");
        let applied = done(&mut state, good.clone());
        let index = state.applied.index;
        assert_eq!(applied.reply, Ok(Reply::Authenticated(index)));
        assert_eq!(applied.auth, [AuthEvent::Token { user: "alice".into(), hash: [7; 32], index }]);
        assert!(applied.side.is_empty(), "no token is stored");
        let unknown = login(&state, "bob");
        assert_eq!(refused(&mut state, unknown), AuthError::Failed.into());
        let change = UserPassword { name: "alice".into(), password_hash: "other".into() };
        let change = by(&state, ROOT, Kind::UserPassword(change));
        let applied = done(&mut state, change);
        assert!(applied.auth.contains(&AuthEvent::Forget("alice".into())));
        assert_eq!(refused(&mut state, good), AuthError::OldRevision.into());
        let disable = by(&state, ROOT, Kind::AuthDisable(AuthDisableRequest {}));
        assert!(done(&mut state, disable).auth.contains(&AuthEvent::ForgetAll));
        let off = login(&state, "alice");
        assert_eq!(refused(&mut state, off), AuthError::NotEnabled.into());
    }

    /// What a member writes row by row is what a snapshot has, and both bring it back.
    #[test]
    fn rows_and_snapshots_agree() {
        let mut state = State::default();
        let mut rows = std::collections::BTreeMap::new();
        let mut apply_all = |state: &mut State, kinds: Vec<Kind>| {
            for kind in kinds {
                let command = by(state, ROOT, kind);
                for row in done(state, command).side {
                    match row.value {
                        Some(value) => _ = rows.insert((row.table, row.key), value),
                        None => _ = rows.remove(&(row.table, row.key)),
                    }
                }
            }
        };
        let user = |name: &str| Kind::UserAdd(UserAdd { name: name.into(), ..Default::default() });
        let role = |name: &str| Kind::RoleAdd(AuthRoleAddRequest { name: name.into() });
        let give = |user: &str, role: &str| {
            Kind::UserGrantRole(AuthUserGrantRoleRequest { user: user.into(), role: role.into() })
        };
        apply_all(
            &mut state,
            vec![
                user(ROOT),
                user("alice"),
                user("bob"),
                role("r"),
                role("s"),
                give(ROOT, ROOT),
                give("alice", "r"),
                give("alice", "s"),
                give("bob", "r"),
                Kind::AuthEnable(AuthEnableRequest {}),
                Kind::RoleDelete(AuthRoleDeleteRequest { role: "r".into() }),
                Kind::UserDelete(AuthUserDeleteRequest { name: "bob".into() }),
            ],
        );
        let dumped = side::dump(&state).into_iter().filter(|row| row.table >= 20);
        let dumped: Vec<_> = dumped.map(|row| ((row.table, row.key), row.value.unwrap())).collect();
        assert_eq!(rows.clone().into_iter().collect::<Vec<_>>(), dumped);
        let mut restored = State::default();
        for ((table, key), value) in rows {
            side::load(&mut restored, table, &key, &value).unwrap();
        }
        assert_eq!(restored.auth, state.auth);
        assert!(restored.auth.enabled() && restored.auth.user("bob").is_none());
    }
}
