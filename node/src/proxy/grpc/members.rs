//! The list of members as clients of a proxy see it, and the proxies' own register.
//!
//! Clients that follow the list of members would go round the proxy. So with an address to
//! advertise the list is that address, or, with `--resolver-prefix`, all proxies that have
//! registered below that prefix. A registration is a key under a lease that the proxy keeps alive,
//! in the form of etcd's naming: proxies of ours and of etcd find each other.

use std::time::Duration;

use bytes::Bytes;
use proto::etcdserverpb as pb;
use proto::mvccpb::KeyValue;
use tokio::time::{interval, sleep};
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::methods;
use super::relay::Relay;

/// After a failed registration.
const PAUSE: Duration = Duration::from_secs(1);

/// What the flags say of a proxy's own address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Where clients reach this proxy; empty: they are to see the members themselves.
    pub advertise: String,
    /// Proxies that belong together share it; empty: each is by itself.
    pub prefix: String,
    /// Seconds until a proxy that is gone is not listed any more.
    pub ttl: i64,
}

/// The register's value: etcd's form.
#[derive(serde::Serialize, serde::Deserialize)]
struct Update {
    #[serde(rename = "Op")]
    operation: u8,
    #[serde(rename = "Addr")]
    address: String,
    #[serde(rename = "Metadata")]
    metadata: serde_json::Value,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Named {
    name: String,
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    name.trim().to_owned()
}

/// A registration as it is written.
fn value(address: &str) -> String {
    let named = serde_json::json!(Named { name: host_name() }).to_string();
    let metadata = serde_json::Value::String(named);
    let update = Update { operation: 0, address: address.to_owned(), metadata };
    serde_json::json!(update).to_string()
}

/// The member that a registration stands for; what is no registration is left out.
fn member(kv: &KeyValue) -> Option<pb::Member> {
    let update: Update = serde_json::from_slice(&kv.value).ok()?;
    let named: Named = serde_json::from_str(update.metadata.as_str()?).ok()?;
    Some(pb::Member { name: named.name, client_ur_ls: vec![update.address], ..Default::default() })
}

impl Register {
    /// The list of members, if it is not the members' own.
    pub async fn list(&self, relay: &Relay) -> Option<pb::MemberListResponse> {
        if self.advertise.is_empty() {
            return None;
        }
        let mut members = match self.prefix.is_empty() {
            true => Vec::new(),
            false => self.registered(relay).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "the registered proxies cannot be read");
                Vec::new()
            }),
        };
        if members.is_empty() {
            let client_ur_ls = vec![self.advertise.clone()];
            members.push(pb::Member { name: host_name(), client_ur_ls, ..Default::default() });
        }
        Some(pb::MemberListResponse { header: None, members })
    }

    async fn registered(&self, relay: &Relay) -> Result<Vec<pb::Member>, Status> {
        // `prefix/` up to the byte after the slash.
        let [key, range_end] = ["/", "0"].map(|end| Bytes::from(format!("{}{end}", self.prefix)));
        let question =
            pb::RangeRequest { key, range_end, serializable: true, ..Default::default() };
        let answer: pb::RangeResponse = relay.ask(methods::RANGE, &question).await?;
        Ok(answer.kvs.iter().filter_map(member).collect())
    }

    /// Keeps this proxy registered, for ever.
    pub async fn keep(self, relay: Relay) {
        loop {
            match self.session(&relay).await {
                Ok(()) => tracing::warn!("session expired; registering again"),
                Err(error) => tracing::warn!(%error, "failed to create a session"),
            }
            sleep(PAUSE).await;
        }
    }

    /// Registers, and returns when the lease has ended.
    async fn session(&self, relay: &Relay) -> Result<(), Status> {
        let grant = pb::LeaseGrantRequest { ttl: self.ttl, ..Default::default() };
        let granted: pb::LeaseGrantResponse = relay.ask(methods::LEASE_GRANT, &grant).await?;
        let put = pb::PutRequest {
            key: format!("{}/{}", self.prefix, self.advertise).into(),
            value: value(&self.advertise).into(),
            lease: granted.id,
            ..Default::default()
        };
        let _: pb::PutResponse = relay.ask(methods::PUT, &put).await?;
        let (addr, ttl) = (&self.advertise, self.ttl);
        tracing::info!(%addr, lease_ttl = ttl, "registered session with lease");
        keep_alive(relay, granted.id, granted.ttl).await
    }
}

/// Renews a lease at a third of its time; returns when it has ended.
async fn keep_alive(relay: &Relay, id: i64, ttl: i64) -> Result<(), Status> {
    use futures::StreamExt as _;
    use prost::Message as _;

    let question = Bytes::from(pb::LeaseKeepAliveRequest { id }.encode_to_vec());
    let beat = Duration::from_millis((ttl.max(1) as u64) * 1000 / 3);
    let beats = futures::stream::unfold(interval(beat), move |mut interval| {
        let question = question.clone();
        async move {
            interval.tick().await;
            Some((Ok(question), interval))
        }
    });
    let carried = relay.carry(methods::LEASE_KEEP_ALIVE, MetadataMap::new(), Box::pin(beats));
    let mut answers = carried.await?.into_inner();
    while let Some(answer) = answers.next().await {
        let answer = pb::LeaseKeepAliveResponse::decode(answer?)
            .map_err(|error| Status::internal(error.to_string()))?;
        if answer.ttl <= 0 {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_has_etcds_form_and_is_read_back() {
        let text = value("127.0.0.1:1");
        assert!(text.contains(r#""Addr":"127.0.0.1:1""#) && text.contains(r#""Op":0"#), "{text}");
        assert!(text.contains(r#""Metadata":"{\"name\":"#), "{text}");
        let kv = KeyValue { value: text.into(), ..Default::default() };
        assert_eq!(member(&kv).unwrap().client_ur_ls, ["127.0.0.1:1"]);
        let etcds = r#"{"Op":0,"Addr":"10.0.0.1:23790","Metadata":"{\"name\":\"h\"}"}"#;
        let kv = KeyValue { value: etcds.into(), ..Default::default() };
        assert_eq!(member(&kv).unwrap().name, "h");
        for other in ["", "1", "{}", r#"{"Op":0,"Addr":"a","Metadata":null}"#] {
            let kv = KeyValue { value: other.into(), ..Default::default() };
            assert_eq!(member(&kv), None, "{other}");
        }
    }
}
