//! The last events, for watchers that ask for what has been.
//!
//! Replicated: all members have the same history, so a watcher may go on at another member.
//! It holds a thousand events as etcd's does, and fewer when they are very large.
//!
//! Indexes of events follow each other without a gap.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::{Code, Error};
use super::event::{Action, Event};
use super::path;

/// Events kept at most.
pub const EVENTS_MAX: usize = 1000;
/// Bytes kept at most, about; the last event always stays.
pub const BYTES_MAX: usize = 64 << 20;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct History {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
}

impl History {
    /// Adds the newest event; gives the indexes of those that had to go.
    pub fn push(&mut self, event: Arc<Event>) -> Vec<u64> {
        self.bytes += event.size();
        self.events.push_back(event);
        let mut gone = Vec::new();
        while self.events.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else { break };
            self.bytes -= oldest.size();
            gone.push(oldest.index);
        }
        gone
    }

    /// Puts an event that was stored back in its place.
    pub fn restore(&mut self, event: Arc<Event>) {
        self.bytes += event.size();
        let at = self.events.partition_point(|other| other.index < event.index);
        self.events.insert(at, event);
    }

    /// All events, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.events.iter()
    }

    /// About the memory it takes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Events that a watcher of `key` wants, from index `since` on. `now` is the store's index.
    pub fn since<'a>(
        &'a self,
        key: &'a str,
        recursive: bool,
        since: u64,
        now: u64,
    ) -> Result<impl Iterator<Item = &'a Arc<Event>>, Error> {
        let start = self.events.front().map_or(0, |event| event.index);
        if since < start {
            let cause = format!("the requested history has been cleared [{start}/{since}]");
            return Err(Error::new(Code::EventIndexCleared, cause, now));
        }
        let from = self.events.partition_point(|event| event.index < since);
        let wanted = move |event: &&Arc<Event>| !event.refresh && concerns(event, key, recursive);
        Ok(self.events.range(from..).filter(wanted))
    }
}

/// Whether a watcher of `key` is told of `event`, looking at the past.
fn concerns(event: &Event, key: &str, recursive: bool) -> bool {
    let at = &event.node.key;
    if at == key || (recursive && path::is_below(at, key)) {
        return true;
    }
    // What was in a directory went with it.
    let removed = matches!(event.action, Action::Delete | Action::Expire);
    removed
        && event.prev_node.as_ref().is_some_and(|prev| prev.dir && path::is_below(key, &prev.key))
}
