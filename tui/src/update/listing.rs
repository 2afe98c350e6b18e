//! Loading the tree page by page, and applying watched changes to what is loaded.
//!
//! The invariant: all listings together are the store at `keys.revision`, as far as they
//! are loaded. A page is read at that revision; changes that arrive while it is read are
//! kept and applied to it afterwards; a compacted revision starts everything anew.

use crate::effect::{Effect, ListQuery};
use crate::layout;
use crate::model::Model;
use crate::model::browser::{ChildName, Listing, Live, RowKind, parent};
use crate::model::time::Now;
use crate::msg::{Change, Child, Failure, FailureKind, Reply, RequestId};

/// Children per page: a few screens, so that scrolling stays ahead of reading.
const CHILDREN_PER_PAGE: usize = 200;
/// Rows beyond the screen that are loaded in advance.
const ROWS_AHEAD: usize = 60;
/// Changes kept for a page under way; with more, the page is read again.
const RECENT_KEPT: usize = 20_000;

/// Reads everything anew at the newest revision, keeping what is shown until it arrives.
pub fn reset(model: &mut Model) -> Vec<Effect> {
    let generation = model.next_id();
    let keys = &mut model.keys;
    keys.wanted = keys.current().map(crate::model::browser::row_name);
    keys.generation = generation;
    keys.revision = 0;
    keys.live = Live::Off;
    keys.recent.clear();
    keys.checking.clear();
    keys.listings.clear();
    let root = keys.root.clone();
    keys.listings.insert(root.clone(), Listing::fresh(&root));
    let mut effects = vec![Effect::Unwatch];
    effects.extend(request(model, &root));
    effects
}

/// Asks for the next page of a listing, unless that is under way or done.
pub fn request(model: &mut Model, prefix: &[u8]) -> Option<Effect> {
    let id = model.last_id + 1;
    let serializable = reads_locally(model);
    let keys = &mut model.keys;
    let listing = keys.listings.get_mut(prefix)?;
    let waiting = listing.loading.is_some() || listing.failure.is_some();
    let from = listing.next.clone().filter(|_| !waiting)?;
    listing.loading = Some(id);
    listing.reading_at = keys.revision;
    model.last_id = id;
    let query = ListQuery {
        prefix: prefix.to_vec(),
        from,
        flat: model.keys.flat,
        want: CHILDREN_PER_PAGE,
        revision: model.keys.revision,
        serializable,
    };
    Some(Effect::List(id, query))
}

/// Without a leader, only a member's own view can be read. Who is not told whether there is one
/// asks the cluster.
pub fn reads_locally(model: &Model) -> bool {
    model.cluster.leader().is_none() && !model.cluster.tells_nothing()
}

/// Takes a page in; `Ok` or not, the id must be one that a listing waits for.
pub fn on_reply(model: &mut Model, id: RequestId, outcome: Result<Reply, Failure>) -> Vec<Effect> {
    if let Some(effects) = on_check(model, id, &outcome) {
        return effects;
    }
    let Some(prefix) = model
        .keys
        .listings
        .iter()
        .find(|(_, listing)| listing.loading == Some(id))
        .map(|(prefix, _)| prefix.clone())
    else {
        return Vec::new();
    };
    match outcome {
        Ok(Reply::Listing { children, next, revision }) => {
            absorb(model, &prefix, children, next, revision)
        }
        Ok(_) => Vec::new(),
        Err(failure) if failure.kind == FailureKind::Compacted => reset(model),
        Err(failure) => {
            if let Some(listing) = model.keys.listings.get_mut(&prefix) {
                listing.loading = None;
                listing.failure = Some(failure);
            }
            model.keys.rebuild();
            Vec::new()
        }
    }
}

fn absorb(
    model: &mut Model,
    prefix: &[u8],
    children: Vec<Child>,
    next: Option<Vec<u8>>,
    revision: i64,
) -> Vec<Effect> {
    let mut effects = Vec::new();
    let local = reads_locally(model);
    let keys = &mut model.keys;
    if keys.revision == 0 {
        keys.revision = revision;
        keys.local_view = local;
        keys.live = Live::On;
        effects.push(Effect::Watch {
            generation: keys.generation,
            prefix: keys.root.clone(),
            revision: revision + 1,
        });
    }
    let Some(listing) = keys.listings.get_mut(prefix) else { return effects };
    listing.loading = None;
    let read_at = if listing.reading_at == 0 { revision } else { listing.reading_at };
    listing.children.extend(children);
    listing.next = next;
    if prefix == keys.root && listing.next.is_none() && std::mem::take(&mut keys.unfold) {
        // One directory and nothing else is not worth a key press.
        if let [Child::Directory(only)] = listing.children.as_slice() {
            keys.open.insert(only.clone());
        }
    }
    let missed: Vec<Change> = keys
        .recent
        .iter()
        .filter(|(at, _)| *at > read_at)
        .map(|(_, change)| change.clone())
        .collect();
    if keys.listings.values().all(|listing| listing.loading.is_none()) {
        keys.recent.clear();
    }
    let mut emptied = Vec::new();
    for change in &missed {
        apply(model, change, Some(prefix), &mut emptied);
    }
    effects.extend(check(model, emptied));
    model.keys.rebuild();
    effects
}

/// Takes watched changes in.
pub fn on_changes(model: &mut Model, revision: i64, changes: Vec<Change>) -> Vec<Effect> {
    let loading = model.keys.listings.values().any(|listing| listing.loading.is_some());
    if loading && model.keys.recent.len() + changes.len() > RECENT_KEPT {
        return reset(model);
    }
    let mut emptied = Vec::new();
    let now = model.now;
    for change in &changes {
        apply(model, change, None, &mut emptied);
        note_change(model, change, now);
        if loading {
            model.keys.recent.push((change.meta.mod_revision, change.clone()));
        }
    }
    model.keys.revision = model.keys.revision.max(revision);
    model.keys.rebuild();
    check(model, emptied)
}

fn note_change(model: &mut Model, change: &Change, now: Now) {
    // Only for the eye: without a bound a busy cluster would grow it for nothing.
    if model.keys.changed.len() < 4_096 {
        model.keys.changed.insert(change.meta.key.clone(), now);
    }
}

/// Applies one change where it shows; with `only`, if that is in this listing.
fn apply(model: &mut Model, change: &Change, only: Option<&[u8]>, emptied: &mut Vec<Vec<u8>>) {
    let key = &change.meta.key;
    let Some((prefix, as_child)) = model.keys.place(key) else { return };
    if only.is_some_and(|only| only != prefix) {
        return;
    }
    let Some(listing) = model.keys.listings.get_mut(&prefix) else { return };
    let name = match &as_child {
        ChildName::Key => key.clone(),
        ChildName::Directory(directory) => directory.clone(),
    };
    if !listing.covers(&name) {
        return;
    }
    let found = listing.children.binary_search_by(|child| child.name().cmp(&name));
    match (found, as_child, change.deleted) {
        (Ok(at), ChildName::Key, false) => listing.children[at] = Child::Key(change.meta.clone()),
        (Err(at), ChildName::Key, false) => {
            listing.children.insert(at, Child::Key(change.meta.clone()));
        }
        (Err(at), ChildName::Directory(directory), false) => {
            listing.children.insert(at, Child::Directory(directory));
        }
        (Ok(at), ChildName::Key, true) => {
            listing.children.remove(at);
            if listing.children.is_empty() && listing.next.is_none() {
                emptied.push(prefix);
            }
        }
        (Ok(_), ChildName::Directory(directory), true) => emptied.push(directory),
        (Ok(_), ChildName::Directory(_), false) | (Err(_), _, true) => {}
    }
}

/// Asks whether directories that lost a key still hold one.
fn check(model: &mut Model, mut directories: Vec<Vec<u8>>) -> Vec<Effect> {
    directories.sort();
    directories.dedup();
    let serializable = reads_locally(model);
    let mut effects = Vec::new();
    for prefix in directories {
        if prefix == model.keys.root || model.keys.checking.contains_key(&prefix) {
            continue;
        }
        let id = model.next_id();
        model.keys.checking.insert(prefix.clone(), id);
        effects.push(Effect::Count { id, prefix, serializable });
    }
    effects
}

/// The answer to [`check`]: an empty directory goes, and maybe the one that held it.
fn on_check(
    model: &mut Model,
    id: RequestId,
    outcome: &Result<Reply, Failure>,
) -> Option<Vec<Effect>> {
    let prefix = model
        .keys
        .checking
        .iter()
        .find(|(_, waiting)| **waiting == id)
        .map(|(prefix, _)| prefix.clone())?;
    model.keys.checking.remove(&prefix);
    if !matches!(outcome, Ok(Reply::Count { count: 0 })) {
        return Some(Vec::new());
    }
    let keys = &mut model.keys;
    keys.listings.retain(|open, _| !open.starts_with(&prefix));
    keys.open.retain(|open| !open.starts_with(&prefix));
    let mut holder = parent(&prefix).to_vec();
    if holder.len() < keys.root.len() {
        holder.clone_from(&keys.root);
    }
    let mut emptied = Vec::new();
    if let Some(listing) = keys.listings.get_mut(&holder) {
        listing.children.retain(|child| child.name() != prefix.as_slice());
        if listing.children.is_empty() && listing.next.is_none() {
            emptied.push(holder);
        }
    }
    keys.rebuild();
    Some(check(model, emptied))
}

/// Keeps the cursor on screen and the rows around it loaded.
pub fn upkeep(model: &mut Model) -> Vec<Effect> {
    let height = layout::inner_rows(layout::keys(model.size).tree).max(1);
    let keys = &mut model.keys;
    keys.cursor = keys.cursor.min(keys.rows.len().saturating_sub(1));
    if keys.cursor < keys.offset {
        keys.offset = keys.cursor;
    } else if keys.cursor >= keys.offset + height {
        keys.offset = keys.cursor + 1 - height;
    }
    keys.offset = keys.offset.min(keys.rows.len().saturating_sub(height));
    if keys.scan.is_some() || keys.revision == 0 {
        return Vec::new();
    }
    let mut wanted = Vec::new();
    let end = (keys.offset + height + ROWS_AHEAD).min(keys.rows.len());
    for (index, row) in keys.rows.iter().enumerate().take(end).skip(keys.offset) {
        match &row.kind {
            // Above the cursor nobody waits for more; else going to the end would read all.
            RowKind::More { prefix } if index >= keys.cursor => wanted.push(prefix.clone()),
            RowKind::Directory { prefix, open: true } if !keys.listings.contains_key(prefix) => {
                wanted.push(prefix.clone());
            }
            _ => {}
        }
    }
    let mut effects = Vec::new();
    for prefix in wanted {
        model.keys.listings.entry(prefix.clone()).or_insert_with(|| Listing::fresh(&prefix));
        effects.extend(request(model, &prefix));
    }
    effects
}
