//! The differential run: the same random requests, valid and invalid, to our node and to real
//! etcd, one after the other, and every answer and every refusal compared.
//!
//! Nothing here knows what the right answer is: etcd's is. What depends on the run (ids,
//! terms, ports, time left) is made equal first, see [`normal`]; the few differences that are
//! meant are in [`accepted`], each with its reason. A run is a function of its seed, which is
//! printed: `ETCD_TUI_DIFFERENTIAL_SEED=17 cargo test --test differential` repeats seed 17,
//! `ETCD_TUI_DIFFERENTIAL_REQUESTS=20000` asks for longer, and with
//! `ETCD_TUI_DIFFERENTIAL_ALL=1` a run goes on behind a difference.
//!
//! It leaves to others what time decides: leases that end are in the compatibility suite.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod accepted;
mod ask;
mod generate;
mod malformed;
mod normal;
mod rights;
mod sessions;
mod side;
mod spelling;
mod upkeep;
mod users;
mod v2;
mod watching;
mod wire;

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::accepted::Reference;
use crate::ask::Ask;
use crate::generate::Generator;
use crate::side::Side;
use crate::spelling::{Parser, Spelling};
use crate::support::tools::{self, Engine};
use crate::wire::Way;

/// Requests in a run, unless the environment says otherwise.
const REQUESTS: u64 = 1_200;
/// Requests in a run by the gateway or with users: each takes longer.
const REQUESTS_OF_OTHERS: u64 = 300;

/// How many requests before a difference are shown with it.
const SHOWN_BEFORE: usize = 6;

/// What a run is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    /// Keys, leases, watches, members and maintenance by gRPC.
    Grpc,
    /// The same by the JSON gateway, in all spellings and with broken ones between.
    Gateway,
    /// Users, roles and rights, asked by several users, by gRPC and gateway in turns.
    Users,
}

impl Course {
    fn next(self, generator: &mut Generator) -> Ask {
        match self {
            Course::Grpc => generator.next(),
            Course::Gateway => generator.next_by_gateway(),
            Course::Users => generator.next_with_users(),
        }
    }

    /// What is asked in the end, because it takes seconds.
    fn last(self, generator: &Generator) -> Option<Ask> {
        let goes_down = self == Course::Grpc && generator.reference.goes_down_in_order;
        goes_down.then_some(Ask::Downgrades)
    }

    /// Both sides are asked in the same way.
    fn way(self, seed: u64, parser: Parser) -> Way {
        match self {
            Course::Grpc => Way::Grpc,
            Course::Gateway => Way::Gateway(Spelling::new(seed, parser)),
            Course::Users => Way::Either(Spelling::new(seed, parser)),
        }
    }
}

#[test]
fn as_etcd35_answers() {
    compare_with(Engine::Etcd35, Course::Grpc, REQUESTS);
}

#[test]
fn as_the_gateway_of_etcd35_answers() {
    compare_with(Engine::Etcd35, Course::Gateway, REQUESTS_OF_OTHERS);
}

#[test]
fn as_etcd35_answers_its_users() {
    compare_with(Engine::Etcd35, Course::Users, REQUESTS_OF_OTHERS);
}

#[test]
fn as_etcd36_answers() {
    compare_with_36(Course::Grpc, REQUESTS);
}

#[test]
fn as_the_gateway_of_etcd36_answers() {
    compare_with_36(Course::Gateway, REQUESTS_OF_OTHERS);
}

#[test]
fn as_etcd36_answers_its_users() {
    compare_with_36(Course::Users, REQUESTS_OF_OTHERS);
}

fn compare_with_36(course: Course, count: u64) {
    // There is no package of it: it is compared with where someone has built it.
    if std::env::var_os("ETCD_TUI_ETCD36_DIR").is_none() {
        say("SKIPPED: as_etcd36_answers: ETCD_TUI_ETCD36_DIR does not name an etcd 3.6\n");
        return;
    }
    compare_with(Engine::Etcd36, course, count);
}

fn compare_with(reference: Engine, course: Course, count: u64) {
    if !tools::are_there([Engine::Ours.program(), reference.program()]) {
        return;
    }
    let count = from_environment("ETCD_TUI_DIFFERENTIAL_REQUESTS").unwrap_or(count);
    for seed in seeds() {
        say(&format!("{course:?} run with {reference}: seed {seed}, {count} requests\n"));
        run(reference, course, seed, count);
    }
}

fn seeds() -> Vec<u64> {
    match from_environment("ETCD_TUI_DIFFERENTIAL_SEED") {
        Some(seed) => vec![seed],
        // Old seeds say that nothing got worse, a new one may find what nobody saw.
        None => vec![1, 2, fresh_seed()],
    }
}

/// One run: fresh nodes, `count` random requests.
fn run(reference: Engine, course: Course, seed: u64, count: u64) {
    let parser = Reference::of(reference).parser;
    let mut ours = Side::start(Engine::Ours, course.way(seed, parser));
    let mut theirs = Side::start(reference, course.way(seed, parser));
    let mut generator = Generator::new(seed, reference);
    let mut asked: Vec<Ask> = Vec::new();
    for step in 0..=count {
        let ask = match step {
            step if step < count => course.next(&mut generator),
            _ => match course.last(&generator) {
                Some(ask) => ask,
                None => break,
            },
        };
        let right = theirs.answer(&ask);
        let answer = ours.answer(&ask);
        generator.learn(theirs.revision(), theirs.compacted());
        if answer != right && accepted::reason(reference, &ask, &answer, &right).is_none() {
            let before = &asked[asked.len().saturating_sub(SHOWN_BEFORE)..];
            different(&format!(
                "seed {seed}, request {step} is answered differently\n\
                 before it: {before:?}\nrequest: {ask:?}\n{}\n",
                both(reference, &right, &answer)
            ));
        }
        asked.push(ask);
    }
}

/// Ends the test, or only tells if someone wants to see all differences of a run. What comes
/// after one that left other data behind means nothing.
fn different(text: &str) {
    assert!(std::env::var_os("ETCD_TUI_DIFFERENTIAL_ALL").is_some(), "{text}");
    say(text);
}

/// Both answers, from the place where they part.
fn both(reference: Engine, right: &str, answer: &str) -> String {
    let same = right.chars().zip(answer.chars()).take_while(|(a, b)| a == b).count();
    let from = |text: &str| -> String { text.chars().skip(same.saturating_sub(200)).collect() };
    let cut = |text: String| -> String { text.chars().take(3_000).collect() };
    format!("{reference}: …{}\n\nours: …{}", cut(from(right)), cut(from(answer)))
}

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is not a number: {value}")))
}

fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::from(now.subsec_nanos()) ^ now.as_secs()
}

/// Past the harness, which keeps the output of a test that passes to itself.
fn say(line: &str) {
    std::io::stderr().lock().write_all(line.as_bytes()).expect("standard error");
}
