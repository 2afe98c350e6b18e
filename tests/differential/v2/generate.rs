//! Random requests to the v2 keys. Keys, values and indexes come from small sets, so that files
//! meet directories and comparisons are now true and now false.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};

const KEYS: &[&str] = &[
    "/a",
    "/b",
    "/a/b",
    "/d",
    "/d/x",
    "/d/y",
    "/d/x/z",
    "/d/_h",
    "/_h",
    "/_h/x",
    "/q",
    "/q/1",
    "",
    "/",
    "/d/",
    "/d//x",
    "/d/../a",
    "/caf%C3%A9",
    "/a%20b",
    "/a+b",
    "/%2e",
    "/d/x/../y",
    "/%FF",
];
const VALUES: &[&str] = &[
    "",
    "one",
    "two",
    "a+b",
    "%3Ca%26%22%5C%E2%80%A8",
    "%FF",
    "long%20value%0Awith%20lines",
    "true",
];
const TRUTHS: &[&str] = &["true", "false", "1", "0", "t", "F", "", "yes", "TRUE", "tRue"];
const LIVES: &[&str] = &["100000", "200000", "", "-1", "x", "1.5", "%2B5", "%205"];

const SHAPES: &[&str] =
    &["/v2/stats/self", "/v2/stats/leader", "/v2/stats/store", "/v2/members", "/v2/members/leader"];

/// A request over HTTP; in path and body `{n}` is the index n after the server's begin.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    pub path: String,
    pub body: String,
}

/// One step of a run.
#[derive(Clone, Debug)]
pub enum Ask {
    Request(Request),
    /// A wait, and the write that ends it.
    Wait(Request, Request),
    /// A key that expires.
    Expire(&'static str),
    /// Which fields there are: etcd counts some refusals as successes, so counters differ.
    Shape(&'static str),
}

/// The next request of a run.
pub struct Generator {
    random: StdRng,
    index: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { random: StdRng::seed_from_u64(seed), index: 0 }
    }

    /// Where the store is now.
    pub fn learn(&mut self, index: u64) {
        self.index = index;
    }

    fn one_in(&mut self, n: u32) -> bool {
        self.random.random_ratio(1, n)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        *from.choose(&mut self.random).expect("not empty")
    }

    pub fn next(&mut self) -> Ask {
        match self.random.random_range(0..300) {
            0 => Ask::Expire(self.pick(&["/t/1", "/t/_2", "/t/d/3"])),
            1..6 => Ask::Shape(self.pick(SHAPES)),
            6..20 => self.wait(),
            _ => Ask::Request(self.request()),
        }
    }

    fn request(&mut self) -> Request {
        let method = match self.random.random_range(0..20) {
            0..8 => "PUT",
            8..12 => "GET",
            12..14 => "POST",
            14..18 => "DELETE",
            18 => self.pick(&["HEAD", "HEAD", "PATCH", "OPTIONS"]),
            _ => "GET",
        };
        let key = self.pick(KEYS);
        let writes = ["PUT", "POST"].contains(&method);
        let mut form = Vec::new();
        let mut query = Vec::new();
        if writes && !self.one_in(6) {
            form.push(format!("value={}", self.pick(VALUES)));
        }
        for (name, often) in self.parameters(method) {
            if !self.one_in(often) {
                continue;
            }
            let pair = self.parameter(name);
            if writes && !self.one_in(4) { form.push(pair) } else { query.push(pair) }
        }
        let mut path = format!("/v2/keys{key}");
        if !query.is_empty() || self.one_in(30) {
            path.push('?');
            path.push_str(&query.join("&"));
        }
        Request { method, path, body: form.join("&") }
    }

    /// Parameters, and in how many requests one has them.
    fn parameters(&mut self, method: &str) -> Vec<(&'static str, u32)> {
        match method {
            "PUT" => vec![
                ("ttl", 5),
                ("dir", 5),
                ("prevExist", 4),
                ("prevValue", 6),
                ("prevIndex", 6),
                ("refresh", 10),
                ("noValueOnSuccess", 12),
                ("recursive", 30),
                ("value", 40),
            ],
            "POST" => vec![("ttl", 4), ("dir", 6), ("noValueOnSuccess", 10), ("prevExist", 20)],
            "DELETE" => vec![
                ("dir", 3),
                ("recursive", 3),
                ("prevValue", 6),
                ("prevIndex", 6),
                ("prevExist", 20),
            ],
            _ => vec![("recursive", 3), ("sorted", 3), ("quorum", 4), ("bad", 30), ("stream", 40)],
        }
    }

    fn parameter(&mut self, name: &'static str) -> String {
        let odd = self.one_in(10);
        match name {
            "ttl" if odd => format!("ttl={}", self.pick(LIVES)),
            "ttl" => format!("ttl={}", self.pick(&LIVES[..3])),
            "value" => format!("value={}", self.pick(VALUES)),
            "prevValue" => format!("prevValue={}", self.pick(VALUES)),
            "prevIndex" if odd => format!("prevIndex={}", self.pick(&["0", "x", "", "-1", "%2B1"])),
            "prevIndex" => format!("prevIndex={{{}}}", self.some_index()),
            "bad" => self
                .pick(&["a;b", "%zz", "=&&", "waitIndex=-1", "wait=q", "prevIndex=x", "%41=b"])
                .into(),
            _ if odd => format!("{name}={}", self.pick(TRUTHS)),
            _ => format!("{name}={}", self.pick(&["true", "true", "false"])),
        }
    }

    /// An index that was not long ago.
    fn some_index(&mut self) -> u64 {
        // At 0 a server that began at 0 would read "any".
        self.index.saturating_sub(self.random.random_range(0..8)).max(1)
    }

    /// Below `/w` nothing else is written, so that each wait ends.
    fn wait(&mut self) -> Ask {
        let key = self.pick(&["/w/1", "/w/2", "/w/_3"]);
        let body = format!("value={}", self.pick(VALUES));
        let write = Request { method: "PUT", path: format!("/v2/keys{key}"), body };
        let (from, recursive) = match self.random.random_range(0..3) {
            0 if !key.contains('_') => ("/w", "&recursive=true"),
            1 => (key, "&recursive=true"),
            _ => (key, ""),
        };
        let since = match self.one_in(2) {
            true => format!("&waitIndex={{{}}}", self.some_index()),
            false => String::new(),
        };
        let path = format!("/v2/keys{from}?wait=true{recursive}{since}");
        Ask::Wait(Request { method: "GET", path, body: String::new() }, write)
    }
}
