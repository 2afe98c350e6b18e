//! The JSON gateway: a table of requests with the answers that etcd gives, and the streams.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, WebSocket, client};

use crate::against_every_server;
use crate::support::cluster::Cluster;
use crate::support::http::{self, Answer};
use crate::support::tools::Engine;

against_every_server!(
    every_unary_method,
    refusals,
    the_json_of_requests,
    requests_that_are_no_json,
    paths_and_methods,
    a_watch,
    a_watch_asked_bit_by_bit,
    keep_alives,
    a_snapshot,
    lock_and_election,
    a_message_over_the_limit,
    a_time_limit,
    calls_share_one_limit,
    over_a_websocket,
    it_can_be_switched_off,
);

fn single(engine: Engine) -> (Cluster, String) {
    let cluster = Cluster::start(engine, 1, &[]);
    let url = cluster.nodes[0].client_url();
    (cluster, url)
}

fn send(url: &str, path: &str, body: &str) -> Answer {
    http::send(url, "POST", path, &[], body)
}

/// The status and the answer, without what differs from cluster to cluster.
fn post(url: &str, path: &str, body: &str) -> (u16, Value) {
    let mut answer = send(url, path, body);
    let json = answer.json();
    let kind = answer.header("content-type");
    assert_eq!(kind, Some("application/json"), "{path} {body}: {json}");
    (answer.status, plain(json))
}

/// Takes out what differs from cluster to cluster.
fn plain(mut json: Value) -> Value {
    if let Some(header) = json.get_mut("header").and_then(Value::as_object_mut) {
        for id in ["cluster_id", "member_id", "raft_term"] {
            let value = header.remove(id).unwrap_or_else(|| panic!("no {id}: {header:?}"));
            assert!(value.as_str().is_some_and(|text| text.parse::<u64>().is_ok()), "{value}");
        }
    }
    json
}

/// The answer of a request that must work.
#[track_caller]
fn done(url: &str, path: &str, body: &str) -> Value {
    let (status, json) = post(url, path, body);
    assert_eq!(status, 200, "{path} {body}: {json}");
    json
}

/// etcd 3.4 has another HTTP status for some codes.
fn http_status(engine: Engine, status: u16, code: u64) -> u16 {
    if engine == Engine::Etcd34 && code == 9 { 412 } else { status }
}

#[track_caller]
fn refused(
    engine: Engine,
    url: &str,
    (path, body): (&str, &str),
    status: u16,
    code: u64,
    text: &str,
) {
    let (actual, json) = post(url, path, body);
    let expected = json!({ "code": code, "message": text, "error": text });
    assert_eq!(json, expected, "{path} {body}");
    assert_eq!(actual, http_status(engine, status, code), "{path} {body}");
}

fn every_unary_method(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &["--strict-reconfig-check=false"]);
    let url = cluster.nodes[0].client_url();
    let rev = |revision: &str| json!({ "header": { "revision": revision } });
    let pair = json!({ "key": "YQ==", "create_revision": "2", "mod_revision": "2",
                       "version": "1", "value": "Yg==" });
    for (path, body, expected) in [
        ("/v3/kv/put", r#"{"key":"YQ==","value":"Yg=="}"#, rev("2")),
        (
            "/v3/kv/range",
            r#"{"key":"YQ=="}"#,
            json!({ "header": { "revision": "2" }, "kvs": [pair], "count": "1" }),
        ),
        (
            "/v3/kv/txn",
            r#"{"compare":[{"key":"YQ==","target":"VALUE","value":"Yg==","result":"EQUAL"}],
                "success":[{"requestPut":{"key":"Yw=="}},{"request_range":{"key":"eg=="}}]}"#,
            json!({ "header": { "revision": "3" }, "succeeded": true, "responses": [
                { "response_put": { "header": { "revision": "3" } } },
                { "response_range": { "header": { "revision": "3" } } } ] }),
        ),
        (
            "/v3/kv/deleterange",
            r#"{"key":"YQ==","prev_kv":true}"#,
            json!({ "header": { "revision": "4" }, "deleted": "1", "prev_kvs": [pair] }),
        ),
        ("/v3/kv/compaction", r#"{"revision":"3"}"#, rev("4")),
        (
            "/v3/lease/grant",
            r#"{"TTL":500,"ID":77}"#,
            json!({ "header": { "revision": "4" }, "ID": "77", "TTL": "500" }),
        ),
        (
            "/v3/lease/leases",
            "{}",
            json!({ "header": { "revision": "4" }, "leases": [{ "ID": "77" }] }),
        ),
        (
            "/v3/lease/timetolive",
            r#"{"ID":"5"}"#,
            json!({ "header": { "revision": "4" }, "ID": "5", "TTL": "-1" }),
        ),
        ("/v3/lease/revoke", r#"{"ID":77}"#, rev("4")),
        ("/v3/maintenance/defragment", "{}", json!({})),
    ] {
        assert_eq!(done(&url, path, body), expected, "{path} {body}");
    }
    let granted = done(&url, "/v3/kv/lease/leases", "");
    assert_eq!(granted, rev("4"), "there is no lease any more");
    let id = done(&url, "/v3/lease/grant", r#"{"TTL":500}"#)["ID"].clone();
    let left =
        done(&url, "/v3/kv/lease/timetolive", &json!({ "ID": id, "keys": true }).to_string());
    assert_eq!((&left["ID"], &left["grantedTTL"]), (&id, &json!("500")));
    assert_eq!(done(&url, "/v3/kv/lease/revoke", &json!({ "ID": id }).to_string()), rev("4"));

    let members = done(&url, "/v3/cluster/member/list", "{}");
    assert!(members["header"].get("revision").is_none(), "{members}");
    let member = &members["members"][0];
    assert_eq!((&member["name"], &member["clientURLs"]), (&json!("n1"), &json!([url])));
    let id = member["ID"].as_str().unwrap();
    let urls = json!({ "ID": id, "peerURLs": member["peerURLs"] }).to_string();
    let updated = done(&url, "/v3/cluster/member/update", &urls);
    assert_eq!(updated["members"][0]["ID"], id);
    let status = done(&url, "/v3/maintenance/status", "{}");
    assert_eq!((&status["leader"], status.get("isLearner")), (&json!(id), None));
    let transfer = json!({ "targetID": id }).to_string();
    assert_eq!(done(&url, "/v3/maintenance/transfer-leadership", &transfer), json!({}));
    assert!(done(&url, "/v3/maintenance/hash", "{}")["hash"].is_u64());
    if engine != Engine::Etcd34 {
        let alarms = done(&url, "/v3/maintenance/alarm", "{}");
        assert_eq!(alarms["header"]["revision"], "4");
    }
    if engine == Engine::Ours {
        // etcd 3.5.1 does not answer when it is alone and gets a learner that is not there.
        let added = done(
            &url,
            "/v3/cluster/member/add",
            r#"{"peerURLs":["http://127.0.0.1:1"],"isLearner":true}"#,
        );
        assert_eq!(added["member"]["isLearner"], json!(true));
        let learner = json!({ "ID": added["member"]["ID"] }).to_string();
        let removed = done(&url, "/v3/cluster/member/remove", &learner);
        assert_eq!(removed["members"].as_array().unwrap().len(), 1);
        // Of etcd 3.6.
        assert!(done(&url, "/v3/maintenance/hashkv", "{}")["hash"].is_u64());
    }
}

fn refusals(engine: Engine) {
    let (_cluster, url) = single(engine);
    let no_lease = "etcdserver: requested lease not found";
    let future = "etcdserver: mvcc: required revision is a future revision";
    done(&url, "/v3/lease/grant", r#"{"TTL":500,"ID":77}"#);
    for ((path, body), status, code, text) in [
        (("/v3/kv/range", "{}"), 400, 3, "etcdserver: key is not provided"),
        (("/v3/kv/range", ""), 400, 3, "etcdserver: key is not provided"),
        (("/v3/kv/range", r#"{"key":null}"#), 400, 3, "etcdserver: key is not provided"),
        (("/v3/kv/range", r#"{"key":"YQ==","revision":9}"#), 400, 11, future),
        (("/v3/kv/put", r#"{"key":"YQ==","lease":"5"}"#), 404, 5, no_lease),
        (("/v3/kv/txn", r#"{"success":[{}]}"#), 400, 3, "etcdserver: key not found"),
        (("/v3/kv/compaction", r#"{"revision":10000}"#), 400, 11, future),
        (("/v3/lease/grant", r#"{"TTL":500,"ID":77}"#), 400, 9, "etcdserver: lease already exists"),
        (("/v3/kv/lease/revoke", r#"{"ID":"5"}"#), 404, 5, no_lease),
        (("/v3/cluster/member/remove", r#"{"ID":5}"#), 404, 5, "etcdserver: member not found"),
        (("/v3/lock/lock", r#"{"name":"bQ==","lease":5}"#), 500, 2, no_lease),
        (("/v3/lock/unlock", "{}"), 500, 2, "etcdserver: key is not provided"),
        (("/v3/election/leader", r#"{"name":"eg=="}"#), 500, 2, "election: no leader"),
        (("/v3/election/proclaim", "{}"), 500, 2, r#""leader" field must be provided"#),
        (("/v3/election/resign", "{}"), 500, 2, r#""leader" field must be provided"#),
        (
            ("/v3/election/proclaim", r#"{"leader":{"key":"eg==","rev":3,"lease":7}}"#),
            500,
            2,
            "election: not leader",
        ),
    ] {
        refused(engine, &url, (path, body), status, code, text);
    }
    // Go's own library for JSON, and a body that the client means to fill in (etcd crashed).
    let malformed = r#"{"compare":[{"result":0,"target":1,"key":"Zm9v","TargetUnion":null}],
        "success":[{"Request":{"RequestPut":{"key":"Zm9v","value":"YmFy"}}}]}"#;
    refused(engine, &url, ("/v3/kv/txn", malformed), 400, 3, "etcdserver: key not found");
}

fn the_json_of_requests(engine: Engine) {
    let (_cluster, url) = single(engine);
    done(&url, "/v3/kv/put", r#"{"key":"YQ==","value":"Yg=="}"#);
    let expected = done(&url, "/v3/kv/range", r#"{"key":"YQ=="}"#);
    for body in [
        r#"{"key":"YQ==","limit":"1"}"#,
        r#"{"key":"YQ==","limit":1}"#,
        r#"{"key":"YQ==","limit":null,"sort_order":"DESCEND"}"#,
        r#"{"key":"YQ==","sort_order":2,"nosuch":{"key":[1,{}]}}"#,
        r#"{"key":"YQ==","sortOrder":"ASCEND","rangeEnd":"Yg=="}"#,
        "{\"key\":\"Y\\u0051==\"}\n",
        r#"  {"key":"YQ=="} behind the object nothing is read"#,
    ] {
        assert_eq!(done(&url, "/v3/kv/range", body), expected, "{body}");
    }
    if engine == Engine::Ours {
        // Of etcd 3.6: no padding, the alphabet for URLs, and numbers as JavaScript has them.
        for body in [r#"{"key":"YQ"}"#, r#"{"key":"YQ==","limit":1.0}"#] {
            assert_eq!(done(&url, "/v3/kv/range", body), expected, "{body}");
        }
        done(&url, "/v3/kv/put", r#"{"key":"_-8"}"#);
        assert_eq!(done(&url, "/v3/kv/range", r#"{"key":"/+8="}"#)["count"], "1");
    }
}

fn requests_that_are_no_json(engine: Engine) {
    let (_cluster, url) = single(engine);
    for body in [
        "{",
        "x",
        "[]",
        "\"x\"",
        r#"{"key":"a b"}"#,
        r#"{"key":5}"#,
        r#"{"key":"YQ==","limit":"x"}"#,
        r#"{"key":"YQ==","limit":1.5}"#,
        r#"{"key":"YQ==","limit":"9223372036854775808"}"#,
        r#"{"key":"YQ==","keys_only":"true"}"#,
        r#"{"key":"YQ==""#,
    ] {
        let (status, json) = post(&url, "/v3/kv/range", body);
        assert_eq!((status, &json["code"]), (400, &json!(3)), "{body}: {json}");
        assert!(json["message"].is_string(), "{body}: {json}");
    }
    // Nothing was written by any of it, and the member is well.
    let everything = done(&url, "/v3/kv/range", r#"{"key":"AA==","range_end":"AA=="}"#);
    assert_eq!(everything, json!({ "header": { "revision": "1" } }));
}

fn paths_and_methods(engine: Engine) {
    let (_cluster, url) = single(engine);
    let range = r#"{"key":"YQ=="}"#;
    for path in ["/v3beta/kv/range", "/v3/kv/range?x=1", "/v3/kv/ra%6Ege"] {
        done(&url, path, range);
    }
    // What is sent by HTTP/1 is no gRPC, whatever it calls itself.
    let kinds =
        ["text/plain", "application/x-www-form-urlencoded", "application/json", "application/grpc"];
    for kind in kinds {
        let headers = [("Content-Type", kind), ("Accept", "application/xml")];
        assert_eq!(http::send(&url, "POST", "/v3/kv/range", &headers, range).status, 200, "{kind}");
    }
    for path in ["/v3/nosuch", "/v3/", "/v3/lock", "/v3/kv/range/", "/v3/kv/range:x"] {
        assert_eq!(send(&url, path, "{}").status, 404, "{path}");
    }
    assert_eq!(send(&url, "/v3alpha/kv/range", range).status, 404);
    let mut answer = send(&url, "/v3/kv/ran%zzge", range);
    assert_eq!((answer.status, answer.text().as_str()), (400, "400 Bad Request"));
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let mut answer = http::send(&url, method, "/v3/kv/range", &[], range);
        if engine == Engine::Ours {
            // As etcd 3.6 says it; before, it was 405 and text.
            assert_eq!((answer.status, &answer.json()["code"]), (501, &json!(12)));
        } else {
            assert_eq!(answer.status, 405, "{method}");
        }
    }
    assert_eq!(http::send(&url, "OPTIONS", "/v3/kv/range", &[], "").status, 200);
    for path in ["/v3//kv/range?a=b", "/v3/./kv/range?a=b", "/v3/x/../kv/range?a=b"] {
        let moved = send(&url, path, range);
        assert!([301, 307].contains(&moved.status), "{path}: {}", moved.status);
        assert_eq!(moved.header("location"), Some("/v3/kv/range?a=b"), "{path}");
    }
}

/// The next result of a stream.
#[track_caller]
fn result(answer: &mut Answer) -> Value {
    let mut line = answer.line().expect("not the end");
    plain(line["result"].take())
}

fn a_watch(engine: Engine) {
    let (_cluster, url) = single(engine);
    done(&url, "/v3/kv/put", r#"{"key":"YQ==","value":"MQ=="}"#);
    let body = r#"{"create_request":{"key":"YQ==","start_revision":"2","prev_kv":true}}"#;
    let mut watch = send(&url, "/v3/watch", body);
    assert_eq!((watch.status, watch.header("content-type")), (200, Some("application/json")));
    let created = result(&mut watch);
    assert_eq!(created, json!({ "header": { "revision": "2" }, "created": true }));
    let first = json!({ "key": "YQ==", "create_revision": "2", "mod_revision": "2",
                        "version": "1", "value": "MQ==" });
    assert_eq!(result(&mut watch)["events"], json!([{ "kv": first }]));
    done(&url, "/v3/kv/deleterange", r#"{"key":"YQ=="}"#);
    let gone = json!([{ "type": "DELETE", "kv": { "key": "YQ==", "mod_revision": "3" },
                        "prev_kv": first }]);
    assert_eq!(result(&mut watch)["events"], gone);
}

fn a_watch_asked_bit_by_bit(engine: Engine) {
    if engine != Engine::Ours {
        // Go's server reads a request to its end before it answers by HTTP/1.
        return;
    }
    let (_cluster, url) = single(engine);
    let mut requests = http::begin(&url, "/v3/watch");
    http::write_chunk(&mut requests, r#"{"create_request":{"key":"Y"#);
    http::write_chunk(&mut requests, "Q==\"}}");
    let mut watch = Answer::read(requests);
    assert_eq!(result(&mut watch)["created"], json!(true));
    let two = r#"{"create_request":{"key":"Yg==","watch_id":"5"}} {"progress_request":{}}"#;
    http::write_chunk(&mut watch.stream, two);
    let created = result(&mut watch);
    assert_eq!((&created["watch_id"], &created["created"]), (&json!("5"), &json!(true)));
    assert_eq!(result(&mut watch)["watch_id"], "-1");
    http::write_chunk(&mut watch.stream, r#"{"cancel_request":{"watch_id":5}}"#);
    assert_eq!(result(&mut watch)["canceled"], json!(true));
    // The end of the requests is not the end of the watch.
    http::write_chunk(&mut watch.stream, "");
    done(&url, "/v3/kv/put", r#"{"key":"YQ=="}"#);
    assert_eq!(result(&mut watch)["events"][0]["kv"]["key"], "YQ==");
}

fn keep_alives(engine: Engine) {
    let (_cluster, url) = single(engine);
    done(&url, "/v3/lease/grant", r#"{"TTL":500,"ID":77}"#);
    let mut answer = send(&url, "/v3/lease/keepalive", r#"{"ID":77}{"ID":"78"}"#);
    assert_eq!(answer.status, 200);
    let header = json!({ "revision": "1" });
    assert_eq!(result(&mut answer), json!({ "header": header, "ID": "77", "TTL": "500" }));
    // A lease that is not there has no time left.
    assert_eq!(result(&mut answer), json!({ "header": header, "ID": "78" }));
    assert_eq!(answer.line(), None);
    assert_eq!(send(&url, "/v3/lease/keepalive", "").line(), None);
    let mut answer = send(&url, "/v3/lease/keepalive", r#"{"ID":77} then nonsense"#);
    assert_eq!(result(&mut answer)["TTL"], "500");
    assert_eq!(answer.line(), None);
    if engine == Engine::Ours {
        // etcd 3.5 says 500 to the same, and 3.6 may say nothing.
        let mut answer = send(&url, "/v3/lease/keepalive", "nonsense");
        assert_eq!((answer.status, &answer.json()["code"]), (400, &json!(3)));
    }
}

fn a_snapshot(engine: Engine) {
    let (_cluster, url) = single(engine);
    let mut answer = send(&url, "/v3/maintenance/snapshot", "{}");
    assert_eq!(answer.status, 200);
    let mut chunks = 0;
    let mut last = Value::Null;
    while let Some(mut line) = answer.line() {
        last = line["result"].take();
        assert!(last["blob"].is_string(), "{last}");
        chunks += 1;
    }
    assert!(chunks > 0);
    assert!(last.get("remaining_bytes").is_none(), "{last}");
}

fn lock_and_election(engine: Engine) {
    let (_cluster, url) = single(engine);
    done(&url, "/v3/lease/grant", r#"{"TTL":500,"ID":171}"#);
    let locked = done(&url, "/v3/lock/lock", r#"{"name":"bQ==","lease":"171"}"#);
    // m/ab
    assert_eq!(locked, json!({ "header": { "revision": "2" }, "key": "bS9hYg==" }));
    let unlocked = done(&url, "/v3/lock/unlock", r#"{"key":"bS9hYg=="}"#);
    assert_eq!(unlocked, json!({ "header": { "revision": "3" } }));
    let body = r#"{"name":"ZQ==","lease":171,"value":"dg=="}"#;
    let won = done(&url, "/v3/election/campaign", body);
    let leader = json!({ "name": "ZQ==", "key": "ZS9hYg==", "rev": "4", "lease": "171" });
    assert_eq!(won, json!({ "header": { "revision": "4" }, "leader": leader }));
    let kv = done(&url, "/v3/election/leader", r#"{"name":"ZQ=="}"#);
    assert_eq!(kv["kv"]["value"], "dg==");
    let mut observed = send(&url, "/v3/election/observe", r#"{"name":"ZQ=="}"#);
    assert_eq!(result(&mut observed)["kv"]["value"], "dg==");
    let word = json!({ "leader": leader, "value": "dw==" }).to_string();
    assert_eq!(
        done(&url, "/v3/election/proclaim", &word),
        json!({ "header": { "revision": "5" } })
    );
    assert_eq!(result(&mut observed)["kv"]["value"], "dw==");
    let resigned = done(&url, "/v3/election/resign", &json!({ "leader": leader }).to_string());
    assert_eq!(resigned, json!({ "header": { "revision": "6" } }));
}

fn a_message_over_the_limit(engine: Engine) {
    let (_cluster, url) = single(engine);
    // 2,250,000 bytes of value; the limit is of the message, not of its JSON.
    let body = format!(r#"{{"key":"YQ==","value":"{}"}}"#, "A".repeat(3_000_000));
    let text = "grpc: received message larger than max (2250008 vs. 2097152)";
    refused(engine, &url, ("/v3/kv/put", &body), 429, 8, text);
    let body = format!(r#"{{"key":"YQ==","value":"{}"}}"#, "A".repeat(2_000_000));
    done(&url, "/v3/kv/put", &body);
    if engine == Engine::Ours {
        // Far more than that is not even read to its end.
        let (status, json) =
            post(&url, "/v3/kv/put", &format!("{{\"x\":\"{}", "A".repeat(9_000_000)));
        assert_eq!((status, &json["code"]), (429, &json!(8)));
    }
}

fn a_time_limit(engine: Engine) {
    let (_cluster, url) = single(engine);
    done(&url, "/v3/lease/grant", r#"{"TTL":500,"ID":1}"#);
    done(&url, "/v3/lease/grant", r#"{"TTL":500,"ID":2}"#);
    done(&url, "/v3/lock/lock", r#"{"name":"bQ==","lease":1}"#);
    let headers = [("Grpc-Timeout", "300m")];
    let body = r#"{"name":"bQ==","lease":2}"#;
    let mut answer = http::send(&url, "POST", "/v3/lock/lock", &headers, body);
    assert_eq!((answer.status, &answer.json()["code"]), (504, &json!(4)));
    // Who gave up is not in line any more.
    crate::support::eventually("only the holder's key", || {
        let left = done(&url, "/v3/kv/range", r#"{"key":"bS8=","range_end":"bTA="}"#);
        if left["count"] == "1" { Ok(()) } else { Err(left.to_string()) }
    });
    let mut answer =
        http::send(&url, "POST", "/v3/kv/range", &[("Grpc-Timeout", "soon")], r#"{"key":"YQ=="}"#);
    assert_eq!(
        (answer.status, &answer.json()["message"]),
        (400, &json!("invalid grpc-timeout: soon"))
    );
}

fn calls_share_one_limit(engine: Engine) {
    if engine != Engine::Ours {
        // A flag of later versions.
        return;
    }
    let cluster = Cluster::start(engine, 1, &["--max-concurrent-streams=3"]);
    let url = cluster.nodes[0].client_url();
    let mut watches = Vec::new();
    for _ in 0..3 {
        let mut watch = send(&url, "/v3/watch", r#"{"create_request":{"key":"YQ=="}}"#);
        assert_eq!(result(&mut watch)["created"], json!(true));
        watches.push(watch);
    }
    let range = r#"{"key":"YQ=="}"#;
    let limit = [("Grpc-Timeout", "300m")];
    assert_eq!(http::send(&url, "POST", "/v3/kv/range", &limit, range).status, 504);
    watches.pop();
    // It waits until the member has seen that the watch is over.
    done(&url, "/v3/kv/range", range);
}

fn over_a_websocket(engine: Engine) {
    let (_cluster, url) = single(engine);
    let address = url.strip_prefix("http://").unwrap();
    let open = |path: &str| {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        let (socket, agreed) = client(format!("ws://{address}{path}"), stream).unwrap();
        assert_eq!(agreed.status(), 101);
        socket
    };
    let next = |socket: &mut WebSocket<_>| {
        let text = socket.read().unwrap().into_text().unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let mut watch = open("/v3/watch");
    for key in ["YQ==", "Yg=="] {
        let create = json!({ "create_request": { "key": key } }).to_string();
        watch.send(Message::text(create)).unwrap();
        assert_eq!(next(&mut watch)["result"]["created"], json!(true));
    }
    done(&url, "/v3/kv/put", r#"{"key":"Yg=="}"#);
    let event = next(&mut watch);
    assert_eq!(event["result"]["watch_id"], "1");
    assert_eq!(event["result"]["events"][0]["kv"]["key"], "Yg==");
    watch.close(None).unwrap();
    if engine == Engine::Etcd35 {
        // etcd 3.5.1 keeps an answer that is no stream to itself.
        return;
    }
    let mut range = open("/v3/kv/range");
    range.send(Message::text(r#"{"key":"Yg=="}"#)).unwrap();
    assert_eq!(next(&mut range)["count"], "1");
    // The end of the answer is the end of the connection.
    assert!(!matches!(range.read(), Ok(Message::Text(_) | Message::Binary(_))));
}

fn it_can_be_switched_off(engine: Engine) {
    let cluster = Cluster::start(engine, 1, &["--enable-grpc-gateway=false"]);
    let url = cluster.nodes[0].client_url();
    assert_eq!(send(&url, "/v3/kv/range", r#"{"key":"YQ=="}"#).status, 404);
}
