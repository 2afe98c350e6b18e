//! The value pane follows the cursor: the value of a key, the size of a directory.
//!
//! At most one read of a kind is under way; when it ends and the cursor has moved on, the
//! next is for where the cursor is then. So holding an arrow key down costs no queue.

use super::listing::reads_locally;
use crate::effect::Effect;
use crate::layout;
use crate::model::Model;
use crate::model::browser::{RowKind, ValuePane};
use crate::msg::{Failure, Reply, RequestId};
use crate::value;

/// Points the pane at the row under the cursor.
pub fn upkeep(model: &mut Model) -> Vec<Effect> {
    if model.keys.pane.columns != columns(model) {
        lay_out(model);
        scroll(model, 0);
    }
    let target = model.keys.current().map(|row| row.kind.clone());
    let pane = &mut model.keys.pane;
    match target {
        Some(RowKind::Key(meta)) => {
            pane.directory = None;
            if pane.key.as_ref() == Some(&meta.key) {
                return Vec::new();
            }
            if pane.waiting.is_some() {
                return Vec::new();
            }
            let format = pane.format;
            *pane = ValuePane { key: Some(meta.key.clone()), format, ..ValuePane::default() };
            read(model)
        }
        Some(RowKind::Directory { prefix, .. }) => {
            if pane.directory.as_ref() == Some(&prefix) || pane.count_waiting.is_some() {
                return Vec::new();
            }
            let format = pane.format;
            *pane = ValuePane { directory: Some(prefix), format, ..ValuePane::default() };
            count(model)
        }
        _ => Vec::new(),
    }
}

/// Reads what the pane is about again, keeping what is shown until the answer is there.
pub fn read(model: &mut Model) -> Vec<Effect> {
    if model.keys.pane.directory.is_some() {
        return count(model);
    }
    let Some(key) = model.keys.pane.key.clone() else { return Vec::new() };
    if model.keys.pane.waiting.is_some() {
        return Vec::new();
    }
    let id = model.next_id();
    let serializable = reads_locally(model);
    model.keys.pane.waiting = Some(id);
    vec![Effect::Get { id, key, serializable }]
}

fn count(model: &mut Model) -> Vec<Effect> {
    let Some(prefix) = model.keys.pane.directory.clone() else { return Vec::new() };
    if model.keys.pane.count_waiting.is_some() {
        return Vec::new();
    }
    model.keys.pane.count_is_old = false;
    let id = model.next_id();
    let serializable = reads_locally(model);
    model.keys.pane.count_waiting = Some(id);
    vec![Effect::Count { id, prefix, serializable }]
}

/// Takes an answer the pane waits for; hands any other back.
pub fn on_reply(
    model: &mut Model,
    id: RequestId,
    outcome: Result<Reply, Failure>,
) -> Result<Vec<Effect>, Result<Reply, Failure>> {
    let now = model.now;
    let pane = &mut model.keys.pane;
    if pane.waiting == Some(id) {
        pane.waiting = None;
        return Ok(on_value(model, outcome));
    }
    if pane.count_waiting == Some(id) {
        pane.count_waiting = None;
        match outcome {
            Ok(Reply::Count { count }) => {
                pane.count = Some(count);
                pane.failure = None;
            }
            Ok(_) => {}
            Err(failure) => pane.failure = Some(failure),
        }
        return Ok(Vec::new());
    }
    if pane.lease_waiting == Some(id) {
        pane.lease_waiting = None;
        if let Ok(Reply::Lease { ttl_s, granted_s }) = outcome {
            pane.lease = Some((ttl_s, granted_s, now));
        }
        return Ok(Vec::new());
    }
    Err(outcome)
}

fn on_value(model: &mut Model, outcome: Result<Reply, Failure>) -> Vec<Effect> {
    let pane = &mut model.keys.pane;
    let mut lease = 0;
    match outcome {
        Ok(Reply::Value { found, .. }) => {
            pane.gone = found.is_none();
            pane.failure = None;
            if let Some((meta, bytes)) = found {
                lease = meta.lease;
                let unchanged = pane.found.as_ref().is_some_and(|(old, _)| *old == meta);
                if !unchanged {
                    pane.found = Some((meta, bytes));
                    lay_out(model);
                }
            }
        }
        Ok(_) => {}
        Err(failure) => pane.failure = Some(failure),
    }
    if lease == 0 {
        model.keys.pane.lease = None;
        return Vec::new();
    }
    read_lease(model, lease)
}

fn read_lease(model: &mut Model, lease: i64) -> Vec<Effect> {
    // Time to live is answered by the leader alone.
    if model.keys.pane.lease_waiting.is_some() || reads_locally(model) {
        return Vec::new();
    }
    let id = model.next_id();
    model.keys.pane.lease_waiting = Some(id);
    vec![Effect::Lease { id, lease }]
}

/// Keys came, went or changed: what the pane shows of them is read again.
pub fn on_changes(model: &mut Model, changed: &[Vec<u8>]) -> Vec<Effect> {
    let pane = &mut model.keys.pane;
    if let Some(prefix) = &pane.directory {
        // Counted once a round at most, however many there are.
        pane.count_is_old |= changed.iter().any(|key| key.starts_with(prefix));
    } else if pane.key.as_ref().is_some_and(|key| changed.contains(key)) {
        return read(model);
    }
    Vec::new()
}

/// Once a round: a kept-alive lease does not run out, so it is asked again; a failed read is
/// tried again; keys that came or went are counted.
pub fn on_round(model: &mut Model) -> Vec<Effect> {
    let mut effects = Vec::new();
    let lease = model.keys.pane.found.as_ref().map_or(0, |(meta, _)| meta.lease);
    if lease != 0 && !model.keys.pane.gone && model.cluster.rounds.is_multiple_of(3) {
        effects.extend(read_lease(model, lease));
    }
    if model.keys.pane.failure.is_some() || model.keys.pane.count_is_old {
        effects.extend(read(model));
    }
    effects
}

pub fn next_format(model: &mut Model) {
    let pane = &mut model.keys.pane;
    pane.format = pane.format.next();
    pane.scroll = 0;
    lay_out(model);
}

fn columns(model: &Model) -> usize {
    layout::value_columns(layout::keys(model.size).value)
}

/// Makes the lines of the value that was found.
fn lay_out(model: &mut Model) {
    let columns = columns(model);
    let pane = &mut model.keys.pane;
    pane.columns = columns;
    if let Some((_, bytes)) = &pane.found {
        pane.decoded = value::decode(bytes, pane.format, columns);
    }
}

pub fn scroll(model: &mut Model, lines: i64) {
    let height = layout::value_rows(layout::keys(model.size).value);
    let pane = &mut model.keys.pane;
    let most = pane.decoded.lines.len().saturating_sub(height) as i64;
    pane.scroll = (pane.scroll as i64 + lines).clamp(0, most.max(0)) as usize;
}
