//! Users, roles and the switch as rows of bytes, in the encoding that etcd stores.
//!
//! One row says whether checks are on and the auth revision; each user and each role has one
//! of its own.

use prost::Message as _;
use proto::authpb;

use super::state::{Auth, Role, User};

/// Table numbers; on disk, so for ever.
pub const SWITCH: u8 = 20;
pub const USER: u8 = 21;
pub const ROLE: u8 = 22;

const SWITCH_KEY: &[u8] = b"auth";

/// Table, key, and the value; no value means that the row is gone.
pub type Row = (u8, Vec<u8>, Option<Vec<u8>>);

/// A row that cannot be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAuthRow;

/// The row of the switch and the revision.
pub(crate) fn switch(auth: &Auth) -> Row {
    let mut value = vec![u8::from(auth.enabled)];
    value.extend_from_slice(&auth.revision.to_be_bytes());
    (SWITCH, SWITCH_KEY.to_vec(), Some(value))
}

/// The row of a user, there or not.
pub(crate) fn user(auth: &Auth, name: &str) -> Row {
    let wire = |user: &User| authpb::User {
        name: name.to_owned().into(),
        password: user.password_hash.clone().into(),
        roles: user.roles.clone(),
        options: Some(authpb::UserAddOptions { no_password: user.no_password }),
    };
    (USER, name.into(), auth.user(name).map(|user| wire(user).encode_to_vec()))
}

/// The row of a role, there or not.
pub(crate) fn role(auth: &Auth, name: &str) -> Row {
    let wire = |role: &Role| authpb::Role {
        name: name.to_owned().into(),
        key_permission: role.permissions().to_vec(),
    };
    (ROLE, name.into(), auth.role(name).map(|role| wire(role).encode_to_vec()))
}

/// All rows; none as long as nothing was ever changed.
pub fn dump(auth: &Auth) -> Vec<Row> {
    if *auth == Auth::default() {
        return Vec::new();
    }
    let users = auth.users.keys().map(|name| user(auth, name));
    let roles = auth.roles.keys().map(|name| role(auth, name));
    std::iter::once(switch(auth)).chain(users).chain(roles).collect()
}

/// Reads one row into a state that is being restored.
pub fn load(auth: &mut Auth, table: u8, key: &[u8], value: &[u8]) -> Result<(), BadAuthRow> {
    let name = || String::from_utf8(key.to_vec()).map_err(|_| BadAuthRow);
    match table {
        SWITCH => {
            let (enabled, revision) = value.split_first().ok_or(BadAuthRow)?;
            auth.enabled = *enabled != 0;
            auth.revision = u64::from_be_bytes(revision.try_into().map_err(|_| BadAuthRow)?);
        }
        USER => {
            let wire = authpb::User::decode(value).map_err(|_| BadAuthRow)?;
            let mut roles = wire.roles;
            roles.sort();
            let user = User {
                password_hash: wire.password.to_vec(),
                no_password: wire.options.is_some_and(|options| options.no_password),
                roles,
            };
            auth.users.insert(name()?, user);
        }
        ROLE => {
            let wire = authpb::Role::decode(value).map_err(|_| BadAuthRow)?;
            auth.roles.insert(name()?, Role::new(wire.key_permission));
        }
        _ => return Err(BadAuthRow),
    }
    Ok(())
}
