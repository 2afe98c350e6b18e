//! What is sent to the gateway that is no request, or hardly one: JSON that is broken or of the
//! wrong types, other methods, paths, headers.

use prost_reflect::DynamicMessage;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::Value;
use tonic::Code;

use crate::normal::Names;
use crate::spelling::{Parser, Spelling};
use crate::support::http;
use crate::wire::{PATHS, Wire, refusal};

/// Paths that are hardly one of the gateway's.
const ODD_PATHS: &[&str] = &[
    "/v3",
    "/v3/",
    "/v3/kv",
    "/v3/kv/",
    "/v3/kv/range/",
    "/v3//kv/range",
    "/v3/kv/range:x",
    "/v3/KV/range",
    "/v3/kv/Range",
    "/v3/kv/%72ange",
    "/v3/kv%2Frange",
    "/v3/kv/ran%zzge",
    "/v3alpha/kv/range",
    "/v3beta/kv/range",
    "/v3beta",
    "/v3/nosuch",
    "/v3/../v3/kv/range",
    "/v3/./kv/range",
    "/v2/kv/range",
    "/v3/watch/x",
    "/v3/kv/range?key=YQ==",
    "/v3/auth",
    "/v3/kv/range;x",
    "/v3/kv/rangestream",
];

const METHODS: &[&str] = &["GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "POST"];

const HEADERS: &[(&str, &str)] = &[
    ("Content-Type", "text/plain"),
    ("Content-Type", "application/x-www-form-urlencoded"),
    ("Content-Type", "application/grpc"),
    ("Content-Type", "application/json; charset=utf-8"),
    ("Accept", "application/xml"),
    ("Grpc-Timeout", "10S"),
    ("Grpc-Timeout", "soon"),
    ("Grpc-Timeout", ""),
    ("Grpc-Timeout", "-1S"),
    ("Grpc-Timeout", "1"),
    ("Grpc-Timeout", "123456789S"),
    ("Grpc-Metadata-Hasleader", "true"),
    ("Authorization", "nonsense"),
    ("Authorization", "Bearer nonsense"),
    ("X-HTTP-Method-Override", "GET"),
    ("X-Forwarded-For", "10.0.0.1"),
    ("Origin", "http://elsewhere.example"),
];

/// A request that only reads, to be put wrong in one place. Where is decided by the seed.
#[derive(Clone, Debug)]
pub struct Malformed {
    pub method: &'static str,
    pub request: Vec<u8>,
    pub seed: u64,
    pub parser: Parser,
}

/// A request over HTTP as it is sent.
#[derive(Debug)]
struct Sent {
    method: &'static str,
    path: String,
    header: Option<(&'static str, &'static str)>,
    body: String,
}

impl Malformed {
    pub fn answer(&self, wire: &Wire, names: &Names) -> String {
        let sent = self.sent(wire);
        let headers: Vec<(&str, &str)> = sent.header.into_iter().collect();
        let mut answer = http::send(wire.url(), sent.method, &sent.path, &headers, &sent.body);
        let told: Vec<String> = ["content-type", "location", "allow", "x-content-type-options"]
            .iter()
            .filter_map(|name| Some(format!("{name}: {}", answer.header(name)?)))
            .collect();
        // A HEAD has the length of what it leaves out.
        let text = if sent.method == "HEAD" { String::new() } else { answer.text() };
        let told = format!("HTTP {} {told:?} {}", answer.status, body(answer.status, &text, names));
        format!("{sent:?}\n{told}")
    }

    fn sent(&self, wire: &Wire) -> Sent {
        let random = &mut StdRng::seed_from_u64(self.seed);
        let mut spelling = Spelling::new(self.seed, self.parser);
        let (input, _) = wire.messages(self.method);
        let message = DynamicMessage::decode(input, &self.request[..]).expect("a message");
        let row = PATHS.iter().find(|(method, _)| *method == self.method);
        let path = format!("/v3/{}", row.expect("a path").1[0]);
        let mut sent = Sent { method: "POST", path, header: None, body: String::new() };
        // Before etcd 3.6 other texts said what is wrong with a method or a path.
        let kinds = if self.parser == Parser::Lenient { 20 } else { 17 };
        match random.random_range(0..kinds) {
            0..14 => sent.body = spelling.wrong(&message),
            14 => {
                let bodies = ["", " ", "\n", "{}", "{} {}", "{}x"];
                sent.body = (*bodies.choose(random).expect("bodies")).into();
            }
            15 | 16 => {
                // Before etcd 3.6 a token was looked at although nobody asked for one.
                let header = HEADERS.choose(random).copied();
                let is_token = header.is_some_and(|(name, _)| name == "Authorization");
                sent.header = header.filter(|_| !is_token || self.parser == Parser::Lenient);
                sent.body = spelling.object(&message);
            }
            17 => {
                sent.method = METHODS.choose(random).expect("methods");
                sent.body = spelling.object(&message);
            }
            _ => {
                sent.path = (*ODD_PATHS.choose(random).expect("paths")).to_owned();
                sent.body = spelling.object(&message);
            }
        }
        sent
    }
}

/// What an answer says. Each parser of JSON complains in words of its own, and only that it
/// complains is compared.
fn body(status: u16, text: &str, names: &Names) -> String {
    let Ok(mut body) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    if body.get("code").is_none() {
        level(&mut body, names);
        return body.to_string();
    }
    let refusal = refusal(status, text);
    let is_parser = refusal.code == Code::InvalidArgument
        && !["etcdserver: ", "invalid grpc-timeout"]
            .iter()
            .any(|own| refusal.text.starts_with(own));
    match is_parser {
        true => format!("refused by the parser with {status}"),
        false => format!("refused {:?} {:?}", refusal.code, refusal.text),
    }
}

/// Takes out what differs from server to server.
fn level(body: &mut Value, names: &Names) {
    match body {
        Value::Array(all) => all.iter_mut().for_each(|one| level(one, names)),
        Value::Object(rows) => {
            if let Some(header) = rows.get_mut("header").and_then(Value::as_object_mut) {
                header.retain(|name, _| name == "revision");
            }
            rows.remove("TTL");
            for (name, value) in rows {
                let id = value.as_str().and_then(|text| text.parse().ok());
                match (name.as_str(), id) {
                    ("lease" | "ID", Some(id)) => *value = names.lease(id).to_string().into(),
                    _ => level(value, names),
                }
            }
        }
        _ => {}
    }
}
