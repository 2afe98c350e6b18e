//! The bottom line: what the keys do here, generated from the keymap.

use super::canvas::Canvas;
use crate::action::Action;
use crate::hit::Hit;
use crate::keymap::Mode;
use crate::layout;
use crate::model::Model;
use crate::model::drills::Shows;
use crate::model::overlay::Overlay;
use crate::theme::Role;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

/// Those of the screen Drills.
fn of_drills(model: &Model) -> Vec<Action> {
    let first = match (&model.drills.running, model.drills.shows) {
        (Some(_), _) => vec![Action::StopDrill],
        (None, Shows::Catalogue) => vec![Action::Open, Action::Application],
        (None, _) => vec![Action::Open],
    };
    [first, vec![Action::NextPane, Action::Back]].concat()
}

/// The actions worth a hint in a mode, most useful first.
fn hinted(model: &Model) -> Vec<Action> {
    let mut list = match model.mode() {
        Mode::Cluster if model.about.local => vec![
            Action::Kill,
            Action::Stop,
            Action::Start,
            Action::Restart,
            Action::Pause,
            Action::Replace,
            Action::MoveLeader,
            Action::MemberLogs,
        ],
        Mode::Cluster if !model.about.read_only => vec![Action::MoveLeader],
        Mode::Keys => {
            let mut keys = vec![Action::Open, Action::Filter, Action::Jump, Action::Flat];
            if !model.about.read_only {
                keys.extend([Action::New, Action::Edit, Action::Delete]);
            }
            keys.extend([Action::Format, Action::Parent]);
            keys
        }
        Mode::Logs => {
            vec![
                Action::Filter,
                Action::NextNode,
                Action::Follow,
                Action::Wrap,
                Action::Raw,
                Action::ClearLogs,
            ]
        }
        Mode::Links => vec![
            Action::Freeze,
            Action::LinkOk,
            Action::Heal,
            Action::Isolate,
            Action::Partition,
            Action::BothWays,
            Action::Delay,
            Action::Reset,
            Action::Rate,
            Action::Flap,
        ],
        Mode::Drills => of_drills(model),
        Mode::Learn => {
            vec![Action::Next, Action::PageDrill, Action::NextPage, Action::PreviousPage]
        }
        Mode::Editor => match &model.overlay {
            Some(Overlay::Editor(editor)) if editor.creating => {
                vec![Action::Save, Action::NextField, Action::Cancel]
            }
            _ => vec![Action::Save, Action::Cancel],
        },
        Mode::Confirm => {
            vec![Action::Submit, Action::Left, Action::Right, Action::Yes, Action::Cancel]
        }
        Mode::Palette => vec![Action::Submit, Action::NextField, Action::Cancel],
        Mode::Help => vec![Action::Down, Action::Up, Action::Cancel],
        Mode::Cluster | Mode::Prompt | Mode::Global => Vec::new(),
    };
    if model.overlay.is_none() {
        let common = [Action::Help, Action::Palette, Action::Quit];
        // The way to the rest must be seen on a narrow screen too.
        for (at, action) in common.into_iter().enumerate() {
            list.insert(at.min(list.len()), action);
        }
    }
    list
}

pub fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let row = layout::frame(model.size).hints;
    let mut x = row.x + 1;
    let mode = model.mode();
    for action in hinted(model) {
        let (Some(key), Some(about)) = (model.keymap.key_for(mode, action), action.describe())
        else {
            continue;
        };
        let key = key.to_string();
        let width = (key.width() + 1 + about.hint.width()) as u16;
        if x + width > row.right() {
            break;
        }
        let area = Rect { x, width, ..row };
        let used = canvas.put(x, row.y, width, &key, Role::Key);
        canvas.put(x + used + 1, row.y, width, about.hint, Role::Text);
        canvas.hit(area, Hit::Hint(action));
        x += width + 2;
    }
}
