//! The rule that one transaction writes no key twice.
//!
//! Refused are two puts of one key, and a put of a key that a delete covers. The two
//! branches of a transaction never both run, so they may share keys with each other, but
//! each is held against everything around it. Deletes may overlap each other. One order is
//! allowed, as in etcd: a nested transaction that puts, and a *later sibling* that deletes.
//!
//! So on no path does a put follow a delete of its key, and what a put found when the
//! transaction was checked is still there when it is applied.
//!
//! A request of the size limit holds a hundred thousand operations, so each is held against
//! the others by search, not one by one.

use std::collections::{BTreeMap, HashSet};

use proto::etcdserverpb::request_op::Request;
use proto::etcdserverpb::{RequestOp, TxnRequest};

use super::KvError;
use super::check::MAX_TXN_DEPTH;

/// Checks both branches of a transaction, and that it does not nest too deep.
pub(super) fn check(request: &TxnRequest) -> Result<(), KvError> {
    written(&request.success, 1)?;
    written(&request.failure, 1)?;
    Ok(())
}

/// What a list of operations may write, whichever way its nested transactions go.
#[derive(Default)]
struct Written<'r> {
    puts: HashSet<&'r [u8]>,
    deletes: Deletes<'r>,
}

fn written(ops: &[RequestOp], depth: usize) -> Result<Written<'_>, KvError> {
    if depth > MAX_TXN_DEPTH {
        return Err(KvError::TooManyOps);
    }
    let mut written = Written::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(delete)) = &op.request {
            written.deletes.insert(&delete.key, &delete.range_end);
        }
    }
    for op in ops {
        if let Some(Request::RequestTxn(nested)) = &op.request {
            let success = self::written(&nested.success, depth + 1)?;
            let failure = self::written(&nested.failure, depth + 1)?;
            written.merge(success, failure)?;
        }
    }
    for op in ops {
        if let Some(Request::RequestPut(put)) = &op.request {
            written.check_put(&put.key)?;
            written.puts.insert(&put.key);
        }
    }
    Ok(written)
}

impl<'r> Written<'r> {
    fn check_put(&self, key: &[u8]) -> Result<(), KvError> {
        match self.puts.contains(key) || self.deletes.cover(key) {
            true => Err(KvError::DuplicateKey),
            false => Ok(()),
        }
    }

    /// Takes in the branches of a nested transaction, which exclude each other.
    fn merge(&mut self, success: Self, failure: Self) -> Result<(), KvError> {
        for key in success.puts.iter().chain(&failure.puts) {
            self.check_put(key)?;
        }
        for branch in [success, failure] {
            self.puts.extend(branch.puts);
            self.deletes.merge(branch.deletes);
        }
        Ok(())
    }
}

/// A set of deleted keys: single ones, and disjoint ranges by their start. A range without
/// an end goes to the last key.
#[derive(Default)]
struct Deletes<'r> {
    keys: HashSet<&'r [u8]>,
    ranges: BTreeMap<&'r [u8], Option<&'r [u8]>>,
}

impl<'r> Deletes<'r> {
    fn insert(&mut self, key: &'r [u8], range_end: &'r [u8]) {
        match range_end {
            [] => {
                self.keys.insert(key);
            }
            [0] => self.insert_range(key, None),
            end if end > key => self.insert_range(key, Some(end)),
            _ => {}
        }
    }

    /// Joins the new range with all it touches, so that ranges stay disjoint.
    fn insert_range(&mut self, mut start: &'r [u8], mut end: Option<&'r [u8]>) {
        if let Some((&before, &before_end)) = self.ranges.range(..=start).next_back()
            && before_end.is_none_or(|before_end| before_end >= start)
        {
            start = before;
            end = later(end, before_end);
        }
        while let Some((&next, &next_end)) = self.ranges.range(start..).next()
            && end.is_none_or(|end| next <= end)
        {
            end = later(end, next_end);
            self.ranges.remove(next);
        }
        self.ranges.insert(start, end);
    }

    fn merge(&mut self, other: Self) {
        self.keys.extend(other.keys);
        for (start, end) in other.ranges {
            self.insert_range(start, end);
        }
    }

    fn cover(&self, key: &[u8]) -> bool {
        let range = self.ranges.range(..=key).next_back();
        self.keys.contains(key) || range.is_some_and(|(_, end)| end.is_none_or(|end| end > key))
    }
}

/// The later of two range ends.
fn later<'r>(left: Option<&'r [u8]>, right: Option<&'r [u8]>) -> Option<&'r [u8]> {
    Some(left?.max(right?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::kv::KeyRange;

    fn keys() -> Vec<Vec<u8>> {
        let pairs = (1..8u8).flat_map(|first| (0..8u8).map(move |second| vec![first, second]));
        (1..8u8).map(|first| vec![first]).chain(pairs).collect()
    }

    proptest! {
        #[test]
        fn joined_ranges_cover_what_each_covers(
            ranges in prop::collection::vec(
                (prop::collection::vec(1u8..8, 1..3), prop::collection::vec(0u8..8, 0..3)),
                0..8,
            ),
            cut in 0usize..8,
        ) {
            let (one, other) = ranges.split_at(cut.min(ranges.len()));
            let mut deletes = Deletes::default();
            let mut merged = Deletes::default();
            one.iter().for_each(|(key, end)| deletes.insert(key, end));
            other.iter().for_each(|(key, end)| merged.insert(key, end));
            deletes.merge(merged);
            let naive = ranges.iter().map(|(key, end)| KeyRange::copied(key, end)).collect::<Vec<_>>();
            for key in keys() {
                let expected = naive.iter().any(|range| range.contains(&key));
                prop_assert_eq!(deletes.cover(&key), expected, "{:?}", key);
            }
            // Disjoint and apart: each ends before the next begins.
            let ranges = deletes.ranges.iter().collect::<Vec<_>>();
            for pair in ranges.windows(2) {
                prop_assert!(pair[0].1.is_some_and(|end| end < *pair[1].0));
            }
        }
    }
}
