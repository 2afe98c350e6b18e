//! The hub: streams, their watchers, and what the present brings them.
//!
//! # Invariant
//! A watcher is in exactly one place: the index (synced), the queue of those that lag, the
//! parking place of its blocked stream, or a catch-up job. Only `Hub::relocate` moves it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::delivery::{Content, Delivery, Events, NO_WATCHER};
use super::event::Event;
use super::index::Index;
use super::range::WatchRange;
use super::recent::Recent;
use super::stream::{Stream, StreamId};
use super::watcher::{Place, Slot, WatchSpec, Watcher, Watchers};
use crate::kv::Change;

/// How much a hub keeps and does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that may wait in one stream's outbox.
    pub outbox_bytes: usize,
    /// Deliveries that may wait in one stream's outbox.
    pub outbox_items: usize,
    /// Revisions of one watcher are put together into one delivery up to this many bytes.
    pub merge_bytes: usize,
    /// How many of the last revisions are kept in memory.
    pub recent_revisions: usize,
    /// How many bytes of the last revisions are kept in memory.
    pub recent_bytes: usize,
    /// Revisions one catch-up job reads at most.
    pub job_revisions: i64,
    /// Watchers one catch-up job serves at most.
    pub job_watchers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            outbox_bytes: 4 << 20,
            outbox_items: 32_768,
            merge_bytes: 64 << 10,
            recent_revisions: 1024,
            recent_bytes: 4 << 20,
            job_revisions: 1000,
            job_watchers: 512,
        }
    }
}

/// How many there are, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub streams: usize,
    pub watchers: usize,
    /// Watchers that need history: late starters and those of slow clients.
    pub lagging: usize,
    /// Events in outboxes.
    pub pending_events: usize,
}

/// All watchers of one member.
#[derive(Debug, Default)]
pub struct Hub {
    pub(super) limits: Limits,
    pub(super) revision: i64,
    pub(super) compacted: i64,
    pub(super) streams: HashMap<StreamId, Stream>,
    opened: u64,
    pub(super) watchers: Watchers,
    index: Index,
    /// Watchers that wait for a catch-up job, by turn and the revision they need.
    pub(super) lagging: BTreeSet<(u64, i64, Slot)>,
    pub(super) reading: BTreeSet<(i64, Slot)>,
    /// The turn of those that begin to wait now.
    pub(super) turn: u64,
    pub(super) recent: Recent,
    /// Streams that asked for progress and could not be told yet.
    awaiting_progress: BTreeSet<StreamId>,
}

impl Hub {
    /// A hub without streams, at revision 0.
    pub fn new(limits: Limits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The state now stands at `revision` without [`Hub::notify`] having seen how: after a
    /// start, or when a snapshot replaced it. Watchers that missed something will read it up,
    /// or are cancelled when it is compacted.
    pub fn restore(&mut self, revision: i64, compacted: i64, woken: &mut Vec<StreamId>) {
        debug_assert!(revision >= self.revision, "the state of a member never goes back");
        let missed = self.revision + 1;
        self.revision = revision;
        self.recent.reset(revision);
        let synced = self.watchers.slots().filter(|(_, w)| w.place == Some(Place::Synced));
        let needs: Vec<_> = synced.map(|(slot, w)| (slot, w.start.max(missed))).collect();
        for (slot, next) in needs.into_iter().filter(|(_, next)| *next <= revision) {
            self.make_lag(slot, next);
        }
        self.compacted(compacted, woken);
    }

    /// A new stream, without watchers.
    pub fn open_stream(&mut self) -> StreamId {
        self.opened += 1;
        let id = StreamId(self.opened);
        self.streams.insert(id, Stream::default());
        id
    }

    /// Ends a stream with all its watchers. Nothing more can be taken from it.
    pub fn close_stream(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        let slots: Vec<_> = stream.watchers.values().copied().collect();
        for slot in slots {
            self.relocate(slot, None);
            self.watchers.remove(slot);
        }
        self.streams.remove(&id);
        self.awaiting_progress.remove(&id);
    }

    /// Creates a watcher. Whether that worked is told in the outbox, `created` before any of
    /// its events.
    pub fn create(&mut self, id: StreamId, spec: WatchSpec) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if spec.start_revision < 0 {
            return self.refuse(id, "etcdserver: mvcc: required revision has been compacted");
        }
        let range = match &spec.range {
            Ok(range) => range.clone(),
            Err(error) => return self.refuse(id, &error.to_string()),
        };
        let Some(watch_id) = stream.assign(spec.id) else {
            return self.refuse(id, "mvcc: duplicate watch ID provided on the WatchStream");
        };
        stream.push(watch_id, self.revision, Content::Created);
        let start = if spec.start_revision == 0 { self.revision + 1 } else { spec.start_revision };
        if start < self.compacted {
            stream.push(watch_id, self.revision, Content::Compacted(self.compacted));
            return;
        }
        let slot = self.watchers.insert(Watcher::new(id, watch_id, range, start, &spec));
        stream.watchers.insert(watch_id, slot);
        if start > self.revision {
            self.relocate(slot, Some(Place::Synced));
        } else {
            self.make_lag(slot, start);
        }
    }

    /// Answers a create request that was refused elsewhere, in order with the others.
    pub fn refuse(&mut self, id: StreamId, reason: &str) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.push(NO_WATCHER, self.revision, Content::Refused(reason.to_owned()));
        }
    }

    /// Ends a watcher because the client asked; an unknown id is not answered.
    pub fn cancel(&mut self, id: StreamId, watch_id: i64) {
        let slot = self.streams.get(&id).and_then(|stream| stream.watchers.get(&watch_id));
        if let Some(slot) = slot.copied() {
            self.end(slot, Content::Canceled);
            self.tell_progress(id);
        }
    }

    /// Ends the watchers that `allowed` no longer allows to their owners, and tells why.
    pub fn judge<E: std::fmt::Display>(
        &mut self,
        allowed: impl Fn(Option<&str>, &WatchRange) -> Result<(), E>,
        woken: &mut Vec<StreamId>,
    ) {
        let verdict = |watcher: &Watcher| allowed(watcher.owner.as_deref(), &watcher.range);
        let refused = self.watchers.slots().filter_map(|(slot, watcher)| {
            Some((slot, watcher.stream, verdict(watcher).err()?.to_string()))
        });
        let refused: Vec<_> = refused.collect();
        for (slot, id, why) in refused {
            self.end(slot, Content::Ended(why));
            self.tell_progress(id);
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.wake(id, woken);
            }
        }
    }

    /// Asks for one progress message for all watchers of the stream. It comes as soon as all
    /// of them are synced and started; asking again before that changes nothing. A stream
    /// without watchers is not answered.
    pub fn progress_request(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.progress = Some(0);
            self.awaiting_progress.insert(id);
            self.tell_progress(id);
        }
    }

    /// The changes of the next revision. Adds to `woken` the streams that have something to
    /// take and were not named since they were last empty.
    pub fn notify(&mut self, revision: i64, changes: &[Change], woken: &mut Vec<StreamId>) {
        debug_assert!(revision > self.revision, "revisions are told once, in order");
        self.revision = revision;
        let limits = self.limits;
        self.recent.push(revision, changes, limits.recent_revisions, limits.recent_bytes);
        let hits = find(&self.index, changes);
        self.deliver(revision, changes, &hits, woken);
        self.tell_all_progress(woken);
    }

    /// History below `revision` is about to be removed: whoever still needs it is cancelled.
    pub fn compacted(&mut self, revision: i64, woken: &mut Vec<StreamId>) {
        self.compacted = self.compacted.max(revision);
        let behind = ..(self.compacted, Slot::FIRST);
        let parked = self.streams.values().flat_map(|stream| stream.parked.range(behind));
        let known = parked.chain(self.reading.range(behind)).map(|(_, slot)| *slot);
        let waiting = self.lagging.iter().filter(|(_, next, _)| *next < self.compacted);
        let late: Vec<_> = known.chain(waiting.map(|(_, _, slot)| *slot)).collect();
        for slot in late {
            let id = self.watchers.get(slot).map(|watcher| watcher.stream);
            self.end(slot, Content::Compacted(self.compacted));
            if let Some(id) = id
                && let Some(stream) = self.streams.get_mut(&id)
            {
                stream.wake(id, woken);
            }
        }
        self.tell_all_progress(woken);
    }

    /// Tells progress to the synced watchers that asked for it and got no event since the
    /// last tick.
    pub fn progress_tick(&mut self, woken: &mut Vec<StreamId>) {
        for watcher in self.watchers.iter_mut().filter(|watcher| watcher.progress_notify) {
            let idle = !std::mem::replace(&mut watcher.active, false);
            let synced = watcher.place == Some(Place::Synced);
            let started = watcher.progress_from <= self.revision;
            let Some(stream) = self.streams.get_mut(&watcher.stream) else { continue };
            if idle && synced && started && !stream.is_full(&self.limits) {
                stream.push(watcher.id, self.revision, Content::Progress);
                stream.wake(watcher.stream, woken);
            }
        }
    }

    /// Takes what is to be sent on the stream, about `max_bytes` but at least one delivery.
    /// Whoever was woken takes until nothing is returned.
    pub fn take(&mut self, id: StreamId, max_bytes: usize) -> Vec<Delivery> {
        let Some(stream) = self.streams.get_mut(&id) else { return Vec::new() };
        let taken = stream.take(max_bytes);
        if stream.blocked && stream.is_drained(&self.limits) {
            stream.blocked = false;
            for (next, slot) in stream.parked.clone() {
                self.make_lag(slot, next);
            }
        }
        self.tell_progress(id);
        taken
    }

    /// Whether the stream's outbox is at its limit. Its requests should then wait, so that a
    /// client that only asks and never reads cannot make it grow.
    pub fn is_full(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.is_full(&self.limits))
    }

    /// How many streams and watchers there are.
    pub fn counts(&self) -> Counts {
        Counts {
            streams: self.streams.len(),
            watchers: self.watchers.len(),
            lagging: self.streams.values().map(|stream| stream.unsynced).sum(),
            pending_events: self.streams.values().map(Stream::pending_events).sum(),
        }
    }

    /// Puts the events of one revision into the outboxes of the watchers in `hits` that are
    /// due; those whose outbox has no room are parked.
    pub(super) fn deliver(
        &mut self,
        revision: i64,
        changes: &[Change],
        hits: &[(Slot, usize)],
        woken: &mut Vec<StreamId>,
    ) {
        if hits.is_empty() {
            return;
        }
        let mut built: SmallVec<[Option<Arc<Event>>; 4]> = smallvec![None; changes.len()];
        for group in hits.chunk_by(|one, other| one.0 == other.0) {
            let slot = group[0].0;
            let Some(watcher) = self.watchers.get_mut(slot) else { continue };
            let Some(stream) = self.streams.get_mut(&watcher.stream) else { continue };
            if !watcher.is_due(revision) {
                continue;
            }
            let mut events = Events::none(watcher.prev_kv, watcher.fragment);
            for &(_, position) in group.iter().filter(|(_, at)| watcher.wants(&changes[*at])) {
                let event = &mut built[position];
                let event = event.get_or_insert_with(|| Arc::new(Event::new(&changes[position])));
                events.push(event.clone());
            }
            if events.events.is_empty() {
                continue;
            }
            if stream.has_room(events.size, &self.limits) {
                watcher.active = true;
                stream.push_events(watcher.id, self.revision, events, self.limits.merge_bytes);
                stream.wake(watcher.stream, woken);
            } else {
                stream.blocked = true;
                self.relocate(slot, Some(Place::Parked(revision)));
            }
        }
    }

    /// Lets a watcher wait for history from `next` on.
    pub(super) fn make_lag(&mut self, slot: Slot, next: i64) {
        let stream = self.watchers.get(slot).and_then(|watcher| self.streams.get(&watcher.stream));
        let blocked = stream.is_some_and(|stream| stream.blocked);
        let lagging = Place::Lagging { turn: self.turn, next };
        let place = if blocked { Place::Parked(next) } else { lagging };
        self.relocate(slot, Some(place));
    }

    /// Moves a watcher; to nowhere when it ends.
    pub(super) fn relocate(&mut self, slot: Slot, to: Option<Place>) {
        let Some(watcher) = self.watchers.get_mut(slot) else { return };
        let Some(stream) = self.streams.get_mut(&watcher.stream) else { return };
        let from = std::mem::replace(&mut watcher.place, to);
        let lags = |place: Option<Place>| usize::from(!matches!(place, None | Some(Place::Synced)));
        stream.unsynced = stream.unsynced + lags(to) - lags(from);
        match from {
            Some(Place::Synced) => self.index.remove(&watcher.range, slot),
            Some(Place::Lagging { turn, next }) => _ = self.lagging.remove(&(turn, next, slot)),
            Some(Place::Parked(next)) => _ = stream.parked.remove(&(next, slot)),
            Some(Place::Reading(next)) => _ = self.reading.remove(&(next, slot)),
            None => {}
        }
        match to {
            Some(Place::Synced) => self.index.insert(&watcher.range, slot),
            Some(Place::Lagging { turn, next }) => _ = self.lagging.insert((turn, next, slot)),
            Some(Place::Parked(next)) => _ = stream.parked.insert((next, slot)),
            Some(Place::Reading(next)) => _ = self.reading.insert((next, slot)),
            None => {}
        }
    }

    fn end(&mut self, slot: Slot, content: Content) {
        self.relocate(slot, None);
        let Some(watcher) = self.watchers.remove(slot) else { return };
        let Some(stream) = self.streams.get_mut(&watcher.stream) else { return };
        stream.watchers.remove(&watcher.id);
        stream.push(watcher.id, self.revision, content);
        // The watcher that kept progress waiting may have been this one.
        stream.progress = stream.progress.map(|_| 0);
    }

    /// Tells the stream's progress if it was asked for and is now true of all watchers.
    fn tell_progress(&mut self, id: StreamId) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else { return false };
        let Some(not_before) = stream.progress else { return false };
        if stream.watchers.is_empty() {
            stream.progress = None;
            self.awaiting_progress.remove(&id);
            return false;
        }
        let full = stream.is_full(&self.limits);
        if stream.unsynced > 0 || full || not_before > self.revision {
            return false;
        }
        let watchers = stream.watchers.values().filter_map(|slot| self.watchers.get(*slot));
        let started = watchers.map(|watcher| watcher.progress_from).max().unwrap_or(0);
        if started > self.revision {
            stream.progress = Some(started);
            return false;
        }
        stream.progress = None;
        self.awaiting_progress.remove(&id);
        stream.push(NO_WATCHER, self.revision, Content::Progress);
        true
    }

    pub(super) fn tell_all_progress(&mut self, woken: &mut Vec<StreamId>) {
        let awaiting: SmallVec<[StreamId; 8]> = self.awaiting_progress.iter().copied().collect();
        for id in awaiting {
            if self.tell_progress(id)
                && let Some(stream) = self.streams.get_mut(&id)
            {
                stream.wake(id, woken);
            }
        }
    }
}

/// Which watchers of `index` want which of `changes`, the changes of one watcher together
/// and in order.
pub(super) fn find(index: &Index, changes: &[Change]) -> Vec<(Slot, usize)> {
    let mut hits = Vec::new();
    if index.is_empty() {
        return hits;
    }
    for (position, change) in changes.iter().enumerate() {
        index.watching(change.record.key(), |slot| hits.push((slot, position)));
    }
    if changes.len() > 1 {
        hits.sort_unstable();
    }
    hits
}
