//! The clients of an application beside the timeline: a line each, what stands outside of the
//! cluster, and the counts.

use super::canvas::{Canvas, Piece};
use crate::lab::application::{ApplicationPicture, ClientLine, ClientState};
use crate::text;
use crate::theme::Role;
use ratatui::layout::Rect;

/// Rows it needs, frame included.
pub fn height(picture: &ApplicationPicture, width: u16) -> u16 {
    let width = usize::from(width.saturating_sub(4)).max(1);
    let rows = lines(picture, width).len() + 2;
    u16::try_from(rows).unwrap_or(u16::MAX)
}

pub fn draw(picture: &ApplicationPicture, canvas: &mut Canvas<'_>, area: Rect) {
    let title = [(Role::Title, "Application ".to_owned()), (Role::Accent, picture.name.clone())];
    let inner = canvas.frame(area, &title, false);
    let width = inner.width.saturating_sub(2);
    let lines = lines(picture, usize::from(width).max(1));
    for (row, pieces) in lines.iter().take(usize::from(inner.height)).enumerate() {
        canvas.line(inner.x + 1, inner.y + row as u16, width, pieces);
    }
}

fn lines(picture: &ApplicationPicture, width: usize) -> Vec<Vec<Piece>> {
    let names = picture.clients.iter().map(|client| client.name.chars().count()).max().unwrap_or(0);
    let mut lines: Vec<Vec<Piece>> = Vec::new();
    // What is broken outweighs everything.
    if let Some(broken) = &picture.broken {
        let rows = text::wrap(&format!("✗ {broken}"), width);
        lines.extend(rows.into_iter().map(|row| vec![(Role::Bad, row)]));
    }
    lines.extend(picture.clients.iter().map(|client| line(client, names)));
    if let Some(outside) = &picture.outside {
        let rows = text::wrap(outside, width);
        lines.extend(rows.into_iter().map(|row| vec![(Role::Text, row)]));
    }
    let rows = text::wrap(&picture.counts, width);
    lines.extend(rows.into_iter().map(|row| vec![(Role::Dim, row)]));
    lines
}

fn line(client: &ClientLine, names: usize) -> Vec<Piece> {
    let (mark, role, word) = match (client.state, client.active) {
        (ClientState::Paused, _) => ("▲", Role::Warn, "paused: "),
        (ClientState::Crashed, _) => ("✗", Role::Bad, "crashed"),
        (ClientState::Running, true) => ("●", Role::Good, ""),
        (ClientState::Running, false) => ("◌", Role::Dim, ""),
    };
    let text = if client.state == ClientState::Crashed { "" } else { client.text.as_str() };
    vec![
        (role, format!("{mark} ")),
        (Role::Title, format!("{:<names$}  ", client.name)),
        (role, word.to_owned()),
        (Role::Text, text.to_owned()),
    ]
}
