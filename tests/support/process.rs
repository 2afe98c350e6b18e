//! Single members with a command line of the test's own: for everything about how a member
//! comes into being, where [`super::cluster`] already decides too much.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use super::client::Client;
use super::eventually;
use super::ports::{self, Port};
use super::tools::Engine;

/// A member that is described; it runs after [`Process::start`].
pub struct Process {
    pub engine: Engine,
    pub name: String,
    pub directory: PathBuf,
    pub environment: Vec<(String, String)>,
    client_port: Port,
    peer_port: Port,
    child: Option<Child>,
}

impl Process {
    pub fn new(engine: Engine, root: &Path, name: &str) -> Process {
        Process {
            engine,
            name: name.to_owned(),
            directory: root.join(name),
            environment: Vec::new(),
            client_port: ports::reserve(),
            peer_port: ports::reserve(),
            child: None,
        }
    }

    pub fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port.number)
    }

    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port.number)
    }

    /// The program, without the caller's `ETCD_` variables.
    pub fn bare_command(&self) -> Command {
        let mut command = self.engine.node();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The usual flags about itself, and these.
    pub fn command(&self, flags: &[&str]) -> Command {
        let mut command = self.bare_command();
        command
            .arg(format!("--name={}", self.name))
            .arg(format!("--data-dir={}", self.directory.display()))
            .arg(format!("--listen-client-urls={}", self.client_url()))
            .arg(format!("--advertise-client-urls={}", self.client_url()))
            .arg(format!("--listen-peer-urls={}", self.peer_url()))
            .arg("--logger=zap")
            .args(flags);
        if !flags.iter().any(|flag| flag.starts_with("--initial-advertise-peer-urls")) {
            command.arg(format!("--initial-advertise-peer-urls={}", self.peer_url()));
        }
        command
    }

    /// Starts it with the usual flags and these.
    pub fn start(&mut self, flags: &[&str]) {
        let command = self.command(flags);
        self.start_as(command);
    }

    pub fn start_as(&mut self, mut command: Command) {
        let log = File::options().create(true).append(true).open(self.log_path());
        let log = log.expect("a log file");
        command.stdout(log.try_clone().expect("a second handle")).stderr(log);
        self.child = Some(command.spawn().expect("a node process"));
    }

    fn log_path(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    /// Everything it has said so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has said this.
    pub fn wait_log(&self, text: &str) {
        eventually("a line in the log", || match self.log().contains(text) {
            true => Ok(()),
            false => Err(format!("{text:?} is not in the log of {}", self.name)),
        });
    }

    pub fn client(&self) -> Client {
        Client::new(&self.client_url())
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill -9");
            child.wait().expect("the end of a killed node");
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        let pid = self.child.as_ref().expect("the node runs").id();
        let pid = nix::unistd::Pid::from_raw(pid as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).expect("SIGTERM");
        self.wait_exit()
    }

    /// Waits for it to end by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        await_end(&mut self.child)
    }

    /// Starts it with these flags and waits for its end, which is no success and has this
    /// reason in the log.
    #[track_caller]
    pub fn refuses(&mut self, flags: &[&str], reason: &str) {
        self.start(flags);
        let status = self.wait_exit();
        assert_eq!(status.code(), Some(1), "{}", self.log());
        assert!(self.log().contains(reason), "{reason:?} is not in\n{}", self.log());
    }

    /// Waits until it says that it serves.
    pub fn wait_healthy(&mut self) {
        eventually("a healthy node", || {
            let child = self.child.as_mut().expect("the node runs");
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            match self.http("GET", "/health", "")? {
                (200, body) if body.contains("\"true\"") => Ok(()),
                (status, body) => Err(format!("/health of {} said {status} {body}", self.name)),
            }
        });
    }

    /// One request over HTTP/1.1; a body is a form.
    pub fn http(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), String> {
        let text = |error: std::io::Error| error.to_string();
        let place = ("127.0.0.1", self.client_port.number);
        let mut stream = TcpStream::connect(place).map_err(text)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).map_err(text)?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .map_err(text)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map_err(text)?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Ok((status.ok_or(format!("no status in {head:?}"))?, body.to_string()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; nothing is left to do then.
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(20)..].join("\n");
            eprintln!("--- log of {} ({})\n{end}", self.name, self.engine);
        }
    }
}

/// Waits for a node to end by itself.
pub fn await_end(running: &mut Option<Child>) -> ExitStatus {
    let child = running.as_mut().expect("the node runs");
    let status = eventually("the end of a node", || {
        child.try_wait().map_err(|error| error.to_string())?.ok_or("still running".into())
    });
    *running = None;
    status
}
