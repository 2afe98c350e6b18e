//! Applies what changes users and roles, and notes which rows and which memories change.

use proto::command::command::Kind;

use super::{Applied, ApplyError, Reply, State, side};
use crate::auth::{Auth, AuthError, AuthEvent, User, rows};

/// Rows that changed, and what members must forget.
#[derive(Default)]
struct Effects {
    rows: Vec<rows::Row>,
    events: Vec<AuthEvent>,
}

/// Applies one command of these.
pub fn apply(state: &mut State, kind: &Kind) -> Applied {
    if let Kind::Authenticate(request) = kind {
        return authenticate(state, &request.name, &request.token_hash);
    }
    let auth = &mut state.auth;
    let before = (auth.enabled(), auth.revision());
    match change(auth, kind) {
        Ok(effects) => {
            let mut applied = Applied::new(Ok(Reply::Done));
            if (auth.enabled(), auth.revision()) != before {
                let rows = effects.rows.into_iter().chain([rows::switch(auth)]);
                applied.side = rows.map(side::auth_row).collect();
                applied.auth = effects.events;
                applied.auth.push(AuthEvent::Changed);
            }
            applied
        }
        Err(error) => Applied::new(Err(error.into())),
    }
}

fn change(auth: &mut Auth, kind: &Kind) -> Result<Effects, AuthError> {
    let mut effects = Effects::default();
    match kind {
        Kind::AuthEnable(_) => auth.enable()?,
        Kind::AuthDisable(_) => {
            auth.disable();
            effects.events.push(AuthEvent::ForgetAll);
        }
        Kind::UserAdd(request) => {
            let user = User {
                password_hash: request.password_hash.to_vec(),
                no_password: request.no_password,
                roles: Vec::new(),
            };
            auth.add_user(&request.name, user)?;
            effects.user(auth, &request.name);
        }
        Kind::UserDelete(request) => {
            auth.delete_user(&request.name)?;
            effects.user(auth, &request.name);
        }
        Kind::UserPassword(request) => {
            auth.change_password(&request.name, request.password_hash.to_vec())?;
            effects.user(auth, &request.name);
        }
        Kind::UserGrantRole(request) => {
            auth.grant_role(&request.user, &request.role)?;
            effects.user(auth, &request.user);
        }
        Kind::UserRevokeRole(request) => {
            auth.revoke_role(&request.name, &request.role)?;
            effects.user(auth, &request.name);
        }
        Kind::RoleAdd(request) => {
            auth.add_role(&request.name)?;
            effects.rows.push(rows::role(auth, &request.name));
        }
        Kind::RoleDelete(request) => {
            for user in auth.delete_role(&request.role)? {
                effects.user(auth, &user);
            }
            effects.rows.push(rows::role(auth, &request.role));
        }
        Kind::RoleGrantPermission(request) => {
            auth.grant_permission(&request.name, request.perm.as_ref())?;
            effects.rows.push(rows::role(auth, &request.name));
        }
        Kind::RoleRevokePermission(request) => {
            auth.revoke_permission(&request.role, &request.key, &request.range_end)?;
            effects.rows.push(rows::role(auth, &request.role));
        }
        // `machine::apply` passes on no others.
        _ => return Err(AuthError::InvalidManagement),
    }
    Ok(effects)
}

impl Effects {
    /// The user's row, and an end to the tokens that were given to what he was before.
    fn user(&mut self, auth: &Auth, name: &str) {
        self.rows.push(rows::user(auth, name));
        self.events.push(AuthEvent::Forget(name.to_owned()));
    }
}

fn authenticate(state: &State, name: &str, token_hash: &[u8]) -> Applied {
    if !state.auth.enabled() {
        return Applied::new(Err(AuthError::NotEnabled.into()));
    }
    let known = state.auth.user(name).is_some_and(|user| !user.no_password);
    let Some(hash) = token_hash.try_into().ok().filter(|_| known) else {
        return Applied::new(Err(ApplyError::Auth(AuthError::Failed)));
    };
    let index = state.applied.index;
    let mut applied = Applied::new(Ok(Reply::Authenticated(index)));
    applied.auth.push(AuthEvent::Token { user: name.to_owned(), hash, index });
    applied
}
