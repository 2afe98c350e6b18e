//! The v2 keys: the same random requests to ours and to etcd 3.4, statuses, headers and bodies
//! compared to the byte.
//!
//! Indexes in requests are counted from where each server began.

#[path = "../../compat/v2/http.rs"]
#[allow(dead_code)]
mod http;
#[path = "../../compat/v2/level.rs"]
mod level;

mod generate;

use serde_json::Value;

use crate::support::cluster::Cluster;
use crate::support::eventually;
use crate::support::tools::{self, Engine};
use crate::{both, different, from_environment, say, seeds};
use generate::{Ask, Generator, Request};
use http::Answer;

/// Requests in a run, unless the environment says otherwise.
const REQUESTS: u64 = 300;

const FORM: &str = "application/x-www-form-urlencoded";

/// How many requests before a difference are shown with it.
const SHOWN_BEFORE: usize = 8;

#[test]
fn as_etcd34_answers_v2() {
    if !tools::are_there([Engine::Ours.program(), Engine::Etcd34.program()]) {
        return;
    }
    let count = from_environment("ETCD_TUI_DIFFERENTIAL_REQUESTS").unwrap_or(REQUESTS);
    for seed in seeds() {
        say(&format!("v2 run with {}: seed {seed}, {count} requests\n", Engine::Etcd34));
        run(seed, count);
    }
}

fn run(seed: u64, count: u64) {
    let theirs = Side::start(Engine::Etcd34);
    let ours = Side::start(Engine::Ours);
    let mut generator = Generator::new(seed);
    let mut asked: Vec<Ask> = Vec::new();
    for step in 0..count {
        let ask = generator.next();
        let right = theirs.answer(&ask);
        let answer = ours.answer(&ask);
        generator.learn(theirs.index());
        if answer != right {
            let before = &asked[asked.len().saturating_sub(SHOWN_BEFORE)..];
            different(&format!(
                "seed {seed}, request {step} is answered differently\n\
                 before it: {before:?}\nrequest: {ask:?}\n{}\n",
                both(Engine::Etcd34, &right, &answer)
            ));
        }
        asked.push(ask);
    }
}

/// A server, and where it began.
struct Side {
    cluster: Cluster,
    base: u64,
}

impl Side {
    fn start(engine: Engine) -> Side {
        let cluster = Cluster::start(engine, 1, &["--enable-v2=true"]);
        let mut side = Side { cluster, base: 0 };
        side.base = side.index();
        side
    }

    /// The newest index, counted from its begin.
    fn index(&self) -> u64 {
        let answer = http::request(&self.url(), "HEAD", "/v2/keys/nothing", &[], b"");
        answer.index() - self.base
    }

    fn url(&self) -> String {
        self.cluster.nodes[0].client_url()
    }

    fn answer(&self, ask: &Ask) -> String {
        match ask {
            Ask::Request(request) => format!("{:?}", self.ask(request)),
            Ask::Wait(wait, write) => self.wait(wait, write),
            Ask::Expire(key) => self.expire(key),
            Ask::Shape(path) => {
                let answer = http::request(&self.url(), "GET", path, &[], b"");
                format!("{} {}", answer.status, shape(&answer.json()))
            }
        }
    }

    fn ask(&self, request: &Request) -> Answer {
        let (path, body) = (self.real(&request.path), self.real(&request.body));
        let headers = [("Content-Type", FORM)];
        let method = request.method;
        let answer = http::request(&self.url(), method, &path, &headers, body.as_bytes());
        let mut answer = level::level(answer, self.base);
        // Values are no numbers here, so what is compared and is one is an index.
        for (before, end) in [("[", " "), (" != ", "]")] {
            answer.body = level::renumber(&answer.body, before, end, self.base);
        }
        if method == "GET" && !path.contains("sorted=true") {
            answer.body = in_order(&answer.body);
        }
        // Go tells the length of what is short, and of nothing that a HEAD leaves out.
        answer.headers.remove("content-length");
        answer.headers.remove("transfer-encoding");
        answer
    }

    /// `{7}` is the index that is 7 after the begin.
    fn real(&self, text: &str) -> String {
        let Some((before, rest)) = text.split_once('{') else { return text.to_owned() };
        let (number, after) = rest.split_once('}').expect("an index");
        let index = self.base + number.parse::<u64>().expect("a number");
        format!("{before}{index}{}", self.real(after))
    }

    /// Waits for what the write does.
    fn wait(&self, wait: &Request, write: &Request) -> String {
        let waiting = http::open(&self.url(), wait.method, &self.real(&wait.path), &[], b"");
        let written = self.ask(write);
        let told = level::level(waiting.finish(), self.base);
        format!("{told:?}\n{written:?}")
    }

    /// A key that ends by itself.
    fn expire(&self, key: &str) -> String {
        let path = format!("/v2/keys{key}");
        let put = Request { method: "PUT", path: path.clone(), body: "value=x&ttl=1".into() };
        let put = self.ask(&put);
        let get = Request { method: "GET", path: path.clone(), body: String::new() };
        let gone = eventually("the end of a key", || {
            let answer = self.ask(&get);
            if answer.status == 200 { Err(format!("{answer:?}")) } else { Ok(answer) }
        });
        let past = format!("{path}?wait=true&waitIndex={}", self.base + self.index());
        let event = level::level(http::request(&self.url(), "GET", &past, &[], b""), self.base);
        format!("{put:?}\n{gone:?}\n{event:?}")
    }
}

/// Lists of keys in order: etcd gives them in any, if nobody asks for one.
fn in_order(body: &str) -> String {
    fn sort(node: &mut Value) {
        let Some(nodes) = node.get_mut("nodes").and_then(Value::as_array_mut) else { return };
        nodes.iter_mut().for_each(sort);
        nodes.sort_by_key(|node| node["key"].as_str().unwrap_or_default().to_owned());
    }
    let Ok(mut event) = serde_json::from_str::<Value>(body) else { return body.to_owned() };
    sort(&mut event["node"]);
    event.to_string()
}

/// The names in a value and the kinds of what they stand for.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(rows) => {
            let rows = rows.iter().map(|(name, value)| format!("{name}: {}", shape(value)));
            format!("{{{}}}", rows.collect::<Vec<_>>().join(", "))
        }
        Value::Array(all) => format!("[{}]", all.first().map(shape).unwrap_or_default()),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "truth".into(),
        Value::Null => "null".into(),
    }
}
