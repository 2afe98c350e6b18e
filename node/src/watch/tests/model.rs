//! Random lives of a hub, seen by clients that check every response against a replay of the
//! whole history.
//!
//! A client keeps, for each of its watchers, the events it was sent. The model of a watcher
//! is nothing but "all changes from the start on, in range, not filtered": what was received
//! must at every moment be the beginning of that, up to a whole revision, and all of it once
//! the hub has had the chance to finish.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;
use proto::etcdserverpb::watch_create_request::FilterType;
use proto::mvccpb;

use super::*;

const KEYS: u8 = 5;
const FRAGMENT: usize = 260;

#[derive(Clone, Debug)]
enum Step {
    /// Keys with the size of their new value, or none to delete them.
    Write(BTreeMap<u8, Option<usize>>),
    /// Writes that the hub is not told of, because a snapshot brings them.
    Snapshot(Vec<BTreeMap<u8, Option<usize>>>, i64),
    Open,
    Close(usize),
    Create(usize, WatchCreateRequest, Start),
    Cancel(usize, i64),
    AskProgress(usize),
    Tick,
    Take(usize, usize),
    Begin,
    /// Finish a job, having read so many revisions only.
    Finish(usize, i64),
    Abandon(usize),
    Compact(i64),
}

#[derive(Clone, Copy, Debug)]
enum Start {
    Now,
    Relative(i64),
    Negative,
}

fn writes() -> impl Strategy<Value = BTreeMap<u8, Option<usize>>> {
    let value = prop_oneof![4 => (0..120usize).prop_map(Some), 1 => Just(None)];
    proptest::collection::btree_map(0..KEYS, value, 1..4)
}

fn request() -> impl Strategy<Value = WatchCreateRequest> {
    let key = proptest::option::weighted(0.9, 0..KEYS);
    let end = prop_oneof![3 => Just(None), 3 => (0..=KEYS).prop_map(Some), 2 => Just(Some(99))];
    let filters = prop_oneof![
        6 => Just(vec![]),
        1 => Just(vec![FilterType::Noput]),
        1 => Just(vec![FilterType::Nodelete]),
        1 => Just(vec![FilterType::Noput, FilterType::Nodelete]),
    ];
    let flags = any::<(bool, bool, bool)>();
    let id = prop_oneof![4 => Just(0i64), 1 => 1..4i64];
    (key, end, filters, flags, id).prop_map(|(key, end, filters, flags, watch_id)| {
        WatchCreateRequest {
            key: key.map_or(Bytes::new(), name),
            range_end: match end {
                None => Bytes::new(),
                Some(99) => Bytes::from_static(b"\0"),
                Some(end) => name(end),
            },
            start_revision: 0,
            progress_notify: flags.0,
            filters: filters.into_iter().map(i32::from).collect(),
            prev_kv: flags.1,
            watch_id,
            fragment: flags.2,
        }
    })
}

fn name(key: u8) -> Bytes {
    Bytes::copy_from_slice(&[b'a' + key])
}

fn step() -> impl Strategy<Value = Step> {
    let start = prop_oneof![
        4 => Just(Start::Now),
        6 => (-12..6i64).prop_map(Start::Relative),
        1 => Just(Start::Negative),
    ];
    prop_oneof![
        30 => writes().prop_map(Step::Write),
        2 => (proptest::collection::vec(writes(), 0..4), 0..6i64)
            .prop_map(|(writes, kept)| Step::Snapshot(writes, kept)),
        1 => Just(Step::Open),
        1 => (0..4usize).prop_map(Step::Close),
        10 => (0..4usize, request(), start).prop_map(|(s, r, start)| Step::Create(s, r, start)),
        2 => (0..4usize, 0..4i64).prop_map(|(stream, id)| Step::Cancel(stream, id)),
        4 => (0..4usize).prop_map(Step::AskProgress),
        3 => Just(Step::Tick),
        12 => (0..4usize, 1..600usize).prop_map(|(stream, bytes)| Step::Take(stream, bytes)),
        8 => Just(Step::Begin),
        8 => (0..4usize, 0..6i64).prop_map(|(job, read)| Step::Finish(job, read)),
        3 => (0..4usize).prop_map(Step::Abandon),
        2 => (0..8i64).prop_map(Step::Compact),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    let outbox = (prop_oneof![Just(100usize), Just(400), Just(100_000)], 2..30usize);
    let recent = (0..4usize, prop_oneof![Just(300usize), Just(100_000)]);
    let job = (1..5i64, 1..4usize, prop_oneof![Just(0usize), Just(200)]);
    (outbox, recent, job).prop_map(|(outbox, recent, job)| Limits {
        outbox_bytes: outbox.0,
        outbox_items: outbox.1,
        merge_bytes: job.2,
        recent_revisions: recent.0,
        recent_bytes: recent.1,
        job_revisions: job.0,
        job_watchers: job.1,
    })
}

/// The store: everything that ever happened.
#[derive(Default)]
struct Store {
    revision: i64,
    compacted: i64,
    changes: Vec<Change>,
    live: BTreeMap<u8, Arc<KeyValue>>,
}

impl Store {
    /// The changes of one transaction; none if it only deleted what was not there.
    fn write(&mut self, writes: &BTreeMap<u8, Option<usize>>) -> Vec<Change> {
        let revision = self.revision + 1;
        let mut changes = Vec::new();
        for (key, value) in writes {
            let previous = self.live.get(key).cloned();
            let kind = match value {
                None if previous.is_none() => continue,
                None => {
                    self.live.remove(key);
                    RecordKind::Tombstone(Arc::from(&name(*key)[..]))
                }
                Some(size) => {
                    let kv = Arc::new(KeyValue {
                        key: Arc::from(&name(*key)[..]),
                        value: Bytes::from(vec![b'v'; *size]),
                        create_revision: previous.as_ref().map_or(revision, |p| p.create_revision),
                        mod_revision: revision,
                        version: previous.as_ref().map_or(1, |p| p.version + 1),
                        lease: 0,
                    });
                    self.live.insert(*key, kv.clone());
                    RecordKind::Put(kv)
                }
            };
            let record = Record { revision: Revision::new(revision, changes.len() as i64), kind };
            changes.push(Change { record, previous });
        }
        if !changes.is_empty() {
            self.revision = revision;
            self.changes.extend(changes.iter().cloned());
        }
        changes
    }

    /// What a reader of history finds: compacted revisions are gone.
    fn history(&self, from: i64, to: i64) -> Vec<Change> {
        let kept = from.max(self.compacted)..=to;
        let wanted = |change: &&Change| kept.contains(&change.record.revision.main);
        self.changes.iter().filter(wanted).cloned().collect()
    }
}

struct Seen {
    request: WatchCreateRequest,
    range: WatchRange,
    start: i64,
    events: Vec<mvccpb::Event>,
    /// A response said that more of it follows.
    unfinished: bool,
    live: bool,
}

impl Seen {
    /// Everything this watcher is to be sent, up to `revision`.
    fn expected(&self, store: &Store, revision: i64) -> Vec<mvccpb::Event> {
        let filtered = |filter: FilterType| self.request.filters.contains(&filter.into());
        let wanted = |change: &&Change| {
            let put = matches!(change.record.kind, RecordKind::Put(_));
            let filter = if put { FilterType::Noput } else { FilterType::Nodelete };
            (self.start..=revision).contains(&change.record.revision.main)
                && self.range.contains(change.record.key())
                && !filtered(filter)
        };
        store.changes.iter().filter(wanted).map(|change| self.event(change)).collect()
    }

    fn event(&self, change: &Change) -> mvccpb::Event {
        let (kind, kv) = match &change.record.kind {
            RecordKind::Put(kv) => (mvccpb::event::EventType::Put, kv.to_proto()),
            RecordKind::Tombstone(key) => {
                let (key, mod_revision) = (key.to_vec().into(), change.record.revision.main);
                let kv = mvccpb::KeyValue { key, mod_revision, ..Default::default() };
                (mvccpb::event::EventType::Delete, kv)
            }
        };
        let previous = change.previous.as_ref().filter(|_| self.request.prev_kv);
        let prev_kv = previous.map(|previous| previous.to_proto());
        mvccpb::Event { r#type: kind.into(), kv: Some(kv), prev_kv }
    }
}

/// The client at the other end of a stream.
struct Client {
    stream: StreamId,
    asked: VecDeque<WatchCreateRequest>,
    watchers: BTreeMap<i64, Seen>,
    ended: Vec<Seen>,
    told_all: usize,
}

impl Client {
    fn new(stream: StreamId) -> Self {
        let (asked, watchers) = (VecDeque::new(), BTreeMap::new());
        Self { stream, asked, watchers, ended: Vec::new(), told_all: 0 }
    }

    fn receive(&mut self, response: WatchResponse, store: &Store) {
        assert!(header_revision(&response) <= store.revision);
        if response.created {
            return self.created(&response);
        }
        if !response.events.is_empty() {
            return self.events(response, store);
        }
        assert!(!response.fragment);
        if response.canceled {
            let mut seen = self.watchers.remove(&response.watch_id).expect("it exists");
            assert!(response.cancel_reason.is_empty() && !seen.unfinished);
            assert!(response.compact_revision == 0 || seen.start < response.compact_revision);
            seen.live = false;
            self.ended.push(seen);
            return;
        }
        self.progress(&response, store);
    }

    fn created(&mut self, response: &WatchResponse) {
        let request = self.asked.pop_front().expect("a create was asked for");
        let range = WatchRange::parse(&request.key, &request.range_end);
        if response.canceled {
            let reason = match &range {
                _ if request.start_revision < 0 => COMPACTED,
                Err(_) => EMPTY,
                Ok(_) => DUPLICATE,
            };
            let taken = self.watchers.contains_key(&request.watch_id) && request.watch_id != 0;
            assert!(reason != DUPLICATE || taken, "refused without a reason");
            assert_eq!((response.watch_id, response.cancel_reason.as_str()), (-1, reason));
            return;
        }
        assert!(request.start_revision >= 0);
        assert!(request.watch_id == 0 || request.watch_id == response.watch_id);
        let start = match request.start_revision {
            0 => header_revision(response) + 1,
            start => start,
        };
        let (range, events) = (range.expect("not empty"), Vec::new());
        let seen = Seen { request, range, start, events, unfinished: false, live: true };
        assert!(self.watchers.insert(response.watch_id, seen).is_none(), "the id is in use");
    }

    fn events(&mut self, response: WatchResponse, store: &Store) {
        let revision = header_revision(&response);
        let seen = self.watchers.get_mut(&response.watch_id).expect("created before its events");
        seen.events.extend(response.events);
        seen.unfinished = response.fragment;
        assert!(!response.fragment || seen.request.fragment, "fragments that nobody asked for");
        let expected = seen.expected(store, store.revision);
        assert!(expected.starts_with(&seen.events), "{:?} is not {:?}", seen.events, expected);
        let main = |event: &mvccpb::Event| event.kv.as_ref().unwrap().mod_revision;
        let last = seen.events.last().map(main).unwrap();
        assert!(last <= revision);
        let next = expected.get(seen.events.len()).map(main);
        assert!(response.fragment || next.is_none_or(|next| next > last), "a revision is split");
    }

    fn progress(&mut self, response: &WatchResponse, store: &Store) {
        let revision = header_revision(response);
        let about: Vec<_> = match response.watch_id {
            -1 => self.watchers.values().collect(),
            id => vec![&self.watchers[&id]],
        };
        assert!(!about.is_empty());
        for seen in about {
            assert!(response.watch_id == -1 || seen.request.progress_notify);
            assert!(seen.request.start_revision <= revision, "told before its start");
            let due = seen.expected(store, revision).len();
            assert!(seen.events.len() >= due && !seen.unfinished, "told too early");
        }
        self.told_all += usize::from(response.watch_id == -1);
    }
}

struct World {
    hub: Hub,
    limits: Limits,
    store: Store,
    clients: Vec<Client>,
    jobs: Vec<CatchUp>,
    /// Streams that were woken, or did something themselves, and have not been read to the
    /// end since. Nobody else will be read in the end.
    awake: BTreeSet<StreamId>,
}

impl World {
    fn new(limits: Limits) -> Self {
        let mut hub = Hub::new(limits);
        hub.restore(1, 0, &mut Vec::new());
        let clients = (0..2).map(|_| Client::new(hub.open_stream())).collect();
        let store = Store { revision: 1, ..Store::default() };
        Self { hub, limits, store, clients, jobs: Vec::new(), awake: BTreeSet::new() }
    }

    fn wake(&mut self, woken: Vec<StreamId>) {
        for stream in woken {
            assert!(self.clients.iter().any(|client| client.stream == stream));
            self.awake.insert(stream);
        }
    }

    fn pick(&self, number: usize) -> Option<usize> {
        number.checked_rem(self.clients.len())
    }

    fn step(&mut self, step: Step) {
        let mut woken = Vec::new();
        match step {
            Step::Write(writes) => {
                let changes = self.store.write(&writes);
                if !changes.is_empty() {
                    self.hub.notify(self.store.revision, &changes, &mut woken);
                }
            }
            Step::Snapshot(all, kept) => {
                all.iter().for_each(|writes| _ = self.store.write(writes));
                self.compact_to(self.store.revision - kept);
                self.hub.restore(self.store.revision, self.store.compacted, &mut woken);
            }
            Step::Compact(kept) => {
                self.compact_to(self.store.revision - kept);
                self.hub.compacted(self.store.compacted, &mut woken);
            }
            Step::Tick => self.hub.progress_tick(&mut woken),
            Step::Begin => self.jobs.extend(self.hub.next_catch_up()),
            Step::Finish(number, read) => woken = self.finish(number, read),
            Step::Abandon(number) => {
                if let Some(number) = number.checked_rem(self.jobs.len()) {
                    self.hub.abandon_catch_up(self.jobs.remove(number));
                }
            }
            other => self.client_step(other),
        }
        self.wake(woken);
    }

    fn client_step(&mut self, step: Step) {
        if let Step::Open = step {
            if self.clients.len() < 4 {
                self.clients.push(Client::new(self.hub.open_stream()));
            }
            return;
        }
        let (Step::Close(number)
        | Step::Create(number, ..)
        | Step::Cancel(number, _)
        | Step::AskProgress(number)
        | Step::Take(number, _)) = step
        else {
            return;
        };
        let Some(number) = self.pick(number) else { return };
        let client = &mut self.clients[number];
        self.awake.insert(client.stream);
        match step {
            Step::Close(_) => {
                let client = self.clients.remove(number);
                self.hub.close_stream(client.stream);
                self.awake.remove(&client.stream);
            }
            Step::Create(_, mut request, start) => {
                request.start_revision = match start {
                    Start::Now => 0,
                    Start::Negative => -1,
                    Start::Relative(offset) => (self.store.revision + offset).max(0),
                };
                self.hub.create(client.stream, WatchSpec::from(&request));
                client.asked.push_back(request);
            }
            Step::Cancel(_, id) => self.hub.cancel(client.stream, id),
            Step::AskProgress(_) => self.hub.progress_request(client.stream),
            Step::Take(_, bytes) => _ = self.take(number, bytes),
            _ => {}
        }
    }

    fn compact_to(&mut self, revision: i64) {
        self.store.compacted = self.store.compacted.max(revision);
    }

    fn finish(&mut self, number: usize, read: i64) -> Vec<StreamId> {
        let mut woken = Vec::new();
        let Some(number) = number.checked_rem(self.jobs.len()) else { return woken };
        let mut job = self.jobs.remove(number);
        let mut changes = Vec::new();
        if let Some((from, to)) = job.read() {
            assert!(to - from < self.limits.job_revisions && to <= self.store.revision);
            let stop = to.min(from + read);
            changes = self.store.history(from, stop);
            job.stop_after(stop);
        }
        self.hub.finish_catch_up(job, &changes, &mut woken);
        woken
    }

    fn take(&mut self, number: usize, bytes: usize) -> bool {
        let client = &mut self.clients[number];
        let taken = self.hub.take(client.stream, bytes);
        let events = taken.iter().filter(|d| matches!(d.content, Content::Events(_)));
        let sizes: Vec<_> = events.map(Delivery::size).collect();
        let total: usize = sizes.iter().sum();
        let allowed = self.limits.outbox_bytes + 48 * sizes.len();
        assert!(total <= allowed || sizes.len() == 1, "{sizes:?} were waiting");
        if taken.is_empty() {
            self.awake.remove(&client.stream);
        }
        let some = !taken.is_empty();
        for delivery in taken {
            for response in delivery.into_proto(ResponseHeader::default(), FRAGMENT) {
                client.receive(response, &self.store);
            }
        }
        some
    }

    /// Lets everybody read and the hub finish all it has begun.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            let mut busy = false;
            for number in 0..self.clients.len() {
                if self.awake.contains(&self.clients[number].stream) {
                    busy |= self.take(number, 300);
                }
            }
            if self.jobs.is_empty() {
                self.jobs.extend(self.hub.next_catch_up());
            }
            if !self.jobs.is_empty() {
                busy = true;
                self.step(Step::Finish(0, i64::MAX / 2));
            }
            if !busy {
                return;
            }
        }
        panic!("the hub never comes to rest");
    }

    fn check_complete(&mut self) {
        assert_eq!(self.hub.counts().lagging, 0);
        let live: usize = self.clients.iter().map(|client| client.watchers.len()).sum();
        assert_eq!(self.hub.counts().watchers, live);
        for number in 0..self.clients.len() {
            let before = self.clients[number].told_all;
            self.hub.progress_request(self.clients[number].stream);
            while self.take(number, usize::MAX) {}
            let client = &self.clients[number];
            assert!(client.asked.is_empty(), "a create was not answered");
            for seen in client.watchers.values() {
                assert!(seen.live && !seen.unfinished);
                assert_eq!(seen.events, seen.expected(&self.store, self.store.revision));
            }
            let started = |seen: &Seen| seen.request.start_revision <= self.store.revision;
            let tell = !client.watchers.is_empty() && client.watchers.values().all(started);
            assert_eq!(client.told_all - before, usize::from(tell), "progress of {number}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_watcher_gets_exactly_its_events(
        limits in limits(),
        steps in proptest::collection::vec(step(), 0..150),
    ) {
        let mut world = World::new(limits);
        for step in steps {
            world.step(step);
        }
        world.settle();
        world.check_complete();
        // Whoever is synced by now gets the present, without any catching up.
        for _ in 0..2 {
            let everything = (0..KEYS).map(|key| (key, Some(1))).collect();
            world.step(Step::Write(everything));
            world.settle();
        }
        world.check_complete();
    }
}
