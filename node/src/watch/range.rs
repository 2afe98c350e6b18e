//! The keys a watcher asks for, made once from the two byte strings of a request.
//!
//! # Invariant
//! A [`WatchRange`] is never empty, and every decision about a watch (permission, matching)
//! is made on it, never again on the raw bytes: a range that means one thing to the check
//! and another to the execution is a way around the check.

use bytes::Bytes;

use crate::auth::Span;

/// One key, a half-open range, or everything from a key on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum WatchRange {
    Single(Bytes),
    /// `start <= key < end`, with `start < end`.
    Range {
        start: Bytes,
        end: Bytes,
    },
    /// `key >= start`.
    From(Bytes),
}

/// The range holds no key at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("mvcc: watcher range is empty")]
pub struct EmptyRange;

impl WatchRange {
    /// The range of a watch request. An empty key is the smallest key there is, an empty
    /// `range_end` means the key alone, and `"\0"` means no end.
    ///
    /// The bytes are copied: those of a request are slices of a whole receive buffer, which a
    /// watcher would keep alive for as long as it lives.
    pub fn parse(key: &[u8], range_end: &[u8]) -> Result<Self, EmptyRange> {
        let start = Bytes::copy_from_slice(if key.is_empty() { b"\0" } else { key });
        match range_end {
            [] => Ok(Self::Single(start)),
            [0] => Ok(Self::From(start)),
            end if &start[..] < end => Ok(Self::Range { start, end: Bytes::copy_from_slice(end) }),
            _ => Err(EmptyRange),
        }
    }

    /// The keys a right is needed for.
    pub fn span(&self) -> Option<Span> {
        match self {
            Self::Single(only) => Span::key(only),
            Self::Range { start, end } => Span::new(start, Some(end.to_vec())),
            Self::From(start) => Span::new(start, None),
        }
    }

    /// Whether `key` lies in the range.
    pub fn contains(&self, key: &[u8]) -> bool {
        match self {
            Self::Single(only) => only == key,
            Self::Range { start, end } => &start[..] <= key && key < &end[..],
            Self::From(start) => &start[..] <= key,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_forms() {
        let single = WatchRange::parse(b"", b"").unwrap();
        assert!(single.contains(b"\0") && !single.contains(b"\0\0") && !single.contains(b"a"));
        let all = WatchRange::parse(b"", b"\0").unwrap();
        assert!(all.contains(b"\0") && all.contains(b"\xff\xff"));
        let from = WatchRange::parse(b"b", b"\0").unwrap();
        assert!(!from.contains(b"a\xff") && from.contains(b"b") && from.contains(b"\xff"));
        let range = WatchRange::parse(b"b", b"d").unwrap();
        assert!(range.contains(b"b") && range.contains(b"c\xff") && !range.contains(b"d"));
    }

    #[test]
    fn a_range_that_holds_nothing_is_refused() {
        assert_eq!(WatchRange::parse(b"b", b"b"), Err(EmptyRange));
        assert_eq!(WatchRange::parse(b"b", b"a"), Err(EmptyRange));
        assert_eq!(WatchRange::parse(b"\0", b"\0"), Ok(WatchRange::From(Bytes::from("\0"))));
        assert!(WatchRange::parse(b"", b"a").is_ok());
        assert_eq!(EmptyRange.to_string(), "mvcc: watcher range is empty");
    }
}
