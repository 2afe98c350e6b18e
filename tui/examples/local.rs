//! Opens the UI on a local cluster of some etcd binary, with the simplest supervisor that
//! can work: `cargo run -p tui --example local -- /path/to/etcd DIRECTORY [BASE_PORT]`.
//!
//! For looking at the UI without the real supervisor; replacing and growing are not here.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tui::fleet::{FleetCommand, FleetNode, FleetPort, FleetState, FleetUpdate, LogSource, link};
use tui::{Session, run};

struct Node {
    child: Option<Child>,
    view: FleetNode,
    since: Instant,
    expected: bool,
}

struct Supervisor {
    binary: String,
    directory: PathBuf,
    base: u16,
    nodes: BTreeMap<String, Node>,
}

impl Supervisor {
    fn url(&self, index: u16, peer: u16) -> String {
        format!("http://127.0.0.1:{}", self.base + index * 10 + peer)
    }

    fn start(&mut self, name: &str) -> std::io::Result<()> {
        let index: u16 = name[1..].parse().unwrap_or(1);
        let log_path = self.directory.join(format!("{name}.log"));
        let log = OpenOptions::new().create(true).append(true).open(&log_path)?;
        let peers: Vec<String> = (1..=3).map(|i| format!("n{i}={}", self.url(i, 1))).collect();
        let (client, peer) = (self.url(index, 0), self.url(index, 1));
        let child = Command::new(&self.binary)
            .args(["--name", name, "--initial-cluster-state", "new", "--logger", "zap"])
            .args(["--data-dir", &self.directory.join(name).to_string_lossy()])
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &peers.join(",")])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let restarts = self.nodes.get(name).map_or(0, |node| node.view.restarts + 1);
        let view = FleetNode {
            name: name.to_owned(),
            state: FleetState::Running,
            pid: Some(child.id()),
            restarts,
            client_url: client,
            log_path,
            ..FleetNode::default()
        };
        let node = Node { child: Some(child), view, since: Instant::now(), expected: false };
        self.nodes.insert(name.to_owned(), node);
        Ok(())
    }

    fn signal(&self, name: &str, signal: &str) {
        if let Some(pid) = self.nodes.get(name).and_then(|node| node.view.pid) {
            // The process may have ended meanwhile; then there is nothing to do.
            let _ = Command::new("kill").args([signal, &pid.to_string()]).status();
        }
    }

    fn set(&mut self, name: &str, state: FleetState) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.view.state = state;
            node.expected = state == FleetState::Stopping;
        }
    }

    fn obey(&mut self, command: FleetCommand) -> Result<(), String> {
        match command {
            FleetCommand::Kill(name) => self.signal(&name, "-KILL"),
            FleetCommand::Stop(name) => {
                self.set(&name, FleetState::Stopping);
                self.signal(&name, "-TERM");
            }
            FleetCommand::Pause(name) => {
                self.signal(&name, "-STOP");
                self.set(&name, FleetState::Paused);
            }
            FleetCommand::Resume(name) => {
                self.signal(&name, "-CONT");
                self.set(&name, FleetState::Running);
            }
            FleetCommand::Start(name) => self.start(&name).map_err(|error| error.to_string())?,
            FleetCommand::Restart(name) => {
                self.signal(&name, "-TERM");
                if let Some(child) = self.nodes.get_mut(&name).and_then(|node| node.child.as_mut())
                {
                    let _ = child.wait();
                }
                self.start(&name).map_err(|error| error.to_string())?;
            }
            other => return Err(format!("this example cannot do {other:?}")),
        }
        Ok(())
    }

    /// Looks after ended processes; returns what to say about them.
    fn reap(&mut self) -> Vec<FleetUpdate> {
        let mut events = Vec::new();
        for (name, node) in &mut self.nodes {
            node.view.uptime_s = node.since.elapsed().as_secs();
            let Some(child) = &mut node.child else { continue };
            let Ok(Some(status)) = child.try_wait() else { continue };
            node.child = None;
            node.view.pid = None;
            node.view.state = if node.expected { FleetState::Stopped } else { FleetState::Exited };
            node.view.why = if node.expected { String::new() } else { format!("{status}") };
            let text = format!("{}: {status}", node.view.state.word());
            events.push(FleetUpdate::Event { node: name.clone(), text });
        }
        events
    }

    fn view(&self) -> FleetUpdate {
        FleetUpdate::View(self.nodes.values().map(|node| node.view.clone()).collect())
    }
}

async fn supervise(mut supervisor: Supervisor, mut port: FleetPort) {
    let mut clock = tokio::time::interval(Duration::from_millis(500));
    loop {
        let mut updates = Vec::new();
        tokio::select! {
            command = port.commands.recv() => match command {
                Some(command) => if let Err(text) = supervisor.obey(command) {
                    updates.push(FleetUpdate::CommandFailed(text));
                },
                None => break,
            },
            _ = clock.tick() => {}
        }
        updates.extend(supervisor.reap());
        updates.push(supervisor.view());
        for update in updates {
            if port.updates.send(update).await.is_err() {
                break;
            }
        }
    }
    for name in ["n1", "n2", "n3"] {
        supervisor.signal(name, "-KILL");
    }
    for node in supervisor.nodes.values_mut() {
        if let Some(child) = &mut node.child {
            let _ = child.wait();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(binary), Some(directory)) = (arguments.next(), arguments.next()) else {
        return Err("usage: local ETCD DIRECTORY [BASE_PORT]".into());
    };
    let base = arguments.next().map_or(Ok(24_790), |port| port.parse())?;
    std::fs::create_dir_all(&directory)?;
    let mut supervisor =
        Supervisor { binary, directory: directory.into(), base, nodes: BTreeMap::new() };
    for name in ["n1", "n2", "n3"] {
        supervisor.start(name)?;
    }
    let (fleet, port) = link(LogSource::Files);
    let supervising = tokio::spawn(supervise(supervisor, port));
    let session = Session { title: "default".into(), fleet: Some(fleet), ..Session::default() };
    println!("{:?}", run(session).await?);
    supervising.await?;
    Ok(())
}
