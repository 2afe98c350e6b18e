//! The cluster screen: moving among members, and acting on one.
//!
//! An action is possible or refused for a reason ([`refusal`]); the same answer greys out
//! palette entries and answers the key. Preconditions are checked again when the question
//! has been answered: members and leader may have changed meanwhile.

use crate::action::Action;
use crate::effect::Effect;
use crate::fleet::{FleetCommand, FleetState};
use crate::hit::Hit;
use crate::model::Model;
use crate::model::cluster::{Role, Row, Tone};
use crate::model::overlay::{Command, Confirm, Overlay, Subject, Verb};
use crate::quorum::{Consequence, Deed, Severity, Target, consequence};

const PAGE: usize = 10;

/// Carries out an action on the cluster screen.
pub fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let rows = model.cluster.rows().len();
    let last = rows.saturating_sub(1);
    let cursor = &mut model.cluster.cursor;
    match action {
        Action::Up => *cursor = cursor.saturating_sub(1),
        Action::Down => *cursor = (*cursor + 1).min(last),
        Action::First => *cursor = 0,
        Action::Last => *cursor = last,
        Action::PageUp => scroll_events(model, PAGE as i64),
        Action::PageDown => scroll_events(model, -(PAGE as i64)),
        Action::Back => model.cluster.events_scroll = 0,
        Action::Refresh => return vec![Effect::PollNow],
        Action::Filter => {
            model.say(Tone::Plain, "nothing to filter here: keys (2) and logs (3) can be filtered");
        }
        Action::Open | Action::MemberLogs => return open_logs(model),
        Action::Kill => return ask_current(model, Verb::Kill),
        Action::Stop => return ask_current(model, Verb::Stop),
        Action::Start => return ask_current(model, Verb::Start),
        Action::Restart => return ask_current(model, Verb::Restart),
        Action::Pause => {
            let paused = model
                .current_member()
                .and_then(|row| row.fleet)
                .is_some_and(|node| node.state == FleetState::Paused);
            return ask_current(model, if paused { Verb::Resume } else { Verb::Pause });
        }
        Action::Replace => return ask_current(model, Verb::Replace),
        Action::Wipe => return ask_current(model, Verb::Wipe),
        Action::MoveLeader => return ask_current(model, Verb::MoveLeader),
        _ => {}
    }
    Vec::new()
}

fn open_logs(model: &mut Model) -> Vec<Effect> {
    if !model.about.local {
        return Vec::new();
    }
    let node = model.current_member().and_then(|row| row.fleet).map(|node| node.name);
    super::run_command(model, Command::Logs(node))
}

pub fn scroll(model: &mut Model, hit: Hit, lines: i32) {
    if hit == Hit::Pane(0) {
        scroll_events(model, -i64::from(lines));
        return;
    }
    let last = model.cluster.rows().len().saturating_sub(1) as i64;
    let step = i64::from(lines.signum());
    model.cluster.cursor = (model.cluster.cursor as i64 + step).clamp(0, last) as usize;
}

fn scroll_events(model: &mut Model, back: i64) {
    let most = model.cluster.events.len().saturating_sub(1) as i64;
    let scroll = (model.cluster.events_scroll as i64 + back).clamp(0, most);
    model.cluster.events_scroll = scroll as usize;
}

fn ask_current(model: &mut Model, verb: Verb) -> Vec<Effect> {
    match model.current_member() {
        Some(row) => ask(model, verb, &row.name),
        None => Vec::new(),
    }
}

/// Opens the question for `verb`, or does what needs no question, or says why not.
pub fn ask(model: &mut Model, verb: Verb, name: &str) -> Vec<Effect> {
    if let Some(reason) = refusal(model, verb, name) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    if matches!(verb, Verb::Start | Verb::Resume) {
        return run(model, verb, name);
    }
    let buttons = vec![
        ("Cancel".to_owned(), Command::Nothing),
        (button(verb, name), Command::MemberNow(verb, name.to_owned())),
    ];
    let subject = Subject::Member(verb, name.to_owned());
    model.overlay = Some(Overlay::Confirm(Confirm { subject, buttons, focus: 0 }));
    Vec::new()
}

fn button(verb: Verb, name: &str) -> String {
    match verb {
        Verb::MoveLeader => format!("Make {name} leader"),
        _ => {
            let word = verb.word();
            format!("{}{} {name}", word[..1].to_uppercase(), &word[1..])
        }
    }
}

/// Does it, after the question.
pub fn run(model: &mut Model, verb: Verb, name: &str) -> Vec<Effect> {
    if let Some(reason) = refusal(model, verb, name) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    if verb == Verb::MoveLeader {
        return move_leader(model, name);
    }
    let node = name.to_owned();
    let command = match verb {
        Verb::Kill => FleetCommand::Kill(node),
        Verb::Stop => FleetCommand::Stop(node),
        Verb::Start => FleetCommand::Start(node),
        Verb::Restart => FleetCommand::Restart(node),
        Verb::Pause => FleetCommand::Pause(node),
        Verb::Resume => FleetCommand::Resume(node),
        Verb::Replace => FleetCommand::Replace(node),
        Verb::Wipe | Verb::MoveLeader => FleetCommand::Wipe(node),
    };
    model.say(Tone::Plain, format!("{} {name} …", verb.word()));
    vec![Effect::Fleet(command)]
}

fn move_leader(model: &mut Model, name: &str) -> Vec<Effect> {
    let target = find(model, name).and_then(|row| row.id);
    let (Some(target), Some(endpoint)) = (target, model.cluster.leader_endpoint()) else {
        model.say(Tone::Warn, "the leader's own endpoint does not answer from here");
        return Vec::new();
    };
    let id = model.next_id();
    model.moving.push((id, format!("move leadership to {name}")));
    vec![Effect::MoveLeader { id, endpoint, target }]
}

fn find(model: &Model, name: &str) -> Option<Row> {
    model.cluster.rows().into_iter().find(|row| row.name == name)
}

/// Why `verb` cannot be done to `name` now; `None` if it can.
pub fn refusal(model: &Model, verb: Verb, name: &str) -> Option<String> {
    if verb.local_only() && !model.about.local {
        return Some(format!(
            "{} needs the member's process: only in a cluster started here (`etcd-tui up`)",
            verb.word()
        ));
    }
    if model.about.read_only {
        return Some(super::READ_ONLY.to_owned());
    }
    let Some(row) = find(model, name) else {
        return Some(format!("there is no member called {name}"));
    };
    if verb == Verb::MoveLeader {
        return move_refusal(model, &row);
    }
    let Some(node) = &row.fleet else {
        return Some(format!("{name} is not run by this cluster's supervisor"));
    };
    if model.fleet_gone {
        return Some("the supervisor is gone: `etcd-tui up` starts the cluster again".to_owned());
    }
    let state = node.state;
    match verb {
        Verb::Start if state.has_process() => Some(format!("{name} is {} already", state.word())),
        Verb::Kill | Verb::Stop | Verb::Pause if !state.has_process() => {
            Some(format!("{name} is not running: it is {}", state.word()))
        }
        Verb::Pause if state == FleetState::Paused => Some(format!("{name} is paused already")),
        Verb::Resume if state != FleetState::Paused => Some(format!("{name} is not paused")),
        Verb::Wipe if state.has_process() => Some(format!("{name} is running: stop it first (x)")),
        Verb::Replace => {
            let effect = effect_on(model, verb, &row)?;
            (effect.severity == Severity::Refused).then_some(effect.sentence)
        }
        _ => None,
    }
}

fn move_refusal(model: &Model, row: &Row) -> Option<String> {
    let name = &row.name;
    if model.cluster.leader().is_none() {
        return Some("there is no leader to take leadership from".to_owned());
    }
    match row.role {
        Role::Leader => Some(format!("{name} is the leader already")),
        Role::Learner => Some(format!("{name} is a learner and cannot lead")),
        _ if !row.healthy() => Some(format!("{name} does not answer: it cannot lead")),
        _ if !row.voter => Some(format!("{name} is not a voter")),
        _ if !row.counts(true) => Some(format!("{name} is cut off: it cannot lead")),
        _ => None,
    }
}

/// What `verb` does to writes; `None` where that is no question.
pub fn effect_on(model: &Model, verb: Verb, row: &Row) -> Option<Consequence> {
    let deed = match verb {
        Verb::Kill => Deed::Kill,
        Verb::Stop => Deed::Stop,
        Verb::Restart => Deed::Restart,
        Verb::Pause => Deed::Pause,
        Verb::Replace => Deed::Replace,
        Verb::Wipe => Deed::Wipe,
        Verb::MoveLeader => Deed::MoveLeader,
        Verb::Start | Verb::Resume => return None,
    };
    let healthy = row.counts(model.cluster.leader().is_some());
    let target = Target { voter: row.voter, healthy, leader: row.role == Role::Leader };
    Some(consequence(model.cluster.voters(), target, deed))
}

/// The text of the question: what is done, and what that means now.
pub fn question(model: &Model, verb: Verb, name: &str) -> (String, Vec<String>, Severity) {
    let title = match verb {
        Verb::Kill => format!("Kill {name}?"),
        Verb::Stop => format!("Stop {name}?"),
        Verb::Restart => format!("Restart {name}?"),
        Verb::Pause => format!("Pause {name}?"),
        Verb::Replace => format!("Replace {name}?"),
        Verb::Wipe => format!("Wipe the data of {name}?"),
        Verb::MoveLeader => format!("Move leadership to {name}?"),
        Verb::Start | Verb::Resume => format!("{} {name}?", verb.word()),
    };
    let what = match verb {
        Verb::Kill => "Its process ends at once (SIGKILL), as in a crash. Its data stays.",
        Verb::Stop => "Its process is asked to end (SIGTERM). Its data stays.",
        Verb::Restart => "Its process is stopped and started again on the same data.",
        Verb::Pause => "Its process is frozen (SIGSTOP): alive, but it answers nobody.",
        Verb::Replace => {
            "The member is removed, and a new one with an empty data directory takes its place."
        }
        Verb::Wipe => "Everything this member has stored is thrown away.",
        Verb::MoveLeader => "The leader hands over to it.",
        Verb::Start | Verb::Resume => "",
    };
    let mut lines = vec![what.to_owned()];
    let mut severity = Severity::Harmless;
    if let Some(row) = find(model, name)
        && let Some(effect) = effect_on(model, verb, &row)
    {
        lines.push(effect.sentence);
        severity = effect.severity;
    }
    (title, lines, severity)
}
