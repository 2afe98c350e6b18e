//! The order of everything that was committed, and the state at each revision.
//!
//! # Invariant
//! A value of [`Committed`] is consistent in itself: each change follows from the one before
//! it (versions count up, a deleted key existed). So a disagreement with it is the client's
//! answer being wrong, or the cluster having forgotten, never a slip of this table.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::record::{Event, History, KeyRange, Pair};
use crate::verdict::{Rule, Violation};

/// All committed changes.
#[derive(Debug, Default)]
pub struct Committed {
    start: i64,
    events: BTreeMap<i64, Vec<Event>>,
    /// Per key, what it was from which revision on.
    keys: BTreeMap<String, Vec<(i64, Option<Pair>)>>,
}

impl Committed {
    /// Reads the events that the cluster told at the end.
    ///
    /// # Errors
    /// What in them contradicts itself.
    pub fn new(history: &History) -> Result<Self, Vec<Violation>> {
        let mut committed = Self { start: history.start_revision, ..Self::default() };
        for pair in &history.start {
            let versions = committed.keys.entry(pair.key.clone()).or_default();
            versions.push((pair.mod_revision, Some(pair.clone())));
        }
        let mut wrong = Vec::new();
        let mut last = history.start_revision;
        for event in &history.events {
            let revision = event.revision();
            if revision <= history.start_revision || revision < last {
                wrong.push(Violation::new(
                    Rule::Events,
                    format!("revision {revision} is told after revision {last}"),
                ));
                continue;
            }
            last = revision;
            if let Err(why) = committed.add(event) {
                wrong.push(Violation::new(Rule::Events, why));
            }
        }
        if wrong.is_empty() { Ok(committed) } else { Err(wrong) }
    }

    fn add(&mut self, event: &Event) -> Result<(), String> {
        let (key, revision) = (event.key().to_string(), event.revision());
        let versions = self.keys.entry(key.clone()).or_default();
        if versions.last().is_some_and(|(at, _)| *at >= revision) {
            return Err(format!("{key} changes twice at revision {revision}"));
        }
        let before = versions.last().and_then(|(_, pair)| pair.as_ref());
        let after = match event {
            Event::Delete { .. } if before.is_none() => {
                return Err(format!("{key} is deleted at revision {revision}, and was not there"));
            }
            Event::Delete { .. } => None,
            Event::Put(pair) => {
                let (version, create) = match before {
                    Some(before) => (before.version + 1, before.create_revision),
                    None => (1, revision),
                };
                if (pair.version, pair.create_revision) != (version, create) {
                    return Err(format!(
                        "{key} at revision {revision} has version {} and create revision {}, \
                         which should be {version} and {create}",
                        pair.version, pair.create_revision
                    ));
                }
                Some(pair.clone())
            }
        };
        versions.push((revision, after));
        self.events.entry(revision).or_default().push(event.clone());
        Ok(())
    }

    /// The revision before the first event.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The last revision there is.
    pub fn last(&self) -> i64 {
        self.events.last_key_value().map_or(self.start, |(revision, _)| *revision)
    }

    /// What happened at this revision.
    pub fn events_at(&self, revision: i64) -> &[Event] {
        self.events.get(&revision).map_or(&[], Vec::as_slice)
    }

    /// All revisions with their events, after `from` and up to `to`.
    pub fn between(&self, from: i64, to: i64) -> impl Iterator<Item = (i64, &[Event])> {
        let bounds = (Bound::Excluded(from), Bound::Included(to.max(from.saturating_add(1))));
        let limit = to;
        self.events
            .range(bounds)
            .filter(move |(revision, _)| **revision <= limit)
            .map(|(revision, events)| (*revision, events.as_slice()))
    }

    /// Whether anything was written at this revision.
    pub fn is_written(&self, revision: i64) -> bool {
        self.events.contains_key(&revision)
    }

    /// The key at a revision.
    pub fn pair_at(&self, key: &str, revision: i64) -> Option<&Pair> {
        let versions = self.keys.get(key)?;
        let count = versions.partition_point(|(at, _)| *at <= revision);
        versions[..count].last()?.1.as_ref()
    }

    /// The keys of a range at a revision, in order.
    pub fn state_at(&self, range: &KeyRange, revision: i64) -> Vec<Pair> {
        let Some(end) = &range.end else {
            return self.pair_at(&range.key, revision).cloned().into_iter().collect();
        };
        if *end <= range.key {
            return Vec::new();
        }
        let bounds = (Bound::Included(range.key.as_str()), Bound::Excluded(end.as_str()));
        self.keys
            .range::<str, _>(bounds)
            .filter_map(|(key, _)| self.pair_at(key, revision).cloned())
            .collect()
    }

    /// The keys that hang on a lease at a revision.
    pub fn keys_of_lease(&self, lease: i64, revision: i64) -> BTreeSet<&str> {
        let keys = self.keys.keys();
        keys.filter(|key| self.pair_at(key, revision).is_some_and(|pair| pair.lease == lease))
            .map(String::as_str)
            .collect()
    }

    /// The revisions at which this value was put under this key.
    pub fn revisions_of(&self, key: &str, value: &str) -> Vec<i64> {
        let versions = self.keys.get(key).map_or(&[][..], Vec::as_slice);
        let put = |pair: &Option<Pair>| pair.as_ref().is_some_and(|pair| pair.value == value);
        versions.iter().filter(|(_, pair)| put(pair)).map(|(at, _)| *at).collect()
    }
}
