//! A question over the screen. Its text is worked out each time it is drawn: if a member
//! fails while the question is open, the question says so.

use super::canvas::Canvas;
use crate::hit::Hit;
use crate::layout;
use crate::model::Model;
use crate::model::overlay::Confirm;
use crate::quorum::Severity;
use crate::text;
use crate::theme::Role;
use crate::update::overlay::question;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

pub fn draw(model: &Model, confirm: &Confirm, canvas: &mut Canvas<'_>) {
    let (title, paragraphs, severity) = question(model, &confirm.subject);
    let width = model.size.0.saturating_sub(4).min(76);
    let room = usize::from(width.saturating_sub(4));
    let mut lines: Vec<(Role, String)> = Vec::new();
    let last = paragraphs.len().saturating_sub(1);
    for (index, paragraph) in paragraphs.iter().enumerate() {
        let role = match severity {
            _ if index != last || last == 0 => Role::Text,
            Severity::Harmless => Role::Good,
            Severity::Narrow => Role::Warn,
            Severity::Outage | Severity::Refused => Role::Bad,
        };
        let mark = if index == last && severity >= Severity::Outage { "▲ " } else { "" };
        let wrapped = text::wrap(&format!("{mark}{paragraph}"), room);
        lines.extend(wrapped.into_iter().map(|line| (role, line)));
    }
    let rows = buttons(confirm, room);
    let height = lines.len() as u16 + rows.len() as u16 + 5;
    let area = layout::centred(model.size, width, height);
    let inner = canvas.window(area, &[(Role::Title, title)]);
    let mut y = inner.y + 1;
    for (role, line) in &lines {
        canvas.put(inner.x + 1, y, inner.width.saturating_sub(2), line, *role);
        y += 1;
    }
    y += 1;
    for row in rows {
        let mut x = inner.x + 1;
        for index in row {
            let label = format!("[ {} ]", confirm.buttons[index].0);
            let role = if index == confirm.focus { Role::ButtonOn } else { Role::Button };
            let used = canvas.put(x, y, inner.right().saturating_sub(x), &label, role);
            canvas.hit(Rect::new(x, y, used, 1), Hit::Button(index));
            x += used + 2;
        }
        y += 1;
    }
}

/// Which buttons share a line.
fn buttons(confirm: &Confirm, room: usize) -> Vec<Vec<usize>> {
    let mut rows: Vec<Vec<usize>> = vec![Vec::new()];
    let mut used = 0;
    for (index, (label, _)) in confirm.buttons.iter().enumerate() {
        let width = label.width() + 6;
        if used + width > room + 2 && used > 0 {
            rows.push(Vec::new());
            used = 0;
        }
        used += width;
        if let Some(row) = rows.last_mut() {
            row.push(index);
        }
    }
    rows
}
