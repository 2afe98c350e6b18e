//! The key screen: moving in the tree, unfolding, searching, going to a prefix.

use super::{editor, listing, overlay, pane};
use crate::action::Action;
use crate::effect::Effect;
use crate::hit::Hit;
use crate::layout;
use crate::model::browser::{Live, RowKind, Scan, next_level, parent};
use crate::model::overlay::Purpose;
use crate::model::{Model, Screen};
use crate::msg::{Change, ScanProgress};
use crate::text;

/// How long a row that changed stays marked.
pub const CHANGED_MS: u64 = 1_500;

/// Loads the root the first time the screen is shown.
pub fn enter(model: &mut Model) -> Vec<Effect> {
    if model.keys.started {
        return Vec::new();
    }
    model.keys.started = true;
    model.keys.unfold = true;
    listing::reset(model)
}

/// Runs at the end of every update: loads what the screen is about to need.
pub fn upkeep(model: &mut Model) -> Vec<Effect> {
    if model.screen != Screen::Keys || !model.keys.started {
        return Vec::new();
    }
    let mut effects = listing::upkeep(model);
    effects.extend(pane::upkeep(model));
    effects
}

/// Carries out an action on the key screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let page = layout::inner_rows(layout::keys(model.size).tree).saturating_sub(1).max(1) as i64;
    match action {
        Action::Up => step(model, -1),
        Action::Down => step(model, 1),
        Action::PageUp => step(model, -page),
        Action::PageDown => step(model, page),
        Action::First => step(model, -i64::from(i32::MAX)),
        Action::Last => step(model, i64::from(i32::MAX)),
        Action::NextPane | Action::PreviousPane => model.keys.focus_value ^= true,
        Action::Open => return open(model),
        Action::Unfold => return unfold(model),
        Action::Close => return close(model),
        Action::Parent => return go_up(model),
        Action::Back => return back(model),
        Action::Flat => {
            model.keys.flat ^= true;
            return listing::reset(model);
        }
        Action::Format => pane::next_format(model),
        Action::Refresh => {
            let mut effects = match model.keys.scan.as_ref().map(|scan| scan.needle.clone()) {
                Some(needle) => filter(model, &needle),
                None => listing::reset(model),
            };
            effects.extend(pane::read(model));
            effects.push(Effect::PollNow);
            return effects;
        }
        Action::Jump => {
            let root = text::escape(&model.keys.root);
            overlay::prompt(model, Purpose::Jump, &root);
        }
        Action::Filter => {
            let needle = model.keys.scan.as_ref().map_or("", |scan| &scan.needle).to_owned();
            overlay::prompt(model, Purpose::Filter, &needle);
        }
        Action::New => {
            let under = match model.keys.current().map(|row| &row.kind) {
                Some(RowKind::Directory { prefix, .. }) => prefix.clone(),
                Some(RowKind::Key(meta)) => parent(&meta.key).to_vec(),
                _ => model.keys.root.clone(),
            };
            return editor::create(model, &under);
        }
        Action::Edit => return editor::edit(model),
        Action::Delete => return editor::ask_delete(model),
        _ => {}
    }
    Vec::new()
}

fn step(model: &mut Model, rows: i64) {
    if model.keys.focus_value {
        pane::scroll(model, rows);
        return;
    }
    let last = model.keys.rows.len().saturating_sub(1) as i64;
    model.keys.cursor = (model.keys.cursor as i64 + rows).clamp(0, last.max(0)) as usize;
    model.keys.wanted = None;
}

pub fn click(model: &mut Model, index: usize) -> Vec<Effect> {
    model.keys.focus_value = false;
    let again = model.keys.cursor == index;
    step(model, index as i64 - model.keys.cursor as i64);
    let directory =
        matches!(model.keys.current().map(|r| &r.kind), Some(RowKind::Directory { .. }));
    if again && directory { open(model) } else { Vec::new() }
}

pub fn wheel(model: &mut Model, hit: Hit, lines: i32) {
    if matches!(hit, Hit::Pane(_)) {
        pane::scroll(model, i64::from(lines));
    } else {
        let focus = std::mem::replace(&mut model.keys.focus_value, false);
        step(model, i64::from(lines));
        model.keys.focus_value = focus;
    }
}

fn open(model: &mut Model) -> Vec<Effect> {
    let Some(row) = model.keys.current().cloned() else { return Vec::new() };
    match row.kind {
        RowKind::Directory { prefix, open } => {
            if open {
                model.keys.open.remove(&prefix);
            } else {
                model.keys.open.insert(prefix);
            }
            model.keys.rebuild();
        }
        RowKind::Key(_) => model.keys.focus_value = true,
        RowKind::More { prefix } | RowKind::Failed { prefix, .. } => {
            if let Some(listing) = model.keys.listings.get_mut(&prefix) {
                listing.failure = None;
            }
            return listing::request(model, &prefix).into_iter().collect();
        }
    }
    Vec::new()
}

/// Unfolds the directory, or goes to the first row in it.
fn unfold(model: &mut Model) -> Vec<Effect> {
    let keys = &mut model.keys;
    let Some(row) = keys.current() else { return Vec::new() };
    if !matches!(row.kind, RowKind::Directory { open: true, .. }) {
        return open(model);
    }
    let depth = row.depth;
    if keys.rows.get(keys.cursor + 1).is_some_and(|next| next.depth > depth) {
        step(model, 1);
    }
    Vec::new()
}

/// Folds the directory, or goes to the one that holds the row.
fn close(model: &mut Model) -> Vec<Effect> {
    if model.keys.focus_value {
        model.keys.focus_value = false;
        return Vec::new();
    }
    let Some(row) = model.keys.current().cloned() else { return go_up(model) };
    if let RowKind::Directory { prefix, open: true } = &row.kind {
        model.keys.open.remove(prefix);
        model.keys.rebuild();
        return Vec::new();
    }
    if row.depth == 0 {
        return if model.keys.scan.is_none() { go_up(model) } else { Vec::new() };
    }
    let above = model.keys.rows[..model.keys.cursor].iter().rposition(|r| r.depth < row.depth);
    if let Some(at) = above {
        model.keys.cursor = at;
    }
    Vec::new()
}

/// Shows the directory above the root.
fn go_up(model: &mut Model) -> Vec<Effect> {
    if model.keys.root.is_empty() {
        return Vec::new();
    }
    let above = parent(&model.keys.root).to_vec();
    let came_from = model.keys.root.clone();
    let effects = jump(model, above);
    model.keys.wanted = Some((0, came_from));
    effects
}

/// Esc: out of the value, out of the search, up to the whole key space.
fn back(model: &mut Model) -> Vec<Effect> {
    if model.keys.focus_value {
        model.keys.focus_value = false;
        return Vec::new();
    }
    if model.keys.scan.is_some() {
        return filter(model, "");
    }
    go_up(model)
}

/// Shows only keys under `prefix`.
pub fn jump(model: &mut Model, prefix: Vec<u8>) -> Vec<Effect> {
    let cancelled = model.keys.scan.take().is_some();
    model.keys.started = true;
    model.keys.unfold = true;
    model.keys.root = prefix;
    model.keys.rows.clear();
    (model.keys.cursor, model.keys.offset) = (0, 0);
    let mut effects = listing::reset(model);
    if cancelled {
        effects.push(Effect::CancelScan);
    }
    effects
}

/// Puts the cursor on a key as soon as it is loaded, with the directories above it unfolded.
pub fn reveal(model: &mut Model, key: &[u8]) {
    let keys = &mut model.keys;
    if keys.scan.is_some() || !key.starts_with(&keys.root) {
        return;
    }
    let mut prefix = keys.root.clone();
    while !keys.flat
        && let Some(directory) = next_level(&prefix, key)
    {
        keys.open.insert(directory.clone());
        prefix = directory;
    }
    keys.wanted = Some((1, key.to_vec()));
    keys.rebuild();
}

/// Searches every key under the root; an empty needle ends the search.
pub fn filter(model: &mut Model, needle: &str) -> Vec<Effect> {
    let mut effects = enter(model);
    let was_on = model.keys.scan.take();
    if needle.is_empty() {
        if was_on.is_some() {
            model.keys.wanted = model.keys.current().map(crate::model::browser::row_name);
            effects.push(Effect::CancelScan);
        }
        model.keys.rebuild();
        return effects;
    }
    let generation = model.next_id();
    let serializable = listing::reads_locally(model);
    let prefix = model.keys.root.clone();
    let needle = needle.to_owned();
    model.keys.scan = Some(Scan { needle: needle.clone(), generation, ..Scan::default() });
    (model.keys.cursor, model.keys.offset) = (0, 0);
    model.keys.rebuild();
    effects.push(Effect::Scan { generation, prefix, needle, serializable });
    effects
}

pub fn on_scan(model: &mut Model, generation: u64, progress: ScanProgress) {
    if let Some(scan) = &mut model.keys.scan
        && scan.generation == generation
    {
        scan.absorb(progress);
        model.keys.rebuild();
    }
}

pub fn on_changes(
    model: &mut Model,
    generation: u64,
    revision: i64,
    changes: Vec<Change>,
) -> Vec<Effect> {
    if generation != model.keys.generation {
        return Vec::new();
    }
    model.keys.live = Live::On;
    let changed: Vec<Vec<u8>> = changes.iter().map(|change| change.meta.key.clone()).collect();
    let mut effects = listing::on_changes(model, revision, changes);
    effects.extend(pane::on_changes(model, &changed));
    effects
}

pub fn on_watch_lost(model: &mut Model, generation: u64, compacted: bool) -> Vec<Effect> {
    if generation != model.keys.generation {
        return Vec::new();
    }
    if compacted {
        return listing::reset(model);
    }
    model.keys.live = Live::Lost;
    Vec::new()
}

/// Once a second: forgets marks, picks up what failed, and leaves a member's own view as
/// soon as there is a leader to ask.
pub fn on_round(model: &mut Model) -> Vec<Effect> {
    if !model.keys.started {
        return Vec::new();
    }
    let now = model.now;
    model.keys.changed.retain(|_, at| now.since(*at) < CHANGED_MS);
    if model.cluster.answers().next().is_none() && !model.cluster.tells_nothing() {
        return Vec::new();
    }
    let mut effects = Vec::new();
    if model.keys.local_view && !listing::reads_locally(model) && model.keys.revision != 0 {
        effects.extend(listing::reset(model));
    } else if model.keys.live == Live::Lost {
        model.keys.live = Live::On;
        effects.push(Effect::Watch {
            generation: model.keys.generation,
            prefix: model.keys.root.clone(),
            revision: model.keys.revision + 1,
        });
    }
    let failed: Vec<Vec<u8>> = model
        .keys
        .listings
        .iter_mut()
        .filter_map(|(prefix, listing)| listing.failure.take().map(|_| prefix.clone()))
        .collect();
    for prefix in failed {
        effects.extend(listing::request(model, &prefix));
    }
    effects.extend(pane::on_round(model));
    effects
}
