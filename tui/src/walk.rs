//! Finding the children of a prefix without reading what is below them.
//!
//! etcd has no directories: a listing reads keys in order and, when a page ends inside a
//! directory, goes on behind that directory. So a prefix with ten directories of a hundred
//! thousand keys costs about ten small reads. Pure: the caller does the reading.

use crate::model::browser::{next_level, prefix_end};
use crate::msg::{Child, KeyMeta};

/// A page that ends in a directory shows that keys lie deep: the next one is this small.
const PAGE_LEAST: i64 = 32;
/// Flat keys are read in pages up to this size.
const PAGE_MOST: i64 = 512;

/// A listing being read.
#[derive(Clone, Debug)]
pub struct Walk {
    prefix: Vec<u8>,
    flat: bool,
    pub children: Vec<Child>,
    /// The first key of the next page; `None` when everything has been read.
    pub next: Option<Vec<u8>>,
    /// Keys to read in the next page.
    pub limit: i64,
}

impl Walk {
    pub fn new(prefix: Vec<u8>, from: Vec<u8>, flat: bool) -> Self {
        Self { prefix, flat, children: Vec::new(), next: Some(from), limit: PAGE_LEAST }
    }

    /// Where the range to read ends.
    pub fn end(&self) -> Vec<u8> {
        prefix_end(&self.prefix)
    }

    /// Takes a page of keys in order; `more` if the range goes on behind it.
    pub fn absorb(&mut self, keys: Vec<KeyMeta>, more: bool) {
        let mut next = None;
        for meta in keys {
            let level = if self.flat { None } else { next_level(&self.prefix, &meta.key) };
            match level {
                Some(directory) => {
                    next = Some(prefix_end(&directory));
                    let known = self.children.last().is_some_and(
                        |child| matches!(child, Child::Directory(last) if *last == directory),
                    );
                    if !known {
                        self.children.push(Child::Directory(directory));
                    }
                    self.limit = PAGE_LEAST;
                }
                None => {
                    let mut after = meta.key.clone();
                    after.push(0);
                    next = Some(after);
                    self.limit = (self.limit * 2).min(PAGE_MOST);
                    self.children.push(Child::Key(meta));
                }
            }
        }
        self.next = next.filter(|_| more);
    }
}

/// The key a range from `key` on starts with, as etcd wants it: never empty.
pub fn range_start(key: &[u8]) -> Vec<u8> {
    if key.is_empty() { vec![0] } else { key.to_vec() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn naive(store: &BTreeSet<Vec<u8>>, prefix: &[u8], flat: bool) -> Vec<Vec<u8>> {
        let mut names: Vec<Vec<u8>> = store
            .iter()
            .filter(|key| key.starts_with(prefix))
            .map(|key| {
                if flat { None } else { next_level(prefix, key) }.unwrap_or_else(|| key.clone())
            })
            .collect();
        names.dedup();
        names
    }

    /// Reads like etcd: in order, from `next` up to the end, at most `limit` keys.
    fn read(store: &BTreeSet<Vec<u8>>, walk: &Walk, limit: usize) -> (Vec<KeyMeta>, bool) {
        let from = walk.next.clone().expect("not done");
        let (from, end) = (range_start(&from), walk.end());
        let in_range: Vec<&Vec<u8>> =
            store.iter().filter(|k| **k >= from && (end == [0] || **k < end)).collect();
        let page = in_range.iter().take(limit);
        let page = page.map(|k| KeyMeta { key: (*k).clone(), ..KeyMeta::default() }).collect();
        (page, in_range.len() > limit)
    }

    #[test]
    fn any_store_walked_in_any_page_size_gives_its_children_once_and_in_order() {
        // A small generator is enough: short keys over an alphabet that provokes collisions
        // of directories with keys, empty names and bytes at both ends.
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        let alphabet = [b'/', b'/', b'a', b'b', b'0', b'.', 0, 0xff];
        for round in 0..400 {
            let mut store = BTreeSet::new();
            for _ in 0..random(60) {
                let length = 1 + random(6);
                store
                    .insert((0..length).map(|_| alphabet[random(8) as usize]).collect::<Vec<u8>>());
            }
            for prefix in [&b""[..], b"/", b"a", b"a/", b"\xff"] {
                for flat in [false, true] {
                    let limit = 1 + random(7) as usize;
                    let mut walk = Walk::new(prefix.to_vec(), prefix.to_vec(), flat);
                    let mut pages = 0;
                    while walk.next.is_some() {
                        let (page, more) = read(&store, &walk, limit);
                        walk.absorb(page, more);
                        pages += 1;
                        assert!(pages <= 200, "it does not end: round {round}");
                    }
                    let names: Vec<Vec<u8>> =
                        walk.children.iter().map(|c| c.name().to_vec()).collect();
                    assert_eq!(names, naive(&store, prefix, flat), "round {round} {prefix:?}");
                }
            }
        }
    }

    #[test]
    fn deep_directories_are_skipped_not_read() {
        let store: BTreeSet<Vec<u8>> = (0..10)
            .flat_map(|d| (0..1_000).map(move |k| format!("/{d}/{k}").into_bytes()))
            .collect();
        let mut walk = Walk::new(b"/".to_vec(), b"/".to_vec(), false);
        let mut pages = 0;
        while walk.next.is_some() {
            let limit = walk.limit as usize;
            let (page, more) = read(&store, &walk, limit);
            walk.absorb(page, more);
            pages += 1;
        }
        assert_eq!(walk.children.len(), 10);
        assert!(pages <= 11, "{pages} pages");
    }
}
