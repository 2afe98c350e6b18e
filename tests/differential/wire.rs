//! The two ways to ask a server: gRPC, and its JSON gateway.
//!
//! Both take and give the same messages, so whoever asks need not know which way a request
//! goes. By the gateway a request is spelled at random ([`Spelling`]), and its answer has to be
//! the one JSON there is for it: names, numbers as strings, what is left out.

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Status};

use crate::spelling::Spelling;
use crate::support::client::{Client, Refusal};
use crate::support::http;

/// The paths of the gateway: of each method all that etcd has.
pub const PATHS: &[(&str, &[&str])] = &[
    ("etcdserverpb.KV/Range", &["kv/range"]),
    ("etcdserverpb.KV/Put", &["kv/put"]),
    ("etcdserverpb.KV/DeleteRange", &["kv/deleterange"]),
    ("etcdserverpb.KV/Txn", &["kv/txn"]),
    ("etcdserverpb.KV/Compact", &["kv/compaction"]),
    ("etcdserverpb.Watch/Watch", &["watch"]),
    ("etcdserverpb.Lease/LeaseGrant", &["lease/grant"]),
    ("etcdserverpb.Lease/LeaseRevoke", &["lease/revoke", "kv/lease/revoke"]),
    ("etcdserverpb.Lease/LeaseKeepAlive", &["lease/keepalive"]),
    ("etcdserverpb.Lease/LeaseTimeToLive", &["lease/timetolive", "kv/lease/timetolive"]),
    ("etcdserverpb.Lease/LeaseLeases", &["lease/leases", "kv/lease/leases"]),
    ("etcdserverpb.Cluster/MemberAdd", &["cluster/member/add"]),
    ("etcdserverpb.Cluster/MemberRemove", &["cluster/member/remove"]),
    ("etcdserverpb.Cluster/MemberUpdate", &["cluster/member/update"]),
    ("etcdserverpb.Cluster/MemberList", &["cluster/member/list"]),
    ("etcdserverpb.Cluster/MemberPromote", &["cluster/member/promote"]),
    ("etcdserverpb.Maintenance/Alarm", &["maintenance/alarm"]),
    ("etcdserverpb.Maintenance/Status", &["maintenance/status"]),
    ("etcdserverpb.Maintenance/Defragment", &["maintenance/defragment"]),
    ("etcdserverpb.Maintenance/Hash", &["maintenance/hash"]),
    // Of etcd 3.6; before it the path was that of Hash.
    ("etcdserverpb.Maintenance/HashKV", &["maintenance/hashkv"]),
    ("etcdserverpb.Maintenance/Snapshot", &["maintenance/snapshot"]),
    ("etcdserverpb.Maintenance/MoveLeader", &["maintenance/transfer-leadership"]),
    ("etcdserverpb.Maintenance/Downgrade", &["maintenance/downgrade"]),
    ("etcdserverpb.Auth/AuthEnable", &["auth/enable"]),
    ("etcdserverpb.Auth/AuthDisable", &["auth/disable"]),
    ("etcdserverpb.Auth/AuthStatus", &["auth/status"]),
    ("etcdserverpb.Auth/Authenticate", &["auth/authenticate"]),
    ("etcdserverpb.Auth/UserAdd", &["auth/user/add"]),
    ("etcdserverpb.Auth/UserGet", &["auth/user/get"]),
    ("etcdserverpb.Auth/UserList", &["auth/user/list"]),
    ("etcdserverpb.Auth/UserDelete", &["auth/user/delete"]),
    ("etcdserverpb.Auth/UserChangePassword", &["auth/user/changepw"]),
    ("etcdserverpb.Auth/UserGrantRole", &["auth/user/grant"]),
    ("etcdserverpb.Auth/UserRevokeRole", &["auth/user/revoke"]),
    ("etcdserverpb.Auth/RoleAdd", &["auth/role/add"]),
    ("etcdserverpb.Auth/RoleGet", &["auth/role/get"]),
    ("etcdserverpb.Auth/RoleList", &["auth/role/list"]),
    ("etcdserverpb.Auth/RoleDelete", &["auth/role/delete"]),
    ("etcdserverpb.Auth/RoleGrantPermission", &["auth/role/grant"]),
    ("etcdserverpb.Auth/RoleRevokePermission", &["auth/role/revoke"]),
    ("v3lockpb.Lock/Lock", &["lock/lock"]),
    ("v3lockpb.Lock/Unlock", &["lock/unlock"]),
    ("v3electionpb.Election/Campaign", &["election/campaign"]),
    ("v3electionpb.Election/Proclaim", &["election/proclaim"]),
    ("v3electionpb.Election/Leader", &["election/leader"]),
    ("v3electionpb.Election/Observe", &["election/observe"]),
    ("v3electionpb.Election/Resign", &["election/resign"]),
];

/// Which way requests go.
pub enum Way {
    Grpc,
    Gateway(Spelling),
    /// Now this, now that.
    Either(Spelling),
}

/// A connection to a server, and who asks by it.
pub struct Wire {
    pub client: Client,
    url: String,
    way: Way,
    /// The token that goes with each request; none if it is empty.
    pub token: String,
    schema: DescriptorPool,
}

impl Wire {
    pub fn new(url: &str, way: Way) -> Wire {
        let schema = DescriptorPool::decode(proto::DESCRIPTORS).expect("descriptions");
        Wire { client: Client::new(url), url: url.into(), way, token: String::new(), schema }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The messages that a method takes and gives.
    pub fn messages(&self, method: &str) -> (MessageDescriptor, MessageDescriptor) {
        let (service, name) = method.split_once('/').expect("a method");
        let service = self.schema.get_service_by_name(service).expect("a service");
        let method = service.methods().find(|method| method.name() == name).expect("a method");
        (method.input(), method.output())
    }

    /// Asks a method that gives one answer.
    pub fn call<Q, A>(&mut self, method: &'static str, request: Q) -> Result<A, Refusal>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let (input, output) = self.messages(method);
        let Some(body) = self.spelled(&input, &[&request]) else {
            return self.by_grpc(method, request);
        };
        let (status, text) = self.post(method, &body);
        match status {
            200 => message(&output, &text),
            _ => Err(refusal(status, &text)),
        }
    }

    /// Asks a method whose answers are a stream; reads until `is_last` says so, or the end.
    pub fn stream<Q, A>(
        &mut self,
        method: &'static str,
        requests: Vec<Q>,
        is_last: impl FnMut(&A) -> bool,
    ) -> Result<Vec<A>, Refusal>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let (input, output) = self.messages(method);
        let all: Vec<&Q> = requests.iter().collect();
        let Some(body) = self.spelled(&input, &all) else {
            return self.stream_by_grpc(method, requests, is_last);
        };
        let path = self.path(method);
        let token = self.token.clone();
        let mut answer = http::send(&self.url, "POST", &path, &headers(&token), &body);
        if answer.status != 200 {
            return Err(refusal(answer.status, &answer.text()));
        }
        let next = || match answer.line() {
            None => Ok(None),
            Some(line) if line.get("error").is_some() => {
                Err(refusal(answer.status, &line["error"].to_string()))
            }
            Some(mut line) => message(&output, &line["result"].take().to_string()).map(Some),
        };
        until_last(next, is_last)
    }

    /// The JSON of requests, if they go by the gateway.
    fn spelled<Q: Message>(
        &mut self,
        input: &MessageDescriptor,
        requests: &[&Q],
    ) -> Option<String> {
        let spelling = match &mut self.way {
            Way::Grpc => return None,
            Way::Gateway(spelling) => spelling,
            Way::Either(spelling) => match spelling.coin() {
                true => return None,
                false => spelling,
            },
        };
        let mut text = String::new();
        for request in requests {
            let bytes = request.encode_to_vec();
            let dynamic = DynamicMessage::decode(input.clone(), &bytes[..]).expect("a message");
            text.push_str(&spelling.object(&dynamic));
        }
        Some(text)
    }

    fn path(&mut self, method: &str) -> String {
        let row = PATHS.iter().find(|(name, _)| *name == method);
        let (_, paths) = row.unwrap_or_else(|| panic!("{method} has no path"));
        match &mut self.way {
            Way::Gateway(spelling) | Way::Either(spelling) => spelling.path(paths),
            Way::Grpc => format!("/v3/{}", paths[0]),
        }
    }

    fn post(&mut self, method: &str, body: &str) -> (u16, String) {
        let path = self.path(method);
        let mut answer = http::send(&self.url, "POST", &path, &headers(&self.token), body);
        let text = answer.text();
        match answer.header("content-type") {
            Some("application/json") => (answer.status, text),
            other => (answer.status, format!("of type {other:?}: {text}")),
        }
    }

    fn by_grpc<Q, A>(&self, method: &str, request: Q) -> Result<A, Refusal>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc();
        let request = self.signed(request);
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let call = async {
            grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
            grpc.unary(request, method_path(method), codec).await
        };
        self.client.wait(call)
    }

    fn stream_by_grpc<Q, A>(
        &self,
        method: &str,
        requests: Vec<Q>,
        is_last: impl FnMut(&A) -> bool,
    ) -> Result<Vec<A>, Refusal>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut grpc = self.grpc();
        let request = self.signed(tokio_stream::iter(requests));
        let codec = tonic_prost::ProstCodec::<Q, A>::default();
        let call = async {
            grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
            grpc.streaming(request, method_path(method), codec).await
        };
        let mut stream: tonic::Streaming<A> = self.client.wait(call)?;
        until_last(|| Ok(self.client.block_on(stream.message())?), is_last)
    }

    fn grpc(&self) -> tonic::client::Grpc<tonic::transport::Channel> {
        tonic::client::Grpc::new(self.client.channel()).max_decoding_message_size(256 << 20)
    }

    fn signed<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        if !self.token.is_empty() {
            let token = self.token.parse().expect("a token is text");
            request.metadata_mut().insert("token", token);
        }
        request
    }
}

/// The answers of a stream up to the one that `is_last`, or to the end.
fn until_last<A>(
    mut next: impl FnMut() -> Result<Option<A>, Refusal>,
    mut is_last: impl FnMut(&A) -> bool,
) -> Result<Vec<A>, Refusal> {
    let mut answers = Vec::new();
    while let Some(answer) = next()? {
        let last = is_last(&answer);
        answers.push(answer);
        if last {
            break;
        }
    }
    Ok(answers)
}

fn method_path(method: &str) -> PathAndQuery {
    format!("/{method}").parse().expect("a path")
}

fn headers(token: &str) -> Vec<(&str, &str)> {
    match token {
        "" => Vec::new(),
        token => vec![("Authorization", token)],
    }
}

/// A message from its JSON, which has to be spelled in the one way that etcd has.
fn message<A: Message + Default>(output: &MessageDescriptor, text: &str) -> Result<A, Refusal> {
    let wrong = |what: String| Refusal { code: Code::Internal, text: format!("{what}: {text}") };
    let value: Value = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
    let dynamic = DynamicMessage::deserialize(output.clone(), &value)
        .map_err(|error| wrong(error.to_string()))?;
    let options = SerializeOptions::new().use_proto_field_name(true);
    let again = dynamic.serialize_with_options(serde_json::value::Serializer, &options);
    if again.as_ref().ok() != Some(&value) {
        return Err(wrong("spelled in a way of its own".into()));
    }
    dynamic.transcode_to().map_err(|error| wrong(error.to_string()))
}

/// What the gateway refused. The status of HTTP counts like the text.
pub fn refusal(status: u16, text: &str) -> Refusal {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    match (body["code"].as_i64(), body["message"].as_str()) {
        (Some(code), Some(text)) => {
            // A code is small.
            Refusal { code: Code::from(code as i32), text: format!("{text} (HTTP {status})") }
        }
        _ => Refusal { code: Code::Unknown, text: format!("HTTP {status}: {text}") },
    }
}
