//! The map: nodes on a ring, and a line for every pair.
//!
//! Each half of a line is one directed link: the half at a node is what that node sends. Its
//! glyph and colour are the link's state, and where there is room its rate stands on it.

use super::canvas::Canvas;
use super::links::role;
use crate::hit::Hit;
use crate::lab::link::{LinkState, rate};
use crate::model::Model;
use crate::model::cluster::{Role as RaftRole, Row};
use crate::theme::Role;
use ratatui::layout::Rect;
use std::f64::consts::TAU;
use unicode_width::UnicodeWidthStr;

/// More lines than this leave no room for numbers.
const NODES_WITH_RATES: usize = 4;
/// A smaller map has neither numbers nor roles in words.
const WORDS_FROM: (u16, u16) = (50, 12);

fn has_words(area: Rect) -> bool {
    area.width >= WORDS_FROM.0 && area.height >= WORDS_FROM.1
}

pub fn draw(model: &Model, names: &[String], canvas: &mut Canvas<'_>, area: Rect) {
    if area.width < 20 || area.height < 5 || names.is_empty() {
        return;
    }
    let places: Vec<(u16, u16)> = (0..names.len()).map(|at| place(at, names.len(), area)).collect();
    for a in 0..names.len() {
        for b in a + 1..names.len() {
            half(model, names, canvas, (a, b), &places);
            half(model, names, canvas, (b, a), &places);
        }
    }
    if names.len() <= NODES_WITH_RATES && has_words(area) {
        for a in 0..names.len() {
            for b in (0..names.len()).filter(|b| *b != a) {
                label(model, names, canvas, (a, b), &places);
            }
        }
    }
    let rows = model.cluster.rows();
    for (index, name) in names.iter().enumerate() {
        let row = rows.iter().find(|row| row.name == *name);
        node(model, canvas, (index, name), row, places[index], area);
    }
}

/// The first node is at the top, the others follow clockwise.
fn place(at: usize, count: usize, area: Rect) -> (u16, u16) {
    let angle = TAU * at as f64 / count as f64 - TAU / 4.0;
    let (rx, ry) = (f64::from(area.width) / 2.0 - 9.0, f64::from(area.height) / 2.0 - 1.0);
    let (cx, cy) = (f64::from(area.width - 1) / 2.0, f64::from(area.height - 1) / 2.0);
    let ry = ry.max(1.0);
    // Wider than this it is no ring but a line.
    let rx = rx.clamp(1.0, (ry * 3.2).max(12.0));
    let x = (cx + rx * angle.cos()).round().clamp(0.0, f64::from(area.width - 1));
    let y = (cy + ry * angle.sin()).round().clamp(0.0, f64::from(area.height - 1));
    (area.x + x as u16, area.y + y as u16)
}

fn glyph(state: LinkState) -> &'static str {
    match state {
        LinkState::Ok => "·",
        LinkState::Freeze | LinkState::Reset => "×",
        LinkState::Delay { .. } | LinkState::Rate { .. } => "~",
        LinkState::Flap { .. } => "≈",
    }
}

/// The point this share of the way from one place to another.
fn between(from: (u16, u16), to: (u16, u16), share: f64) -> (u16, u16) {
    let along =
        |a: u16, b: u16| (f64::from(a) + (f64::from(b) - f64::from(a)) * share).round() as u16;
    (along(from.0, to.0), along(from.1, to.1))
}

fn half(
    model: &Model,
    names: &[String],
    canvas: &mut Canvas<'_>,
    (from, to): (usize, usize),
    places: &[(u16, u16)],
) {
    let link = model.links.between(&names[from], &names[to]);
    let state = link.map_or(LinkState::Ok, |link| link.state);
    let (a, b) = (places[from], places[to]);
    let steps = a.0.abs_diff(b.0).max(a.1.abs_diff(b.1)).max(1);
    let selected = model.links.cursor == (from, to);
    for step in 0..=steps / 2 {
        // Every other column, so that a state reads as a row of marks.
        if a.1 == b.1 && step % 2 == 1 {
            continue;
        }
        let (x, y) = between(a, b, f64::from(step) / f64::from(steps));
        let role = if selected { Role::Accent } else { role(state) };
        canvas.put(x, y, 1, glyph(state), role);
        canvas.hit(Rect::new(x, y, 1, 1), Hit::Link(from as u8, to as u8));
    }
}

/// What passes, or what is wrong, on the sender's half.
fn label(
    model: &Model,
    names: &[String],
    canvas: &mut Canvas<'_>,
    (from, to): (usize, usize),
    places: &[(u16, u16)],
) {
    let Some(link) = model.links.between(&names[from], &names[to]) else { return };
    let text = match link.state {
        LinkState::Ok if link.connections == 0 => return,
        LinkState::Ok => rate(link.bytes_per_second),
        state => state.brief(),
    };
    let (a, b) = (places[from], places[to]);
    // Too close together there would be only labels.
    if a.0.abs_diff(b.0) < 16 && a.1.abs_diff(b.1) < 6 {
        return;
    }
    let (x, y) = between(a, b, 0.32);
    let x = x.saturating_sub(text.width() as u16 / 2);
    canvas.put(x, y, text.width() as u16, &text, role(link.state));
}

fn node(
    model: &Model,
    canvas: &mut Canvas<'_>,
    (index, name): (usize, &str),
    row: Option<&Row>,
    (x, y): (u16, u16),
    area: Rect,
) {
    let (role, mark, word) = match row {
        Some(row) if !row.healthy() => (Role::Bad, "✗", row.state_word()),
        Some(row) if row.cut_off => (Role::Warn, "▲", "cut off"),
        Some(row) if row.leaderless() => (Role::Warn, "▲", "no leader"),
        Some(row) => match row.role {
            RaftRole::Leader => (Role::Accent, "★", "leader"),
            RaftRole::Follower => (Role::Good, "●", "follower"),
            RaftRole::Learner => (Role::Text, "○", "learner"),
            RaftRole::Unknown => (Role::Warn, "▲", "no leader"),
        },
        None => (Role::Dim, "?", ""),
    };
    let text = match has_words(area) {
        true => format!("[{mark} {name} {word}]"),
        false => format!("[{mark} {name}]"),
    };
    let width = text.width() as u16;
    let x = x.saturating_sub(width / 2).clamp(area.x, area.right().saturating_sub(width));
    canvas.put(x, y, width, &text, role);
    let place = Rect::new(x, y, width, 1);
    canvas.hit(place, Hit::Link(index as u8, index as u8));
    if model.links.cursor == (index, index) {
        canvas.tint(place, Role::Selected);
    }
}
