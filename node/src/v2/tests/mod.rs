//! The store against a naive model, its rows, its history and its watchers.

mod model;
mod watching;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::v2::{V2Request, v2_request::Kind};

use super::event::{Event, View};
use super::store::{EXPIRIES_MAX, Store};
use super::{Action, Code, history, rows};
use crate::machine::side::SideChange;
use model::{Model, Tree};

pub(super) fn request(kind: Kind, key: &str) -> V2Request {
    V2Request { kind: kind as i32, key: key.into(), ..V2Request::default() }
}

/// Applies what must be allowed.
#[track_caller]
fn apply(store: &mut Store, request: &V2Request) {
    store.apply(request).0.expect("an allowed request");
}

fn set(key: &str, value: &str) -> V2Request {
    V2Request { value: value.into(), ..request(Kind::Set, key) }
}

/// Rows as a store keeps them.
#[derive(Default)]
struct Rows(BTreeMap<(u8, Vec<u8>), Vec<u8>>);

impl Rows {
    fn write(&mut self, changes: Vec<SideChange>) {
        for change in changes {
            let key = (change.table, change.key);
            match change.value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    fn load(&self) -> Store {
        let mut store = Store::default();
        for ((table, key), value) in &self.0 {
            rows::load(&mut store, *table, key, value).expect("a row just written");
        }
        store
    }
}

fn same(left: &Store, right: &Store) -> bool {
    left.index() == right.index()
        && left.nodes().eq(right.nodes())
        && left.history().iter().eq(right.history().iter())
        && left.next_expiration() == right.next_expiration()
        && left.bytes() == right.bytes()
}

/// The tree of a store, by reading directory after directory. Hidden nodes are not listed,
/// so they are compared by name.
fn matches_model(store: &Store, key: &str, tree: &Tree) {
    let event = store.get(key, false, 0).expect("a node of the model");
    let View { value, dir, expiration, nodes, modified, created, .. } = event.node;
    assert_eq!(value.as_deref(), tree.value.as_deref(), "{key}");
    assert_eq!((dir, modified, created), (tree.value.is_none(), tree.modified, tree.created));
    assert_eq!(expiration.unwrap_or(0), tree.expiration, "{key}");
    let listed: Vec<String> = nodes.into_iter().map(|node| node.key).collect();
    let visible = tree.children.keys().filter(|name| !name.starts_with('_'));
    let expected: Vec<String> = visible.map(|name| format!("{key}/{name}")).collect();
    assert_eq!(listed, expected);
    for (name, child) in &tree.children {
        matches_model(store, &format!("{key}/{name}"), child);
    }
}

fn nodes_in(tree: &Tree) -> usize {
    tree.children.values().map(|child| 1 + nodes_in(child)).sum()
}

fn keys() -> impl Strategy<Value = String> {
    // Names around '/' in the order of bytes, and a hidden one.
    let name = prop::sample::select(vec!["a", "a-", "a0", "b", "_h"]);
    prop::collection::vec(name, 0..4)
        .prop_map(|names| names.iter().map(|name| format!("/{name}")).collect())
}

fn requests() -> impl Strategy<Value = V2Request> {
    let kind = prop_oneof![
        6 => Just(Kind::Set),
        4 => Just(Kind::Create),
        2 => Just(Kind::CreateInOrder),
        3 => Just(Kind::Update),
        3 => Just(Kind::CompareAndSwap),
        3 => Just(Kind::Delete),
        2 => Just(Kind::CompareAndDelete),
        1 => Just(Kind::Expire),
    ];
    let text = prop::sample::select(vec!["", "x", "y"]);
    let expiration = prop_oneof![3 => Just(0), 1 => 1..9i64];
    let flags = (any::<bool>(), prop::bool::weighted(0.2), any::<bool>());
    (kind, keys(), text.clone(), text, expiration, 0..12u64, 0..9i64, flags).prop_map(
        |(kind, key, value, prev, expiration, prev_index, time, (dir, refresh, recursive))| {
            V2Request {
                value: value.into(),
                dir,
                expiration,
                refresh,
                prev_value: prev.into(),
                prev_index: if prev_index < 6 { 0 } else { prev_index },
                recursive,
                time,
                ..request(kind, &key)
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn agrees_with_the_naive_model(requests in prop::collection::vec(requests(), 0..60)) {
        let (mut store, mut model, mut stored) = (Store::default(), Model::default(), Rows::default());
        for request in requests {
            let before = store.clone();
            let (result, outcome, changes) = store.apply(&request);
            let expected = model.apply(&request);
            let told: Vec<_> = outcome.notices.iter().map(|notice| &notice.event).collect();
            match (result, expected) {
                (Ok(event), Ok(done)) => {
                    prop_assert!(outcome.done);
                    let seen: Vec<_> = told
                        .iter()
                        .map(|event| (event.action, event.node.key.clone(), event.prev_node.is_some()))
                        .collect();
                    prop_assert_eq!(seen, done);
                    if let Some(event) = event {
                        prop_assert_eq!(&event, told[0]);
                        prop_assert_eq!(event.index, event.node.modified);
                    }
                }
                (Err(error), Err((code, cause))) => {
                    prop_assert_eq!((error.code, error.cause), (code, cause));
                    prop_assert_eq!(error.index, model.index);
                    prop_assert!(told.is_empty() && changes.is_empty() && same(&before, &store));
                }
                (left, right) => prop_assert!(false, "{:?} but {:?}: {:?}", left, right, request),
            }
            stored.write(changes);
            matches_model(&store, "", &model.root);
            prop_assert_eq!(store.index(), model.index);
            prop_assert_eq!(store.nodes().count(), nodes_in(&model.root));
        }
        prop_assert!(same(&stored.load(), &store));
        let mut dumped = Rows::default();
        dumped.write(rows::dump(&store));
        prop_assert_eq!(dumped.0, stored.0);
    }
}

#[test]
fn the_history_keeps_the_last_thousand_and_says_what_is_gone() {
    let (mut store, mut stored) = (Store::default(), Rows::default());
    for number in 0..history::EVENTS_MAX + 10 {
        stored.write(store.apply(&set("/a", &number.to_string())).2);
    }
    let events = stored.0.keys().filter(|(table, _)| *table == rows::EVENTS).count();
    assert_eq!(events, history::EVENTS_MAX);
    assert!(same(&stored.load(), &store));
    let error = store.history().since("/a", false, 10, store.index()).err().expect("it is gone");
    assert_eq!(error.code, Code::EventIndexCleared);
    assert_eq!(error.cause, "the requested history has been cleared [11/10]");
    assert_eq!(error.index, 1010);
    let since = |index| store.history().since("/a", false, index, store.index()).unwrap().count();
    assert_eq!((since(11), since(1010), since(1011), since(u64::MAX)), (1000, 1, 0, 0));
}

#[test]
fn large_events_leave_the_history_earlier() {
    let mut store = Store::default();
    let large = "x".repeat(history::BYTES_MAX / 4);
    for _ in 0..6 {
        apply(&mut store, &set("/a", &large));
        assert!(store.history().bytes() <= history::BYTES_MAX);
    }
    assert!(store.history().iter().count() < 4);
    let one = "x".repeat(history::BYTES_MAX + 1);
    apply(&mut store, &set("/b", &one));
    assert_eq!(store.history().iter().count(), 1);
}

#[test]
fn many_expire_in_portions_and_none_is_forgotten() {
    let mut store = Store::default();
    for number in 0..EXPIRIES_MAX + 5 {
        apply(&mut store, &V2Request { expiration: 10, ..set(&format!("/{number}"), "x") });
    }
    apply(&mut store, &V2Request { expiration: 12, ..set("/later", "x") });
    let expire = |time| V2Request { time, ..request(Kind::Expire, "") };
    let mut gone = |time| store.apply(&expire(time)).1.notices.len();
    assert_eq!((gone(9), gone(10), gone(11), gone(11)), (0, EXPIRIES_MAX, 5, 0));
    assert_eq!(store.next_expiration(), Some(12));
}

#[test]
fn an_update_of_a_directory_leaves_its_index() {
    let mut store = Store::default();
    apply(&mut store, &V2Request { dir: true, ..request(Kind::Set, "/d") });
    let update = V2Request { expiration: 5_000_000_000, ..request(Kind::Update, "/d") };
    let event: Event = (*store.apply(&update).0.unwrap().unwrap()).clone();
    assert_eq!((event.action, event.node.modified, event.node.ttl), (Action::Update, 2, 5));
    assert_eq!(store.get("/d", false, 0).unwrap().node.modified, 1);
}

#[test]
fn no_rows_for_a_store_that_was_never_used() {
    assert!(rows::dump(&Store::default()).is_empty());
    assert!(rows::load(&mut Store::default(), rows::EVENTS, b"short", b"").is_none());
    assert!(rows::load(&mut Store::default(), rows::NODES, b"", b"\xff").is_none());
    assert!(rows::load(&mut Store::default(), 99, b"", b"").is_none());
}
