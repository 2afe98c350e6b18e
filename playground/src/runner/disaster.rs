//! What is done about the loss of a whole cluster: a backup beside its data, a restore of every
//! node from one, and, to see what goes wrong, a node that is founded with a token of its own.
//!
//! A restore makes a new cluster of the same nodes: other ids, another token, the data of the
//! file. It is prepared beside the data by the tool of the engine, in a task of its own, and put
//! in place at once when all of it is there: what was there before is moved aside, never deleted.
//!
//! # Invariant
//! No data directory is touched while a node runs, and the plan changes only together with all
//! of them.

use std::{
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime},
};

use proto::etcdserverpb::{SnapshotRequest, maintenance_client::MaintenanceClient};
use tokio::process::Command;
use tonic::transport::Channel;

use super::{Answered, Input, Supervisor, requests::refuse};
use crate::{
    PlaygroundError, dirs,
    engine::restore::{self, Restore},
    faults::at_rest,
    fleet::Order,
    protocol::{Refusal, Reply},
    selector::{Eligible, Selector},
    spec::{FleetSpec, InitialState},
};

/// How long a tool may take for one node.
const TOOL_PATIENCE: Duration = Duration::from_secs(600);
/// How long a member may be silent while it sends a snapshot.
const CHUNK_PATIENCE: Duration = Duration::from_secs(30);
/// Most of what a tool says that is shown.
const WORDS_MAX: usize = 300;

/// A snapshot that was taken of a node, or why not.
pub(crate) struct Saved {
    node: String,
    result: Result<PathBuf, String>,
    answered: Answered,
}

/// Data that was prepared for every node, or why not.
pub(crate) struct Restored {
    token: String,
    file: PathBuf,
    result: Result<(), String>,
    answered: Answered,
}

/// One run of a tool.
struct Job {
    node: String,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Supervisor {
    /// Saves a snapshot of the leader, or of any member that serves.
    pub(super) fn backup(&self, answered: Answered) {
        let names = self.fleet.leader_name().into_iter().chain(self.fleet.names());
        let mut serving = names.filter(|name| self.is_running(name));
        let source = serving.find_map(|name| Some((self.channels.get(&name)?.clone(), name)));
        let Some((channel, name)) = source else {
            let why = "no node serves, and a snapshot is taken from one that does";
            return drop(answered.send(Err(refuse(why))));
        };
        let (directory, inbox) = (self.dirs.backups(), self.inbox.clone());
        tokio::spawn(async move {
            let result = save(channel, &directory).await;
            // The supervisor may have ended.
            let _ = inbox.send(Input::Saved(Saved { node: name, result, answered })).await;
        });
    }

    pub(super) fn on_saved(&mut self, saved: Saved) {
        let Saved { node, result, answered } = saved;
        let answer = result.map(|path| {
            let said = format!("a snapshot of {node} is in {}", path.display());
            self.journal.note(Some(node), format!("saved a snapshot in {}", path.display()));
            Reply::Done(vec![said])
        });
        // The client may have gone.
        let _ = answered.send(answer.map_err(refuse));
    }

    /// Prepares the data of every node from a file; without one, from the latest backup.
    pub(super) fn restore(&mut self, file: Option<PathBuf>, bump: u64, answered: Answered) {
        match self.restore_jobs(file, bump) {
            Err(refusal) => drop(answered.send(Err(refusal))),
            Ok((file, token, jobs)) => {
                let inbox = self.inbox.clone();
                tokio::spawn(async move {
                    let result = run_all(jobs).await;
                    let restored = Restored { token, file, result, answered };
                    // The supervisor may have ended.
                    let _ = inbox.send(Input::Restored(restored)).await;
                });
            }
        }
    }

    fn restore_jobs(
        &self,
        file: Option<PathBuf>,
        bump_revision: u64,
    ) -> Result<(PathBuf, String, Vec<Job>), Refusal> {
        self.refuse_unless_all_down()?;
        if let Some(why) = restore::missing(&self.spec, bump_revision > 0) {
            return Err(refuse(why));
        }
        let latest = || dirs::latest(&self.dirs.backups());
        let file = file.or_else(latest).ok_or_else(|| {
            let name = &self.spec.name;
            refuse(format!(
                "cluster {name} has no backup: name a snapshot file, or make one while it runs \
                 with `etcd-tui backup --cluster {name}`"
            ))
        })?;
        let token = FleetSpec::token(&self.spec.name, rand::random());
        let mut jobs = Vec::new();
        for node in &self.spec.nodes {
            let data_dir = self.dirs.restored(&node.name);
            dirs::delete_if_there(&data_dir).map_err(Refusal::from)?;
            let restore =
                Restore { file: &file, data_dir: &data_dir, token: &token, bump_revision };
            jobs.push(Job {
                node: node.name.clone(),
                program: restore::program(&self.spec, node, &self.programs.guard)
                    .map_err(refuse)?,
                arguments: restore::arguments(&self.spec, node, restore),
            });
        }
        Ok((file, token, jobs))
    }

    fn refuse_unless_all_down(&self) -> Result<(), Refusal> {
        if let Some(active) = &self.active {
            let text = format!("wait until this is over: {}", active.procedure.title());
            return Err(refuse(text));
        }
        match self.fleet.names().into_iter().find(|name| self.fleet.is_live(name)) {
            Some(live) => Err(refuse(format!(
                "{live} runs, and a restore makes a new cluster of all nodes: \
                 `etcd-tui stop all --cluster {}` first",
                self.spec.name
            ))),
            None => Ok(()),
        }
    }

    /// All data is prepared: puts it in place.
    pub(super) fn on_restored(&mut self, restored: Restored) {
        let Restored { token, file, result, answered } = restored;
        let placed = match result {
            // A node may have been started meanwhile.
            Ok(()) => self.refuse_unless_all_down().and_then(|()| self.place(token)),
            Err(why) => Err(refuse(why)),
        };
        for name in self.fleet.names() {
            // What is left of a restore that failed; the next one clears it, too.
            let _ = dirs::delete_if_there(&self.dirs.restored(&name));
        }
        let answer = placed.map(|()| {
            let text = format!(
                "every node has the data of {}, as a member of a new cluster: \
                 `etcd-tui start all --cluster {}` starts them",
                file.display(),
                self.spec.name
            );
            self.journal.note(None, text.clone());
            Reply::Done(vec![text])
        });
        // The client may have gone.
        let _ = answered.send(answer);
    }

    fn place(&mut self, token: String) -> Result<(), Refusal> {
        for name in self.fleet.names() {
            self.dirs.trash_data(&name).map_err(Refusal::from)?;
            // Of the data that is aside now: before other data is in its place.
            at_rest::flip_back(&self.dirs.bit_flip(&name)).map_err(Refusal::from)?;
            let (from, to) = (self.dirs.restored(&name), self.dirs.data(&name));
            std::fs::rename(&from, &to)
                .map_err(|error| Refusal::from(PlaygroundError::file("rename", from)(error)))?;
            self.fleet.forget_member_id(&name);
        }
        self.spec.found_again(token);
        self.spec.save(&self.dirs.spec()).map_err(Refusal::from)?;
        self.save_state();
        Ok(())
    }

    /// Starts nodes that have no data with a token that is not the cluster's. It is not waited
    /// for that they serve: they may never do.
    pub(super) async fn bootstrap(
        &mut self,
        selector: &str,
        state: InitialState,
        token: &str,
    ) -> Result<Reply, Refusal> {
        let selector: Selector = selector.parse().map_err(Refusal::from)?;
        let nodes = selector.resolve(&self.view(), Eligible::Any).map_err(Refusal::from)?;
        self.refuse_during_change(&nodes)?;
        for node in &nodes {
            if self.fleet.is_live(node) {
                return Err(refuse(format!("{node} runs: `etcd-tui stop {node}` first")));
            }
            if self.dirs.data(node).exists() {
                return Err(refuse(format!(
                    "{node} has data, and goes by the token in there: `etcd-tui wipe {node}` first"
                )));
            }
        }
        for node in &nodes {
            self.spec.start_with_own_token(node, state, token);
            self.fleet.forget_member_id(node);
        }
        self.spec.save(&self.dirs.spec()).map_err(Refusal::from)?;
        let effects = self.fleet.order(Order::Start, &nodes, self.now()).map_err(refuse)?;
        self.execute(effects).await;
        let word = state.word();
        let said = |node: &String| format!("{node} is started as {word} with the token {token}");
        Ok(Reply::Done(nodes.iter().map(said).collect()))
    }
}

/// A file gets its name when all of it has come; whether it is right is checked by its own
/// SHA-256 when it is restored.
async fn save(channel: Channel, directory: &Path) -> Result<PathBuf, String> {
    let said = |error: PlaygroundError| error.to_string();
    dirs::create_dir(directory).map_err(said)?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let mut millis = now.map_or(0, |elapsed| elapsed.as_millis());
    let named = |millis: u128| directory.join(format!("{millis:013}.db"));
    while named(millis).exists() {
        millis += 1;
    }
    let (path, part) = (named(millis), named(millis).with_extension("part"));
    let written = fetch(channel, &part).await;
    let named = written.and_then(|()| {
        std::fs::rename(&part, &path).map_err(|error| format!("{}: {error}", path.display()))
    });
    if named.is_err() {
        // What has come of it is of no use.
        let _ = std::fs::remove_file(&part);
    }
    named.map(|()| path)
}

async fn fetch(channel: Channel, part: &Path) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", part.display());
    let silent = |_| "the member stopped sending its snapshot: try again".to_owned();
    let refused = |status: tonic::Status| status.message().to_owned();
    let mut options = std::fs::File::options();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(part).map_err(failed)?;
    let mut client = MaintenanceClient::new(channel);
    let asked = tokio::time::timeout(CHUNK_PATIENCE, client.snapshot(SnapshotRequest {}));
    let mut stream = asked.await.map_err(silent)?.map_err(refused)?.into_inner();
    loop {
        let chunk = tokio::time::timeout(CHUNK_PATIENCE, stream.message());
        match chunk.await.map_err(silent)?.map_err(refused)? {
            Some(chunk) => file.write_all(&chunk.blob).map_err(failed)?,
            None => return file.sync_all().map_err(failed),
        }
    }
}

async fn run_all(jobs: Vec<Job>) -> Result<(), String> {
    for Job { node, program, arguments } in jobs {
        let ran = Command::new(&program)
            .args(arguments)
            .env_clear()
            .env("ETCDCTL_API", "3")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output();
        let shown = program.display();
        let output = tokio::time::timeout(TOOL_PATIENCE, ran)
            .await
            .map_err(|_| format!("{node}: {shown} does not end: nothing is restored"))?
            .map_err(|error| format!("{node}: cannot run {shown}: {error}"))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no reason");
            let last = last.trim_start_matches("etcd-tui: ").trim_start_matches("Error: ");
            let last: String = last.chars().take(WORDS_MAX).collect();
            return Err(format!("{node}: nothing is restored: {last}"));
        }
    }
    Ok(())
}
