//! What the integration tests stand on: real processes of three engines, the two `etcdctl`
//! of the field, and a gRPC client that remembers what was acknowledged.
//!
//! The engines are ours and etcd's, 3.5.1 and 3.4; a test that passes on all of them says
//! something about the contract, one that passes on ours alone only about us. Every process
//! started here is ended when its owner is dropped, listens on loopback only, and uses ports
//! below the ephemeral range, so that no outgoing connection can sit on one.
//!
//! A missing tool skips a test loudly, unless `CI=true` or `ETCD_TUI_REQUIRE_TOOLS=1`: there
//! a skipped test would look like a passed one, so it fails.

// Each test binary uses its own part of this module.
#![allow(dead_code)]

pub mod client;
pub mod cluster;
pub mod etcdctl;
pub mod http;
pub mod load;
pub mod machine;
pub mod ports;
pub mod process;
pub mod tools;

use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. Nothing is measured by it: it is only
/// the difference between slow and never.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again until there is an answer, and says what was last seen if there never is one.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(seen) if Instant::now() > deadline => panic!("{what}: not in time; {seen}"),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}
