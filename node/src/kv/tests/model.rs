//! A key space too simple to be wrong: the list of all events, replayed for every question.

use std::cmp::Ordering;

use proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use proto::etcdserverpb::response_op::Response;
use proto::etcdserverpb::{Compare, ResponseHeader, ResponseOp};
use proto::mvccpb;

use super::*;

/// One change: `None` deletes.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) revision: Revision,
    pub(super) key: Bytes,
    pub(super) put: Option<(Bytes, i64)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) events: Vec<Event>,
    pub(super) compacted: i64,
}

type State = BTreeMap<Bytes, mvccpb::KeyValue>;

impl Model {
    pub(super) fn revision(&self) -> i64 {
        self.events.last().map_or(1, |event| event.revision.main)
    }

    pub(super) fn state_at(&self, main: i64) -> State {
        let mut state = State::new();
        for event in self.events.iter().filter(|event| event.revision.main <= main) {
            let Some((value, lease)) = &event.put else {
                state.remove(&event.key);
                continue;
            };
            let kv = state.entry(event.key.clone()).or_insert(mvccpb::KeyValue {
                key: event.key.clone(),
                create_revision: event.revision.main,
                ..mvccpb::KeyValue::default()
            });
            kv.value = value.clone();
            kv.lease = *lease;
            kv.mod_revision = event.revision.main;
            kv.version += 1;
        }
        state
    }

    pub(super) fn now(&self) -> State {
        self.state_at(i64::MAX)
    }

    pub(super) fn leases(&self) -> Leases {
        let mut leases = Leases::granted([7, 8]);
        for kv in self.now().values().filter(|kv| kv.lease != 0) {
            leases.keys.get_mut(&kv.lease).unwrap().insert(Arc::from(kv.key.as_ref()));
        }
        leases
    }

    pub(super) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        if request.key.is_empty() {
            return Err(KvError::EmptyKey);
        }
        if !(0..=2).contains(&request.sort_order) || !(0..=4).contains(&request.sort_target) {
            return Err(KvError::InvalidSortOption);
        }
        if request.revision > self.revision() {
            return Err(KvError::FutureRevision);
        }
        if request.revision > 0 && request.revision < self.compacted {
            return Err(KvError::Compacted);
        }
        let at = if request.revision > 0 { request.revision } else { i64::MAX };
        let mut kvs = self.state_at(at).into_values().collect::<Vec<_>>();
        kvs.retain(|kv| in_range(&request.key, &request.range_end, &kv.key));
        let count = kvs.len() as i64;
        if request.count_only {
            return Ok(RangeResponse { count, ..RangeResponse::default() });
        }
        let no = |limit: i64| limit == 0;
        kvs.retain(|kv| {
            no(request.min_mod_revision) || kv.mod_revision >= request.min_mod_revision
        });
        kvs.retain(|kv| {
            no(request.max_mod_revision) || kv.mod_revision <= request.max_mod_revision
        });
        let created = |kv: &mvccpb::KeyValue| kv.create_revision;
        kvs.retain(|kv| {
            no(request.min_create_revision) || created(kv) >= request.min_create_revision
        });
        kvs.retain(|kv| {
            no(request.max_create_revision) || created(kv) <= request.max_create_revision
        });
        let limit = if request.limit > 0 { request.limit as usize } else { usize::MAX };
        let filters = [
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        ];
        if request.sort_order == SortOrder::None as i32 && filters == [0; 4] {
            kvs.truncate(limit.saturating_add(1));
        }
        sort(&mut kvs, request);
        let more = kvs.len() > limit;
        kvs.truncate(limit);
        if request.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Bytes::new());
        }
        Ok(RangeResponse { header: None, kvs, more, count })
    }

    pub(super) fn put(&mut self, request: &PutRequest) -> Result<PutResponse, KvError> {
        self.check_put(request)?;
        let main = self.revision() + 1;
        Ok(self.do_put(request, main))
    }

    fn check_put(&self, request: &PutRequest) -> Result<(), KvError> {
        check::put(request)?;
        if ![0, 7, 8].contains(&request.lease) {
            return Err(KvError::LeaseNotFound);
        }
        self.check_base(request)
    }

    fn check_base(&self, request: &PutRequest) -> Result<(), KvError> {
        let builds_on_it = request.ignore_value || request.ignore_lease;
        if builds_on_it && !self.now().contains_key(&request.key) {
            return Err(KvError::KeyNotFound);
        }
        Ok(())
    }

    fn push(&mut self, main: i64, key: Bytes, put: Option<(Bytes, i64)>) {
        let sub = self.events.iter().filter(|event| event.revision.main == main).count() as i64;
        self.events.push(Event { revision: Revision::new(main, sub), key, put });
    }

    fn do_put(&mut self, request: &PutRequest, main: i64) -> PutResponse {
        let before = self.now().get(&request.key).cloned();
        let old = before.clone().unwrap_or_default();
        let value = if request.ignore_value { old.value } else { request.value.clone() };
        let lease = if request.ignore_lease { old.lease } else { request.lease };
        self.push(main, request.key.clone(), Some((value, lease)));
        PutResponse { header: None, prev_kv: before.filter(|_| request.prev_kv) }
    }

    pub(super) fn delete(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse, KvError> {
        check::delete_range(request)?;
        let main = self.revision() + 1;
        Ok(self.do_delete(request, main))
    }

    fn do_delete(&mut self, request: &DeleteRangeRequest, main: i64) -> DeleteRangeResponse {
        let mut gone = self.now().into_values().collect::<Vec<_>>();
        gone.retain(|kv| in_range(&request.key, &request.range_end, &kv.key));
        for kv in &gone {
            self.push(main, kv.key.clone(), None);
        }
        let deleted = gone.len() as i64;
        let prev_kvs = if request.prev_kv { gone } else { Vec::new() };
        DeleteRangeResponse { header: None, deleted, prev_kvs }
    }

    pub(super) fn revoke(&mut self, lease: i64) {
        let main = self.revision() + 1;
        for kv in self.now().into_values().filter(|kv| kv.lease == lease) {
            self.push(main, kv.key, None);
        }
    }

    pub(super) fn txn(&mut self, request: &TxnRequest) -> Result<TxnResponse, KvError> {
        let before = self.clone();
        before.check_path(request)?;
        let main = self.revision() + 1;
        Ok(self.do_txn(request, &before, main))
    }

    fn chosen<'r>(&self, request: &'r TxnRequest) -> (bool, &'r [RequestOp]) {
        let state = self.now();
        match request.compare.iter().all(|compare| holds(&state, compare)) {
            true => (true, &request.success),
            false => (false, &request.failure),
        }
    }

    fn check_path(&self, request: &TxnRequest) -> Result<(), KvError> {
        for op in self.chosen(request).1 {
            match op.request.as_ref().unwrap() {
                Request::RequestRange(range) => {
                    let oldest = if self.compacted == 0 { -1 } else { self.compacted };
                    if range.revision != 0 && range.revision < oldest {
                        return Err(KvError::Compacted);
                    }
                    self.range(range)?;
                }
                Request::RequestPut(put) => {
                    check::put(put)?;
                    self.check_base(put)?;
                    self.check_put(put)?;
                }
                Request::RequestDeleteRange(_) => {}
                Request::RequestTxn(nested) => self.check_path(nested)?,
            }
        }
        Ok(())
    }

    fn do_txn(&mut self, request: &TxnRequest, before: &Model, main: i64) -> TxnResponse {
        let (succeeded, ops) = before.chosen(request);
        let mut responses = Vec::new();
        for op in ops {
            let mut response = match op.request.as_ref().unwrap() {
                Request::RequestRange(range) => Response::ResponseRange(self.range(range).unwrap()),
                Request::RequestPut(put) => Response::ResponsePut(self.do_put(put, main)),
                Request::RequestDeleteRange(delete) => {
                    Response::ResponseDeleteRange(self.do_delete(delete, main))
                }
                Request::RequestTxn(nested) => {
                    Response::ResponseTxn(self.do_txn(nested, before, main))
                }
            };
            let header = ResponseHeader { revision: self.revision(), ..ResponseHeader::default() };
            match &mut response {
                Response::ResponseRange(response) => response.header = Some(header),
                Response::ResponsePut(response) => response.header = Some(header),
                Response::ResponseDeleteRange(response) => response.header = Some(header),
                Response::ResponseTxn(response) => {
                    response.header = Some(ResponseHeader::default())
                }
            }
            responses.push(ResponseOp { response: Some(response) });
        }
        TxnResponse { header: None, succeeded, responses }
    }

    pub(super) fn compact(&mut self, revision: i64) -> Result<(), KvError> {
        if revision < 0 || (self.compacted > 0 && revision <= self.compacted) {
            return Err(KvError::Compacted);
        }
        if revision > self.revision() {
            return Err(KvError::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }

    /// The newest event of each key at or below `main`, without tombstones from before it.
    pub(super) fn keep_at(&self, main: i64) -> std::collections::HashSet<Revision> {
        let mut newest = BTreeMap::new();
        for event in self.events.iter().filter(|event| event.revision.main <= main) {
            newest.insert(event.key.clone(), event);
        }
        let kept =
            newest.values().filter(|event| event.put.is_some() || event.revision.main == main);
        kept.map(|event| event.revision).collect()
    }
}

fn in_range(key: &[u8], range_end: &[u8], probe: &[u8]) -> bool {
    match range_end {
        [] => probe == key,
        [0] => probe >= key,
        _ => probe >= key && probe < range_end,
    }
}

fn sort(kvs: &mut [mvccpb::KeyValue], request: &RangeRequest) {
    let (target, order) = (request.sort_target, request.sort_order);
    kvs.sort_by(|left, right| {
        let ordering = match SortTarget::try_from(target).unwrap() {
            SortTarget::Key => left.key.cmp(&right.key),
            SortTarget::Version => left.version.cmp(&right.version),
            SortTarget::Create => left.create_revision.cmp(&right.create_revision),
            SortTarget::Mod => left.mod_revision.cmp(&right.mod_revision),
            SortTarget::Value => left.value.cmp(&right.value),
        };
        let descending = order == SortOrder::Descend as i32;
        if descending { ordering.reverse() } else { ordering }
    });
}

fn holds(state: &State, compare: &Compare) -> bool {
    let in_it = |kv: &&mvccpb::KeyValue| in_range(&compare.key, &compare.range_end, &kv.key);
    let kvs = state.values().filter(in_it).cloned().collect::<Vec<_>>();
    let of_value = compare.target == CompareTarget::Value as i32;
    match kvs.is_empty() {
        true if of_value => false,
        true => holds_for(compare, &mvccpb::KeyValue::default()),
        false => kvs.iter().all(|kv| holds_for(compare, kv)),
    }
}

fn holds_for(compare: &Compare, kv: &mvccpb::KeyValue) -> bool {
    let ordering = match compare.target_union.as_ref().unwrap() {
        TargetUnion::Version(wanted) => kv.version.cmp(wanted),
        TargetUnion::CreateRevision(wanted) => kv.create_revision.cmp(wanted),
        TargetUnion::ModRevision(wanted) => kv.mod_revision.cmp(wanted),
        TargetUnion::Value(wanted) => kv.value.cmp(wanted),
        TargetUnion::Lease(wanted) => kv.lease.cmp(wanted),
    };
    match CompareResult::try_from(compare.result).unwrap() {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::NotEqual => ordering != Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
    }
}
