//! What a correct store does with a request in a known state.
//!
//! # Invariant
//! A function of the request and the state at one revision; etcd's rules, written a second
//! time and independently of any server.

use std::collections::BTreeMap;

use crate::committed::Committed;
use crate::record::{Answer, Compare, Event, KeyRange, Pair, Put, Request, TxnOp};

/// What should come of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The changes, by key.
    pub events: BTreeMap<String, Event>,
    pub answer: Answer,
}

/// The state at one revision, with what the request itself has changed so far.
struct State<'a> {
    committed: &'a Committed,
    at: i64,
    revision: i64,
    changed: BTreeMap<String, Option<Pair>>,
}

/// What `request` does if it finds the state at revision `at` and gets `revision`.
pub fn expect(request: &Request, committed: &Committed, at: i64, revision: i64) -> Expected {
    let mut state = State { committed, at, revision, changed: BTreeMap::new() };
    let answer = match request {
        Request::Put(put) => {
            state.put(put);
            Answer::Done
        }
        Request::Delete { range } => Answer::Deleted(state.delete(range)),
        Request::Get(get) => Answer::Pairs(state.get(&get.range)),
        Request::Txn(txn) => {
            let succeeded = txn.compares.iter().all(|compare| state.holds(compare));
            let branch = if succeeded { &txn.success } else { &txn.failure };
            let mut gets = Vec::new();
            for operation in branch {
                match operation {
                    TxnOp::Put(put) => state.put(put),
                    TxnOp::Delete { range } => {
                        state.delete(range);
                    }
                    TxnOp::Get { range } => gets.push(state.get(range)),
                }
            }
            Answer::Txn { succeeded, gets }
        }
        Request::Revoke { lease } => {
            for key in committed.keys_of_lease(*lease, at) {
                state.changed.insert(key.to_string(), None);
            }
            Answer::Done
        }
        Request::Grant { .. } | Request::KeepAlive { .. } => Answer::Done,
    };
    Expected { events: state.events(), answer }
}

impl State<'_> {
    fn pair(&self, key: &str) -> Option<&Pair> {
        match self.changed.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.committed.pair_at(key, self.at),
        }
    }

    fn put(&mut self, put: &Put) {
        let (create_revision, version) = match self.pair(&put.key) {
            Some(before) => (before.create_revision, before.version + 1),
            None => (self.revision, 1),
        };
        let pair = Pair {
            key: put.key.clone(),
            value: put.value.clone(),
            create_revision,
            mod_revision: self.revision,
            version,
            lease: put.lease,
        };
        self.changed.insert(put.key.clone(), Some(pair));
    }

    fn delete(&mut self, range: &KeyRange) -> i64 {
        let found = self.get(range);
        for pair in &found {
            self.changed.insert(pair.key.clone(), None);
        }
        found.len() as i64
    }

    fn get(&self, range: &KeyRange) -> Vec<Pair> {
        let before = self.committed.state_at(range, self.at);
        let mut state: BTreeMap<&str, &Pair> =
            before.iter().map(|pair| (pair.key.as_str(), pair)).collect();
        for (key, changed) in &self.changed {
            match changed {
                _ if !range.contains(key) => {}
                Some(pair) => drop(state.insert(key, pair)),
                None => drop(state.remove(key.as_str())),
            }
        }
        state.into_values().cloned().collect()
    }

    fn holds(&self, compare: &Compare) -> bool {
        match compare {
            Compare::ValueIs { key, value } => {
                self.pair(key).is_some_and(|pair| pair.value == *value)
            }
            Compare::ModRevisionIs { key, revision } => {
                self.pair(key).map_or(0, |pair| pair.mod_revision) == *revision
            }
            Compare::CreateRevisionIs { key, revision } => {
                self.pair(key).map_or(0, |pair| pair.create_revision) == *revision
            }
        }
    }

    fn events(self) -> BTreeMap<String, Event> {
        let Self { revision, changed, committed, at } = self;
        let event = |(key, change): (String, Option<Pair>)| match change {
            Some(pair) => Some((key, Event::Put(pair))),
            None if committed.pair_at(&key, at).is_some() => {
                Some((key.clone(), Event::Delete { key, revision }))
            }
            None => None,
        };
        changed.into_iter().filter_map(event).collect()
    }
}
