//! The check scripts: where they and what they need are, and how one is run.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::eventually;

/// A client library with its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    PythonEtcd3,
    PythonAetcd,
    PythonEtcd3gw,
    PythonEtcd,
    NodeEtcd3,
}

impl Client {
    /// The directory of its libraries below `target/tools/clients`, and its script.
    fn parts(self) -> (&'static str, &'static str) {
        match self {
            Client::PythonEtcd3 => ("python-etcd3", "python/check_etcd3.py"),
            Client::PythonAetcd => ("python-others", "python/check_aetcd.py"),
            Client::PythonEtcd3gw => ("python-others", "python/check_etcd3gw.py"),
            Client::PythonEtcd => ("python-others", "python/check_python_etcd.py"),
            Client::NodeEtcd3 => ("node", "node/check_etcd3.js"),
        }
    }

    /// True if its checks can be run as a user. (The users of v2 were others.)
    pub fn logs_in(self) -> bool {
        self != Client::PythonEtcd
    }

    fn libraries(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/clients").join(self.parts().0)
    }

    /// What has to be there before it can run, or why it is not.
    pub fn program(self) -> Result<PathBuf, String> {
        let libraries = self.libraries();
        match libraries.is_dir() {
            true => Ok(libraries),
            false => Err(format!("{} is missing; .ci/run makes it", libraries.display())),
        }
    }

    /// Runs its script, which must find nothing wrong.
    pub fn run(self, arguments: &[String]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let script = script.join(self.parts().1);
        let mut command = if self == Client::NodeEtcd3 {
            let mut command = Command::new("node");
            command.env("NODE_LIBRARIES", self.libraries());
            command
        } else {
            let mut command = Command::new("python3");
            command.arg("-B").env("PYTHONPATH", self.libraries());
            command
        };
        command.arg(script).args(arguments).stdin(Stdio::null());
        passes(command);
    }
}

/// Runs a command that must end with 0; what it printed is shown if it does not.
fn passes(mut command: Command) {
    // What the machine says about proxies and authorities goes before what a script says.
    for (name, _) in std::env::vars_os() {
        let upper = name.to_string_lossy().to_ascii_uppercase();
        if upper.ends_with("_PROXY") || upper.ends_with("_CA_BUNDLE") {
            command.env_remove(&name);
        }
    }
    let output = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let log = File::options().append(true).open(output.path()).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let mut child = Running(command.spawn().unwrap());
    let printed = || std::fs::read_to_string(output.path()).unwrap_or_default();
    let status = eventually("the end of a script", || {
        child.0.try_wait().map_err(|error| error.to_string())?.ok_or_else(printed)
    });
    assert!(status.success(), "{status}\n{}", printed());
    println!("{}", printed());
}

/// A child that never outlives its test.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has usually ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
