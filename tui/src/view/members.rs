//! The member table. Columns have a priority and go, least important first, when the
//! terminal is narrow; a member that does not answer shows why instead of old numbers.

use super::canvas::Canvas;
use crate::fleet::FleetState;
use crate::hit::Hit;
use crate::model::Model;
use crate::model::cluster::{Reach, Role as RaftRole, Row};
use crate::text;
use crate::theme::Role;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

struct Column {
    title: &'static str,
    /// 0 is never dropped.
    priority: u8,
    right: bool,
    cell: fn(&Row) -> (Role, String),
    /// Says who and what the member is: shown even when it does not answer.
    identity: bool,
    local: bool,
}

const fn column(
    title: &'static str,
    priority: u8,
    right: bool,
    cell: fn(&Row) -> (Role, String),
) -> Column {
    Column { title, priority, right, cell, identity: false, local: false }
}

const COLUMNS: [Column; 15] = [
    Column { identity: true, ..column("NAME", 0, false, |row| (Role::Title, row.name.clone())) },
    Column { identity: true, ..column("ROLE", 0, false, role_cell) },
    Column { identity: true, ..column("STATE", 0, false, state_cell) },
    Column { identity: true, ..column("ID", 6, false, |row| plain(row.id.map(text::member_id))) },
    column("TERM", 5, true, |row| plain(row.status.as_ref().map(|s| s.term.to_string()))),
    column("APPLIED", 2, true, |row| {
        plain(row.status.as_ref().map(|s| s.applied_index.to_string()))
    }),
    column("COMMIT", 7, true, |row| plain(row.status.as_ref().map(|s| s.commit_index.to_string()))),
    column("LAG", 2, true, lag_cell),
    column("DB", 3, true, |row| plain(row.status.as_ref().map(|s| text::size(s.db_size)))),
    column("IN USE", 7, true, |row| plain(row.status.as_ref().map(|s| text::size(s.db_in_use)))),
    column("RTT", 1, true, |row| plain(Some(text::latency(row.rtt_us)))),
    Column {
        local: true,
        ..column("PID", 4, true, |row| {
            plain(row.fleet.as_ref().and_then(|n| n.pid).map(|p| p.to_string()))
        })
    },
    Column {
        local: true,
        ..column("UPTIME", 4, true, |row| {
            plain(row.fleet.as_ref().map(|n| text::duration(n.uptime_s)))
        })
    },
    Column {
        local: true,
        ..column("RESTARTS", 8, true, |row| {
            plain(row.fleet.as_ref().map(|n| n.restarts.to_string()))
        })
    },
    column("VERSION", 8, true, |row| plain(row.status.as_ref().map(|s| s.version.clone()))),
];

fn plain(text: Option<String>) -> (Role, String) {
    match text {
        Some(text) => (Role::Text, text),
        None => (Role::Dim, "–".to_owned()),
    }
}

fn role_cell(row: &Row) -> (Role, String) {
    match row.role {
        _ if row.leaderless() => (Role::Warn, "▲ no leader".to_owned()),
        _ if row.cut_off => (Role::Warn, "▲ cut off".to_owned()),
        RaftRole::Leader => (Role::Accent, "★ leader".to_owned()),
        RaftRole::Follower => (Role::Text, "· follower".to_owned()),
        RaftRole::Learner => (Role::Text, "○ learner".to_owned()),
        RaftRole::Unknown => (Role::Dim, "? unknown".to_owned()),
    }
}

fn state_cell(row: &Row) -> (Role, String) {
    let word = row.state_word();
    let (role, glyph) = match (&row.fleet, row.reach) {
        (Some(node), _) if node.state == FleetState::Paused => (Role::Warn, "‖"),
        (Some(node), _) if matches!(node.state, FleetState::Stopped | FleetState::Exited) => {
            (Role::Bad, "✗")
        }
        (Some(node), _) if node.state != FleetState::Running => (Role::Warn, "◌"),
        (_, Reach::Answers) => (Role::Good, "●"),
        (_, Reach::Slow) => (Role::Warn, "▲"),
        (_, Reach::Silent) => (Role::Bad, "✗"),
        (_, Reach::NotAskedYet) => (Role::Dim, "◌"),
    };
    (role, format!("{glyph} {word}"))
}

fn lag_cell(row: &Row) -> (Role, String) {
    match row.lag {
        None => (Role::Dim, "–".to_owned()),
        Some(0) => (Role::Text, "0".to_owned()),
        Some(lag) if lag > 1_000 => (Role::Warn, format!("{lag} ▲")),
        Some(lag) => (Role::Text, lag.to_string()),
    }
}

/// Draws the table into `area`.
pub fn draw(model: &Model, rows: &[Row], canvas: &mut Canvas<'_>, area: Rect) {
    let mut title = vec![(Role::Title, "Members".to_owned())];
    if model.cluster.leader().is_none() && !model.cluster.members.is_empty() {
        let from = model.cluster.member_name(model.cluster.members_from);
        title.push((Role::Warn, format!(" as {from} sees them")));
    }
    let inner = canvas.frame(area, &title, true);
    if inner.height == 0 {
        return;
    }
    let columns: Vec<&Column> = COLUMNS.iter().filter(|c| model.about.local || !c.local).collect();
    let (columns, widths) = choose(columns, rows, usize::from(inner.width) - 2);
    head(canvas, inner, &columns, &widths);
    let room = usize::from(inner.height - 1);
    let first = (model.cluster.cursor + 1).saturating_sub(room);
    for (index, row) in rows.iter().enumerate().skip(first).take(room) {
        let y = inner.y + 1 + (index - first) as u16;
        let line = Rect { y, height: 1, ..inner };
        draw_row(model, canvas, line, row, &columns, &widths);
        canvas.hit(line, Hit::Row(index));
        if index == model.cluster.cursor {
            canvas.tint(line, Role::Selected);
        }
    }
}

/// Drops columns until the rest fits.
fn choose<'a>(
    mut columns: Vec<&'a Column>,
    rows: &[Row],
    room: usize,
) -> (Vec<&'a Column>, Vec<usize>) {
    loop {
        let widths: Vec<usize> = columns
            .iter()
            .map(|column| {
                let cells = rows.iter().map(|row| (column.cell)(row).1.width());
                cells.max().unwrap_or(0).max(column.title.len()).min(40)
            })
            .collect();
        let total = widths.iter().sum::<usize>() + 2 * columns.len().saturating_sub(1);
        let least = columns.iter().map(|column| column.priority).max().unwrap_or(0);
        if total <= room || least == 0 {
            return (columns, widths);
        }
        // The last of the least important ones goes.
        if let Some(at) = columns.iter().rposition(|column| column.priority == least) {
            columns.remove(at);
        }
    }
}

fn head(canvas: &mut Canvas<'_>, inner: Rect, columns: &[&Column], widths: &[usize]) {
    let mut x = inner.x + 1;
    for (column, width) in columns.iter().zip(widths) {
        let title = if column.right {
            format!("{:>width$}", column.title)
        } else {
            column.title.to_owned()
        };
        canvas.put(x, inner.y, inner.right().saturating_sub(x), &title, Role::Dim);
        x += *width as u16 + 2;
    }
}

fn draw_row(
    model: &Model,
    canvas: &mut Canvas<'_>,
    line: Rect,
    row: &Row,
    columns: &[&Column],
    widths: &[usize],
) {
    let mut x = line.x + 1;
    let silent = !row.healthy();
    for (column, width) in columns.iter().zip(widths) {
        let room = line.right().saturating_sub(x);
        if silent && !column.identity {
            let why = reason(model, row);
            canvas.put(x, line.y, room.saturating_sub(1), &why, Role::Dim);
            return;
        }
        let (role, cell) = (column.cell)(row);
        let padding = width.saturating_sub(cell.width());
        let cell = if column.right { format!("{}{cell}", " ".repeat(padding)) } else { cell };
        canvas.put(x, line.y, room, &cell, role);
        x += *width as u16 + 2;
    }
}

/// Why a member does not answer, as far as known.
fn reason(model: &Model, row: &Row) -> String {
    let mut parts = Vec::new();
    match (&row.fleet, &row.failure) {
        (Some(node), _) if !node.why.is_empty() => parts.push(node.why.clone()),
        (Some(node), _) if node.state == FleetState::Paused => {
            parts.push("frozen: p lets it run again".to_owned());
        }
        (Some(node), _) if !node.state.has_process() => {
            parts.push("s starts it again".to_owned());
        }
        (_, Some(failure)) => parts.push(failure.text.clone()),
        (None, None) if row.endpoint.is_none() => {
            parts.push("added, and has not joined yet: start its process".to_owned());
        }
        (_, None) => parts.push("no answer yet".to_owned()),
    }
    if let (Some(at), Some(_)) = (row.answered, &row.failure) {
        let age = model.now.since(at) / 1_000;
        parts.push(format!("last answer {} ago", text::duration(age)));
    }
    parts.join(" · ")
}
