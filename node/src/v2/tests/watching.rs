//! Who hears of what, and that nobody hears twice or misses anything.

use std::sync::Arc;

use proto::v2::{V2Request, v2_request::Kind};

use super::{request, set};
use crate::v2::hub::{Hub, Watch, Wish};
use crate::v2::{Code, Store};

/// A store with its watchers, as a member has them.
#[derive(Default)]
struct Member {
    store: Store,
    hub: Arc<Hub>,
}

impl Member {
    fn apply(&mut self, request: &V2Request) {
        let (_, outcome, _) = self.store.apply(request);
        outcome.notices.iter().for_each(|notice| self.hub.notify(notice));
    }

    fn watch(&self, key: &str, recursive: bool, stream: bool, since: u64) -> Watch {
        let wish = Wish { key: key.into(), recursive, stream, since };
        self.hub.watch(&self.store, wish).expect("a history that is not cleared")
    }
}

/// Indexes of the events that came, and whether more may come.
fn heard(watch: &mut Watch) -> (Vec<u64>, bool) {
    use tokio::sync::mpsc::error::TryRecvError;
    let mut indexes = Vec::new();
    loop {
        match watch.events.try_recv() {
            Ok(event) => indexes.push(event.index),
            Err(TryRecvError::Empty) => return (indexes, true),
            Err(TryRecvError::Disconnected) => return (indexes, false),
        }
    }
}

fn delete(key: &str) -> V2Request {
    V2Request { recursive: true, ..request(Kind::Delete, key) }
}

#[test]
fn one_event_or_all_of_them() {
    let mut member = Member::default();
    let mut once = member.watch("/a", false, false, 0);
    let mut all = member.watch("/a", false, true, 0);
    member.apply(&set("/a", "1"));
    member.apply(&set("/b", "1"));
    member.apply(&delete("/a"));
    assert_eq!(heard(&mut once), (vec![1], false));
    assert_eq!(heard(&mut all), (vec![1, 3], true));
    assert_eq!(member.hub.count(), 1);
    drop(all);
    assert_eq!(member.hub.count(), 0);
}

#[test]
fn a_directory_is_watched_with_or_without_its_content() {
    let mut member = Member::default();
    let mut deep = member.watch("/a", true, true, 0);
    let mut flat = member.watch("/a", false, true, 0);
    let mut root = member.watch("", true, true, 0);
    member.apply(&set("/a/b", "1"));
    member.apply(&set("/ab", "1"));
    member.apply(&set("/a/_h", "1"));
    member.apply(&set("/a/_h2/b", "1"));
    assert_eq!(heard(&mut deep), (vec![1], true));
    assert_eq!(heard(&mut flat), (vec![], true));
    assert_eq!(heard(&mut root), (vec![1, 2], true));
    let mut hidden = member.watch("/a/_h2", true, true, 0);
    member.apply(&set("/a/_h2/b", "2"));
    assert_eq!(heard(&mut hidden), (vec![5], true));
}

#[test]
fn what_goes_with_its_directory_is_told() {
    let mut member = Member::default();
    member.apply(&set("/a/b/c", "1"));
    member.apply(&set("/a/_h/c", "1"));
    let mut file = member.watch("/a/b/c", false, true, 0);
    let mut dir = member.watch("/a/b", true, true, 0);
    let mut hidden = member.watch("/a/_h/c", false, true, 0);
    let mut never = member.watch("/a/b/x", false, true, 0);
    member.apply(&delete("/a"));
    for watch in [&mut file, &mut dir, &mut hidden] {
        assert_eq!(heard(watch), (vec![3], true));
    }
    assert_eq!(heard(&mut never), (vec![], true));
    // From the history it cannot be known what was there: all below it are told, as in etcd.
    assert_eq!(heard(&mut member.watch("/a/b/x", false, false, 3)), (vec![3], false));
    assert_eq!(heard(&mut member.watch("/ab", false, false, 3)), (vec![], true));
}

#[test]
fn the_past_comes_first_and_the_rest_follows() {
    let mut member = Member::default();
    for value in ["1", "2", "3"] {
        member.apply(&set("/a", value));
    }
    let mut once = member.watch("/a", false, false, 2);
    assert_eq!(heard(&mut once), (vec![2], false));
    let mut all = member.watch("/a", false, true, 2);
    let mut future = member.watch("/a", false, false, 5);
    member.apply(&set("/a", "4"));
    assert_eq!(heard(&mut future), (vec![], true));
    member.apply(&set("/a", "5"));
    assert_eq!(heard(&mut all), (vec![2, 3, 4, 5], true));
    assert_eq!(heard(&mut future), (vec![5], false));
}

#[test]
fn a_refresh_wakes_nobody() {
    let mut member = Member::default();
    member.apply(&set("/a", "1"));
    let mut all = member.watch("/a", false, true, 0);
    member.apply(&V2Request { refresh: true, expiration: 9, ..set("/a", "") });
    member.apply(&set("/a", "2"));
    assert_eq!(heard(&mut all), (vec![3], true));
    assert_eq!(heard(&mut member.watch("/a", false, false, 2)), (vec![3], false));
}

#[test]
fn who_does_not_keep_up_is_ended() {
    let mut member = Member::default();
    let mut slow = member.watch("/a", false, true, 0);
    for value in 0..150 {
        member.apply(&set("/a", &value.to_string()));
    }
    let (indexes, more) = heard(&mut slow);
    assert_eq!(indexes, (1..=100).collect::<Vec<_>>());
    assert!(!more && member.hub.count() == 0);
}

#[test]
fn a_snapshot_does_not_swallow_events() {
    let mut ahead = Member::default();
    let behind = Member::default();
    let mut one = behind.watch("/a", false, false, 0);
    let mut all = behind.watch("/a", false, true, 0);
    let mut other = behind.watch("/b", false, false, 0);
    for value in ["1", "2"] {
        ahead.apply(&set("/a", value));
    }
    behind.hub.restored(&ahead.store);
    assert_eq!(heard(&mut one), (vec![1], false));
    assert_eq!(heard(&mut all), (vec![1, 2], true));
    assert_eq!(heard(&mut other), (vec![], true));
    for value in 0..1500 {
        ahead.apply(&set("/c", &value.to_string()));
    }
    behind.hub.restored(&ahead.store);
    assert_eq!((heard(&mut all), heard(&mut other)), ((vec![], false), (vec![], false)));
    assert_eq!(behind.hub.count(), 0);
}

#[test]
fn history_that_is_gone_is_an_error() {
    let mut member = Member::default();
    for value in 0..1500 {
        member.apply(&set("/c", &value.to_string()));
    }
    let wish = Wish { key: "/c".into(), recursive: false, stream: false, since: 1 };
    let error = member.hub.watch(&member.store, wish).err().expect("a cleared history");
    assert_eq!((error.code, error.index), (Code::EventIndexCleared, 1500));
}
