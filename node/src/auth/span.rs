//! Half-open ranges of keys, and unions of them.
//!
//! # Invariant
//! A [`Span`] is never empty: a range that holds no key is no span, and nobody has a right
//! to it. [`Intervals`] are sorted, and between two of them there is always a key that is in
//! neither, so a span is covered exactly if one of them covers it.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::kv::KeyRange;

/// No key is empty, so this one is the smallest there is.
const SMALLEST: &[u8] = &[0];

/// Keys `>= start` and, if there is an end, `< end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    start: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Span {
    /// The keys from `start` on, up to `end` if there is one; `None` if that is no key.
    pub fn new(start: &[u8], end: Option<Vec<u8>>) -> Option<Self> {
        let start = if start.is_empty() { SMALLEST } else { start };
        let empty = end.as_ref().is_some_and(|end| end.as_slice() <= start);
        (!empty).then(|| Self { start: start.to_vec(), end })
    }

    /// The span of one key.
    pub fn key(key: &[u8]) -> Option<Self> {
        let key = if key.is_empty() { SMALLEST } else { key };
        Self::new(key, Some(after(key)))
    }

    /// The span of a request's range; `None` if it holds no key.
    pub fn of(range: &KeyRange) -> Option<Self> {
        match range {
            KeyRange::Single(key) => Self::key(key),
            KeyRange::Range { start, end } => Self::new(start, Some(end.to_vec())),
            KeyRange::From(start) => Self::new(start, None),
            KeyRange::All => Self::new(SMALLEST, None),
        }
    }
}

/// The smallest key greater than this one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}

/// A union of spans.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(BTreeMap<Vec<u8>, Option<Vec<u8>>>);

impl Intervals {
    /// Adds a span, joined with what it touches.
    pub fn insert(&mut self, span: Span) {
        let Span { mut start, mut end } = span;
        if let Some((before, before_end)) = self.0.range(..=start.clone()).next_back()
            && before_end.as_ref().is_none_or(|before_end| *before_end >= start)
        {
            let (before, before_end) = (before.clone(), before_end.clone());
            self.0.remove(&before);
            start = before;
            end = later(end, before_end);
        }
        while let Some((next, next_end)) = self.0.range(start.clone()..).next()
            && end.as_ref().is_none_or(|end| next <= end)
        {
            let (next, next_end) = (next.clone(), next_end.clone());
            self.0.remove(&next);
            end = later(end, next_end);
        }
        self.0.insert(start, end);
    }

    /// Where the interval that holds `key` ends; `None` if there is no such interval.
    fn reach(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let up_to = (Bound::Unbounded, Bound::Included(key));
        let (_, end) = self.0.range::<[u8], _>(up_to).next_back()?;
        match end {
            None => Some(None),
            Some(end) if end.as_slice() > key => Some(Some(end)),
            Some(_) => None,
        }
    }
}

/// Whether the union of `sets` covers the span: from its start, as far as any of them goes,
/// and on from there.
pub(super) fn covered<'s>(sets: &[&'s Intervals], span: &'s Span) -> bool {
    let mut at: &[u8] = &span.start;
    loop {
        let mut farthest: Option<&[u8]> = None;
        for set in sets {
            match set.reach(at) {
                Some(None) => return true,
                Some(Some(end)) => farthest = farthest.max(Some(end)),
                None => {}
            }
        }
        match (farthest, &span.end) {
            (None, _) => return false,
            (Some(end), Some(wanted)) if end >= wanted.as_slice() => return true,
            (Some(end), _) => at = end,
        }
    }
}

/// The later of two ends.
fn later(left: Option<Vec<u8>>, right: Option<Vec<u8>>) -> Option<Vec<u8>> {
    Some(left?.max(right?))
}
