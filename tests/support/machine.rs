//! The command line as its users have it: the program, on a state directory of its own.
//!
//! Whatever a test starts with it has ended when the machine is dropped, also when the test
//! fails: every cluster below the directory is brought down. What is said of a cluster is read
//! from the program's own JSON. What a node does beside that is for `cluster` and `process`,
//! which start nodes without a launcher.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::eventually;

/// A state directory, and the program run on it.
pub struct Machine {
    pub home: tempfile::TempDir,
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Machine {
    pub fn new() -> Self {
        Self { home: home(), _alone: None }
    }

    /// The only one of its test binary: for what measures outages.
    pub fn alone() -> Self {
        static ONE: Mutex<()> = Mutex::new(());
        let alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { home: home(), _alone: Some(alone) }
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_etcd-tui"));
        command
            .args(arguments)
            .env("ETCD_TUI_HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .env_remove("GITHUB_STEP_SUMMARY")
            // What is inherited must not reach a node.
            .env("ETCD_NAME", "impostor")
            .env("NO_PROXY", "*")
            .stdin(Stdio::null());
        command
    }

    /// Runs it; returns the exit status and all that it said.
    pub fn run(&self, arguments: &[&str]) -> (i32, String) {
        let (status, said, complaint) = self.outcome(arguments);
        (status, said + &complaint)
    }

    /// Runs it, expects success, returns what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let (status, said, complaint) = self.outcome(arguments);
        assert_eq!(status, 0, "{arguments:?}: {said}{complaint}");
        said
    }

    /// Runs it, expects this exit status, returns what it complained about.
    pub fn fails(&self, status: i32, arguments: &[&str]) -> String {
        let (actual, said, complaint) = self.outcome(arguments);
        assert_eq!(actual, status, "{arguments:?}: {said}{complaint}");
        complaint
    }

    /// The exit status, standard output and standard error.
    fn outcome(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (status.code().unwrap_or(-1), text(&stdout), text(&stderr))
    }

    pub fn ps(&self, cluster: &str) -> Value {
        serde_json::from_str(&self.ok(&["ps", cluster, "--json"])).unwrap()
    }

    pub fn nodes(&self, cluster: &str) -> Vec<Value> {
        self.ps(cluster)["nodes"].as_array().unwrap().clone()
    }

    pub fn node(&self, cluster: &str, name: &str) -> Value {
        self.nodes(cluster).into_iter().find(|node| node["name"] == name).unwrap()
    }

    /// Where the launcher keeps what it knows of a cluster.
    pub fn directory(&self, cluster: &str) -> PathBuf {
        self.home.path().join("clusters").join(cluster)
    }

    /// The process that owns the nodes of a cluster.
    pub fn supervisor(&self, cluster: &str) -> i64 {
        let text = std::fs::read_to_string(self.directory(cluster).join("state.json")).unwrap();
        let state: Value = serde_json::from_str(&text).unwrap();
        state["supervisor"]["pid"].as_i64().unwrap()
    }

    /// Waits until the cluster is in this health; returns the view that says so.
    pub fn await_health(&self, cluster: &str, health: &str) -> Value {
        eventually(&format!("health {health}"), || match self.ps(cluster) {
            view if view["health"] == health => Ok(view),
            view => Err(view.to_string()),
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let Ok(clusters) = std::fs::read_dir(self.home.path().join("clusters")) else { return };
        for cluster in clusters.flatten().filter(|cluster| cluster.path().is_dir()) {
            let name = cluster.file_name().into_string().unwrap();
            self.run(&["down", &name, "--now"]);
        }
    }
}

/// On disk: a node's directory on tmpfs would not be what users have.
fn home() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Whether a process runs; one that nobody has reaped does not.
pub fn is_alive(pid: i64) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(!stat.rsplit_once(')')?.1.trim_start().starts_with('Z')))
        .unwrap_or(false)
}

pub fn kill(pid: i64) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}
