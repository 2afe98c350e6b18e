//! The differential run: the same random requests, valid and invalid, to our node and to real
//! etcd, one after the other, and every answer and every refusal compared.
//!
//! Nothing here knows what the right answer is: etcd's is. What depends on the run (ids,
//! terms, ports, time left) is made equal first, see [`normal`]; the few differences that are
//! meant are in [`accepted`], each with its reason. A run is a function of its seed, which is
//! printed: `ETCD_TUI_DIFFERENTIAL_SEED=17 cargo test --test differential` repeats seed 17,
//! and `ETCD_TUI_DIFFERENTIAL_REQUESTS=20000` asks for longer.
//!
//! It leaves to others what time decides: leases that end are in the compatibility suite.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod accepted;
mod ask;
mod generate;
mod normal;
mod side;
mod watching;

use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::ask::Ask;
use crate::generate::Generator;
use crate::side::Side;
use crate::support::tools::{self, Engine};

/// Requests in a run, unless the environment says otherwise.
const REQUESTS: usize = 1_200;

/// How many requests before a difference are shown with it.
const SHOWN_BEFORE: usize = 6;

#[test]
fn as_etcd35_answers() {
    compare_with(Engine::Etcd35);
}

#[test]
fn as_etcd36_answers() {
    // There is no package of it: it is compared with where someone has built it.
    if std::env::var_os("ETCD_TUI_ETCD36_DIR").is_none() {
        say("SKIPPED: as_etcd36_answers: ETCD_TUI_ETCD36_DIR does not name an etcd 3.6\n");
        return;
    }
    compare_with(Engine::Etcd36);
}

fn compare_with(reference: Engine) {
    if !tools::are_there([Engine::Ours.program(), reference.program()]) {
        return;
    }
    let count = from_environment("ETCD_TUI_DIFFERENTIAL_REQUESTS").unwrap_or(REQUESTS as u64);
    let seeds = match from_environment("ETCD_TUI_DIFFERENTIAL_SEED") {
        Some(seed) => vec![seed],
        // Old seeds say that nothing got worse, a new one may find what nobody saw.
        None => vec![1, 2, fresh_seed()],
    };
    for seed in seeds {
        say(&format!("differential run with {reference}: seed {seed}, {count} requests\n"));
        run(reference, seed, count as usize);
    }
}

/// One run: fresh nodes, `count` random requests.
fn run(reference: Engine, seed: u64, count: usize) {
    let mut ours = Side::start(Engine::Ours);
    let mut theirs = Side::start(reference);
    let mut generator = Generator::new(seed, reference);
    let mut asked: Vec<Ask> = Vec::new();
    for step in 0..count {
        let ask = generator.next();
        let right = theirs.answer(&ask);
        let answer = ours.answer(&ask);
        generator.learn(theirs.revision(), theirs.compacted());
        if answer != right && accepted::reason(reference, &ask, &answer, &right).is_none() {
            let before = &asked[asked.len().saturating_sub(SHOWN_BEFORE)..];
            panic!(
                "seed {seed}, request {step} is answered differently\n\
                 before it: {before:?}\nrequest: {ask:?}\n{}",
                both(reference, &right, &answer)
            );
        }
        asked.push(ask);
    }
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
