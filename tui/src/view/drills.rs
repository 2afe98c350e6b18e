//! The drills screen: the catalogue with what a drill claims, the timeline of the one that
//! runs, and the report.

use super::application::{self as clients};
use super::canvas::{Canvas, Piece};
use super::prose;
use super::timeline::{self, Show};
use crate::hit::Hit;
use crate::lab::application::{self, ApplicationPicture};
use crate::lab::drill::{DrillCard, DrillProgress, StepState};
use crate::layout;
use crate::model::Model;
use crate::model::drills::Shows;
use crate::text;
use crate::theme::Role;
use crate::update::drills::refusal;
use ratatui::layout::Rect;

/// Below this width the description is under the list.
const SIDE_BY_SIDE: u16 = 90;
const LIST_WIDTH: u16 = 40;
const SHOWN_MS: u64 = 12_000;

/// List and description.
fn halves(size: (u16, u16)) -> (Rect, Rect) {
    let body = layout::frame(size).body;
    if body.width >= SIDE_BY_SIDE {
        let list = Rect { width: LIST_WIDTH, ..body };
        return (list, Rect { x: body.x + LIST_WIDTH, width: body.width - LIST_WIDTH, ..body });
    }
    let height = (body.height / 3).max(4).min(body.height);
    let list = Rect { height, ..body };
    (list, Rect { y: list.bottom(), height: body.height - height, ..body })
}

pub fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    match model.drills.shows {
        Shows::Catalogue => {
            let (list, about) = halves(model.size);
            catalogue(model, canvas, list);
            description(model, canvas, about);
        }
        Shows::Run => run(model, canvas),
        Shows::Report => report(model, canvas),
    }
}

fn catalogue(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let drills = &model.drills;
    let mut title = vec![(Role::Title, "Drills".to_owned())];
    if let Some(running) = &drills.running {
        title.push((Role::Warn, format!("  {running} runs, tab shows it")));
    }
    let inner = canvas.frame(area, &title, true);
    let room = usize::from(inner.height);
    let first = (drills.cursor + 1).saturating_sub(room);
    for (index, card) in drills.cards.iter().enumerate().skip(first).take(room) {
        let line = Rect { y: inner.y + (index - first) as u16, height: 1, ..inner };
        let skipped = card.skipped.is_some();
        let (mark, role) = match (&drills.report, skipped) {
            (Some(report), _) if report.id == card.id => verdict_mark(&report.verdict),
            (_, true) => ("–", Role::Dim),
            _ => (" ", Role::Text),
        };
        let name = if skipped { Role::Dim } else { Role::Text };
        let pieces = [(role, format!("{mark} ")), (name, card.title.clone())];
        canvas.line(line.x + 1, line.y, line.width.saturating_sub(2), &pieces);
        canvas.hit(line, Hit::Row(index));
        if index == drills.cursor {
            canvas.tint(line, Role::Selected);
        }
    }
}

fn verdict_mark(verdict: &str) -> (&'static str, Role) {
    match verdict {
        "PASS" => ("✓", Role::Good),
        "FAIL" | "UNSAFE" => ("✗", Role::Bad),
        _ => ("▲", Role::Warn),
    }
}

fn description(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let Some(card) = model.drills.card() else {
        canvas.frame(area, &[], false);
        return;
    };
    let title = [
        (Role::Title, card.id.clone()),
        (Role::Dim, format!("  {}, {} members", card.level, card.nodes)),
    ];
    let lines = about(model, card, usize::from(area.width.saturating_sub(4)));
    scrolled(canvas, area, title.to_vec(), &lines, model.drills.scroll, false);
}

/// The card in words.
fn about(model: &Model, card: &DrillCard, width: usize) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    let head = |lines: &mut Vec<Vec<Piece>>, word: &str| {
        lines.push(Vec::new());
        lines.push(vec![(Role::Dim, word.to_owned())]);
    };
    if let Some(reason) = refusal(model, card) {
        wrapped(&mut lines, "✗ ", &reason, width, Role::Warn);
    } else {
        let place = match &card.own_cluster {
            Some(_) => format!(" runs it on a cluster of its own, {} nodes", card.nodes),
            None => " runs it".to_owned(),
        };
        lines.push(vec![(Role::Key, "enter".to_owned()), (Role::Text, place)]);
        if let Some(why) = &card.own_cluster {
            wrapped(&mut lines, "not on this one: ", why, width, Role::Dim);
        }
    }
    if let Some(name) = model.drills.application_of(card) {
        let words = application::ALL.iter().find(|(known, _)| *known == name);
        let words = words.map_or(String::new(), |(_, words)| format!(": {words}"));
        wrapped(&mut lines, "with ", &format!("{name}{words}"), width, Role::Accent);
    }
    head(&mut lines, "Hypothesis");
    wrapped(&mut lines, "", &card.hypothesis, width, Role::Title);
    head(&mut lines, "Steps");
    for (index, step) in card.steps.iter().enumerate() {
        wrapped(&mut lines, &format!("{:>2} ", index + 1), step, width, Role::Text);
    }
    if !card.expected.is_empty() {
        head(&mut lines, "Expected");
        for (lane, words) in &card.expected {
            wrapped(&mut lines, &format!("{lane:<18} "), words, width, Role::Text);
        }
    }
    head(&mut lines, "What it teaches");
    wrapped(&mut lines, "", &card.teaches, width, Role::Text);
    if let Some(docs) = &card.docs {
        head(&mut lines, "More");
        wrapped(&mut lines, "", docs, width, Role::Dim);
    }
    lines
}

fn wrapped(lines: &mut Vec<Vec<Piece>>, head: &str, content: &str, width: usize, role: Role) {
    let indent = head.chars().count();
    let room = width.saturating_sub(indent).max(1);
    for (index, line) in text::wrap(content.trim(), room).into_iter().enumerate() {
        let head = if index == 0 { head.to_owned() } else { " ".repeat(indent) };
        lines.push(vec![(Role::Dim, head), (role, line)]);
    }
}

/// A frame of lines from `scroll` on.
fn scrolled(
    canvas: &mut Canvas<'_>,
    area: Rect,
    mut title: Vec<Piece>,
    lines: &[Vec<Piece>],
    scroll: usize,
    focus: bool,
) {
    let room = layout::inner_rows(area);
    let most = lines.len().saturating_sub(room);
    let first = scroll.min(most);
    if most > 0 {
        let last = (first + room).min(lines.len());
        title.push((Role::Dim, format!("  {last}/{} ↓", lines.len())));
    }
    let inner = canvas.frame(area, &title, focus);
    for (row, pieces) in lines.iter().skip(first).take(room).enumerate() {
        canvas.line(inner.x + 1, inner.y + row as u16, inner.width.saturating_sub(2), pieces);
    }
}

/// How far the text on screen can be scrolled.
pub fn scroll_most(model: &Model) -> usize {
    let body = layout::frame(model.size).body;
    match model.drills.shows {
        Shows::Catalogue => {
            let (_, area) = halves(model.size);
            let width = usize::from(area.width.saturating_sub(4));
            let lines = model.drills.card().map_or(0, |card| about(model, card, width).len());
            lines.saturating_sub(layout::inner_rows(area))
        }
        Shows::Report => {
            let width = usize::from(body.width.saturating_sub(4));
            let lines = model
                .drills
                .report
                .as_ref()
                .map_or(0, |report| prose::lines(&report.text, width).len());
            lines.saturating_sub(layout::inner_rows(body))
        }
        Shows::Run => model.drills.progress.as_ref().map_or(0, |p| p.feed.len()),
    }
}

fn report(model: &Model, canvas: &mut Canvas<'_>) {
    let body = layout::frame(model.size).body;
    let Some(report) = &model.drills.report else { return };
    let lines = prose::lines(&report.text, usize::from(body.width.saturating_sub(4)));
    let (mark, role) = verdict_mark(&report.verdict);
    let title = vec![
        (Role::Title, format!("Report {} ", report.id)),
        (role, format!("{mark} {}", report.verdict)),
    ];
    scrolled(canvas, body, title, &lines, model.drills.scroll, true);
}

/// Verdict or phase, steps and feed, and the timeline below.
fn run(model: &Model, canvas: &mut Canvas<'_>) {
    let body = layout::frame(model.size).body;
    let Some(progress) = &model.drills.progress else { return };
    let wanted = timeline::height(&progress.timeline) + 2;
    let height = wanted.clamp(6, (body.height * 3 / 5).max(6)).min(body.height);
    let lanes = Rect { y: body.bottom() - height, height, ..body };
    let above = Rect { height: body.height - height, ..body };
    let (list, feed) = match above.width >= SIDE_BY_SIDE {
        true => {
            let half = above.width * 55 / 100;
            let feed = Rect { x: above.x + half, width: above.width - half, ..above };
            (Rect { width: half, ..above }, Some(feed))
        }
        false => (above, None),
    };
    let (list, feed) = match &progress.application {
        Some(picture) => beside(picture, canvas, list, feed),
        None => (list, feed),
    };
    steps(model, progress, canvas, list);
    if let Some(area) = feed {
        events(model, progress, canvas, area);
    }
    let mut title = vec![(Role::Title, "Timeline".to_owned())];
    if let Some(cluster) = &progress.own_cluster {
        title.push((Role::Accent, format!("  {cluster}")));
    }
    let all = progress.timeline.lanes.len();
    let shown = timeline::fitting(&progress.timeline, layout::inner_rows(lanes) as u16);
    if shown < all {
        title.push((Role::Dim, format!("  {shown} of {all} lanes")));
    }
    if lanes.width > 70 {
        title.push((Role::Dim, format!("  {}", timeline::LEGEND)));
    }
    let inner = canvas.frame(lanes, &title, false);
    let inner = Rect { x: inner.x + 1, width: inner.width.saturating_sub(2), ..inner };
    let show = if model.drills.running.is_some() { Show::Newest(SHOWN_MS) } else { Show::Whole };
    timeline::draw(canvas, inner, &progress.timeline, show);
}

/// The application above the events; below the steps where there is no room for events. What
/// is left for steps and events.
fn beside(
    picture: &ApplicationPicture,
    canvas: &mut Canvas<'_>,
    list: Rect,
    feed: Option<Rect>,
) -> (Rect, Option<Rect>) {
    let within = feed.unwrap_or(list);
    // Steps and events keep four rows at least.
    let height = clients::height(picture, within.width).min(within.height.saturating_sub(4));
    if height < 3 {
        return (list, feed);
    }
    match feed {
        Some(feed) => {
            clients::draw(picture, canvas, Rect { height, ..feed });
            (list, Some(Rect { y: feed.y + height, height: feed.height - height, ..feed }))
        }
        None => {
            let rest = list.height - height;
            clients::draw(picture, canvas, Rect { y: list.y + rest, height, ..list });
            (Rect { height: rest, ..list }, None)
        }
    }
}

fn steps(model: &Model, progress: &DrillProgress, canvas: &mut Canvas<'_>, area: Rect) {
    let seconds = progress.elapsed_ms / 1_000;
    let mut title = vec![(Role::Title, progress.title.clone())];
    match (&model.drills.report, model.drills.stopping) {
        (Some(report), _) => {
            let (mark, role) = verdict_mark(&report.verdict);
            title.push((role, format!("  {mark} {}", report.verdict)));
        }
        (None, true) => title.push((Role::Warn, "  stopping".to_owned())),
        (None, false) => title.push((Role::Accent, format!("  {} {seconds} s", progress.phase))),
    }
    let inner = canvas.frame(area, &title, true);
    let width = usize::from(inner.width.saturating_sub(2));
    let mut lines = Vec::new();
    if let Some(report) = &model.drills.report {
        let (_, role) = verdict_mark(&report.verdict);
        wrapped(&mut lines, "", &report.why, width, role);
        lines.push(vec![(Role::Key, "enter".to_owned()), (Role::Text, " report".to_owned())]);
    }
    let mut current = 0;
    for step in &progress.steps {
        let (mark, role, text) = match step.state {
            StepState::Waiting => ("◌", Role::Dim, Role::Dim),
            StepState::Running => ("▸", Role::Accent, Role::Title),
            StepState::Done => ("✓", Role::Good, Role::Text),
            StepState::Failed => ("✗", Role::Bad, Role::Bad),
        };
        let at = step.started_ms.map_or_else(
            || "        ".to_owned(),
            |ms| format!("{:>5}.{} s", ms / 1_000, ms % 1_000 / 100),
        );
        if step.state != StepState::Waiting {
            current = lines.len();
        }
        lines.push(vec![
            (role, format!("{mark} ")),
            (Role::Dim, format!("{at}  ")),
            (text, step.text.clone()),
        ]);
        if step.state == StepState::Failed && !step.said.is_empty() {
            wrapped(&mut lines, "            ", &step.said, width, Role::Bad);
        }
    }
    // The step under way stays in sight; once it is over, why it ended so.
    let room = usize::from(inner.height);
    let first = match model.drills.report {
        Some(_) => 0,
        None => (current + 2).saturating_sub(room).min(lines.len().saturating_sub(room)),
    };
    for (row, pieces) in lines.iter().skip(first).take(room).enumerate() {
        canvas.line(inner.x + 1, inner.y + row as u16, width as u16, pieces);
    }
}

fn events(model: &Model, progress: &DrillProgress, canvas: &mut Canvas<'_>, area: Rect) {
    let inner = canvas.frame(area, &[(Role::Title, "Events".to_owned())], false);
    let newest = progress.feed.iter().rev().skip(model.drills.scroll);
    for (row, (ms, text)) in newest.take(usize::from(inner.height)).enumerate() {
        let pieces = [
            (Role::Dim, format!("{:>5}.{} s  ", ms / 1_000, ms % 1_000 / 100)),
            (Role::Text, text.clone()),
        ];
        canvas.line(inner.x + 1, inner.y + row as u16, inner.width.saturating_sub(2), &pieces);
    }
}
