//! The course's screen: the pages, the step's text with its ticks, and the live lanes below.
//!
//! The text is laid out into lines first and then shown from where the reader is: by itself
//! the newest part is in view. Nothing of an explanation is laid out before its time.

use super::canvas::{Canvas, Piece};
use super::timeline::{self, Show};
use crate::hit::Hit;
use crate::layout;
use crate::model::Model;
use crate::model::cluster::Role as RaftRole;
use crate::model::learn::{Learn, Stage};
use crate::text;
use crate::theme::Role;
use ratatui::layout::Rect;

/// At least this much of the past is shown.
const SHOWN_MS: u64 = 15_000;
const LIST_WIDTH: u16 = 30;
const LIST_FROM: u16 = 96;

struct Parts {
    list: Option<Rect>,
    text: Rect,
    lanes: Rect,
}

fn parts(size: (u16, u16)) -> Parts {
    let body = layout::frame(size).body;
    // Borders, nodes, three lanes; then leader, faults and axis as there is room.
    let lanes_height = match body.height {
        0..=14 => 5.min(body.height),
        15..=19 => 6,
        20..=25 => 8,
        _ => 9,
    };
    let lanes = Rect { y: body.bottom() - lanes_height, height: lanes_height, ..body };
    let above = Rect { height: body.height - lanes_height, ..body };
    if body.width < LIST_FROM {
        return Parts { list: None, text: above, lanes };
    }
    let list = Rect { width: LIST_WIDTH, ..above };
    let text = Rect { x: above.x + LIST_WIDTH, width: above.width - LIST_WIDTH, ..above };
    Parts { list: Some(list), text, lanes }
}

/// A laid-out line, and the answer it belongs to.
struct Line {
    pieces: Vec<Piece>,
    answer: Option<usize>,
}

pub fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let Some(learn) = &model.learn else { return };
    let parts = parts(model.size);
    if let Some(area) = parts.list {
        pages(learn, canvas, area);
    }
    page(model, learn, canvas, parts.text);
    lanes(model, learn, canvas, parts.lanes);
}

fn pages(learn: &Learn, canvas: &mut Canvas<'_>, area: Rect) {
    let read = learn.pages.iter().filter(|page| learn.done.contains(&page.id)).count();
    let title = [
        (Role::Title, "Course ".to_owned()),
        (Role::Dim, format!("{read} of {} read", learn.pages.len())),
    ];
    let inner = canvas.frame(area, &title, false);
    let rows = learn.pages.iter().enumerate().take(usize::from(inner.height));
    for (index, page) in rows {
        let y = inner.y + index as u16;
        let done = learn.done.contains(&page.id);
        let (mark, role) = match (index == learn.page, done) {
            (true, _) => ("▸", Role::Title),
            (false, true) => ("✓", Role::Good),
            (false, false) => (" ", Role::Dim),
        };
        let text = format!("{mark} {}", page.title);
        canvas.put(inner.x + 1, y, inner.width.saturating_sub(2), &text, role);
    }
}

fn page(model: &Model, learn: &Learn, canvas: &mut Canvas<'_>, area: Rect) {
    let Some(current) = learn.current() else { return };
    let (lines, focus) = lines(model, learn, usize::from(area.width.saturating_sub(4)));
    let mut title = vec![
        (Role::Title, current.title.clone()),
        (Role::Dim, format!("  page {} of {}", learn.page + 1, learn.pages.len())),
    ];
    let height = layout::inner_rows(area);
    let (first, most) = window(&lines, focus, height);
    let first = learn.scroll.map_or(first, |scroll| scroll.min(most));
    if first < most {
        title.push((Role::Dim, "  ↓ more".to_owned()));
    }
    let inner = canvas.frame(area, &title, true);
    for (row, line) in lines.iter().skip(first).take(height).enumerate() {
        let y = inner.y + row as u16;
        canvas.line(inner.x + 1, y, inner.width.saturating_sub(2), &line.pieces);
        if let Some(answer) = line.answer {
            canvas.hit(Rect { y, height: 1, ..inner }, Hit::Row(answer));
        }
    }
}

/// The first line to show by itself, and the last one that scrolling may reach.
fn window(lines: &[Line], focus: usize, height: usize) -> (usize, usize) {
    let most = lines.len().saturating_sub(height);
    (most.min(focus), most)
}

/// Where the text stands by itself, and how far it can be scrolled.
pub fn scrolling(model: &Model) -> (usize, usize) {
    let Some(learn) = &model.learn else { return (0, 0) };
    let area = parts(model.size).text;
    let (lines, focus) = lines(model, learn, usize::from(area.width.saturating_sub(4)));
    window(&lines, focus, layout::inner_rows(area))
}

/// All lines of the step as far as it has got, and where its newest part begins.
fn lines(model: &Model, learn: &Learn, width: usize) -> (Vec<Line>, usize) {
    let Some(step) = learn.current_step() else { return (Vec::new(), 0) };
    let mut lines = Vec::new();
    let mut focus = 0;
    prose(&mut lines, &step.say, width, Role::Text);
    if let Some(question) = &step.question {
        lines.push(blank());
        prose(&mut lines, &question.text, width, Role::Title);
        for (index, answer) in question.answers.iter().enumerate() {
            answer_lines(&mut lines, learn, index, answer, question.right, width);
        }
        if learn.stage == Stage::Ask {
            prose(&mut lines, "↑ ↓ choose, enter answers. Nobody counts.", width, Role::Dim);
        }
    }
    if learn.stage != Stage::Ask {
        lines.push(blank());
        focus = lines.len();
        if learn.stage == Stage::Act {
            doing(model, learn, &mut lines, width);
        }
        for (tick, holds) in step.ticks.iter().zip(ticks(learn, step.ticks.len())) {
            let (mark, role) = if holds { ("✓", Role::Good) } else { ("◌", Role::Dim) };
            hanging(&mut lines, (role, mark), &tick.text, width, Role::Text, None);
        }
    }
    if learn.stage == Stage::Reveal {
        lines.push(blank());
        focus = lines.len();
        verdict(learn, &mut lines, width);
        prose(&mut lines, &learn.told, width, Role::Text);
        lines.push(blank());
        after(learn, &mut lines, width);
    }
    (lines, focus)
}

/// Once explained, the ticks stay as they were when they all held.
fn ticks(learn: &Learn, count: usize) -> Vec<bool> {
    if learn.stage == Stage::Reveal {
        return vec![true; count];
    }
    let mut ticks = learn.ticks.clone();
    ticks.resize(count, false);
    ticks
}

fn answer_lines(
    lines: &mut Vec<Line>,
    learn: &Learn,
    index: usize,
    answer: &str,
    right: usize,
    width: usize,
) {
    let mine = learn.chosen == Some(index);
    let (mark, role) = match learn.stage {
        Stage::Ask if learn.answer == index => ("▸", Role::Selected),
        Stage::Ask => (" ", Role::Text),
        Stage::Act if mine => ("•", Role::Accent),
        Stage::Act => (" ", Role::Dim),
        Stage::Reveal if index == right => ("✓", Role::Good),
        Stage::Reveal if mine => ("✗", Role::Bad),
        Stage::Reveal => (" ", Role::Dim),
    };
    hanging(lines, (role, mark), answer, width, role, Some(index));
}

/// What can be done now, by hand or on request.
fn doing(model: &Model, learn: &Learn, lines: &mut Vec<Line>, width: usize) {
    let Some(step) = learn.current_step() else { return };
    if step.acts.is_empty() {
        return;
    }
    if learn.acted || model.cluster.progress.is_some() {
        let runs = model.drills.progress.as_ref().filter(|_| model.drills.running.is_some());
        let what = match (&model.cluster.progress, runs) {
            (Some((what, step)), _) => format!("{what}: {step}"),
            (None, Some(drill)) => format!(
                "The drill {} ({}, {} s): d shows it.",
                drill.id,
                drill.phase,
                drill.elapsed_ms / 1_000
            ),
            (None, None) => "Done; now watch.".to_owned(),
        };
        prose(lines, &what, width, Role::Accent);
        return;
    }
    let hint = step.hint.replace("{cluster}", &model.about.title);
    hanging(lines, (Role::Key, "n"), "does it for you", width, Role::Text, None);
    hanging(lines, (Role::Dim, "·"), &format!("or yourself: {hint}"), width, Role::Dim, None);
}

fn verdict(learn: &Learn, lines: &mut Vec<Line>, width: usize) {
    let question = learn.current_step().and_then(|step| step.question.as_ref());
    let (Some(question), Some(chosen)) = (question, learn.chosen) else { return };
    if chosen == question.right {
        prose(lines, "That is what happened.", width, Role::Good);
    } else {
        let text = format!("It was: {}.", question.answers[question.right]);
        prose(lines, &text, width, Role::Warn);
    }
}

fn after(learn: &Learn, lines: &mut Vec<Line>, width: usize) {
    let Some(page) = learn.current() else { return };
    let text = if learn.step + 1 < page.steps.len() {
        "goes on"
    } else if learn.page + 1 < learn.pages.len() {
        "turns the page"
    } else {
        "ends the course"
    };
    hanging(lines, (Role::Key, "n"), text, width, Role::Text, None);
}

fn blank() -> Line {
    Line { pieces: Vec::new(), answer: None }
}

fn prose(lines: &mut Vec<Line>, content: &str, width: usize, role: Role) {
    for (index, paragraph) in content.split('\n').enumerate() {
        if index > 0 {
            lines.push(blank());
        }
        for line in text::wrap(paragraph, width) {
            lines.push(Line { pieces: vec![(role, line)], answer: None });
        }
    }
}

/// A mark and text that hangs from it.
fn hanging(
    lines: &mut Vec<Line>,
    mark: (Role, &str),
    content: &str,
    width: usize,
    role: Role,
    answer: Option<usize>,
) {
    for (index, line) in text::wrap(content, width.saturating_sub(4)).into_iter().enumerate() {
        let head = if index == 0 { format!("  {} ", mark.1) } else { "    ".to_owned() };
        lines.push(Line { pieces: vec![(mark.0, head), (role, line)], answer });
    }
}

/// The nodes in one line, and the live lanes.
fn lanes(model: &Model, learn: &Learn, canvas: &mut Canvas<'_>, area: Rect) {
    let mut title = vec![(Role::Title, "Live".to_owned())];
    if area.width > 70 {
        title.push((Role::Dim, format!("  {}", timeline::LEGEND)));
    }
    let inner = canvas.frame(area, &title, false);
    if inner.height == 0 {
        return;
    }
    canvas.line(inner.x + 1, inner.y, inner.width.saturating_sub(2), &nodes(model));
    let rest = Rect {
        x: inner.x + 1,
        y: inner.y + 1,
        width: inner.width.saturating_sub(2),
        height: inner.height - 1,
    };
    timeline::draw(canvas, rest, &learn.timeline(), Show::Newest(SHOWN_MS));
}

fn nodes(model: &Model) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for row in model.cluster.rows() {
        let (role, text) = match (row.healthy(), row.role) {
            (true, _) if row.leaderless() => {
                (Role::Warn, format!("▲ {} knows no leader", row.name))
            }
            (true, RaftRole::Leader) => (Role::Accent, format!("★ {} leads", row.name)),
            (true, RaftRole::Learner) => (Role::Text, format!("○ {} learns", row.name)),
            (true, RaftRole::Follower) => (Role::Good, format!("● {} follows", row.name)),
            (true, RaftRole::Unknown) => (Role::Warn, format!("▲ {}", row.name)),
            (false, _) => (Role::Bad, format!("✗ {} {}", row.name, row.state_word())),
        };
        pieces.push((role, text));
        pieces.push((Role::Text, "   ".to_owned()));
    }
    pieces
}
