//! The help: every key of every mode this session has, generated from the keymap.

use super::canvas::{Canvas, Piece};
use crate::action::Action;
use crate::keymap::Mode;
use crate::layout;
use crate::model::{Model, Screen};
use crate::theme::Role;
use unicode_width::UnicodeWidthStr;

const SECTIONS: [(Mode, &str); 9] = [
    (Mode::Cluster, "Cluster (1)"),
    (Mode::Keys, "Keys (2)"),
    (Mode::Logs, "Logs (3)"),
    (Mode::Links, "Links (4)"),
    (Mode::Drills, "Drills (5)"),
    (Mode::Learn, "Learn (6)"),
    (Mode::Global, "Everywhere"),
    (Mode::Editor, "While editing a value"),
    (Mode::Palette, "In the command palette"),
];

/// All lines of the help.
fn lines(model: &Model) -> Vec<Vec<Piece>> {
    let local = model.about.local;
    let mut lines = Vec::new();
    for (mode, title) in SECTIONS {
        let of_screen = Screen::ALL.into_iter().find(|screen| screen.mode() == mode);
        if of_screen.is_some_and(|screen| model.screens().all(|there| there != screen)) {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Vec::new());
        }
        lines.push(vec![(Role::Title, title.to_owned())]);
        for (keys, action) in model.keymap.listing(mode) {
            let process_only = matches!(mode, Mode::Cluster) && action != Action::MoveLeader;
            if process_only && !local || absent(model, action) {
                continue;
            }
            let Some(about) = action.describe() else { continue };
            let names: Vec<String> = keys.iter().map(ToString::to_string).collect();
            let names = names.join(" ");
            let padding = " ".repeat(18usize.saturating_sub(names.width()).max(1));
            lines.push(vec![
                (Role::Key, format!("  {names}")),
                (Role::Text, format!("{padding}{}", about.help)),
            ]);
        }
    }
    lines.push(Vec::new());
    lines.push(vec![(
        Role::Dim,
        "  Keys that are not text are shown and typed as \\xNN.".to_owned(),
    )]);
    lines
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

pub fn draw(model: &Model, scroll: usize, canvas: &mut Canvas<'_>) {
    let (width, height) = model.size;
    let area =
        layout::centred(model.size, width.saturating_sub(4).min(84), height.saturating_sub(2));
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
