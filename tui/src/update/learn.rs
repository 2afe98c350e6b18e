//! The guided course: guess, do, see, understand.
//!
//! The reducer leads through the steps and never lets an explanation come before the guess.
//! Ticks are worked out anew after every message; an explanation appears when all of them have
//! held for a moment, because the effect of a fault comes after the fault. What the course
//! does for the reader are the same commands that keys and palette send.

use crate::action::Action;
use crate::effect::Effect;
use crate::fleet::FleetCommand;
use crate::hit::Hit;
use crate::lab::course::Act;
use crate::lab::lanes::Sample;
use crate::lab::link::LinkState;
use crate::lab::predicate::Facts;
use crate::model::Model;
use crate::model::cluster::{Role, Tone};
use crate::model::learn::{Learn, Stage};
use crate::quorum::Health;
use crate::text;

/// How long all ticks must hold before the explanation comes.
const HOLD_MS: u64 = 2_000;
/// Every page begins with a cluster of this size.
const MEMBERS_AT_FIRST: usize = 3;
const PAGE: i64 = 8;
/// What the supervisor reports when it has saved one.
const SNAPSHOT_SAVED: &str = "saved a snapshot in ";

/// The lanes run as long as the session, so that they show what is done on other screens.
pub fn start(model: &Model) -> Vec<Effect> {
    if model.learn.is_some() { vec![Effect::Lanes] } else { Vec::new() }
}

pub fn on_lanes(model: &mut Model, now_ms: u64, samples: Vec<Sample>) {
    let Some(learn) = &mut model.learn else { return };
    for sample in samples {
        learn.lanes.add(sample);
    }
    learn.lanes.pass(now_ms);
}

/// The cluster of now, in the words of the course.
pub fn facts(model: &Model, learn: &Learn) -> Facts {
    let cluster = &model.cluster;
    let voters = cluster.voters();
    let lanes = 0..crate::lab::lanes::NAMES.len();
    Facts {
        healthy: cluster.health() == Health::Healthy,
        voters: voters.total,
        down: voters.total - voters.healthy,
        leader: cluster.leader(),
        members: cluster.members.iter().map(|member| member.id).collect(),
        learners: cluster.members.iter().filter(|member| member.learner).count(),
        alarms: cluster.alarms.iter().map(|alarm| alarm.kind.clone()).collect(),
        backups: cluster.events.iter().filter(|event| event.text.contains(SNAPSHOT_SAVED)).count(),
        cut: model.links.all.iter().filter(|link| link.state.cuts()).count(),
        doing: lanes.clone().map(|lane| learn.lanes.doing(lane)).collect(),
        gaps_ms: lanes.map(|lane| learn.lanes.gap_ms(lane, learn.began_ms)).collect(),
        drills_ended: model.drills.ended.iter().filter(|id| is_about(learn, id)).count(),
    }
}

/// Whether the step runs this drill.
fn is_about(learn: &Learn, drill: &str) -> bool {
    let acts = learn.current_step().map_or(&[][..], |step| &step.acts);
    acts.iter().any(|act| matches!(act, Act::Drill(id) if id == drill))
}

/// Runs at the end of every update.
pub fn upkeep(model: &mut Model) {
    let Some(mut learn) = model.learn.take() else { return };
    let nodes: Vec<_> =
        model.cluster.fleet.iter().map(|node| (node.name.clone(), node.state)).collect();
    let leader = model.cluster.leader().map(|(id, term)| (model.cluster.member_name(id), term));
    learn.note(&nodes, leader);
    if learn.stage == Stage::Act {
        watch(model, &mut learn);
    }
    model.learn = Some(learn);
}

/// Looks at the ticks, and goes on to the explanation when all have held.
fn watch(model: &Model, learn: &mut Learn) {
    let now = facts(model, learn);
    // A step that asks nothing begins when it is entered.
    if learn.ticks.is_empty() {
        begin(model, learn);
    }
    let Some(step) = learn.current_step() else { return };
    let ticks: Vec<bool> =
        step.ticks.iter().map(|tick| tick.when.holds(&now, &learn.before)).collect();
    let all = ticks.iter().all(|tick| *tick);
    learn.ticks = ticks;
    if !all {
        learn.held_since = None;
        return;
    }
    let since = *learn.held_since.get_or_insert(learn.lanes.now());
    if learn.lanes.now() - since >= HOLD_MS || learn.ticks.is_empty() {
        learn.told = explain(model, learn, &now);
        learn.stage = Stage::Reveal;
        learn.scroll = None;
    }
}

/// From now on the step's deed may be done: this is what its ticks compare with.
fn begin(model: &Model, learn: &mut Learn) {
    learn.began_ms = learn.lanes.now();
    learn.before = facts(model, learn);
    learn.held_since = None;
}

/// The explanation with the numbers of this very run.
fn explain(model: &Model, learn: &Learn, now: &Facts) -> String {
    let Some(step) = learn.current_step() else { return String::new() };
    let (leader, term) = now
        .leader
        .map_or(("nobody".to_owned(), 0), |(id, term)| (model.cluster.member_name(id), term));
    let mut told = step.reveal.replace("{leader}", &leader);
    told = told.replace("{term}", &term.to_string());
    if let Some(report) = &model.drills.report {
        told = told.replace("{verdict}", &format!("{}, {}", report.verdict, report.why));
    }
    for (name, gap) in ["{put_gap}", "{get_gap}", "{local_gap}"].iter().zip(&now.gaps_ms) {
        told = told.replace(name, &text::latency(gap * 1_000));
    }
    told
}

/// Carries out an action on the course's screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let Some(stage) = model.learn.as_ref().map(|learn| learn.stage) else { return Vec::new() };
    match action {
        Action::Up if stage == Stage::Ask => choose(model, -1),
        Action::Down if stage == Stage::Ask => choose(model, 1),
        Action::Up => scroll(model, -1),
        Action::Down => scroll(model, 1),
        Action::PageUp => scroll(model, -PAGE),
        Action::PageDown => scroll(model, PAGE),
        Action::Open if stage == Stage::Ask => answer(model),
        Action::Next | Action::Open => return next(model),
        Action::NextPage => turn(model, 1),
        Action::PreviousPage => turn(model, -1),
        Action::PageDrill => visit(model),
        Action::Refresh => return vec![Effect::PollNow],
        _ => {}
    }
    Vec::new()
}

pub fn click(model: &mut Model, hit: Hit) {
    let Hit::Row(index) = hit else { return };
    let Some(learn) = &mut model.learn else { return };
    let answers = learn.current_step().and_then(|step| step.question.as_ref());
    if learn.stage != Stage::Ask || answers.is_none_or(|q| index >= q.answers.len()) {
        return;
    }
    // The second click on an answer gives it.
    if learn.answer == index {
        answer(model);
    } else {
        learn.answer = index;
    }
}

fn choose(model: &mut Model, by: i64) {
    let Some(learn) = &mut model.learn else { return };
    let count = learn.current_step().and_then(|step| step.question.as_ref());
    let last = count.map_or(0, |question| question.answers.len().saturating_sub(1)) as i64;
    learn.answer = (learn.answer as i64 + by).clamp(0, last) as usize;
    // The answers are the last thing on the page.
    learn.scroll = Some(usize::MAX);
}

/// Scrolls the text; the view knows how much there is.
pub fn scroll(model: &mut Model, lines: i64) {
    let (first, most) = crate::view::learn::scrolling(model);
    let Some(learn) = &mut model.learn else { return };
    let at = learn.scroll.unwrap_or(first).min(most) as i64 + lines;
    learn.scroll = Some(at.clamp(0, most as i64) as usize);
}

/// The guess is made; now it may happen.
fn answer(model: &mut Model) {
    let Some(mut learn) = model.learn.take() else { return };
    learn.chosen = Some(learn.answer);
    learn.stage = Stage::Act;
    learn.scroll = None;
    begin(model, &mut learn);
    model.learn = Some(learn);
}

/// `n`: does what the step waits for, or goes on after the explanation.
fn next(model: &mut Model) -> Vec<Effect> {
    let Some(learn) = &model.learn else { return Vec::new() };
    match learn.stage {
        Stage::Ask => {
            model.say(Tone::Plain, "guess first: ↑ and ↓ choose, enter answers");
            Vec::new()
        }
        Stage::Act => deed(model),
        Stage::Reveal => go_on(model),
    }
}

/// Does the step's deed, once; a page begins on a whole cluster.
fn deed(model: &mut Model) -> Vec<Effect> {
    let Some(learn) = &model.learn else { return Vec::new() };
    let Some(step) = learn.current_step() else { return Vec::new() };
    if model.fleet_gone {
        model.say(Tone::Bad, "the supervisor is gone: leave (q) and run `etcd-tui learn` again");
        return Vec::new();
    }
    if model.cluster.progress.is_some() || learn.acted {
        model.say(Tone::Plain, "under way: the ticks say what is still missing");
        return Vec::new();
    }
    if learn.step == 0
        && let Some((command, text)) = preparation(model)
    {
        model.say(Tone::Plain, text);
        return vec![Effect::Fleet(command)];
    }
    let acts = step.acts.clone();
    let effects: Vec<Effect> = acts.into_iter().flat_map(|act| effects_of(model, act)).collect();
    if let Some(learn) = &mut model.learn {
        learn.acted = !effects.is_empty();
    }
    effects
}

/// Goes to the drill that the step runs, or else to that of the page.
fn visit(model: &mut Model) {
    let Some(learn) = &model.learn else { return };
    let acts = learn.current_step().map_or(&[][..], |step| &step.acts);
    let own = acts.iter().find_map(|act| match act {
        Act::Drill(id) => Some(id.clone()),
        _ => None,
    });
    match own.or_else(|| learn.current().and_then(|page| page.drill.clone())) {
        Some(id) => super::drills::visit(model, &id),
        None => model.say(Tone::Plain, "this page has no drill"),
    }
}

fn effects_of(model: &mut Model, act: Act) -> Vec<Effect> {
    match act {
        // It may refuse, and says why.
        Act::Drill(id) => super::drills::run_where_it_can(model, &id),
        act => commands_of(model, act).into_iter().map(Effect::Fleet).collect(),
    }
}

/// What must be done before a page can begin, if anything.
fn preparation(model: &Model) -> Option<(FleetCommand, String)> {
    let voters = model.cluster.voters();
    let paused = |row: &crate::model::cluster::Row| {
        row.fleet.as_ref().is_some_and(|n| n.state == crate::fleet::FleetState::Paused)
    };
    if model.cluster.rows().iter().any(paused) {
        let text = "first the frozen members go on; then n again";
        return Some((FleetCommand::Resume("all".to_owned()), text.to_owned()));
    }
    if model.links.all.iter().any(|link| link.state.cuts()) {
        let text = "first the links are healed; when all are healthy, n again";
        return Some((FleetCommand::Heal, text.to_owned()));
    }
    if voters.healthy < voters.total {
        let text = "first every member is started; when all are healthy, n again";
        return Some((FleetCommand::Start("all".to_owned()), text.to_owned()));
    }
    let text = format!("the page begins with {MEMBERS_AT_FIRST} members: bringing it there");
    match voters.total {
        0 => None,
        total if total > MEMBERS_AT_FIRST => Some((FleetCommand::Shrink(MEMBERS_AT_FIRST), text)),
        total if total < MEMBERS_AT_FIRST => Some((FleetCommand::Grow(MEMBERS_AT_FIRST), text)),
        _ => None,
    }
}

fn commands_of(model: &Model, act: Act) -> Vec<FleetCommand> {
    match act {
        Act::Fleet(command) => vec![command],
        Act::ReplaceDead => {
            let rows = model.cluster.rows();
            let dead = rows.iter().filter(|row| !row.healthy() && row.role != Role::Leader);
            dead.take(1).map(|row| FleetCommand::Replace(row.name.clone())).collect()
        }
        Act::CutLeader { both_ways } => cut_leader(model, both_ways).into_iter().collect(),
        Act::Drill(_) => Vec::new(),
    }
}

/// Freezes the links to the leader, and those from it.
fn cut_leader(model: &Model, both_ways: bool) -> Option<FleetCommand> {
    let (leader, _) = model.cluster.leader()?;
    let leader = model.cluster.member_name(leader);
    let nodes = model.cluster.fleet.iter().map(|node| &node.name);
    let changes = nodes.filter(|name| **name != leader).flat_map(|other| {
        let to = (other.clone(), leader.clone(), LinkState::Freeze);
        let from = (leader.clone(), other.clone(), LinkState::Freeze);
        [Some(to), both_ways.then_some(from)]
    });
    Some(FleetCommand::Links(changes.flatten().collect()))
}

/// After an explanation: the next step, or the next page.
fn go_on(model: &mut Model) -> Vec<Effect> {
    let Some(learn) = &mut model.learn else { return Vec::new() };
    let Some(page) = learn.current() else { return Vec::new() };
    if learn.step + 1 < page.steps.len() {
        learn.enter_step(learn.step + 1);
        return Vec::new();
    }
    let id = page.id.clone();
    if !learn.done.contains(&id) {
        learn.done.push(id);
    }
    let effects = vec![Effect::Fleet(FleetCommand::CourseDone(learn.done.clone()))];
    if learn.page + 1 < learn.pages.len() {
        learn.page += 1;
        learn.enter_step(0);
    } else {
        model.say(Tone::Good, "that was the last page: the cluster is yours to break");
    }
    effects
}

/// Another page, from its beginning.
fn turn(model: &mut Model, by: i64) {
    let Some(learn) = &mut model.learn else { return };
    let last = learn.pages.len().saturating_sub(1) as i64;
    let page = (learn.page as i64 + by).clamp(0, last) as usize;
    if page != learn.page {
        learn.page = page;
        learn.enter_step(0);
    }
}

/// A command that was refused is not under way any more.
pub fn on_refusal(model: &mut Model) {
    if let Some(learn) = &mut model.learn {
        learn.acted = false;
    }
}
