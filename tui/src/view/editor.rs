//! The editor window: key, value, and after a refused write the value that is there now.

use super::canvas::{Canvas, Piece};
use super::input_line;
use crate::layout;
use crate::model::Model;
use crate::model::line::TextInput;
use crate::model::overlay::Editor;
use crate::text;
use crate::theme::Role;
use ratatui::layout::Rect;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

pub fn draw(model: &Model, editor: &Editor, canvas: &mut Canvas<'_>) {
    let (width, height) = model.size;
    let area =
        layout::centred(model.size, width.saturating_sub(4).min(110), height.saturating_sub(4));
    let title: Vec<Piece> = if editor.creating {
        vec![(Role::Title, "New key".to_owned())]
    } else {
        vec![
            (Role::Title, "Edit".to_owned()),
            (Role::Dim, format!(" replaces revision {}", editor.expect)),
        ]
    };
    let inner = canvas.window(area, &title);
    if inner.height < 5 || inner.width < 12 {
        return;
    }
    let (left, room) = (inner.x + 1, inner.width - 2);
    let used = canvas.put(left, inner.y, room, "key    ", Role::Dim);
    let key_area = Rect::new(left + used, inner.y, room.saturating_sub(used), 1);
    if editor.creating && !editor.in_value {
        input_line(canvas, key_area, &editor.key);
    } else {
        canvas.put(key_area.x, key_area.y, key_area.width, &editor.key.text(), Role::Text);
    }
    let mut y = inner.y + 1;
    let notice = match (&editor.problem, editor.saving) {
        (_, Some(_)) => vec![(Role::Dim, "saving …".to_owned())],
        (Some(problem), None) => text::wrap(problem, usize::from(room))
            .into_iter()
            .map(|line| (Role::Bad, line))
            .collect(),
        (None, None) => vec![(Role::Dim, "bytes that are not text are \\xNN".to_owned())],
    };
    for (role, line) in notice.iter().take(3) {
        canvas.put(left, y, room, line, *role);
        y += 1;
    }
    let rest = inner.bottom().saturating_sub(y);
    let theirs = editor
        .theirs
        .as_ref()
        .map_or(0, |lines| (lines.len() + 1).min(usize::from(rest / 2)) as u16);
    value(canvas, Rect::new(left, y, room, rest - theirs), &editor.value, editor.in_value);
    if let Some(lines) = &editor.theirs
        && theirs > 0
    {
        let top = inner.bottom() - theirs;
        canvas.put(left, top, room, "stored now:", Role::Warn);
        for (row, line) in lines.iter().take(usize::from(theirs) - 1).enumerate() {
            canvas.put(left, top + 1 + row as u16, room, line, Role::Dim);
        }
    }
}

/// The value's lines around the cursor.
fn value(canvas: &mut Canvas<'_>, area: Rect, input: &TextInput, focus: bool) {
    let height = usize::from(area.height);
    if height == 0 {
        return;
    }
    let first = (input.row + 1).saturating_sub(height);
    // The whole text scrolls sideways with the cursor's line, so that columns stay in line.
    let room = usize::from(area.width).saturating_sub(1);
    let line: String = input.lines[input.row].iter().collect();
    let column: usize = line.chars().take(input.column).map(columns_of).sum();
    let shift = column.saturating_sub(room);
    for (row, line) in input.lines.iter().enumerate().skip(first).take(height) {
        let y = area.y + (row - first) as u16;
        let shown: String = expand(line.iter().collect::<String>().as_str());
        let mut skipped = 0;
        let visible: String = shown
            .chars()
            .skip_while(|c| {
                let skip = skipped < shift;
                skipped += c.width().unwrap_or(0);
                skip
            })
            .collect();
        canvas.put(area.x, y, area.width, &visible, Role::Text);
        if focus && row == input.row {
            canvas.cursor = Some((area.x + (column - shift) as u16, y));
        }
    }
    debug_assert!(expand("\t").width() == columns_of('\t'), "a tab has one width");
}

fn columns_of(c: char) -> usize {
    if c == '\t' { 4 } else { c.width().unwrap_or(0) }
}

fn expand(line: &str) -> String {
    line.replace('\t', "    ")
}
