//! The verbs that ask the supervisor for something and print what it says.

use std::process::ExitCode;

use playground::{
    Client, Engine, FleetView, Home, LinkFault, LinkView, NodeFault, Request, launch,
    spec::FleetSpec,
    view::{Health, NodeState, NodeView, Role},
};
use serde::Serialize;

use crate::{cli, output};

pub async fn ls(home: &Home, arguments: &cli::Ls) -> anyhow::Result<ExitCode> {
    let listed = launch::list(home).await?;
    if arguments.json {
        output::print(&(serde_json::to_string_pretty(&listed)? + "\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if listed.is_empty() {
        output::print("there are no clusters yet: `etcd-tui up` creates one\n")?;
        return Ok(ExitCode::SUCCESS);
    }
    let heading = ["CLUSTER", "ENGINE", "STATE", "HEALTH", "NODES", "ENDPOINTS"].map(str::to_owned);
    let mut rows = vec![heading.to_vec()];
    rows.extend(listed.iter().map(|it| {
        vec![
            it.cluster.clone(),
            it.engine.clone(),
            it.state.to_owned(),
            it.health.map_or("-", Health::word).to_owned(),
            format!("{}/{}", it.running, it.nodes),
            it.endpoints.join(","),
        ]
    }));
    output::print(&output::table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The document of `ps --json`. Its fields are a promise to scripts.
#[derive(Serialize)]
struct PsDocument<'a> {
    cluster: &'a str,
    engine: &'a str,
    health: Health,
    nodes: Vec<PsNode<'a>>,
    links: &'a [LinkView],
}

#[derive(Serialize)]
struct PsNode<'a> {
    name: &'a str,
    state: NodeState,
    pid: Option<u32>,
    client_url: &'a str,
    peer_url: &'a str,
    member_id: Option<&'a str>,
    role: Role,
    term: Option<u64>,
    applied_index: Option<u64>,
    db_size: Option<i64>,
    version: Option<&'a str>,
    faults: Vec<String>,
}

impl<'a> PsDocument<'a> {
    fn of(view: &'a FleetView) -> Self {
        let node = |node: &'a NodeView| PsNode {
            name: &node.name,
            state: node.state,
            pid: node.pid,
            client_url: &node.client_url,
            peer_url: &node.peer_url,
            member_id: node.member_id.as_deref(),
            role: node.role,
            term: node.term,
            applied_index: node.applied_index,
            db_size: node.db_size,
            version: node.version.as_deref(),
            faults: node.faults.iter().map(ToString::to_string).collect(),
        };
        Self {
            cluster: &view.cluster,
            engine: &view.engine,
            health: view.health,
            nodes: view.nodes.iter().map(node).collect(),
            links: &view.links,
        }
    }
}

pub async fn ps(home: &Home, arguments: &cli::Ps) -> anyhow::Result<ExitCode> {
    let view = launch::view(home, &arguments.name).await?;
    if arguments.json {
        output::print(&(serde_json::to_string_pretty(&PsDocument::of(&view))? + "\n"))?;
    } else {
        let operation = view.operation.as_ref().map(|text| format!("now {text}\n"));
        output::print(&format!(
            "cluster {}: {} ({})\n{}{}",
            view.cluster,
            view.health.word(),
            view.explain(),
            operation.unwrap_or_default(),
            nodes_table(&view)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The nodes as a table; below it, why nodes are in states that nobody asked for.
pub fn nodes_table(view: &FleetView) -> String {
    let heading = [
        "NODE",
        "STATE",
        "PID",
        "ROLE",
        "TERM",
        "APPLIED",
        "DB",
        "MEMBER",
        "VERSION",
        "CLIENT URL",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    let shown = |fact: Option<u64>| fact.map_or_else(|| "-".to_owned(), |it| it.to_string());
    rows.extend(view.nodes.iter().map(|node| {
        vec![
            node.name.clone(),
            node.state.word().to_owned(),
            shown(node.pid.map(u64::from)),
            node.role.word().to_owned(),
            shown(node.term),
            shown(node.applied_index),
            node.db_size.map_or_else(|| "-".to_owned(), output::bytes),
            node.member_id.clone().unwrap_or_else(|| "-".to_owned()),
            node.version.clone().unwrap_or_else(|| "-".to_owned()),
            node.client_url.clone(),
        ]
    }));
    if view.engine == Engine::Builtin.word() {
        // Every node is this program.
        let version = heading.iter().position(|it| *it == "VERSION").unwrap_or_default();
        rows.iter_mut().for_each(|row| drop(row.remove(version)));
    }
    let mut text = output::table(&rows);
    for node in &view.nodes {
        if !node.faults.is_empty() {
            let faults: Vec<String> = node.faults.iter().map(ToString::to_string).collect();
            text.push_str(&format!("{} suffers from: {}\n", node.name, faults.join(", ")));
        }
        if node.cut_off {
            text.push_str(&format!("{} is cut off: it answers for itself only\n", node.name));
        }
        if let Some(why) = &node.why {
            text.push_str(&format!("{}: {why}\n", node.name));
        }
    }
    for link in view.links.iter().filter(|link| link.fault != LinkFault::Ok) {
        text.push_str(&format!("link {}>{}: {}\n", link.from, link.to, link.fault.state()));
    }
    text
}

pub async fn env(home: &Home, arguments: &cli::Named) -> anyhow::Result<ExitCode> {
    let view = launch::view(home, &arguments.name).await?;
    output::print(&format!(
        "export ETCDCTL_API=3\nexport ETCDCTL_ENDPOINTS={}\n",
        view.endpoints().join(",")
    ))?;
    Ok(ExitCode::SUCCESS)
}

pub async fn down(home: &Home, arguments: &cli::Down) -> anyhow::Result<ExitCode> {
    let said = launch::down(home, &arguments.name, arguments.now, arguments.purge).await?;
    output::print_lines(&said)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn act(home: &Home, act: cli::Act) -> anyhow::Result<ExitCode> {
    let (verb, select) = act.parts();
    // What is no selector at all is wrong whether or not the cluster runs.
    select.selector.parse::<playground::selector::Selector>()?;
    let client = connect(home, &select.cluster).await?;
    output::print_lines(&client.act(verb, &select.selector).await?)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn fault(home: &Home, fault: cli::Fault) -> anyhow::Result<ExitCode> {
    fault.selector.parse::<playground::selector::Selector>()?;
    let wanted = NodeFault::from_words(&fault.fault)?;
    let client = connect(home, &fault.cluster).await?;
    let request = Request::Fault { selector: fault.selector, fault: wanted };
    output::print_lines(&client.perform(request).await?)?;
    Ok(ExitCode::SUCCESS)
}

pub async fn replace(home: &Home, select: cli::Select) -> anyhow::Result<ExitCode> {
    select.selector.parse::<playground::selector::Selector>()?;
    change(home, &select.cluster, Request::Replace { selector: select.selector }).await
}

pub async fn resize(home: &Home, resize: cli::Resize, grow: bool) -> anyhow::Result<ExitCode> {
    if let Some(nodes) = resize.nodes {
        FleetSpec::check_count(nodes)?;
    }
    let nodes = resize.nodes;
    let request = if grow { Request::Grow { nodes } } else { Request::Shrink { nodes } };
    change(home, &resize.cluster, request).await
}

/// A change that takes a while: what happens meanwhile goes to standard error.
async fn change(home: &Home, cluster: &str, request: Request) -> anyhow::Result<ExitCode> {
    let client = connect(home, cluster).await?;
    let seen = client.view().await?.event_seq;
    let mut events = client.subscribe(seen).await?;
    let done = client.perform(request);
    tokio::pin!(done);
    // One event is held back: the last may be the outcome, which is printed as such.
    let mut held = None;
    let outcome = loop {
        tokio::select! {
            // Events first, so that the outcome is the last thing said.
            biased;
            Some(event) = events.recv() => {
                if let Some(before) = held.replace(event) {
                    eprintln!("{}", line(&before));
                }
            }
            outcome = &mut done => break outcome,
        }
    };
    let said = match &outcome {
        Ok(lines) => lines.join("; "),
        Err(error) => error.to_string(),
    };
    if let Some(event) = held.filter(|event| !said.contains(&event.text)) {
        eprintln!("{}", line(&event));
    }
    output::print_lines(&outcome?)?;
    Ok(ExitCode::SUCCESS)
}

fn line(event: &playground::Event) -> String {
    match &event.node {
        Some(node) => format!("  {node} {}", event.text),
        None => format!("  {}", event.text),
    }
}

pub async fn connect(home: &Home, cluster: &str) -> anyhow::Result<Client> {
    FleetSpec::check_name(cluster)?;
    Ok(Client::connect(home, cluster).await?)
}
