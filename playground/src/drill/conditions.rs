//! What `await` and `check` look at. A condition is asked once here; waiting is asking again.

use std::time::Duration;

use super::action::{Condition, Probe};
use super::etcd;
use super::stage::{Stage, leader, term};
use crate::selector::Eligible;
use crate::view::{FleetView, NodeState, NodeView};

/// Whether it holds, and what was seen: both are sentences.
pub async fn holds(stage: &Stage, condition: &Condition) -> Result<String, String> {
    let view = stage.view().await?;
    match condition {
        Condition::Healthy => {
            let alike = view.voters == view.nodes.len() && leader(&view).is_some();
            says(view.all_running() && alike, described(&view))
        }
        Condition::Health(word) => says(view.health.word() == word, described(&view)),
        Condition::Leader { other_than: None } => {
            leader(&view).map(led).ok_or_else(|| "nobody leads".into())
        }
        Condition::Leader { other_than: Some(nodes) } => {
            let others = stage.names(nodes, &view, Eligible::Any)?;
            match leader(&view) {
                Some(node) => says(!others.contains(&node.name), led(node)),
                None => Err("nobody leads".into()),
            }
        }
        Condition::LeaderSame(same) => {
            let now = leader(&view).map(|node| node.name.clone());
            let before = stage.beginning.leader.clone();
            let name = |it: &Option<String>| it.clone().unwrap_or_else(|| "nobody".into());
            let text = format!("{} led, {} leads", name(&before), name(&now));
            says((now == before) == *same && now.is_some(), text)
        }
        Condition::TermSame(same) => {
            let (before, now) = (stage.beginning.term, term(&view));
            says((now == before) == *same, format!("term {before}, then {now}"))
        }
        Condition::Voters(count) => {
            says(view.voters == *count, format!("{} voting members", view.voters))
        }
        Condition::State { nodes, state } => in_state(stage, &view, nodes, state),
        Condition::Alarm(name) => alarm(stage, &view, name.as_deref()).await,
        Condition::Probe { probe, works, at } => {
            probed(stage, &view, *probe, *works, at.as_deref()).await
        }
        Condition::Value { key, value } => valued(stage, &view, key, value.as_ref()).await,
        Condition::CaughtUp(nodes) => caught_up(stage, &view, nodes),
        Condition::Identity(identity) => identity.holds(stage, &view).await,
        Condition::Application { fact, at_least, count } => {
            let now = stage.application()?.fact(fact);
            let now = now.ok_or_else(|| format!("nothing counts {fact}"))?;
            says(now == *count || (*at_least && now > *count), format!("{fact}: {now}"))
        }
        Condition::Logged { nodes, text } => {
            let names = stage.names(nodes, &view, Eligible::Any)?;
            let text = stage.substitute(text);
            let nodes = view.nodes.iter().filter(|node| names.contains(&node.name));
            let mut found = nodes.filter_map(|node| Some((node, stage.logged(node, &text)?)));
            match found.next() {
                Some((node, _)) => Ok(format!("{} logged {text:?}", node.name)),
                None => Err(format!("{} did not log {text:?}", names.join(", "))),
            }
        }
    }
}

fn says(holds: bool, text: String) -> Result<String, String> {
    if holds { Ok(text) } else { Err(text) }
}

fn led(node: &NodeView) -> String {
    format!("{} leads term {}", node.name, node.term.unwrap_or(0))
}

fn described(view: &FleetView) -> String {
    let odd = view.nodes.iter().filter(|node| node.state != NodeState::Running);
    let odd: Vec<String> =
        odd.map(|node| format!(", {} {}", node.name, node.state.word())).collect();
    format!("{}: {}{}", view.health.word(), view.explain(), odd.concat())
}

fn in_state(stage: &Stage, view: &FleetView, nodes: &str, state: &str) -> Result<String, String> {
    let names = stage.names(nodes, view, Eligible::Any)?;
    let nodes: Vec<&NodeView> = names.iter().filter_map(|name| view.node(name)).collect();
    let all = nodes.iter().all(|node| node.state.word() == state);
    let told = nodes.iter().map(|node| match &node.why {
        Some(why) => format!("{} {}: {why}", node.name, node.state.word()),
        None => format!("{} {}", node.name, node.state.word()),
    });
    says(all && !nodes.is_empty(), told.collect::<Vec<_>>().join("; "))
}

async fn alarm(stage: &Stage, view: &FleetView, name: Option<&str>) -> Result<String, String> {
    let node = leader(view).ok_or("nobody leads")?;
    let raised = etcd::alarms(stage.target(node)?.channel).await?;
    let words: Vec<&str> = raised.iter().map(|(_, alarm)| alarm.as_str_name()).collect();
    let holds = match name {
        Some(name) => words.contains(&name),
        None => words.is_empty(),
    };
    says(holds, if words.is_empty() { "no alarm".into() } else { words.join(", ") })
}

/// Asks every member that is meant, all at once. It works where one answers; it fails where
/// none does.
async fn probed(
    stage: &Stage,
    view: &FleetView,
    probe: Probe,
    works: bool,
    at: Option<&str>,
) -> Result<String, String> {
    let names = match at {
        Some(nodes) => stage.names(nodes, view, Eligible::Any)?,
        None => view.nodes.iter().map(|node| node.name.clone()).collect(),
    };
    let patience = stage.drill.workload.timeout.0;
    let mut asked = tokio::task::JoinSet::new();
    for name in &names {
        let Some(node) = view.node(name) else { continue };
        let (target, name) = (stage.target(node)?, name.clone());
        asked.spawn(async move {
            let channel = target.channel;
            let answer = match probe {
                Probe::Put => etcd::put(channel, "probe", b"x".to_vec(), patience).await.map(drop),
                Probe::Get => etcd::get(channel, "probe", false, patience).await.map(drop),
                Probe::SerializableGet => {
                    etcd::get(channel, "probe", true, patience).await.map(drop)
                }
            };
            (name, answer)
        });
    }
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    while let Some(answer) = asked.join_next().await {
        match answer {
            Ok((name, Ok(()))) => good.push(name),
            Ok((name, Err(why))) => bad.push(format!("{name}: {why}")),
            Err(error) => bad.push(error.to_string()),
        }
    }
    good.sort();
    bad.sort();
    // Where members are named, each of them must; else one is enough to serve a client.
    let served = if at.is_some() { bad.is_empty() } else { !good.is_empty() };
    let text = match (good.is_empty(), bad.is_empty()) {
        (false, true) => format!("answered by {}", good.join(", ")),
        (false, false) => format!("answered by {}; {}", good.join(", "), bad.join("; ")),
        _ => bad.join("; "),
    };
    says(if works { served } else { good.is_empty() }, text)
}

async fn valued(
    stage: &Stage,
    view: &FleetView,
    key: &str,
    wanted: Option<&String>,
) -> Result<String, String> {
    let node = leader(view).ok_or("nobody leads")?;
    let channel = stage.target(node)?.channel;
    let value = etcd::get(channel, key, false, Duration::from_secs(5)).await?;
    let text = match &value {
        Some(value) => format!("{key} is {value:?}"),
        None => format!("{key} is not there"),
    };
    says(value.as_ref() == wanted, text)
}

fn caught_up(stage: &Stage, view: &FleetView, nodes: &str) -> Result<String, String> {
    let names = stage.names(nodes, view, Eligible::Any)?;
    let node = leader(view).ok_or("nobody leads")?;
    let committed = node.commit_index.or(node.applied_index).unwrap_or(0);
    let applied = |name: &String| view.node(name).and_then(|node| node.applied_index).unwrap_or(0);
    let least = names.iter().map(applied).min().unwrap_or(0);
    // The load goes on meanwhile: a view is a few hundred entries old.
    let text = format!("index {least} of {committed} is applied");
    says(committed > 0 && committed.saturating_sub(least) <= 500, text)
}
