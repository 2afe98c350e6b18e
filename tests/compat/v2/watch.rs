//! Waiting for changes: one event or a stream, from now or from an index.

use serde_json::Value;

use super::http::{Open, open};
use super::{against_both, form, get, start};
use crate::support::cluster::Cluster;
use crate::support::tools::Engine;

against_both!(
    a_change_ends_a_wait,
    an_index_of_the_past_is_answered_at_once,
    a_stream_goes_on,
    a_directory_is_watched_with_its_content,
    hidden_keys_are_not_seen_from_above,
    what_goes_with_its_directory_is_told,
    a_refresh_wakes_nobody,
    history_ends_after_a_thousand_events,
    a_watcher_at_a_follower_hears_of_writes_elsewhere,
);

fn watch(cluster: &Cluster, node: usize, key_and_query: &str) -> Open {
    let path = format!("/v2/keys{key_and_query}");
    let open = open(&cluster.nodes[node].client_url(), "GET", &path, &[], b"");
    assert_eq!(open.head.status, 200, "{:?}", open.head);
    open
}

/// Action and key of the next event.
#[track_caller]
fn next(watch: &mut Open) -> (String, String) {
    let event = watch.line().expect("an event");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    (text(&event["action"]), text(&event["node"]["key"]))
}

#[track_caller]
fn expect(watch: &mut Open, action: &str, key: &str) {
    assert_eq!(next(watch), (action.to_owned(), key.to_owned()));
}

fn a_change_ends_a_wait(engine: Engine) {
    let cluster = start(engine, 1);
    let before = form(&cluster, 0, "PUT", "/a", "value=1").index();
    // The head comes before the event: so it is known that the wait has begun.
    let mut waiting = watch(&cluster, 0, "/a?wait=true");
    assert_eq!(waiting.head.headers["content-type"], "application/json");
    assert_eq!(waiting.head.index(), before);
    form(&cluster, 0, "PUT", "/b", "value=1");
    let set = form(&cluster, 0, "PUT", "/a", "value=2");
    assert_eq!(waiting.line().unwrap(), set.json());
    assert_eq!(waiting.line(), None);
}

fn an_index_of_the_past_is_answered_at_once(engine: Engine) {
    let cluster = start(engine, 1);
    let first = form(&cluster, 0, "PUT", "/a", "value=1");
    form(&cluster, 0, "PUT", "/b", "value=1");
    let last = form(&cluster, 0, "DELETE", "/a", "");
    let from = |index: u64| get(&cluster, 0, &format!("/a?wait=true&waitIndex={index}"));
    assert_eq!(from(first.index()).json(), first.json());
    let second = from(first.index() + 1);
    assert_eq!((second.json(), second.index()), (last.json(), last.index()));
}

fn a_stream_goes_on(engine: Engine) {
    let cluster = start(engine, 1);
    let mut stream = watch(&cluster, 0, "/a?wait=true&stream=true");
    for value in 0..20 {
        let set = form(&cluster, 0, "PUT", "/a", &format!("value={value}"));
        assert_eq!(stream.line().unwrap(), set.json());
    }
}

fn a_directory_is_watched_with_its_content(engine: Engine) {
    let cluster = start(engine, 1);
    let mut all = watch(&cluster, 0, "/d?wait=true&stream=true&recursive=true");
    let mut only = watch(&cluster, 0, "/d?wait=true&stream=true");
    let mut root = watch(&cluster, 0, "?wait=true&stream=true&recursive=true");
    form(&cluster, 0, "PUT", "/d/x/y", "value=1");
    form(&cluster, 0, "PUT", "/dx", "value=1");
    form(&cluster, 0, "PUT", "/d", "prevExist=true&ttl=100");
    for key in ["/d/x/y", "/dx", "/d"] {
        let action = if key == "/d" { "update" } else { "set" };
        expect(&mut root, action, key);
        if key != "/dx" {
            expect(&mut all, action, key);
        }
    }
    expect(&mut only, "update", "/d");
}

fn hidden_keys_are_not_seen_from_above(engine: Engine) {
    let cluster = start(engine, 1);
    let mut above = watch(&cluster, 0, "/d?wait=true&stream=true&recursive=true");
    let mut at = watch(&cluster, 0, "/d/_h?wait=true&stream=true&recursive=true");
    form(&cluster, 0, "PUT", "/d/_h/x", "value=1");
    form(&cluster, 0, "PUT", "/d/x", "value=1");
    expect(&mut at, "set", "/d/_h/x");
    expect(&mut above, "set", "/d/x");
}

fn what_goes_with_its_directory_is_told(engine: Engine) {
    let cluster = start(engine, 1);
    form(&cluster, 0, "PUT", "/d/x/y", "value=1");
    let mut file = watch(&cluster, 0, "/d/x/y?wait=true");
    form(&cluster, 0, "DELETE", "/d?recursive=true", "");
    expect(&mut file, "delete", "/d");
}

fn a_refresh_wakes_nobody(engine: Engine) {
    let cluster = start(engine, 1);
    form(&cluster, 0, "PUT", "/a", "value=1&ttl=1000");
    let mut stream = watch(&cluster, 0, "/a?wait=true&stream=true");
    let refreshed = form(&cluster, 0, "PUT", "/a", "refresh=true&ttl=2000").with_status(200);
    assert_eq!(refreshed.json()["node"]["value"], "1");
    let set = form(&cluster, 0, "PUT", "/a", "value=2");
    assert_eq!(stream.line().unwrap(), set.json());
    let query = format!("/a?wait=true&waitIndex={}", refreshed.index());
    assert_eq!(get(&cluster, 0, &query).json(), set.json());
}

fn history_ends_after_a_thousand_events(engine: Engine) {
    let cluster = start(engine, 1);
    let first = form(&cluster, 0, "PUT", "/a", "value=0").index();
    for value in 1..1000 {
        form(&cluster, 0, "PUT", "/a", &format!("value={value}"));
    }
    let from = |index: u64| get(&cluster, 0, &format!("/a?wait=true&waitIndex={index}"));
    from(first).with_status(200);
    form(&cluster, 0, "PUT", "/a", "value=last");
    let gone = from(first).with_status(400);
    assert_eq!(gone.json()["errorCode"], 401);
    let cause = format!("the requested history has been cleared [{}/{first}]", first + 1);
    assert_eq!(gone.json()["cause"], cause);
    assert_eq!(gone.json()["index"], first + 1000);
    from(first + 1).with_status(200);
}

fn a_watcher_at_a_follower_hears_of_writes_elsewhere(engine: Engine) {
    let cluster = start(engine, 3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let mut waiting = watch(&cluster, follower, "/a?wait=true");
    let set = form(&cluster, leader, "PUT", "/a", "value=1");
    assert_eq!(waiting.line().unwrap(), set.json());
}
