//! The v2 API: requests over HTTP, `ETCDCTL_API=2 etcdctl`, and what becomes of the keys when
//! members come, go and crash.
//!
//! Ours and etcd 3.4, whose v2 API is the one that is meant: 3.5 still has it, but cannot
//! change the time to live of a directory any more.

mod etcdctl;
mod http;
mod level;
mod members;
mod survival;
mod table;
mod ttl;
mod watch;

use crate::support::cluster::Cluster;
use crate::support::etcdctl::Etcdctl;
use crate::support::tools::{self, Ctl, Engine};
use http::{Answer, request};

/// One test for each named scenario on ours and on etcd 3.4.
macro_rules! against_both {
    ($($scenario:ident),+ $(,)?) => {
        mod ours {
            $(#[test] fn $scenario() {
                crate::v2::run(crate::Engine::Ours, super::$scenario);
            })+
        }
        mod etcd34 {
            $(#[test] fn $scenario() {
                crate::v2::run(crate::Engine::Etcd34, super::$scenario);
            })+
        }
    };
}
use against_both;

fn run(engine: Engine, scenario: fn(Engine)) {
    if tools::are_there([engine.program(), Ctl::V34.program()]) {
        scenario(engine);
    }
}

/// A node that serves v2.
fn start(engine: Engine, count: usize) -> Cluster {
    Cluster::start(engine, count, &["--enable-v2=true"])
}

/// `ETCDCTL_API=2 etcdctl` of all nodes.
fn ctl(cluster: &Cluster) -> Etcdctl {
    Etcdctl::of_v2(Ctl::V34, &cluster.endpoints())
}

/// Sends a form to `/v2/keys` of a node.
fn form(cluster: &Cluster, node: usize, method: &str, key: &str, fields: &str) -> Answer {
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    let url = cluster.nodes[node].client_url();
    request(&url, method, &format!("/v2/keys{key}"), &[kind], fields.as_bytes())
}

/// Reads `/v2/keys` of a node.
fn get(cluster: &Cluster, node: usize, key_and_query: &str) -> Answer {
    let path = format!("/v2/keys{key_and_query}");
    request(&cluster.nodes[node].client_url(), "GET", &path, &[], b"")
}
