//! What a place on the screen stands for, so that a click can mean something.
//!
//! Drawing notes each area it makes clickable; the shell looks a click up in the notes of
//! the last frame and hands the meaning, not the coordinates, to the reducer.

use crate::action::Action;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    Tab(u8),
    /// A hint in the bottom bar.
    Hint(Action),
    /// A row of the current screen's list, by index.
    Row(usize),
    /// The value pane, the event feed: scrolled, not selected.
    Pane(u8),
    /// A link by row and column of the matrix; on the diagonal a node.
    Link(u8, u8),
    Button(usize),
    /// A row of the palette.
    Entry(usize),
    Nothing,
}

/// An area in cells, and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Area {
    pub x: u16,
    pub y: u16,
    pub width: u16,
    pub height: u16,
    pub hit: Hit,
}

/// The clickable areas of one frame; later ones lie on top.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    areas: Vec<Area>,
}

impl Hits {
    pub fn add(&mut self, area: Area) {
        self.areas.push(area);
    }

    pub fn at(&self, x: u16, y: u16) -> Hit {
        self.areas
            .iter()
            .rev()
            .find(|a| {
                (a.x..a.x.saturating_add(a.width)).contains(&x)
                    && (a.y..a.y.saturating_add(a.height)).contains(&y)
            })
            .map_or(Hit::Nothing, |a| a.hit)
    }
}
