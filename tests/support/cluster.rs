//! Clusters of real processes.
//!
//! A [`Cluster`] owns its nodes, their ports and their directories (on disk, not in memory:
//! a crash test on a memory file system proves little). Nodes keep their identity over
//! restarts, as in life. When a test fails, the ends of the nodes' logs are printed.

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use super::client::Client;
use super::eventually;
use super::ports::{self, Port};
use super::process::await_end;
use super::tools::Engine;

/// One member: a directory, two ports, and a process while it runs.
pub struct Node {
    pub name: String,
    pub directory: PathBuf,
    client_port: Port,
    peer_port: Port,
    /// Variables and flags of this node alone.
    pub environment: Vec<(String, String)>,
    pub flags: Vec<String>,
    /// The host it tells its peers to reach it at.
    host: &'static str,
    /// `https` if members make their own certificates for each other.
    scheme: &'static str,
    /// The cluster as this node is told at its first start.
    initial_cluster: String,
    state: &'static str,
    child: Option<Child>,
}

/// Some members of one engine.
pub struct Cluster {
    pub engine: Engine,
    pub nodes: Vec<Node>,
    /// Variables each node is started with.
    pub environment: Vec<(String, String)>,
    flags: Vec<String>,
    token: String,
    root: tempfile::TempDir,
}

impl Node {
    fn new(name: String, root: &Path) -> Node {
        Node {
            directory: root.join(&name),
            name,
            client_port: ports::reserve(),
            peer_port: ports::reserve(),
            environment: Vec::new(),
            flags: Vec::new(),
            host: "127.0.0.1",
            scheme: "http",
            initial_cluster: String::new(),
            state: "new",
            child: None,
        }
    }

    pub fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port.number)
    }

    pub fn peer_url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.peer_port.number)
    }

    fn advertised_url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.host, self.peer_port())
    }

    /// It speaks TLS with its peers, with a certificate that it makes for itself.
    pub fn encrypt_peers(&mut self) {
        self.scheme = "https";
        self.flags.push("--peer-auto-tls".to_owned());
    }

    pub fn peer_port(&self) -> u16 {
        self.peer_port.number
    }

    /// It reaches its peers through this proxy. etcd asks no proxy for loopback addresses, so
    /// there all nodes have to be reached at another one.
    pub fn go_through(&mut self, engine: Engine, proxy: &str) {
        if engine == Engine::Ours {
            self.flags.push(format!("--peer-proxy={proxy}"));
            return;
        }
        self.host = "0.0.0.0";
        self.environment.push(("HTTP_PROXY".to_owned(), proxy.to_owned()));
        self.environment.push(("HTTPS_PROXY".to_owned(), proxy.to_owned()));
        self.environment.push(("NO_PROXY".to_owned(), String::new()));
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the node runs").id()
    }

    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// From the next start on it is told this --initial-cluster.
    pub fn tell_another_cluster(&mut self, initial_cluster: &str) {
        self.initial_cluster = initial_cluster.into();
    }

    fn log_path(&self) -> PathBuf {
        self.directory.with_extension("log")
    }

    /// Everything it has said so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The answer of its HTTP side: status and body.
    pub fn http(&self, path: &str) -> Result<(u16, String), String> {
        http_get(self.client_port.number, path)
    }

    /// kill -9: no last word, no flush.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill -9");
            child.wait().expect("the end of a killed node");
        }
    }

    /// SIGTERM, and waits for the end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.wait_exit()
    }

    /// Stops it where it is (SIGSTOP), as a machine that hangs.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("its own child");
    }

    /// Waits for it to end by itself.
    pub fn wait_exit(&mut self) -> ExitStatus {
        await_end(&mut self.child)
    }

    /// Waits until it says that it serves.
    pub fn wait_healthy(&mut self) {
        let log = self.log_path();
        let Node { child, client_port, name, .. } = self;
        eventually("a healthy node", || {
            let child = child.as_mut().expect("the node runs");
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                panic!("{name} ended with {status}:\n{}", tail(&log));
            }
            match http_get(client_port.number, "/health")? {
                (200, body) if body.contains("\"true\"") => Ok(()),
                (status, body) => Err(format!("/health of {name} said {status} {body}")),
            }
        });
    }
}

impl Cluster {
    /// Starts `count` nodes and waits until all are healthy.
    pub fn start(engine: Engine, count: usize, flags: &[&str]) -> Cluster {
        let mut cluster = Cluster::prepare(engine, count, flags);
        for index in 0..count {
            cluster.spawn(index);
        }
        for node in &mut cluster.nodes {
            node.wait_healthy();
        }
        cluster
    }

    /// Directories and ports of `count` founding members, no process yet.
    pub fn prepare(engine: Engine, count: usize, flags: &[&str]) -> Cluster {
        let root = tempfile::Builder::new()
            .prefix("cluster-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a directory for the cluster");
        let nodes: Vec<Node> =
            (1..=count).map(|number| Node::new(format!("n{number}"), root.path())).collect();
        let token = format!("token-{}", nodes[0].peer_port.number);
        let flags = flags.iter().map(|flag| flag.to_string()).collect();
        let mut cluster = Cluster { engine, nodes, environment: Vec::new(), flags, token, root };
        cluster.introduce();
        cluster
    }

    /// Tells each founder of all the others.
    pub fn introduce(&mut self) {
        let pair = |node: &Node| format!("{}={}", node.name, node.advertised_url());
        let initial: Vec<String> = self.nodes.iter().map(pair).collect();
        for node in &mut self.nodes {
            node.initial_cluster = initial.join(",");
        }
    }

    /// The command that runs node `index`.
    pub fn command(&self, index: usize) -> Command {
        let node = &self.nodes[index];
        let mut command = self.engine.node();
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .envs(node.environment.iter().map(|(name, value)| (name, value)))
            .arg(format!("--name={}", node.name))
            .arg("--data-dir")
            .arg(&node.directory)
            .arg(format!("--listen-client-urls={}", node.client_url()))
            .arg(format!("--advertise-client-urls={}", node.client_url()))
            .arg(format!("--listen-peer-urls={}", node.peer_url()))
            .arg(format!("--initial-advertise-peer-urls={}", node.advertised_url()))
            .arg(format!("--initial-cluster={}", node.initial_cluster))
            .arg(format!("--initial-cluster-state={}", node.state))
            .arg(format!("--initial-cluster-token={}", self.token))
            .arg("--logger=zap")
            .args(&self.flags)
            .args(&node.flags)
            .stdin(Stdio::null());
        command
    }

    /// How a member is named in a `snapshot restore`.
    pub fn restore_flags(&self, index: usize) -> Vec<String> {
        let node = &self.nodes[index];
        vec![
            format!("--name={}", node.name),
            format!("--data-dir={}", node.directory.display()),
            format!("--initial-cluster={}", node.initial_cluster),
            format!("--initial-advertise-peer-urls={}", node.peer_url()),
            format!("--initial-cluster-token={}", self.token),
        ]
    }

    /// Starts the process of node `index` and does not wait for it.
    pub fn spawn(&mut self, index: usize) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.nodes[index].log_path())
            .expect("a log file");
        let child = self
            .command(index)
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("a node process");
        self.nodes[index].child = Some(child);
    }

    /// Starts node `index` again and waits until it is healthy.
    pub fn restart(&mut self, index: usize) {
        self.spawn(index);
        self.nodes[index].wait_healthy();
    }

    /// A new node that is to join; the members must have been told of it before it starts.
    pub fn add_node(&mut self) -> usize {
        let number = self.nodes.len() + 1;
        self.nodes.push(Node::new(format!("n{number}"), self.root.path()));
        number - 1
    }

    /// Starts a node made by [`Cluster::add_node`] with the members as they are now.
    pub fn join(&mut self, index: usize, members: &[(String, String)]) {
        let list: Vec<String> = members.iter().map(|(name, url)| format!("{name}={url}")).collect();
        self.nodes[index].initial_cluster = list.join(",");
        self.nodes[index].state = "existing";
        self.spawn(index);
    }

    /// Client URLs of all nodes, dead or alive.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(Node::client_url).collect()
    }

    pub fn client(&self, index: usize) -> Client {
        Client::new(&self.nodes[index].client_url())
    }

    pub fn running(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].is_running()).collect()
    }

    /// The running node that is leader and says so, once the others agree.
    pub fn leader(&self) -> usize {
        let running = self.running();
        eventually("one leader all agree on", || {
            let mut leaders = Vec::new();
            let mut own = Vec::new();
            for index in &running {
                let (member, leader) = self.client(*index).leader()?;
                own.push(member);
                leaders.push(leader);
            }
            let leader = leaders[0];
            if leader == 0 || leaders.iter().any(|other| *other != leader) {
                return Err(format!("leaders seen: {leaders:x?}"));
            }
            let place = own.iter().position(|member| *member == leader);
            place.map(|place| running[place]).ok_or("the leader does not run".into())
        })
    }

    /// The lowest running node that is not leader.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        self.running().into_iter().find(|index| *index != leader).expect("a follower")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            if let Some(mut child) = node.child.take() {
                // It may have ended by itself; nothing is left to do then.
                let _ = child.kill();
                let _ = child.wait();
            }
            if std::thread::panicking() {
                eprintln!("--- log of {} ({})\n{}", node.name, self.engine, tail(&node.log_path()));
            }
        }
    }
}

/// The last lines of a log.
fn tail(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// One HTTP/1.1 GET.
fn http_get(port: u16, path: &str) -> Result<(u16, String), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(text)?;
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).map_err(text)?;
    stream.set_write_timeout(limit).map_err(text)?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n")
        .map_err(text)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(text)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or(format!("no status in {head:?}"))?;
    match head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        true => Ok((status, joined_chunks(body).ok_or("a chunk is cut off")?)),
        false => Ok((status, body.to_string())),
    }
}

/// The body of a chunked answer.
fn joined_chunks(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}
