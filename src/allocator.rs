//! How the allocator treats memory that a node no longer needs.
//!
//! Left alone, mimalloc keeps pages that became free until the same thread happens to use the
//! same segment again, and asks the kernel for huge pages, which count whole when a byte of
//! them is used. After a large delete that is several times what the node holds. The settings
//! can only be given in the environment, and are read before `main`; so a node that was
//! started without them starts the same program over, in the same process: number, standard
//! streams and signal settings stay.
//!
//! # Invariant
//! A variable that is set already, to whatever value, is left alone; so it happens at most
//! once. Where it is not possible the node runs with the defaults and only takes more memory.

use std::os::unix::process::CommandExt;
use std::process::Command;

const SETTINGS: [(&str, &str); 2] = [("MIMALLOC_PURGE_DELAY", "0"), ("MIMALLOC_ALLOW_THP", "0")];

/// Starts this program over with the settings, unless it has them.
pub fn settle() {
    let missing = SETTINGS.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let missing: Vec<_> = missing.collect();
    if missing.is_empty() {
        return;
    }
    let Ok(program) = std::env::current_exe() else { return };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        // Called as `etcd` it must stay `etcd`.
        command.arg0(name);
    }
    // It comes back only when it failed.
    let _failed = command.args(arguments).envs(missing).exec();
}
