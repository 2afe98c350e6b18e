//! Rights in gRPC: tokens in metadata, and requests that `etcdctl` cannot make.
//!
//! Some refusals are of holes that were closed in later releases of etcd than the ones asked
//! here; those are asserted of ours only, and named.

use proto::authpb::{Permission, permission::Type};
use proto::etcdserverpb as pb;
use proto::etcdserverpb::auth_client::AuthClient;
use proto::etcdserverpb::cluster_client::ClusterClient;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::maintenance_client::MaintenanceClient;
use proto::etcdserverpb::request_op::Request as Op;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_request::RequestUnion;
use tonic::{Code, Request};

use crate::against_every_server;
use crate::support::client::{Client, Refusal};
use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::tools::Engine;

against_every_server!(
    tokens,
    a_password_change_ends_the_tokens,
    transactions,
    previous_values,
    empty_ranges,
    a_login_is_known_to_all_members,
);

/// What etcd 3.6 answers; 3.5.1 and 3.4 have other ids and texts, and let some of it through.
mod as_in_3_6 {
    #[test]
    fn watch_refusals() {
        crate::run_on_wire(crate::Engine::Ours, super::watch_refusals);
    }

    #[test]
    fn methods_without_keys() {
        crate::run_on_wire(crate::Engine::Ours, super::methods_without_keys);
    }
}

const DENIED: &str = "etcdserver: permission denied";
const INVALID: &str = "etcdserver: invalid auth token";
const NOBODY: &str = "etcdserver: user name is empty";

fn with<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !token.is_empty() {
        request.metadata_mut().insert("token", token.parse().unwrap());
    }
    request
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Refusal>, code: Code, text: &str) {
    let refusal = outcome.expect_err(text);
    assert_eq!((refusal.code, refusal.text.as_str()), (code, text));
}

fn log_in(client: &Client, name: &str, password: &str) -> Result<String, Refusal> {
    let request = pb::AuthenticateRequest { name: name.into(), password: password.into() };
    Ok(client.wait(AuthClient::new(client.channel()).authenticate(request))?.token)
}

fn range(client: &Client, token: &str, key: &'static str) -> Result<pb::RangeResponse, Refusal> {
    let request = pb::RangeRequest { key: key.into(), ..Default::default() };
    client.wait(KvClient::new(client.channel()).range(with(token, request)))
}

fn put(client: &Client, token: &str, request: pb::PutRequest) -> Result<pb::PutResponse, Refusal> {
    client.wait(KvClient::new(client.channel()).put(with(token, request)))
}

fn txn(client: &Client, token: &str, request: pb::TxnRequest) -> Result<pb::TxnResponse, Refusal> {
    client.wait(KvClient::new(client.channel()).txn(with(token, request)))
}

fn grant(client: &Client, token: &str, kind: Type, key: &'static str, end: &'static str) {
    let perm = Permission { perm_type: kind as i32, key: key.into(), range_end: end.into() };
    let request = pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm: Some(perm) };
    let call = AuthClient::new(client.channel());
    client
        .block_on(async {
            let mut call = call;
            call.role_grant_permission(with(token, request)).await
        })
        .unwrap();
}

/// root/pw, and alice/pw who may write `w…`, read `r…`, and both for `a…`; rights asked for.
fn set_up(client: &Client) {
    let mut auth = AuthClient::new(client.channel());
    for name in ["root", "alice"] {
        let request = pb::AuthUserAddRequest {
            name: name.into(),
            password: "pw".into(),
            ..Default::default()
        };
        client.wait(auth.user_add(request)).unwrap();
    }
    for name in ["root", "r"] {
        client.wait(auth.role_add(pb::AuthRoleAddRequest { name: name.into() })).unwrap();
    }
    grant(client, "", Type::Write, "w", "x");
    grant(client, "", Type::Read, "r", "s");
    grant(client, "", Type::Readwrite, "a", "b");
    for (user, role) in [("root", "root"), ("alice", "r")] {
        let request = pb::AuthUserGrantRoleRequest { user: user.into(), role: role.into() };
        client.wait(auth.user_grant_role(request)).unwrap();
    }
    client.wait(auth.auth_enable(pb::AuthEnableRequest {})).unwrap();
}

fn single(engine: Engine) -> (Cluster, Client) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    (cluster, client)
}

fn tokens(engine: Engine) {
    let (_cluster, client) = single(engine);
    refused(
        log_in(&client, "root", "pw"),
        Code::FailedPrecondition,
        "etcdserver: authentication is not enabled",
    );
    if engine == Engine::Ours {
        range(&client, "nonsense", "a")
            .expect("while nobody asks for rights a token means nothing");
    }
    set_up(&client);
    let token = log_in(&client, "alice", "pw").unwrap();
    let (secret, index) = token.split_once('.').unwrap();
    assert!(secret.len() >= 16 && index.parse::<u64>().is_ok(), "{token}");
    range(&client, &token, "a").unwrap();
    // Also under the name that the JSON gateway passes on.
    let mut request = Request::new(pb::RangeRequest { key: "a".into(), ..Default::default() });
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    client.wait(KvClient::new(client.channel()).range(request)).unwrap();
    refused(range(&client, "", "a"), Code::InvalidArgument, NOBODY);
    for bad in [
        "nonsense".to_string(),
        format!("{secret}."),
        format!("{secret}.1"),
        format!("x{token}"),
        "..".to_string(),
    ] {
        refused(range(&client, &bad, "a"), Code::Unauthenticated, INVALID);
    }
    if engine == Engine::Ours {
        // etcd waits for this place in the log until the client gives up.
        let far = format!("{secret}.18446744073709551615");
        refused(range(&client, &far, "a"), Code::Unauthenticated, INVALID);
    }
    let failed = "etcdserver: authentication failed, invalid user ID or password";
    refused(log_in(&client, "alice", "PW"), Code::InvalidArgument, failed);
    refused(log_in(&client, "eve", "pw"), Code::InvalidArgument, failed);
    refused(log_in(&client, "", ""), Code::InvalidArgument, failed);
}

fn a_password_change_ends_the_tokens(engine: Engine) {
    let (_cluster, client) = single(engine);
    set_up(&client);
    let root = log_in(&client, "root", "pw").unwrap();
    let alice = log_in(&client, "alice", "pw").unwrap();
    let mut auth = AuthClient::new(client.channel());
    let change = pb::AuthUserChangePasswordRequest {
        name: "alice".into(),
        password: "new".into(),
        ..Default::default()
    };
    client.wait(auth.user_change_password(with(&root, change))).unwrap();
    refused(range(&client, &alice, "a"), Code::Unauthenticated, INVALID);
    let alice = log_in(&client, "alice", "new").unwrap();
    range(&client, &alice, "a").unwrap();
    let delete = pb::AuthUserDeleteRequest { name: "alice".into() };
    client.wait(auth.user_delete(with(&root, delete))).unwrap();
    refused(range(&client, &alice, "a"), Code::Unauthenticated, INVALID);
    client.wait(auth.auth_disable(with(&root, pb::AuthDisableRequest {}))).unwrap();
    client.wait(auth.auth_enable(pb::AuthEnableRequest {})).unwrap();
    refused(range(&client, &root, "a"), Code::Unauthenticated, INVALID);
}

fn op(request: Op) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn get_op(key: &'static str) -> pb::RequestOp {
    op(Op::RequestRange(pb::RangeRequest { key: key.into(), ..Default::default() }))
}

fn put_op(key: &'static str) -> pb::RequestOp {
    op(Op::RequestPut(pb::PutRequest { key: key.into(), ..Default::default() }))
}

fn then(success: Vec<pb::RequestOp>) -> pb::TxnRequest {
    pb::TxnRequest { success, ..Default::default() }
}

fn transactions(engine: Engine) {
    let (_cluster, client) = single(engine);
    client.put("secret", "s").unwrap();
    set_up(&client);
    let alice = log_in(&client, "alice", "pw").unwrap();
    let compare = |key: &'static str| pb::TxnRequest {
        compare: vec![pb::Compare { key: key.into(), ..Default::default() }],
        success: vec![get_op("a")],
        ..Default::default()
    };
    txn(&client, &alice, compare("r1")).unwrap();
    refused(txn(&client, &alice, compare("secret")), Code::PermissionDenied, DENIED);
    txn(&client, &alice, then(vec![put_op("w1"), get_op("r1")])).unwrap();
    for ops in [vec![get_op("w1")], vec![put_op("r1")], vec![put_op("a1"), get_op("secret")]] {
        refused(txn(&client, &alice, then(ops.clone())), Code::PermissionDenied, DENIED);
        let otherwise = pb::TxnRequest { failure: ops, ..Default::default() };
        refused(txn(&client, &alice, otherwise), Code::PermissionDenied, DENIED);
    }
    if engine == Engine::Ours {
        // CVE-2026-33343: what stood in a nested transaction was not looked at.
        for inner in [get_op("secret"), put_op("secret")] {
            let nested = then(vec![op(Op::RequestTxn(then(vec![inner])))]);
            refused(txn(&client, &alice, nested), Code::PermissionDenied, DENIED);
        }
        // CVE-2026-44283: nor the previous value or the lease of a put in a transaction.
        let previous = pb::PutRequest { key: "w1".into(), prev_kv: true, ..Default::default() };
        let request = then(vec![op(Op::RequestPut(previous))]);
        refused(txn(&client, &alice, request), Code::PermissionDenied, DENIED);
        refused(txn(&client, "", pb::TxnRequest::default()), Code::InvalidArgument, NOBODY);
    }
    assert_eq!(
        range(&client, &log_in(&client, "root", "pw").unwrap(), "secret").unwrap().kvs.len(),
        1
    );
}

fn previous_values(engine: Engine) {
    let (_cluster, client) = single(engine);
    set_up(&client);
    let alice = log_in(&client, "alice", "pw").unwrap();
    let plain = pb::PutRequest { key: "w1".into(), value: "v".into(), ..Default::default() };
    put(&client, &alice, plain.clone()).unwrap();
    let previous = pb::PutRequest { prev_kv: true, ..plain };
    refused(put(&client, &alice, previous), Code::PermissionDenied, DENIED);
    let delete = |prev_kv| {
        let request = pb::DeleteRangeRequest { key: "w1".into(), prev_kv, ..Default::default() };
        client.wait(KvClient::new(client.channel()).delete_range(with(&alice, request)))
    };
    refused(delete(true), Code::PermissionDenied, DENIED);
    assert_eq!(delete(false).unwrap().deleted, 1);
}

fn empty_ranges(engine: Engine) {
    let (_cluster, client) = single(engine);
    set_up(&client);
    let root = log_in(&client, "root", "pw").unwrap();
    let alice = log_in(&client, "alice", "pw").unwrap();
    let read = |token: &str, key: &'static str, end: &'static str| {
        let request =
            pb::RangeRequest { key: key.into(), range_end: end.into(), ..Default::default() };
        client.wait(KvClient::new(client.channel()).range(with(token, request)))
    };
    assert_eq!(read(&root, "b", "a").unwrap().kvs.len(), 0);
    refused(read(&alice, "s", "q"), Code::PermissionDenied, DENIED);
    if engine == Engine::Ours {
        // etcd 3.5.1 takes a permission for no key at all (#15619).
        let perm = Permission { perm_type: 2, key: "b".into(), range_end: "a".into() };
        let request = pb::AuthRoleGrantPermissionRequest { name: "r".into(), perm: Some(perm) };
        let mut auth = AuthClient::new(client.channel());
        refused(
            client.wait(auth.role_grant_permission(with(&root, request))),
            Code::InvalidArgument,
            "etcdserver: invalid auth management",
        );
        let request = pb::AuthUserAddRequest { name: "eve".into(), ..Default::default() };
        refused(
            client.wait(auth.user_add(with(&root, request))),
            Code::InvalidArgument,
            "etcdserver: user password is empty",
        );
    }
}

fn watch_refusals(engine: Engine) {
    let (_cluster, client) = single(engine);
    set_up(&client);
    let alice = log_in(&client, "alice", "pw").unwrap();
    let root = log_in(&client, "root", "pw").unwrap();
    let create = |key: &'static str, end: &'static str| pb::WatchRequest {
        request_union: Some(RequestUnion::CreateRequest(pb::WatchCreateRequest {
            key: key.into(),
            range_end: end.into(),
            ..Default::default()
        })),
    };
    let channel = client.channel();
    client.block_on(async {
        let requests =
            vec![create("secret", ""), create("a", "\0"), create("", "\0"), create("a", "b")];
        let (sender, stream) = tokio::sync::mpsc::channel(8);
        for request in requests {
            sender.send(request).await.unwrap();
        }
        let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
        let mut answers = WatchClient::new(channel.clone())
            .watch(with(&alice, stream))
            .await
            .unwrap()
            .into_inner();
        let denied = format!("rpc error: code = PermissionDenied desc = {DENIED}");
        // The third is CVE-2026-73499's: everything from the smallest key on.
        for _ in 0..3 {
            let answer = answers.message().await.unwrap().unwrap();
            assert!(answer.created && answer.canceled, "{answer:?}");
            assert_eq!((answer.watch_id, answer.cancel_reason.as_str()), (-1, denied.as_str()));
        }
        let answer = answers.message().await.unwrap().unwrap();
        assert!(answer.created && !answer.canceled, "the stream stays open: {answer:?}");
        {
            let request = pb::AuthUserRevokeRoleRequest { name: "alice".into(), role: "r".into() };
            AuthClient::new(channel.clone()).user_revoke_role(with(&root, request)).await.unwrap();
            let key = pb::PutRequest { key: "a1".into(), ..Default::default() };
            KvClient::new(channel.clone()).put(with(&root, key)).await.unwrap();
            let end = answers.message().await.unwrap().unwrap();
            assert!(end.canceled && !end.created && end.events.is_empty(), "{end:?}");
            assert_eq!((end.watch_id, end.cancel_reason.as_str()), (answer.watch_id, &*denied));
        }
        for (token, reason) in [
            ("", format!("rpc error: code = InvalidArgument desc = {NOBODY}")),
            ("bad.1", format!("rpc error: code = Unauthenticated desc = {INVALID}")),
        ] {
            let (sender, stream) = tokio::sync::mpsc::channel(1);
            sender.send(create("a", "")).await.unwrap();
            let stream = tokio_stream::wrappers::ReceiverStream::new(stream);
            let mut watch = WatchClient::new(channel.clone());
            let mut answers = watch.watch(with(token, stream)).await.unwrap().into_inner();
            let answer = answers.message().await.unwrap().unwrap();
            assert_eq!((answer.watch_id, answer.cancel_reason), (-1, reason));
        }
    });
}

/// Calls that name no key need somebody, or root.
fn methods_without_keys(engine: Engine) {
    let (_cluster, client) = single(engine);
    set_up(&client);
    let root = log_in(&client, "root", "pw").unwrap();
    let alice = log_in(&client, "alice", "pw").unwrap();
    let hash = |token: &str| {
        let request = with(token, pb::HashKvRequest { revision: 0 });
        client.wait(MaintenanceClient::new(client.channel()).hash_kv(request))
    };
    refused(hash(""), Code::InvalidArgument, NOBODY);
    refused(hash(&alice), Code::PermissionDenied, DENIED);
    hash(&root).unwrap();
    let leader = |token: &str| {
        let request = with(token, pb::MoveLeaderRequest { target_id: 1 });
        client.wait(MaintenanceClient::new(client.channel()).move_leader(request))
    };
    refused(leader(&alice), Code::PermissionDenied, DENIED);
    refused(leader(&root), Code::FailedPrecondition, "etcdserver: bad leader transferee");
    // CVE-2026-33413: these asked nobody.
    let grant = |token: &str| {
        let request = with(token, pb::LeaseGrantRequest { ttl: 60, id: 0 });
        client.wait(LeaseClient::new(client.channel()).lease_grant(request))
    };
    refused(grant(""), Code::InvalidArgument, NOBODY);
    grant(&alice).unwrap();
    let compact = |token: &str| {
        let request = with(token, pb::CompactionRequest { revision: 1, physical: false });
        client.wait(KvClient::new(client.channel()).compact(request))
    };
    refused(compact(""), Code::InvalidArgument, NOBODY);
    refused(compact(&alice), Code::PermissionDenied, DENIED);
    compact(&root).unwrap();
    let list = |token: &str| {
        let request = with(token, pb::MemberListRequest { linearizable: false });
        client.wait(ClusterClient::new(client.channel()).member_list(request))
    };
    refused(list(""), Code::InvalidArgument, NOBODY);
    list(&alice).unwrap();
    let alarm = |token: &str, action| {
        let request = pb::AlarmRequest { action, ..Default::default() };
        client.wait(MaintenanceClient::new(client.channel()).alarm(with(token, request)))
    };
    refused(alarm("", 0), Code::InvalidArgument, NOBODY);
    alarm(&alice, 0).unwrap();
    refused(alarm(&alice, 2), Code::PermissionDenied, DENIED);
    let status = |token: &str| {
        let request = with(token, pb::StatusRequest::default());
        client.wait(MaintenanceClient::new(client.channel()).status(request))
    };
    refused(status(""), Code::InvalidArgument, NOBODY);
    status(&alice).unwrap();
    let told = client.wait(AuthClient::new(client.channel()).auth_status(pb::AuthStatusRequest {}));
    assert!(told.unwrap().enabled);
}

fn a_login_is_known_to_all_members(engine: Engine) {
    let cluster = Cluster::start(engine, 3, &[]);
    let clients: Vec<Client> = (0..3).map(|index| cluster.client(index)).collect();
    set_up(&clients[0]);
    for (number, client) in clients.iter().enumerate() {
        // A member that lags may not ask for rights yet, and says so.
        let token = eventually("a login", || Ok::<_, String>(log_in(client, "alice", "pw")?));
        for other in &clients {
            // Also one that has not seen the login yet: it waits until it has.
            let key = pb::PutRequest { key: format!("a{number}").into(), ..Default::default() };
            put(other, &token, key).unwrap();
            refused(range(other, &token, "secret"), Code::PermissionDenied, DENIED);
        }
    }
}
