//! The Auth service.
//!
//! Passwords end here: they are hashed or compared before anything is proposed, and no
//! request that carries one is ever printed. Changes go through the log; lists are read from
//! the state after a linearizable read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::command::{Authenticate, UserAdd, UserPassword, command::Kind};
use proto::etcdserverpb::auth_server::Auth;
use proto::etcdserverpb::*;
use rand::Rng as _;
use tonic::{Request, Response, Status};

use super::credentials::since_1970;
use super::status::to_status;
use super::{Service, unexpected};
use crate::auth::{AuthError, Caller, ROOT, Tokens};
use crate::login::TokenKind;
use crate::login::jwt::Jwt;
use crate::login::password::Passwords;
use crate::machine::{ApplyError, Reply};

/// Letters of a token's secret: 136 bits.
const SECRET_LETTERS: usize = 24;
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
/// How often a login is tried again because users were changed meanwhile.
const LOGIN_TRIES: usize = 16;

fn new_secret() -> String {
    // The thread's generator is a cryptographic one, seeded by the operating system.
    let mut random = rand::rng();
    let letter = |_| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
    (0..SECRET_LETTERS).map(letter).collect()
}

/// All rights, as `RoleGet` shows those of the role `root`.
fn all_rights() -> proto::authpb::Permission {
    proto::authpb::Permission {
        perm_type: proto::authpb::permission::Type::Readwrite as i32,
        key: bytes::Bytes::new(),
        range_end: bytes::Bytes::from_static(&[0]),
    }
}

impl Service {
    /// The hash to store: of a password, or one that the client made itself.
    async fn password_hash(&self, password: String, hashed: &str) -> Result<Vec<u8>, Status> {
        if !password.is_empty() {
            return self.member.login.passwords.hash(password).await.map_err(to_status);
        }
        if hashed.is_empty() {
            return Err(Status::invalid_argument("etcdserver: user password is empty"));
        }
        let hash = STANDARD.decode(hashed).unwrap_or_default();
        match Passwords::is_hash(&hash) {
            true => Ok(hash),
            false => Err(Status::invalid_argument("etcdserver: hashed password is not valid")),
        }
    }

    /// Proposes a change of users or roles; gives the header of its answer.
    async fn change_auth<T>(
        &self,
        request: &Request<T>,
        kind: Kind,
    ) -> Result<Option<ResponseHeader>, Status> {
        self.refuse_learner()?;
        let caller = self.caller(request).await?;
        let (_, revision) = self.propose_for(caller, kind).await?;
        Ok(Some(self.header_at(revision)))
    }

    /// One try: the caller that the password proves, or nothing if it has to be looked at
    /// again because users were changed.
    async fn log_in(&self, request: &AuthenticateRequest) -> Result<Option<(String, i64)>, Status> {
        let (hash, revision) = {
            let state = self.member.state.read();
            if !state.auth.enabled() {
                return Err(to_status(AuthError::NotEnabled));
            }
            let user = state.auth.user(&request.name).filter(|user| !user.no_password);
            (user.map(|user| user.password_hash.clone()), state.auth.revision())
        };
        let passwords = &self.member.login.passwords;
        if !passwords.verify(request.password.clone(), hash).await.map_err(to_status)? {
            tracing::warn!(user = %request.name, "invalid authentication was requested");
            return Err(to_status(AuthError::Failed));
        }
        let caller = Caller { name: request.name.clone(), revision };
        match &self.member.login.tokens {
            TokenKind::Simple => self.give_simple_token(caller).await,
            TokenKind::Jwt(jwt) => self.give_signed_token(jwt, &caller),
        }
    }

    async fn give_simple_token(&self, caller: Caller) -> Result<Option<(String, i64)>, Status> {
        let secret = new_secret();
        let token_hash = bytes::Bytes::copy_from_slice(&Tokens::hash(&secret));
        let name = caller.name.clone();
        let outcome =
            self.propose_outcome(caller, Kind::Authenticate(Authenticate { name, token_hash }));
        match outcome.await? {
            (Ok(Reply::Authenticated(index)), revision) => {
                Ok(Some((format!("{secret}.{index}"), revision)))
            }
            (Err(ApplyError::Auth(AuthError::OldRevision)), _) => Ok(None),
            (Ok(other), _) => Err(unexpected(&other)),
            (Err(error), _) => Err(to_status(error)),
        }
    }

    fn give_signed_token(
        &self,
        jwt: &Jwt,
        caller: &Caller,
    ) -> Result<Option<(String, i64)>, Status> {
        let state = self.member.state.read();
        if state.auth.revision() != caller.revision || !state.auth.enabled() {
            return Ok(None);
        }
        let token = jwt
            .sign(caller, since_1970())
            .ok_or_else(|| Status::unknown("auth: token signing attempted with verify-only key"))?;
        Ok(Some((token, state.kv.revision())))
    }

    /// After a linearizable read: who asks, to be judged by the state.
    async fn reader<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        self.refuse_learner()?;
        self.linearize().await?;
        self.caller(request).await
    }
}

/// A method that proposes its request as it is and answers with a header.
macro_rules! change {
    ($self:ident, $request:ident, $kind:ident, $response:ident) => {{
        let kind = Kind::$kind($request.get_ref().clone());
        let header = $self.change_auth(&$request, kind).await?;
        Ok(Response::new($response { header }))
    }};
}

#[tonic::async_trait]
impl Auth for Service {
    async fn auth_enable(
        &self,
        request: Request<AuthEnableRequest>,
    ) -> Result<Response<AuthEnableResponse>, Status> {
        change!(self, request, AuthEnable, AuthEnableResponse)
    }

    async fn auth_disable(
        &self,
        request: Request<AuthDisableRequest>,
    ) -> Result<Response<AuthDisableResponse>, Status> {
        change!(self, request, AuthDisable, AuthDisableResponse)
    }

    async fn auth_status(
        &self,
        _request: Request<AuthStatusRequest>,
    ) -> Result<Response<AuthStatusResponse>, Status> {
        self.refuse_learner()?;
        self.linearize().await?;
        let header = Some(self.header());
        let auth = &self.member.state.read().auth;
        let (enabled, auth_revision) = (auth.enabled(), auth.revision());
        Ok(Response::new(AuthStatusResponse { header, enabled, auth_revision }))
    }

    async fn authenticate(
        &self,
        request: Request<AuthenticateRequest>,
    ) -> Result<Response<AuthenticateResponse>, Status> {
        self.refuse_learner()?;
        let request = request.into_inner();
        self.linearize().await?;
        for _ in 0..LOGIN_TRIES {
            if let Some((token, revision)) = self.log_in(&request).await? {
                let header = Some(self.header_at(revision));
                return Ok(Response::new(AuthenticateResponse { header, token }));
            }
        }
        Err(to_status(AuthError::OldRevision))
    }

    async fn user_add(
        &self,
        request: Request<AuthUserAddRequest>,
    ) -> Result<Response<AuthUserAddResponse>, Status> {
        let asked = request.get_ref().clone();
        if asked.name.is_empty() {
            return Err(to_status(AuthError::UserEmpty));
        }
        let no_password = asked.options.is_some_and(|options| options.no_password);
        let password_hash = match no_password {
            true => Vec::new(),
            false => self.password_hash(asked.password, &asked.hashed_password).await?,
        };
        let command =
            UserAdd { name: asked.name, password_hash: password_hash.into(), no_password };
        let header = self.change_auth(&request, Kind::UserAdd(command)).await?;
        Ok(Response::new(AuthUserAddResponse { header }))
    }

    async fn user_get(
        &self,
        request: Request<AuthUserGetRequest>,
    ) -> Result<Response<AuthUserGetResponse>, Status> {
        let caller = self.reader(&request).await?;
        let name = request.into_inner().name;
        let header = Some(self.header());
        let state = self.member.state.read();
        if let Err(error) = state.auth.is_admin(&caller)
            && (caller.name.is_empty() || caller.name != name)
        {
            return Err(to_status(error));
        }
        let user = state.auth.user(&name).ok_or_else(|| to_status(AuthError::UserNotFound))?;
        Ok(Response::new(AuthUserGetResponse { header, roles: user.roles.clone() }))
    }

    async fn user_list(
        &self,
        request: Request<AuthUserListRequest>,
    ) -> Result<Response<AuthUserListResponse>, Status> {
        let caller = self.reader(&request).await?;
        let header = Some(self.header());
        let state = self.member.state.read();
        state.auth.is_admin(&caller).map_err(to_status)?;
        let users = state.auth.users().map(|(name, _)| name.to_owned()).collect();
        Ok(Response::new(AuthUserListResponse { header, users }))
    }

    async fn user_delete(
        &self,
        request: Request<AuthUserDeleteRequest>,
    ) -> Result<Response<AuthUserDeleteResponse>, Status> {
        change!(self, request, UserDelete, AuthUserDeleteResponse)
    }

    async fn user_change_password(
        &self,
        request: Request<AuthUserChangePasswordRequest>,
    ) -> Result<Response<AuthUserChangePasswordResponse>, Status> {
        let asked = request.get_ref().clone();
        let without = {
            let state = self.member.state.read();
            state.auth.user(&asked.name).is_some_and(|user| user.no_password)
        };
        let hash = match without {
            true => Vec::new(),
            false => self.password_hash(asked.password, &asked.hashed_password).await?,
        };
        let command = UserPassword { name: asked.name, password_hash: hash.into() };
        let header = self.change_auth(&request, Kind::UserPassword(command)).await?;
        Ok(Response::new(AuthUserChangePasswordResponse { header }))
    }

    async fn user_grant_role(
        &self,
        request: Request<AuthUserGrantRoleRequest>,
    ) -> Result<Response<AuthUserGrantRoleResponse>, Status> {
        change!(self, request, UserGrantRole, AuthUserGrantRoleResponse)
    }

    async fn user_revoke_role(
        &self,
        request: Request<AuthUserRevokeRoleRequest>,
    ) -> Result<Response<AuthUserRevokeRoleResponse>, Status> {
        change!(self, request, UserRevokeRole, AuthUserRevokeRoleResponse)
    }

    async fn role_add(
        &self,
        request: Request<AuthRoleAddRequest>,
    ) -> Result<Response<AuthRoleAddResponse>, Status> {
        change!(self, request, RoleAdd, AuthRoleAddResponse)
    }

    async fn role_get(
        &self,
        request: Request<AuthRoleGetRequest>,
    ) -> Result<Response<AuthRoleGetResponse>, Status> {
        let caller = self.reader(&request).await?;
        let name = request.into_inner().role;
        let header = Some(self.header());
        let state = self.member.state.read();
        if let Err(error) = state.auth.is_admin(&caller)
            && !state.auth.has_role(&caller.name, &name)
        {
            return Err(to_status(error));
        }
        let role = state.auth.role(&name).ok_or_else(|| to_status(AuthError::RoleNotFound))?;
        let perm = match name == ROOT {
            true => vec![all_rights()],
            false => role.permissions().to_vec(),
        };
        Ok(Response::new(AuthRoleGetResponse { header, perm }))
    }

    async fn role_list(
        &self,
        request: Request<AuthRoleListRequest>,
    ) -> Result<Response<AuthRoleListResponse>, Status> {
        let caller = self.reader(&request).await?;
        let header = Some(self.header());
        let state = self.member.state.read();
        state.auth.is_admin(&caller).map_err(to_status)?;
        let roles = state.auth.roles().map(|(name, _)| name.to_owned()).collect();
        Ok(Response::new(AuthRoleListResponse { header, roles }))
    }

    async fn role_delete(
        &self,
        request: Request<AuthRoleDeleteRequest>,
    ) -> Result<Response<AuthRoleDeleteResponse>, Status> {
        change!(self, request, RoleDelete, AuthRoleDeleteResponse)
    }

    async fn role_grant_permission(
        &self,
        request: Request<AuthRoleGrantPermissionRequest>,
    ) -> Result<Response<AuthRoleGrantPermissionResponse>, Status> {
        change!(self, request, RoleGrantPermission, AuthRoleGrantPermissionResponse)
    }

    async fn role_revoke_permission(
        &self,
        request: Request<AuthRoleRevokePermissionRequest>,
    ) -> Result<Response<AuthRoleRevokePermissionResponse>, Status> {
        change!(self, request, RoleRevokePermission, AuthRoleRevokePermissionResponse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let (one, other) = (new_secret(), new_secret());
        assert!(one.len() == SECRET_LETTERS && one.bytes().all(|byte| LETTERS.contains(&byte)));
        assert_ne!(one, other);
        let bits = (LETTERS.len() as f64).log2() * SECRET_LETTERS as f64;
        assert!(bits >= 128.0, "{bits}");
    }
}
