//! Maintenance by the gateway while users are asked for: who may, who may not, and that the
//! answer is JSON in either case.

use serde_json::{Value, json};

use crate::support::cluster::Cluster;
use crate::support::http::{self, Answer};
use crate::support::tools::Engine;

fn send(url: &str, token: &str, path: &str, body: &str) -> Answer {
    let header = [("Authorization", token)];
    let headers = if token.is_empty() { &[][..] } else { &header[..] };
    http::send(url, "POST", path, headers, body)
}

#[track_caller]
fn done(url: &str, token: &str, path: &str, body: &str) -> Value {
    let mut answer = send(url, token, path, body);
    let json = answer.json();
    assert_eq!(answer.status, 200, "{path} {body}: {json}");
    json
}

#[track_caller]
fn refused(url: &str, token: &str, (path, body): (&str, &str), (status, text): (u16, &str)) {
    let mut answer = send(url, token, path, body);
    let said = answer.text();
    // A stream that is refused says so in a line of its own form.
    let json: Value = serde_json::from_str(said.trim_end()).expect(path);
    let message = json.get("message").unwrap_or(&json["error"]["message"]);
    assert_eq!((answer.status, message), (status, &json!(text)), "{path} {body}");
}

/// root, who may do all, and alice, who may read `a`; their tokens.
fn with_users(url: &str) -> (String, String) {
    for (path, body) in [
        ("user/add", r#"{"name":"root","password":"pw"}"#),
        ("user/add", r#"{"name":"alice","password":"pw"}"#),
        ("role/add", r#"{"name":"root"}"#),
        ("role/add", r#"{"name":"r"}"#),
        ("role/grant", r#"{"name":"r","perm":{"permType":"READ","key":"YQ=="}}"#),
        ("user/grant", r#"{"user":"root","role":"root"}"#),
        ("user/grant", r#"{"user":"alice","role":"r"}"#),
        ("enable", "{}"),
    ] {
        done(url, "", &format!("/v3/auth/{path}"), body);
    }
    let log_in = |name: &str| {
        let body = json!({ "name": name, "password": "pw" }).to_string();
        let answer = done(url, "", "/v3/auth/authenticate", &body);
        answer["token"].as_str().expect("a token").to_owned()
    };
    (log_in("root"), log_in("alice"))
}

#[test]
fn maintenance_by_the_gateway_asks_for_rights() {
    let cluster = Cluster::start(Engine::Ours, 1, &["--bcrypt-cost=4"]);
    let url = cluster.nodes[0].client_url();
    let (root, alice) = with_users(&url);
    let status = done(&url, &root, "/v3/maintenance/status", "{}");
    let own = json!({ "targetID": status["leader"] }).to_string();
    let nobody = (400, "etcdserver: user name is empty");
    let forged = (401, "etcdserver: invalid auth token");
    let denied = (403, "etcdserver: permission denied");
    for (path, body, is_for_all) in [
        ("status", "{}", true),
        ("alarm", "{}", true),
        ("alarm", r#"{"action":"ACTIVATE","alarm":"NOSPACE"}"#, false),
        ("alarm", r#"{"action":"DEACTIVATE","alarm":"NOSPACE"}"#, false),
        ("hash", "{}", false),
        ("hashkv", "{}", false),
        ("defragment", "{}", false),
        ("snapshot", "{}", false),
        ("transfer-leadership", &own, false),
        ("downgrade", r#"{"action":"VALIDATE","version":"3.5.0"}"#, false),
    ] {
        let path = format!("/v3/maintenance/{path}");
        refused(&url, "", (&path, body), nobody);
        refused(&url, "nonsense", (&path, body), forged);
        match is_for_all {
            true => drop(done(&url, &alice, &path, body)),
            false => refused(&url, &alice, (&path, body), denied),
        }
        let mut answer = send(&url, &root, &path, body);
        let said = answer.text();
        assert_eq!(answer.status, 200, "{path} {body}: {said}");
    }
}
