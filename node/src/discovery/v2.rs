//! Discovery through the v2 keys API: `--discovery URL`.
//!
//! The URL is a directory. Its `_config/size` says how many members the cluster has; every
//! member creates `<member id>` with its name and peer URLs, which fails if it is there, so a
//! member that lost its data does not found a second cluster. Waiting is one long poll for
//! anything below the directory, and then the directory is read anew: that is right whatever
//! happened, and a history that was cut off meanwhile does no harm.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Method;
use serde_json::Value;

use super::http::{Answer, Ask, Client, form_escape};
use super::registry::{self, Registered};
use super::{DiscoveryError, Trouble, patiently};
use crate::config::DiscoveryV2;

/// A server that does not answer within this is asked again.
const LIMIT: Duration = Duration::from_secs(5);
/// A long poll is renewed after this, in case the connection died unnoticed.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// etcd's error codes.
const KEY_NOT_FOUND: i64 = 100;
const NODE_EXISTS: i64 = 105;

/// A value and the place in the history, or one of the API's errors: code and text.
type Said = Result<(Value, u64), (i64, String)>;

struct Service {
    client: Client,
    /// The directory, without a slash at the end.
    url: String,
    /// This member's id, the name of its key.
    id: String,
}

/// Registers this member and waits for the others; the cluster as `--initial-cluster` has it.
pub async fn join(config: &DiscoveryV2, id: u64, entry: &str) -> Result<String, DiscoveryError> {
    let service = Service {
        client: Client::new(&config.proxy).map_err(DiscoveryError::Refused)?,
        url: config.url.trim_end_matches('/').to_owned(),
        id: format!("{id:x}"),
    };
    // A full cluster is noticed before anything is written.
    patiently("cluster status check", || service.look()).await?;
    // A try whose answer was lost may have written the key: then it is ours.
    let tried = AtomicBool::new(false);
    patiently("register member itself", || service.register(entry, &tried)).await?;
    loop {
        let seen = patiently("waiting for other nodes", || service.look()).await?;
        if seen.members.len() >= seen.size {
            registry::distinct_names(&seen.members)?;
            return Ok(registry::text(&seen.members));
        }
        tracing::info!(
            discovery_url = %service.url,
            found_peers = seen.members.len(),
            needed_peers = seen.size - seen.members.len(),
            "found peers from discovery server; waiting for more"
        );
        patiently("waiting for other nodes", || service.wait(seen.index)).await?;
    }
}

/// The directory at one moment.
struct Seen {
    size: usize,
    members: Vec<Registered>,
    index: u64,
}

impl Service {
    /// The size and who is there.
    async fn look(&self) -> Result<Seen, Trouble> {
        let (size, _) = match self.ask(Method::GET, "/_config/size", None, LIMIT).await? {
            Ok(found) => found,
            Err((KEY_NOT_FOUND, _)) => return Err(DiscoveryError::SizeNotFound.into()),
            Err((_, why)) => return Err(DiscoveryError::Refused(why).into()),
        };
        let size = registry::size(size["node"]["value"].as_str().unwrap_or_default())?;
        let (listing, index) = match self.ask(Method::GET, "", None, LIMIT).await? {
            Ok(found) => found,
            Err((_, why)) => return Err(DiscoveryError::Refused(why).into()),
        };
        let all = listing["node"]["nodes"].as_array().into_iter().flatten();
        let all = all.filter_map(registered).collect();
        let members = registry::admitted(all, size, &self.id)?;
        Ok(Seen { size, members, index })
    }

    async fn register(&self, entry: &str, tried: &AtomicBool) -> Result<(), Trouble> {
        let path = format!("/{}?prevExist=false", self.id);
        let form = format!("value={}", form_escape(entry));
        let again = tried.swap(true, Ordering::Relaxed);
        match self.ask(Method::PUT, &path, Some(form), LIMIT).await? {
            Ok(_) => Ok(()),
            Err((NODE_EXISTS, _)) if again => Ok(()),
            Err((NODE_EXISTS, _)) => Err(DiscoveryError::DuplicateId.into()),
            Err((_, why)) => Err(DiscoveryError::Refused(why).into()),
        }
    }

    /// Returns when something happened after `index`, or when it is time to look again.
    async fn wait(&self, index: u64) -> Result<(), Trouble> {
        let path = format!("?wait=true&recursive=true&waitIndex={}", index + 1);
        let poll = self.send(Method::GET, &path, None);
        match tokio::time::timeout(WAIT_LIMIT, poll).await {
            // Also an error in the answer: the history before `index` may be gone.
            Err(_) | Ok(Ok(_)) => Ok(()),
            Ok(Err(why)) => Err(Trouble::Passing(why)),
        }
    }

    /// Asks, and tells answers from errors of the v2 API and from servers in trouble.
    async fn ask(
        &self,
        method: Method,
        path: &str,
        form: Option<String>,
        limit: Duration,
    ) -> Result<Said, Trouble> {
        let answer = match tokio::time::timeout(limit, self.send(method, path, form)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => return Err(Trouble::Passing(why)),
            Err(_) => return Err(Trouble::Passing(format!("{}: no answer", self.url))),
        };
        read(&self.url, &answer)
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        form: Option<String>,
    ) -> Result<Answer, String> {
        let url = format!("{}{path}", self.url);
        self.client.send(&Ask { method, url, form }).await
    }
}

/// What an answer means.
fn read(url: &str, answer: &Answer) -> Result<Said, Trouble> {
    if answer.status >= 500 {
        return Err(Trouble::Passing(format!("{url}: status {}", answer.status)));
    }
    let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(&answer.body) else {
        let why = format!("{url} does not speak the v2 keys API (status {})", answer.status);
        return Err(DiscoveryError::BadEndpoint(why).into());
    };
    match value["errorCode"].as_i64() {
        Some(code) => {
            let text = value["message"].as_str().unwrap_or_default();
            let cause = value["cause"].as_str().unwrap_or_default();
            Ok(Err((code, format!("{code}: {text} ({cause})"))))
        }
        None => {
            let index = answer.index.or(value["node"]["modifiedIndex"].as_u64());
            Ok(Ok((value, index.unwrap_or_default())))
        }
    }
}

/// A member's key; none of the keys of the registry itself.
fn registered(node: &Value) -> Option<Registered> {
    let key = node["key"].as_str()?;
    let id = key.rsplit('/').next()?;
    (id != "_config").then(|| Registered {
        id: id.to_owned(),
        entry: node["value"].as_str().unwrap_or_default().to_owned(),
        created: node["createdIndex"].as_i64().unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, index: None, body: body.to_owned().into() }
    }

    #[test]
    fn answers_errors_and_strangers_are_told_apart() {
        let found = read("u", &answer(200, r#"{"node":{"value":"3","modifiedIndex":4}}"#));
        let (value, index) = found.unwrap().unwrap();
        assert_eq!((value["node"]["value"].as_str(), index), (Some("3"), 4));
        let body = r#"{"errorCode":105,"message":"Key already exists","cause":"/a"}"#;
        let (code, why) = read("u", &answer(412, body)).unwrap().unwrap_err();
        assert_eq!((code, why.as_str()), (NODE_EXISTS, "105: Key already exists (/a)"));
        assert!(matches!(read("u", &answer(503, "")), Err(Trouble::Passing(_))));
        for body in ["", "[]", "404 page not found", "null"] {
            let read = read("u", &answer(404, body));
            assert!(
                matches!(read, Err(Trouble::Final(DiscoveryError::BadEndpoint(_)))),
                "{body:?}"
            );
        }
    }

    #[test]
    fn the_registrys_own_keys_are_no_members() {
        let node = |key: &str| serde_json::json!({"key": key, "value": "v", "createdIndex": 9});
        assert_eq!(registered(&node("/discovery/t/_config")), None);
        let member = registered(&node("/discovery/t/1a")).unwrap();
        assert_eq!((member.id.as_str(), member.created), ("1a", 9));
        assert_eq!(registered(&Value::Null), None);
    }
}
