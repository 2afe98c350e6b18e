//! The command palette: everything that can be done, by name.
//!
//! Entries are made from the model each time, so they name the members there are. What is
//! not possible now stays listed, with the reason. Free arguments follow the word:
//! `keys /registry`, `put /a`, `find nginx`.

use super::{faults, members, run_command};
use crate::action::Action;
use crate::effect::Effect;
use crate::fuzzy;
use crate::key::Key;
use crate::model::cluster::Tone;
use crate::model::line::TextInput;
use crate::model::overlay::{Command, Entry, Overlay, Palette, Verb};
use crate::model::{Model, Screen};
use crate::text;

const PAGE: i64 = 8;

pub fn open(model: &mut Model) -> Vec<Effect> {
    model.overlay = Some(Overlay::Palette(Palette { input: TextInput::line(""), cursor: 0 }));
    Vec::new()
}

/// The entries that match what is typed, best first.
pub fn matching(model: &Model, typed: &str) -> Vec<Entry> {
    let mut found = with_argument(model, typed);
    let mut scored: Vec<(i32, usize, Entry)> = entries(model)
        .into_iter()
        .enumerate()
        .filter_map(|(place, entry)| {
            let score = fuzzy::score(typed, &entry.text)?;
            // What can be done comes before what cannot, but never before what was typed out.
            let score = match entry.refused {
                _ if !typed.is_empty() && entry.text.starts_with(typed.trim_end()) => score + 200,
                Some(_) => score - 100,
                None => score,
            };
            Some((score, place, entry))
        })
        .collect();
    scored.sort_by_key(|(score, place, _)| (-score, *place));
    found.extend(scored.into_iter().map(|(_, _, entry)| entry));
    found
}

/// What to say when nothing matches: what the word is used with, if there is such a word.
pub fn advice(model: &Model, typed: &str) -> String {
    let word = typed.split_whitespace().next().unwrap_or_default();
    let all = entries(model);
    let used_with: Vec<&str> =
        all.iter().filter_map(|entry| entry.text.strip_prefix(word)?.strip_prefix(' ')).collect();
    if used_with.is_empty() {
        return "no such command: an empty line lists all".to_owned();
    }
    format!("{word} is used with: {}", used_with.join(", "))
}

fn entry(text: impl Into<String>, about: impl Into<String>, command: Command) -> Entry {
    Entry { text: text.into(), about: about.into(), command, refused: None }
}

/// Commands with text of the user's own after the word.
fn with_argument(model: &Model, typed: &str) -> Vec<Entry> {
    let Some((word, argument)) = typed.trim_start().split_once(' ') else { return Vec::new() };
    let argument = argument.trim();
    if argument.is_empty() {
        return Vec::new();
    }
    let bytes = text::unescape(argument);
    let mut made = match (word, bytes) {
        ("keys" | "go" | "cd", Ok(prefix)) => {
            entry(typed, "show keys under this prefix", Command::Jump(prefix))
        }
        ("put" | "new", Ok(key)) => entry(typed, "put this key", Command::New(key)),
        ("find" | "filter", _) => {
            entry(typed, "search all keys for this", Command::Filter(argument.to_owned()))
        }
        ("keys" | "go" | "cd" | "put" | "new", Err(problem)) => {
            Entry { refused: Some(problem), ..entry(typed, "", Command::Nothing) }
        }
        _ => return Vec::new(),
    };
    if matches!(made.command, Command::New(_)) && model.about.read_only {
        made.refused = Some(super::READ_ONLY.to_owned());
    }
    vec![made]
}

fn entries(model: &Model) -> Vec<Entry> {
    let mut list = Vec::new();
    for screen in model.screens() {
        list.push(entry(
            screen.title().to_lowercase(),
            format!("show screen {}", screen.number()),
            Command::Screen(screen.number()),
        ));
    }
    list.push(entry("go PREFIX", "show keys under a prefix", Command::Action(Action::Jump)));
    list.push(entry("find TEXT", "search all keys", Command::Action(Action::Filter)));
    let mut put = entry("put KEY", "write a new key", Command::Action(Action::New));
    if model.about.read_only {
        put.refused = Some(super::READ_ONLY.to_owned());
    }
    list.push(put);
    let rows = model.cluster.rows();
    for verb in Verb::ALL.into_iter().filter(|verb| model.about.local || !verb.local_only()) {
        for row in rows.iter().filter(|row| row.id.is_some() || row.fleet.is_some()) {
            list.push(Entry {
                text: format!("{} {}", verb.word(), row.name),
                about: about_verb(verb).to_owned(),
                command: Command::Member(verb, row.name.clone()),
                refused: members::refusal(model, verb, &row.name),
            });
        }
    }
    list.extend(faults::entries(model));
    if model.about.local {
        list.push(entry("logs all", "every node's log, merged", Command::Logs(None)));
        for node in &model.cluster.fleet {
            let command = Command::Logs(Some(node.name.clone()));
            list.push(entry(format!("logs {}", node.name), "this node's log", command));
        }
    }
    list.push(entry("refresh", "ask the cluster again, now", Command::Action(Action::Refresh)));
    list.push(entry("help", "every key", Command::Action(Action::Help)));
    list.push(entry("quit", "leave", Command::Action(Action::Quit)));
    list
}

fn about_verb(verb: Verb) -> &'static str {
    match verb {
        Verb::Kill => "SIGKILL",
        Verb::Stop => "SIGTERM",
        Verb::Start => "start the process",
        Verb::Restart => "stop, then start",
        Verb::Pause => "freeze the process",
        Verb::Resume => "let it run again",
        Verb::Replace => "remove, add a fresh member",
        Verb::Wipe => "throw its data away",
        Verb::MoveLeader => "make it the leader",
    }
}

pub fn on_key(model: &mut Model, key: Key, action: Option<Action>) -> Vec<Effect> {
    match action {
        Some(Action::Cancel) => model.overlay = None,
        Some(Action::Up) => step(model, -1),
        Some(Action::Down) => step(model, 1),
        Some(Action::PageUp) => step(model, -PAGE),
        Some(Action::PageDown) => step(model, PAGE),
        Some(Action::Submit) => {
            let cursor = match &model.overlay {
                Some(Overlay::Palette(palette)) => palette.cursor,
                _ => return Vec::new(),
            };
            return choose(model, cursor);
        }
        Some(Action::NextField) => complete(model),
        _ => {
            if let Some(Overlay::Palette(palette)) = &mut model.overlay {
                let empty = palette.input.is_empty();
                let erased = key.code == crate::key::Code::Backspace;
                if palette.input.press(key) {
                    palette.cursor = 0;
                }
                // Erasing past the beginning closes, as in editors with a command line.
                if empty && erased {
                    model.overlay = None;
                }
            }
        }
    }
    Vec::new()
}

pub fn step(model: &mut Model, rows: i64) {
    let Some(Overlay::Palette(palette)) = &model.overlay else { return };
    let last = matching(model, &palette.input.text()).len().saturating_sub(1) as i64;
    if let Some(Overlay::Palette(palette)) = &mut model.overlay {
        palette.cursor = (palette.cursor as i64 + rows).clamp(0, last) as usize;
    }
}

/// Tab: takes over the text of the entry under the cursor.
fn complete(model: &mut Model) {
    let Some(Overlay::Palette(palette)) = &model.overlay else { return };
    let found = matching(model, &palette.input.text());
    let Some(entry) = found.get(palette.cursor) else { return };
    // A word in capitals stands for what is still to be typed.
    let text = entry.text.trim_end_matches(|c: char| c.is_ascii_uppercase()).to_owned();
    if let Some(Overlay::Palette(palette)) = &mut model.overlay {
        palette.input = TextInput::line(&text);
        palette.cursor = 0;
    }
}

/// Runs an entry by its place in the list.
pub fn choose(model: &mut Model, index: usize) -> Vec<Effect> {
    let Some(Overlay::Palette(palette)) = &model.overlay else { return Vec::new() };
    let typed = palette.input.text();
    let Some(entry) = matching(model, &typed).into_iter().nth(index) else { return Vec::new() };
    if let Some(reason) = entry.refused {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    model.overlay = None;
    if let Command::Action(action @ (Action::Jump | Action::Filter | Action::New)) = entry.command {
        // These belong to the key screen, wherever the palette was opened.
        let mut effects = super::show(model, Screen::Keys.number());
        effects.extend(super::act(model, action));
        return effects;
    }
    run_command(model, entry.command)
}
