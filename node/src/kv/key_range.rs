//! Which keys a request speaks of.
//!
//! On the wire a range is a pair of byte strings with three spellings hidden in it: an empty
//! `range_end` is one key, a `range_end` of one zero byte is "no upper end", and anything
//! else is an exclusive upper end. [`KeyRange`] reads the pair once; nobody else interprets
//! it. An inverted range is an empty one, not an error.

use std::ops::Bound;

use bytes::Bytes;

/// A half-open range of keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyRange {
    /// Exactly this key.
    Single(Bytes),
    /// Keys `>= start` and `< end`; `start <= end`.
    Range { start: Bytes, end: Bytes },
    /// Keys `>=` this one.
    From(Bytes),
    /// Every key.
    All,
}

impl KeyRange {
    /// The range that a request's `key` and `range_end` mean. The bytes are shared.
    ///
    /// An empty `key` stands for the smallest key, as it does for a watch; requests that
    /// forbid it are refused before.
    pub fn new(key: &Bytes, range_end: &Bytes) -> Self {
        match range_end.as_ref() {
            [] if key.is_empty() => Self::Single(Bytes::from_static(&[0])),
            [] => Self::Single(key.clone()),
            // No stored key is empty, so the key of one zero byte is the smallest.
            [0] if key.is_empty() || key.as_ref() == [0] => Self::All,
            [0] => Self::From(key.clone()),
            end if end < key.as_ref() => Self::Range { start: key.clone(), end: key.clone() },
            _ => Self::Range { start: key.clone(), end: range_end.clone() },
        }
    }

    /// Like [`KeyRange::new`], but with bytes of its own: for a range that outlives its
    /// request and must not keep the receive buffer alive.
    pub fn copied(key: &[u8], range_end: &[u8]) -> Self {
        Self::new(&Bytes::copy_from_slice(key), &Bytes::copy_from_slice(range_end))
    }

    /// Whether `key` is in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Single(only) => only == key,
            Self::Range { start, end } => start.as_ref() <= key && key < end.as_ref(),
            Self::From(start) => start.as_ref() <= key,
            Self::All => true,
        }
    }

    /// The range as the bounds of an ordered map. Never inverted, so never a panic there.
    pub fn bounds(&self) -> (Bound<&[u8]>, Bound<&[u8]>) {
        match self {
            Self::Single(only) => (Bound::Included(only), Bound::Included(only)),
            Self::Range { start, end } => (Bound::Included(start), Bound::Excluded(end)),
            Self::From(start) => (Bound::Included(start), Bound::Unbounded),
            Self::All => (Bound::Unbounded, Bound::Unbounded),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_spellings_of_a_range() {
        assert_eq!(KeyRange::copied(b"a", b""), KeyRange::Single("a".into()));
        assert_eq!(
            KeyRange::copied(b"a", b"c"),
            KeyRange::Range { start: "a".into(), end: "c".into() }
        );
        assert_eq!(KeyRange::copied(b"a", b"\0"), KeyRange::From("a".into()));
        assert_eq!(KeyRange::copied(b"\0", b"\0"), KeyRange::All);
        assert_eq!(KeyRange::copied(b"", b"\0"), KeyRange::All);
        assert_eq!(KeyRange::copied(b"\0", b""), KeyRange::Single(vec![0].into()));
        assert_eq!(KeyRange::copied(b"", b""), KeyRange::Single(vec![0].into()));
    }

    #[test]
    fn an_inverted_range_is_empty() {
        let inverted = KeyRange::copied(b"c", b"a");
        for key in [b"a", b"b", b"c", b"d"] {
            assert!(!inverted.contains(key));
        }
    }

    proptest! {
        #[test]
        fn bounds_and_contains_agree_with_the_wire_rule(
            key in prop::collection::vec(0u8..3, 1..3),
            end in prop::collection::vec(0u8..3, 0..3),
            probe in prop::collection::vec(0u8..3, 1..3),
        ) {
            let expected = match end.as_slice() {
                [] => probe == key,
                [0] => probe >= key,
                _ => probe >= key && probe < end,
            };
            let range = KeyRange::copied(&key, &end);
            prop_assert_eq!(range.contains(&probe), expected);
            let keys = std::collections::BTreeSet::from([probe.into_boxed_slice()]);
            prop_assert_eq!(keys.range::<[u8], _>(range.bounds()).count() == 1, expected);
        }
    }
}
