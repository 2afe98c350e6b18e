//! What polling and the supervisor report, taken into the cluster's facts and the feed.

use crate::effect::Effect;
use crate::fleet::FleetUpdate;
use crate::model::Model;
use crate::model::cluster::{EndpointFacts, Tone, normal_url};
use crate::model::series::Sample;
use crate::msg::{Failure, FailureKind, MemberFacts, Report, StatusFacts};
use crate::quorum::Health;

/// Takes one finding of the poller.
pub fn on_report(model: &mut Model, report: Report) -> Vec<Effect> {
    match report {
        Report::Status { endpoint, rtt_us, outcome } => {
            on_status(model, &endpoint, rtt_us, outcome)
        }
        Report::InTouch { endpoint, yes } => on_touch(model, &endpoint, yes),
        Report::Members { from, members } => on_members(model, from, members),
        Report::Alarms(alarms) => {
            on_alarms(model, alarms);
            Vec::new()
        }
        Report::Probe { linearizable, outcome } => {
            if linearizable {
                model.cluster.probe = Some(outcome);
            } else {
                model.cluster.local_probe = Some(outcome);
            }
            Vec::new()
        }
        Report::Round => on_round(model),
    }
}

fn on_status(
    model: &mut Model,
    endpoint: &str,
    rtt_us: u64,
    outcome: Result<StatusFacts, Failure>,
) -> Vec<Effect> {
    let now = model.now;
    let Some(facts) = model.cluster.endpoints.iter_mut().find(|e| e.url == endpoint) else {
        return Vec::new();
    };
    let answered_before = facts.answers();
    let known_before = facts.status.is_some();
    match outcome {
        Ok(status) => {
            match status.leader {
                0 => drop(facts.leaderless.get_or_insert(now)),
                _ => facts.leaderless = None,
            }
            let led = |status: &StatusFacts| (status.leader, status.term);
            if status.leader != 0 && facts.status.as_ref().map(led) != Some(led(&status)) {
                // What it could not read was a matter of the leader before.
                facts.misses = 0;
            }
            facts.status = Some(status);
            facts.answered = Some(now);
            facts.rtt_us = rtt_us;
            facts.failure = None;
            facts.timeouts = 0;
        }
        Err(failure) => {
            let timeout = failure.kind == FailureKind::Timeout;
            facts.timeouts = if timeout { facts.timeouts + 1 } else { 0 };
            facts.failure = Some(failure);
        }
    }
    let answers = facts.answers();
    if known_before && answers != answered_before {
        announce_reach(model, endpoint, answers);
    }
    announce_leader(model);
    announce_health(model);
    Vec::new()
}

/// A member may answer for itself, and not for the cluster.
fn on_touch(model: &mut Model, endpoint: &str, yes: bool) -> Vec<Effect> {
    if let Some(facts) = model.cluster.endpoints.iter_mut().find(|e| e.url == endpoint) {
        facts.misses = if yes { 0 } else { facts.misses.saturating_add(1) };
    }
    announce_health(model);
    Vec::new()
}

/// Says that a member went silent or is back. A process that the supervisor reports as
/// ended has been announced already, with its reason.
fn announce_reach(model: &mut Model, endpoint: &str, answers: bool) {
    let rows = model.cluster.rows();
    let Some(row) = rows.iter().find(|row| row.endpoint.as_deref() == Some(endpoint)) else {
        return;
    };
    let name = row.name.clone();
    if answers {
        model.cluster.note(model.now, Tone::Good, format!("{name} answers again"));
    } else if row.fleet.as_ref().is_none_or(|node| node.state.has_process()) {
        let why = row.failure.as_ref().map_or("no answer", |failure| failure.text.as_str());
        let text = format!("{name} stopped answering: {why}");
        model.cluster.note(model.now, Tone::Bad, text);
    }
}

fn announce_leader(model: &mut Model) {
    let leader = model.cluster.leader();
    match (leader, model.cluster.announced_leader) {
        (Some((id, term)), before) if before.is_none_or(|(old, t)| (old, t) != (id, term)) => {
            let name = model.cluster.member_name(id);
            // The first answer is not an election; and the name comes with the member list.
            if let Some((old, _)) = before
                && !model.cluster.members.is_empty()
            {
                let text = if old == id {
                    format!("{name} was elected again, term {term}")
                } else {
                    let old = model.cluster.member_name(old);
                    format!("leader {old} → {name}, term {term}")
                };
                model.cluster.note(model.now, Tone::Good, text);
            }
            model.cluster.announced_leader = Some((id, term));
        }
        _ => {}
    }
}

fn announce_health(model: &mut Model) {
    if model.cluster.members.is_empty() {
        return;
    }
    let health = model.cluster.health();
    if health == Health::Unknown || model.cluster.announced_health == Some(health) {
        return;
    }
    model.cluster.announced_health = Some(health);
    let sentence = model.cluster.voters().sentence(model.cluster.leader().is_some());
    let tone = match health {
        Health::Unknown => return,
        Health::Healthy => Tone::Good,
        Health::Degraded | Health::AtRisk | Health::NoLeader => Tone::Warn,
        Health::NoQuorum => Tone::Bad,
    };
    model.cluster.note(model.now, tone, format!("{}: {sentence}", health.word()));
}

fn on_members(model: &mut Model, from: u64, mut members: Vec<MemberFacts>) -> Vec<Effect> {
    if !worth_believing(model, from) {
        return Vec::new();
    }
    for member in &mut members {
        for url in &mut member.client_urls {
            *url = normal_url(url);
        }
    }
    let before = std::mem::take(&mut model.cluster.members);
    if !before.is_empty() {
        let mut texts = Vec::new();
        for member in &members {
            let name = &member.name;
            match before.iter().find(|old| old.id == member.id) {
                None => {
                    let what = if member.learner { "learner" } else { "voter" };
                    let who = if name.is_empty() { "member" } else { name };
                    texts.push(format!("{who} {:x} was added as a {what}", member.id));
                }
                Some(old) if old.learner && !member.learner => {
                    texts.push(format!("{name} was promoted to voter"));
                }
                Some(old) if old.name.is_empty() && !member.name.is_empty() => {
                    texts.push(format!("{name} {:x} has joined", member.id));
                }
                Some(_) => {}
            }
        }
        for old in before.iter().filter(|old| members.iter().all(|m| m.id != old.id)) {
            let who = if old.name.is_empty() { "member" } else { &old.name };
            texts.push(format!("{who} {:x} was removed", old.id));
        }
        for text in texts {
            model.cluster.note(model.now, Tone::Plain, text);
        }
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    model.cluster.members = members;
    model.cluster.members_from = from;
    clamp_cursor(model);
    sync_endpoints(model)
}

/// A member that lags or was removed may hold an old list: the leader's counts, and without
/// a leader that of the member that has applied most.
fn worth_believing(model: &Model, from: u64) -> bool {
    if model.cluster.members.is_empty() {
        return true;
    }
    let answers = |id: u64| model.cluster.answers().find(move |s| s.member_id == id);
    match model.cluster.leader() {
        Some((leader, _)) if answers(leader).is_some() => leader == from,
        _ => {
            let most = model.cluster.answers().map(|s| s.applied_index).max();
            answers(from).is_some_and(|s| Some(s.applied_index) >= most)
        }
    }
}

fn on_alarms(model: &mut Model, alarms: Vec<crate::msg::Alarm>) {
    let before = std::mem::replace(&mut model.cluster.alarms, alarms);
    let after = model.cluster.alarms.clone();
    for alarm in after.iter().filter(|alarm| !before.contains(alarm)) {
        let name = model.cluster.member_name(alarm.member);
        model.cluster.note(model.now, Tone::Bad, format!("alarm {} raised by {name}", alarm.kind));
    }
    for alarm in before.iter().filter(|alarm| !after.contains(alarm)) {
        let name = model.cluster.member_name(alarm.member);
        let text = format!("alarm {} of {name} is gone", alarm.kind);
        model.cluster.note(model.now, Tone::Good, text);
    }
}

/// A round of polling is complete: one sample for every chart.
fn on_round(model: &mut Model) -> Vec<Effect> {
    let now = model.now;
    let cluster = &mut model.cluster;
    cluster.rounds += 1;
    let revision = cluster.revision();
    let writes = match (cluster.sampled, revision) {
        (Some((old, at)), Some(new)) if new >= old && now.since(at) > 0 => {
            Sample::Value((new - old) as f64 * 1_000.0 / now.since(at) as f64)
        }
        _ => Sample::Gap,
    };
    cluster.sampled = revision.map(|revision| (revision, now));
    cluster.writes.push(writes);
    let sample = |probe: Option<Result<u64, Failure>>| match probe {
        Some(Ok(micros)) => Sample::Value(micros as f64),
        Some(Err(_)) => Sample::Failed,
        None => Sample::Gap,
    };
    let probe = cluster.probe.take();
    cluster.reads.push(sample(probe));
    let local_probe = cluster.local_probe.take();
    cluster.local_reads.push(sample(local_probe));
    if cluster.rounds == 1 {
        announce_first(model);
    }
    announce_health(model);
    super::keys::on_round(model)
}

/// The feed begins with what was found, so that it is never an empty box.
fn announce_first(model: &mut Model) {
    let Some((leader, term)) = model.cluster.leader() else { return };
    let name = model.cluster.member_name(leader);
    model.cluster.note(model.now, Tone::Plain, format!("connected: {name} leads, term {term}"));
}

/// Takes what the supervisor says.
pub fn on_fleet(model: &mut Model, update: FleetUpdate) -> Vec<Effect> {
    match update {
        FleetUpdate::View(mut nodes) => {
            for node in &mut nodes {
                node.client_url = normal_url(&node.client_url);
            }
            let changed = nodes.len() != model.cluster.fleet.len()
                || nodes.iter().zip(&model.cluster.fleet).any(|(new, old)| new.state != old.state);
            model.cluster.fleet = nodes;
            model.fleet_gone = false;
            clamp_cursor(model);
            announce_health(model);
            let mut effects = sync_endpoints(model);
            if changed {
                effects.push(Effect::PollNow);
                effects.extend(super::logs::retail(model));
            }
            effects
        }
        FleetUpdate::Links(links) => {
            model.links.all = links;
            Vec::new()
        }
        FleetUpdate::Drills(cards) => {
            super::drills::on_cards(model, cards);
            Vec::new()
        }
        FleetUpdate::Drill(progress) => {
            super::drills::on_progress(model, *progress);
            Vec::new()
        }
        FleetUpdate::DrillEnded(report) => {
            super::drills::on_report(model, *report);
            vec![Effect::PollNow]
        }
        FleetUpdate::Capabilities(capabilities) => {
            model.capabilities = capabilities;
            Vec::new()
        }
        FleetUpdate::Event { node, text } => {
            let unwanted = ["exited", "killed", "failed", "crash"];
            let bad = unwanted.iter().any(|word| text.contains(word));
            let tone = if bad { Tone::Bad } else { Tone::Plain };
            let text = if node.is_empty() { text } else { format!("{node} {text}") };
            model.cluster.note(model.now, tone, text);
            vec![Effect::PollNow]
        }
        FleetUpdate::LogLines { node, lines } => {
            model.logs.add(&node, lines);
            Vec::new()
        }
        FleetUpdate::Progress { what, step, done } => {
            if done {
                model.cluster.progress = None;
                model.cluster.note(model.now, Tone::Good, format!("{what}: {step}"));
            } else {
                model.cluster.progress = Some((what, step));
            }
            Vec::new()
        }
        FleetUpdate::CommandFailed(text) => {
            model.cluster.progress = None;
            super::learn::on_refusal(model);
            super::drills::on_refusal(model);
            model.say(Tone::Bad, text.clone());
            model.cluster.note(model.now, Tone::Bad, text);
            Vec::new()
        }
    }
}

fn clamp_cursor(model: &mut Model) {
    let rows = model.cluster.rows().len();
    model.cluster.cursor = model.cluster.cursor.min(rows.saturating_sub(1));
}

/// Brings the endpoints that are asked in line with what is known: those the user gave, the
/// supervisor's nodes, and the members' advertised addresses.
pub fn sync_endpoints(model: &mut Model) -> Vec<Effect> {
    let mut wanted: Vec<String> = Vec::new();
    let seeds = model.about.seeds.iter().map(|url| normal_url(url));
    let nodes = model.cluster.fleet.iter().map(|node| node.client_url.clone());
    for url in seeds.chain(nodes).filter(|url| !url.is_empty()) {
        if !wanted.contains(&url) {
            wanted.push(url);
        }
    }
    for member in &model.cluster.members {
        // A member that is asked under one address already need not be under others.
        let served = model.cluster.endpoints.iter().any(|endpoint| {
            wanted.contains(&endpoint.url)
                && endpoint.status.as_ref().is_some_and(|s| s.member_id == member.id)
        });
        let known = member.client_urls.iter().any(|url| wanted.contains(url));
        if !served && !known {
            wanted.extend(member.client_urls.first().cloned());
        }
    }
    if wanted.iter().eq(model.cluster.endpoints.iter().map(|endpoint| &endpoint.url)) {
        return Vec::new();
    }
    let mut old = std::mem::take(&mut model.cluster.endpoints);
    for url in &wanted {
        let facts = match old.iter().position(|endpoint| endpoint.url == *url) {
            Some(at) => old.swap_remove(at),
            None => EndpointFacts { url: url.clone(), ..EndpointFacts::default() },
        };
        model.cluster.endpoints.push(facts);
    }
    vec![Effect::Poll(wanted)]
}
