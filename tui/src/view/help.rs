//! The help: every key of every mode this session has, generated from the keymap.

use super::canvas::{Canvas, Piece};
use crate::keymap::{Keymap, Mode};
use crate::layout;
use crate::model::Model;
use crate::theme::Role;
use unicode_width::UnicodeWidthStr;

const SECTIONS: [(Mode, &str); 6] = [
    (Mode::Cluster, "Cluster (1)"),
    (Mode::Keys, "Keys (2)"),
    (Mode::Logs, "Logs (3)"),
    (Mode::Global, "Everywhere"),
    (Mode::Editor, "While editing a value"),
    (Mode::Palette, "In the command palette"),
];

/// All lines of the help.
fn lines(keymap: &Keymap, local: bool) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    for (mode, title) in SECTIONS {
        if mode == Mode::Logs && !local {
            continue;
        }
        if !lines.is_empty() {
            lines.push(Vec::new());
        }
        lines.push(vec![(Role::Title, title.to_owned())]);
        for (keys, action) in keymap.listing(mode) {
            let process_only =
                matches!(mode, Mode::Cluster) && action != crate::action::Action::MoveLeader;
            if process_only && !local {
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

pub fn lines_total(keymap: &Keymap, local: bool) -> usize {
    lines(keymap, local).len()
}

pub fn draw(model: &Model, scroll: usize, canvas: &mut Canvas<'_>) {
    let (width, height) = model.size;
    let area =
        layout::centred(model.size, width.saturating_sub(4).min(84), height.saturating_sub(2));
    let all = lines(&model.keymap, model.about.local);
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
