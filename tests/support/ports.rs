//! Loopback ports nobody else uses.
//!
//! A port is taken by a locked file named after it, held as long as the port is needed, so
//! that tests running at the same time (also those of another checkout) never pick the same
//! one; and it is tried once, so that a foreign program on it is noticed. The range lies
//! below the ephemeral one: no outgoing connection can occupy it while a node is down.

use std::fs::File;
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 25_000;
const COUNT: u16 = 7_000;

/// A port that stays ours until this is dropped.
#[derive(Debug)]
pub struct Port {
    pub number: u16,
    _lock: File,
}

/// Reserves a port.
pub fn reserve() -> Port {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Processes start at different places only to try less; the lock is what decides.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    let directory = std::env::temp_dir().join("etcd-tui-test-ports");
    std::fs::create_dir_all(&directory).expect("a directory for port locks");
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed) % COUNT;
        let number = FIRST + (start + offset) % COUNT;
        let Ok(lock) = File::create(directory.join(number.to_string())) else { continue };
        if lock.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
            return Port { number, _lock: lock };
        }
    }
    panic!("no free port from {FIRST} to {}", FIRST + COUNT);
}
