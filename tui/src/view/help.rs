//! The help: every key of every mode this session has, generated from the keymap.

use super::canvas::{Canvas, Piece};
use crate::action::Action;
use crate::keymap::Mode;
use crate::layout;
use crate::model::{Model, Screen};
use crate::text;
use crate::theme::Role;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

const SECTIONS: [(Mode, &str); 9] = [
    (Mode::Global, "Everywhere"),
    (Mode::Cluster, "Cluster (1)"),
    (Mode::Keys, "Keys (2)"),
    (Mode::Logs, "Logs (3)"),
    (Mode::Links, "Links (4)"),
    (Mode::Drills, "Drills (5)"),
    (Mode::Learn, "Learn (6)"),
    (Mode::Editor, "While editing a value"),
    (Mode::Palette, "In the command palette"),
];

/// All lines of the help, those of the screen it was asked for on first.
fn lines(model: &Model) -> Vec<Vec<Piece>> {
    let mut sections = SECTIONS;
    // Stable: the others keep their order.
    sections.sort_by_key(|(mode, _)| *mode != model.screen.mode());
    let room = usize::from(area(model).width.saturating_sub(4));
    let mut lines = Vec::new();
    for (mode, title) in sections {
        let of_screen = Screen::ALL.into_iter().find(|screen| screen.mode() == mode);
        if of_screen.is_some_and(|screen| model.screens().all(|there| there != screen)) {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Vec::new());
        }
        lines.push(vec![(Role::Title, title.to_owned())]);
        let keys = section(model, mode);
        let widest = keys.iter().map(|(names, _)| names.width()).max().unwrap_or(0);
        for (names, about) in keys {
            let mut head = (Role::Key, format!("  {names:<widest$}  "));
            for part in text::wrap(about, room.saturating_sub(widest + 4)) {
                let blank = (Role::Text, " ".repeat(widest + 4));
                lines.push(vec![std::mem::replace(&mut head, blank), (Role::Text, part)]);
            }
        }
    }
    lines.push(Vec::new());
    let note = text::wrap("Keys that are not text are shown and typed as \\xNN.", room);
    lines.extend(note.into_iter().map(|line| vec![(Role::Dim, line)]));
    lines
}

/// The keys of a mode this session has, and what each does.
fn section(model: &Model, mode: Mode) -> Vec<(String, &'static str)> {
    let mut section = Vec::new();
    for (keys, action) in model.keymap.listing(mode) {
        let process_only = matches!(mode, Mode::Cluster) && action != Action::MoveLeader;
        if process_only && !model.about.local || absent(model, action) {
            continue;
        }
        let Some(about) = action.describe() else { continue };
        let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
        section.push((names.join(" "), about.help));
    }
    section
}

/// Whether the action concerns a screen that this session does not have.
fn absent(model: &Model, action: Action) -> bool {
    match action {
        Action::Screen(number) => model.screens().all(|screen| screen.number() != number),
        Action::StopDrill => model.drills.cards.is_empty(),
        _ => false,
    }
}

pub fn lines_total(model: &Model) -> usize {
    lines(model).len()
}

fn area(model: &Model) -> Rect {
    let (width, height) = model.size;
    layout::centred(model.size, width.saturating_sub(4).min(84), height.saturating_sub(2))
}

pub fn draw(model: &Model, scroll: usize, canvas: &mut Canvas<'_>) {
    let area = area(model);
    let all = lines(model);
    let mut title = vec![(Role::Title, "Help".to_owned())];
    let inner = {
        let room = usize::from(area.height.saturating_sub(2));
        if all.len() > room {
            let last = (scroll + room).min(all.len());
            title.push((Role::Dim, format!(" {last}/{} ↓", all.len())));
        }
        canvas.window(area, &title)
    };
    let scroll = scroll.min(all.len().saturating_sub(usize::from(inner.height)));
    for (row, pieces) in all.iter().skip(scroll).take(usize::from(inner.height)).enumerate() {
        canvas.line(inner.x + 1, inner.y + row as u16, inner.width.saturating_sub(2), pieces);
    }
}
