//! TLS and listeners, with real processes: ours, and etcd's 3.5.1 where its rules are ours.
//!
//! Each certificate is made in the test that needs it.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod member;
mod peers;
mod pki;
mod plain;
mod registry;
mod sections;

use support::tools::{Engine, are_there};

/// The engines that there are; the first is ours.
fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::Ours];
    if are_there([Engine::Etcd35.program()]) {
        engines.push(Engine::Etcd35);
    }
    engines
}
