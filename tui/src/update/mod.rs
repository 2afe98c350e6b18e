//! The reducer: `update(&mut Model, Msg, now) -> Vec<Effect>`.
//!
//! The only writer of the model. It matches a message once and calls the part it concerns;
//! it never waits, asks no clock, and what it wants done it returns as effects. The last
//! thing it does is keep the loaded part of the lists ahead of the cursor, and hold back
//! what a read-only session must not send.

pub mod cluster;
pub mod drills;
pub mod editor;
pub mod faults;
pub mod keys;
pub mod learn;
pub mod links;
pub mod listing;
pub mod logs;
pub mod members;
pub mod overlay;
pub mod palette;
pub mod pane;

use crate::action::Action;
use crate::effect::{Effect, Outcome};
use crate::hit::Hit;
use crate::key::Key;
use crate::keymap::Mode;
use crate::layout;
use crate::model::cluster::Tone;
use crate::model::overlay::{Command, Overlay};
use crate::model::time::Now;
use crate::model::{Model, Screen};
use crate::msg::Msg;

/// Two ctrl-c within this time leave without a question.
const INTERRUPT_TWICE_MS: u64 = 2_000;

/// What to do first, before any message.
pub fn start(model: &mut Model, now: Now) -> Vec<Effect> {
    model.now = now;
    let mut effects = cluster::sync_endpoints(model);
    effects.extend(enter(model));
    effects.extend(learn::start(model));
    guard(model, effects)
}

/// Takes one message into the model.
pub fn update(model: &mut Model, msg: Msg, now: Now) -> Vec<Effect> {
    model.now = now;
    if model.toast.as_ref().is_some_and(|t| t.until.mono_ms <= now.mono_ms) {
        model.toast = None;
    }
    let mut effects = match msg {
        // What is not seen is not worked with; leaving is always possible.
        Msg::Key(key) if layout::is_too_small(model.size) => {
            match model.keymap.action(Mode::Global, key) {
                Some(Action::Interrupt) => interrupt(model),
                _ => Vec::new(),
            }
        }
        Msg::Paste(_) if layout::is_too_small(model.size) => Vec::new(),
        Msg::Key(key) => on_key(model, key),
        Msg::Paste(text) => overlay::paste(model, &text),
        Msg::Click(hit) => on_click(model, hit),
        Msg::Wheel(hit, lines) => on_wheel(model, hit, lines),
        Msg::Resize(width, height) => {
            model.size = (width, height);
            Vec::new()
        }
        Msg::Tick => Vec::new(),
        Msg::Cluster(report) => cluster::on_report(model, report),
        Msg::Reply(id, outcome) => on_reply(model, id, outcome),
        Msg::Changes { generation, revision, changes } => {
            keys::on_changes(model, generation, revision, changes)
        }
        Msg::WatchLost { generation, compacted } => {
            keys::on_watch_lost(model, generation, compacted)
        }
        Msg::ScanProgress { generation, progress } => {
            keys::on_scan(model, generation, progress);
            Vec::new()
        }
        Msg::Fleet(update) => cluster::on_fleet(model, update),
        Msg::FleetGone => {
            model.fleet_gone = true;
            let text = "the supervisor is gone, and its nodes with it: `etcd-tui up` starts them";
            model.cluster.note(now, Tone::Bad, text);
            Vec::new()
        }
        Msg::Log { node, lines } => {
            model.logs.add(&node, lines);
            Vec::new()
        }
        Msg::Lanes { now_ms, samples } => {
            learn::on_lanes(model, now_ms, samples);
            Vec::new()
        }
        Msg::Terminate => vec![Effect::Quit(Outcome::Detached)],
    };
    effects.extend(keys::upkeep(model));
    learn::upkeep(model);
    guard(model, effects)
}

/// Holds back writes of a read-only session, whichever screen they come from.
fn guard(model: &mut Model, effects: Vec<Effect>) -> Vec<Effect> {
    if !model.about.read_only {
        return effects;
    }
    let before = effects.len();
    let allowed: Vec<Effect> = effects.into_iter().filter(|effect| !effect.writes()).collect();
    if allowed.len() < before {
        model.say(Tone::Warn, READ_ONLY);
    }
    allowed
}

/// Why a write is refused.
pub const READ_ONLY: &str = "this session is read-only: connect with --write to change things";

fn on_key(model: &mut Model, key: Key) -> Vec<Effect> {
    let action = model.keymap.action(model.mode(), key);
    if model.overlay.is_some() {
        return overlay::on_key(model, key, action);
    }
    action.map_or_else(Vec::new, |action| act(model, action))
}

/// Carries out an action on the current screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Quit => return overlay::ask_to_quit(model),
        Action::Interrupt => return interrupt(model),
        Action::Help => {
            model.overlay = Some(Overlay::Help { scroll: 0 });
            return Vec::new();
        }
        Action::Palette => return palette::open(model),
        Action::StopDrill => return drills::stop(model),
        Action::Screen(number) => return show(model, number),
        _ => {}
    }
    match model.screen {
        Screen::Cluster => members::act(model, action),
        Screen::Keys => keys::act(model, action),
        Screen::Logs => logs::act(model, action),
        Screen::Links => links::act(model, action),
        Screen::Drills => drills::act(model, action),
        Screen::Learn => learn::act(model, action),
    }
}

/// Ctrl-C: the question `q` asks; pressed again, leaving without one.
pub fn interrupt(model: &mut Model) -> Vec<Effect> {
    let again = model.interrupted.is_some_and(|at| model.now.since(at) < INTERRUPT_TWICE_MS);
    model.interrupted = Some(model.now);
    if again {
        return vec![Effect::Quit(Outcome::Detached)];
    }
    overlay::ask_to_quit(model)
}

/// Switches to a screen by its number.
pub fn show(model: &mut Model, number: u8) -> Vec<Effect> {
    match Screen::from_number(number) {
        Some(Screen::Logs) if !model.about.local => {
            model.say(Tone::Warn, "logs are there for local clusters only (`etcd-tui up`)");
            Vec::new()
        }
        Some(Screen::Links) if model.screens().all(|there| there != Screen::Links) => {
            let reason = links::refusal(model).unwrap_or_default();
            model.say(Tone::Warn, reason);
            Vec::new()
        }
        Some(Screen::Drills) if model.screens().all(|there| there != Screen::Drills) => {
            model.say(Tone::Warn, "drills are there for local clusters only (`etcd-tui up`)");
            Vec::new()
        }
        Some(Screen::Learn) if model.screens().all(|there| there != Screen::Learn) => {
            model.say(Tone::Warn, "the course runs on a cluster of its own: `etcd-tui learn`");
            Vec::new()
        }
        Some(screen) => {
            model.screen = screen;
            enter(model)
        }
        None => Vec::new(),
    }
}

/// What a screen needs once it is shown.
fn enter(model: &mut Model) -> Vec<Effect> {
    match model.screen {
        Screen::Cluster | Screen::Links | Screen::Drills | Screen::Learn => Vec::new(),
        Screen::Keys => keys::enter(model),
        Screen::Logs => logs::enter(model),
    }
}

/// Does what a dialog or the palette chose.
pub fn run_command(model: &mut Model, command: Command) -> Vec<Effect> {
    match command {
        Command::Nothing => Vec::new(),
        Command::Member(verb, name) => members::ask(model, verb, &name),
        Command::MemberNow(verb, name) => members::run(model, verb, &name),
        Command::Screen(number) => show(model, number),
        Command::Jump(prefix) => {
            model.screen = Screen::Keys;
            keys::jump(model, prefix)
        }
        Command::Filter(text) => {
            model.screen = Screen::Keys;
            keys::filter(model, &text)
        }
        Command::New(key) => {
            model.screen = Screen::Keys;
            let mut effects = keys::enter(model);
            effects.extend(editor::create(model, &key));
            effects
        }
        Command::Logs(node) => {
            model.logs.node = node;
            show(model, Screen::Logs.number())
        }
        Command::LinksNow(deed) => links::run(model, deed),
        Command::DrillNow(id, own_cluster) => drills::run(model, &id, own_cluster),
        Command::Fault(node, words) => faults::ask(model, &node, &words),
        Command::FaultNow(node, words) => faults::run(model, &node, &words),
        Command::Action(action) => act(model, action),
        Command::DeleteNow(meta) => editor::delete(model, &meta),
        Command::Leave(outcome) => vec![Effect::Quit(outcome)],
        Command::AskPurge => overlay::ask_to_purge(model),
    }
}

fn on_reply(
    model: &mut Model,
    id: crate::msg::RequestId,
    outcome: Result<crate::msg::Reply, crate::msg::Failure>,
) -> Vec<Effect> {
    if let Some(at) = model.moving.iter().position(|(waiting, _)| *waiting == id) {
        let (_, what) = model.moving.remove(at);
        match outcome {
            Ok(_) => model.say(Tone::Good, format!("{what}: done")),
            Err(failure) => model.say(Tone::Bad, format!("{what}: {}", failure.text)),
        }
        return vec![Effect::PollNow];
    }
    // The first part that was waiting for this id takes it; nobody waiting drops it.
    match editor::on_reply(model, id, outcome) {
        Ok(effects) => effects,
        Err(outcome) => match pane::on_reply(model, id, outcome) {
            Ok(effects) => effects,
            Err(outcome) => listing::on_reply(model, id, outcome),
        },
    }
}

fn on_click(model: &mut Model, hit: Hit) -> Vec<Effect> {
    match hit {
        Hit::Hint(action) if model.overlay.is_some() => {
            overlay::on_key(model, Key::char('\0'), Some(action))
        }
        Hit::Hint(action) => act(model, action),
        Hit::Button(index) => overlay::press_button(model, index),
        Hit::Entry(index) => palette::choose(model, index),
        _ if model.overlay.is_some() => Vec::new(),
        Hit::Tab(number) => show(model, number),
        Hit::Row(index) => match model.screen {
            Screen::Cluster => {
                model.cluster.cursor = index;
                Vec::new()
            }
            Screen::Keys => keys::click(model, index),
            Screen::Logs | Screen::Links => Vec::new(),
            Screen::Drills => drills::click(model, index),
            Screen::Learn => {
                learn::click(model, hit);
                Vec::new()
            }
        },
        Hit::Link(row, column) => {
            model.links.cursor = (usize::from(row), usize::from(column));
            Vec::new()
        }
        Hit::Pane(_) | Hit::Nothing => Vec::new(),
    }
}

fn on_wheel(model: &mut Model, hit: Hit, lines: i32) -> Vec<Effect> {
    if model.overlay.is_some() {
        overlay::scroll(model, lines);
        return Vec::new();
    }
    match model.screen {
        Screen::Cluster => members::scroll(model, hit, lines),
        Screen::Keys => keys::wheel(model, hit, lines),
        Screen::Logs => logs::scroll(model, i64::from(lines)),
        Screen::Links => {}
        Screen::Drills => drills::scroll(model, i64::from(lines)),
        Screen::Learn => learn::scroll(model, i64::from(lines)),
    }
    Vec::new()
}

#[cfg(test)]
mod keys_tests;
#[cfg(test)]
pub mod lab_tests;
#[cfg(test)]
mod learn_tests;
#[cfg(test)]
mod tests;
