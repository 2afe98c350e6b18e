//! The value pane: a key's metadata and value, or what a directory holds.

use super::canvas::{Canvas, Piece};
use crate::hit::Hit;
use crate::layout;
use crate::model::Model;
use crate::model::browser::{RowKind, ValuePane};
use crate::text;
use crate::theme::Role;
use crate::value::Format;
use ratatui::layout::Rect;

pub fn draw(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let pane = &model.keys.pane;
    let mut title = vec![(Role::Title, "Value".to_owned())];
    if pane.found.is_some() && pane.directory.is_none() {
        let wish = if pane.format == Format::Auto { "" } else { " (chosen)" };
        title.push((Role::Dim, format!(" {}{wish}", pane.decoded.shown_as.word())));
    }
    if pane.scroll > 0 {
        title.push((Role::Dim, format!(" from line {}", pane.scroll + 1)));
    }
    let inner = canvas.frame(area, &title, model.keys.focus_value);
    canvas.hit(area, Hit::Pane(1));
    if inner.height == 0 || model.keys.rows.is_empty() {
        return;
    }
    if let Some(RowKind::Failed { text, .. }) = model.keys.current().map(|row| &row.kind) {
        // In the tree there is room for its beginning only.
        let room = inner.width.saturating_sub(2);
        let lines = text::wrap(text, usize::from(room));
        for (row, line) in lines.iter().take(usize::from(inner.height)).enumerate() {
            canvas.put(inner.x + 1, inner.y + row as u16, room, line, Role::Bad);
        }
        return;
    }
    if let Some(prefix) = &pane.directory {
        directory(canvas, inner, pane, prefix);
        return;
    }
    if pane.key.is_none() {
        return;
    }
    let lines = metadata(model, layout::metadata_lines(area));
    let mut y = inner.y;
    for pieces in &lines {
        canvas.line(inner.x + 1, y, inner.width.saturating_sub(2), pieces);
        y += 1;
    }
    let room = inner.bottom().saturating_sub(y);
    for (row, line) in
        pane.decoded.lines.iter().skip(pane.scroll).take(usize::from(room)).enumerate()
    {
        canvas.put(inner.x + 1, y + row as u16, inner.width.saturating_sub(2), line, Role::Text);
    }
}

fn directory(canvas: &mut Canvas<'_>, inner: Rect, pane: &ValuePane, prefix: &[u8]) {
    let room = inner.width.saturating_sub(2);
    canvas.put(inner.x + 1, inner.y, room, &text::escape(prefix), Role::Directory);
    let (role, line) = match (pane.count, &pane.failure) {
        (Some(1), _) => (Role::Text, "1 key".to_owned()),
        (Some(count), _) => (Role::Text, format!("{} keys", text::number(count.max(0) as u64))),
        (None, Some(failure)) => (Role::Bad, failure.text.clone()),
        (None, None) => (Role::Dim, "counting …".to_owned()),
    };
    canvas.put(inner.x + 1, inner.y + 1, room, &line, role);
}

/// Name, revisions, lease, and a rule: as many lines as there is room for.
fn metadata(model: &Model, lines: usize) -> Vec<Vec<Piece>> {
    let pane = &model.keys.pane;
    let label = |name: &str| (Role::Dim, format!("{name} "));
    let key = pane.key.as_deref().map(text::escape).unwrap_or_default();
    let name = vec![(Role::Title, key)];
    let status = |role: Role, line: String| vec![vec![(role, line)]];
    let Some((meta, bytes)) = &pane.found else {
        let mut all = vec![name];
        all.extend(match (&pane.failure, pane.gone) {
            (Some(failure), _) => status(Role::Bad, failure.text.clone()),
            (None, true) => status(Role::Warn, "this key does not exist any more".to_owned()),
            (None, false) => status(Role::Dim, "reading …".to_owned()),
        });
        return all;
    };
    let size = text::size(bytes.len() as i64);
    let cut = if pane.decoded.cut { " (beginning shown)" } else { "" };
    let mut lease = vec![label("lease")];
    lease.extend(lease_pieces(model, meta.lease));
    let numbers = vec![
        label("mod"),
        (Role::Text, format!("{}  ", meta.mod_revision)),
        label("create"),
        (Role::Text, format!("{}  ", meta.create_revision)),
        label("version"),
        (Role::Text, format!("{}  ", meta.version)),
        label("size"),
        (Role::Text, format!("{size}{cut}  ")),
    ];
    let trouble = match (&pane.failure, pane.gone) {
        (_, true) => Some((Role::Warn, "deleted; this was its last value".to_owned())),
        (Some(failure), _) => Some((Role::Bad, failure.text.clone())),
        _ => None,
    };
    if lines < 5 {
        let second = trouble.map_or_else(|| [numbers, lease].concat(), |piece| vec![piece]);
        return vec![name, second];
    }
    let fourth = trouble.map_or_else(Vec::new, |piece| vec![piece]);
    vec![name, numbers, lease, fourth, Vec::new()]
}

fn lease_pieces(model: &Model, lease: i64) -> Vec<Piece> {
    if lease == 0 {
        return vec![(Role::Text, "none".to_owned())];
    }
    let mut pieces = vec![(Role::Text, format!("{lease:x}"))];
    match model.keys.pane.lease {
        Some((left, granted, at)) if left >= 0 => {
            let passed = (model.now.since(at) / 1_000) as i64;
            let left = (left - passed).max(0);
            let role = if left * 5 < granted { Role::Warn } else { Role::Text };
            let left = text::duration(left as u64);
            pieces.push((
                role,
                format!(", {left} of {} left", text::duration(granted.max(0) as u64)),
            ));
        }
        Some(_) => pieces.push((Role::Warn, ", expired".to_owned())),
        None => {}
    }
    pieces
}
