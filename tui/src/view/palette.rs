//! The command palette: what is typed, and the commands that match.

use super::canvas::Canvas;
use super::input_line;
use crate::hit::Hit;
use crate::layout;
use crate::model::Model;
use crate::model::overlay::Palette;
use crate::text;
use crate::theme::Role;
use crate::update::palette::{advice, matching};
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

pub fn draw(model: &Model, palette: &Palette, canvas: &mut Canvas<'_>) {
    let entries = matching(model, &palette.input.text());
    let width = model.size.0.saturating_sub(4).min(80);
    let height = model.size.1.saturating_sub(4).min(18);
    let area = Rect { y: 1, ..layout::centred(model.size, width, height) };
    let inner = canvas.window(area, &[(Role::Title, "Command".to_owned())]);
    if inner.height < 2 {
        return;
    }
    let used = canvas.put(inner.x + 1, inner.y, 2, ": ", Role::Key);
    let line = Rect {
        x: inner.x + 1 + used,
        y: inner.y,
        width: inner.width.saturating_sub(used + 2),
        height: 1,
    };
    input_line(canvas, line, &palette.input);
    let room = usize::from(inner.height - 1);
    let first = (palette.cursor + 1).saturating_sub(room);
    if entries.is_empty() {
        let advice = advice(model, &palette.input.text());
        for (row, line) in text::wrap(&advice, usize::from(inner.width - 2)).iter().enumerate() {
            if row < room {
                canvas.put(inner.x + 1, inner.y + 1 + row as u16, inner.width - 2, line, Role::Dim);
            }
        }
    }
    for (index, entry) in entries.iter().enumerate().skip(first).take(room) {
        let row = Rect { y: inner.y + 1 + (index - first) as u16, height: 1, ..inner };
        let refused = entry.refused.is_some();
        let role = if refused { Role::Dim } else { Role::Text };
        canvas.put(row.x + 1, row.y, row.width.saturating_sub(2), &entry.text, role);
        let about = entry.refused.as_ref().unwrap_or(&entry.about);
        let about = if refused { format!("✗ {about}") } else { about.clone() };
        let name = (entry.text.width() as u16 + 2).max(22);
        if row.width > name + 4 {
            canvas.put(row.x + name, row.y, row.width - name - 1, &about, Role::Dim);
        }
        canvas.hit(row, Hit::Entry(index));
        if index == palette.cursor {
            canvas.tint(row, Role::Selected);
        }
    }
}
