//! Who the requests are made as: a token that every request shows, renewed when it is refused.
//!
//! The token is got in the background from whichever endpoint answers. Requests wait for the
//! end of the first login, and of no later one: they fail and are made again like any other.
//! Tokens end by age, when users change and when members restart; a refusal that says so
//! ([`Session::explain`]) starts a new login.

use super::failure::within;
use super::pool::Pool;
use crate::User;
use crate::msg::{Failure, FailureKind};
use proto::etcdserverpb::AuthenticateRequest;
use proto::etcdserverpb::auth_client::AuthClient;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

const ANSWER_WITHIN: Duration = Duration::from_secs(4);
/// A password hash is slow by design; a server that is slower is not waited for.
const FIRST_LOGIN_WITHIN: Duration = Duration::from_secs(4);
/// Until somebody has said which endpoints there are.
const ENDPOINTS_SOON: Duration = Duration::from_millis(20);
/// Between two logins, whatever is asked for: a login costs the server a password hash.
const LOGINS_APART: Duration = Duration::from_secs(1);
const FAILED_LOGINS_APART: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Session {
    user: Option<User>,
    token: RwLock<Option<MetadataValue<Ascii>>>,
    /// Why there is no token.
    refused: RwLock<Option<String>>,
    wanted: Notify,
    /// Whether a login has ended, well or not.
    tried: watch::Sender<bool>,
}

impl Session {
    pub fn new(user: Option<User>) -> Self {
        let tried = watch::Sender::new(user.is_none());
        Self { user, tried, ..Self::default() }
    }

    /// Returns when the first login has ended, or takes too long.
    pub async fn ready(&self) {
        let mut tried = self.tried.subscribe();
        // Without an end in time the request goes out as nobody's and says what is wrong.
        let _ = tokio::time::timeout(FIRST_LOGIN_WITHIN, tried.wait_for(|tried| *tried)).await;
    }

    /// Looks at what a request came to: whether a new token is needed, and what to say of it.
    pub fn explain(&self, failure: Failure) -> Failure {
        if !is_about_the_token(&failure.text) {
            return failure;
        }
        if self.user.is_none() {
            let text = "this cluster wants a user: connect with --user NAME:PASSWORD";
            return Failure::new(FailureKind::Login, text);
        }
        self.wanted.notify_one();
        let refused = self.refused.read().unwrap_or_else(PoisonError::into_inner);
        match refused.as_ref() {
            Some(why) => Failure::new(FailureKind::Login, format!("cannot log in: {why}")),
            None => Failure::new(FailureKind::Login, "logging in"),
        }
    }

    fn token(&self) -> Option<MetadataValue<Ascii>> {
        // Replaced as a whole: a panic elsewhere leaves nothing half done.
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, token: Option<MetadataValue<Ascii>>, refused: Option<String>) {
        *self.token.write().unwrap_or_else(PoisonError::into_inner) = token;
        *self.refused.write().unwrap_or_else(PoisonError::into_inner) = refused;
        self.tried.send_replace(true);
    }
}

/// The texts of etcd for a request without a token, or with one that does not count any more.
fn is_about_the_token(text: &str) -> bool {
    ["user name is empty", "invalid auth token", "revision of auth store is old"]
        .iter()
        .any(|known| text.contains(known))
}

/// Shows the token of the moment with each request.
#[derive(Clone)]
pub struct Credentials(pub Arc<Session>);

impl Interceptor for Credentials {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = self.0.token() {
            request.metadata_mut().insert("token", token);
        }
        Ok(request)
    }
}

/// Logs in whenever a token is wanted; without a user there is nothing to do.
pub async fn keep(pool: Arc<Pool>) {
    let session = pool.session();
    let Some(user) = session.user.clone() else { return };
    loop {
        let pause = match log_in(&pool, &user).await {
            Some(Ok(token)) => {
                session.set(token, None);
                LOGINS_APART
            }
            Some(Err(failure)) => {
                session.set(None, Some(failure.text));
                FAILED_LOGINS_APART
            }
            None => {
                tokio::time::sleep(ENDPOINTS_SOON).await;
                continue;
            }
        };
        tokio::time::sleep(pause).await;
        session.wanted.notified().await;
    }
}

/// A token from the first endpoint that answers, or no token where users are not in force.
/// Nothing when there is nobody to ask.
async fn log_in(pool: &Pool, user: &User) -> Option<Result<Option<MetadataValue<Ascii>>, Failure>> {
    let mut last = None;
    for (_, channel) in pool.best_plain() {
        let request =
            AuthenticateRequest { name: user.name.clone(), password: user.password.clone() };
        let answer = within(ANSWER_WITHIN, AuthClient::new(channel).authenticate(request)).await;
        match answer {
            Ok(answer) => return Some(Ok(answer.token.parse().ok())),
            Err(failure) if failure.text.contains("authentication is not enabled") => {
                return Some(Ok(None));
            }
            Err(failure) if failure.text.contains("authentication failed") => {
                return Some(Err(failure));
            }
            Err(failure) => last = Some(Err(failure)),
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> Failure {
        Failure::new(FailureKind::Server, text)
    }

    #[test]
    fn a_cluster_that_wants_a_user_says_how_to_give_one() {
        let nobody = Session::new(None);
        let told = nobody.explain(refusal("etcdserver: user name is empty"));
        assert!(told.text.contains("--user NAME:PASSWORD"), "{}", told.text);
        let other = nobody.explain(refusal("etcdserver: permission denied"));
        assert_eq!(other.text, "etcdserver: permission denied");
    }

    #[test]
    fn a_token_that_does_not_count_any_more_is_renewed() {
        let user = User { name: "root".into(), password: "secret".into() };
        assert!(!format!("{user:?}").contains("secret"));
        let session = Session::new(Some(user));
        let told = session.explain(refusal("etcdserver: invalid auth token"));
        assert_eq!(told.text, "logging in");
        session.set(None, Some("authentication failed".into()));
        let told = session.explain(refusal("etcdserver: invalid auth token"));
        assert_eq!(told.text, "cannot log in: authentication failed");
    }

    #[test]
    fn requests_show_the_token_there_is() {
        let session = Arc::new(Session::new(None));
        let mut credentials = Credentials(session.clone());
        let shown = |request: Request<()>| request.metadata().get("token").cloned();
        assert_eq!(shown(credentials.call(Request::new(())).unwrap()), None);
        session.set(Some("abc.7".parse().unwrap()), None);
        let token = shown(credentials.call(Request::new(())).unwrap());
        assert_eq!(token.unwrap(), "abc.7");
    }
}
