//! A change as watchers see it, built once and shared by all of them.
//!
//! # Invariant
//! An [`Event`] never changes; what differs between watchers (whether the previous version
//! is sent) is chosen when the message is made. Making one copies no key and no value, it
//! counts references.

use bytes::Bytes;
use prost::Message;
use prost::encoding::encoded_len_varint;
use proto::mvccpb;

use crate::kv::{Change, KeyValue, RecordKind};

/// One change of one key.
#[derive(Debug)]
pub struct Event {
    plain: mvccpb::Event,
    previous: Option<mvccpb::KeyValue>,
    plain_size: usize,
    full_size: usize,
}

impl Event {
    /// The event of a change.
    pub fn new(change: &Change) -> Self {
        let (kind, kv) = match &change.record.kind {
            RecordKind::Put(kv) => (mvccpb::event::EventType::Put, kv.to_proto()),
            RecordKind::Tombstone(key) => {
                let mod_revision = change.record.revision.main;
                let key = Bytes::copy_from_slice(key);
                let kv = mvccpb::KeyValue { key, mod_revision, ..Default::default() };
                (mvccpb::event::EventType::Delete, kv)
            }
        };
        let previous = change.previous.as_deref().map(|previous| share_key(&kv.key, previous));
        let plain = mvccpb::Event { r#type: kind.into(), kv: Some(kv), prev_kv: None };
        let plain_size = plain.encoded_len();
        let full_size = plain_size + previous.as_ref().map_or(0, embedded_size);
        Self { plain, previous, plain_size, full_size }
    }

    /// The revision of the change.
    pub fn revision(&self) -> i64 {
        self.plain.kv.as_ref().map_or(0, |kv| kv.mod_revision)
    }

    /// The wire form.
    pub fn to_proto(&self, with_previous: bool) -> mvccpb::Event {
        let mut event = self.plain.clone();
        if with_previous {
            event.prev_kv.clone_from(&self.previous);
        }
        event
    }

    /// Bytes the event takes in a response, with its field tag and length.
    pub fn size(&self, with_previous: bool) -> usize {
        let size = if with_previous { self.full_size } else { self.plain_size };
        1 + encoded_len_varint(size as u64) + size
    }
}

/// The wire form of an earlier version of a key whose bytes are already there.
fn share_key(key: &Bytes, version: &KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: key.clone(),
        create_revision: version.create_revision,
        mod_revision: version.mod_revision,
        version: version.version,
        value: version.value.clone(),
        lease: version.lease,
    }
}

fn embedded_size(kv: &mvccpb::KeyValue) -> usize {
    let size = kv.encoded_len();
    1 + encoded_len_varint(size as u64) + size
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::etcdserverpb::WatchResponse;

    use super::*;
    use crate::kv::{Record, Revision};

    fn version(revision: i64, value: &'static [u8]) -> Arc<KeyValue> {
        Arc::new(KeyValue {
            key: Arc::from(b"key".as_slice()),
            value: Bytes::from_static(value),
            create_revision: 2,
            mod_revision: revision,
            version: revision - 1,
            lease: 77,
        })
    }

    #[test]
    fn a_deletion_tells_only_key_and_revision_and_what_was_there() {
        let record = Record {
            revision: Revision::new(4, 1),
            kind: RecordKind::Tombstone(Arc::from(b"key".as_slice())),
        };
        let event = Event::new(&Change { record, previous: Some(version(3, b"old")) });
        let kv =
            mvccpb::KeyValue { key: "key".into(), mod_revision: 4, ..mvccpb::KeyValue::default() };
        let delete = mvccpb::event::EventType::Delete.into();
        let plain = mvccpb::Event { r#type: delete, kv: Some(kv), prev_kv: None };
        assert_eq!(event.to_proto(false), plain);
        assert_eq!(event.to_proto(true).prev_kv, Some(version(3, b"old").to_proto()));
        assert_eq!(event.revision(), 4);
    }

    #[test]
    fn sizes_are_those_of_the_encoding() {
        let value: &'static [u8] = &[7; 300];
        let record =
            Record { revision: Revision::new(3, 0), kind: RecordKind::Put(version(3, value)) };
        let event = Event::new(&Change { record, previous: Some(version(2, value)) });
        for with_previous in [false, true] {
            let events = vec![event.to_proto(with_previous); 2];
            let response = WatchResponse { events, ..WatchResponse::default() };
            assert_eq!(response.encoded_len(), 2 * event.size(with_previous));
        }
    }
}
