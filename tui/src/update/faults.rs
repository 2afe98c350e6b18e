//! Faults of a node beyond its process: reached by name from the palette.
//!
//! The supervisor says which of them the nodes' program can have; the others stay listed with
//! the reason. What they mean is the supervisor's business: here they are words.

use super::links::missing;
use crate::effect::Effect;
use crate::fleet::FleetCommand;
use crate::model::Model;
use crate::model::cluster::Tone;
use crate::model::overlay::{Command, Confirm, Entry, Overlay, Subject};
use crate::quorum::{Consequence, Deed, Severity, Target, consequence};

/// Words of the command line, the capability they need, and what they do.
const FAULTS: [(&str, &str, &str); 6] = [
    ("slow 50", "proc.pause", "frozen half of the time"),
    ("disk-full", "disk.full", "no file of it can grow any more"),
    ("fsync-delay 200", "disk.slow", "every sync of its log takes 200 ms longer"),
    ("clock +3600", "clock", "its wall clock is an hour ahead"),
    ("power-loss", "power", "the process ends, and what was not synced is gone"),
    ("none", "", "no fault any more"),
];

/// The words of every fault the palette knows.
pub const WORDS: [&str; FAULTS.len()] = {
    let mut words = [""; FAULTS.len()];
    let mut at = 0;
    while at < FAULTS.len() {
        words[at] = FAULTS[at].0;
        at += 1;
    }
    words
};

/// What the palette lists; nothing before the supervisor has told what it can do.
pub fn entries(model: &Model) -> Vec<Entry> {
    if !model.about.local || model.capabilities.is_empty() {
        return Vec::new();
    }
    let nodes = super::links::nodes(model);
    let entry = |(words, _, about): &(&str, &str, &str), node: &String| Entry {
        text: format!("fault {node} {words}"),
        about: (*about).to_owned(),
        command: Command::Fault(node.clone(), (*words).to_owned()),
        refused: refusal(model, words),
    };
    FAULTS.iter().flat_map(|fault| nodes.iter().map(move |node| entry(fault, node))).collect()
}

fn refusal(model: &Model, words: &str) -> Option<String> {
    if model.about.read_only {
        return Some(super::READ_ONLY.to_owned());
    }
    if model.fleet_gone {
        return Some("the supervisor is gone: `etcd-tui up` starts the cluster again".to_owned());
    }
    let (_, capability, _) = FAULTS.iter().find(|(known, ..)| *known == words)?;
    if capability.is_empty() { None } else { missing(model, capability) }
}

/// Asks; taking a fault back needs no question.
pub fn ask(model: &mut Model, node: &str, words: &str) -> Vec<Effect> {
    if let Some(reason) = refusal(model, words) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    if words == "none" {
        return run(model, node, words);
    }
    let buttons = vec![
        ("Cancel".to_owned(), Command::Nothing),
        (format!("{words} at {node}"), Command::FaultNow(node.to_owned(), words.to_owned())),
    ];
    let subject = Subject::Fault(node.to_owned(), words.to_owned());
    model.overlay = Some(Overlay::Confirm(Confirm { subject, buttons, focus: 0 }));
    Vec::new()
}

pub fn run(model: &mut Model, node: &str, words: &str) -> Vec<Effect> {
    if let Some(reason) = refusal(model, words) {
        model.say(Tone::Warn, reason);
        return Vec::new();
    }
    model.say(Tone::Plain, format!("fault {node} {words} …"));
    vec![Effect::Fleet(FleetCommand::Fault(node.to_owned(), words.to_owned()))]
}

pub fn question(model: &Model, node: &str, words: &str) -> (String, Vec<String>, Severity) {
    let about = FAULTS.iter().find(|(known, ..)| *known == words).map_or("", |fault| fault.2);
    let mut lines = vec![
        format!("{node}: {about}."),
        format!("`fault {node} none` in the palette takes it back, a restart too."),
    ];
    // A slow member or one with a wrong clock still answers.
    let ends = matches!(words, "disk-full" | "power-loss");
    let row = model.cluster.rows().into_iter().find(|row| row.name == node);
    let effect = match row.filter(|_| ends) {
        Some(row) => {
            let leader = row.role == crate::model::cluster::Role::Leader;
            let healthy = row.counts(model.cluster.leader().is_some());
            let target = Target { voter: row.voter, healthy, leader };
            consequence(model.cluster.voters(), target, Deed::Kill)
        }
        None => Consequence {
            severity: Severity::Harmless,
            sentence: "it goes on serving, worse; writes go on".to_owned(),
        },
    };
    lines.push(effect.sentence);
    (format!("{words} at {node}?"), lines, effect.severity)
}
