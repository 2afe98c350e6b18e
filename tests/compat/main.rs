//! The compatibility suite: `etcdctl` 3.4 and 3.5, command by command, with one set of
//! assertions for our node and for real etcd.
//!
//! Each scenario is a function of a [`Setup`]; [`against_every_engine`] makes one test of it
//! for each pair of server and client. Where an assertion has to differ, the scenario says
//! why. What is asserted was seen on etcd first: a scenario that etcd fails is a wrong
//! scenario.

// In a test an unwrap is an assertion.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod auth;
mod auth_wire;
mod backup;
mod bad_input;
mod cluster;
mod concurrency;
mod found;
mod gateway;
mod gateway_rights;
mod kv;
mod lease;
mod lost;
mod maintenance;
mod members;
mod metrics;
mod process;
mod profiles;
mod recipes;
mod refusals;
mod traces;
mod txn;
mod upkeep;
mod v2;
mod watch;
mod wire;
mod wire_watch;

use support::cluster::Cluster;
use support::etcdctl::Etcdctl;
use support::tools::{self, Ctl, Engine};

/// Who answers and who asks.
#[derive(Clone, Copy)]
pub struct Setup {
    pub engine: Engine,
    pub ctl: Ctl,
}

impl Setup {
    /// One fresh node and a client of it.
    pub fn single(self) -> (Cluster, Etcdctl) {
        self.start(1, &[])
    }

    /// A fresh cluster and a client of all its nodes.
    pub fn start(self, count: usize, flags: &[&str]) -> (Cluster, Etcdctl) {
        let cluster = Cluster::start(self.engine, count, flags);
        let ctl = Etcdctl::new(self.ctl, &cluster.endpoints());
        (cluster, ctl)
    }

    /// A client of one node only.
    pub fn client_of(self, cluster: &Cluster, index: usize) -> Etcdctl {
        Etcdctl::new(self.ctl, &[cluster.nodes[index].client_url()])
    }
}

fn run(engine: Engine, ctl: Ctl, scenario: fn(Setup)) {
    if tools::are_there([engine.program(), ctl.program()]) {
        scenario(Setup { engine, ctl });
    }
}

/// Runs a scenario that speaks gRPC itself and needs no etcdctl.
fn run_on_wire(engine: Engine, scenario: fn(Engine)) {
    if tools::are_there([engine.program()]) {
        scenario(engine);
    }
}

/// One test for each named scenario and each server.
macro_rules! against_every_server {
    ($($scenario:ident),+ $(,)?) => {
        mod ours {
            $(#[test] fn $scenario() {
                crate::run_on_wire(crate::Engine::Ours, super::$scenario);
            })+
        }
        mod etcd35 {
            $(#[test] fn $scenario() {
                crate::run_on_wire(crate::Engine::Etcd35, super::$scenario);
            })+
        }
        mod etcd34 {
            $(#[test] fn $scenario() {
                crate::run_on_wire(crate::Engine::Etcd34, super::$scenario);
            })+
        }
    };
}
pub(crate) use against_every_server;

/// One test for each named scenario and each pair of server and client.
macro_rules! against_every_engine {
    ($($scenario:ident),+ $(,)?) => {
        mod ours {
            $(#[test] fn $scenario() {
                crate::run(crate::Engine::Ours, crate::Ctl::V35, super::$scenario);
            })+
        }
        mod ours_with_etcdctl34 {
            $(#[test] fn $scenario() {
                crate::run(crate::Engine::Ours, crate::Ctl::V34, super::$scenario);
            })+
        }
        mod etcd35 {
            $(#[test] fn $scenario() {
                crate::run(crate::Engine::Etcd35, crate::Ctl::V35, super::$scenario);
            })+
        }
        mod etcd35_with_etcdctl34 {
            $(#[test] fn $scenario() {
                crate::run(crate::Engine::Etcd35, crate::Ctl::V34, super::$scenario);
            })+
        }
        mod etcd34 {
            $(#[test] fn $scenario() {
                crate::run(crate::Engine::Etcd34, crate::Ctl::V34, super::$scenario);
            })+
        }
    };
}
pub(crate) use against_every_engine;
