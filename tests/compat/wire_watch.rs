//! The watch stream, message by message.

use std::time::Duration;

use prost::Message as _;
use proto::etcdserverpb as pb;
use proto::etcdserverpb::kv_client::KvClient;
use proto::etcdserverpb::lease_client::LeaseClient;
use proto::etcdserverpb::watch_client::WatchClient;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::etcdserverpb::watch_request::RequestUnion;
use tokio::sync::mpsc::{Sender, channel};
use tokio_stream::wrappers::ReceiverStream;

use crate::against_every_server;
use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

against_every_server!(
    ids_are_given_and_taken,
    created_comes_before_events,
    cancel_ends_one_watch_only,
    filters_and_previous_values,
    large_responses_are_fragmented,
    bad_ranges_are_cancelled,
    compaction_cancels_with_its_revision,
    progress_of_the_whole_stream,
    a_watch_of_everything,
    keep_alive_stream,
);

/// An open watch stream.
struct Stream<'a> {
    client: &'a Client,
    requests: Sender<pb::WatchRequest>,
    responses: tonic::Streaming<pb::WatchResponse>,
}

impl<'a> Stream<'a> {
    fn open(client: &'a Client) -> Stream<'a> {
        let (requests, receiver) = channel(64);
        let mut watches =
            WatchClient::new(client.channel()).max_decoding_message_size(64 * 1024 * 1024);
        // etcd answers the call only with its first message, so one must be on its way.
        requests.try_send(request(create("unused"))).expect("room for the first request");
        let call = watches.watch(ReceiverStream::new(receiver));
        let responses = client.block_on(call).expect("a watch stream").into_inner();
        let mut stream = Stream { client, requests, responses };
        let created = stream.next();
        assert!(created.created && created.watch_id == 0, "{created:?}");
        stream
    }

    fn send(&self, union: RequestUnion) {
        self.client.block_on(self.requests.send(request(union))).expect("an open stream");
    }

    /// The next message.
    #[track_caller]
    fn next(&mut self) -> pb::WatchResponse {
        let message = self
            .client
            .block_on(async { tokio::time::timeout(PATIENCE, self.responses.message()).await });
        message.expect("a message in time").expect("an open stream").expect("not the end")
    }

    /// The next message, if one comes soon.
    fn next_soon(&mut self) -> Option<pb::WatchResponse> {
        let soon = Duration::from_millis(500);
        let message = self
            .client
            .block_on(async { tokio::time::timeout(soon, self.responses.message()).await });
        message.ok()?.expect("an open stream")
    }
}

fn request(union: RequestUnion) -> pb::WatchRequest {
    pb::WatchRequest { request_union: Some(union) }
}

fn create(key: &'static str) -> RequestUnion {
    create_with(pb::WatchCreateRequest { key: key.into(), ..Default::default() })
}

fn create_with(create: pb::WatchCreateRequest) -> RequestUnion {
    RequestUnion::CreateRequest(create)
}

fn single(engine: Engine) -> (Cluster, Client) {
    let cluster = Cluster::start(engine, 1, &[]);
    let client = cluster.client(0);
    (cluster, client)
}

fn events(response: &pb::WatchResponse) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let of = |event: &proto::mvccpb::Event| {
        let kv = event.kv.as_ref().expect("a key");
        (text(&kv.key), text(&kv.value))
    };
    response.events.iter().map(of).collect()
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.into(), value.into())
}

fn ids_are_given_and_taken(engine: Engine) {
    let (_cluster, client) = single(engine);
    let mut stream = Stream::open(&client);
    stream.send(create("a"));
    assert_eq!(stream.next().watch_id, 1);
    stream.send(create_with(pb::WatchCreateRequest {
        key: "b".into(),
        watch_id: 7,
        ..Default::default()
    }));
    let created = stream.next();
    assert!(created.created && !created.canceled && created.watch_id == 7, "{created:?}");
    stream.send(create_with(pb::WatchCreateRequest {
        key: "c".into(),
        watch_id: 7,
        ..Default::default()
    }));
    let refused = stream.next();
    assert!(refused.created && refused.canceled && refused.watch_id == -1, "{refused:?}");
    assert_eq!(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    // The stream and its other watches go on.
    client.put("b", "1").unwrap();
    let response = stream.next();
    assert_eq!((response.watch_id, events(&response)), (7, vec![pair("b", "1")]));
}

fn created_comes_before_events(engine: Engine) {
    let (_cluster, client) = single(engine);
    client.put("k", "1").unwrap();
    client.put("k", "2").unwrap();
    let mut stream = Stream::open(&client);
    stream.send(create_with(pb::WatchCreateRequest {
        key: "k".into(),
        start_revision: 2,
        ..Default::default()
    }));
    let created = stream.next();
    assert!(created.created && created.events.is_empty(), "{created:?}");
    assert_eq!(created.header.as_ref().unwrap().revision, 3);
    let response = stream.next();
    assert_eq!(events(&response), [pair("k", "1"), pair("k", "2")]);
}

fn cancel_ends_one_watch_only(engine: Engine) {
    let (_cluster, client) = single(engine);
    let mut stream = Stream::open(&client);
    stream.send(create("k"));
    stream.send(create("k"));
    assert_eq!((stream.next().watch_id, stream.next().watch_id), (1, 2));
    stream.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 1 }));
    let canceled = stream.next();
    assert!(canceled.canceled && canceled.watch_id == 1, "{canceled:?}");
    client.put("k", "1").unwrap();
    let response = stream.next();
    assert_eq!((response.watch_id, events(&response)), (2, vec![pair("k", "1")]));
    // What is not there cannot be cancelled, and nothing is said about it.
    stream.send(RequestUnion::CancelRequest(pb::WatchCancelRequest { watch_id: 99 }));
    client.put("k", "2").unwrap();
    assert_eq!(events(&stream.next()), [pair("k", "2")]);
}

fn filters_and_previous_values(engine: Engine) {
    let (_cluster, client) = single(engine);
    client.put("k", "1").unwrap();
    client.put("k", "2").unwrap();
    let delete = pb::DeleteRangeRequest { key: "k".into(), ..Default::default() };
    client.wait(KvClient::new(client.channel()).delete_range(delete)).unwrap();
    let mut stream = Stream::open(&client);
    let from_start = |filter: FilterType| {
        create_with(pb::WatchCreateRequest {
            key: "k".into(),
            start_revision: 1,
            prev_kv: true,
            filters: vec![filter as i32],
            ..Default::default()
        })
    };
    stream.send(from_start(FilterType::Noput));
    assert!(stream.next().created);
    let response = stream.next();
    assert_eq!(events(&response), [pair("k", "")]);
    let event = &response.events[0];
    assert_eq!(event.r#type, 1);
    assert_eq!(&event.prev_kv.as_ref().unwrap().value[..], b"2");
    let kv = event.kv.as_ref().unwrap();
    assert_eq!((kv.mod_revision, kv.create_revision, kv.version), (4, 0, 0));
    stream.send(from_start(FilterType::Nodelete));
    assert!(stream.next().created);
    let response = stream.next();
    assert_eq!(events(&response), [pair("k", "1"), pair("k", "2")]);
    assert!(response.events[0].prev_kv.is_none(), "nothing was there before");
    assert_eq!(response.events[1].prev_kv.as_ref().unwrap().mod_revision, 2);
}

fn large_responses_are_fragmented(engine: Engine) {
    let (_cluster, client) = single(engine);
    let value = "x".repeat(1_000_000);
    for key in ["a", "b", "c", "d", "e"] {
        client.put(key, &value).unwrap();
    }
    let mut stream = Stream::open(&client);
    let request = |fragment: bool| {
        create_with(pb::WatchCreateRequest {
            key: "a".into(),
            range_end: "z".into(),
            start_revision: 2,
            fragment,
            ..Default::default()
        })
    };
    stream.send(request(true));
    assert!(stream.next().created);
    let mut seen = Vec::new();
    loop {
        let response = stream.next();
        // The request limit and 512 KiB. etcd puts all revisions into one response and cuts
        // it; a server may as well send them one by one.
        assert!(
            response.encoded_len() <= 1_572_864 + (512 << 10),
            "{} bytes",
            response.encoded_len()
        );
        seen.extend(events(&response).into_iter().map(|(key, _)| key));
        if !response.fragment && seen.len() == 5 {
            break;
        }
    }
    assert_eq!(seen, ["a", "b", "c", "d", "e"]);
    stream.send(request(false));
    assert!(stream.next().created);
    let mut whole = 0;
    while whole < 5 {
        let response = stream.next();
        assert!(!response.fragment);
        whole += response.events.len();
    }
}

fn bad_ranges_are_cancelled(engine: Engine) {
    let (_cluster, client) = single(engine);
    let mut stream = Stream::open(&client);
    stream.send(create_with(pb::WatchCreateRequest {
        key: "b".into(),
        range_end: "a".into(),
        ..Default::default()
    }));
    let refused = stream.next();
    assert!(refused.created && refused.canceled && refused.watch_id == -1, "{refused:?}");
    assert_eq!(refused.cancel_reason, "mvcc: watcher range is empty");
    stream.send(create("k"));
    let created = stream.next();
    assert!(created.created && !created.canceled, "the stream goes on: {created:?}");
}

fn compaction_cancels_with_its_revision(engine: Engine) {
    let (_cluster, client) = single(engine);
    for value in ["1", "2", "3", "4"] {
        client.put("k", value).unwrap();
    }
    let compact = pb::CompactionRequest { revision: 4, physical: true };
    client.wait(KvClient::new(client.channel()).compact(compact)).unwrap();
    let mut stream = Stream::open(&client);
    let from = |start_revision: i64| {
        create_with(pb::WatchCreateRequest {
            key: "k".into(),
            start_revision,
            ..Default::default()
        })
    };
    stream.send(from(3));
    assert!(stream.next().created);
    let canceled = stream.next();
    assert!(canceled.canceled && canceled.watch_id == 1, "{canceled:?}");
    assert_eq!(canceled.compact_revision, 4);
    assert!(canceled.events.is_empty());
    stream.send(from(4));
    assert!(stream.next().created);
    assert_eq!(events(&stream.next()), [pair("k", "3"), pair("k", "4")]);
}

fn progress_of_the_whole_stream(engine: Engine) {
    let (_cluster, client) = single(engine);
    let mut stream = Stream::open(&client);
    stream.send(create("k"));
    assert!(stream.next().created);
    client.put("other", "1").unwrap();
    // Not answered while a watcher still catches up, so asked until it is.
    let progress = (0..100).find_map(|_| {
        stream.send(RequestUnion::ProgressRequest(pb::WatchProgressRequest {}));
        stream.next_soon()
    });
    let progress = progress.expect("a progress notification");
    assert!(progress.events.is_empty() && !progress.created && !progress.canceled);
    assert_eq!(progress.header.as_ref().unwrap().revision, 2);
    // It is about all watches of the stream. etcd 3.4 and 3.5.1 answer with the id 0 or -1.
    if engine == Engine::Ours {
        assert_eq!(progress.watch_id, -1);
    }
}

fn a_watch_of_everything(engine: Engine) {
    let (_cluster, client) = single(engine);
    let mut stream = Stream::open(&client);
    // An empty key is the lowest one, a zero byte as the end is no end.
    stream.send(create_with(pb::WatchCreateRequest {
        range_end: vec![0].into(),
        ..Default::default()
    }));
    assert!(stream.next().created);
    for key in ["a", "\u{7f}", "z"] {
        client.put(key, "1").unwrap();
        assert_eq!(events(&stream.next()), [pair(key, "1")]);
    }
}

fn keep_alive_stream(engine: Engine) {
    let (_cluster, client) = single(engine);
    let mut leases = LeaseClient::new(client.channel());
    let grant = pb::LeaseGrantRequest { id: 7, ttl: 100 };
    client.wait(leases.lease_grant(grant)).unwrap();
    let (requests, receiver) = channel(4);
    for id in [7, 8, 7] {
        requests.try_send(pb::LeaseKeepAliveRequest { id }).unwrap();
    }
    let call = leases.lease_keep_alive(ReceiverStream::new(receiver));
    let mut answers = client.block_on(call).unwrap().into_inner();
    let mut next = || client.block_on(answers.message()).unwrap().unwrap();
    // An unknown lease has no time left; that is an answer, and the stream goes on.
    for (id, ttl) in [(7, 100), (8, 0), (7, 100)] {
        let answer = next();
        assert_eq!((answer.id, answer.ttl), (id, ttl));
        assert_eq!(answer.header.unwrap().revision, 1);
    }
}
