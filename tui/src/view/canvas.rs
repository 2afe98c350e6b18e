//! The few drawing verbs the screens share: text by role, boxes, rows.

use crate::hit::{Area, Hit, Hits};
use crate::text;
use crate::theme::{Role, Theme};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::widgets::{Block, Clear, Widget};
use unicode_width::UnicodeWidthStr;

/// A piece of a line.
pub type Piece = (Role, String);

/// A frame being drawn, with the theme to draw it in and the notes of what is where.
pub struct Canvas<'a> {
    pub buffer: &'a mut Buffer,
    pub theme: &'a Theme,
    pub hits: Hits,
    /// Where the terminal's cursor belongs, if text is being typed.
    pub cursor: Option<(u16, u16)>,
}

impl Canvas<'_> {
    /// Writes text at a place, cut to `width` columns; returns the columns used.
    pub fn put(&mut self, x: u16, y: u16, width: u16, content: &str, role: Role) -> u16 {
        let area = self.buffer.area;
        if y >= area.bottom() || x >= area.right() || width == 0 {
            return 0;
        }
        let width = width.min(area.right() - x);
        let shown = text::fit(content, usize::from(width));
        let used = shown.width() as u16;
        self.buffer.set_string(x, y, shown, self.theme.style(role));
        used
    }

    /// Writes pieces one after the other; returns the columns used.
    pub fn line(&mut self, x: u16, y: u16, width: u16, pieces: &[Piece]) -> u16 {
        let mut used = 0;
        for (role, content) in pieces {
            if used >= width {
                break;
            }
            used += self.put(x + used, y, width - used, content, *role);
        }
        used
    }

    /// Gives a whole area the style of a role, keeping its text.
    pub fn tint(&mut self, area: Rect, role: Role) {
        let area = area.intersection(self.buffer.area);
        self.buffer.set_style(area, self.theme.style(role));
    }

    /// A bordered box with a title; returns the area inside.
    pub fn frame(&mut self, area: Rect, title: &[Piece], focus: bool) -> Rect {
        let area = area.intersection(self.buffer.area);
        if area.width < 2 || area.height < 2 {
            return Rect::new(area.x, area.y, 0, 0);
        }
        let role = if focus { Role::BorderFocus } else { Role::Border };
        let block = Block::bordered().border_style(self.theme.style(role));
        let inner = block.inner(area);
        block.render(area, self.buffer);
        if !title.is_empty() && area.width > 6 {
            let mut pieces = vec![(Role::Border, " ".to_owned())];
            pieces.extend(title.iter().cloned());
            pieces.push((Role::Border, " ".to_owned()));
            self.line(area.x + 1, area.y, area.width - 2, &pieces);
        }
        inner
    }

    /// A box that hides what is under it.
    pub fn window(&mut self, area: Rect, title: &[Piece]) -> Rect {
        let area = area.intersection(self.buffer.area);
        Clear.render(area, self.buffer);
        self.tint(area, Role::Text);
        self.frame(area, title, true)
    }

    pub fn hit(&mut self, area: Rect, hit: Hit) {
        self.hits.add(Area { x: area.x, y: area.y, width: area.width, height: area.height, hit });
    }
}
