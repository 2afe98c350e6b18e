//! Writing: new keys, edits and deletes, always as compare-and-swap.
//!
//! A write carries the revision of the version the user saw. If that is not what is stored
//! any more, nothing is written and the other version is shown; saving again then means
//! replacing *that* version, knowingly. A write without an answer is called unknown, never
//! failed, and is not sent again by itself.

use super::{READ_ONLY, pane};
use crate::action::Action;
use crate::effect::{Effect, Write};
use crate::key::Key;
use crate::model::Model;
use crate::model::cluster::Tone;
use crate::model::overlay::{Command, Confirm, Editor, Overlay, Subject};
use crate::msg::{Failure, FailureKind, KeyMeta, Reply, RequestId};
use crate::text;
use crate::value::{self, Format};

/// Larger values are not for typing.
const EDITABLE_BYTES: usize = 128 * 1024;

fn may_write(model: &mut Model) -> bool {
    if model.about.read_only {
        model.say(Tone::Warn, READ_ONLY);
    }
    !model.about.read_only
}

/// Opens the editor for a key that does not exist yet.
pub fn create(model: &mut Model, under: &[u8]) -> Vec<Effect> {
    if may_write(model) {
        let editor = Editor { creating: true, in_value: false, ..Editor::new(under, "", 0) };
        model.overlay = Some(Overlay::Editor(Box::new(editor)));
    }
    Vec::new()
}

/// Opens the editor on the value in the pane.
pub fn edit(model: &mut Model) -> Vec<Effect> {
    let Some(current) = model.keys.current_key().map(|meta| meta.key.clone()) else {
        model.say(Tone::Plain, "only a key can be edited");
        return Vec::new();
    };
    if !may_write(model) {
        return Vec::new();
    }
    let shown = model.keys.pane.found.clone().filter(|(meta, _)| meta.key == current);
    let Some((meta, bytes)) = shown else {
        model.say(Tone::Plain, "the value has not been read yet");
        return Vec::new();
    };
    if bytes.len() > EDITABLE_BYTES {
        let limit = text::size(EDITABLE_BYTES as i64);
        model.say(Tone::Warn, format!("values over {limit} are not edited here"));
        return Vec::new();
    }
    let expect = if model.keys.pane.gone { 0 } else { meta.mod_revision };
    let editor = Editor::new(&meta.key, &text::escape_lines(&bytes), expect);
    model.overlay = Some(Overlay::Editor(Box::new(editor)));
    Vec::new()
}

/// Asks before the key under the cursor is deleted.
pub fn ask_delete(model: &mut Model) -> Vec<Effect> {
    let Some(row) = model.keys.current_key().cloned() else {
        model.say(Tone::Plain, "only a single key can be deleted: put the cursor on one");
        return Vec::new();
    };
    if !may_write(model) {
        return Vec::new();
    }
    // The version that was seen is the one in the pane, if that is of this key.
    let seen = model.keys.pane.found.as_ref().map(|(meta, _)| meta.clone());
    let meta = seen.filter(|meta| meta.key == row.key).unwrap_or(row);
    let buttons = vec![
        ("Cancel".to_owned(), Command::Nothing),
        ("Delete".to_owned(), Command::DeleteNow(meta.clone())),
    ];
    let subject = Subject::Delete(meta);
    model.overlay = Some(Overlay::Confirm(Confirm { subject, buttons, focus: 0 }));
    Vec::new()
}

pub fn delete(model: &mut Model, meta: &KeyMeta) -> Vec<Effect> {
    let id = model.next_id();
    model.keys.deleting = Some((id, meta.key.clone()));
    let write = Write::Delete { key: meta.key.clone(), expect: meta.mod_revision };
    vec![Effect::Write(id, write)]
}

/// A key while the editor is open.
pub fn on_key(model: &mut Model, key: Key, action: Option<Action>) -> Vec<Effect> {
    let Some(Overlay::Editor(editor)) = &mut model.overlay else { return Vec::new() };
    match action {
        Some(Action::Save) => return save(model),
        Some(Action::Cancel) => {
            if editor.touched && !editor.leaving {
                editor.leaving = true;
                editor.problem = Some("not saved: Esc again throws the text away".to_owned());
            } else {
                model.overlay = None;
            }
            return Vec::new();
        }
        Some(Action::NextField) if editor.creating => {
            editor.in_value ^= true;
            return Vec::new();
        }
        _ => {}
    }
    if editor.saving.is_some() {
        return Vec::new();
    }
    let input = if editor.in_value { &mut editor.value } else { &mut editor.key };
    let before = input.text();
    if key.code == crate::key::Code::Tab {
        input.paste("\t");
    } else if !input.press(key) && !editor.in_value {
        // Enter and Down in the key line go on to the value.
        editor.in_value = true;
        return Vec::new();
    }
    let changed = if editor.in_value { editor.value.text() } else { editor.key.text() } != before;
    if changed {
        editor.touched = true;
        editor.leaving = false;
        if editor.theirs.is_none() {
            editor.problem = None;
        }
    }
    Vec::new()
}

fn save(model: &mut Model) -> Vec<Effect> {
    let id = model.last_id + 1;
    let Some(Overlay::Editor(editor)) = &mut model.overlay else { return Vec::new() };
    if editor.saving.is_some() {
        return Vec::new();
    }
    let key = text::unescape(&editor.key.text());
    let value = text::unescape(&editor.value.text());
    let write = match (key, value) {
        (Ok(key), _) if key.is_empty() => Err("a key needs at least one byte".to_owned()),
        (Err(problem), _) => Err(format!("key: {problem}")),
        (_, Err(problem)) => Err(format!("value: {problem}")),
        (Ok(key), Ok(value)) => Ok(Write::Put { key, value, expect: editor.expect }),
    };
    match write {
        Ok(write) => {
            editor.saving = Some(id);
            editor.problem = None;
            model.last_id = id;
            vec![Effect::Write(id, write)]
        }
        Err(problem) => {
            editor.problem = Some(problem);
            Vec::new()
        }
    }
}

/// Takes an answer that a write waits for; hands any other back.
pub fn on_reply(
    model: &mut Model,
    id: RequestId,
    outcome: Result<Reply, Failure>,
) -> Result<Vec<Effect>, Result<Reply, Failure>> {
    if model.keys.deleting.as_ref().is_some_and(|(waiting, _)| *waiting == id) {
        return Ok(on_deleted(model, outcome));
    }
    match &model.overlay {
        Some(Overlay::Editor(editor)) if editor.saving == Some(id) => Ok(on_saved(model, outcome)),
        _ => Err(outcome),
    }
}

fn on_deleted(model: &mut Model, outcome: Result<Reply, Failure>) -> Vec<Effect> {
    let Some((_, key)) = model.keys.deleting.take() else { return Vec::new() };
    let name = text::escape(&key);
    match outcome {
        Ok(Reply::Conflict { current: None }) => {
            model.say(Tone::Plain, format!("{name} was gone already"));
        }
        Ok(Reply::Conflict { current: Some((meta, _)) }) => {
            let text = format!(
                "not deleted: {name} was changed meanwhile (revision {}); look and try again",
                meta.mod_revision
            );
            model.say(Tone::Warn, text);
        }
        Ok(_) => model.say(Tone::Good, format!("deleted {name}")),
        Err(failure) => model.say(Tone::Bad, unknown(&failure, "deleted")),
    }
    pane::read(model)
}

/// What a failed write means: without an answer, nobody knows.
fn unknown(failure: &Failure, done: &str) -> String {
    match failure.kind {
        FailureKind::Timeout => format!("no answer: it may or may not have been {done}"),
        _ => format!("not {done}: {}", failure.text),
    }
}

fn on_saved(model: &mut Model, outcome: Result<Reply, Failure>) -> Vec<Effect> {
    let Some(Overlay::Editor(editor)) = &mut model.overlay else { return Vec::new() };
    editor.saving = None;
    match outcome {
        Ok(Reply::Written { revision }) => {
            let text = format!("saved {} at revision {revision}", editor.key.text());
            let written = text::unescape(&editor.key.text()).unwrap_or_default();
            model.overlay = None;
            super::keys::reveal(model, &written);
            model.say(Tone::Good, text);
            return pane::read(model);
        }
        Ok(Reply::Conflict { current }) => on_conflict(editor, current),
        Ok(_) => {}
        Err(failure) => editor.problem = Some(unknown(&failure, "written")),
    }
    Vec::new()
}

fn on_conflict(editor: &mut Editor, current: Option<(KeyMeta, Vec<u8>)>) {
    match current {
        Some((meta, bytes)) => {
            editor.problem = Some(if editor.expect == 0 {
                format!(
                    "not saved: this key exists (revision {}). ^S replaces the value below",
                    meta.mod_revision
                )
            } else {
                format!(
                    "not saved: changed meanwhile (revision {} → {}). ^S replaces the value below",
                    editor.expect, meta.mod_revision
                )
            });
            editor.expect = meta.mod_revision;
            editor.theirs = Some(value::decode(&bytes, Format::Auto, usize::MAX).lines);
        }
        None => {
            editor.problem =
                Some("not saved: the key was deleted meanwhile. ^S creates it again".to_owned());
            editor.expect = 0;
            editor.theirs = None;
        }
    }
}
