//! Users, roles and rights: who may do what, asked by many.
//!
//! A run makes users and roles, gives and takes rights at the borders of ranges, switches them
//! on and off, and asks for keys as everybody. Tokens are each server's own: a request names
//! whose token it carries.

use proto::authpb::{Permission, UserAddOptions, permission};
use proto::etcdserverpb as pb;

use crate::ask::Ask;
use crate::normal::header;
use crate::side::{Side, told};

/// Whose token a request carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Nobody,
    /// The token this user was given last, however old it is.
    User(&'static str),
    Nonsense(&'static str),
}

/// A request to the Auth service.
#[derive(Clone, Debug)]
pub enum Users {
    Enable,
    Disable,
    Status,
    LogIn(&'static str, &'static str),
    Add(pb::AuthUserAddRequest),
    Get(&'static str),
    List,
    Delete(&'static str),
    ChangePassword(&'static str, &'static str),
    Grant(&'static str, &'static str),
    Revoke(&'static str, &'static str),
    AddRole(&'static str),
    GetRole(&'static str),
    Roles,
    DeleteRole(&'static str),
    GrantPermission(&'static str, Option<Permission>),
    RevokePermission(&'static str, bytes::Bytes, bytes::Bytes),
}

/// A user who is to be added, with a password or without.
pub fn user(name: &'static str, password: Option<&'static str>) -> Users {
    Users::Add(pb::AuthUserAddRequest {
        name: name.into(),
        password: password.unwrap_or_default().into(),
        options: Some(UserAddOptions { no_password: password.is_none() }),
        ..Default::default()
    })
}

/// A right to a range.
pub fn right(kind: permission::Type, key: bytes::Bytes, range_end: bytes::Bytes) -> Permission {
    Permission { perm_type: kind as i32, key, range_end }
}

/// Asks, with the ids in the header made equal.
macro_rules! ask {
    ($side:ident, $method:literal, $request:expr, $answer:ident) => {{
        let mut answer: Result<pb::$answer, _> =
            $side.wire.call(concat!("etcdserverpb.Auth/", $method), $request);
        if let Ok(answer) = &mut answer {
            header(&mut answer.header);
        }
        told(answer)
    }};
}

impl Side {
    /// Asks with somebody's token.
    pub fn answer_as(&mut self, who: &Who, ask: &Ask) -> String {
        self.wire.token = match who {
            Who::Nobody => String::new(),
            Who::User(name) => self.tokens.get(*name).cloned().unwrap_or_default(),
            Who::Nonsense(token) => (*token).to_owned(),
        };
        let answer = self.answer(ask);
        self.wire.token.clear();
        answer
    }

    pub fn users(&mut self, users: &Users) -> String {
        let text = |text: &&'static str| (*text).to_owned();
        match users {
            Users::Enable => {
                ask!(self, "AuthEnable", pb::AuthEnableRequest::default(), AuthEnableResponse)
            }
            Users::Disable => {
                ask!(self, "AuthDisable", pb::AuthDisableRequest::default(), AuthDisableResponse)
            }
            Users::Status => {
                ask!(self, "AuthStatus", pb::AuthStatusRequest::default(), AuthStatusResponse)
            }
            Users::LogIn(name, password) => self.log_in(name, password),
            Users::Add(request) => ask!(self, "UserAdd", request.clone(), AuthUserAddResponse),
            Users::Get(name) => {
                let request = pb::AuthUserGetRequest { name: text(name) };
                ask!(self, "UserGet", request, AuthUserGetResponse)
            }
            Users::List => {
                ask!(self, "UserList", pb::AuthUserListRequest::default(), AuthUserListResponse)
            }
            Users::Delete(name) => {
                let request = pb::AuthUserDeleteRequest { name: text(name) };
                ask!(self, "UserDelete", request, AuthUserDeleteResponse)
            }
            Users::ChangePassword(name, password) => {
                let (name, password) = (text(name), text(password));
                let request =
                    pb::AuthUserChangePasswordRequest { name, password, ..Default::default() };
                ask!(self, "UserChangePassword", request, AuthUserChangePasswordResponse)
            }
            Users::Grant(user, role) => {
                let request = pb::AuthUserGrantRoleRequest { user: text(user), role: text(role) };
                ask!(self, "UserGrantRole", request, AuthUserGrantRoleResponse)
            }
            Users::Revoke(name, role) => {
                let request = pb::AuthUserRevokeRoleRequest { name: text(name), role: text(role) };
                ask!(self, "UserRevokeRole", request, AuthUserRevokeRoleResponse)
            }
            _ => self.roles(users),
        }
    }

    fn roles(&mut self, users: &Users) -> String {
        let text = |text: &&'static str| (*text).to_owned();
        match users {
            Users::AddRole(name) => {
                let request = pb::AuthRoleAddRequest { name: text(name) };
                ask!(self, "RoleAdd", request, AuthRoleAddResponse)
            }
            Users::GetRole(role) => {
                let request = pb::AuthRoleGetRequest { role: text(role) };
                ask!(self, "RoleGet", request, AuthRoleGetResponse)
            }
            Users::DeleteRole(role) => {
                let request = pb::AuthRoleDeleteRequest { role: text(role) };
                ask!(self, "RoleDelete", request, AuthRoleDeleteResponse)
            }
            Users::GrantPermission(name, perm) => {
                let perm = perm.clone();
                let request = pb::AuthRoleGrantPermissionRequest { name: text(name), perm };
                ask!(self, "RoleGrantPermission", request, AuthRoleGrantPermissionResponse)
            }
            Users::RevokePermission(role, key, range_end) => {
                let (key, range_end) = (key.clone(), range_end.clone());
                let request =
                    pb::AuthRoleRevokePermissionRequest { role: text(role), key, range_end };
                ask!(self, "RoleRevokePermission", request, AuthRoleRevokePermissionResponse)
            }
            _ => ask!(self, "RoleList", pb::AuthRoleListRequest::default(), AuthRoleListResponse),
        }
    }

    fn log_in(&mut self, name: &'static str, password: &'static str) -> String {
        let (user, password) = (name.to_owned(), password.to_owned());
        let request = pb::AuthenticateRequest { name: user, password };
        let answer: Result<pb::AuthenticateResponse, _> =
            self.wire.call("etcdserverpb.Auth/Authenticate", request);
        told(answer.map(|mut answer| {
            header(&mut answer.header);
            let has_token = !answer.token.is_empty();
            self.tokens.insert(name.to_owned(), answer.token);
            (answer.header, has_token)
        }))
    }
}
