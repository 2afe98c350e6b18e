//! Clients that nobody here wrote, against three of our nodes: what their users do with them,
//! plain, with TLS and certificates, and with users. And Patroni, which is such a user.
//!
//! The checks are scripts in the client's own language, beside this file; each prints a line
//! for a check, and its exit code is the verdict. They pass on real etcd 3.5.1 as well. What
//! they need (the libraries, in pinned versions) `.ci/run` puts below `target/tools/clients`.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[path = "../tls/member.rs"]
#[allow(dead_code)]
mod member;
#[path = "../tls/pki.rs"]
#[allow(dead_code)]
mod pki;
#[path = "../support/mod.rs"]
mod support;

mod etcdctl;
mod patroni;
mod script;
mod world;

use script::Client;
use support::tools::{self, Ctl};
use world::{LIMITED, ROOT, Wire, World};

/// Runs the client's checks.
fn all_checks_hold(client: Client, wire: Wire) {
    with_world(client, wire, |world| client.run(&world.arguments()));
}

/// Runs the client's checks, and again when nobody gets in without a user.
fn all_checks_hold_with_users(client: Client, wire: Wire) {
    with_world(client, wire, |world| {
        client.run(&world.arguments());
        world.enable_auth();
        let mut words = world.arguments();
        words.push(format!("--user={ROOT}"));
        words.push(format!("--limited={LIMITED}"));
        client.run(&words);
    });
}

fn with_world(client: Client, wire: Wire, check: impl FnOnce(&World)) {
    if tools::are_there([client.program(), Ctl::V35.program()]) {
        check(&World::start(wire));
    }
}

#[test]
fn python_etcd3() {
    all_checks_hold_with_users(Client::Python("etcd3"), Wire::Plain);
}

#[test]
fn python_etcd3_with_tls() {
    all_checks_hold_with_users(Client::Python("etcd3"), Wire::Tls);
}

/// It knows no TLS.
#[test]
fn python_aetcd() {
    all_checks_hold_with_users(Client::Python("aetcd"), Wire::Plain);
}

#[test]
fn python_etcd3gw() {
    all_checks_hold_with_users(Client::Python("etcd3gw"), Wire::Plain);
}

#[test]
fn python_etcd3gw_with_tls() {
    all_checks_hold(Client::Python("etcd3gw"), Wire::Tls);
}

#[test]
fn python_etcd3gw_with_tls_and_users() {
    all_checks_hold_with_users(Client::Python("etcd3gw"), Wire::TlsWithoutName);
}

/// It speaks v2, whose users were others.
#[test]
fn python_etcd() {
    all_checks_hold(Client::Python("python_etcd"), Wire::Plain);
}

#[test]
fn python_etcd_with_tls() {
    all_checks_hold(Client::Python("python_etcd"), Wire::Tls);
}

#[test]
fn node_etcd3() {
    all_checks_hold_with_users(Client::Node, Wire::Plain);
}

#[test]
fn node_etcd3_with_tls() {
    all_checks_hold_with_users(Client::Node, Wire::Tls);
}

#[test]
fn rust_etcd_client() {
    all_checks_hold_with_users(Client::Rust, Wire::Plain);
}

#[test]
fn rust_etcd_client_with_tls() {
    all_checks_hold_with_users(Client::Rust, Wire::Tls);
}
