//! Watches a cluster beside the drill: who leads, what the supervisor reports, what nodes log.
//! It only looks. What it keeps is bounded, so that a node that logs without end costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::progress::{FeedLine, LeaderSpan};
use super::stage::{leader, term};
use crate::logs::Follower;
use crate::{Client, Event};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(100);
/// Log lines kept of one node.
const LINES_MAX: usize = 4000;
/// Lines of the feed.
const FEED_MAX: usize = 500;
/// Longest line that is kept.
const LINE_CHARS_MAX: usize = 300;

/// A line of a node's log, with the time it was seen at.
#[derive(Clone, Debug)]
pub struct LogLine {
    pub at_ms: u64,
    pub text: String,
}

/// Everything seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    pub leader: Vec<LeaderSpan>,
    pub feed: Vec<FeedLine>,
    pub logs: BTreeMap<String, Vec<LogLine>>,
}

/// Looks until it is aborted. `origin` is when the load began.
pub async fn run(client: Arc<Client>, origin: Instant, seen: Arc<Mutex<Seen>>) {
    let Ok(view) = client.view().await else { return };
    let Ok(mut events) = client.subscribe(view.event_seq).await else { return };
    let mut followers: BTreeMap<String, Follower> = BTreeMap::new();
    let mut ticks = tokio::time::interval(PAUSE);
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => note(&seen, origin, event),
                None => return,
            },
            _ = ticks.tick() => {
                let Ok(view) = client.view().await else { return };
                let at_ms = millis(origin);
                let now = leader(&view).map(|node| node.name.clone());
                let term = leader(&view).and_then(|node| node.term).unwrap_or_else(|| term(&view));
                let mut seen = seen.lock();
                let last = seen.leader.last();
                if last.is_none_or(|last| last.node != now || last.term != term) {
                    seen.leader.push(LeaderSpan { from_ms: at_ms, node: now, term });
                }
                for node in &view.nodes {
                    let follower = followers
                        .entry(node.name.clone())
                        .or_insert_with(|| Follower::from_end(&node.log_path));
                    // A log that cannot be read now can be read later.
                    let lines = follower.poll().unwrap_or_default();
                    let kept = seen.logs.entry(node.name.clone()).or_default();
                    let room = LINES_MAX.saturating_sub(kept.len());
                    kept.extend(lines.into_iter().take(room).map(|text| LogLine {
                        at_ms,
                        text: text.chars().take(LINE_CHARS_MAX).collect(),
                    }));
                }
            }
        }
    }
}

fn note(seen: &Mutex<Seen>, origin: Instant, event: Event) {
    let mut seen = seen.lock();
    if seen.feed.len() < FEED_MAX {
        let text = match event.node {
            Some(node) => format!("{node} {}", event.text),
            None => event.text,
        };
        seen.feed.push(FeedLine { at_ms: millis(origin), text });
    }
}

/// Milliseconds since `origin`.
pub fn millis(origin: Instant) -> u64 {
    u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX)
}
