//! How the screen is divided: pure arithmetic on the terminal's size.
//!
//! Drawing and the reducer both need it (a page down is as long as what is drawn), so it
//! lives beside them. Breakpoints: below 80 columns panes stack, narrower still columns of
//! the tables are dropped, below 40 by 12 there is only a message.

use ratatui::layout::Rect;

pub const LEAST: (u16, u16) = (40, 12);

/// Whether nothing but the demand for more room is shown.
pub fn is_too_small((width, height): (u16, u16)) -> bool {
    width < LEAST.0 || height < LEAST.1
}

/// Header on top, hints at the bottom, the body between.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub header: Rect,
    pub body: Rect,
    pub hints: Rect,
}

pub fn frame(size: (u16, u16)) -> Frame {
    let (width, height) = size;
    Frame {
        header: Rect::new(0, 0, width, 1.min(height)),
        body: Rect::new(0, 1.min(height), width, height.saturating_sub(2)),
        hints: Rect::new(0, height.saturating_sub(1), width, 1.min(height)),
    }
}

/// The cluster screen: health line, members, charts, events.
#[derive(Clone, Copy, Debug)]
pub struct ClusterParts {
    pub health: Rect,
    pub members: Rect,
    pub charts: [Rect; 2],
    pub events: Rect,
}

pub fn cluster(size: (u16, u16), members: usize, health_lines: u16) -> ClusterParts {
    let body = frame(size).body;
    let health = Rect { height: health_lines.min(body.height), ..body };
    let rest = body.height - health.height;
    // Borders and the head line; at least three rows so that one loss does not move the rest.
    let wanted = members.max(3) as u16 + 3;
    let members_height = wanted.min(rest.saturating_sub(5).max(4)).min(rest);
    let rest = rest - members_height;
    let charts_height = match rest {
        0..=7 => 0,
        8..=12 => 5,
        13..=20 => 7,
        _ => 9,
    };
    let members = Rect { y: health.bottom(), height: members_height, ..body };
    let charts = Rect { y: members.bottom(), height: charts_height, ..body };
    let half = body.width / 2;
    let events = Rect { y: charts.bottom(), height: rest - charts_height, ..body };
    ClusterParts {
        health,
        members,
        charts: [
            Rect { width: half, ..charts },
            Rect { x: body.x + half, width: body.width - half, ..charts },
        ],
        events,
    }
}

/// The key screen: a path line, the tree, the value beside or below it.
#[derive(Clone, Copy, Debug)]
pub struct KeyParts {
    pub path: Rect,
    pub tree: Rect,
    pub value: Rect,
}

pub fn keys(size: (u16, u16)) -> KeyParts {
    let body = frame(size).body;
    let path = Rect { height: 1.min(body.height), ..body };
    let rest = Rect { y: path.bottom(), height: body.height - path.height, ..body };
    if body.width >= 80 {
        let tree_width = (body.width * 45 / 100).clamp(34, 70);
        KeyParts {
            path,
            tree: Rect { width: tree_width, ..rest },
            value: Rect { x: rest.x + tree_width, width: rest.width - tree_width, ..rest },
        }
    } else {
        let tree_height = rest.height.div_ceil(2);
        KeyParts {
            path,
            tree: Rect { height: tree_height, ..rest },
            value: Rect { y: rest.y + tree_height, height: rest.height - tree_height, ..rest },
        }
    }
}

/// Rows inside a bordered area.
pub fn inner_rows(area: Rect) -> usize {
    usize::from(area.height.saturating_sub(2))
}

/// Lines of the value pane that hold the value, below the metadata.
pub fn value_rows(area: Rect) -> usize {
    inner_rows(area).saturating_sub(metadata_lines(area))
}

/// Columns of the value pane for text.
pub fn value_columns(area: Rect) -> usize {
    usize::from(area.width.saturating_sub(4)).max(1)
}

/// Lines the metadata takes: fewer in a low pane, so that the value is seen too.
pub fn metadata_lines(area: Rect) -> usize {
    if inner_rows(area) >= 10 { 5 } else { 2 }
}

/// Rows of log text.
pub fn log_rows(size: (u16, u16)) -> usize {
    inner_rows(frame(size).body).max(1)
}

/// A box in the middle.
pub fn centred(size: (u16, u16), width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(size.0), height.min(size.1));
    Rect::new((size.0 - width) / 2, (size.1 - height) / 2, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_stay_inside_the_terminal_at_every_size() {
        for width in 0..140 {
            for height in 0..50 {
                let whole = Rect::new(0, 0, width, height);
                let parts = cluster((width, height), 5, 1);
                let keys = keys((width, height));
                for part in [
                    parts.health,
                    parts.members,
                    parts.charts[0],
                    parts.charts[1],
                    parts.events,
                    keys.path,
                    keys.tree,
                    keys.value,
                ] {
                    assert_eq!(part.intersection(whole).area(), part.area(), "{width}x{height}");
                }
            }
        }
    }
}
