//! The links screen: a matrix of directed links, the map, and the one under the cursor in
//! words.

use super::canvas::{Canvas, Piece};
use super::map;
use crate::fleet::PeerLink;
use crate::hit::Hit;
use crate::lab::link::{LinkState, rate};
use crate::layout;
use crate::model::Model;
use crate::text;
use crate::theme::Role;
use crate::update::links::{current, nodes, refusal};
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

const LABEL: u16 = 6;
const CELL_MOST: u16 = 11;
const CELL_LEAST: u16 = 3;
/// Below this a map says less than the matrix.
const MAP_LEAST: (u16, u16) = (30, 9);
const DETAIL_HEIGHT: u16 = 5;

pub fn role(state: LinkState) -> Role {
    match state {
        LinkState::Ok => Role::Good,
        LinkState::Freeze | LinkState::Reset => Role::Bad,
        LinkState::Delay { .. } | LinkState::Rate { .. } | LinkState::Flap { .. } => Role::Warn,
    }
}

struct Parts {
    matrix: Rect,
    map: Option<Rect>,
    detail: Rect,
    cell: u16,
}

fn parts(size: (u16, u16), count: usize) -> Parts {
    let body = layout::frame(size).body;
    let count = (count as u16).max(1);
    let detail_height = DETAIL_HEIGHT.min(body.height / 3);
    let above = Rect { height: body.height - detail_height, ..body };
    let detail = Rect { y: above.bottom(), height: detail_height, ..body };
    let cell_in = |width: u16| (width.saturating_sub(LABEL + 4) / count).min(CELL_MOST);
    let wanted = LABEL + 4 + count * CELL_MOST;
    if above.width >= wanted + MAP_LEAST.0 {
        let matrix = Rect { width: wanted.max(above.width * 2 / 5), ..above };
        let map = Rect { x: matrix.right(), width: above.width - matrix.width, ..above };
        return Parts { matrix, map: Some(map), detail, cell: CELL_MOST };
    }
    let cell = cell_in(above.width).max(CELL_LEAST);
    let matrix_height = (count + 3).min(above.height);
    let matrix = Rect { height: matrix_height, ..above };
    let map = Rect { y: matrix.bottom(), height: above.height - matrix_height, ..above };
    if map.height >= MAP_LEAST.1 {
        return Parts { matrix, map: Some(map), detail, cell };
    }
    Parts { matrix: above, map: None, detail, cell }
}

pub fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let names = nodes(model);
    let parts = parts(model.size, names.len());
    matrix(model, &names, canvas, parts.matrix, parts.cell);
    if let Some(area) = parts.map {
        let inner = canvas.frame(area, &[(Role::Title, "Map".to_owned())], false);
        map::draw(model, &names, canvas, inner);
    }
    detail(model, canvas, parts.detail);
}

fn matrix(model: &Model, names: &[String], canvas: &mut Canvas<'_>, area: Rect, cell: u16) {
    let mut title = vec![(Role::Title, "Links".to_owned()), (Role::Dim, " from ↓ to →".to_owned())];
    match model.links.faulty() {
        0 => title.push((Role::Good, "  all ok".to_owned())),
        faulty => title.push((Role::Warn, format!("  {faulty} faulty"))),
    }
    if model.links.both_ways {
        title.push((Role::Accent, "  both ways".to_owned()));
    }
    let inner = canvas.frame(area, &title, true);
    if inner.height == 0 {
        return;
    }
    let left = inner.x + 1 + LABEL;
    let x_of = |column: usize| left + column as u16 * cell;
    for (column, name) in names.iter().enumerate() {
        canvas.put(x_of(column), inner.y, cell.saturating_sub(1), name, Role::Dim);
    }
    let room = usize::from(inner.height - 1);
    let first = (model.links.cursor.0 + 1).saturating_sub(room);
    for (row, from) in names.iter().enumerate().skip(first).take(room) {
        let y = inner.y + 1 + (row - first) as u16;
        canvas.put(inner.x + 1, y, LABEL, from, Role::Title);
        for (column, to) in names.iter().enumerate() {
            let place = Rect { x: x_of(column), y, width: cell, height: 1 };
            if place.x >= inner.right() {
                break;
            }
            let link = model.links.between(from, to);
            let (role, text) =
                if row == column { (Role::Dim, "·".to_owned()) } else { cell_text(link, cell) };
            let width = (cell - 1).min(inner.right() - place.x);
            canvas.put(place.x, y, width, &text, role);
            canvas.hit(place, Hit::Link(row as u8, column as u8));
            if is_selected(model, row, column) {
                canvas.tint(Rect { width, ..place }, Role::Selected);
            }
        }
    }
}

fn is_selected(model: &Model, row: usize, column: usize) -> bool {
    let (r, c) = model.links.cursor;
    (row, column) == (r, c) || model.links.both_ways && (row, column) == (c, r)
}

/// The state, or where all is well what passes.
fn cell_text(link: Option<&PeerLink>, cell: u16) -> (Role, String) {
    let Some(link) = link else { return (Role::Dim, "?".to_owned()) };
    let role = role(link.state);
    let text = match (link.state, link.connections) {
        (LinkState::Ok, 0) => return (Role::Dim, "○ idle".to_owned()),
        (LinkState::Ok, _) => format!("● {}", rate(link.bytes_per_second)),
        (state, _) => state.brief(),
    };
    // A narrow cell keeps the glyph, never half a number.
    if text.width() < usize::from(cell) {
        (role, text)
    } else {
        (role, text.chars().next().map(String::from).unwrap_or_default())
    }
}

/// The link under the cursor in words, or why none can be touched.
fn detail(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let (title, lines) = words(model);
    let inner = canvas.frame(area, &title, false);
    let room = usize::from(inner.width.saturating_sub(2));
    let wrapped = lines
        .into_iter()
        .flat_map(|(role, line)| text::wrap(&line, room).into_iter().map(move |l| (role, l)));
    for (row, (role, line)) in wrapped.take(usize::from(inner.height)).enumerate() {
        canvas.put(inner.x + 1, inner.y + row as u16, room as u16, &line, role);
    }
}

fn words(model: &Model) -> (Vec<Piece>, Vec<(Role, String)>) {
    let mut lines = Vec::new();
    if let Some(reason) = refusal(model) {
        lines.push((Role::Warn, format!("links cannot be changed: {reason}")));
    }
    let Some((from, to)) = current(model) else { return (Vec::new(), lines) };
    if from == to {
        let links = model.links.all.iter().filter(|link| link.from == from || link.to == from);
        let cut = links.filter(|link| link.state.cuts()).count();
        let text = match cut {
            0 => "talks to everybody; i cuts it off from all others".to_owned(),
            cut => format!("{cut} of its directed links are cut"),
        };
        lines.push((Role::Text, format!("{from} {text}")));
        return (vec![(Role::Title, from)], lines);
    }
    let title = vec![(Role::Title, format!("{from} → {to}"))];
    match model.links.between(&from, &to) {
        None => lines.push((Role::Dim, "nothing is known of this link yet".to_owned())),
        Some(link) => {
            lines.push((role(link.state), format!("{from} → {to} {}", link.state.sentence())));
            let connections = match link.connections {
                1 => "1 connection".to_owned(),
                n => format!("{n} connections"),
            };
            let text = format!("{} over {connections}", rate(link.bytes_per_second));
            lines.push((Role::Dim, text));
        }
    }
    (title, lines)
}
