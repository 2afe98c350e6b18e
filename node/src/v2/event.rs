//! What a v2 request did, as its client and the watchers see it.
//!
//! An event is made once, at apply, with the time that the request carries; every member has
//! the same one, its remaining times to live included. Values are shared, not copied: the
//! tree, the event and the history all hold the same one.

use std::sync::Arc;

use proto::v2::{V2Event, V2View};

const NANOS: i64 = 1_000_000_000;

/// What was done. The numbers are on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Get = 0,
    Set = 1,
    Create = 2,
    Update = 3,
    CompareAndSwap = 4,
    Delete = 5,
    CompareAndDelete = 6,
    Expire = 7,
}

const ACTIONS: [Action; 8] = [
    Action::Get,
    Action::Set,
    Action::Create,
    Action::Update,
    Action::CompareAndSwap,
    Action::Delete,
    Action::CompareAndDelete,
    Action::Expire,
];

impl Action {
    /// etcd's name of it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Create => "create",
            Self::Update => "update",
            Self::CompareAndSwap => "compareAndSwap",
            Self::Delete => "delete",
            Self::CompareAndDelete => "compareAndDelete",
            Self::Expire => "expire",
        }
    }
}

/// A node as a client sees it. The root has the key "".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    pub key: String,
    /// `None` for a directory, and for what was deleted.
    pub value: Option<Arc<str>>,
    pub dir: bool,
    /// Nanoseconds since 1970.
    pub expiration: Option<i64>,
    /// Seconds left.
    pub ttl: i64,
    pub nodes: Vec<View>,
    pub modified: u64,
    pub created: u64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub action: Action,
    pub node: View,
    pub prev_node: Option<View>,
    /// The store's index when it was made.
    pub index: u64,
    /// Only the time to live was renewed: no watcher hears of it.
    pub refresh: bool,
}

/// Seconds from `now` to `expiration`, rounded up.
pub fn seconds_left(expiration: i64, now: i64) -> i64 {
    let left = expiration.saturating_sub(now);
    left / NANOS + i64::from(left % NANOS > 0)
}

impl View {
    /// About the memory it takes.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.key.len() + self.value.as_ref().map_or(0, |value| value.len())
    }

    fn to_row(&self) -> V2View {
        V2View {
            key: self.key.clone(),
            dir: self.dir,
            value: self.value.as_ref().map(|value| value.to_string()),
            expiration: self.expiration.unwrap_or(0),
            ttl: self.ttl,
            created: self.created,
            modified: self.modified,
        }
    }

    fn from_row(row: V2View) -> Self {
        Self {
            key: row.key,
            value: row.value.map(Arc::from),
            dir: row.dir,
            expiration: Some(row.expiration).filter(|at| *at != 0),
            ttl: row.ttl,
            nodes: Vec::new(),
            modified: row.modified,
            created: row.created,
        }
    }
}

impl Event {
    /// Whether something is there now that was not before.
    pub fn is_creation(&self) -> bool {
        match self.action {
            Action::Create => true,
            Action::Set => self.prev_node.is_none(),
            _ => false,
        }
    }

    /// About the memory it takes.
    pub fn size(&self) -> usize {
        self.node.size() + self.prev_node.as_ref().map_or(0, View::size)
    }

    /// Its row. The index is the row's key.
    pub fn to_row(&self) -> V2Event {
        V2Event {
            action: self.action as u32,
            node: Some(self.node.to_row()),
            prev_node: self.prev_node.as_ref().map(View::to_row),
            refresh: self.refresh,
        }
    }

    /// Reads a row back.
    pub fn from_row(index: u64, row: V2Event) -> Option<Self> {
        let action = ACTIONS.get(usize::try_from(row.action).ok()?).copied()?;
        Some(Self {
            action,
            node: View::from_row(row.node?),
            prev_node: row.prev_node.map(View::from_row),
            index,
            refresh: row.refresh,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_rounded_up_and_may_be_over() {
        assert_eq!(seconds_left(10 * NANOS, 0), 10);
        assert_eq!(seconds_left(10 * NANOS, 1), 10);
        assert_eq!(seconds_left(10 * NANOS, NANOS), 9);
        assert_eq!(seconds_left(0, NANOS / 2), 0);
        assert_eq!(seconds_left(0, 3 * NANOS / 2), -1);
        assert_eq!(seconds_left(i64::MAX, i64::MIN), i64::MAX / NANOS + 1);
    }

    #[test]
    fn actions_are_found_again_by_their_numbers() {
        for action in ACTIONS {
            assert_eq!(ACTIONS[action as usize], action);
        }
    }
}
