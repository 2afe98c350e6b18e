//! Puts a cluster back: every fault undone, every node running, members as before.
//!
//! A drill may be stopped at any moment, so this asks what is there and never assumes what was
//! done. It goes on after an error, and says all of them.

use std::time::Duration;

use tokio::time::Instant;

use super::etcd;
use super::stage::leader;
use crate::view::{FleetView, NodeState};
use crate::workload::Target;
use crate::{Client, Request, Verb};

/// How long a cluster may take to be well again.
const PATIENCE: Duration = Duration::from_secs(45);

/// Puts everything back; the sentence says what had to be done.
pub async fn everything(client: &Client, nodes: usize) -> Result<String, String> {
    let mut done = Vec::new();
    let mut failed = Vec::new();
    let mut note = |result: Result<Vec<String>, String>| match result {
        Ok(said) => done.extend(said),
        Err(why) => failed.push(why),
    };
    note(links(client).await);
    note(faults(client).await);
    note(resume(client).await);
    note(strangers(client).await);
    note(start(client).await);
    note(alarms(client).await);
    note(members(client, nodes).await);
    note(healthy(client, nodes).await.map(|()| Vec::new()));
    match (failed.is_empty(), done.is_empty()) {
        (true, true) => Ok("nothing was left to undo".into()),
        (true, false) => Ok(done.join("; ")),
        (false, _) => Err(failed.join("; ")),
    }
}

async fn view(client: &Client) -> Result<FleetView, String> {
    client.view().await.map_err(|error| error.to_string())
}

async fn asked(client: &Client, request: Request) -> Result<Vec<String>, String> {
    client.perform(request).await.map_err(|error| error.to_string())
}

async fn links(client: &Client) -> Result<Vec<String>, String> {
    let broken = |it: &crate::LinkView| it.fault != crate::LinkFault::Ok;
    match view(client).await?.links.iter().any(broken) {
        true => asked(client, Request::Heal).await,
        false => Ok(Vec::new()),
    }
}

async fn faults(client: &Client) -> Result<Vec<String>, String> {
    let now = view(client).await?;
    let faulty = now.nodes.iter().filter(|node| !node.faults.is_empty());
    let names: Vec<String> = faulty.map(|node| node.name.clone()).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let request = Request::Fault { selector: names.join(","), fault: crate::NodeFault::None };
    asked(client, request).await
}

async fn resume(client: &Client) -> Result<Vec<String>, String> {
    let paused = named(&view(client).await?, |state| state == NodeState::Paused);
    if paused.is_empty() {
        return Ok(Vec::new());
    }
    asked(client, Request::Act { verb: Verb::Resume, selector: paused.join(",") }).await
}

/// Replaces nodes that were started with another token and have not got in.
async fn strangers(client: &Client) -> Result<Vec<String>, String> {
    let now = view(client).await?;
    let out = now.nodes.iter().filter(|node| {
        let member = now.leader().and_then(|leader| leader.cluster_id.as_ref());
        node.token.is_some() && (node.cluster_id.is_none() || node.cluster_id.as_ref() != member)
    });
    let names: Vec<String> = out.map(|node| node.name.clone()).collect();
    match names.is_empty() {
        true => Ok(Vec::new()),
        false => asked(client, Request::Replace { selector: names.join(",") }).await,
    }
}

/// Starts what is down; what cannot come back as it is, is replaced.
async fn start(client: &Client) -> Result<Vec<String>, String> {
    let dead = named(&view(client).await?, |state| !state.is_live());
    let mut said = Vec::new();
    let (mut gone, mut comes) = (Vec::new(), Vec::new());
    for node in dead {
        let is_removed =
            view(client).await?.node(&node).is_some_and(|it| it.state == NodeState::Removed);
        if is_removed { gone.push(node) } else { comes.push(node) }
    }
    if !comes.is_empty() {
        let request = Request::Act { verb: Verb::Start, selector: comes.join(",") };
        match asked(client, request).await {
            Ok(done) => said.extend(done),
            // One of them has no data any more, or was removed while it was down.
            Err(_) => gone.extend(named(&view(client).await?, |state| !state.is_live())),
        }
    }
    gone.sort();
    gone.dedup();
    for node in gone {
        said.extend(asked(client, Request::Replace { selector: node }).await?);
    }
    Ok(said)
}

fn named(view: &FleetView, wanted: impl Fn(NodeState) -> bool) -> Vec<String> {
    let nodes = view.nodes.iter().filter(|node| wanted(node.state));
    nodes.map(|node| node.name.clone()).collect()
}

fn leader_target(view: &FleetView) -> Option<Target> {
    let node = leader(view)?;
    Target::new(&node.name, &node.client_url).ok()
}

async fn alarms(client: &Client) -> Result<Vec<String>, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = match leader_target(&view(client).await?) {
            Some(target) => etcd::disarm(target.channel).await,
            None => Err("nobody leads".into()),
        };
        match answer {
            Ok(0) => return Ok(Vec::new()),
            Ok(count) => return Ok(vec![format!("{count} alarms are lowered")]),
            Err(why) if Instant::now() >= deadline => return Err(why),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Members that no node stands for go; nodes come or go until there are as many as before.
async fn members(client: &Client, nodes: usize) -> Result<Vec<String>, String> {
    let mut said = Vec::new();
    let now = view(client).await?;
    if let Some(target) = leader_target(&now) {
        for member in etcd::members(target.channel.clone()).await? {
            let url = member.peer_ur_ls.first().cloned().unwrap_or_default();
            if !now.nodes.iter().any(|node| node.peer_url == url) {
                etcd::member_remove(target.channel.clone(), &url).await?;
                said.push(format!("member {url} is removed"));
            }
        }
    }
    let request = match now.nodes.len() {
        count if count > nodes => Request::Shrink { nodes: Some(nodes) },
        count if count < nodes => Request::Grow { nodes: Some(nodes) },
        _ => return Ok(said),
    };
    said.extend(asked(client, request).await?);
    Ok(said)
}

async fn healthy(client: &Client, nodes: usize) -> Result<(), String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = view(client).await?;
        if now.all_running() && now.voters == nodes && leader(&now).is_some() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(format!("the cluster is not as before: {}", now.explain()));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
