//! Executing what the fleet decides: processes, signals, timers, notes.

use std::{cmp::Reverse, collections::VecDeque, path::Path, time::Duration};

use tokio::sync::mpsc;
use tonic::transport::Channel;

use super::{Due, Input, Process, Supervisor, state};
use crate::{
    classify::{self, Exit},
    engine::{self, Engine},
    fleet::{FleetEffect, FleetEvent, Signal},
    logs, ports, probe,
    process::{self, Launch, ProcessIdentity},
};

/// Between probes of a node that is not yet ready, or knows no leader.
const PROBE_SOON: Duration = Duration::from_millis(150);
/// Between probes of a node that serves.
const PROBE_CALM: Duration = Duration::from_millis(500);
/// Of reads that need the others.
const TOUCH_ROUND: Duration = Duration::from_millis(500);
/// Log lines read to find out why a process ended.
/// Enough for the stacks that Go prints behind its reason.
const LAST_LINES: usize = 300;

impl Supervisor {
    /// Carries out effects, and the effects of their outcomes.
    pub(super) async fn execute(&mut self, effects: Vec<FleetEffect>) {
        let mut queue = VecDeque::from(effects);
        while let Some(effect) = queue.pop_front() {
            match effect {
                FleetEffect::Note { node, text } => self.journal.note(node, text),
                FleetEffect::Timer { node, epoch, at } => {
                    self.due.push(Reverse((at, Due::Node(node, epoch))));
                }
                FleetEffect::Signal { node, signal } => self.signal(&node, signal),
                FleetEffect::Spawn { node, epoch } => {
                    let event = match self.spawn(&node, epoch).await {
                        Ok(pid) => FleetEvent::Spawned { pid },
                        Err(why) => FleetEvent::SpawnFailed { why },
                    };
                    queue.extend(self.fleet.step(&node, epoch, event, self.now()));
                    self.save_state();
                }
            }
        }
    }

    pub(super) fn signal(&mut self, node: &str, signal: Signal) {
        // The child has not been reaped, so this pid is still its own.
        if let Some(process) = self.processes.get_mut(node) {
            process.killed |= signal == Signal::Kill;
            process::signal_child(&process.child, signal);
        }
    }

    async fn spawn(&mut self, node: &str, epoch: u64) -> Result<u32, String> {
        self.begin_without_faults(node)?;
        let proxy = self.open_proxy(node);
        let spec = self.spec.node(node).ok_or_else(|| format!("{node} is not in the plan"))?;
        for port in [spec.client_port, spec.peer_port] {
            if let Some(why) = ports::busy(port) {
                return Err(why);
            }
        }
        let command =
            engine::command::command(&self.spec, spec, &self.dirs, std::process::id(), proxy);
        let directory = self.dirs.node(node);
        record_argv(&directory, &command.shown);
        let log = self.dirs.log(node);
        let log_start = logs::size(&log);
        let url = spec.client_url();
        let program = match self.spec.engine {
            Engine::Builtin => self.programs.node.clone(),
            Engine::Etcd => self.programs.guard.clone(),
        };
        let launch = Launch {
            program: program.clone(),
            argv: command.argv,
            environment: command.environment,
            directory,
            log,
        };
        let child = self
            .spawner
            .spawn(launch)
            .await
            .map_err(|error| format!("cannot run {}: {error}", program.display()))?;
        let pid = child.id();
        let channel = probe::channel(&url).map_err(|error| error.to_string())?;
        self.channels.insert(node.to_owned(), channel.clone());
        let prober = tokio::spawn(observe(node.to_owned(), epoch, channel, self.inbox.clone()));
        let identity = ProcessIdentity::of(pid);
        let process =
            Process { child, epoch, identity, log_start, prober, killed: false, recorded: None };
        self.processes.insert(node.to_owned(), process);
        Ok(pid)
    }

    /// Collects every process that has ended.
    pub(super) async fn reap(&mut self) {
        let mut ended: Vec<(String, Exit)> = Vec::new();
        for (node, process) in &mut self.processes {
            match process.child.try_wait() {
                Ok(Some(status)) => ended.push((node.clone(), process::exit(status))),
                Ok(None) => {}
                Err(error) => tracing::warn!(%node, %error, "a process cannot be waited for"),
            }
        }
        for (node, exit) in ended {
            let Some(process) = self.processes.remove(&node) else { continue };
            process.prober.abort();
            self.channels.remove(&node);
            let tail = logs::tail(&self.dirs.log(&node), process.log_start, LAST_LINES);
            let on_request = process.killed && exit == Exit::Signal(9);
            let mut diagnosis = classify::classify(exit, &tail.unwrap_or_default(), on_request);
            if let Some(why) = self.end_of_faults(&node, on_request) {
                diagnosis.why = why;
            }
            self.feed(&node, process.epoch, FleetEvent::Exited(diagnosis)).await;
        }
        self.save_state();
    }

    /// Records what a node has said about itself for the first time. A program may also have
    /// replaced itself since it was started (a wrapper script does), so who it is is read again.
    pub(super) fn refresh_identity(&mut self, node: &str) {
        let Some(member_id) = self.fleet.member_id(node) else { return };
        let Some(process) = self.processes.get_mut(node) else { return };
        if process.recorded != Some(member_id) {
            process.recorded = Some(member_id);
            process.identity = ProcessIdentity::of(process.child.id());
            self.save_state();
        }
    }

    pub(super) fn save_state(&self) {
        let nodes = self.fleet.names().into_iter().map(|name| {
            let node = state::NodeRecord {
                process: self.processes.get(&name).and_then(|process| process.identity.clone()),
                member_id: self.fleet.member_id(&name).map(|id| format!("{id:x}")),
            };
            (name, node)
        });
        state::save(&self.dirs.state(), nodes.collect());
    }

    pub(super) fn rotate_logs(&self) {
        for name in self.fleet.names() {
            if let Err(error) = logs::rotate(&self.dirs.log(&name), logs::SIZE_MAX) {
                tracing::warn!(node = %name, %error, "a log cannot be rotated");
            }
        }
        self.journal.rotate();
    }
}

/// What the node was started with, for people who want to start it by hand.
fn record_argv(directory: &Path, argv: &[String]) {
    let written = serde_json::to_vec_pretty(argv)
        .map_err(std::io::Error::from)
        .and_then(|json| std::fs::write(directory.join("argv.json"), json));
    if let Err(error) = written {
        tracing::warn!(%error, "the command line of a node was not recorded");
    }
}

/// Asks the node until nobody wants to know any more. The two do not wait for each other: a read
/// that waits for a leader must not delay what the node says about itself.
async fn observe(node: String, epoch: u64, channel: Channel, inbox: mpsc::Sender<Input>) {
    let touch = touch_always(node.clone(), epoch, channel.clone(), inbox.clone());
    tokio::join!(probe_always(node, epoch, channel, inbox), touch);
}

/// Reads are asked at a pace, whether those before have been answered or not: what is slow is told
/// from what is silent. The deadline of a read bounds how many there are.
async fn touch_always(node: String, epoch: u64, channel: Channel, inbox: mpsc::Sender<Input>) {
    let mut reads = tokio::task::JoinSet::new();
    let mut pace = tokio::time::interval(TOUCH_ROUND);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let mut yes = false;
        while let Some(read) = reads.try_join_next() {
            yes |= read.unwrap_or(false);
        }
        if inbox.send(Input::Touched(node.clone(), epoch, yes)).await.is_err() {
            return;
        }
        reads.spawn(probe::in_touch(channel.clone()));
    }
}

async fn probe_always(node: String, epoch: u64, channel: Channel, inbox: mpsc::Sender<Input>) {
    loop {
        let report = probe::probe(&channel).await;
        let calm = report.as_ref().is_some_and(|report| report.leader != 0);
        let input = Input::Probed(node.clone(), epoch, report.map(Box::new));
        if inbox.send(input).await.is_err() {
            return;
        }
        tokio::time::sleep(if calm { PROBE_CALM } else { PROBE_SOON }).await;
    }
}
