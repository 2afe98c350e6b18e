//! The key screen: where we are, the tree, and the value pane.

use super::canvas::{Canvas, Piece};
use super::value;
use crate::hit::Hit;
use crate::layout;
use crate::model::Model;
use crate::model::browser::{Live, RowKind, TreeRow};
use crate::text;
use crate::theme::Role;
use ratatui::layout::Rect;

pub fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let parts = layout::keys(model.size);
    path(model, canvas, parts.path);
    tree(model, canvas, parts.tree);
    value::draw(model, canvas, parts.value);
}

/// Which part of the store is shown, as of when, and how.
fn path(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let keys = &model.keys;
    let mut pieces: Vec<Piece> = Vec::new();
    let root = if keys.root.is_empty() {
        "all keys".to_owned()
    } else {
        format!("{}*", text::escape(&keys.root))
    };
    pieces.push((Role::Title, format!(" {root}")));
    pieces.push((Role::Dim, if keys.flat { "  flat".into() } else { "  tree".into() }));
    if keys.revision > 0 {
        pieces.push((Role::Dim, format!("  at revision {}", text::number(keys.revision as u64))));
    }
    match keys.live {
        Live::On => pieces.push((Role::Good, "  ● live".to_owned())),
        Live::Lost => pieces.push((Role::Warn, "  ▲ updates paused".to_owned())),
        Live::Off => {}
    }
    if keys.local_view && keys.revision > 0 {
        pieces.push((Role::Warn, "  one member's own view: there is no leader to ask".to_owned()));
    }
    canvas.line(area.x, area.y, area.width, &pieces);
}

fn tree(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let keys = &model.keys;
    let mut title = Vec::new();
    match &keys.scan {
        Some(scan) => {
            title.push((Role::Title, format!("Find {}", text::escape(scan.needle.as_bytes()))));
            let found = text::number(scan.matches.len() as u64);
            let (scanned, total) = (text::number(scan.scanned), text::number(scan.total));
            title.push(match (&scan.stopped, scan.done) {
                (Some(reason), _) => (Role::Warn, format!(" {found} found, stopped: {reason}")),
                (None, true) => (Role::Dim, format!(" {found} in {scanned} keys")),
                (None, false) => (Role::Warn, format!(" {found} so far, {scanned} of {total}")),
            });
        }
        None => title.push((Role::Title, "Keys".to_owned())),
    }
    let inner = canvas.frame(area, &title, !keys.focus_value);
    let height = usize::from(inner.height);
    if keys.rows.is_empty() {
        let (role, text) = empty_text(model);
        for (row, line) in
            text::wrap(&text, usize::from(inner.width.saturating_sub(2))).iter().enumerate()
        {
            if row < height {
                canvas.put(inner.x + 1, inner.y + row as u16, inner.width, line, role);
            }
        }
    }
    for (index, row) in keys.rows.iter().enumerate().skip(keys.offset).take(height) {
        let line = Rect { y: inner.y + (index - keys.offset) as u16, height: 1, ..inner };
        tree_row(model, canvas, line, row);
        canvas.hit(line, Hit::Row(index));
        if index == keys.cursor {
            canvas.tint(line, Role::Selected);
        }
    }
}

fn empty_text(model: &Model) -> (Role, String) {
    let keys = &model.keys;
    if let Some(scan) = &keys.scan {
        return match scan.done {
            true => (Role::Dim, "no key matches; esc ends the search".to_owned()),
            false => (Role::Dim, "searching …".to_owned()),
        };
    }
    let loading = keys.revision == 0;
    match keys.listings.get(&keys.root) {
        Some(listing) if listing.failure.is_some() => {
            let why = listing.failure.as_ref().map_or("", |f| f.text.as_str());
            (Role::Bad, format!("cannot read the keys: {why}; trying again"))
        }
        _ if loading => (Role::Dim, "reading …".to_owned()),
        _ if keys.root.is_empty() && model.about.read_only => {
            (Role::Dim, "there are no keys".to_owned())
        }
        _ if keys.root.is_empty() => (Role::Dim, "there are no keys yet: n writes one".to_owned()),
        _ => (Role::Dim, "no key begins with this: backspace goes up".to_owned()),
    }
}

fn tree_row(model: &Model, canvas: &mut Canvas<'_>, line: Rect, row: &TreeRow) {
    let keys = &model.keys;
    let indent = (row.depth * 2).min(line.width / 2);
    let x = line.x + 1 + indent;
    let room = line.right().saturating_sub(x);
    match &row.kind {
        RowKind::Directory { prefix, open } => {
            let glyph = if *open { "▾ " } else { "▸ " };
            let name = text::escape(&prefix[parent_length(model, prefix)..]);
            canvas.line(x, line.y, room, &[(Role::Dim, glyph.into()), (Role::Directory, name)]);
        }
        RowKind::Key(meta) => {
            let from =
                if keys.flat || keys.scan.is_some() { 0 } else { parent_length(model, &meta.key) };
            let role =
                if keys.changed.contains_key(&meta.key) { Role::Changed } else { Role::Text };
            let mut pieces =
                vec![(Role::Dim, "  ".to_owned()), (role, text::escape(&meta.key[from..]))];
            if meta.lease != 0 {
                pieces.push((Role::Dim, " ttl".to_owned()));
            }
            canvas.line(x, line.y, room, &pieces);
        }
        RowKind::More { prefix } => {
            let loading = keys.listings.get(prefix).is_some_and(|l| l.loading.is_some());
            let text = if loading { "  … reading" } else { "  … more: go there to read on" };
            canvas.put(x, line.y, room, text, Role::Dim);
        }
        RowKind::Failed { text, .. } => {
            canvas.put(x, line.y, room, &format!("  ✗ {text}"), Role::Bad);
        }
    }
}

/// How much of a name its directory takes, so that a row shows only its own part.
fn parent_length(model: &Model, name: &[u8]) -> usize {
    let parent = crate::model::browser::parent(name).len();
    // Under a root that ends inside a name, the first level shows the whole last part.
    if parent < model.keys.root.len() {
        let root = crate::model::browser::parent(&model.keys.root).len();
        return if model.keys.root.last() == Some(&b'/') { model.keys.root.len() } else { root };
    }
    parent
}
