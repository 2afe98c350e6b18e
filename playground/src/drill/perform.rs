//! Carries out one step: through the supervisor, or through etcd's API.

use std::time::Duration;

use tokio::time::Instant;

use super::action::{Action, Condition};
use super::format::Step;
use super::machine::Outcome;
use super::stage::{Stage, leader};
use super::{conditions, cuts, etcd};
use crate::selector::Eligible;
use crate::view::{FleetView, NodeView, Role};
use crate::{Request, Verb};

/// Between two looks at what is awaited.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a step waits for somebody who leads.
const LEADER_PATIENCE: Duration = Duration::from_secs(10);
/// How often a write of `fill` is tried.
const FILL_ATTEMPTS: usize = 5;
/// How long a write of `fill` may take.
const FILL_PATIENCE: Duration = Duration::from_secs(5);

/// Does a step of the drill; what must be refused is good when it is.
pub async fn step(stage: &Stage, step: &Step) -> Outcome {
    let result = action(stage, &step.action, step.alias.as_deref()).await;
    match (&step.refused, result) {
        (None, Ok(said)) => Outcome { ok: true, said },
        (None, Err(said)) => Outcome { ok: false, said },
        (Some(text), Err(said)) => Outcome { ok: said.contains(&stage.substitute(text)), said },
        (Some(_), Ok(said)) => Outcome { ok: false, said: format!("it was not refused: {said}") },
    }
}

/// Does it, and says what was done or why not.
pub async fn action(stage: &Stage, action: &Action, alias: Option<&str>) -> Result<String, String> {
    match action {
        Action::Wait(span) => {
            tokio::time::sleep(span.0).await;
            return Ok(format!("{span} passed"));
        }
        Action::Say(text) => return Ok(stage.substitute(text)),
        Action::Client { verb, clients } => return stage.application()?.act(*verb, clients).await,
        Action::Check(condition) => return conditions::holds(stage, condition).await,
        Action::Await { condition, within } => return wait(stage, condition, within.0).await,
        _ => {}
    }
    let view = stage.view().await?;
    let resolved = |nodes: &str, eligible: Eligible| -> Result<Vec<String>, String> {
        let names = stage.names(nodes, &view, eligible)?;
        if let Some(alias) = alias {
            stage.aliases.lock().insert(alias.to_string(), names.clone());
        }
        Ok(names)
    };
    match action {
        Action::Act { verb, nodes } => {
            let names = resolved(nodes, eligible(*verb))?;
            requested(stage, Request::Act { verb: *verb, selector: names.join(",") }).await
        }
        Action::Pick(nodes) => Ok(resolved(nodes, Eligible::Any)?.join(", ")),
        Action::Replace(nodes) => {
            let names = resolved(nodes, Eligible::Any)?;
            requested(stage, Request::Replace { selector: names.join(",") }).await
        }
        Action::Grow(count) => requested(stage, Request::Grow { nodes: Some(*count) }).await,
        Action::Shrink(count) => requested(stage, Request::Shrink { nodes: Some(*count) }).await,
        Action::Isolate(nodes) => {
            let names = resolved(nodes, Eligible::Any)?;
            cuts::isolate(stage, &view, &names).await
        }
        Action::Partition { .. } | Action::Link { .. } | Action::Bridge { .. } | Action::Heal => {
            cuts::set(stage, &view, action).await
        }
        Action::Disaster(disaster) => {
            let nodes = disaster.nodes().map(|nodes| resolved(nodes, Eligible::Any));
            let names = nodes.transpose()?.unwrap_or_default();
            requested(stage, disaster.request(&names)).await
        }
        Action::Fault { nodes, fault } => {
            let names = resolved(nodes, Eligible::Any)?;
            let request = Request::Fault { selector: names.join(","), fault: *fault };
            requested(stage, request).await
        }
        Action::MemberRemove(nodes) => {
            let names = resolved(nodes, Eligible::Any)?;
            for name in &names {
                let url = view.node(name).map(|node| node.peer_url.clone()).unwrap_or_default();
                let asked = somebody(stage, &view, &names)?;
                etcd::member_remove(asked, &url).await?;
            }
            Ok(format!("member {} is removed", names.join(", ")))
        }
        other => by_api(stage, &view, other).await,
    }
}

/// What the leader, or all members, are asked for.
async fn by_api(stage: &Stage, view: &FleetView, action: &Action) -> Result<String, String> {
    let view = &led(stage, view).await?;
    let leads = leader(view).ok_or("nobody leads")?;
    let channel = stage.target(leads)?.channel;
    match action {
        Action::MoveLeader => {
            let other = view.nodes.iter().find(|node| node.role == Role::Follower);
            let other = other.ok_or("there is no follower to lead")?;
            let id = other.member_id.as_deref().and_then(|id| u64::from_str_radix(id, 16).ok());
            etcd::move_leader(channel, id.ok_or("the follower's member id is not known")?).await?;
            Ok(format!("leadership moved from {} to {}", leads.name, other.name))
        }
        Action::MemberAdd(text) => {
            // A node is told by its name as well.
            let text = stage.substitute(text);
            let url = view.node(&text).map_or(&text, |node| &node.peer_url);
            etcd::member_add(channel, url).await?;
            Ok(format!("member with the peer URL {url} is added"))
        }
        Action::Fill { count, bytes } => {
            for number in 0..*count {
                let revision = fill(&channel, number, *bytes).await.map_err(|why| {
                    format!("{why} (after {number} of {count} values of {bytes} bytes)")
                })?;
                stage.note_revision(revision);
            }
            Ok(format!("{count} values of {bytes} bytes are put"))
        }
        Action::Put { key, value } => {
            let value = value.clone().into_bytes();
            let revision = etcd::put(channel, key, value, FILL_PATIENCE).await?;
            stage.note_revision(revision);
            Ok(format!("put at revision {revision}"))
        }
        Action::DeleteAll => Ok(format!("{} keys are deleted", etcd::delete_all(channel).await?)),
        Action::Compact => Ok(format!("compacted at revision {}", etcd::compact(channel).await?)),
        Action::Disarm => Ok(format!("{} alarms are lowered", etcd::disarm(channel).await?)),
        Action::Defragment => {
            // The leader last, as one does.
            let mut nodes: Vec<&NodeView> = view.nodes.iter().collect();
            nodes.sort_by_key(|node| node.role == Role::Leader);
            for node in nodes {
                let channel = stage.target(node)?.channel;
                etcd::defragment(channel).await.map_err(|why| format!("{}: {why}", node.name))?;
            }
            Ok("every member is defragmented".into())
        }
        other => Err(format!("{other} is not done by members")),
    }
}

/// The cluster once somebody leads, or as it is after a while: on a busy machine a node may be late
/// to say so.
async fn led(stage: &Stage, view: &FleetView) -> Result<FleetView, String> {
    let deadline = Instant::now() + LEADER_PATIENCE;
    let mut view = view.clone();
    while leader(&view).is_none() && Instant::now() < deadline {
        tokio::time::sleep(PAUSE).await;
        view = stage.view().await?;
    }
    Ok(view)
}

/// Puts one value. Whether an attempt without an answer was carried out makes no difference, so
/// it is made again.
async fn fill(
    channel: &tonic::transport::Channel,
    number: usize,
    bytes: usize,
) -> Result<i64, String> {
    let key = format!("fill/{number}");
    let mut attempts = 1;
    loop {
        let value = vec![b'x'; bytes];
        match etcd::put(channel.clone(), &key, value, FILL_PATIENCE).await {
            Ok(revision) => return Ok(revision),
            Err(why) if attempts == FILL_ATTEMPTS || why.contains("exceeded") => return Err(why),
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
        attempts += 1;
    }
}

/// Any member but these that answers.
fn somebody(
    stage: &Stage,
    view: &FleetView,
    without: &[String],
) -> Result<tonic::transport::Channel, String> {
    let serves = |node: &&NodeView| {
        matches!(node.role, Role::Leader | Role::Follower) && !without.contains(&node.name)
    };
    let node = view.nodes.iter().find(serves).ok_or("no other member answers")?;
    Ok(stage.target(node)?.channel)
}

pub async fn requested(stage: &Stage, request: Request) -> Result<String, String> {
    let said = stage.client.perform(request).await.map_err(|error| error.to_string())?;
    Ok(said.join("; "))
}

async fn wait(stage: &Stage, condition: &Condition, within: Duration) -> Result<String, String> {
    let started = Instant::now();
    loop {
        // The sentence of the last look says what is missing.
        match conditions::holds(stage, condition).await {
            Ok(said) => {
                return Ok(format!("{said} (after {} ms)", started.elapsed().as_millis()));
            }
            Err(said) if started.elapsed() >= within => {
                return Err(format!("not within {} ms: {said}", within.as_millis()));
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

fn eligible(verb: Verb) -> Eligible {
    match verb {
        Verb::Kill | Verb::Stop | Verb::Pause => Eligible::Live,
        Verb::Start => Eligible::Dead,
        Verb::Resume => Eligible::Paused,
        Verb::Restart | Verb::Wipe => Eligible::Any,
    }
}
