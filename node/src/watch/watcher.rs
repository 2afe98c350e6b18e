//! One watcher: what it asked for, and how far it has come.

use std::sync::Arc;

use proto::etcdserverpb::{WatchCreateRequest, watch_create_request::FilterType};

use super::range::{EmptyRange, WatchRange};
use super::stream::StreamId;
use crate::kv::{Change, RecordKind};

/// What a client asks of a new watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchSpec {
    /// The id the client wants; 0 lets the stream choose.
    pub id: i64,
    /// On whose behalf, if anybody has said who he is.
    pub owner: Option<Arc<str>>,
    /// The keys. Made once, so that the permission check and the matching agree.
    pub range: Result<WatchRange, EmptyRange>,
    /// First revision to send; 0 is the next one.
    pub start_revision: i64,
    pub progress_notify: bool,
    pub no_put: bool,
    pub no_delete: bool,
    pub prev_kv: bool,
    pub fragment: bool,
}

impl From<&WatchCreateRequest> for WatchSpec {
    fn from(request: &WatchCreateRequest) -> Self {
        let filtered = |filter: FilterType| request.filters.contains(&filter.into());
        Self {
            id: request.watch_id,
            owner: None,
            range: WatchRange::parse(&request.key, &request.range_end),
            start_revision: request.start_revision,
            progress_notify: request.progress_notify,
            no_put: filtered(FilterType::Noput),
            no_delete: filtered(FilterType::Nodelete),
            prev_kv: request.prev_kv,
            fragment: request.fragment,
        }
    }
}

/// A watcher's place in [`Watchers`]; another watcher may have it later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(u32);

impl Slot {
    pub(super) const FIRST: Self = Self(0);
    pub(super) const LAST: Self = Self(u32::MAX);

    #[cfg(test)]
    pub(super) fn new(index: u32) -> Self {
        Self(index)
    }
}

/// How a watcher gets its next event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// From the next [`notify`](super::Hub::notify).
    Synced,
    /// It needs history from the revision `next` on and waits for its turn.
    Lagging { turn: u64, next: i64 },
    /// Likewise, but first its client must read what is already there.
    Parked(i64),
    /// Likewise, and the history is being read.
    Reading(i64),
}

#[derive(Debug)]
pub(super) struct Watcher {
    pub(super) stream: StreamId,
    pub(super) id: i64,
    pub(super) owner: Option<Arc<str>>,
    pub(super) range: WatchRange,
    /// No event below this revision is for this watcher.
    pub(super) start: i64,
    /// No progress is told before the store has come to this revision: a client would resume
    /// after it and get events from before its start.
    pub(super) progress_from: i64,
    pub(super) progress_notify: bool,
    /// Whether events were sent since the last progress tick.
    pub(super) active: bool,
    no_put: bool,
    no_delete: bool,
    pub(super) prev_kv: bool,
    pub(super) fragment: bool,
    /// `None` only while it is being moved or ended.
    pub(super) place: Option<Place>,
    pub(super) serial: u64,
}

impl Watcher {
    pub(super) fn new(
        stream: StreamId,
        id: i64,
        range: WatchRange,
        start: i64,
        spec: &WatchSpec,
    ) -> Self {
        Self {
            stream,
            id,
            owner: spec.owner.clone(),
            range,
            start,
            progress_from: spec.start_revision,
            progress_notify: spec.progress_notify,
            active: false,
            no_put: spec.no_put,
            no_delete: spec.no_delete,
            prev_kv: spec.prev_kv,
            fragment: spec.fragment,
            place: None,
            serial: 0,
        }
    }

    /// Whether events of `revision` are due now.
    pub(super) fn is_due(&self, revision: i64) -> bool {
        match self.place {
            Some(Place::Synced) => self.start <= revision,
            Some(Place::Reading(next)) => next <= revision,
            Some(Place::Lagging { .. } | Place::Parked(_)) | None => false,
        }
    }

    /// Whether the filters let the change through.
    pub(super) fn wants(&self, change: &Change) -> bool {
        match change.record.kind {
            RecordKind::Put(_) => !self.no_put,
            RecordKind::Tombstone(_) => !self.no_delete,
        }
    }
}

/// All watchers of a hub.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    slots: Vec<Option<Watcher>>,
    free: Vec<Slot>,
    serials: u64,
}

impl Watchers {
    pub(super) fn insert(&mut self, mut watcher: Watcher) -> Slot {
        self.serials += 1;
        watcher.serial = self.serials;
        if let Some(slot) = self.free.pop() {
            self.slots[slot.0 as usize] = Some(watcher);
            return slot;
        }
        // Four thousand million watchers do not fit into memory, their numbers into 32 bits do.
        let slot = Slot(self.slots.len() as u32);
        self.slots.push(Some(watcher));
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) -> Option<Watcher> {
        let watcher = self.slots.get_mut(slot.0 as usize)?.take()?;
        self.free.push(slot);
        Some(watcher)
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Watcher> {
        self.slots.get(slot.0 as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Watcher> {
        self.slots.get_mut(slot.0 as usize)?.as_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Watcher> {
        self.slots.iter_mut().flatten()
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = (Slot, &Watcher)> {
        let numbered = self.slots.iter().zip(0..);
        numbered.filter_map(|(watcher, index)| Some((Slot(index), watcher.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
