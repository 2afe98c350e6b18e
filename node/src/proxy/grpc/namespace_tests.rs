//! The namespace against a naive model: requests with the prefix typed by hand, on a key space that
//! also holds other keys.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::mvccpb::Event;

use super::*;

const PREFIX: &str = "app/";

fn through<M: Message>(path: &str, message: &M) -> Result<Bytes, Status> {
    Namespace::new(PREFIX).request(path, message.encode_to_vec().into())
}

fn back<M: Message + Default>(path: &str, message: &M) -> M {
    let cut = Namespace::new(PREFIX).response(path, message.encode_to_vec().into()).unwrap();
    M::decode(cut).unwrap()
}

fn pair(key: &str) -> KeyValue {
    KeyValue { key: key.to_owned().into(), value: key.to_owned().into(), ..Default::default() }
}

/// The keys that an interval holds, as a member reads it.
fn held(keys: &BTreeMap<Vec<u8>, ()>, key: &[u8], end: &[u8]) -> Vec<Vec<u8>> {
    let fits = |one: &&Vec<u8>| match end {
        b"" => one[..] == *key,
        b"\0" => one[..] >= *key,
        _ => one[..] >= *key && one[..] < *end,
    };
    keys.keys().filter(fits).cloned().collect()
}

fn short_key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![Just(0_u8), Just(b'a'), Just(b'b'), Just(255)], 0..3)
}

proptest! {
    /// A client in the namespace sees of any interval what it would see of a cluster that holds
    /// the namespace's keys alone.
    #[test]
    fn an_interval_holds_the_same_keys_as_in_a_cluster_of_its_own(
        prefix in proptest::collection::vec(prop_oneof![Just(b'p'), Just(254_u8), Just(255)], 1..3),
        inside in proptest::collection::btree_set(short_key().prop_filter("a key", |key| !key.is_empty()), 0..8),
        outside in proptest::collection::btree_set(short_key(), 0..8),
        key in short_key(),
        end in short_key(),
    ) {
        let namespace = Namespace { prefix: prefix.clone().into() };
        let alone: BTreeMap<Vec<u8>, ()> = inside.iter().map(|key| (key.clone(), ())).collect();
        let mut all: BTreeMap<Vec<u8>, ()> =
            outside.into_iter().filter(|key| !key.starts_with(&prefix)).map(|key| (key, ())).collect();
        all.extend(inside.iter().map(|key| ([&prefix[..], &key[..]].concat(), ())));

        let request = pb::RangeRequest {
            key: key.clone().into(),
            range_end: end.clone().into(),
            ..Default::default()
        };
        let passed = namespace.request(methods::RANGE, request.encode_to_vec().into());
        if key.is_empty() {
            let refused = passed.unwrap_err();
            prop_assert_eq!(refused.message(), "etcdserver: key is not provided");
            return Ok(());
        }
        let passed = pb::RangeRequest::decode(passed.unwrap()).unwrap();
        let found = held(&all, &passed.key, &passed.range_end);
        prop_assert!(found.iter().all(|key| key.starts_with(&prefix)), "{found:?}");
        let kvs = found.into_iter().map(|key| KeyValue { key: key.into(), ..Default::default() });
        let answer = pb::RangeResponse { kvs: kvs.collect(), ..Default::default() };
        let told = namespace.response(methods::RANGE, answer.encode_to_vec().into()).unwrap();
        let told: Vec<Vec<u8>> =
            pb::RangeResponse::decode(told).unwrap().kvs.iter().map(|kv| kv.key.to_vec()).collect();
        prop_assert_eq!(told, held(&alone, &key, &end));
    }

    /// What is no message ends in an error, not in a panic, and nothing passes undecoded.
    #[test]
    fn nonsense_is_an_error_or_still_a_message(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let namespace = Namespace::new(PREFIX);
        for path in [methods::RANGE, methods::TXN, methods::WATCH, methods::LOCK, methods::RESIGN] {
            let _ = namespace.request(path, bytes.clone().into());
            let _ = namespace.response(path, bytes.clone().into());
        }
    }

    #[test]
    fn without_a_namespace_nothing_is_touched(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
        let bytes = Bytes::from(bytes);
        let namespace = Namespace::new("");
        prop_assert_eq!(namespace.request(methods::TXN, bytes.clone()).unwrap(), bytes.clone());
        prop_assert_eq!(namespace.response(methods::TXN, bytes.clone()).unwrap(), bytes);
    }
}

/// A transaction with everything that has keys, whose keys are made by `key`.
fn transaction(key: impl Fn(&str) -> Bytes, all: Bytes) -> pb::TxnRequest {
    let operation = |request| pb::RequestOp { request: Some(request) };
    let range = pb::RangeRequest { key: key("a"), range_end: all.clone(), ..Default::default() };
    let put = pb::PutRequest { key: key("b"), value: "v".into(), ..Default::default() };
    let delete = pb::DeleteRangeRequest { key: key("c"), range_end: key("d"), prev_kv: true };
    let compare = pb::Compare { key: key("e"), range_end: all, ..Default::default() };
    let inner = pb::TxnRequest {
        compare: vec![pb::Compare { key: key("f"), ..Default::default() }],
        success: vec![operation(Operation::RequestPut(put.clone()))],
        failure: vec![operation(Operation::RequestRange(range.clone()))],
    };
    pb::TxnRequest {
        compare: vec![compare],
        success: vec![
            operation(Operation::RequestRange(range)),
            operation(Operation::RequestTxn(inner)),
        ],
        failure: vec![
            operation(Operation::RequestPut(put)),
            operation(Operation::RequestDeleteRange(delete)),
        ],
    }
}

#[test]
fn every_key_of_a_transaction_is_the_one_with_the_prefix_typed_by_hand() {
    let plain = transaction(|key| key.to_owned().into(), "\0".into());
    let typed = transaction(|key| format!("{PREFIX}{key}").into(), "app0".into());
    let passed = through(methods::TXN, &plain).unwrap();
    assert_eq!(pb::TxnRequest::decode(passed).unwrap(), typed);
    let empty = pb::TxnRequest { compare: vec![pb::Compare::default()], ..Default::default() };
    assert_eq!(through(methods::TXN, &empty).unwrap_err().code(), tonic::Code::InvalidArgument);
}

#[test]
fn every_key_of_an_answer_loses_the_prefix() {
    let outcome = |response| pb::ResponseOp { response: Some(response) };
    let inner = pb::TxnResponse {
        responses: vec![outcome(Outcome::ResponsePut(pb::PutResponse {
            prev_kv: Some(pair("app/a")),
            ..Default::default()
        }))],
        ..Default::default()
    };
    let response = pb::TxnResponse {
        responses: vec![
            outcome(Outcome::ResponseRange(pb::RangeResponse {
                kvs: vec![pair("app/b"), pair("app/app/c")],
                ..Default::default()
            })),
            outcome(Outcome::ResponseDeleteRange(pb::DeleteRangeResponse {
                prev_kvs: vec![pair("app/d")],
                ..Default::default()
            })),
            outcome(Outcome::ResponseTxn(inner)),
        ],
        ..Default::default()
    };
    let text = format!("{:?}", back(methods::TXN, &response));
    for (key, times) in
        [("key: b\"a\"", 1), ("key: b\"b\"", 1), ("key: b\"app/c\"", 1), ("key: b\"d\"", 1)]
    {
        assert_eq!(text.matches(key).count(), times, "{key} in {text}");
    }
    let event =
        Event { kv: Some(pair("app/k")), prev_kv: Some(pair("app/k")), ..Default::default() };
    let watched = pb::WatchResponse { events: vec![event], ..Default::default() };
    let event = back(methods::WATCH, &watched).events.remove(0);
    assert_eq!(
        (&event.kv.unwrap().key[..], &event.prev_kv.unwrap().key[..]),
        (&b"k"[..], &b"k"[..])
    );
    let lease = pb::LeaseTimeToLiveResponse {
        keys: vec!["app/a".into(), "other".into(), "app/b".into()],
        ..Default::default()
    };
    assert_eq!(back(methods::TIME_TO_LIVE, &lease).keys, [Bytes::from("a"), Bytes::from("b")]);
}

#[test]
fn a_watch_of_everything_is_one_of_the_namespace() {
    let create = |key: &str, end: &str| pb::WatchRequest {
        request_union: Some(pb::watch_request::RequestUnion::CreateRequest(
            pb::WatchCreateRequest {
                key: key.to_owned().into(),
                range_end: end.to_owned().into(),
                start_revision: 3,
                ..Default::default()
            },
        )),
    };
    for (given, passed) in [
        (create("", "\0"), create("app/\0", "app0")),
        (create("k", ""), create("app/k", "")),
        (create("k", "l"), create("app/k", "app/l")),
    ] {
        let message = through(methods::WATCH, &given).unwrap();
        assert_eq!(pb::WatchRequest::decode(message).unwrap(), passed);
    }
}

#[test]
fn names_of_locks_and_elections_are_keys() {
    let asked = through(methods::LOCK, &lock::LockRequest { name: "l".into(), lease: 1 }).unwrap();
    assert_eq!(&lock::LockRequest::decode(asked).unwrap().name[..], b"app/l");
    let answer = lock::LockResponse { header: None, key: "app/l/1".into() };
    assert_eq!(&back(methods::LOCK, &answer).key[..], b"l/1");
    let won = election::CampaignResponse {
        header: None,
        leader: Some(election::LeaderKey {
            name: "app/e".into(),
            key: "app/e/1".into(),
            rev: 1,
            lease: 1,
        }),
    };
    let leader = back(methods::CAMPAIGN, &won).leader.unwrap();
    assert_eq!((&leader.name[..], &leader.key[..]), (&b"e"[..], &b"e/1"[..]));
    let resigned =
        through(methods::RESIGN, &election::ResignRequest { leader: Some(leader) }).unwrap();
    let leader = election::ResignRequest::decode(resigned).unwrap().leader.unwrap();
    assert_eq!((&leader.name[..], &leader.key[..]), (&b"app/e"[..], &b"app/e/1"[..]));
}
