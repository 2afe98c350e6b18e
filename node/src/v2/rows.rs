//! The v2 keys as rows of the applied state and of snapshots.
//!
//! A node's row is found by a hash of its key, because keys are longer than the keys of rows
//! may be; the row itself says which key it is.

use std::sync::Arc;

use prost::Message;
use proto::v2::{V2Event, V2Node};
use sha2::{Digest, Sha256};

use super::event::Event;
use super::store::{Node, Store};
use crate::machine::side::SideChange;

/// Table numbers; on disk, so for ever. They are v2's share of `machine::side`'s.
pub const NODES: u8 = 30;
pub const EVENTS: u8 = 31;
pub const INDEX: u8 = 32;

fn node_key(key: &str) -> Vec<u8> {
    Sha256::digest(key.as_bytes()).to_vec()
}

fn row(table: u8, key: Vec<u8>, value: Option<Vec<u8>>) -> SideChange {
    SideChange { table, key, value }
}

/// The row of a node.
pub(super) fn node(key: &str, node: &Node) -> SideChange {
    let wire = V2Node {
        key: key.to_owned(),
        dir: node.value.is_none(),
        value: node.value.as_deref().unwrap_or_default().to_owned(),
        created: node.created,
        modified: node.modified,
        expiration: node.expiration.unwrap_or(0),
    };
    row(NODES, node_key(key), Some(wire.encode_to_vec()))
}

/// The node is gone.
pub(super) fn no_node(key: &str) -> SideChange {
    row(NODES, node_key(key), None)
}

/// The row of an event.
pub(super) fn event(event: &Event) -> SideChange {
    row(EVENTS, event.index.to_be_bytes().into(), Some(event.to_row().encode_to_vec()))
}

/// The event is forgotten.
pub(super) fn no_event(index: u64) -> SideChange {
    row(EVENTS, index.to_be_bytes().into(), None)
}

/// The row of the index.
pub(super) fn index(index: u64) -> SideChange {
    row(INDEX, b"index".to_vec(), Some(index.to_be_bytes().into()))
}

/// All rows.
pub fn dump(store: &Store) -> Vec<SideChange> {
    if store.index() == 0 {
        return Vec::new();
    }
    let mut rows = vec![index(store.index())];
    rows.extend(store.nodes().map(|(key, one)| node(key, one)));
    rows.extend(store.history().iter().map(|one| event(one)));
    rows
}

/// Whether a table is v2's.
pub fn owns(table: u8) -> bool {
    matches!(table, NODES | EVENTS | INDEX)
}

/// Reads one row into a store that is being restored; `None` if it cannot be read.
pub fn load(store: &mut Store, table: u8, key: &[u8], value: &[u8]) -> Option<()> {
    match table {
        NODES => {
            let wire = V2Node::decode(value).ok()?;
            let node = Node {
                created: wire.created,
                modified: wire.modified,
                expiration: Some(wire.expiration).filter(|at| *at != 0),
                value: (!wire.dir).then(|| Arc::from(wire.value)),
            };
            store.restore_node(wire.key, node);
        }
        EVENTS => {
            let index = u64::from_be_bytes(key.try_into().ok()?);
            store.restore_event(Event::from_row(index, V2Event::decode(value).ok()?)?);
        }
        INDEX => store.restore_index(u64::from_be_bytes(value.try_into().ok()?)),
        _ => return None,
    }
    Some(())
}
