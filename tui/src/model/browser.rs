//! The key browser: which parts of the key space are loaded, and what is shown of them.
//!
//! A directory's children are loaded a page at a time, all pages at one revision; the watch
//! moves that revision on. So the rows together are always one consistent state of the
//! store, and a million keys cost what is on screen. Reading is left to `client/`.

use super::time::Now;
use crate::msg::{Change, Child, Failure, KeyMeta, RequestId, ScanProgress};
use crate::value::{Decoded, Format};
use std::collections::{BTreeMap, BTreeSet};

/// What separates directories in a key.
pub const SEPARATOR: u8 = b'/';

/// The children of one prefix, as far as they are loaded.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub children: Vec<Child>,
    /// Where to go on; `None` when all children are loaded.
    pub next: Option<Vec<u8>>,
    pub loading: Option<RequestId>,
    pub failure: Option<Failure>,
    /// The revision the page under way is read at.
    pub reading_at: i64,
}

impl Listing {
    pub fn fresh(prefix: &[u8]) -> Self {
        Self { next: Some(prefix.to_vec()), ..Self::default() }
    }

    /// Whether the place of `name` lies in the loaded part.
    pub fn covers(&self, name: &[u8]) -> bool {
        self.next.as_ref().is_none_or(|next| name < next.as_slice())
    }
}

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeRow {
    pub depth: u16,
    pub kind: RowKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowKind {
    Directory {
        prefix: Vec<u8>,
        open: bool,
    },
    Key(KeyMeta),
    /// More children of `prefix` are to be loaded.
    More {
        prefix: Vec<u8>,
    },
    Failed {
        prefix: Vec<u8>,
        text: String,
    },
}

/// The value pane.
#[derive(Clone, Debug, Default)]
pub struct ValuePane {
    /// The key it shows or waits for.
    pub key: Option<Vec<u8>>,
    pub waiting: Option<RequestId>,
    pub found: Option<(KeyMeta, Vec<u8>)>,
    pub gone: bool,
    pub failure: Option<Failure>,
    pub format: Format,
    pub decoded: Decoded,
    /// The width `decoded` is made for.
    pub columns: usize,
    pub scroll: usize,
    pub lease_waiting: Option<RequestId>,
    /// Seconds left and granted, and when that was true.
    pub lease: Option<(i64, i64, Now)>,
    /// For a directory: how many keys it holds.
    pub directory: Option<Vec<u8>>,
    pub count_waiting: Option<RequestId>,
    pub count: Option<i64>,
    /// Whether keys in it came or went since they were counted.
    pub count_is_old: bool,
}

/// A search through all keys under the root.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    pub needle: String,
    pub generation: u64,
    pub scanned: u64,
    pub total: u64,
    pub matches: Vec<KeyMeta>,
    pub done: bool,
    pub stopped: Option<String>,
}

impl Scan {
    pub fn absorb(&mut self, progress: ScanProgress) {
        self.scanned = progress.scanned;
        self.total = progress.total;
        self.matches.extend(progress.matches);
        self.done = progress.done;
        self.stopped = progress.stopped;
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Live {
    #[default]
    Off,
    On,
    /// The watch broke; it is tried again at the next round.
    Lost,
}

#[derive(Clone, Debug, Default)]
pub struct Browser {
    /// Only keys beginning with this are shown.
    pub root: Vec<u8>,
    pub flat: bool,
    pub listings: BTreeMap<Vec<u8>, Listing>,
    pub open: BTreeSet<Vec<u8>>,
    pub rows: Vec<TreeRow>,
    pub cursor: usize,
    pub offset: usize,
    /// The revision the rows are a picture of; 0 before the first answer.
    pub revision: i64,
    /// Whether the picture is one member's own, read without asking a quorum.
    pub local_view: bool,
    pub live: Live,
    pub generation: u64,
    /// Changes that came while a page was being read, to be applied to that page.
    pub recent: Vec<(i64, Change)>,
    /// Directories that lost a key and may be empty now, and the request that asks.
    pub checking: BTreeMap<Vec<u8>, RequestId>,
    /// When a key last changed before our eyes.
    pub changed: BTreeMap<Vec<u8>, Now>,
    pub scan: Option<Scan>,
    pub pane: ValuePane,
    pub focus_value: bool,
    pub started: bool,
    /// Whether a directory that is alone under the root is unfolded when it is found.
    pub unfold: bool,
    /// Where the cursor belongs once that row is loaded again.
    pub wanted: Option<RowName>,
    /// A delete under way, and its key.
    pub deleting: Option<(RequestId, Vec<u8>)>,
}

/// What identifies a row across rebuilds: its kind, and its key or prefix.
pub type RowName = (u8, Vec<u8>);

impl Browser {
    pub fn current(&self) -> Option<&TreeRow> {
        self.rows.get(self.cursor)
    }

    /// The key under the cursor.
    pub fn current_key(&self) -> Option<&KeyMeta> {
        match self.current()?.kind {
            RowKind::Key(ref meta) => Some(meta),
            _ => None,
        }
    }

    /// The prefix under which a change of `key` would show as a child, and the child's name
    /// there: the deepest open directory that holds it.
    pub fn place(&self, key: &[u8]) -> Option<(Vec<u8>, ChildName)> {
        if !key.starts_with(&self.root) {
            return None;
        }
        let mut prefix = self.root.clone();
        loop {
            if self.flat {
                return Some((prefix, ChildName::Key));
            }
            let Some(directory) = next_level(&prefix, key) else {
                return Some((prefix, ChildName::Key));
            };
            if !self.listings.contains_key(&directory) {
                return Some((prefix, ChildName::Directory(directory)));
            }
            prefix = directory;
        }
    }

    /// Rebuilds the rows from what is loaded, with the cursor on the same thing.
    pub fn rebuild(&mut self) {
        let kept = self.wanted.clone().or_else(|| self.current().map(row_name));
        let mut rows = Vec::new();
        match &self.scan {
            Some(scan) => rows.extend(
                scan.matches
                    .iter()
                    .map(|meta| TreeRow { depth: 0, kind: RowKind::Key(meta.clone()) }),
            ),
            None => self.flatten(&self.root, 0, &mut rows),
        }
        self.rows = rows;
        // The cursor follows what it is on, but not the place where loading goes on: rows that
        // were read there are what the user was waiting for.
        if let Some(kept) = kept.filter(|(kind, _)| *kind != MORE)
            && self.current().map(row_name).as_ref() != Some(&kept)
            && let Some(at) = self.rows.iter().position(|row| row_name(row) == kept)
        {
            self.cursor = at;
            self.wanted = None;
        }
        self.cursor = self.cursor.min(self.rows.len().saturating_sub(1));
    }

    fn flatten(&self, prefix: &[u8], depth: u16, rows: &mut Vec<TreeRow>) {
        let Some(listing) = self.listings.get(prefix) else { return };
        for child in &listing.children {
            match child {
                Child::Key(meta) => {
                    rows.push(TreeRow { depth, kind: RowKind::Key(meta.clone()) });
                }
                Child::Directory(directory) => {
                    let open = self.open.contains(directory);
                    let kind = RowKind::Directory { prefix: directory.clone(), open };
                    rows.push(TreeRow { depth, kind });
                    if open {
                        self.flatten(directory, depth.saturating_add(1), rows);
                    }
                }
            }
        }
        let prefix = prefix.to_vec();
        if let Some(failure) = &listing.failure {
            let kind = RowKind::Failed { prefix, text: failure.text.clone() };
            rows.push(TreeRow { depth, kind });
        } else if listing.next.is_some() {
            rows.push(TreeRow { depth, kind: RowKind::More { prefix } });
        }
    }
}

/// How a key shows in a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildName {
    Key,
    Directory(Vec<u8>),
}

const MORE: u8 = 2;

/// See [`RowName`].
pub fn row_name(row: &TreeRow) -> RowName {
    match &row.kind {
        RowKind::Directory { prefix, .. } => (0, prefix.clone()),
        RowKind::Key(meta) => (1, meta.key.clone()),
        RowKind::More { prefix } | RowKind::Failed { prefix, .. } => (MORE, prefix.clone()),
    }
}

/// The directory directly under `prefix` that `key` is in, if it is in one.
///
/// A separator that directly follows the prefix makes a directory too: `/a` under the empty
/// prefix is in `/`.
pub fn next_level(prefix: &[u8], key: &[u8]) -> Option<Vec<u8>> {
    let rest = key.get(prefix.len()..)?;
    let at = rest.iter().position(|b| *b == SEPARATOR)?;
    Some(key[..prefix.len() + at + 1].to_vec())
}

/// The directory that holds `name` (a key, or a directory with its separator).
pub fn parent(name: &[u8]) -> &[u8] {
    let inner = name.strip_suffix(&[SEPARATOR]).unwrap_or(name);
    match inner.iter().rposition(|b| *b == SEPARATOR) {
        Some(at) => &name[..=at],
        None => &[],
    }
}

/// The first key after every key that begins with `prefix`, in etcd's encoding: a single
/// zero byte means "to the end".
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xff {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_parents() {
        assert_eq!(next_level(b"", b"/a/b"), Some(b"/".to_vec()));
        assert_eq!(next_level(b"/", b"/a/b"), Some(b"/a/".to_vec()));
        assert_eq!(next_level(b"/a/", b"/a/b"), None);
        assert_eq!(next_level(b"/a/", b"/a//b"), Some(b"/a//".to_vec()));
        assert_eq!(parent(b"/a/b"), b"/a/");
        assert_eq!(parent(b"/a/"), b"/");
        assert_eq!(parent(b"/"), b"");
        assert_eq!(parent(b"plain"), b"");
    }

    #[test]
    fn the_end_of_a_prefix_carries() {
        assert_eq!(prefix_end(b"a"), b"b");
        assert_eq!(prefix_end(b"a\xff"), b"b");
        assert_eq!(prefix_end(b"\xff\xff"), b"\0");
        assert_eq!(prefix_end(b""), b"\0");
    }
}
