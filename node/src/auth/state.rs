//! Users and roles, how they change, and the one question about rights.
//!
//! A change either happens whole and counts one auth revision, or is refused and leaves
//! everything as it was. The rules of etcd are kept to the letter, also the odd ones: the
//! role `root` needs not exist to be granted, granting a role twice is no change, and roles
//! of users are sorted.

use std::collections::BTreeMap;

use proto::authpb::{Permission, permission};

use super::span::{Intervals, Span, covered};
use super::{Access, AuthError, Caller};
use crate::kv::KeyRange;

/// The user who may do everything, and the role that makes it so.
pub const ROOT: &str = "root";

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// bcrypt; empty for a user who has none.
    pub password_hash: Vec<u8>,
    /// Such a user is known by a client certificate only.
    pub no_password: bool,
    /// Sorted.
    pub roles: Vec<String>,
}

/// A role: permissions as they were granted, and what they come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    permissions: Vec<Permission>,
    read: Intervals,
    write: Intervals,
}

impl Role {
    /// A role with these permissions.
    pub fn new(permissions: Vec<Permission>) -> Self {
        let mut role = Self { permissions, ..Self::default() };
        for permission in &role.permissions {
            let range = KeyRange::new(&permission.key, &permission.range_end);
            let Some(span) = Span::of(&range) else { continue };
            let kind = permission.perm_type();
            if kind != permission::Type::Write {
                role.read.insert(span.clone());
            }
            if kind != permission::Type::Read {
                role.write.insert(span);
            }
        }
        role
    }

    /// As granted, sorted by range.
    pub fn permissions(&self) -> &[Permission] {
        &self.permissions
    }

    fn intervals(&self, access: Access) -> &Intervals {
        match access {
            Access::Read => &self.read,
            Access::Write => &self.write,
        }
    }
}

/// Who may do what; see the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub(super) enabled: bool,
    pub(super) revision: u64,
    pub(super) users: BTreeMap<String, User>,
    pub(super) roles: BTreeMap<String, Role>,
}

impl Default for Auth {
    fn default() -> Self {
        // A store that knows no user is at revision 1, as etcd's is.
        Self { enabled: false, revision: 1, users: BTreeMap::new(), roles: BTreeMap::new() }
    }
}

impl Auth {
    pub fn enabled(&self) -> bool {
        self.enabled
    }

    /// Counts changes, from 1.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.get(name)
    }

    /// Names and users, sorted.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        self.users.iter().map(|(name, user)| (name.as_str(), user))
    }

    /// Names and roles, sorted.
    pub fn roles(&self) -> impl Iterator<Item = (&str, &Role)> {
        self.roles.iter().map(|(name, role)| (name.as_str(), role))
    }

    /// Whether the user has the role.
    pub fn has_role(&self, user: &str, role: &str) -> bool {
        self.user(user).is_some_and(|user| user.roles.iter().any(|other| other == role))
    }

    /// Whether the caller may do this to all keys of the range. `None` is a range without a
    /// key, to which nobody but root has a right.
    pub fn may(
        &self,
        caller: &Caller,
        span: Option<&Span>,
        access: Access,
    ) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        let user = self.fresh_user(caller)?;
        if user.roles.iter().any(|role| role == ROOT) {
            return Ok(());
        }
        let roles = user.roles.iter().filter_map(|role| self.roles.get(role));
        let sets: Vec<_> = roles.map(|role| role.intervals(access)).collect();
        match span.is_some_and(|span| covered(&sets, span)) {
            true => Ok(()),
            false => Err(AuthError::PermissionDenied),
        }
    }

    /// Whether the caller is somebody.
    pub fn is_authenticated(&self, caller: &Caller) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        self.fresh_user(caller).map(drop)
    }

    /// Whether the caller may do everything. As in etcd a name that was looked up earlier is
    /// good enough here: it is the right of now that counts, and a script that changes users
    /// with one signed token would be stopped by its own first change.
    pub fn is_admin(&self, caller: &Caller) -> Result<(), AuthError> {
        if !self.enabled {
            return Ok(());
        }
        if caller.name.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        let user = self.user(&caller.name).ok_or(AuthError::UserNotFound)?;
        match user.roles.iter().any(|role| role == ROOT) {
            true => Ok(()),
            false => Err(AuthError::PermissionDenied),
        }
    }

    fn fresh_user(&self, caller: &Caller) -> Result<&User, AuthError> {
        if caller.name.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        if caller.revision < self.revision {
            return Err(AuthError::OldRevision);
        }
        self.user(&caller.name).ok_or(AuthError::PermissionDenied)
    }

    /// Turns checks on. There must be somebody left who can turn them off.
    pub fn enable(&mut self) -> Result<(), AuthError> {
        if self.enabled {
            return Ok(());
        }
        let root = self.user(ROOT).ok_or(AuthError::RootUserMissing)?;
        if !root.roles.iter().any(|role| role == ROOT) {
            return Err(AuthError::RootRoleMissing);
        }
        self.enabled = true;
        Ok(())
    }

    /// Turns checks off; says whether they were on.
    pub fn disable(&mut self) -> bool {
        let was_enabled = std::mem::replace(&mut self.enabled, false);
        self.revision += u64::from(was_enabled);
        was_enabled
    }

    pub fn add_user(&mut self, name: &str, user: User) -> Result<(), AuthError> {
        if name.is_empty() {
            return Err(AuthError::UserEmpty);
        }
        if self.users.contains_key(name) {
            return Err(AuthError::UserExists);
        }
        self.users.insert(name.to_owned(), user);
        self.revision += 1;
        Ok(())
    }

    pub fn delete_user(&mut self, name: &str) -> Result<(), AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.users.remove(name).ok_or(AuthError::UserNotFound)?;
        self.revision += 1;
        Ok(())
    }

    /// A user without a password stays without.
    pub fn change_password(&mut self, name: &str, hash: Vec<u8>) -> Result<(), AuthError> {
        let user = self.users.get_mut(name).ok_or(AuthError::UserNotFound)?;
        if !user.no_password {
            user.password_hash = hash;
        }
        self.revision += 1;
        Ok(())
    }

    /// Says whether the user did not have the role yet.
    pub fn grant_role(&mut self, name: &str, role: &str) -> Result<bool, AuthError> {
        let user = self.users.get_mut(name).ok_or(AuthError::UserNotFound)?;
        if role != ROOT && !self.roles.contains_key(role) {
            return Err(AuthError::RoleNotFound);
        }
        let Err(place) = user.roles.binary_search_by(|other| other.as_str().cmp(role)) else {
            return Ok(false);
        };
        user.roles.insert(place, role.to_owned());
        self.revision += 1;
        Ok(true)
    }

    pub fn revoke_role(&mut self, name: &str, role: &str) -> Result<(), AuthError> {
        if self.enabled && name == ROOT && role == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        let user = self.users.get_mut(name).ok_or(AuthError::UserNotFound)?;
        let before = user.roles.len();
        user.roles.retain(|other| other != role);
        if user.roles.len() == before {
            return Err(AuthError::RoleNotGranted);
        }
        self.revision += 1;
        Ok(())
    }

    pub fn add_role(&mut self, name: &str) -> Result<(), AuthError> {
        if name.is_empty() {
            return Err(AuthError::RoleEmpty);
        }
        if self.roles.contains_key(name) {
            return Err(AuthError::RoleExists);
        }
        self.roles.insert(name.to_owned(), Role::default());
        self.revision += 1;
        Ok(())
    }

    /// Says which users lost the role.
    pub fn delete_role(&mut self, name: &str) -> Result<Vec<String>, AuthError> {
        if self.enabled && name == ROOT {
            return Err(AuthError::InvalidManagement);
        }
        self.roles.remove(name).ok_or(AuthError::RoleNotFound)?;
        let mut lost = Vec::new();
        for (user, entry) in &mut self.users {
            let before = entry.roles.len();
            entry.roles.retain(|other| other != name);
            if entry.roles.len() < before {
                lost.push(user.clone());
            }
        }
        self.revision += 1;
        Ok(lost)
    }

    /// Grants, or changes what was granted for the same range.
    pub fn grant_permission(
        &mut self,
        role: &str,
        permission: Option<&Permission>,
    ) -> Result<(), AuthError> {
        let given = permission.ok_or(AuthError::PermissionNotGiven)?;
        let range = KeyRange::copied(&given.key, &given.range_end);
        if given.key.is_empty()
            || Span::of(&range).is_none()
            || permission::Type::try_from(given.perm_type).is_err()
        {
            return Err(AuthError::InvalidManagement);
        }
        let entry = self.roles.get_mut(role).ok_or(AuthError::RoleNotFound)?;
        let mut permissions = std::mem::take(&mut entry.permissions);
        // Bytes of its own: the request's keep the whole receive buffer alive.
        let granted = Permission {
            perm_type: given.perm_type,
            key: bytes::Bytes::copy_from_slice(&given.key),
            range_end: bytes::Bytes::copy_from_slice(&given.range_end),
        };
        let same =
            |other: &Permission| other.key == granted.key && other.range_end == granted.range_end;
        match permissions.iter().position(same) {
            Some(place) => permissions[place] = granted,
            None => {
                // By key, and those of one key in the order they were granted in, as in etcd.
                let place = permissions.partition_point(|other| other.key <= granted.key);
                permissions.insert(place, granted);
            }
        }
        *entry = Role::new(permissions);
        self.revision += 1;
        Ok(())
    }

    /// Takes back what was granted for exactly this range.
    pub fn revoke_permission(
        &mut self,
        role: &str,
        key: &[u8],
        range_end: &[u8],
    ) -> Result<(), AuthError> {
        let entry = self.roles.get_mut(role).ok_or(AuthError::RoleNotFound)?;
        let mut permissions = entry.permissions.clone();
        permissions.retain(|other| other.key != key || other.range_end != range_end);
        if permissions.len() == entry.permissions.len() {
            return Err(AuthError::PermissionNotGranted);
        }
        *entry = Role::new(permissions);
        self.revision += 1;
        Ok(())
    }
}
