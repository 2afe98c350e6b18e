//! Keys and directories that end by themselves.

use super::http::open;
use super::{against_both, form, get, start};
use crate::support::eventually;
use crate::support::tools::Engine;

against_both!(
    a_key_expires_and_is_told,
    a_directory_takes_its_content_along,
    a_refresh_keeps_it_alive,
    it_expires_under_another_leader,
);

fn a_key_expires_and_is_told(engine: Engine) {
    let cluster = start(engine, 1);
    let set = form(&cluster, 0, "PUT", "/a", "value=1&ttl=2").with_status(201).json();
    assert_eq!(set["node"]["ttl"], 2);
    let url = cluster.nodes[0].client_url();
    let mut watch = open(&url, "GET", "/v2/keys/a?wait=true", &[], b"");
    let event = watch.line().unwrap();
    assert_eq!(event["action"], "expire");
    assert_eq!(event["node"]["createdIndex"], set["node"]["createdIndex"]);
    assert_eq!(event["node"]["value"], serde_json::Value::Null);
    assert_eq!(event["prevNode"]["value"], "1");
    assert_eq!(event["prevNode"]["expiration"], set["node"]["expiration"]);
    let gone = get(&cluster, 0, "/a").with_status(404);
    assert_eq!(gone.index(), event["node"]["modifiedIndex"].as_u64().unwrap());
}

fn a_directory_takes_its_content_along(engine: Engine) {
    let cluster = start(engine, 1);
    form(&cluster, 0, "PUT", "/d", "dir=true&ttl=1").with_status(201);
    form(&cluster, 0, "PUT", "/d/a", "value=1").with_status(201);
    form(&cluster, 0, "PUT", "/stays", "value=1&ttl=1000");
    // Permanent again.
    form(&cluster, 0, "PUT", "/stays", "value=1");
    eventually("the end of the directory", || match get(&cluster, 0, "/d/a").status {
        404 => Ok(()),
        status => Err(status.to_string()),
    });
    assert_eq!(get(&cluster, 0, "/d").with_status(404).json()["cause"], "/d");
    assert_eq!(get(&cluster, 0, "/stays").json()["node"]["ttl"], serde_json::Value::Null);
}

fn a_refresh_keeps_it_alive(engine: Engine) {
    let cluster = start(engine, 1);
    form(&cluster, 0, "PUT", "/short", "value=1&ttl=1");
    form(&cluster, 0, "PUT", "/kept", "value=1&ttl=1");
    form(&cluster, 0, "PUT", "/kept", "refresh=true&ttl=1000").with_status(200);
    eventually("the end of the other key", || match get(&cluster, 0, "/short").status {
        404 => Ok(()),
        status => Err(status.to_string()),
    });
    let kept = get(&cluster, 0, "/kept").with_status(200).json();
    assert!(kept["node"]["ttl"].as_u64().unwrap() > 900, "{kept}");
}

fn it_expires_under_another_leader(engine: Engine) {
    let mut cluster = start(engine, 3);
    let leader = cluster.leader();
    form(&cluster, leader, "PUT", "/a", "value=1&ttl=3").with_status(201);
    cluster.nodes[leader].kill();
    let next = cluster.leader();
    eventually("the end of the key", || match get(&cluster, next, "/a").status {
        404 => Ok(()),
        status => Err(status.to_string()),
    });
}
