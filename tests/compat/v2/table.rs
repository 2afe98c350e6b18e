//! A table of requests, sent to etcd 3.4 and to ours in the same order: statuses, headers and
//! bodies must be equal.
//!
//! Made equal before that: the index at which the first request found the store (etcd counts
//! its members' names there), times, and what stands for raft and the cluster.

use crate::support::tools::{self, Engine};

use super::http::{Answer, request};
use super::level::level;
use super::start;

/// `METHOD path-below-/v2/keys [form]`.
const KEYS: &[&str] = &[
    "GET ",
    "GET /",
    "PUT /a value=1&ttl=100000",
    "PUT /a value=2",
    "GET /a",
    "HEAD /a",
    "HEAD /none",
    "HEAD /a?wait=true",
    "PATCH /a",
    "PUT /d dir=true",
    "PUT /d dir=true",
    "PUT /d?prevExist=true ttl=100000",
    "PUT /d?prevExist=true ttl=100000&refresh=true",
    "PUT /d value=x&prevExist=true",
    "PUT /d value=x",
    "GET /d",
    // Refreshing.
    "PUT /r value=x&ttl=50000",
    "PUT /r refresh=true&ttl=60000",
    "PUT /r refresh=true&ttl=70000&prevExist=true",
    "PUT /r refresh=true&ttl=70000&prevValue=x",
    "PUT /r refresh=true&ttl=70000&prevValue=y",
    "PUT /r refresh=true&ttl=10000&dir=true",
    "PUT /r refresh=true",
    "PUT /r refresh=true&value=y&ttl=3000",
    "PUT /r refresh=true&ttl=",
    "PUT /r refresh=x",
    "PUT /none refresh=true&ttl=3000",
    "PUT /d refresh=true&ttl=100000",
    "PUT /r2 refresh=true&ttl=100000&prevExist=false",
    "POST /r3 refresh=true&ttl=100000",
    // Times to live.
    "PUT /t value=y&ttl=",
    "PUT /t value=y&ttl=-1",
    "PUT /t value=y&ttl=1.5",
    "PUT /t value=y&ttl=x",
    // Comparing.
    "PUT /a?prevValue=nope value=3",
    "PUT /a?prevValue=nope&prevIndex=1 value=3",
    "PUT /a?prevIndex=1 value=3",
    "PUT /a?prevIndex=x value=3",
    "PUT /a?prevIndex= value=3",
    "PUT /a?prevValue= value=3",
    "PUT /a?prevExist= value=3",
    "PUT /a?prevExist=false value=3",
    "PUT /a?prevExist=true&prevValue=2 value=3",
    "PUT /a?prevExist=true&prevIndex=1 value=3",
    "PUT /none?prevExist=true value=3",
    "PUT /none?prevValue=1 value=3",
    "PUT /none/x?prevIndex=1 value=3",
    "PUT /new/x?prevExist=false&prevValue=1 value=3",
    "PUT /d?prevValue=1 value=3",
    "PUT /?prevValue=1 value=3",
    // The root.
    "PUT / value=1",
    "PUT / dir=true",
    "PUT /?prevExist=true value=1",
    "PUT /?prevExist=false value=1",
    "DELETE /",
    "DELETE /?recursive=true",
    "DELETE /?prevValue=1",
    // Through files.
    "PUT /a/b value=1",
    "POST /a value=1",
    "GET /a/b/c",
    "DELETE /a/b?recursive=true",
    // In order, hidden, listed.
    "POST /q value=1",
    "POST /q value=2&ttl=20000",
    "POST /q dir=true",
    "PUT /q/_hidden value=1",
    "PUT /_h/x/y value=1",
    "GET /q?sorted=true",
    "GET /_h?recursive=true",
    "GET /q/_hidden",
    "GET ?sorted=true",
    "GET /?sorted=true&recursive=true",
    "GET /?sorted=true&recursive=true&quorum=true",
    // Deleting.
    "DELETE /none",
    "DELETE /none/x",
    "DELETE /q",
    "DELETE /q?dir=true",
    "DELETE /d?dir=true",
    "DELETE /q?prevValue=1",
    "DELETE /a?prevValue=nope",
    "DELETE /a?prevIndex=1",
    "DELETE /a?prevValue=3",
    "DELETE /q?recursive=true",
    "DELETE /t?dir=true",
    // Without values.
    "PUT /n value=1&noValueOnSuccess=true",
    "PUT /n value=2&noValueOnSuccess=true",
    "PUT /n?prevValue=2 value=1&noValueOnSuccess=1",
    "PUT /n?prevExist=true value=1&noValueOnSuccess=t",
    "POST /n2 value=1&noValueOnSuccess=True",
    "GET /n?noValueOnSuccess=true",
    "DELETE /n?noValueOnSuccess=true",
    // Bad parameters.
    "GET /z?a;b",
    "GET /z?a=%zz",
    "PUT /z a=%4",
    "GET /z?recursive=",
    "GET /z?recursive=2",
    "GET /z?sorted=q",
    "GET /z?wait=q",
    "GET /z?dir=q",
    "GET /z?quorum=q",
    "GET /z?stream=q",
    "GET /z?noValueOnSuccess=q",
    "GET /z?prevExist=q",
    "GET /z?refresh=q",
    "GET /z?refresh=true",
    "GET /z?waitIndex=-1",
    "GET /z?waitIndex=18446744073709551616",
    "GET /z?ttl=q",
    "GET /z?=&&%41=b",
    "PUT /z?wait=true value=1",
    "POST /z?wait=true value=1",
    "DELETE /z?wait=true",
    "GET /z?wait=true&waitIndex=x&recursive=q",
    // Odd keys and values.
    "PUT /odd%2Fx%20y%3f%c3%a9+ value=a+b%26",
    "GET /odd/x%20y%3F%C3%A9+",
    "PUT /bytes value=%ff%fe%00%08%7f%e2%80%a8%0c%3Ca%26%3E",
    "PUT /two?value=q&value=r value=a&value=b",
    "PUT /two?value=q dir=false",
    "PUT /slash/ value=1",
    "GET /slash/",
    "GET /%00",
    "GET //slash",
    "PUT /./slash value=1",
    "PUT /./slash? value=1",
    "GET /../keys/slash?a=b",
    "GET /%2e%2e/x",
    "PUT /%e9 value=1",
];

/// `METHOD path [JSON]`.
const OTHERS: &[&str] = &[
    "GET /v2/",
    "GET /v2/x",
    "GET /v2/keysx",
    "GET /v2/stats",
    "GET /v2/stats/self/",
    "GET /v2/members/x",
    "GET /v2/members/leader/",
    "GET /v2/membersx",
    "GET /v2/machines/",
    "GET /v2//members",
    "HEAD /v2/members",
    "PATCH /v2/members",
    "PUT /v2/members",
    "DELETE /v2/members",
    "DELETE /v2/members/",
    "POST /v2/machines",
    "POST /v2/stats/self",
    "POST /v2/stats/leader",
    "HEAD /v2/stats/store",
    "POST /v2/members {",
    "POST /v2/members []",
    "POST /v2/members 1",
    "POST /v2/members null",
    "POST /v2/members {}",
    "POST /v2/members {\"peerURLs\":[]}",
    "POST /v2/members {\"peerURLs\":\"x\"}",
    "POST /v2/members {\"peerURLs\":[1]}",
    "POST /v2/members {\"peerURLs\":[\"x\"]}",
    "POST /v2/members {\"peerURLs\":[\"\"]}",
    "POST /v2/members {\"peerURLs\":[\"http://127.0.0.1\"]}",
    "POST /v2/members {\"peerURLs\":[\"http://127.0.0.1:1/x\"]}",
    "PUT /v2/members/1234 {",
    "DELETE /v2/members/1234",
    "DELETE /v2/members/xyz",
    "DELETE /v2/members/+1",
    "DELETE /v2/members/1/2",
    "DELETE /v2/members/11112222333344445",
];

/// The answers to a table, one after another.
fn answers(url: &str, table: &[&str], below: &str, kind: &str) -> Vec<Answer> {
    let base = request(url, "GET", "/v2/keys", &[], b"").index();
    let ask = |row: &&str| {
        let mut words = row.splitn(3, ' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let body = words.next().unwrap_or_default();
        let path = format!("{below}{path}");
        level(request(url, method, &path, &[("Content-Type", kind)], body.as_bytes()), base)
    };
    table.iter().map(ask).collect()
}

fn compare(table: &[&str], below: &str, kind: &str) {
    let [etcd, ours] = [Engine::Etcd34, Engine::Ours].map(|engine| {
        let cluster = start(engine, 1);
        answers(&cluster.nodes[0].client_url(), table, below, kind)
    });
    let mut differences = Vec::new();
    for ((row, etcd), ours) in table.iter().zip(etcd).zip(ours) {
        if etcd != ours {
            differences.push(format!("{row}\n  etcd {etcd:?}\n  ours {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

fn engines_are_there() -> bool {
    tools::are_there([Engine::Etcd34.program(), Engine::Ours.program()])
}

#[test]
fn keys_are_answered_as_by_etcd34() {
    if engines_are_there() {
        compare(KEYS, "/v2/keys", "application/x-www-form-urlencoded");
    }
}

#[test]
fn members_and_the_rest_are_answered_as_by_etcd34() {
    if engines_are_there() {
        compare(OTHERS, "", "application/json");
    }
}

#[test]
fn a_form_needs_its_type_and_has_a_limit() {
    if !engines_are_there() {
        return;
    }
    for engine in [Engine::Etcd34, Engine::Ours] {
        let cluster = start(engine, 1);
        let url = cluster.nodes[0].client_url();
        let put = |kind: &str, body: &[u8]| {
            request(&url, "PUT", "/v2/keys/a", &[("Content-Type", kind)], body)
        };
        for other in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
            assert_eq!(put(other, b"value=1").json()["node"]["value"], "", "{engine} {other}");
        }
        let kind = "Application/X-WWW-Form-URLEncoded; charset=utf-8";
        assert_eq!(put(kind, b"value=1").json()["node"]["value"], "1", "{engine}");
        let large = format!("value={}", "x".repeat(10 << 20));
        let refused = put(kind, large.as_bytes()).with_status(400).json();
        assert_eq!(
            (&refused["errorCode"], &refused["cause"]),
            (&210.into(), &"http: POST too large".into())
        );
        let plain =
            request(&url, "POST", "/v2/members", &[("Content-Type", "text/plain; a=b")], b"x");
        assert_eq!(plain.status, 415);
        let text = "{\"message\":\"Bad Content-Type text/plain, accept application/json\"}";
        assert_eq!(plain.body, text, "{engine}");
    }
}

/// What the article on discovery has people type, answered to the byte.
#[test]
fn the_curl_line_of_the_article() {
    if !engines_are_there() {
        return;
    }
    for engine in [Engine::Etcd34, Engine::Ours] {
        let cluster = start(engine, 1);
        let key = "/discovery/6c007a14875d53d9bf0ef5a6fc0257c817f0fb83/_config/size";
        let set = super::form(&cluster, 0, "PUT", key, "value=3").with_status(201);
        let index = set.index();
        let expected = format!(
            "{{\"action\":\"set\",\"node\":{{\"key\":\"{key}\",\"value\":\"3\",\
             \"modifiedIndex\":{index},\"createdIndex\":{index}}}}}\n"
        );
        assert_eq!(set.body, expected, "{engine}");
    }
}

/// Beyond etcd: what it takes and ours refuses, without harm.
#[test]
fn what_is_too_deep_or_too_large_is_refused() {
    let cluster = start(Engine::Ours, 1);
    let deep = "/a".repeat(400);
    let refused = super::form(&cluster, 0, "PUT", &deep, "value=1").with_status(400).json();
    assert_eq!(refused["errorCode"], 210);
    let deep = "/a".repeat(250);
    super::form(&cluster, 0, "PUT", &deep, "value=1").with_status(201);
    super::get(&cluster, 0, "?recursive=true").with_status(200);
    super::form(&cluster, 0, "DELETE", "/a?recursive=true", "").with_status(200);
    let long = format!("/{}", "x".repeat(30_000));
    super::form(&cluster, 0, "PUT", &long, "value=1").with_status(201);
    super::get(&cluster, 0, &long).with_status(200);
    let large = format!("value={}", "x".repeat(2 << 20));
    let refused = super::form(&cluster, 0, "PUT", "/a", &large).with_status(500).json();
    assert_eq!(refused["cause"], "etcdserver: request is too large");
    let mut over = super::form(&cluster, 0, "PUT", "/t", "value=1&ttl=18446744073709551615");
    over = over.with_status(201);
    assert_eq!(over.json()["node"]["expiration"], "2262-04-11T23:47:16.854775807Z");
}
