//! Reading: which versions of which keys a range request gets, in which order.
//!
//! A [`Query`] is a range request whose every field has been understood; making one is where
//! a bad request is refused, so reading the present cannot fail.
//!
//! # Rules easily missed
//! `count` is the number of keys in the range, whatever the limit and the revision filters
//! leave of them. The limit applies after filters and sorting. A sort target other than the
//! key without an order means ascending, but then etcd sorts only what the limit takes of
//! the keys in their order (and the one that tells that there are more), unless it filters:
//! clients see which keys they get, so it is the same here. Equal sort keys stay in key order, so the answer is
//! the same on every member. Values are shared, never copied.

use std::cmp::Ordering;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::{RangeRequest, RangeResponse};

use super::index::Located;
use super::key_range::KeyRange;
use super::{History, HistoryError, KeyValue, Kv, KvError, Revision};

/// A range request, understood.
#[derive(Debug)]
pub(super) struct Query {
    keys: KeyRange,
    /// `None` reads the present.
    revision: Option<i64>,
    limit: Option<usize>,
    /// `None` is key order, in which the index already is.
    order: Option<Order>,
    modified: Window,
    created: Window,
    keys_only: bool,
    count_only: bool,
}

#[derive(Debug)]
struct Order {
    target: SortTarget,
    descending: bool,
    /// Only the first keys are sorted, as many as the limit takes and one more.
    within_limit: bool,
}

/// Inclusive limits on a revision; 0 is no limit.
#[derive(Debug)]
struct Window {
    min: i64,
    max: i64,
}

impl Window {
    fn is_open(&self) -> bool {
        self.min == 0 && self.max == 0
    }

    fn admits(&self, revision: i64) -> bool {
        (self.min == 0 || revision >= self.min) && (self.max == 0 || revision <= self.max)
    }
}

impl Query {
    pub(super) fn new(request: &RangeRequest) -> Result<Self, KvError> {
        if request.key.is_empty() {
            return Err(KvError::EmptyKey);
        }
        let order = SortOrder::try_from(request.sort_order);
        let target = SortTarget::try_from(request.sort_target);
        let (Ok(order), Ok(target)) = (order, target) else {
            return Err(KvError::InvalidSortOption);
        };
        let in_key_order = target == SortTarget::Key && order != SortOrder::Descend;
        let descending = order == SortOrder::Descend;
        let modified = Window { min: request.min_mod_revision, max: request.max_mod_revision };
        let created = Window { min: request.min_create_revision, max: request.max_create_revision };
        let within_limit = order == SortOrder::None && modified.is_open() && created.is_open();
        Ok(Self {
            keys: KeyRange::new(&request.key, &request.range_end),
            revision: (request.revision > 0).then_some(request.revision),
            limit: usize::try_from(request.limit).ok().filter(|limit| *limit > 0),
            order: (!in_key_order).then_some(Order { target, descending, within_limit }),
            modified,
            created,
            keys_only: request.keys_only,
            count_only: request.count_only,
        })
    }

    /// The revision it asks for; `None` for the present.
    pub(super) fn revision(&self) -> Option<i64> {
        self.revision
    }

    fn admits(&self, version: &KeyValue) -> bool {
        self.modified.admits(version.mod_revision) && self.created.admits(version.create_revision)
    }
}

/// Answers a query at the revision it asks for.
pub(super) fn answer(
    kv: &Kv,
    query: &Query,
    history: &dyn History,
) -> Result<RangeResponse, KvError> {
    match query.revision {
        Some(revision) => past(kv, query, revision, history),
        None => Ok(present(kv, query)),
    }
}

/// Answers a query from the present, whatever revision it asks for.
pub(super) fn present(kv: &Kv, query: &Query) -> RangeResponse {
    let mut page = Page::new(query);
    for version in kv.histories(&query.keys).filter_map(|history| history.current()) {
        page.count += 1;
        if !page.is_full() {
            page.offer(Version::Current(version));
        } else if query.keys == KeyRange::All {
            page.count = kv.key_count();
            break;
        }
    }
    page.into_response()
}

fn past(
    kv: &Kv,
    query: &Query,
    revision: i64,
    history: &dyn History,
) -> Result<RangeResponse, KvError> {
    kv.check_readable(revision)?;
    if revision == kv.revision() {
        return Ok(present(kv, query));
    }
    let mut page = Page::new(query);
    for located in kv.histories(&query.keys).map(|history| history.at(revision)) {
        match located {
            Located::Absent => continue,
            _ if page.is_full() => {}
            Located::Current(version) => page.offer(Version::Current(version)),
            Located::Stored(at) => page.offer(Version::Stored(stored(history, at)?)),
        }
        page.count += 1;
    }
    Ok(page.into_response())
}

/// The put that the index says is stored at a revision.
fn stored(history: &dyn History, at: Revision) -> Result<Arc<KeyValue>, HistoryError> {
    history
        .put_at(at)?
        .ok_or_else(|| HistoryError(format!("there is no put at revision {}.{}", at.main, at.sub)))
}

/// A version that is in memory anyway, or one that was read for this answer.
enum Version<'a> {
    Current(&'a Arc<KeyValue>),
    Stored(Arc<KeyValue>),
}

impl Deref for Version<'_> {
    type Target = KeyValue;

    fn deref(&self) -> &KeyValue {
        match self {
            Self::Current(version) => version,
            Self::Stored(version) => version,
        }
    }
}

/// An answer being collected.
struct Page<'q, 'a> {
    query: &'q Query,
    count: usize,
    found: Vec<Version<'a>>,
    /// How many versions are worth collecting: one beyond the limit tells that there are
    /// more, but a sorted answer must see all.
    enough: usize,
}

impl<'q, 'a> Page<'q, 'a> {
    fn new(query: &'q Query) -> Self {
        let enough = match (query.count_only, &query.order, query.limit) {
            (true, _, _) => 0,
            (false, None, Some(limit)) => limit.saturating_add(1),
            (false, Some(order), Some(limit)) if order.within_limit => limit.saturating_add(1),
            (false, _, _) => usize::MAX,
        };
        Self { query, count: 0, found: Vec::new(), enough }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.enough
    }

    fn offer(&mut self, version: Version<'a>) {
        if self.query.admits(&version) {
            self.found.push(version);
        }
    }

    fn into_response(mut self) -> RangeResponse {
        if let Some(order) = &self.query.order {
            self.found.sort_by(|left, right| order.compare(left, right));
        }
        let limit = self.query.limit.unwrap_or(usize::MAX);
        let more = self.found.len() > limit;
        self.found.truncate(limit);
        let keys_only = self.query.keys_only;
        let kvs = self.found.iter().map(|version| {
            let mut kv = version.to_proto();
            if keys_only {
                kv.value = Bytes::new();
            }
            kv
        });
        RangeResponse { header: None, kvs: kvs.collect(), more, count: self.count as i64 }
    }
}

impl Order {
    fn compare(&self, left: &KeyValue, right: &KeyValue) -> Ordering {
        let ascending = match self.target {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::Create => left.create_revision.cmp(&right.create_revision),
            SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        };
        if self.descending { ascending.reverse() } else { ascending }
    }
}
