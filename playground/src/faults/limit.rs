//! A full disk for a process that knows nothing of it: no file of it may grow beyond a size.
//!
//! The kernel keeps such a limit for every process, and lets its owner change it while it runs.
//! Go's programs see an error of the write ("file too large"); ours would be ended by a signal,
//! which is why they are asked by other means.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

/// Small enough that the next commit meets it (etcd's database begins with 8 KiB about itself),
/// large enough for a log file that was just emptied to take the last words.
const BYTES: u64 = 8 << 10;

/// Lets no file of the process grow, or all of them again.
pub fn limit_files(pid: u32, limited: bool) -> Result<(), String> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| "there is no such process".to_owned())?;
    // The upper bound stays open: who gave it away could not take it back.
    let limit = Rlimit { current: limited.then_some(BYTES), maximum: None };
    prlimit(Some(pid), Resource::Fsize, limit)
        .map(drop)
        .map_err(|error| format!("the size of its files cannot be limited: {error}"))
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_limit_is_set_and_taken_back() {
        let mut child = Command::new("/bin/sleep").arg("600").stdin(Stdio::null()).spawn().unwrap();
        let limits = || {
            let path = format!("/proc/{}/limits", child.id());
            let text = std::fs::read_to_string(path).unwrap();
            let line = text.lines().find(|line| line.starts_with("Max file size")).unwrap();
            line.split_whitespace().nth(3).unwrap().to_owned()
        };
        let before = limits();
        limit_files(child.id(), true).unwrap();
        assert_eq!(limits(), BYTES.to_string());
        limit_files(child.id(), false).unwrap();
        assert_eq!(limits(), before);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(limit_files(0, true).is_err());
    }
}
