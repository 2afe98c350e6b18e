//! Node processes: how they are started, told apart, signalled and reaped.
//!
//! Every node is started by one thread that lives as long as the supervisor. Each node asks
//! the kernel for SIGKILL when its parent dies (`--die-with-parent`), and the kernel counts
//! the *thread* that spawned it as the parent: a node spawned from a pool thread would die
//! when the pool shrinks.
//!
//! A node gets its own process group, so that Ctrl-C in a terminal never reaches it; its
//! output goes to a file opened for append, never to a pipe, because a reader that stalls
//! would stall the node.
//!
//! A process is known by pid, start time, boot and program ([`ProcessIdentity`]). Pids are
//! reused; only a process that matches all four is ever signalled.

use std::{
    fs::{self, OpenOptions},
    io,
    os::unix::{fs::OpenOptionsExt, process::CommandExt, process::ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
};

use nix::{
    sys::signal::{Signal as UnixSignal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::{classify::Exit, fleet::Signal};

/// What to start.
#[derive(Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub argv: Vec<String>,
    /// Variables beside those of the supervisor.
    pub environment: Vec<(String, String)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Where its output is appended.
    pub log: PathBuf,
}

type Job = (Launch, oneshot::Sender<io::Result<Child>>);

/// The thread that is the parent of every node.
#[derive(Debug)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    /// Starts the thread. It ends, and every node with it, when this value is dropped.
    pub fn new() -> io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::Builder::new().name("spawner".to_owned()).spawn(move || {
            for (launch, reply) in inbox {
                // Nobody waits any more when the supervisor is ending.
                let _ = reply.send(spawn(&launch));
            }
        })?;
        Ok(Self { jobs })
    }

    /// Starts a process.
    pub async fn spawn(&self, launch: Launch) -> io::Result<Child> {
        let (reply, answer) = oneshot::channel();
        let gone = || io::Error::other("the spawning thread has ended");
        self.jobs.send((launch, reply)).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn spawn(launch: &Launch) -> io::Result<Child> {
    let log = OpenOptions::new().append(true).create(true).mode(0o600).open(&launch.log)?;
    let mut command = Command::new(&launch.program);
    command
        .args(&launch.argv)
        .current_dir(&launch.directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_none_or(is_foreign) {
            command.env_remove(name);
        }
    }
    command.envs(launch.environment.iter().map(|(name, value)| (name, value)));
    command.spawn()
}

/// Variables that would change what a node does: etcd's own, and proxies.
fn is_foreign(name: &str) -> bool {
    name.starts_with("ETCD_") || name.starts_with("ETCDCTL_") || {
        let lower = name.to_ascii_lowercase();
        ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "request_method"]
            .contains(&lower.as_str())
    }
}

/// How a process ended, in our words.
pub fn exit(status: ExitStatus) -> Exit {
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(0)),
    }
}

/// What tells a process from any other that ever had its pid.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// Its id, which may be reused.
    pub pid: u32,
    start_time: u64,
    boot: String,
    program: PathBuf,
}

impl ProcessIdentity {
    /// The identity of the process that has this pid now.
    pub fn of(pid: u32) -> Option<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        Some(Self {
            pid,
            start_time: start_time(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?,
            boot: boot.trim().to_owned(),
            program: program(pid)?,
        })
    }

    /// Whether the process still runs. A zombie does not.
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Signals the process if it is still the same. False when it is gone.
    pub fn signal(&self, signal: Signal) -> bool {
        self.is_alive() && send(self.pid, signal)
    }
}

/// Signals a child that has not been reaped, so its pid cannot have been reused.
pub fn signal_child(child: &Child, signal: Signal) -> bool {
    send(child.id(), signal)
}

fn send(pid: u32, signal: Signal) -> bool {
    let signal = match signal {
        Signal::Term => UnixSignal::SIGTERM,
        Signal::Kill => UnixSignal::SIGKILL,
        Signal::Stop => UnixSignal::SIGSTOP,
        Signal::Continue => UnixSignal::SIGCONT,
    };
    // Pids fit: the kernel's limit is 2^22.
    i32::try_from(pid).is_ok_and(|pid| pid > 1 && kill(Pid::from_raw(pid), signal).is_ok())
}

/// The path of the program, also after a build has replaced the file.
fn program(pid: u32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let text = path.to_str()?;
    Some(Path::new(text.strip_suffix(" (deleted)").unwrap_or(text)).to_owned())
}

/// Field 22 of `/proc/<pid>/stat`. Field 2, the name, may hold anything but ends at the last `)`.
fn start_time(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // The field after the name is number 3, the state.
    let state = fields.next()?;
    if state == "Z" || state == "X" {
        return None;
    }
    fields.nth(22 - 4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_read_past_a_hostile_name() {
        let mut fields = vec!["S".to_owned()];
        fields.extend((4..=52).map(|number| number.to_string()));
        let stat = format!("7 (a) Z 1 2 (b)) {}", fields.join(" "));
        assert_eq!(start_time(&stat), Some(22));
        assert_eq!(start_time("7 (a) Z 1 2 3"), None);
        assert_eq!(start_time("nonsense"), None);
    }

    #[test]
    fn a_process_is_itself_and_nobody_else() {
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        assert!(me.is_alive());
        let older = ProcessIdentity { start_time: me.start_time - 1, ..me.clone() };
        assert!(!older.is_alive());
        // Signalling it would end this test.
        assert!(!older.signal(Signal::Kill));
        let elsewhere = ProcessIdentity { boot: "x".into(), ..me.clone() };
        assert!(!elsewhere.signal(Signal::Kill));
        let other = ProcessIdentity { program: "/bin/other".into(), ..me };
        assert!(!other.signal(Signal::Kill));
    }

    #[test]
    fn variables_of_etcd_and_of_proxies_do_not_reach_a_node() {
        for name in ["ETCD_NAME", "ETCDCTL_API", "HTTP_PROXY", "https_proxy", "ETCD_TUI_HOME"] {
            assert!(is_foreign(name), "{name}");
        }
        for name in ["PATH", "HOME", "RUST_BACKTRACE", "TMPDIR"] {
            assert!(!is_foreign(name), "{name}");
        }
    }

    #[tokio::test]
    async fn a_child_has_its_own_group_and_writes_to_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let spawner = Spawner::new().unwrap();
        let launch = Launch {
            program: "/bin/sh".into(),
            argv: vec!["-c".into(), "echo out; echo err >&2; exit 3".into()],
            environment: Vec::new(),
            directory: dir.path().to_owned(),
            log: dir.path().join("log"),
        };
        let mut child = spawner.spawn(launch).await.unwrap();
        let group = nix::unistd::getpgid(Some(Pid::from_raw(child.id() as i32))).unwrap();
        assert_eq!(group.as_raw() as u32, child.id());
        assert_eq!(exit(child.wait().unwrap()), Exit::Code(3));
        assert_eq!(fs::read_to_string(dir.path().join("log")).unwrap(), "out\nerr\n");
    }

    #[tokio::test]
    async fn every_child_has_the_same_parent_thread() {
        let dir = tempfile::tempdir().unwrap();
        let spawner = Spawner::new().unwrap();
        let launch = || Launch {
            program: "/bin/sleep".into(),
            argv: vec!["60".into()],
            environment: Vec::new(),
            directory: dir.path().to_owned(),
            log: dir.path().join("log"),
        };
        let mut first = spawner.spawn(launch()).await.unwrap();
        let mut second = spawner.spawn(launch()).await.unwrap();
        let children: Vec<String> = fs::read_dir("/proc/self/task")
            .unwrap()
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("children")).ok())
            .filter(|text| text.split_whitespace().any(|pid| pid == first.id().to_string()))
            .collect();
        // Kernels without CONFIG_PROC_CHILDREN show nothing.
        if let [children] = children.as_slice() {
            assert!(children.split_whitespace().any(|pid| pid == second.id().to_string()));
        }
        for child in [&mut first, &mut second] {
            assert!(signal_child(child, Signal::Kill));
            assert_eq!(exit(child.wait().unwrap()), Exit::Signal(9));
        }
    }
}
