//! Keys while something lies over the screen: help, question, prompt.

use super::{drills, editor, faults, keys, links, members, palette, run_command};
use crate::action::Action;
use crate::effect::{Effect, Outcome};
use crate::key::Key;
use crate::model::Model;
use crate::model::overlay::{Command, Confirm, Overlay, Prompt, Purpose, Subject};
use crate::quorum::Severity;
use crate::text;

/// A key for the overlay: its bound action, or else text.
pub fn on_key(model: &mut Model, key: Key, action: Option<Action>) -> Vec<Effect> {
    match model.overlay {
        None => Vec::new(),
        Some(Overlay::Help { .. }) => {
            match action {
                Some(Action::Cancel) => model.overlay = None,
                Some(Action::Up) => scroll(model, -1),
                Some(Action::Down) => scroll(model, 1),
                Some(Action::PageUp) => scroll(model, -10),
                Some(Action::PageDown) => scroll(model, 10),
                _ => {}
            }
            Vec::new()
        }
        Some(Overlay::Confirm(_)) => confirm_key(model, action),
        Some(Overlay::Prompt(_)) => prompt_key(model, key, action),
        Some(Overlay::Palette(_)) => palette::on_key(model, key, action),
        Some(Overlay::Editor(_)) => editor::on_key(model, key, action),
    }
}

pub fn paste(model: &mut Model, pasted: &str) -> Vec<Effect> {
    match &mut model.overlay {
        Some(Overlay::Prompt(prompt)) => prompt.input.paste(pasted),
        Some(Overlay::Palette(palette)) => palette.input.paste(pasted),
        Some(Overlay::Editor(editor)) => {
            editor.touched = true;
            let input = if editor.in_value { &mut editor.value } else { &mut editor.key };
            input.paste(pasted);
        }
        _ => {}
    }
    Vec::new()
}

pub fn scroll(model: &mut Model, lines: i32) {
    let most = crate::view::help::lines_total(model);
    match &mut model.overlay {
        Some(Overlay::Help { scroll }) => {
            *scroll = (*scroll as i64 + i64::from(lines)).clamp(0, most as i64 - 1) as usize;
        }
        Some(Overlay::Palette(_)) => palette::step(model, i64::from(lines.signum())),
        _ => {}
    }
}

fn confirm_key(model: &mut Model, action: Option<Action>) -> Vec<Effect> {
    let Some(Overlay::Confirm(confirm)) = &mut model.overlay else { return Vec::new() };
    let count = confirm.buttons.len();
    match action {
        Some(Action::Left) => confirm.focus = (confirm.focus + count - 1) % count,
        Some(Action::Right) => confirm.focus = (confirm.focus + 1) % count,
        Some(Action::Submit) => {
            let focus = confirm.focus;
            return press_button(model, focus);
        }
        // Whatever is in focus: who says yes has read the question.
        Some(Action::Yes) => {
            let deed = |(_, command): &(String, Command)| *command != Command::Nothing;
            return match confirm.buttons.iter().position(deed) {
                Some(index) => press_button(model, index),
                None => Vec::new(),
            };
        }
        Some(Action::Cancel) => model.overlay = None,
        Some(Action::Interrupt) => return super::interrupt(model),
        _ => {}
    }
    Vec::new()
}

/// Presses a button of the question.
pub fn press_button(model: &mut Model, index: usize) -> Vec<Effect> {
    let Some(Overlay::Confirm(confirm)) = &model.overlay else { return Vec::new() };
    let Some((_, command)) = confirm.buttons.get(index).cloned() else { return Vec::new() };
    model.overlay = None;
    run_command(model, command)
}

/// `q`: a remote cluster is just left; a local one may be stopped as well.
pub fn ask_to_quit(model: &mut Model) -> Vec<Effect> {
    if !model.about.local {
        return vec![Effect::Quit(Outcome::Detached)];
    }
    let buttons = vec![
        ("Leave it running".to_owned(), Command::Leave(Outcome::Detached)),
        ("Stop the cluster".to_owned(), Command::Leave(Outcome::StopAll { purge: false })),
        ("Stop and delete data …".to_owned(), Command::AskPurge),
        ("Cancel".to_owned(), Command::Nothing),
    ];
    model.overlay = Some(Overlay::Confirm(Confirm { subject: Subject::Quit, buttons, focus: 0 }));
    Vec::new()
}

/// Deleting everything is asked twice, with Cancel in focus.
pub fn ask_to_purge(model: &mut Model) -> Vec<Effect> {
    let buttons = vec![
        ("Cancel".to_owned(), Command::Nothing),
        ("Delete everything".to_owned(), Command::Leave(Outcome::StopAll { purge: true })),
    ];
    model.overlay = Some(Overlay::Confirm(Confirm { subject: Subject::Purge, buttons, focus: 0 }));
    Vec::new()
}

/// Title, text and gravity of a question, as things are now.
pub fn question(model: &Model, subject: &Subject) -> (String, Vec<String>, Severity) {
    match subject {
        Subject::Member(verb, name) => members::question(model, *verb, name),
        Subject::Delete(meta) => (
            "Delete this key?".to_owned(),
            vec![
                text::escape(&meta.key),
                format!(
                    "Only if it is still at revision {}: if someone changes it first, nothing is deleted.",
                    meta.mod_revision
                ),
            ],
            Severity::Narrow,
        ),
        Subject::Links(deed) => links::question(model, deed),
        Subject::Drill(id, own_cluster) => drills::question(model, id, *own_cluster),
        Subject::Fault(node, words) => faults::question(model, node, words),
        Subject::Purge => (
            format!("Delete the cluster {}?", model.about.title),
            vec![
                "Every node is stopped.".to_owned(),
                "All keys and logs of every node are deleted. There is no way back.".to_owned(),
            ],
            Severity::Outage,
        ),
        Subject::Quit => (
            format!("Leave {}?", model.about.title),
            vec![
                "The cluster can go on without this screen; `etcd-tui attach` comes back to it."
                    .to_owned(),
            ],
            Severity::Harmless,
        ),
    }
}

/// Opens a one-line prompt.
pub fn prompt(model: &mut Model, purpose: Purpose, text: &str) {
    let input = crate::model::line::TextInput::line(text);
    model.overlay = Some(Overlay::Prompt(Prompt { purpose, input, problem: None }));
}

fn prompt_key(model: &mut Model, key: Key, action: Option<Action>) -> Vec<Effect> {
    let Some(Overlay::Prompt(prompt)) = &mut model.overlay else { return Vec::new() };
    match action {
        Some(Action::Cancel) => {
            model.overlay = None;
            Vec::new()
        }
        Some(Action::Submit) => {
            let (purpose, typed) = (prompt.purpose, prompt.input.text());
            submit(model, purpose, &typed)
        }
        _ => {
            prompt.problem = None;
            prompt.input.press(key);
            // Logs are filtered as one types: they are all here.
            if prompt.purpose == Purpose::LogFilter {
                model.logs.filter = prompt.input.text();
                model.logs.back = 0;
            }
            Vec::new()
        }
    }
}

fn submit(model: &mut Model, purpose: Purpose, typed: &str) -> Vec<Effect> {
    match purpose {
        Purpose::LogFilter => {
            model.overlay = None;
            model.logs.filter = typed.to_owned();
            Vec::new()
        }
        Purpose::Filter => {
            model.overlay = None;
            keys::filter(model, typed)
        }
        Purpose::Delay | Purpose::Rate | Purpose::Flap | Purpose::Partition => {
            links::submit(model, purpose, typed).unwrap_or_else(|problem| {
                if let Some(Overlay::Prompt(prompt)) = &mut model.overlay {
                    prompt.problem = Some(problem);
                }
                Vec::new()
            })
        }
        Purpose::Jump => match text::unescape(typed) {
            Ok(prefix) => {
                model.overlay = None;
                keys::jump(model, prefix)
            }
            Err(problem) => {
                if let Some(Overlay::Prompt(prompt)) = &mut model.overlay {
                    prompt.problem = Some(problem);
                }
                Vec::new()
            }
        },
    }
}
