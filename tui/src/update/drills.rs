//! The drills screen: choose, be told what will happen, watch, read the report.
//!
//! One drill runs at a time. `!` stops it from any screen; the rollback that follows cannot be
//! stopped, because it is what puts the cluster back.

use crate::action::Action;
use crate::effect::Effect;
use crate::fleet::FleetCommand;
use crate::lab::application;
use crate::lab::drill::{DrillCard, DrillProgress, DrillReport};
use crate::model::cluster::Tone;
use crate::model::drills::Shows;
use crate::model::overlay::{Command, Confirm, Overlay, Subject};
use crate::model::{Model, Screen};
use crate::quorum::{Health, Severity};

const PAGE: i64 = 10;

pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match (model.drills.shows, action) {
        (Shows::Catalogue, Action::Up) => step(model, -1),
        (Shows::Catalogue, Action::Down) => step(model, 1),
        (Shows::Catalogue, Action::First) => step(model, -i64::from(i32::MAX)),
        (Shows::Catalogue, Action::Last) => step(model, i64::from(i32::MAX)),
        (Shows::Catalogue, Action::Open) => return ask(model),
        (Shows::Catalogue, Action::Application) => choose(model),
        (_, Action::Up) => scroll(model, -1),
        (_, Action::Down) => scroll(model, 1),
        (_, Action::PageUp) => scroll(model, -PAGE),
        (_, Action::PageDown) => scroll(model, PAGE),
        (_, Action::First) => model.drills.scroll = 0,
        (_, Action::Last) => scroll(model, i64::from(i32::MAX)),
        (Shows::Run, Action::Open) if model.drills.report.is_some() => show(model, Shows::Report),
        (_, Action::NextPane) => turn(model, 1),
        (_, Action::PreviousPane) => turn(model, 2),
        (_, Action::Back) => show(model, Shows::Catalogue),
        (_, Action::Refresh) => return vec![Effect::PollNow],
        _ => {}
    }
    Vec::new()
}

fn step(model: &mut Model, rows: i64) {
    let last = model.drills.cards.len().saturating_sub(1) as i64;
    model.drills.cursor = (model.drills.cursor as i64 + rows).clamp(0, last) as usize;
    model.drills.scroll = 0;
}

/// The next application, after the last one none.
fn choose(model: &mut Model) {
    let next = model.drills.application.map_or(0, |at| at + 1);
    model.drills.application = (next < application::ALL.len()).then_some(next);
}

pub fn click(model: &mut Model, index: usize) -> Vec<Effect> {
    if model.drills.shows != Shows::Catalogue || index >= model.drills.cards.len() {
        return Vec::new();
    }
    if model.drills.cursor == index {
        return ask(model);
    }
    model.drills.cursor = index;
    model.drills.scroll = 0;
    Vec::new()
}

pub fn scroll(model: &mut Model, lines: i64) {
    let most = crate::view::drills::scroll_most(model) as i64;
    let at = (model.drills.scroll as i64).saturating_add(lines);
    model.drills.scroll = at.clamp(0, most) as usize;
}

fn show(model: &mut Model, shows: Shows) {
    model.drills.shows = shows;
    model.drills.scroll = 0;
}

/// The next of the views there is something in.
fn turn(model: &mut Model, by: usize) {
    let there: Vec<Shows> = [
        (Shows::Catalogue, true),
        (Shows::Run, model.drills.progress.is_some()),
        (Shows::Report, model.drills.report.is_some()),
    ]
    .into_iter()
    .filter_map(|(shows, there)| there.then_some(shows))
    .collect();
    let at = there.iter().position(|shows| *shows == model.drills.shows).unwrap_or(0);
    let by = if by == 1 { 1 } else { there.len() - 1 };
    show(model, there[(at + by) % there.len()]);
}

/// Why the drill cannot be started now; `None` if it can.
pub fn refusal(model: &Model, card: &DrillCard) -> Option<String> {
    if model.about.read_only {
        return Some(super::READ_ONLY.to_owned());
    }
    if model.fleet_gone {
        return Some("the supervisor is gone: `etcd-tui up` starts the cluster again".to_owned());
    }
    if let Some(running) = &model.drills.running {
        return Some(format!("{running} is still running: ! stops it"));
    }
    if let Some(reason) = &card.skipped {
        return Some(format!("it would be skipped: {reason}"));
    }
    if card.own_cluster.is_some() {
        return None;
    }
    if model.cluster.progress.is_some() {
        return Some("a membership change is under way: wait until it is done".to_owned());
    }
    match model.cluster.health() {
        Health::Healthy => None,
        _ => Some("a drill begins on a healthy cluster: bring all members back first".to_owned()),
    }
}

/// To the drill of this name: its report if it was the last to run, the run, or its card.
pub fn visit(model: &mut Model, id: &str) {
    let Some(at) = model.drills.cards.iter().position(|card| card.id == id) else {
        model.say(Tone::Plain, format!("the drill {id} is not there"));
        return;
    };
    model.drills.cursor = at;
    let runs = model.drills.running.as_deref() == Some(id);
    let reported = model.drills.report.as_ref().is_some_and(|report| report.id == id);
    let shows = match (runs, reported) {
        (true, _) => Shows::Run,
        (false, true) => Shows::Report,
        (false, false) => Shows::Catalogue,
    };
    show(model, shows);
    // What enters this screen asks for nothing.
    model.screen = Screen::Drills;
}

/// The preflight: what will happen to which cluster.
pub fn ask(model: &mut Model) -> Vec<Effect> {
    let Some(card) = model.drills.card().cloned() else { return Vec::new() };
    if let Some(reason) = refusal(model, &card) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    let own_cluster = card.own_cluster.is_some();
    let buttons = vec![
        ("Cancel".to_owned(), Command::Nothing),
        ("Run the drill".to_owned(), Command::DrillNow(card.id.clone(), own_cluster)),
    ];
    let subject = Subject::Drill(card.id, own_cluster);
    model.overlay = Some(Overlay::Confirm(Confirm { subject, buttons, focus: 0 }));
    Vec::new()
}

/// Why it cannot be done as it was asked about: on a cluster of its own, or on this one.
fn objection(model: &Model, card: &DrillCard, own_cluster: bool) -> Option<String> {
    refusal(model, card).or_else(|| match &card.own_cluster {
        Some(why) if !own_cluster => Some(format!("not on this cluster any more: {why}")),
        _ => None,
    })
}

pub fn question(model: &Model, id: &str, own_cluster: bool) -> (String, Vec<String>, Severity) {
    let here = &model.about.title;
    let place = if own_cluster { "a cluster of its own" } else { here };
    let title = format!("Run {id} on {place}?");
    let Some(card) = model.drills.cards.iter().find(|card| card.id == id) else {
        return (title, Vec::new(), Severity::Harmless);
    };
    let mut lines = vec![card.hypothesis.clone()];
    let steps = card.steps.join(" → ");
    if own_cluster {
        let why = card.own_cluster.iter().map(|why| format!("Not on {here}: {why}."));
        lines.extend(why);
        lines.push(format!(
            "A cluster of {} nodes that run what {here} runs is started, and taken down \
             afterwards: {steps}.",
            card.nodes
        ));
    } else {
        lines.push(format!("On the cluster {here}, one after the other: {steps}."));
    }
    if let Some(name) = model.drills.application_of(card) {
        lines.push(format!("The application {name} uses it meanwhile, under application/."));
    }
    if !own_cluster {
        lines.push(
            "A small load writes under drill/ meanwhile; other keys are not touched. At the end, \
             or when ! stops it, every node is started, every link healed."
                .to_owned(),
        );
    }
    if let Some(reason) = objection(model, card, own_cluster) {
        lines.push(reason);
        return (title, lines, Severity::Refused);
    }
    if own_cluster {
        return (title, lines, Severity::Harmless);
    }
    lines.push("whoever else uses this cluster will feel it".to_owned());
    (title, lines, Severity::Narrow)
}

/// Starts it without a preflight, on this cluster if that can be.
pub fn run_where_it_can(model: &mut Model, id: &str) -> Vec<Effect> {
    let card = model.drills.cards.iter().find(|card| card.id == id);
    let own_cluster = card.is_some_and(|card| card.own_cluster.is_some());
    run(model, id, own_cluster)
}

/// Starts it, after the preflight.
pub fn run(model: &mut Model, id: &str, own_cluster: bool) -> Vec<Effect> {
    let Some(card) = model.drills.cards.iter().find(|card| card.id == id).cloned() else {
        return Vec::new();
    };
    if let Some(reason) = objection(model, &card, own_cluster) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    // What the drill has by itself needs not be said.
    let application = match card.application {
        Some(_) => None,
        None => model.drills.application_of(&card),
    };
    let drills = &mut model.drills;
    drills.running = Some(id.to_owned());
    drills.stopping = false;
    drills.report = None;
    drills.progress = Some(DrillProgress {
        id: id.to_owned(),
        title: card.title,
        phase: "begins".to_owned(),
        ..DrillProgress::default()
    });
    show(model, Shows::Run);
    vec![Effect::Fleet(FleetCommand::StartDrill { id: id.to_owned(), application, own_cluster })]
}

/// `!`, from any screen.
pub fn stop(model: &mut Model) -> Vec<Effect> {
    match (&model.drills.running, model.drills.stopping) {
        (None, _) => {
            model.say(Tone::Plain, "no drill is running");
            Vec::new()
        }
        (Some(id), true) => {
            let text = format!("{id} is being rolled back");
            model.say(Tone::Plain, text);
            Vec::new()
        }
        (Some(id), false) => {
            let text = format!("stopping {id} and rolling back …");
            model.drills.stopping = true;
            model.say(Tone::Warn, text);
            vec![Effect::Fleet(FleetCommand::StopDrill)]
        }
    }
}

/// A drill that was refused before it said anything is not running.
pub fn on_refusal(model: &mut Model) {
    let drills = &mut model.drills;
    let silent = drills.progress.as_ref().is_none_or(|progress| progress.steps.is_empty());
    if drills.running.is_some() && silent {
        drills.running = None;
        drills.progress = None;
        drills.shows = Shows::Catalogue;
    }
}

pub fn on_cards(model: &mut Model, cards: Vec<DrillCard>) {
    model.drills.cards = cards;
    let last = model.drills.cards.len().saturating_sub(1);
    model.drills.cursor = model.drills.cursor.min(last);
}

/// A picture of a drill that nobody here started is not shown.
pub fn on_progress(model: &mut Model, progress: DrillProgress) {
    if model.drills.running.as_ref() == Some(&progress.id) {
        model.drills.progress = Some(progress);
    }
}

pub fn on_report(model: &mut Model, report: DrillReport) {
    if model.drills.running.as_ref() != Some(&report.id) {
        return;
    }
    let tone = match report.verdict.as_str() {
        "PASS" => Tone::Good,
        "SKIPPED" | "UNKNOWN" | "ABORTED" => Tone::Warn,
        _ => Tone::Bad,
    };
    let text = format!("drill {}: {}, {}", report.id, report.verdict, report.why);
    model.cluster.note(model.now, tone, text.clone());
    if model.screen != crate::model::Screen::Drills {
        model.say(tone, text);
    }
    model.drills.running = None;
    model.drills.stopping = false;
    model.drills.ended.push(report.id.clone());
    model.drills.report = Some(report);
}
