//! `etcdctl` as a user runs it: words in, exit code, output and complaints out.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::PATIENCE;
use super::tools::Ctl;

/// A client with its endpoints.
#[derive(Clone)]
pub struct Etcdctl {
    program: PathBuf,
    pub version: Ctl,
    endpoints: String,
    timeout: String,
    api: &'static str,
}

/// What a finished command left.
#[derive(Debug)]
pub struct Outcome {
    words: String,
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Etcdctl {
    pub fn new(version: Ctl, endpoints: &[String]) -> Etcdctl {
        Etcdctl {
            program: version.program().expect("checked before the test"),
            version,
            endpoints: endpoints.join(","),
            timeout: "30s".into(),
            api: "3",
        }
    }

    /// A client of the v2 API; its commands are others.
    pub fn of_v2(version: Ctl, endpoints: &[String]) -> Etcdctl {
        Etcdctl { api: "2", ..Etcdctl::new(version, endpoints) }
    }

    /// The same client, giving up after `timeout`.
    pub fn with_timeout(&self, timeout: &str) -> Etcdctl {
        Etcdctl { timeout: timeout.into(), ..self.clone() }
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("ETCDCTL_") {
                command.env_remove(&name);
            }
        }
        command.env("ETCDCTL_API", self.api).arg(format!("--endpoints={}", self.endpoints));
        if self.api == "3" {
            command.arg("--dial-timeout=10s");
            command.arg(format!("--command-timeout={}", self.timeout));
        } else {
            command.arg(format!("--total-timeout={}", self.timeout));
        }
        command.args(words);
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, words: &[&str]) -> Outcome {
        self.run_with(words, b"")
    }

    /// Runs a command with text on standard input.
    pub fn run_with(&self, words: &[&str], input: &[u8]) -> Outcome {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("etcdctl runs");
        let mut stdin = child.stdin.take().expect("standard input");
        let input = input.to_vec();
        // A command that does not read its input closes the pipe; that is its right.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().expect("the end of etcdctl");
        writer.join().expect("the writer of standard input");
        Outcome {
            words: words.join(" "),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Runs a command that must succeed and returns its output.
    #[track_caller]
    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).ok()
    }

    /// Runs a command with `-w json` that must succeed.
    #[track_caller]
    pub fn json(&self, words: &[&str]) -> Value {
        let words: Vec<&str> = words.iter().copied().chain(["-w", "json"]).collect();
        let out = self.ok(&words);
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error} in {out:?}"))
    }

    /// Starts a command that does not end by itself.
    pub fn spawn(&self, words: &[&str]) -> Running {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("etcdctl runs");
        let (sender, lines) = channel();
        let outputs: [Box<dyn std::io::Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("standard output")),
            Box::new(child.stderr.take().expect("standard error")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        Running { child, lines, seen: VecDeque::new() }
    }
}

impl Outcome {
    /// Its output, if it succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "etcdctl {}: {}{}", self.words, self.out, self.err);
        self.out
    }

    /// It must have failed with exit code 1 because of this status.
    #[track_caller]
    pub fn refused(self, code: &str, text: &str) {
        let status = format!("rpc error: code = {code} desc = {text}\"");
        assert!(
            self.err.contains(&status) && self.err.contains("Error: ") && self.code == 1,
            "etcdctl {} should say {code}: {text}, but exit code {}: {}{}",
            self.words,
            self.code,
            self.out,
            self.err
        );
    }

    /// It must have failed with this exit code and this in its complaint.
    #[track_caller]
    pub fn failed(self, code: i32, text: &str) {
        assert!(
            self.code == code && self.err.contains(text),
            "etcdctl {} should end with {code} and say {text:?}, but {}: {}{}",
            self.words,
            self.code,
            self.out,
            self.err
        );
    }
}

/// A command that goes on, ended when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: VecDeque<String>,
}

impl Running {
    /// The next line it prints.
    #[track_caller]
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                self.seen.push_back(line.clone());
                line
            }
            Err(error) => panic!("no line ({error}) after {:?}", self.seen),
        }
    }

    /// The next line, if one comes soon.
    pub fn try_line(&mut self) -> Option<String> {
        self.lines.recv_timeout(Duration::from_millis(500)).ok()
    }

    /// Types something.
    pub fn say(&mut self, text: &str) {
        let stdin = self.child.stdin.as_mut().expect("standard input");
        stdin.write_all(text.as_bytes()).expect("a reading etcdctl");
    }

    /// The next lines, as many as `expected` has, must be these.
    #[track_caller]
    pub fn prints(&mut self, expected: &[&str]) {
        let lines: Vec<String> = expected.iter().map(|_| self.line()).collect();
        assert_eq!(lines, expected);
    }

    /// Waits for a line that contains `text`.
    #[track_caller]
    pub fn until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => self.seen.push_back(line),
                Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                    panic!("no line with {text:?} but {:?}", self.seen)
                }
            }
        }
    }

    /// SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        // It may have ended already.
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT);
    }

    /// Waits for its end and returns the exit code (-1 if a signal ended it).
    pub fn wait(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.child.try_wait().expect("etcdctl's state") {
                Some(status) => return status.code().unwrap_or(-1),
                None if Instant::now() > deadline => panic!("etcdctl does not end"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
