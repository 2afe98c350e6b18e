//! One process with the flags of a test, and what can be said to its ports.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::pki::Pair;
use crate::support::ports::{self, Port};
use crate::support::{eventually, tools::Engine};

/// A member of its own or of a cluster.
pub struct Member {
    engine: Engine,
    pub name: String,
    pub directory: PathBuf,
    pub client: Port,
    pub peer: Port,
    words: Vec<String>,
    variable: Option<(&'static str, String)>,
    child: Option<Child>,
}

impl Member {
    pub fn new(engine: Engine, name: &str, root: &Path) -> Member {
        Member {
            engine,
            name: name.to_owned(),
            directory: root.join(name),
            client: ports::reserve(),
            peer: ports::reserve(),
            words: Vec::new(),
            variable: None,
            child: None,
        }
    }

    pub fn client_url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.client.number)
    }

    pub fn peer_url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}", self.peer.number)
    }

    /// Adds flags; the same ones hold after a restart.
    pub fn with(mut self, words: &[String]) -> Member {
        self.words.extend_from_slice(words);
        self
    }

    /// Sets a variable of its environment.
    pub fn with_variable(mut self, name: &'static str, value: impl Into<String>) -> Member {
        self.variable = Some((name, value.into()));
        self
    }

    /// Flags of a cluster of one, whose clients use these URLs.
    pub fn alone(self, client_urls: &str) -> Member {
        let peer = self.peer_url("http");
        let words = [
            format!("--listen-client-urls={client_urls}"),
            format!("--advertise-client-urls={client_urls}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster={}={peer}", self.name),
        ];
        self.with(&words)
    }

    pub fn log_path(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The command; it runs where sockets named without a path are to be.
    pub fn command(&self) -> Command {
        let mut command = self.engine.node();
        command
            .arg(format!("--name={}", self.name))
            .arg(format!("--data-dir={}", self.directory.display()))
            .arg("--logger=zap")
            .args(&self.words)
            .envs(self.variable.clone())
            .current_dir(self.directory.parent().unwrap())
            .stdin(Stdio::null());
        command
    }

    pub fn spawn(&mut self) {
        let path = self.log_path();
        let log = File::options().create(true).append(true).open(path).unwrap();
        let mut command = self.command();
        let child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        self.child = Some(child);
    }

    /// Waits for the line that says it serves.
    pub fn wait_ready(&mut self) {
        self.wait_ready_after(0);
    }

    fn wait_ready_after(&mut self, before: usize) {
        eventually("a member that is ready", || {
            let child = self.child.as_mut().unwrap();
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                panic!("{} ended with {status}", self.name);
            }
            let now = self.log().matches("ready to serve client requests").count();
            if now > before { Ok(()) } else { Err(self.log()) }
        });
    }

    pub fn start(mut self) -> Member {
        self.spawn();
        self.wait_ready();
        self
    }

    pub fn restart(&mut self) {
        let before = self.log().matches("ready to serve client requests").count();
        self.end();
        self.spawn();
        self.wait_ready_after(before);
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(20)..].join("\n");
            eprintln!("--- log of {} ({})\n{last}", self.name, self.engine);
        }
    }
}

/// A client that trusts `authority` and shows `pair`.
pub fn client(authority: &Path, pair: Option<&Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(authority).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    Arc::new(match pair {
        Some(Pair { cert, key }) => {
            let chain = CertificateDer::pem_file_iter(cert).unwrap().map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_file(key).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    })
}

fn dial(port: u16) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    stream.set_write_timeout(limit).unwrap();
    Ok(stream)
}

/// Status and body of a GET.
pub fn get(
    port: u16,
    path: &str,
    tls: Option<&Arc<ClientConfig>>,
    headers: &str,
) -> Result<(u16, String), String> {
    let request = format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n").into_bytes();
    let stream = dial(port)?;
    let mut answer = Vec::new();
    let done = match tls {
        None => {
            let mut stream = stream;
            stream.write_all(&request).and_then(|()| stream.read_to_end(&mut answer))
        }
        Some(config) => {
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let connection = ClientConnection::new(config.clone(), name).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            stream.write_all(&request).and_then(|()| stream.read_to_end(&mut answer))
        }
    };
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Err(format!("no answer: {done:?}"));
    };
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let origin = head
        .lines()
        .find(|line| line.to_ascii_lowercase().starts_with("access-control-allow-origin"));
    Ok((status.ok_or("no status")?, format!("{}{body}", origin.unwrap_or_default())))
}

/// What a server answers to raw bytes until it closes.
pub fn say(port: u16, bytes: &[u8]) -> Vec<u8> {
    let mut stream = dial(port).unwrap();
    let mut answer = Vec::new();
    // A server may close before all is written; what it said counts.
    let _ = stream.write_all(bytes);
    let _ = stream.read_to_end(&mut answer);
    answer
}
