//! Who sends a request: what it shows, and whom that makes of it.

use std::time::{Duration, UNIX_EPOCH};

use http::{Extensions, HeaderMap};
use tonic::{Request, Status};

use super::Service;
use super::client_certificate::{ClientCertificate, FromGateway};
use super::status::to_status;
use crate::auth::{AuthError, Caller, Tokens};
use crate::login::TokenKind;

/// What a request shows. Its secret is not printed.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Nothing,
    Token(String),
    Certificate(String),
}

impl Credentials {
    /// A token is in the metadata `token` or `authorization`; without one a certificate
    /// counts, unless the request came through the gateway.
    pub fn of(headers: &HeaderMap, extensions: &Extensions) -> Self {
        let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        if let Some(token) = text("token").or_else(|| text("authorization")) {
            let bearer = token.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
            let token = if bearer { token[7..].trim() } else { token.as_ref() };
            return Self::Token(token.to_owned());
        }
        match extensions.get::<ClientCertificate>() {
            Some(certificate) if extensions.get::<FromGateway>().is_none() => {
                Self::Certificate(certificate.common_name.clone())
            }
            _ => Self::Nothing,
        }
    }

    /// What a request to a handler shows.
    pub fn of_request<T>(request: &Request<T>) -> Self {
        Self::of(request.metadata().as_ref(), request.extensions())
    }
}

impl Service {
    /// Whether rights are asked for at all.
    pub fn auth_enabled(&self) -> bool {
        self.member.state.read().auth.enabled()
    }

    /// Who sent the request; nobody in particular as long as nobody asks for rights.
    pub async fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        if !self.auth_enabled() {
            return Ok(Caller::default());
        }
        self.identify(&Credentials::of_request(request)).await
    }

    /// Who sent the request, if he may do everything. For what other parts of this member ask
    /// of a handler without passing the gate.
    pub async fn require_admin<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let caller = self.caller(request).await?;
        self.member.state.read().auth.is_admin(&caller).map_err(to_status)?;
        Ok(caller)
    }

    /// Whom these make of a caller, now. One who shows nothing is nobody, which is for the
    /// check to refuse; one who shows a token that is not good is refused here.
    pub async fn identify(&self, credentials: &Credentials) -> Result<Caller, Status> {
        let revision = || self.member.state.read().auth.revision();
        let name = match credentials {
            _ if !self.auth_enabled() => return Ok(Caller::default()),
            Credentials::Nothing => return Ok(Caller::default()),
            Credentials::Certificate(name) => name.clone(),
            Credentials::Token(token) => match &self.member.login.tokens {
                TokenKind::Simple => self.owner_of(token).await?,
                TokenKind::Jwt(jwt) => {
                    let caller = jwt.read(token, since_1970());
                    return caller.ok_or_else(|| to_status(AuthError::InvalidToken));
                }
            },
        };
        Ok(Caller { name, revision: revision() })
    }

    /// Whose simple token it is. A member that is behind the one that gave it out waits until
    /// it has applied as much.
    async fn owner_of(&self, token: &str) -> Result<String, Status> {
        let invalid = || to_status(AuthError::InvalidToken);
        let (secret, index) = Tokens::parse(token).ok_or_else(invalid)?;
        if index > self.handle.applied() {
            // What was given out before this was asked is applied after it. A token that
            // claims a later place was never given out.
            self.linearize().await?;
        }
        let mut tokens = self.member.tokens.lock();
        let owner = tokens.find(Tokens::hash(secret), index, self.member.now());
        owner.map(str::to_owned).ok_or_else(invalid)
    }
}

/// The time that signed tokens are dated with.
pub fn since_1970() -> Duration {
    crate::wall_clock::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(headers: &[(&'static str, &str)], extensions: Extensions) -> Credentials {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        Credentials::of(&map, &extensions)
    }

    fn token(text: &str) -> Credentials {
        Credentials::Token(text.into())
    }

    fn certificate() -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(ClientCertificate { common_name: "alice".into() });
        extensions
    }

    #[test]
    fn a_token_comes_in_two_names_and_with_or_without_bearer() {
        assert!(seen(&[], Extensions::new()) == Credentials::Nothing);
        assert!(seen(&[("token", "a.1")], Extensions::new()) == token("a.1"));
        assert!(seen(&[("authorization", "a.1")], Extensions::new()) == token("a.1"));
        assert!(seen(&[("authorization", "Bearer a.1")], Extensions::new()) == token("a.1"));
        assert!(seen(&[("authorization", "bearer  a.1")], Extensions::new()) == token("a.1"));
        let both = [("authorization", "b.1"), ("token", "a.1")];
        assert!(seen(&both, Extensions::new()) == token("a.1"));
    }

    #[test]
    fn a_certificate_counts_without_a_token_and_never_through_the_gateway() {
        assert!(seen(&[], certificate()) == Credentials::Certificate("alice".into()));
        assert!(seen(&[("token", "a.1")], certificate()) == token("a.1"));
        let mut through = certificate();
        through.insert(FromGateway);
        assert!(seen(&[], through) == Credentials::Nothing);
    }
}
