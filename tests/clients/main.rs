//! Clients that nobody here wrote, against three of our nodes: what their users do with them,
//! plain, with TLS and certificates, and with users.
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

mod script;
mod world;

use script::Client;
use support::tools::{self, Ctl};
use world::{LIMITED, ROOT, Wire, World};

/// Runs the client's checks, and again with users if it knows how to log in.
fn all_checks_hold(client: Client, wire: Wire) {
    if !tools::are_there([client.program(), Ctl::V35.program()]) {
        return;
    }
    let world = World::start(wire);
    client.run(&world.arguments());
    if !client.logs_in() {
        return;
    }
    world.enable_auth();
    let mut words = world.arguments();
    words.push(format!("--user={ROOT}"));
    words.push(format!("--limited={LIMITED}"));
    client.run(&words);
}

#[test]
fn python_etcd3() {
    all_checks_hold(Client::PythonEtcd3, Wire::Plain);
}

#[test]
fn python_etcd3_with_tls() {
    all_checks_hold(Client::PythonEtcd3, Wire::Tls);
}

/// It knows no TLS.
#[test]
fn python_aetcd() {
    all_checks_hold(Client::PythonAetcd, Wire::Plain);
}

#[test]
fn python_etcd3gw() {
    all_checks_hold(Client::PythonEtcd3gw, Wire::Plain);
}

#[test]
fn python_etcd3gw_with_tls() {
    all_checks_hold(Client::PythonEtcd3gw, Wire::Tls);
}

#[test]
fn python_etcd() {
    all_checks_hold(Client::PythonEtcd, Wire::Plain);
}

#[test]
fn python_etcd_with_tls() {
    all_checks_hold(Client::PythonEtcd, Wire::Tls);
}

#[test]
fn node_etcd3() {
    all_checks_hold(Client::NodeEtcd3, Wire::Plain);
}

#[test]
fn node_etcd3_with_tls() {
    all_checks_hold(Client::NodeEtcd3, Wire::Tls);
}
