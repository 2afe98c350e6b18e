//! The log screen: which node, which lines, following or reading back.

use super::overlay;
use crate::action::Action;
use crate::effect::Effect;
use crate::layout;
use crate::model::Model;
use crate::model::overlay::Purpose;

/// Starts following the files, unless the lines are pushed to us anyway.
pub fn enter(model: &mut Model) -> Vec<Effect> {
    if model.about.logs_pushed || model.logs.tailing || !model.about.local {
        return Vec::new();
    }
    model.logs.tailing = true;
    vec![tail(model)]
}

/// Follows the files anew after nodes came or went.
pub fn retail(model: &Model) -> Vec<Effect> {
    if model.logs.tailing { vec![tail(model)] } else { Vec::new() }
}

fn tail(model: &Model) -> Effect {
    let files = model.cluster.fleet.iter().map(|n| (n.name.clone(), n.log_path.clone()));
    Effect::TailLogs(files.collect())
}

/// Carries out an action on the log screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let page = layout::log_rows(model.size) as i64;
    match action {
        Action::Up => scroll(model, -1),
        Action::Down => scroll(model, 1),
        Action::PageUp => scroll(model, -page),
        Action::PageDown => scroll(model, page),
        Action::First => scroll(model, i64::from(i32::MIN)),
        Action::Last => scroll(model, i64::from(i32::MAX)),
        Action::Follow => {
            model.logs.paused = !model.logs.paused;
            if !model.logs.paused {
                model.logs.back = 0;
            }
        }
        Action::NextNode | Action::NextPane => step_node(model, 1),
        Action::PreviousNode | Action::PreviousPane => step_node(model, -1),
        Action::Wrap => model.logs.wrap ^= true,
        Action::Raw => model.logs.raw ^= true,
        Action::ClearLogs => model.logs.clear(),
        Action::Filter => {
            let filter = model.logs.filter.clone();
            overlay::prompt(model, Purpose::LogFilter, &filter);
        }
        Action::Back => {
            if !model.logs.filter.is_empty() {
                model.logs.filter.clear();
            } else if model.logs.node.is_some() {
                model.logs.node = None;
            } else {
                scroll(model, i64::from(i32::MAX));
            }
        }
        _ => {}
    }
    Vec::new()
}

pub fn scroll(model: &mut Model, down: i64) {
    model.logs.scroll(down, layout::log_rows(model.size));
}

/// All nodes, then each of them, then all again.
fn step_node(model: &mut Model, step: i64) {
    let names: Vec<String> = model.cluster.fleet.iter().map(|n| n.name.clone()).collect();
    let places = names.len() as i64 + 1;
    let at = model
        .logs
        .node
        .as_ref()
        .and_then(|node| names.iter().position(|name| name == node))
        .map_or(0, |index| index as i64 + 1);
    let next = (at + step).rem_euclid(places);
    model.logs.node = (next > 0).then(|| names[next as usize - 1].clone());
    model.logs.back = 0;
    model.logs.paused = false;
}
