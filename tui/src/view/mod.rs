//! Drawing: `draw(&Model, &Theme, &mut Frame)`, a pure function of the model.
//!
//! Nothing here changes anything. Lists draw only the rows that are visible. The clickable
//! areas of the frame are returned, so that the shell can tell what a click meant.

mod application;
pub mod canvas;
mod chart;
mod cluster;
mod confirm;
pub mod drills;
mod editor;
pub mod help;
mod hints;
mod keys;
pub mod learn;
mod links;
mod logs;
mod map;
mod members;
mod palette;
mod prose;
mod timeline;
mod value;

use crate::hit::{Hit, Hits};
use crate::layout;
use crate::model::overlay::{Overlay, Purpose};
use crate::model::{Model, Screen};
use crate::text;
use crate::theme::{Role, Theme};
use canvas::{Canvas, Piece};
use ratatui::Frame;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

/// Draws the whole screen; returns what each place of it stands for.
pub fn draw(model: &Model, theme: &Theme, frame: &mut Frame<'_>) -> Hits {
    let area = frame.area();
    let mut canvas =
        Canvas { buffer: frame.buffer_mut(), theme, hits: Hits::default(), cursor: None };
    canvas.tint(area, Role::Text);
    if layout::is_too_small((area.width, area.height)) {
        too_small(&mut canvas, area);
        return canvas.hits;
    }
    header(model, &mut canvas);
    match model.screen {
        Screen::Cluster => cluster::draw(model, &mut canvas),
        Screen::Keys => keys::draw(model, &mut canvas),
        Screen::Logs => logs::draw(model, &mut canvas),
        Screen::Links => links::draw(model, &mut canvas),
        Screen::Drills => drills::draw(model, &mut canvas),
        Screen::Learn => learn::draw(model, &mut canvas),
    }
    match &model.overlay {
        Some(Overlay::Help { scroll }) => help::draw(model, *scroll, &mut canvas),
        Some(Overlay::Palette(palette)) => palette::draw(model, palette, &mut canvas),
        Some(Overlay::Confirm(confirm)) => confirm::draw(model, confirm, &mut canvas),
        Some(Overlay::Editor(editor)) => editor::draw(model, editor, &mut canvas),
        Some(Overlay::Prompt(_)) | None => {}
    }
    toast(model, &mut canvas);
    match &model.overlay {
        Some(Overlay::Prompt(prompt)) => {
            let label = match prompt.purpose {
                Purpose::Jump => "go to prefix: ",
                Purpose::Filter => "find in all keys: ",
                Purpose::LogFilter => "filter lines (!text excludes): ",
                Purpose::Delay => "delay in ms: ",
                Purpose::Rate => "limit in kB/s: ",
                Purpose::Flap => "ms open / ms frozen: ",
                Purpose::Partition => "two sides: ",
            };
            let row = layout::frame(model.size).hints;
            let used = canvas.put(row.x, row.y, row.width, label, Role::Key);
            input_line(
                &mut canvas,
                Rect { x: used, width: row.width - used, ..row },
                &prompt.input,
            );
            if let Some(problem) = &prompt.problem {
                let above = Rect { y: row.y - 1, ..row };
                canvas.put(above.x, above.y, above.width, &format!(" {problem} "), Role::Bad);
            }
        }
        _ => hints::draw(model, &mut canvas),
    }
    let (hits, cursor) = (canvas.hits, canvas.cursor);
    if let Some(at) = cursor {
        frame.set_cursor_position(at);
    }
    hits
}

fn too_small(canvas: &mut Canvas<'_>, area: Rect) {
    let (columns, rows) = layout::LEAST;
    let lines = [
        format!("{}×{} is too small", area.width, area.height),
        format!("make it {columns}×{rows} or more"),
        "(ctrl-c twice leaves)".to_owned(),
    ];
    for (index, line) in lines.iter().enumerate() {
        canvas.put(area.x, area.y + index as u16, area.width, line, Role::Text);
    }
}

/// What the left side of the header needs to say who is looked at and how it is.
const TITLE_LEAST: u16 = 28;

/// Name, kind of session and health on the left, the screens on the right.
fn header(model: &Model, canvas: &mut Canvas<'_>) {
    let row = layout::frame(model.size).header;
    let label = |screen: Screen, short: bool| match short && screen != model.screen {
        true => format!(" {} ", screen.number()),
        false => format!(" {} {} ", screen.number(), screen.title()),
    };
    let width_of_tabs = |short: bool| {
        model.screens().map(|screen| label(screen, short).len() as u16 + 1).sum::<u16>()
    };
    // Where names would crowd out the cluster's, the other screens are numbers.
    let short = width_of_tabs(false) + TITLE_LEAST > row.width;
    let mut x = row.right().saturating_sub(width_of_tabs(short));
    let left_width = x.saturating_sub(1);
    for screen in model.screens() {
        let on = screen == model.screen;
        let label = label(screen, short);
        let role = if on { Role::TabOn } else { Role::Dim };
        let used = canvas.put(x, row.y, label.len() as u16, &label, role);
        canvas.hit(Rect { x, width: used, ..row }, Hit::Tab(screen.number()));
        x += label.len() as u16 + 1;
    }
    let health = model.cluster.health();
    let kind = match (model.about.local, model.about.read_only) {
        (true, _) => "LOCAL",
        (false, true) => "REMOTE READ-ONLY",
        (false, false) => "REMOTE WRITABLE",
    };
    let kind_role = if model.about.local || model.about.read_only { Role::Dim } else { Role::Warn };
    let mut pieces: Vec<Piece> = vec![
        (Role::Accent, " etcd-tui".to_owned()),
        (Role::Title, format!(" {} ", model.about.title)),
        (kind_role, format!("{kind} ")),
        (
            cluster::health_role(health),
            format!("{} {}", cluster::health_glyph(health), health.word()),
        ),
    ];
    if let Some(revision) = model.cluster.revision() {
        pieces.push((Role::Dim, format!("  rev {}", text::number(revision.max(0) as u64))));
    }
    if let Some(term) = model.cluster.term() {
        pieces.push((Role::Dim, format!("  term {term}")));
    }
    // What does not fit goes from the end; half a number would be a wrong number.
    let width_of = |pieces: &[Piece]| pieces.iter().map(|(_, s)| s.width()).sum::<usize>();
    while pieces.len() > 1 && width_of(&pieces) > usize::from(left_width) {
        let drop = if pieces.len() > 4 { pieces.len() - 1 } else { 0 };
        pieces.remove(drop);
    }
    canvas.line(row.x, row.y, left_width, &pieces);
}

/// One typed line, scrolled so that the cursor is seen.
pub fn input_line(canvas: &mut Canvas<'_>, area: Rect, input: &crate::model::line::TextInput) {
    let line: String = input.lines[input.row].iter().collect();
    let before: String = line.chars().take(input.column).collect();
    let room = usize::from(area.width).saturating_sub(1);
    let mut skipped = 0;
    let mut shown_before = before.as_str();
    while shown_before.width() > room {
        let next = shown_before.chars().next().map_or(1, char::len_utf8);
        skipped += 1;
        shown_before = &shown_before[next..];
    }
    let shown: String = line.chars().skip(skipped).collect();
    canvas.put(area.x, area.y, area.width, &shown, Role::Input);
    canvas.cursor = Some((area.x + shown_before.width() as u16, area.y));
}

/// The sentence of the moment, over the last line of the body.
fn toast(model: &Model, canvas: &mut Canvas<'_>) {
    let Some(toast) = &model.toast else { return };
    let body = layout::frame(model.size).body;
    let width = usize::from(body.width).saturating_sub(4);
    let lines = text::wrap(&toast.text, width);
    let height = lines.len().min(3) as u16;
    for (index, line) in lines.iter().take(3).enumerate() {
        let y = body.bottom() - height + index as u16;
        let padded = format!(" {line} ");
        let x = body.right().saturating_sub(padded.width() as u16 + 1);
        let area = Rect::new(x, y, padded.width() as u16, 1);
        canvas.tint(area, Role::Text);
        canvas.put(x, y, area.width, &padded, cluster::role_of(toast.tone));
    }
}
