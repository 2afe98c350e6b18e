//! The links screen: moving in the matrix, and breaking what the cursor is on.
//!
//! What takes a link away is asked about first, with what it does to the quorum worked out for
//! the links as they are when the question is drawn. Slowing a link down, and every repair,
//! is done at once.

use crate::action::Action;
use crate::effect::Effect;
use crate::fleet::FleetCommand;
use crate::lab::link::LinkState;
use crate::model::Model;
use crate::model::cluster::{Role, Tone};
use crate::model::links::LinkDeed;
use crate::model::overlay::{Command, Confirm, Overlay, Purpose, Subject};
use crate::quorum::Severity;
use crate::reach::{self, Net};

/// Why links cannot be touched; `None` if they can.
pub fn refusal(model: &Model) -> Option<String> {
    if !model.about.local {
        let text = "links between nodes can be cut in a cluster started here (`etcd-tui up`)";
        return Some(text.to_owned());
    }
    if model.about.read_only {
        return Some(super::READ_ONLY.to_owned());
    }
    if model.fleet_gone {
        return Some("the supervisor is gone: `etcd-tui up` starts the cluster again".to_owned());
    }
    missing(model, "link")
}

/// Why the supervisor has no such capability; `None` if it has.
pub fn missing(model: &Model, name: &str) -> Option<String> {
    match model.capabilities.iter().find(|capability| capability.name == name) {
        Some(capability) if capability.available => None,
        Some(capability) => Some(capability.reason.clone()),
        None => Some(format!("this cluster's supervisor does not offer `{name}`")),
    }
}

/// The names of the nodes: rows and columns of the matrix.
pub fn nodes(model: &Model) -> Vec<String> {
    let mut names: Vec<String> = model.cluster.fleet.iter().map(|node| node.name.clone()).collect();
    names.sort_by_key(|name| crate::model::cluster::natural(name));
    names
}

/// From and to under the cursor; equal on the diagonal.
pub fn current(model: &Model) -> Option<(String, String)> {
    let names = nodes(model);
    let (row, column) = model.links.cursor;
    Some((names.get(row)?.clone(), names.get(column)?.clone()))
}

pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Up => step(model, -1, 0),
        Action::Down => step(model, 1, 0),
        Action::Left => step(model, 0, -1),
        Action::Right => step(model, 0, 1),
        Action::First => model.links.cursor = (0, 0),
        Action::BothWays => model.links.both_ways ^= true,
        Action::Refresh => return vec![Effect::PollNow],
        Action::Heal => return heal(model),
        Action::LinkOk => return change(model, LinkState::Ok),
        Action::Freeze => return change(model, LinkState::Freeze),
        Action::Reset => return change(model, LinkState::Reset),
        Action::Delay => prompt(model, Purpose::Delay, "50±10"),
        Action::Rate => prompt(model, Purpose::Rate, "64"),
        Action::Flap => prompt(model, Purpose::Flap, "300/700"),
        Action::Isolate => return isolate(model),
        Action::Partition => {
            let text = suggestion(model);
            prompt(model, Purpose::Partition, &text);
        }
        _ => {}
    }
    Vec::new()
}

fn step(model: &mut Model, down: i64, right: i64) {
    let last = nodes(model).len().saturating_sub(1) as i64;
    let (row, column) = model.links.cursor;
    let moved = |at: usize, by: i64| (at as i64 + by).clamp(0, last.max(0)) as usize;
    model.links.cursor = (moved(row, down), moved(column, right));
}

fn prompt(model: &mut Model, purpose: Purpose, text: &str) {
    if let Some(reason) = refusal(model) {
        model.say(Tone::Warn, reason);
    } else {
        super::overlay::prompt(model, purpose, text);
    }
}

/// The leader alone, against the rest.
fn suggestion(model: &Model) -> String {
    let leader = model.cluster.rows().into_iter().find(|row| row.role == Role::Leader);
    let names = nodes(model);
    let Some(alone) = leader.map(|row| row.name).or_else(|| names.first().cloned()) else {
        return String::new();
    };
    let rest: Vec<String> = names.into_iter().filter(|name| *name != alone).collect();
    format!("{alone}|{}", rest.join(","))
}

/// Takes what was typed into a prompt of this screen.
pub fn submit(model: &mut Model, purpose: Purpose, typed: &str) -> Result<Vec<Effect>, String> {
    if purpose == Purpose::Partition {
        let deed = partition(&nodes(model), typed)?;
        model.overlay = None;
        return Ok(ask(model, deed));
    }
    let state = match purpose {
        Purpose::Delay => LinkState::delay(typed)?,
        Purpose::Rate => LinkState::rate(typed)?,
        _ => LinkState::flap(typed)?,
    };
    model.overlay = None;
    Ok(change(model, state))
}

/// `n1|n2,n3`: nothing passes between the sides.
fn partition(names: &[String], typed: &str) -> Result<LinkDeed, String> {
    let wrong = || "write two sides, such as n1|n2,n3".to_owned();
    let (left, right) = typed.split_once('|').ok_or_else(wrong)?;
    let side = |text: &str| -> Result<Vec<String>, String> {
        let side: Vec<String> =
            text.split(',').map(|name| name.trim().to_owned()).filter(|n| !n.is_empty()).collect();
        match side.iter().find(|name| !names.contains(name)) {
            Some(unknown) => Err(format!("there is no node {unknown}; write n1|n2,n3")),
            None if side.is_empty() => Err(wrong()),
            None => Ok(side),
        }
    };
    let (left, right) = (side(left)?, side(right)?);
    if let Some(both) = left.iter().find(|name| right.contains(name)) {
        return Err(format!("{both} is on both sides"));
    }
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (a, b)));
    let changes = pairs.flat_map(|(a, b)| {
        [(a.clone(), b.clone(), LinkState::Freeze), (b.clone(), a.clone(), LinkState::Freeze)]
    });
    Ok(LinkDeed { title: format!("partition {typed}"), changes: changes.collect() })
}

/// Gives the link under the cursor a state.
fn change(model: &mut Model, state: LinkState) -> Vec<Effect> {
    let Some((from, to)) = current(model) else { return Vec::new() };
    if from == to {
        model.say(Tone::Plain, format!("{from} has no link to itself: i isolates it"));
        return Vec::new();
    }
    let mut changes = vec![(from.clone(), to.clone(), state)];
    let mut arrow = ">";
    if model.links.both_ways {
        changes.push((to.clone(), from.clone(), state));
        arrow = "<>";
    }
    ask(model, LinkDeed { title: format!("{state} {from}{arrow}{to}"), changes })
}

fn isolate(model: &mut Model) -> Vec<Effect> {
    let Some((node, _)) = current(model) else { return Vec::new() };
    let others: Vec<String> = nodes(model).into_iter().filter(|other| *other != node).collect();
    let rest = others.join(",");
    match partition(&nodes(model), &format!("{node}|{rest}")) {
        Ok(deed) => ask(model, LinkDeed { title: format!("isolate {node}"), ..deed }),
        Err(_) => {
            model.say(Tone::Plain, format!("{node} is alone: there is nobody to be cut off from"));
            Vec::new()
        }
    }
}

/// Asks, or does what takes nothing away.
fn ask(model: &mut Model, deed: LinkDeed) -> Vec<Effect> {
    if let Some(reason) = refusal(model) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    let harmless = |state: &LinkState| !state.cuts() && !matches!(state, LinkState::Flap { .. });
    if deed.changes.iter().all(|(_, _, state)| harmless(state)) {
        return run(model, deed);
    }
    let mut title = deed.title.clone();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let buttons =
        vec![("Cancel".to_owned(), Command::Nothing), (title, Command::LinksNow(deed.clone()))];
    let subject = Subject::Links(deed);
    model.overlay = Some(Overlay::Confirm(Confirm { subject, buttons, focus: 0 }));
    Vec::new()
}

/// Does it, after the question.
pub fn run(model: &mut Model, deed: LinkDeed) -> Vec<Effect> {
    if let Some(reason) = refusal(model) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    model.say(Tone::Plain, format!("{} …", deed.title));
    vec![Effect::Fleet(FleetCommand::Links(deed.changes))]
}

fn heal(model: &mut Model) -> Vec<Effect> {
    if let Some(reason) = refusal(model) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    model.say(Tone::Plain, "heal: every link passes everything again …");
    vec![Effect::Fleet(FleetCommand::Heal)]
}

/// The voters and their links as they are now.
fn net(model: &Model) -> Net {
    let rows = model.cluster.rows();
    let voters = rows.iter().filter(|row| row.voter);
    let cut = model.links.all.iter().filter(|link| link.state.cuts());
    Net {
        voters: voters.clone().count(),
        healthy: voters.filter(|row| row.healthy()).map(|row| row.name.clone()).collect(),
        leader: rows.iter().find(|row| row.role == Role::Leader).map(|row| row.name.clone()),
        cut: cut.map(|link| (link.from.clone(), link.to.clone())).collect(),
    }
}

/// The question before links are taken away.
pub fn question(model: &Model, deed: &LinkDeed) -> (String, Vec<String>, Severity) {
    let before = net(model);
    let mut after = before.clone();
    let mut flaps = false;
    for (from, to, state) in &deed.changes {
        after.cut.retain(|(f, t)| (f, t) != (from, to));
        // A flapping link is gone most of the time; the worst of it counts.
        flaps |= matches!(state, LinkState::Flap { .. });
        if state.cuts() || matches!(state, LinkState::Flap { .. }) {
            after.cut.push((from.clone(), to.clone()));
        }
    }
    let what = match deed.changes.as_slice() {
        [(from, to, state)] => format!("The link from {from} to {to} {}.", verb(*state)),
        changes => format!("{} directed links: nothing passes between the sides.", changes.len()),
    };
    let what = if flaps { "The link opens and freezes, again and again.".to_owned() } else { what };
    let effect = reach::consequence(&before, &after);
    let sentence = match flaps {
        true => format!("while it is frozen: {}", effect.sentence),
        false => effect.sentence,
    };
    let undo = "h on this screen heals every link; processes and data are not touched.";
    let title = format!("{}?", deed.title);
    (title, vec![what, undo.to_owned(), sentence], effect.severity)
}

fn verb(state: LinkState) -> &'static str {
    match state {
        LinkState::Reset => "is broken: connections end, new ones are refused",
        _ => "freezes: what is sent waits, and nothing is lost",
    }
}
