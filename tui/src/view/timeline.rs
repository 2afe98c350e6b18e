//! The picture drills and course share: fault bands, lanes of cells, who led, a time axis.
//!
//! A column stands for one or more cells and shows the worst of them. Columns are cut at
//! fixed times, not at fixed distances from the right edge, so that a picture that moves does
//! not shimmer. Every state has a glyph of its own: without colour nothing is lost.

use super::canvas::Canvas;
use crate::lab::timeline::{Cell, Lane, Timeline};
use crate::theme::Role;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

/// Which part of the timeline is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Show {
    /// The newest, about this many milliseconds at least.
    Newest(u64),
    /// From beginning to end.
    Whole,
}

/// Columns and what they stand for.
struct Scale {
    /// Where the first column is drawn.
    x: u16,
    columns: usize,
    /// Cells a column.
    group: usize,
    /// The number of the first group drawn, counted from time 0.
    first: usize,
    cell_ms: u64,
}

impl Scale {
    fn new(timeline: &Timeline, area: Rect, label: u16, show: Show) -> Self {
        let cell_ms = timeline.cell_ms.max(1);
        let room = usize::from(area.width.saturating_sub(label)).max(1);
        let length = timeline.length();
        let wanted = match show {
            Show::Newest(ms) => (ms / cell_ms) as usize,
            Show::Whole => length,
        };
        let group = wanted.div_ceil(room).max(1);
        let begin = (timeline.from_ms / cell_ms) as usize;
        let last = (begin + length).div_ceil(group);
        let first = match show {
            Show::Newest(_) => last.saturating_sub(room).max(begin / group),
            Show::Whole => begin / group,
        };
        let columns = (last - first).min(room);
        // The newest stays at the right edge.
        let x = match show {
            Show::Newest(_) => area.right() - columns as u16,
            Show::Whole => area.x + label,
        };
        Self { x, columns, group, first, cell_ms }
    }

    /// Milliseconds at which a column begins.
    fn time(&self, column: usize) -> u64 {
        ((self.first + column) * self.group) as u64 * self.cell_ms
    }

    /// The column that holds a time, if it is shown.
    fn column(&self, ms: u64) -> Option<usize> {
        let group = (ms / self.cell_ms) as usize / self.group;
        group.checked_sub(self.first).filter(|column| *column < self.columns)
    }
}

fn glyph(cell: Cell) -> (&'static str, Role) {
    match cell {
        Cell::Empty => (" ", Role::Dim),
        Cell::Ok => ("▄", Role::Good),
        Cell::Slow => ("▒", Role::Warn),
        Cell::Refused => ("×", Role::Bad),
        Cell::Unknown => ("?", Role::Bad),
    }
}

/// What the glyphs mean, for a legend.
pub const LEGEND: &str = "▄ answered  ▒ late  × refused  ? no answer";

/// Rows that a timeline needs to be drawn whole.
pub fn height(timeline: &Timeline) -> u16 {
    timeline.lanes.len() as u16 + 3
}

/// Where there is no room for all lanes, faults and leader keep theirs from this height on.
const HEIGHT_FOR_ALL_KINDS: u16 = 8;

/// How many lanes fit into that height.
pub fn fitting(timeline: &Timeline, height: u16) -> usize {
    let reserved = if height < HEIGHT_FOR_ALL_KINDS { 0 } else { 2 };
    timeline.lanes.len().min(usize::from(height - reserved))
}

/// The lanes that are drawn, in their order. Those of the whole cluster matter most, then what
/// tells members apart.
fn chosen(timeline: &Timeline, room: usize) -> Vec<&Lane> {
    let rank = |lane: &Lane| match lane.name.rsplit_once(' ') {
        Some(("serializable get", _)) => 1,
        Some(("linearizable get", _)) => 2,
        Some(("put", _)) => 3,
        Some(("watch", _)) => 4,
        _ => 0,
    };
    let mut by_rank: Vec<usize> = (0..timeline.lanes.len()).collect();
    by_rank.sort_by_key(|at| rank(&timeline.lanes[*at]));
    by_rank.truncate(room);
    by_rank.sort_unstable();
    by_rank.into_iter().map(|at| &timeline.lanes[at]).collect()
}

/// Draws as much as fits: faults and leader, lanes, and last the axis.
pub fn draw(canvas: &mut Canvas<'_>, area: Rect, timeline: &Timeline, show: Show) {
    if area.height == 0 || area.width < 20 {
        return;
    }
    let lanes_shown = chosen(timeline, fitting(timeline, area.height));
    let widest = timeline.lanes.iter().map(|lane| lane.name.width()).max().unwrap_or(0);
    let label = (widest.clamp(6, 22) as u16 + 1).min(area.width / 3);
    let scale = Scale::new(timeline, area, label, show);
    let spare = area.height.saturating_sub(lanes_shown.len() as u16);
    let mut y = area.y;
    if spare >= 2 {
        bands(canvas, area, y, timeline, &scale, label);
        y += 1;
    }
    for lane in lanes_shown {
        canvas.put(area.x, y, label - 1, &lane.name, Role::Text);
        let begin = (timeline.from_ms / scale.cell_ms) as usize;
        for column in 0..scale.columns {
            let from = ((scale.first + column) * scale.group).saturating_sub(begin);
            let to = ((scale.first + column + 1) * scale.group).saturating_sub(begin);
            let cells = lane.cells.get(from..to.min(lane.cells.len())).unwrap_or_default();
            let (mark, role) = glyph(cells.iter().copied().max().unwrap_or_default());
            canvas.put(scale.x + column as u16, y, 1, mark, role);
        }
        y += 1;
    }
    if spare >= 1 {
        leaders(canvas, area, y, timeline, &scale, label);
        y += 1;
    }
    if spare >= 3 {
        axis(canvas, y, timeline, &scale, show);
    }
}

/// Faults: a line for as long as each lasted, with its name where there is room.
fn bands(
    canvas: &mut Canvas<'_>,
    area: Rect,
    y: u16,
    timeline: &Timeline,
    scale: &Scale,
    label: u16,
) {
    canvas.put(area.x, y, label - 1, "faults", Role::Dim);
    if scale.columns == 0 {
        return;
    }
    let (start, end) = (scale.time(0), scale.time(scale.columns));
    // What is in the same columns shares one line and its name.
    let mut shown: Vec<(usize, usize, String)> = Vec::new();
    for band in &timeline.bands {
        let to = band.to_ms.unwrap_or(end);
        if to < start || band.from_ms >= end {
            continue;
        }
        let from = scale.column(band.from_ms).unwrap_or(0);
        let last = scale.column(to).unwrap_or(scale.columns - 1);
        match shown.iter_mut().find(|(f, l, _)| (*f, *l) == (from, last)) {
            Some((.., label)) => *label = format!("{label}, {}", band.label),
            None => shown.push((from, last, band.label.clone())),
        }
    }
    for (from, last, label) in shown {
        for column in from..=last {
            canvas.put(scale.x + column as u16, y, 1, "─", Role::Warn);
        }
        let room = (last + 1 - from) as u16;
        if room > 3 {
            let name = format!(" {label} ");
            canvas.put(scale.x + from as u16 + 1, y, room - 1, &name, Role::Warn);
        }
    }
}

/// Who led: the name where leadership began, a line while it lasted, `?` while nobody did.
fn leaders(
    canvas: &mut Canvas<'_>,
    area: Rect,
    y: u16,
    timeline: &Timeline,
    scale: &Scale,
    label: u16,
) {
    canvas.put(area.x, y, label - 1, "leader", Role::Dim);
    let mut shown: Option<(&str, u64)> = None;
    let mut free_from = 0;
    for column in 0..scale.columns {
        let at = scale.time(column + 1).saturating_sub(1);
        let Some(leader) = timeline.leader_at(at) else { continue };
        let now = (leader.name.as_str(), leader.term);
        let x = scale.x + column as u16;
        if shown != Some(now) {
            shown = Some(now);
            if !leader.name.is_empty() {
                let name = format!("{} t{}", leader.name, leader.term);
                let room = (scale.columns - column) as u16;
                let used = canvas.put(x, y, room, &name, Role::Accent);
                free_from = column + usize::from(used);
                continue;
            }
            free_from = column;
        }
        if column >= free_from {
            let (mark, role) =
                if leader.name.is_empty() { ("?", Role::Bad) } else { ("·", Role::Accent) };
            canvas.put(x, y, 1, mark, role);
        }
    }
}

fn axis(canvas: &mut Canvas<'_>, y: u16, timeline: &Timeline, scale: &Scale, show: Show) {
    let columns = scale.columns as u16;
    let end = timeline.time_of(timeline.length());
    let (left, right) = match show {
        Show::Newest(_) => {
            let age = end.saturating_sub(scale.time(0));
            (format!("{} s ago", age / 1_000), "now".to_owned())
        }
        Show::Whole => (
            format!("{} s", timeline.from_ms / 1_000),
            format!("{}.{} s", end / 1_000, end % 1_000 / 100),
        ),
    };
    if usize::from(columns) < left.width() + right.width() + 1 {
        return;
    }
    canvas.put(scale.x, y, columns, &left, Role::Dim);
    let x = scale.x + columns - right.width() as u16;
    canvas.put(x, y, columns, &right, Role::Dim);
}
