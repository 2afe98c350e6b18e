//! The cluster screen: health in words, members, charts, events.

use super::canvas::{Canvas, Piece};
use super::{chart, members};
use crate::hit::Hit;
use crate::layout;
use crate::model::Model;
use crate::model::cluster::Tone;
use crate::model::series::{Sample, Series};
use crate::msg::FailureKind;
use crate::quorum::Health;
use crate::text;
use crate::theme::Role;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

pub fn role_of(tone: Tone) -> Role {
    match tone {
        Tone::Plain => Role::Text,
        Tone::Good => Role::Good,
        Tone::Warn => Role::Warn,
        Tone::Bad => Role::Bad,
    }
}

pub fn health_role(health: Health) -> Role {
    match health {
        Health::Unknown => Role::Dim,
        Health::Healthy => Role::Good,
        Health::Degraded | Health::AtRisk | Health::NoLeader => Role::Warn,
        Health::NoQuorum => Role::Bad,
    }
}

pub fn health_glyph(health: Health) -> &'static str {
    match health {
        Health::Unknown => "…",
        Health::Healthy => "●",
        Health::Degraded | Health::AtRisk | Health::NoLeader => "▲",
        Health::NoQuorum => "✗",
    }
}

pub fn draw(model: &Model, canvas: &mut Canvas<'_>) {
    let rows = model.cluster.rows();
    let width = model.size.0;
    let health = health_lines(model, usize::from(width).saturating_sub(2));
    let parts = layout::cluster(model.size, rows.len(), health.len() as u16);
    for (index, pieces) in health.iter().enumerate() {
        let y = parts.health.y + index as u16;
        if y < parts.health.bottom() {
            canvas.line(parts.health.x + 1, y, width.saturating_sub(2), pieces);
        }
    }
    members::draw(model, &rows, canvas, parts.members);
    if parts.charts[0].height > 0 {
        charts(model, canvas, parts.charts);
    }
    events(model, canvas, parts.events);
}

/// The health sentence, and everything else that is wrong, wrapped to `width`.
pub fn health_lines(model: &Model, width: usize) -> Vec<Vec<Piece>> {
    let cluster = &model.cluster;
    let health = cluster.health();
    let role = health_role(health);
    let leader_known = cluster.leader().is_some();
    let word = format!("{} {}  ", health_glyph(health), health.word());
    let sentence = match health {
        Health::Unknown if cluster.answers().next().is_some() => "asking the members".to_owned(),
        Health::Unknown if cluster.tells_nothing() => {
            "the members are there, and tell this user nothing of themselves".to_owned()
        }
        Health::Unknown => "no member has answered yet".to_owned(),
        _ => cluster.voters().sentence(leader_known),
    };
    let mut lines = Vec::new();
    let room = width.saturating_sub(word.width()).max(10);
    for (index, part) in text::wrap(&sentence, room).into_iter().enumerate() {
        let head = if index == 0 { (role, word.clone()) } else { (role, " ".repeat(word.width())) };
        lines.push(vec![head, (Role::Text, part)]);
    }
    for (role, problem) in problems(model) {
        for part in text::wrap(&problem, width) {
            lines.push(vec![(role, part)]);
        }
    }
    lines.truncate(6);
    lines
}

/// What is wrong beyond missing voters, each with what to do about it.
fn problems(model: &Model) -> Vec<(Role, String)> {
    let cluster = &model.cluster;
    let mut found = Vec::new();
    let nobody = cluster.answers().next().is_none();
    let failed = cluster.endpoints.iter().find_map(|e| Some((&e.url, e.failure.as_ref()?)));
    if let (Some((url, failure)), true) = (failed, nobody && !model.about.local) {
        let advice = match failure.kind {
            FailureKind::Refused => {
                " — is a member running there? --endpoints takes its client URL"
            }
            FailureKind::Timeout => " — is the address right, and is it reachable from here?",
            FailureKind::Denied => " — keys that it may read are on screen 2: go there with b",
            FailureKind::Address | FailureKind::NotEtcd => " — check --endpoints",
            // What the server says has nothing to do with its address.
            _ => "",
        };
        // Some say themselves what to do.
        let advice = if failure.text.ends_with('?') { "" } else { advice };
        found.push((Role::Bad, format!("{url}: {}{advice}", failure.text)));
        let again = match failure.kind {
            FailureKind::Login => "trying again every few seconds",
            _ => "trying again every second",
        };
        found.push((Role::Dim, again.to_owned()));
    }
    let ids = cluster.cluster_ids();
    if ids.len() > 1 {
        let ids: Vec<String> = ids.iter().map(|id| format!("{id:x}")).collect();
        let text = format!(
            "the endpoints belong to different clusters ({}): give those of one",
            ids.join(", ")
        );
        found.push((Role::Bad, text));
    }
    for alarm in &cluster.alarms {
        let name = cluster.member_name(alarm.member);
        let advice = match alarm.kind.as_str() {
            "NOSPACE" => "writes are refused: compact, defragment, then disarm the alarm",
            "CORRUPT" => "its data differs from the others': replace the member",
            _ => "see the member's log",
        };
        found.push((Role::Bad, format!("alarm {} on {name}: {advice}", alarm.kind)));
    }
    if model.fleet_gone {
        let text = "the supervisor is gone: leave (q) and run `etcd-tui up` again";
        found.push((Role::Bad, text.to_owned()));
    }
    if let Some((what, step)) = &cluster.progress {
        found.push((Role::Accent, format!("{what}: {step}")));
    }
    found
}

fn charts(model: &Model, canvas: &mut Canvas<'_>, areas: [Rect; 2]) {
    let cluster = &model.cluster;
    let now = |series: &Series, show: &dyn Fn(f64) -> String| match series.last() {
        Some(Sample::Value(value)) => (Role::Title, show(value)),
        Some(Sample::Failed) => (Role::Bad, "failing".to_owned()),
        Some(Sample::Gap) | None => (Role::Dim, "–".to_owned()),
    };
    let rate = |value: f64| text::number(value.round() as u64);
    let took = |micros: f64| text::latency(micros as u64);
    let title = [(Role::Title, "Writes/s ".to_owned()), now(&cluster.writes, &rate)];
    let inner = canvas.frame(areas[0], &title, false);
    chart::draw(canvas, inner, &cluster.writes, 10.0, rate, Role::Chart);
    let mut title =
        vec![(Role::Title, "Linearizable read ".to_owned()), now(&cluster.reads, &took)];
    if areas[1].width > 46 {
        title.push((Role::Dim, " · local ".to_owned()));
        title.push(now(&cluster.local_reads, &took));
    }
    let inner = canvas.frame(areas[1], &title, false);
    chart::draw(canvas, inner, &cluster.reads, 1_000.0, took, Role::ChartOther);
}

fn events(model: &Model, canvas: &mut Canvas<'_>, area: Rect) {
    let cluster = &model.cluster;
    let mut title = vec![(Role::Title, "Events".to_owned())];
    if cluster.events_scroll > 0 {
        title.push((Role::Dim, format!(" {} newer above", cluster.events_scroll)));
    }
    let inner = canvas.frame(area, &title, false);
    canvas.hit(area, Hit::Pane(0));
    if inner.height == 0 {
        return;
    }
    if cluster.events.is_empty() {
        let text = "nothing yet: elections, exits and membership changes appear here";
        canvas.put(inner.x + 1, inner.y, inner.width.saturating_sub(2), text, Role::Dim);
    }
    let newest = cluster.events.iter().rev().skip(cluster.events_scroll);
    for (row, event) in newest.take(usize::from(inner.height)).enumerate() {
        let at = text::clock(event.at.unix_ms, model.about.utc_offset_s);
        let pieces = [(Role::Dim, format!("{at}  ")), (role_of(event.tone), event.text.clone())];
        canvas.line(inner.x + 1, inner.y + row as u16, inner.width.saturating_sub(2), &pieces);
    }
}
