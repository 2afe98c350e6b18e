//! One client's stream: its watchers and the bounded outbox they share.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::delivery::{Content, Delivery, Events};
use super::hub::Limits;
use super::watcher::Slot;

/// A watch stream of a [`Hub`](super::Hub).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

#[derive(Debug, Default)]
pub(super) struct Stream {
    pub(super) watchers: HashMap<i64, Slot>,
    next_id: i64,
    outbox: VecDeque<Delivery>,
    bytes: usize,
    /// An event did not fit; until the outbox is half empty nothing more is tried, so that
    /// a slow client costs one failed attempt a watcher and not one an event.
    pub(super) blocked: bool,
    /// Watchers that need history once the outbox has room, by the revision they need.
    pub(super) parked: BTreeSet<(i64, Slot)>,
    /// How many watchers are not synced.
    pub(super) unsynced: usize,
    /// Progress was asked for and not told yet; pointless to try before this revision.
    pub(super) progress: Option<i64>,
    /// The stream was named to be woken and has not been emptied since.
    signalled: bool,
}

impl Stream {
    /// The id for a new watcher: the wanted one, or for 0 the next that is free. `None` when
    /// the wanted one is taken.
    pub(super) fn assign(&mut self, wanted: i64) -> Option<i64> {
        if wanted != 0 {
            return (!self.watchers.contains_key(&wanted)).then_some(wanted);
        }
        while self.watchers.contains_key(&self.next_id) {
            self.next_id += 1;
        }
        self.next_id += 1;
        Some(self.next_id - 1)
    }

    /// Whether events of this size may be added. An empty outbox takes anything: one revision
    /// may be larger than the limit, and must get through.
    pub(super) fn has_room(&self, size: usize, limits: &Limits) -> bool {
        !self.blocked
            && (self.outbox.is_empty()
                || (self.bytes + size <= limits.outbox_bytes
                    && self.outbox.len() < limits.outbox_items))
    }

    /// Whether the outbox is at its limit.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.blocked
            || self.bytes >= limits.outbox_bytes
            || self.outbox.len() >= limits.outbox_items
    }

    /// Whether a blocked stream has been read so far that trying again makes sense.
    pub(super) fn is_drained(&self, limits: &Limits) -> bool {
        self.bytes <= limits.outbox_bytes / 2 && self.outbox.len() <= limits.outbox_items / 2
    }

    pub(super) fn push(&mut self, watch_id: i64, revision: i64, content: Content) {
        let delivery = Delivery { watch_id, revision, content };
        self.bytes += delivery.size();
        self.outbox.push_back(delivery);
    }

    /// Adds the events of one revision, to the last delivery if that is for the same watcher
    /// and small: a client behind a busy key then gets few responses instead of many.
    pub(super) fn push_events(
        &mut self,
        watch_id: i64,
        revision: i64,
        events: Events,
        merge: usize,
    ) {
        if let Some(last) = self.outbox.back_mut().filter(|last| last.watch_id == watch_id)
            && let Content::Events(known) = &mut last.content
            && known.size + events.size <= merge
        {
            last.revision = revision;
            known.size += events.size;
            self.bytes += events.size;
            known.events.extend(events.events);
            return;
        }
        self.push(watch_id, revision, Content::Events(events));
    }

    /// Takes deliveries until they reach `max_bytes`, but at least one.
    pub(super) fn take(&mut self, max_bytes: usize) -> Vec<Delivery> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < max_bytes || taken.is_empty() {
            let Some(delivery) = self.outbox.pop_front() else { break };
            bytes += delivery.size();
            taken.push(delivery);
        }
        self.bytes -= bytes;
        if self.outbox.is_empty() {
            self.signalled = false;
        }
        taken
    }

    /// Events that wait to be taken.
    pub(super) fn pending_events(&self) -> usize {
        self.outbox.iter().map(Delivery::events).sum()
    }

    /// Names the stream to be woken, unless it has been already.
    pub(super) fn wake(&mut self, id: StreamId, woken: &mut Vec<StreamId>) {
        if !self.signalled {
            self.signalled = true;
            woken.push(id);
        }
    }
}
