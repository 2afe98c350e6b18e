//! Creating, starting, listing and ending clusters, from outside their supervisors.
//!
//! These are the operations for which there may be no supervisor to ask. Two launchers at once
//! are kept apart by the launcher's lock while a cluster is planned, and by the cluster's own
//! lock afterwards: the second supervisor finds it held and ends, and both clients talk to the
//! first.

use std::{
    fs::OpenOptions,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::Serialize;
use tokio::time::Instant;

use crate::{
    PlaygroundError,
    classify::last_words,
    client::Client,
    dirs::{self, ClusterDirs, Home},
    engine::{Choice, Settings},
    fleet::{Fleet, Identity},
    logs, ports,
    protocol::Request,
    runner,
    spec::FleetSpec,
    view::{FleetView, NodeState},
};

/// How many nodes a cluster gets when nobody says.
pub const NODES_DEFAULT: usize = 3;
/// The name of a cluster when nobody says.
pub const NAME_DEFAULT: &str = "default";
/// How long a supervisor may take to answer its first call.
const SUPERVISOR_PATIENCE: Duration = Duration::from_secs(10);
/// How long nodes may take to listen before another launcher may go on.
const LISTEN_PATIENCE: Duration = Duration::from_secs(5);
/// How long nodes may take to elect and serve.
const READY_PATIENCE: Duration = Duration::from_secs(30);
/// How long a supervisor may take to end: each node has its grace.
const DOWN_PATIENCE: Duration = Duration::from_secs(120);

/// What `up` is asked for. `None` is what nobody said.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs, reason = "see the command line's help")]
pub struct UpRequest {
    pub name: String,
    pub nodes: Option<usize>,
    pub base_port: Option<u16>,
    pub ephemeral: bool,
    pub settings: Settings,
    pub engine: Choice,
}

/// What `up` found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum UpOutcome {
    /// A new cluster.
    Created,
    /// A stopped cluster, started with its own nodes, ports and data.
    Restarted,
    /// A cluster that runs.
    Attached,
}

/// A cluster that is up, or coming up.
#[derive(Debug)]
pub struct Up {
    /// What was found.
    pub outcome: UpOutcome,
    /// What was asked for and is not so; for the user.
    pub remarks: Vec<String>,
    /// To its supervisor.
    pub client: Client,
}

/// Puts data into the directories of a cluster that is planned and does not exist yet. If it
/// fails there will be no cluster.
pub type Seed<'a> = &'a (dyn Fn(&FleetSpec, &ClusterDirs) -> Result<(), PlaygroundError> + Sync);

/// Brings a cluster up. `program` is this binary, which is also the supervisor. With a `seed`
/// the cluster must be new.
pub async fn up(
    home: &Home,
    request: &UpRequest,
    program: &Path,
    seed: Option<Seed<'_>>,
) -> Result<Up, PlaygroundError> {
    FleetSpec::check_name(&request.name)?;
    if let Some(nodes) = request.nodes {
        FleetSpec::check_count(nodes)?;
    }
    request.settings.check()?;
    let dirs = home.cluster(&request.name);
    // Taken also for a cluster that exists: its nodes may find the ports of a plan not yet used.
    let launching = dirs::lock_launch();
    let created = create(home, &dirs, request, seed)?;
    let mut remarked = Vec::new();
    if !created {
        let mut spec = FleetSpec::load(&dirs.spec())?;
        remarked = remarks(&spec, request);
        match Client::connect(home, &request.name).await {
            Ok(client) => {
                remarked.extend(request.engine.remarks(&spec));
                return Ok(Up { outcome: UpOutcome::Attached, remarks: remarked, client });
            }
            Err(PlaygroundError::NotRunning(_)) => {}
            Err(error) => return Err(error),
        }
        let (revised, changed) = request.engine.revise(&mut spec)?;
        remarked.extend(revised);
        if changed {
            spec.save(&dirs.spec())?;
        }
    }
    let outcome = if created { UpOutcome::Created } else { UpOutcome::Restarted };
    let client = start_supervisor(home, &request.name, program).await?;
    wait_listening(&client).await?;
    drop(launching);
    Ok(Up { outcome, remarks: remarked, client })
}

/// Plans the cluster unless it exists. True when it was planned now.
fn create(
    home: &Home,
    dirs: &ClusterDirs,
    request: &UpRequest,
    seed: Option<Seed<'_>>,
) -> Result<bool, PlaygroundError> {
    let _launcher = home.lock_ports()?;
    if dirs.exists() {
        if seed.is_none() {
            return Ok(false);
        }
        return Err(PlaygroundError::Refused(format!(
            "cluster {0} exists, and only a new one can be given data: choose another name, or \
             delete it with `etcd-tui down {0} --purge`",
            request.name
        )));
    }
    let count = request.nodes.unwrap_or(NODES_DEFAULT);
    let mut taken = Vec::new();
    for name in home.cluster_names()? {
        // A cluster whose plan cannot be read keeps its ports to itself; binding finds out.
        if let Ok(spec) = FleetSpec::load(&home.cluster(&name).spec()) {
            taken.push((spec.base_port, name));
        }
    }
    let held = ports::hold(request.base_port, count, &taken)?;
    let spec = FleetSpec::new(&request.name, count, held.base, rand::random(), request.ephemeral);
    let mut spec = request.engine.plan(spec)?;
    spec.settings = request.settings;
    for node in &spec.nodes {
        dirs.create_node(&node.name)?;
        // What a half-deleted cluster of this name may have left.
        dirs.trash_data(&node.name)?;
    }
    if let Some(seed) = seed {
        seed(&spec, dirs)?;
    }
    spec.save(&dirs.spec())?;
    Ok(true)
}

/// What the request says and the existing cluster is not.
fn remarks(spec: &FleetSpec, request: &UpRequest) -> Vec<String> {
    let mut remarks = Vec::new();
    let (name, present) = (&spec.name, spec.nodes.len());
    if let Some(asked) = request.nodes.filter(|asked| *asked != present) {
        let verb = if asked > present { "grow" } else { "shrink" };
        remarks.push(format!(
            "cluster {name} has {present} nodes and keeps them: `etcd-tui {verb} --cluster {name} \
             --nodes {asked}` changes that"
        ));
    }
    if let Some(asked) = request.base_port.filter(|asked| *asked != spec.base_port) {
        remarks.push(format!(
            "cluster {name} keeps its ports, which begin at {}, not at {asked}",
            spec.base_port
        ));
    }
    if !request.settings.is_empty() && request.settings != spec.settings {
        remarks.push(format!("cluster {name} keeps the settings it was created with"));
    }
    if request.ephemeral && !spec.ephemeral {
        remarks.push(format!("cluster {name} was created to be kept: `down` will not delete it"));
    }
    remarks
}

async fn start_supervisor(
    home: &Home,
    name: &str,
    program: &Path,
) -> Result<Client, PlaygroundError> {
    let dirs = home.cluster(name);
    let log_path = dirs.supervisor_log();
    let log_start = logs::size(&log_path);
    let mut child = spawn_supervisor(home, name, program, &log_path)?;
    let deadline = Instant::now() + SUPERVISOR_PATIENCE;
    loop {
        match Client::connect(home, name).await {
            Ok(client) => return Ok(client),
            Err(PlaygroundError::NotRunning(_) | PlaygroundError::Silent(_)) => {}
            Err(error) => return Err(error),
        }
        let ended = child.try_wait().map_err(PlaygroundError::file("wait for", program))?;
        // Another launcher may have been faster; then its supervisor answers.
        if (ended.is_some() && !dirs.is_locked()) || Instant::now() >= deadline {
            let tail = logs::tail(&log_path, log_start, 20).unwrap_or_default();
            let said = last_words(&tail).unwrap_or_else(|| "it said nothing".to_owned());
            return Err(PlaygroundError::Refused(format!(
                "the supervisor of cluster {name} did not start: {said} (see {})",
                log_path.display()
            )));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The supervisor makes itself the leader of a session of its own: it outlives this terminal.
fn spawn_supervisor(
    home: &Home,
    name: &str,
    program: &Path,
    log_path: &Path,
) -> Result<Child, PlaygroundError> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log_path)
        .map_err(PlaygroundError::file("open", log_path))?;
    let output = log.try_clone().map_err(PlaygroundError::file("open", log_path))?;
    Command::new(program)
        .args(["__supervise", name])
        .env("ETCD_TUI_HOME", home.path())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(log)
        .spawn()
        .map_err(PlaygroundError::file("run", program))
}

/// Waits until every node listens on its ports, or has ended; not for long.
async fn wait_listening(client: &Client) -> Result<(), PlaygroundError> {
    let deadline = Instant::now() + LISTEN_PATIENCE;
    while Instant::now() < deadline {
        let view = client.view().await?;
        let starting = view.nodes.iter().filter(|node| node.state == NodeState::Starting);
        let mut urls = starting.flat_map(|node| [&node.client_url, &node.peer_url]);
        if urls.all(|url| is_listening(url)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// A loopback connection is accepted or refused at once.
fn is_listening(url: &str) -> bool {
    url.strip_prefix("http://").is_some_and(|address| std::net::TcpStream::connect(address).is_ok())
}

/// Waits until every node serves; otherwise says of each that does not why.
pub async fn wait_ready(client: &Client) -> Result<FleetView, PlaygroundError> {
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        let view = client.view().await?;
        if view.all_running() {
            return Ok(view);
        }
        let hopeless =
            view.nodes.iter().all(|node| node.state == NodeState::Running || !node.state.is_live());
        if hopeless || Instant::now() >= deadline {
            return Err(PlaygroundError::Refused(not_ready(&view)));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn not_ready(view: &FleetView) -> String {
    let waiting = view.nodes.iter().filter(|node| node.state != NodeState::Running);
    let sentences = waiting.map(|node| {
        let reason = node.why.clone().unwrap_or_else(|| {
            let tail = logs::tail(Path::new(&node.log_path), 0, 50).unwrap_or_default();
            let said = last_words(&tail).unwrap_or_else(|| "nothing".to_owned());
            format!("it last said: {said}")
        });
        format!("{} is {}: {reason}", node.name, node.state.word())
    });
    let sentences: Vec<String> = sentences.collect();
    format!(
        "cluster {} is not ready: {} (`etcd-tui logs {}` shows more, `etcd-tui down {}` ends it)",
        view.cluster,
        sentences.join("; "),
        view.cluster,
        view.cluster
    )
}

/// Ends a cluster; with `purge`, or if it is ephemeral, deletes it. Says what it did.
pub async fn down(
    home: &Home,
    name: &str,
    now: bool,
    purge: bool,
) -> Result<Vec<String>, PlaygroundError> {
    FleetSpec::check_name(name)?;
    let dirs = home.cluster(name);
    if !dirs.exists() {
        return Err(PlaygroundError::UnknownCluster(name.to_owned()));
    }
    let mut said = match connect_once_it_listens(home, name).await {
        Ok(client) => client.perform(Request::Down { now }).await?,
        Err(PlaygroundError::NotRunning(_)) => vec![format!("cluster {name} was not running")],
        Err(PlaygroundError::Silent(_) | PlaygroundError::Protocol(_)) if now => {
            runner::end_by_force(&dirs);
            vec![format!("the supervisor of cluster {name} did not answer and was killed")]
        }
        Err(error) => return Err(error),
    };
    if !dirs.wait_unlocked(DOWN_PATIENCE).await {
        return Err(PlaygroundError::Silent(name.to_owned()));
    }
    // A plan that cannot be read is no reason to keep data that shall be deleted.
    let ephemeral = FleetSpec::load(&dirs.spec()).is_ok_and(|spec| spec.ephemeral);
    if purge || ephemeral {
        let _launcher = home.lock_ports()?;
        dirs.delete()?;
        said.push(format!("the data of cluster {name} is deleted"));
    }
    Ok(said)
}

/// A supervisor that has just begun holds the lock and does not listen yet.
async fn connect_once_it_listens(home: &Home, name: &str) -> Result<Client, PlaygroundError> {
    let deadline = Instant::now() + LISTEN_PATIENCE;
    loop {
        match Client::connect(home, name).await {
            Err(PlaygroundError::Silent(_)) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            client => return client,
        }
    }
}

/// The cluster as it is now, with or without a supervisor.
pub async fn view(home: &Home, name: &str) -> Result<FleetView, PlaygroundError> {
    FleetSpec::check_name(name)?;
    match Client::connect(home, name).await {
        Ok(client) => client.view().await,
        Err(PlaygroundError::NotRunning(_)) => stopped_view(home, name),
        Err(error) => Err(error),
    }
}

fn stopped_view(home: &Home, name: &str) -> Result<FleetView, PlaygroundError> {
    let dirs = home.cluster(name);
    let spec = FleetSpec::load(&dirs.spec())?;
    let known = runner::known_member_ids(&dirs);
    let mut fleet = Fleet::default();
    for node in &spec.nodes {
        fleet.enroll(Identity {
            name: node.name.clone(),
            client_url: node.client_url(),
            peer_url: node.peer_url(),
            log_path: dirs.log(&node.name).display().to_string(),
            member_id: known(&node.name),
        });
    }
    Ok(fleet.view(&spec, Duration::ZERO))
}

/// One line of `ls`.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs, reason = "the fields are the columns of `ls`")]
pub struct Listed {
    pub cluster: String,
    pub engine: String,
    pub state: &'static str,
    pub health: Option<crate::view::Health>,
    pub nodes: usize,
    pub running: usize,
    pub endpoints: Vec<String>,
    pub directory: String,
}

/// Every cluster that exists, in the order of names.
pub async fn list(home: &Home) -> Result<Vec<Listed>, PlaygroundError> {
    let mut listed = Vec::new();
    for name in home.cluster_names()? {
        let dirs = home.cluster(&name);
        let online = match Client::connect(home, &name).await {
            Ok(client) => client.view().await.ok(),
            Err(_) => None,
        };
        let state = match (&online, dirs.is_locked()) {
            (Some(_), _) => "running",
            (None, true) => "silent",
            (None, false) => "stopped",
        };
        let health = online.as_ref().map(|view| view.health);
        let view = match online {
            Some(view) => Ok(view),
            None => stopped_view(home, &name),
        };
        listed.push(match view {
            Ok(view) => Listed {
                state,
                health,
                nodes: view.nodes.len(),
                running: view.nodes.iter().filter(|it| it.state == NodeState::Running).count(),
                endpoints: view.endpoints(),
                engine: view.engine,
                cluster: name,
                directory: dirs.path().display().to_string(),
            },
            Err(_) => Listed {
                engine: String::new(),
                state: "damaged",
                health: None,
                nodes: 0,
                running: 0,
                endpoints: Vec::new(),
                cluster: name,
                directory: dirs.path().display().to_string(),
            },
        });
    }
    Ok(listed)
}

/// Makes the calling process a session of its own, so that no terminal can end it.
pub fn detach() {
    // Fails only for the leader of a process group, which has its own session or group already.
    let _ = nix::unistd::setsid();
}

/// Checks that the state directory can be used, before anything is planned in it.
pub fn check_home(home: &Home) -> Result<(), PlaygroundError> {
    dirs::create_dir(home.path())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{self, Call, Message, Reply};

    fn request(name: &str) -> UpRequest {
        UpRequest { name: name.to_owned(), ..UpRequest::default() }
    }

    #[test]
    fn a_cluster_is_planned_once() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let dirs = home.cluster("a");
        assert!(create(&home, &dirs, &request("a"), None).unwrap());
        let plan = FleetSpec::load(&dirs.spec()).unwrap();
        assert!(!create(&home, &dirs, &request("a"), None).unwrap());
        assert_eq!(FleetSpec::load(&dirs.spec()).unwrap(), plan);
        assert_eq!(plan.nodes.len(), NODES_DEFAULT);
    }

    #[test]
    fn stopped_clusters_keep_their_ports_and_tokens_differ() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        for name in ["a", "b"] {
            create(&home, &home.cluster(name), &request(name), None).unwrap();
        }
        let load = |name: &str| FleetSpec::load(&home.cluster(name).spec()).unwrap();
        assert!(load("a").base_port.abs_diff(load("b").base_port) >= ports::BLOCK);
        home.cluster("a").delete().unwrap();
        let token = |name: &str| load(name).token.split_once('-').unwrap().1.to_owned();
        create(&home, &home.cluster("a"), &request("a"), None).unwrap();
        assert_ne!(token("a"), token("b"));
    }

    #[test]
    fn a_request_that_differs_from_the_cluster_is_remarked_on() {
        let spec = FleetSpec::new("a", 3, 23790, 1, false);
        assert!(remarks(&spec, &request("a")).is_empty());
        let same = UpRequest { nodes: Some(3), base_port: Some(23790), ..request("a") };
        assert!(remarks(&spec, &same).is_empty());
        let other =
            UpRequest { nodes: Some(5), base_port: Some(24000), ephemeral: true, ..request("a") };
        let remarks = remarks(&spec, &other);
        assert_eq!(remarks.len(), 3);
        assert!(remarks[0].contains("etcd-tui grow --cluster a --nodes 5"), "{}", remarks[0]);
    }

    #[tokio::test]
    async fn a_supervisor_that_does_not_listen_yet_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let dirs = home.cluster("a");
        create(&home, &dirs, &request("a"), None).unwrap();
        let lock = dirs.try_lock().unwrap();
        assert!(matches!(Client::connect(&home, "a").await, Err(PlaygroundError::Silent(_))));

        let supervisor = async {
            // When it is polled, `down` has found nobody.
            let listener = tokio::net::UnixListener::bind(dirs.socket().unwrap()).unwrap();
            let (read, mut write) = listener.accept().await.unwrap().0.into_split();
            let hello = Message::Hello { version: protocol::VERSION, pid: 1 };
            protocol::write_line(&mut write, &hello).await.unwrap();
            let call = protocol::LineReader::new(read).next::<Call>().await.unwrap().unwrap();
            let result = Ok(Reply::Done(vec!["it is down".to_owned()]));
            protocol::write_line(&mut write, &Message::Answer { id: call.id, result })
                .await
                .unwrap();
            drop(lock);
            call.request
        };
        let (said, asked) = tokio::time::timeout(DOWN_PATIENCE / 4, async {
            tokio::join!(down(&home, "a", true, false), supervisor)
        })
        .await
        .expect("an end");
        assert_eq!(said.unwrap(), ["it is down"]);
        assert!(matches!(asked, Request::Down { now: true }));
    }

    #[tokio::test]
    async fn a_stopped_cluster_is_seen_as_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        create(&home, &home.cluster("a"), &request("a"), None).unwrap();
        let view = view(&home, "a").await.unwrap();
        assert!(view.nodes.iter().all(|node| node.state == NodeState::Stopped));
        assert_eq!(view.health, crate::view::Health::NoQuorum);
        let listed = list(&home).await.unwrap();
        assert_eq!((listed[0].state, listed[0].nodes), ("stopped", 3));
        assert!(matches!(
            super::view(&home, "b").await.unwrap_err(),
            PlaygroundError::UnknownCluster(_)
        ));
    }
}
