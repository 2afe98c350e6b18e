//! Discovery through the v3 API: `--discovery-token` and `--discovery-endpoints`.
//!
//! ```text
//! /_etcd/registry/<token>/_config/size            how many members, written by the operator
//! /_etcd/registry/<token>/members/<member id>     name=url,name=url
//! ```
//!
//! The order is that of creation. Waiting is a watch, opened behind the revision of the last
//! look; whatever it reports, the members are read anew. Every question has a connection of
//! its own, to the first endpoint that answers, so an endpoint that dies costs one question.

use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use proto::etcdserverpb::{
    AuthenticateRequest, PutRequest, RangeRequest, WatchCreateRequest, WatchRequest,
};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::registry::{self, Registered};
use super::{DiscoveryError, Trouble, patiently};
use crate::config::DiscoveryV3;
use crate::net::Dialer;
use crate::net::tls::{Tls, TlsOptions};

/// What a cluster without users answers to a login.
const NOT_ENABLED: &str = "etcdserver: authentication is not enabled";

struct Service<'a> {
    config: &'a DiscoveryV3,
    prefix: String,
    id: String,
}

/// Registers this member and waits for the others; the cluster as `--initial-cluster` has it.
pub async fn join(config: &DiscoveryV3, id: u64, entry: &str) -> Result<String, DiscoveryError> {
    let token = config.token.trim_matches('/');
    let prefix = format!("/_etcd/registry/{token}");
    let service = Service { config, prefix, id: format!("{id:x}") };
    // A full cluster is noticed before anything is written.
    patiently("cluster status check", || service.look()).await?;
    patiently("register member itself", || service.register(entry)).await?;
    loop {
        let seen = patiently("cluster status check", || service.look()).await?;
        if seen.members.len() >= seen.size {
            registry::distinct_names(&seen.members)?;
            return Ok(registry::text(&seen.members));
        }
        tracing::info!(
            cluster_size = seen.size,
            found_peers = seen.members.len(),
            "waiting for peers from discovery service"
        );
        patiently("waiting for other nodes", || service.wait(seen.revision)).await?;
    }
}

/// The registry at one moment.
struct Seen {
    size: usize,
    members: Vec<Registered>,
    revision: i64,
}

/// A connection to an endpoint.
struct Link {
    channel: Channel,
    token: Option<MetadataValue<Ascii>>,
}

impl Link {
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

impl Service<'_> {
    async fn look(&self) -> Result<Seen, Trouble> {
        let link = self.connect().await?;
        let size_key = format!("{}/_config/size", self.prefix).into_bytes();
        let size = self.range(&link, size_key, Vec::new()).await?;
        let size = size.kvs.first().ok_or(DiscoveryError::SizeNotFound)?;
        let size = registry::size(std::str::from_utf8(&size.value).unwrap_or_default())?;
        let members = format!("{}/members/", self.prefix);
        // '0' is the byte behind '/'.
        let end = format!("{}/members0", self.prefix).into_bytes();
        let found = self.range(&link, members.clone().into_bytes(), end).await?;
        let all = found.kvs.iter().filter_map(|kv| {
            let id = std::str::from_utf8(&kv.key).ok()?.strip_prefix(&members)?.to_owned();
            let entry = std::str::from_utf8(&kv.value).ok()?.trim().to_owned();
            // etcd's rule: what is no entry does not count.
            let registered = Registered { id, entry, created: kv.create_revision };
            registered.entry.contains('=').then_some(registered)
        });
        let members = registry::admitted(all.collect(), size, &self.id)?;
        let revision = found.header.map_or(0, |header| header.revision);
        Ok(Seen { size, members, revision })
    }

    async fn range(
        &self,
        link: &Link,
        key: Vec<u8>,
        range_end: Vec<u8>,
    ) -> Result<proto::etcdserverpb::RangeResponse, Trouble> {
        let range =
            RangeRequest { key: key.into(), range_end: range_end.into(), ..Default::default() };
        let mut client = KvClient::new(link.channel.clone());
        let answer = client.range(link.request(range));
        self.in_time(answer).await
    }

    async fn register(&self, entry: &str) -> Result<(), Trouble> {
        let link = self.connect().await?;
        let key = format!("{}/members/{}", self.prefix, self.id).into_bytes();
        let put =
            PutRequest { key: key.into(), value: entry.to_owned().into(), ..Default::default() };
        let mut client = KvClient::new(link.channel.clone());
        self.in_time(client.put(link.request(put))).await.map(drop)
    }

    /// Returns when something happened after `revision`.
    async fn wait(&self, revision: i64) -> Result<(), Trouble> {
        let link = self.connect().await?;
        let create = WatchCreateRequest {
            key: format!("{}/members/", self.prefix).into_bytes().into(),
            range_end: format!("{}/members0", self.prefix).into_bytes().into(),
            start_revision: revision + 1,
            ..Default::default()
        };
        let request = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        // The sending side stays open as long as the answers are read.
        let (asks, outgoing) = tokio::sync::mpsc::channel(1);
        let _ = asks.send(request).await;
        let outgoing = tokio_stream::wrappers::ReceiverStream::new(outgoing);
        let mut client = WatchClient::new(link.channel.clone());
        let mut answers = self.in_time(client.watch(link.request(outgoing))).await?;
        loop {
            match answers.message().await {
                // Also when the watch is cancelled: the members are read anew then.
                Ok(Some(answer)) if !answer.events.is_empty() || answer.canceled => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => return Err(Trouble::Passing("the watch ended".into())),
                Err(status) => return Err(trouble(&status)),
            }
        }
    }

    async fn in_time<T>(
        &self,
        answer: impl Future<Output = Result<tonic::Response<T>, Status>>,
    ) -> Result<T, Trouble> {
        match tokio::time::timeout(self.config.request_timeout, answer).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(trouble(&status)),
            Err(_) => Err(Trouble::Passing("no answer in time".into())),
        }
    }

    /// The first endpoint that answers, as the user if there is one.
    async fn connect(&self) -> Result<Link, Trouble> {
        let mut why = "there is no endpoint".to_owned();
        for endpoint in &self.config.endpoints {
            match self.dial(endpoint).await {
                Ok(channel) => {
                    let token = self.log_in(&channel).await?;
                    return Ok(Link { channel, token });
                }
                Err(error) => why = format!("{endpoint}: {error}"),
            }
        }
        Err(Trouble::Passing(why))
    }

    /// A token, if there is a user and the registry asks for one.
    async fn log_in(&self, channel: &Channel) -> Result<Option<MetadataValue<Ascii>>, Trouble> {
        let Some(user) = &self.config.user else { return Ok(None) };
        let request =
            AuthenticateRequest { name: user.name.clone(), password: user.password.clone() };
        let mut client = AuthClient::new(channel.clone());
        let answer =
            tokio::time::timeout(self.config.request_timeout, client.authenticate(request));
        match answer.await {
            Ok(Ok(answer)) => {
                let token = answer.into_inner().token.parse();
                token.map(Some).map_err(|_| Trouble::Passing("an odd token".into()))
            }
            // As etcd's client: without users in force everybody is welcome.
            Ok(Err(status)) if status.message() == NOT_ENABLED => Ok(None),
            Ok(Err(status)) => Err(trouble(&status)),
            Err(_) => Err(Trouble::Passing("no answer in time".into())),
        }
    }

    async fn dial(&self, endpoint: &str) -> Result<Channel, String> {
        let config = self.config;
        let is_secure = endpoint.starts_with("https://")
            || config.secure.cert.is_some()
            || config.secure.cacert.is_some()
            || !config.secure.insecure_transport;
        let address = endpoint.split_once("://").map_or(endpoint, |(_, address)| address);
        let url = format!("{}://{address}", if is_secure { "https" } else { "http" });
        let tls = Tls::open(TlsOptions {
            cert_file: config.secure.cert.clone(),
            key_file: config.secure.key.clone(),
            trusted_ca_file: config.secure.cacert.clone(),
            self_signed: config.secure.insecure_skip_verify,
            ..TlsOptions::default()
        });
        let dialer = Dialer::new(tls.map_err(|error| error.to_string())?);
        let configure = |endpoint: Endpoint| {
            endpoint
                .connect_timeout(config.dial_timeout)
                .http2_keep_alive_interval(config.keepalive_time)
                .keep_alive_timeout(config.keepalive_timeout)
        };
        let connected = dialer.connect(&url, config.dial_timeout, configure);
        let connected = tokio::time::timeout(config.dial_timeout, connected).await;
        connected.map_err(|_| "no answer in time".to_owned())?
    }
}

fn trouble(status: &Status) -> Trouble {
    match status.code() {
        Code::InvalidArgument
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented
        | Code::FailedPrecondition => DiscoveryError::Refused(status.message().to_owned()).into(),
        _ => Trouble::Passing(status.message().to_owned()),
    }
}
