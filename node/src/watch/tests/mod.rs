//! The hub's rules one by one; [`model`] has them all at once in random order.

mod model;

use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::{ResponseHeader, WatchCreateRequest, WatchResponse};

use super::*;
use crate::kv::{Change, KeyValue, Record, RecordKind, Revision};

const COMPACTED: &str = "etcdserver: mvcc: required revision has been compacted";
const EMPTY: &str = "mvcc: watcher range is empty";
const DUPLICATE: &str = "mvcc: duplicate watch ID provided on the WatchStream";

fn put(revision: i64, sub: i64, key: &str, size: usize) -> Change {
    let kv = KeyValue {
        key: Arc::from(key.as_bytes()),
        value: Bytes::from(vec![b'v'; size]),
        create_revision: revision,
        mod_revision: revision,
        version: 1,
        lease: 0,
    };
    let kind = RecordKind::Put(Arc::new(kv));
    Change { record: Record { revision: Revision::new(revision, sub), kind }, previous: None }
}

fn on(key: &str, start_revision: i64) -> WatchCreateRequest {
    let key = Bytes::copy_from_slice(key.as_bytes());
    WatchCreateRequest { key, start_revision, ..WatchCreateRequest::default() }
}

fn all(start_revision: i64) -> WatchCreateRequest {
    WatchCreateRequest { range_end: Bytes::from_static(b"\0"), ..on("", start_revision) }
}

/// A hub with one stream and the whole history.
struct Bench {
    hub: Hub,
    stream: StreamId,
    history: Vec<Change>,
    revision: i64,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let mut hub = Hub::new(limits);
        hub.restore(1, 0, &mut Vec::new());
        let stream = hub.open_stream();
        Self { hub, stream, history: Vec::new(), revision: 1 }
    }

    fn create(&mut self, request: WatchCreateRequest) {
        self.hub.create(self.stream, WatchSpec::from(&request));
    }

    fn write(&mut self, keys: &[&str]) -> Vec<StreamId> {
        self.revision += 1;
        let changes: Vec<_> =
            keys.iter().zip(0..).map(|(key, sub)| put(self.revision, sub, key, 100)).collect();
        self.history.extend(changes.iter().cloned());
        let mut woken = Vec::new();
        self.hub.notify(self.revision, &changes, &mut woken);
        woken
    }

    fn read(&self, job: &CatchUp) -> Vec<Change> {
        let Some((from, to)) = job.read() else { return Vec::new() };
        let wanted = |change: &&Change| (from..=to).contains(&change.record.revision.main);
        self.history.iter().filter(wanted).cloned().collect()
    }

    fn catch_up(&mut self) {
        while let Some(job) = self.hub.next_catch_up() {
            let changes = self.read(&job);
            self.hub.finish_catch_up(job, &changes, &mut Vec::new());
        }
    }

    fn take(&mut self) -> Vec<WatchResponse> {
        let mut responses = Vec::new();
        loop {
            let taken = self.hub.take(self.stream, usize::MAX);
            if taken.is_empty() {
                return responses;
            }
            let header = ResponseHeader::default();
            responses.extend(taken.into_iter().flat_map(|d| d.into_proto(header, 1 << 20)));
        }
    }
}

fn revisions(responses: &[WatchResponse]) -> Vec<i64> {
    let events = responses.iter().flat_map(|response| &response.events);
    events.map(|event| event.kv.as_ref().unwrap().mod_revision).collect()
}

fn header_revision(response: &WatchResponse) -> i64 {
    response.header.as_ref().unwrap().revision
}

#[test]
fn bad_requests_are_created_canceled_with_a_reason_and_leave_the_stream_usable() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", -1));
    // A negative start is found before anything else that is wrong.
    bench.create(WatchCreateRequest { range_end: "b".into(), ..on("b", -5) });
    bench.create(WatchCreateRequest { range_end: "a".into(), ..on("b", 0) });
    bench.create(WatchCreateRequest { watch_id: 5, ..on("a", 0) });
    bench.create(WatchCreateRequest { watch_id: 5, ..on("b", 0) });
    let stream = bench.stream;
    bench
        .hub
        .refuse(stream, "rpc error: code = PermissionDenied desc = etcdserver: permission denied");
    bench.create(on("b", 0));
    let responses = bench.take();
    let told: Vec<_> = responses
        .iter()
        .map(|r| (r.watch_id, r.created, r.canceled, r.cancel_reason.as_str()))
        .collect();
    let denied = "rpc error: code = PermissionDenied desc = etcdserver: permission denied";
    let refused = |reason| (-1, true, true, reason);
    assert_eq!(
        told,
        [
            refused(COMPACTED),
            refused(COMPACTED),
            refused(EMPTY),
            (5, true, false, ""),
            refused(DUPLICATE),
            refused(denied),
            (0, true, false, ""),
        ]
    );
}

#[test]
fn ids_go_upward_from_zero_around_those_taken() {
    let mut bench = Bench::new(Limits::default());
    for watch_id in [0, 1, 2, 0, 0] {
        bench.create(WatchCreateRequest { watch_id, ..on("a", 0) });
    }
    let stream = bench.stream;
    bench.hub.cancel(stream, 0);
    bench.create(on("a", 0));
    let created = bench.take().into_iter().filter(|response| response.created);
    assert_eq!(created.map(|response| response.watch_id).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn only_an_existing_watcher_is_told_that_it_is_canceled() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", 0));
    let stream = bench.stream;
    for watch_id in [7, 0, 0] {
        bench.hub.cancel(stream, watch_id);
    }
    bench.write(&["a"]);
    let responses = bench.take();
    assert_eq!(responses.len(), 2);
    assert!(responses[1].canceled && responses[1].watch_id == 0);
    assert_eq!(bench.hub.counts(), Counts { streams: 1, ..Counts::default() });
}

#[test]
fn a_watcher_whose_owner_lost_the_right_ends_and_hears_why() {
    let mut bench = Bench::new(Limits::default());
    let stream = bench.stream;
    for (key, owner) in
        [("a", Some("alice")), ("a", Some("bob")), ("b", Some("alice")), ("a", None)]
    {
        let owner = owner.map(Arc::from);
        bench.hub.create(stream, WatchSpec { owner, ..WatchSpec::from(&on(key, 0)) });
    }
    bench.write(&["a"]);
    bench.take();
    let mut woken = Vec::new();
    bench.hub.judge(
        |owner, range| match (owner, range.contains(b"a")) {
            (Some("bob"), _) | (_, false) => Ok(()),
            (Some(_), true) => Err("denied"),
            (None, true) => Err("nobody"),
        },
        &mut woken,
    );
    assert_eq!(woken, [stream]);
    let told = bench.take();
    let told: Vec<_> = told
        .iter()
        .map(|r| (r.watch_id, r.created, r.canceled, r.cancel_reason.as_str()))
        .collect();
    assert_eq!(told, [(0, false, true, "denied"), (3, false, true, "nobody")]);
    bench.write(&["a", "b"]);
    let left: Vec<_> = bench.take().iter().map(|response| response.watch_id).collect();
    assert_eq!(left, [1, 2]);
}

#[test]
fn a_start_below_the_compacted_revision_is_canceled_and_one_at_it_is_not() {
    let mut bench = Bench::new(Limits::default());
    for _ in 0..5 {
        bench.write(&["a"]);
    }
    bench.hub.compacted(4, &mut Vec::new());
    bench.create(on("a", 3));
    bench.create(on("a", 4));
    bench.catch_up();
    let responses = bench.take();
    assert!(responses[0].created && !responses[0].canceled && responses[0].watch_id == 0);
    assert!(responses[1].canceled && !responses[1].created && responses[1].watch_id == 0);
    assert_eq!((responses[1].compact_revision, responses[1].cancel_reason.as_str()), (4, ""));
    assert_eq!((responses[2].created, responses[2].watch_id), (true, 1));
    assert_eq!(revisions(&responses), [4, 5, 6]);
}

#[test]
fn a_synced_watcher_does_not_mind_compaction() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", 0));
    bench.create(on("a", 9));
    bench.write(&["b"]);
    bench.write(&["b"]);
    bench.hub.compacted(3, &mut Vec::new());
    assert!(bench.take().iter().all(|response| !response.canceled));
    assert_eq!(bench.hub.counts().watchers, 2);
}

#[test]
fn compaction_cancels_a_watcher_whose_history_is_being_read() {
    let limits = Limits { recent_revisions: 0, ..Limits::default() };
    let mut bench = Bench::new(limits);
    for _ in 0..5 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 2));
    let job = bench.hub.next_catch_up().unwrap();
    let mut woken = Vec::new();
    bench.hub.compacted(5, &mut woken);
    assert_eq!(woken, [bench.stream]);
    // Its slot goes to another watcher, which must not get the old one's history.
    bench.create(on("a", 0));
    let changes = bench.read(&job);
    bench.hub.finish_catch_up(job, &changes, &mut woken);
    let responses = bench.take();
    assert_eq!(responses[1].compact_revision, 5);
    assert_eq!(revisions(&responses), [0i64; 0]);
    assert_eq!(bench.hub.counts().lagging, 0);
}

#[test]
fn a_future_start_gets_nothing_before_it_and_no_progress() {
    let mut bench = Bench::new(Limits::default());
    bench.create(WatchCreateRequest { progress_notify: true, ..on("a", 4) });
    let stream = bench.stream;
    bench.hub.progress_request(stream);
    for _ in 0..2 {
        bench.write(&["a"]);
        bench.hub.progress_tick(&mut Vec::new());
    }
    assert_eq!(bench.take().len(), 1, "created and nothing else");
    assert_eq!(bench.write(&["b"]), [bench.stream]);
    let responses = bench.take();
    assert_eq!(responses.len(), 1, "the deferred progress: {responses:?}");
    assert_eq!((responses[0].watch_id, header_revision(&responses[0])), (-1, 4));
    bench.write(&["a"]);
    assert_eq!(revisions(&bench.take()), [5]);
}

#[test]
fn progress_waits_for_every_watcher_of_the_stream() {
    let limits = Limits { recent_revisions: 1, ..Limits::default() };
    let mut bench = Bench::new(limits);
    let stream = bench.stream;
    bench.hub.progress_request(stream);
    assert!(bench.take().is_empty(), "a stream without watchers has no progress");
    for _ in 0..3 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 0));
    bench.create(on("a", 2));
    bench.hub.progress_request(stream);
    bench.hub.progress_request(stream);
    assert!(bench.take().iter().all(|response| response.created));
    bench.catch_up();
    let responses = bench.take();
    assert_eq!(revisions(&responses), [2, 3, 4]);
    let (last, others) = responses.split_last().unwrap();
    assert_eq!((last.watch_id, header_revision(last), last.events.len()), (-1, 4, 0));
    assert!(others.iter().all(|response| response.watch_id == 1));
}

#[test]
fn cancelling_the_watcher_that_keeps_progress_waiting_lets_it_go() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", 0));
    bench.create(on("a", 50));
    let stream = bench.stream;
    bench.hub.progress_request(stream);
    bench.take();
    bench.hub.cancel(stream, 1);
    let responses = bench.take();
    assert!(responses[0].canceled);
    assert_eq!((responses[1].watch_id, responses[1].canceled), (-1, false));
}

#[test]
fn a_progress_tick_speaks_to_idle_watchers_that_asked() {
    let mut bench = Bench::new(Limits::default());
    bench.create(WatchCreateRequest { progress_notify: true, ..on("a", 0) });
    bench.create(WatchCreateRequest { progress_notify: true, ..on("b", 0) });
    bench.create(on("c", 0));
    bench.write(&["a"]);
    bench.take();
    let mut woken = Vec::new();
    bench.hub.progress_tick(&mut woken);
    assert_eq!(woken, [bench.stream]);
    let ids: Vec<_> = bench.take().iter().map(|response| response.watch_id).collect();
    assert_eq!(ids, [1], "0 had an event, 2 did not ask");
    bench.hub.progress_tick(&mut woken);
    assert_eq!(bench.take().len(), 2);
}

#[test]
fn a_slow_stream_is_bounded_and_catches_up_once_it_reads() {
    let limits = Limits { outbox_bytes: 1000, recent_revisions: 2, ..Limits::default() };
    let mut bench = Bench::new(limits);
    bench.create(all(0));
    for _ in 0..500 {
        bench.write(&["a"]);
    }
    assert!(bench.hub.is_full(bench.stream));
    assert_eq!(bench.hub.counts().lagging, 1);
    assert!(!bench.hub.needs_catch_up(), "nothing is read for a client that does not read");
    let mut seen = Vec::new();
    while seen.len() < 500 {
        let responses = bench.take();
        let bytes: usize = responses.iter().map(prost::Message::encoded_len).sum();
        assert!(bytes < 1500, "{bytes} bytes were waiting");
        assert!(!responses.is_empty());
        seen.extend(revisions(&responses));
        bench.catch_up();
    }
    assert_eq!(seen, (2..=501).collect::<Vec<_>>());
    assert_eq!(bench.hub.counts().lagging, 0);
}

#[test]
fn a_revision_larger_than_the_outbox_gets_through() {
    let limits = Limits { outbox_bytes: 50, ..Limits::default() };
    let mut bench = Bench::new(limits);
    bench.create(all(0));
    bench.take();
    bench.write(&["a", "b", "c"]);
    bench.write(&["d"]);
    let first = bench.take();
    assert_eq!((first.len(), first[0].events.len()), (1, 3), "a revision is never split");
    bench.catch_up();
    assert_eq!(revisions(&bench.take()), [3]);
}

#[test]
fn catch_up_meets_a_store_that_keeps_moving() {
    let limits = Limits { recent_revisions: 4, job_revisions: 3, ..Limits::default() };
    let mut bench = Bench::new(limits);
    for _ in 0..20 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 2));
    let mut jobs = 0;
    while let Some(job) = bench.hub.next_catch_up() {
        let changes = bench.read(&job);
        bench.write(&["a"]);
        bench.write(&["b"]);
        bench.hub.finish_catch_up(job, &changes, &mut Vec::new());
        jobs += 1;
        assert!(jobs < 100, "it runs after the store for ever");
    }
    bench.write(&["a"]);
    let expected: Vec<_> =
        bench.history.iter().filter(|change| &**change.record.key() == b"a").collect();
    let expected: Vec<_> = expected.iter().map(|change| change.record.revision.main).collect();
    assert_eq!(revisions(&bench.take()), expected);
}

#[test]
fn what_is_still_in_memory_is_not_read_again() {
    let mut bench = Bench::new(Limits::default());
    for _ in 0..5 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 3));
    let job = bench.hub.next_catch_up().unwrap();
    assert_eq!(job.read(), None);
    bench.hub.finish_catch_up(job, &[], &mut Vec::new());
    assert_eq!(revisions(&bench.take()), [3, 4, 5, 6]);
}

#[test]
fn one_far_behind_does_not_keep_the_others_waiting() {
    let limits = Limits { recent_revisions: 0, job_revisions: 2, ..Limits::default() };
    let mut bench = Bench::new(limits);
    for _ in 0..100 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 2));
    bench.create(on("a", 101));
    for _ in 0..2 {
        let job = bench.hub.next_catch_up().unwrap();
        let changes = bench.read(&job);
        bench.hub.finish_catch_up(job, &changes, &mut Vec::new());
    }
    let responses = bench.take();
    assert!(responses.iter().any(|r| r.watch_id == 1 && !r.events.is_empty()), "{responses:?}");
}

#[test]
fn a_reader_may_stop_early_or_give_the_job_back() {
    let limits = Limits { recent_revisions: 0, ..Limits::default() };
    let mut bench = Bench::new(limits);
    for _ in 0..6 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 2));
    let job = bench.hub.next_catch_up().unwrap();
    assert_eq!(job.read(), Some((2, 7)));
    bench.hub.abandon_catch_up(job);
    let mut job = bench.hub.next_catch_up().unwrap();
    let changes = bench.read(&job);
    job.stop_after(4);
    assert_eq!(job.read(), Some((2, 4)));
    // What it brings beyond the revision it claims is not trusted to be complete.
    bench.hub.finish_catch_up(job, &changes, &mut Vec::new());
    assert_eq!(revisions(&bench.take()), [2, 3, 4]);
    bench.catch_up();
    assert_eq!(revisions(&bench.take()), [5, 6, 7]);
}

#[test]
fn a_job_that_is_given_back_sends_nobody_back_before_where_they_were() {
    let limits = Limits { recent_revisions: 0, ..Limits::default() };
    let mut bench = Bench::new(limits);
    for _ in 0..4 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 2));
    bench.create(on("a", 4));
    let job = bench.hub.next_catch_up().unwrap();
    bench.hub.abandon_catch_up(job);
    bench.catch_up();
    let responses = bench.take();
    let of = |id| responses.iter().filter(move |r| r.watch_id == id).cloned().collect::<Vec<_>>();
    assert_eq!(revisions(&of(0)), [2, 3, 4, 5]);
    assert_eq!(revisions(&of(1)), [4, 5]);
}

#[test]
fn a_job_does_not_touch_who_came_after_its_watcher() {
    let limits = Limits { recent_revisions: 0, ..Limits::default() };
    let mut bench = Bench::new(limits);
    for _ in 0..6 {
        bench.write(&["a"]);
    }
    bench.create(on("a", 5));
    let old = bench.hub.next_catch_up().unwrap();
    bench.hub.cancel(bench.stream, 0);
    bench.create(on("a", 2));
    let new = bench.hub.next_catch_up().unwrap();
    for job in [old, new] {
        let changes = bench.read(&job);
        bench.hub.finish_catch_up(job, &changes, &mut Vec::new());
    }
    assert_eq!(revisions(&bench.take()), (2..=7).collect::<Vec<_>>());
}

#[test]
fn a_snapshot_makes_watchers_read_what_they_missed() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", 0));
    bench.create(on("a", 9));
    bench.write(&["a"]);
    bench.take();
    for revision in 3..=6 {
        bench.history.push(put(revision, 0, "a", 1));
    }
    bench.revision = 6;
    bench.hub.restore(6, 0, &mut Vec::new());
    assert_eq!(bench.hub.counts().lagging, 1, "the future one misses nothing");
    bench.catch_up();
    bench.write(&["a"]);
    assert_eq!(revisions(&bench.take()), [3, 4, 5, 6, 7]);
}

#[test]
fn a_snapshot_beyond_compaction_cancels_those_that_missed_something() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", 0));
    bench.take();
    let mut woken = Vec::new();
    bench.hub.restore(20, 10, &mut woken);
    assert_eq!(woken, [bench.stream]);
    let responses = bench.take();
    assert_eq!((responses[0].canceled, responses[0].compact_revision), (true, 10));
}

#[test]
fn a_stream_is_woken_once_until_it_is_empty() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", 0));
    bench.create(on("a", 0));
    assert_eq!(bench.write(&["a"]), [bench.stream]);
    assert!(bench.write(&["a"]).is_empty());
    bench.hub.take(bench.stream, 1);
    assert!(bench.write(&["a"]).is_empty(), "not empty yet");
    bench.take();
    assert_eq!(bench.write(&["a"]), [bench.stream]);
    bench.take();
    assert!(bench.write(&["b"]).is_empty(), "nothing for this stream");
}

#[test]
fn small_revisions_of_one_watcher_are_put_together() {
    let mut bench = Bench::new(Limits { merge_bytes: 500, ..Limits::default() });
    bench.create(on("a", 0));
    for _ in 0..20 {
        bench.write(&["a"]);
    }
    let responses = bench.take();
    assert!(responses.len() < 12, "{}", responses.len());
    assert_eq!(revisions(&responses), (2..=21).collect::<Vec<_>>());
    for response in &responses[1..] {
        assert_eq!(
            header_revision(response),
            *revisions(std::slice::from_ref(response)).last().unwrap()
        );
    }
}

#[test]
fn watchers_of_a_change_share_one_event() {
    let mut bench = Bench::new(Limits::default());
    bench.create(on("a", 0));
    bench.create(all(0));
    bench.write(&["a"]);
    let taken = bench.hub.take(bench.stream, usize::MAX);
    let events: Vec<_> = taken
        .iter()
        .filter_map(|delivery| match &delivery.content {
            Content::Events(events) => Some(&events.events[0]),
            _ => None,
        })
        .collect();
    assert_eq!(events.len(), 2);
    assert!(Arc::ptr_eq(events[0], events[1]));
}

#[test]
fn a_closed_stream_leaves_nothing_behind() {
    let mut bench = Bench::new(Limits { recent_revisions: 0, ..Limits::default() });
    bench.write(&["a"]);
    bench.write(&["a"]);
    bench.create(on("a", 2));
    let job = bench.hub.next_catch_up().unwrap();
    bench.create(on("a", 2));
    bench.create(all(0));
    let stream = bench.stream;
    bench.hub.progress_request(stream);
    bench.hub.close_stream(stream);
    assert_eq!(bench.hub.counts(), Counts::default());
    assert!(!bench.hub.needs_catch_up());
    let changes = bench.read(&job);
    bench.hub.finish_catch_up(job, &changes, &mut Vec::new());
    assert!(bench.write(&["a"]).is_empty());
    assert!(bench.hub.take(stream, usize::MAX).is_empty());
}
