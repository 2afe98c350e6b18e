//! Requests over gRPC, some of which are no messages at all.

use prost::Message;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::request_op::Request as Op;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue};
use tonic::{Code, Status};

use crate::support::client::{Client, Refusal};
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

mod ours {
    #[test]
    fn bad_requests_get_their_answers() {
        crate::run_on_wire(crate::Engine::Ours, super::bad_requests_get_their_answers);
    }
}

mod etcd35 {
    #[test]
    fn bad_requests_get_their_answers() {
        crate::run_on_wire(crate::Engine::Etcd35, super::bad_requests_get_their_answers);
    }
}

/// What a server says: nothing wrong, or a code and a text.
type Answer = Option<(Code, &'static str)>;

struct Row {
    name: &'static str,
    method: &'static str,
    message: Vec<u8>,
    metadata: Option<(&'static str, &'static [u8])>,
    answer: Answer,
    /// What etcd 3.5.1 says; `None` if it must not be asked.
    etcd35: Option<Answer>,
}

fn row(name: &'static str, method: &'static str, message: &impl Message, answer: Answer) -> Row {
    bytes(name, method, message.encode_to_vec(), answer)
}

fn bytes(name: &'static str, method: &'static str, message: Vec<u8>, answer: Answer) -> Row {
    Row { name, method, message, metadata: None, answer, etcd35: Some(answer) }
}

impl Row {
    fn with(mut self, name: &'static str, value: &'static [u8]) -> Row {
        self.metadata = Some((name, value));
        self
    }

    /// etcd 3.5.1 answers otherwise.
    fn etcd35(mut self, answer: Answer) -> Row {
        self.etcd35 = Some(answer);
        self
    }

    /// etcd 3.5.1 must not be asked.
    fn not_for_etcd(mut self) -> Row {
        self.etcd35 = None;
        self
    }
}

fn invalid(text: &'static str) -> Answer {
    Some((Code::InvalidArgument, text))
}

fn out_of_range(text: &'static str) -> Answer {
    Some((Code::OutOfRange, text))
}

const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const DELETE: &str = "/etcdserverpb.KV/DeleteRange";
const TXN: &str = "/etcdserverpb.KV/Txn";
const COMPACT: &str = "/etcdserverpb.KV/Compact";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const ANYTHING: &str = "";
const NO_KEY: &str = "etcdserver: key is not provided";
const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const FUTURE: &str = "etcdserver: mvcc: required revision is a future revision";
const NO_LEASE: &str = "etcdserver: requested lease not found";
const TOO_MANY: &str = "etcdserver: too many operations in txn request";
const DUPLICATE: &str = "etcdserver: duplicate key given in txn request";
const TOO_LARGE: &str = "etcdserver: request is too large";

fn put_of(key: &'static str) -> pb::PutRequest {
    pb::PutRequest { key: key.into(), ..Default::default() }
}

fn range_of(key: &'static str) -> pb::RangeRequest {
    pb::RangeRequest { key: key.into(), ..Default::default() }
}

fn op(request: Op) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn then(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { success, ..Default::default() }
}

fn put_op(key: &'static str) -> pb::RequestOp {
    op(Op::RequestPut(put_of(key)))
}

/// A transaction within a transaction, so deep.
fn nested(depth: usize) -> pb::TxnRequest {
    (0..depth).fold(then(vec![put_op("deep")]), |inner, _| then(vec![op(Op::RequestTxn(inner))]))
}

fn rows() -> Vec<Row> {
    let mut rows = puts();
    rows.extend(ranges());
    rows.extend(transactions());
    rows.extend(compactions_and_leases());
    rows.extend(members_and_users());
    rows.extend(no_messages());
    rows
}

fn puts() -> Vec<Row> {
    let with_value = pb::PutRequest { value: "v".into(), ignore_value: true, ..put_of("a") };
    let with_lease = pb::PutRequest { lease: 7, ignore_lease: true, ..put_of("a") };
    let big = |size: usize| pb::PutRequest { value: vec![b'x'; size].into(), ..put_of("big") };
    vec![
        row("put without a key", PUT, &put_of(""), invalid(NO_KEY)),
        row("put ignores a value", PUT, &with_value, invalid("etcdserver: value is provided")),
        row("put ignores a lease", PUT, &with_lease, invalid("etcdserver: lease is provided")),
        row(
            "put keeps the value of nothing",
            PUT,
            &pb::PutRequest { ignore_value: true, ..put_of("missing") },
            invalid("etcdserver: key not found"),
        ),
        row(
            "put keeps the lease of nothing",
            PUT,
            &pb::PutRequest { ignore_lease: true, ..put_of("missing") },
            invalid("etcdserver: key not found"),
        ),
        row(
            "put with an unknown lease",
            PUT,
            &pb::PutRequest { lease: 99, ..put_of("a") },
            Some((Code::NotFound, NO_LEASE)),
        ),
        row("put above the limit", PUT, &big(1_600_000), invalid(TOO_LARGE)),
        row(
            "put above what gRPC takes",
            PUT,
            &big(2_200_000),
            Some((
                Code::ResourceExhausted,
                "grpc: received message larger than max (2200010 vs. 2097152)",
            )),
        ),
        row("delete without a key", DELETE, &pb::DeleteRangeRequest::default(), invalid(NO_KEY)),
        row(
            "delete from high to low",
            DELETE,
            &pb::DeleteRangeRequest { key: "z".into(), range_end: "a".into(), prev_kv: true },
            None,
        ),
    ]
}

fn ranges() -> Vec<Row> {
    let at = |revision: i64| pb::RangeRequest { revision, ..range_of("a") };
    let sort = pb::RangeRequest { sort_order: 9, sort_target: 9, ..range_of("a") };
    vec![
        row("range without a key", RANGE, &range_of(""), invalid(NO_KEY)),
        row(
            "range from high to low",
            RANGE,
            &pb::RangeRequest { key: "z".into(), range_end: "a".into(), ..Default::default() },
            None,
        ),
        row("range in the future", RANGE, &at(1 << 40), out_of_range(FUTURE)),
        row("range in the compacted past", RANGE, &at(2), out_of_range(COMPACTED)),
        row("range at a negative revision", RANGE, &at(-3), None),
        row(
            "range with a negative limit",
            RANGE,
            &pb::RangeRequest { limit: -1, ..range_of("a") },
            None,
        ),
        // etcd 3.5.1 dies of it.
        row("range in an unknown order", RANGE, &sort, invalid("etcdserver: invalid sort option"))
            .not_for_etcd(),
    ]
}

fn transactions() -> Vec<Row> {
    let delete = op(Op::RequestDeleteRange(pb::DeleteRangeRequest {
        key: "a".into(),
        range_end: "z".into(),
        prev_kv: false,
    }));
    let compare = |key: &'static str| pb::Compare { key: key.into(), ..Default::default() };
    let leased = op(Op::RequestPut(pb::PutRequest { lease: 99, ..put_of("half") }));
    let inner = op(Op::RequestTxn(then(vec![put_op("k")])));
    let future = op(Op::RequestRange(pb::RangeRequest { revision: 1 << 40, ..range_of("a") }));
    let compares = pb::TxnRequest { compare: vec![compare("a"); 129], ..Default::default() };
    let no_key = pb::TxnRequest { compare: vec![compare("")], ..Default::default() };
    vec![
        row("txn of nothing", TXN, &pb::TxnRequest::default(), None),
        row("txn with 129 operations", TXN, &then(vec![put_op("k"); 129]), invalid(TOO_MANY)),
        row("txn with 129 compares", TXN, &compares, invalid(TOO_MANY)),
        row("txn compares no key", TXN, &no_key, invalid(NO_KEY)),
        row("txn puts a key twice", TXN, &then(vec![put_op("k"), put_op("k")]), invalid(DUPLICATE)),
        row("txn puts what it deletes", TXN, &then(vec![put_op("k"), delete]), invalid(DUPLICATE)),
        row("txn puts it within again", TXN, &then(vec![put_op("k"), inner]), invalid(DUPLICATE)),
        row(
            "txn with an empty operation",
            TXN,
            &then(vec![pb::RequestOp { request: None }]),
            invalid("etcdserver: key not found"),
        ),
        row("txn reads the future", TXN, &then(vec![put_op("half"), future]), out_of_range(FUTURE)),
        row(
            "txn with an unknown lease",
            TXN,
            &then(vec![put_op("half-too"), leased]),
            Some((Code::NotFound, NO_LEASE)),
        ),
        row("txn in a txn", TXN, &nested(4), None),
        // etcd goes as deep as a message allows.
        row("txn seventeen deep", TXN, &nested(17), invalid(TOO_MANY)).etcd35(None),
    ]
}

fn compactions_and_leases() -> Vec<Row> {
    let compact = |revision: i64| pb::CompactionRequest { revision, physical: true };
    let grant = |id: i64, ttl: i64| pb::LeaseGrantRequest { id, ttl };
    vec![
        row("compact the future", COMPACT, &compact(1 << 40), out_of_range(FUTURE)),
        row("compact again", COMPACT, &compact(3), out_of_range(COMPACTED)),
        row("compact nothing", COMPACT, &compact(0), out_of_range(COMPACTED)),
        row("compact a negative revision", COMPACT, &compact(-1), out_of_range(COMPACTED)),
        row("a lease without time", GRANT, &grant(0, 0), None),
        row("a lease of negative time", GRANT, &grant(0, -5), None),
        row(
            "a lease for longer than a clock",
            GRANT,
            &grant(0, 9_000_000_001),
            out_of_range("etcdserver: too large lease TTL"),
        ),
        row(
            "a lease that exists",
            GRANT,
            &grant(7, 60),
            Some((Code::FailedPrecondition, "etcdserver: lease already exists")),
        ),
        row("a lease with a negative id", GRANT, &grant(-8, 60), None),
        row(
            "revoke an unknown lease",
            "/etcdserverpb.Lease/LeaseRevoke",
            &pb::LeaseRevokeRequest { id: 99 },
            Some((Code::NotFound, NO_LEASE)),
        ),
        row(
            "time to live of an unknown lease",
            "/etcdserverpb.Lease/LeaseTimeToLive",
            &pb::LeaseTimeToLiveRequest { id: 99, keys: true },
            None,
        ),
        row(
            "hash of the future",
            "/etcdserverpb.Maintenance/HashKV",
            &pb::HashKvRequest { revision: 1 << 40 },
            out_of_range(FUTURE),
        ),
    ]
}

fn members_and_users() -> Vec<Row> {
    let add = |url: &str| pb::MemberAddRequest { peer_ur_ls: vec![url.into()], is_learner: false };
    let urls = invalid("etcdserver: given member URLs are invalid");
    let unknown = Some((Code::NotFound, "etcdserver: member not found"));
    let precondition = |text| Some((Code::FailedPrecondition, text));
    let no_root = precondition("etcdserver: root user does not exist");
    let login = pb::AuthenticateRequest { name: "nobody".into(), password: "x".into() };
    const ADD: &str = "/etcdserverpb.Cluster/MemberAdd";
    vec![
        row("add a member without a URL", ADD, &add(""), urls),
        row("add a member at nonsense", ADD, &add("://"), urls),
        row("add a member by ftp", ADD, &add("ftp://127.0.0.1:1"), urls),
        row("add a member below a path", ADD, &add("http://127.0.0.1:1/x"), urls),
        row(
            "remove an unknown member",
            "/etcdserverpb.Cluster/MemberRemove",
            &pb::MemberRemoveRequest { id: 99 },
            unknown,
        ),
        row(
            "update an unknown member",
            "/etcdserverpb.Cluster/MemberUpdate",
            &pb::MemberUpdateRequest { id: 99, peer_ur_ls: vec!["http://127.0.0.1:1".into()] },
            unknown,
        ),
        row(
            "move the leader to nobody",
            "/etcdserverpb.Maintenance/MoveLeader",
            &pb::MoveLeaderRequest { target_id: 99 },
            precondition("etcdserver: bad leader transferee"),
        ),
        row(
            "ask for users without root",
            "/etcdserverpb.Auth/AuthEnable",
            &pb::AuthEnableRequest::default(),
            no_root,
        ),
        row(
            "log in where nobody is asked to",
            "/etcdserverpb.Auth/Authenticate",
            &login,
            precondition("etcdserver: authentication is not enabled"),
        ),
        row(
            "add a user without a name",
            "/etcdserverpb.Auth/UserAdd",
            &pb::AuthUserAddRequest { password: "x".into(), ..Default::default() },
            invalid("etcdserver: user name is empty"),
        ),
        row(
            "look up an unknown user",
            "/etcdserverpb.Auth/UserGet",
            &pb::AuthUserGetRequest { name: "nobody".into() },
            precondition("etcdserver: user name not found"),
        ),
        row(
            "look up an unknown role",
            "/etcdserverpb.Auth/RoleGet",
            &pb::AuthRoleGetRequest { role: "none".into() },
            precondition("etcdserver: role name not found"),
        ),
    ]
}

fn no_messages() -> Vec<Row> {
    let key = || range_of("a").encode_to_vec();
    // Field 1000, a number: a client of tomorrow.
    let tomorrow = [key(), vec![0xc0, 0x3e, 0x01]].concat();
    let version = "etcdserver: invalid client api version";
    // Each library says in its own words what it cannot read.
    let unreadable = Some((Code::Internal, ANYTHING));
    vec![
        bytes("fields of tomorrow", RANGE, tomorrow, None),
        bytes("a message cut off", RANGE, vec![0x0a, 0x05, b'a'], unreadable),
        bytes("a group that never began", RANGE, vec![0x0c], unreadable),
        bytes("a number without an end", RANGE, vec![0x18, 0xff], unreadable),
        bytes(
            "an unknown method",
            "/etcdserverpb.KV/Nothing",
            vec![],
            Some((Code::Unimplemented, "unknown method Nothing for service etcdserverpb.KV")),
        ),
        bytes(
            "an unknown service",
            "/nothing.Here/Nothing",
            vec![],
            Some((Code::Unimplemented, "unknown service nothing.Here")),
        ),
        // etcd 3.5.1 dies of this, too.
        bytes("a version that is no text", RANGE, key(), invalid(version))
            .with("client-api-version", b"\xff\xfe")
            .not_for_etcd(),
        // etcd 3.6 ignores it.
        bytes("a token nobody asked for", RANGE, key(), None)
            .with("token", b"nonsense")
            .etcd35(Some((Code::Unauthenticated, "etcdserver: invalid auth token"))),
    ]
}

fn bad_requests_get_their_answers(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    for (key, value) in [("a", "1"), ("b", "2"), ("a", "3")] {
        client.put(key, value).unwrap();
    }
    ask(&client, &row("", COMPACT, &pb::CompactionRequest { revision: 3, physical: true }, None))
        .unwrap();
    ask(&client, &row("", GRANT, &pb::LeaseGrantRequest { id: 7, ttl: 600 }, None)).unwrap();

    let mut wrong = Vec::new();
    for row in rows() {
        let expected = match engine {
            Engine::Ours => Some(row.answer),
            _ => row.etcd35,
        };
        let Some(expected) = expected else { continue };
        // etcd's raft forgets a change of members right after another, refused or not.
        client.put("between", row.name).unwrap();
        let actual = ask(&client, &row);
        let right = match (&actual, expected) {
            (Ok(_), None) => true,
            (Err(said), Some((code, text))) => {
                said.code == code && (text == ANYTHING || said.text == text)
            }
            _ => false,
        };
        if !right {
            wrong.push(format!("{}: {:?} instead of {expected:?}", row.name, actual.err()));
        }
    }
    assert!(wrong.is_empty(), "{engine}:\n{}", wrong.join("\n"));
    // A refused transaction left nothing behind.
    for key in ["half", "half-too", "k", "big"] {
        assert_eq!(client.get(key, false), Ok(None), "{key}");
    }
}

/// Sends a row and returns the bytes of the answer.
fn ask(client: &Client, row: &Row) -> Result<Vec<u8>, Refusal> {
    let mut request = tonic::Request::new(row.message.clone());
    if let Some((name, value)) = row.metadata {
        let value = AsciiMetadataValue::try_from(value).expect("a header value");
        request.metadata_mut().insert(AsciiMetadataKey::from_static(name), value);
    }
    let mut connection = tonic::client::Grpc::new(client.channel());
    client.wait(async {
        connection.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
        connection.unary(request, PathAndQuery::from_static(row.method), Raw).await
    })
}

/// Messages as they are.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &message);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let size = bytes::Buf::remaining(buffer);
        Ok(Some(bytes::Buf::copy_to_bytes(buffer, size).to_vec()))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
