//! A correct store in memory with many clients, whose answers take their time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::record::{
    Answer, Compare, Event, Get, History, KeyRange, MemberHash, Operation, Outcome, Pair, Put,
    Request, Response, Txn, TxnOp, Watch, WatchEvent, WatchMessage,
};

const CLIENTS: usize = 4;

/// What happens, as small numbers.
#[derive(Clone, Debug)]
pub struct Script {
    steps: Vec<(usize, u8, u8, u8)>,
}

impl Script {
    pub fn any() -> impl Strategy<Value = Self> {
        let step = (0..CLIENTS, any::<u8>(), any::<u8>(), any::<u8>());
        prop::collection::vec(step, 1..160).prop_map(|steps| Self { steps })
    }
}

#[derive(Default)]
struct Store {
    revision: i64,
    pairs: BTreeMap<String, Pair>,
    events: Vec<Event>,
    /// The state at each revision, for serializable reads.
    past: Vec<BTreeMap<String, Pair>>,
}

impl Store {
    fn in_range(&self, range: &KeyRange) -> Vec<Pair> {
        self.pairs.values().filter(|pair| range.contains(&pair.key)).cloned().collect()
    }

    fn put(&mut self, put: &Put, revision: i64) {
        let before = self.pairs.get(&put.key);
        let pair = Pair {
            key: put.key.clone(),
            value: put.value.clone(),
            create_revision: before.map_or(revision, |pair| pair.create_revision),
            mod_revision: revision,
            version: before.map_or(1, |pair| pair.version + 1),
            lease: put.lease,
        };
        self.events.push(Event::Put(pair.clone()));
        self.pairs.insert(put.key.clone(), pair);
    }

    fn delete(&mut self, keys: Vec<Pair>, revision: i64) -> i64 {
        for pair in &keys {
            self.pairs.remove(&pair.key);
            self.events.push(Event::Delete { key: pair.key.clone(), revision });
        }
        keys.len() as i64
    }

    fn apply(&mut self, request: &Request) -> Response {
        let next = self.revision + 1;
        let events = self.events.len();
        let answer = match request {
            Request::Put(put) => {
                self.put(put, next);
                Answer::Done
            }
            Request::Delete { range } => Answer::Deleted(self.delete(self.in_range(range), next)),
            Request::Get(get) => Answer::Pairs(self.in_range(&get.range)),
            Request::Txn(txn) => self.txn(txn, next),
            Request::Revoke { lease } => {
                let keys = self.pairs.values().filter(|pair| pair.lease == *lease);
                self.delete(keys.cloned().collect(), next);
                Answer::Done
            }
            Request::Grant { ttl_seconds, .. } => Answer::Ttl(*ttl_seconds),
            Request::KeepAlive { .. } => Answer::Ttl(60),
        };
        if self.events.len() > events {
            self.revision = next;
            self.past.push(self.pairs.clone());
        }
        Response { revision: self.revision, answer }
    }

    fn txn(&mut self, txn: &Txn, next: i64) -> Answer {
        let holds = |compare: &Compare| match compare {
            Compare::ValueIs { key, value } => {
                self.pairs.get(key).is_some_and(|pair| pair.value == *value)
            }
            Compare::ModRevisionIs { key, revision } => {
                self.pairs.get(key).map_or(0, |pair| pair.mod_revision) == *revision
            }
            Compare::CreateRevisionIs { key, revision } => {
                self.pairs.get(key).map_or(0, |pair| pair.create_revision) == *revision
            }
        };
        let succeeded = txn.compares.iter().all(holds);
        let mut gets = Vec::new();
        for one in if succeeded { &txn.success } else { &txn.failure } {
            match one {
                TxnOp::Put(put) => self.put(put, next),
                TxnOp::Delete { range } => drop(self.delete(self.in_range(range), next)),
                TxnOp::Get { range } => gets.push(self.in_range(range)),
            }
        }
        Answer::Txn { succeeded, gets }
    }
}

fn request(number: usize, kind: u8, key: u8, store: &Store) -> Request {
    let name = format!("k{}", key % 4);
    let value = format!("v{number}");
    let range = match key % 7 {
        0 => KeyRange { key: "k0".into(), end: Some("k2".into()) },
        _ => KeyRange::one(&name),
    };
    match kind % 12 {
        0..=3 => Request::Put(Put { key: name, value, lease: 0 }),
        4 => Request::Put(Put { key: format!("leased{}", key % 2), value, lease: 7 }),
        5 => Request::Delete { range },
        6 => {
            let known = store.pairs.get(&name).map_or("none", |pair| pair.value.as_str());
            Request::Txn(Txn {
                compares: vec![Compare::ValueIs { key: name.clone(), value: known.into() }],
                success: vec![TxnOp::Put(Put { key: name.clone(), value, lease: 0 })],
                failure: vec![TxnOp::Get { range: KeyRange::one(name) }],
            })
        }
        7 => Request::Txn(Txn {
            compares: vec![Compare::CreateRevisionIs { key: name, revision: 0 }],
            success: vec![
                TxnOp::Put(Put { key: "k1".into(), value, lease: 0 }),
                TxnOp::Get { range: KeyRange { key: "k".into(), end: Some("l".into()) } },
            ],
            failure: vec![TxnOp::Delete { range: KeyRange::one("k3") }],
        }),
        8 => Request::Revoke { lease: 7 },
        9 => Request::Get(Get { range, serializable: true, revision: 0 }),
        _ => Request::Get(Get { range, serializable: false, revision: 0 }),
    }
}

/// A request on its way.
struct Call {
    operation: Operation,
    response: Option<Response>,
}

/// Plays the script and records it.
pub fn record(script: &Script) -> History {
    let mut store = Store { revision: 1, past: vec![BTreeMap::new()], ..Store::default() };
    let mut calls: Vec<Option<Call>> = (0..CLIENTS).map(|_| None).collect();
    let mut history = History { start_revision: 1, ..History::default() };
    let mut told = 0;
    let mut messages = Vec::new();
    for (number, (client, kind, key, luck)) in script.steps.iter().enumerate() {
        let now = number as u64 * 10;
        match calls[*client].take() {
            None => {
                let operation = Operation {
                    client: *client as u32,
                    member: format!("n{client}"),
                    invoked: now,
                    finished: None,
                    request: request(number, *kind, *key, &store),
                    outcome: Outcome::Unknown("no answer".into()),
                };
                calls[*client] = Some(Call { operation, response: None });
            }
            Some(call) if call.response.is_none() && *luck > 20 => {
                let response = answer(&mut store, &call.operation.request, *luck);
                calls[*client] = Some(Call { response: Some(response), ..call });
            }
            // The request or its answer is lost.
            Some(call) if *luck % 10 == 0 => history.operations.push(call.operation),
            Some(Call { mut operation, response: Some(response) }) => {
                operation.finished = Some(now);
                operation.outcome = Outcome::Ok(response);
                history.operations.push(operation);
            }
            Some(mut call) => {
                call.operation.finished = Some(now);
                call.operation.outcome = Outcome::Refused("not now".into());
                history.operations.push(call.operation);
            }
        }
        if luck % 3 == 0 && told < store.events.len() {
            messages.push(message(&store.events[told..], &store, now));
            told = store.events.len();
        }
    }
    history.operations.extend(calls.into_iter().flatten().map(|call| call.operation));
    history.watches.push(Watch {
        client: 99,
        member: "n1".into(),
        range: KeyRange { key: "a".into(), end: Some("z".into()) },
        start_revision: 0,
        no_put: false,
        no_delete: false,
        previous: true,
        created: Some(1),
        messages,
        complete_to: 0,
    });
    history.hashes = ["n1", "n2"]
        .map(|member| MemberHash {
            member: member.into(),
            revision: store.revision,
            compact_revision: -1,
            hash: 7,
        })
        .to_vec();
    history.events = store.events;
    history
}

fn answer(store: &mut Store, request: &Request, luck: u8) -> Response {
    match request {
        Request::Get(get) if get.serializable => {
            // A member that lags.
            let lag = (luck as usize / 64).min(store.past.len() - 1);
            let state = &store.past[store.past.len() - 1 - lag];
            let pairs = state.values().filter(|pair| get.range.contains(&pair.key));
            let answer = Answer::Pairs(pairs.cloned().collect());
            Response { revision: store.revision - lag as i64, answer }
        }
        request => store.apply(request),
    }
}

fn message(events: &[Event], store: &Store, now: u64) -> WatchMessage {
    let told = |event: &Event| {
        let before = &store.past[event.revision() as usize - 2];
        WatchEvent { event: event.clone(), previous: before.get(event.key()).cloned() }
    };
    WatchMessage {
        received: now,
        revision: store.revision,
        fragment: false,
        events: events.iter().map(told).collect(),
    }
}
