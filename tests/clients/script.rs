//! The check scripts: where they and what they need are, and how one is run. The one for the
//! Rust crate is a program of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::eventually;

/// A client library with its script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The name of the library; its script is named after it.
    Python(&'static str),
    Node,
    Rust,
}

impl Client {
    /// Where `.ci/run` puts what it needs.
    fn libraries(self) -> PathBuf {
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
        target.join(match self {
            Client::Python("etcd3") => "tools/clients/python-etcd3",
            Client::Python(_) => "tools/clients/python-others",
            Client::Node => "tools/clients/node",
            Client::Rust => "debug/check-etcd-client",
        })
    }

    /// What has to be there before it can run, or why it is not.
    pub fn program(self) -> Result<PathBuf, String> {
        let libraries = self.libraries();
        match libraries.exists() {
            true => Ok(libraries),
            false => Err(format!("{} is missing; .ci/run makes it", libraries.display())),
        }
    }

    /// Runs its script, which must find nothing wrong.
    pub fn run(self, arguments: &[String]) {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
        let mut command = match self {
            Client::Rust => Command::new(self.libraries()),
            Client::Node => {
                let mut command = Command::new("node");
                command.env("NODE_LIBRARIES", self.libraries());
                command.arg(scripts.join("node/check_etcd3.js"));
                command
            }
            Client::Python(name) => {
                let mut command = Command::new("python3");
                command.env("PYTHONPATH", self.libraries()).arg("-B");
                command.arg(scripts.join(format!("python/check_{name}.py")));
                command
            }
        };
        command.args(arguments).stdin(Stdio::null());
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
