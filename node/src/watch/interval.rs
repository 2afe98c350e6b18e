//! A map from key ranges to sets of watchers that answers "who covers this key?".
//!
//! # How
//! A balanced (AVL) tree ordered by (start, end); every node knows the greatest end in its
//! subtree. A query skips a subtree whose greatest end lies at or before the key, and
//! everything to the right of a start that lies behind it, so ten thousand disjoint ranges
//! cost about as many comparisons as the tree is deep. Watchers of the same range share one
//! node.
//!
//! # Invariant
//! Heights of siblings differ by at most one, whatever the clients choose for ranges; no
//! node is without a watcher.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use bytes::Bytes;

use super::watcher::Slot;

/// Where a range ends. The order is that of the ends: none is the greatest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Before(Bytes),
    Never,
}

impl End {
    fn is_after(&self, key: &[u8]) -> bool {
        match self {
            Self::Before(end) => key < &end[..],
            Self::Never => true,
        }
    }
}

/// Ranges with their watchers.
#[derive(Debug, Default)]
pub(super) struct IntervalMap {
    root: Link,
}

type Link = Option<Box<Node>>;

#[derive(Debug)]
struct Node {
    start: Bytes,
    end: End,
    watchers: BTreeSet<Slot>,
    /// The greatest end in this subtree.
    reach: End,
    height: u32,
    left: Link,
    right: Link,
}

impl IntervalMap {
    /// Adds a watcher of `start..end`.
    pub(super) fn insert(&mut self, start: &Bytes, end: &End, watcher: Slot) {
        self.root = Some(insert(self.root.take(), start, end, watcher));
    }

    /// Takes a watcher of `start..end` out again.
    pub(super) fn remove(&mut self, start: &Bytes, end: &End, watcher: Slot) {
        self.root = remove(self.root.take(), start, end, watcher);
    }

    /// Calls `found` with every watcher whose range contains `key`.
    pub(super) fn covering(&self, key: &[u8], found: &mut impl FnMut(Slot)) {
        covering(&self.root, key, found);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.root.is_none()
    }
}

fn covering(link: &Link, key: &[u8], found: &mut impl FnMut(Slot)) {
    let Some(node) = link else { return };
    if !node.reach.is_after(key) {
        return;
    }
    covering(&node.left, key, found);
    if &node.start[..] <= key {
        if node.end.is_after(key) {
            node.watchers.iter().copied().for_each(&mut *found);
        }
        covering(&node.right, key, found);
    }
}

fn insert(link: Link, start: &Bytes, end: &End, watcher: Slot) -> Box<Node> {
    let Some(mut node) = link else { return Node::leaf(start.clone(), end.clone(), watcher) };
    match node.order(start, end) {
        Ordering::Equal => {
            node.watchers.insert(watcher);
            return node;
        }
        Ordering::Less => node.left = Some(insert(node.left.take(), start, end, watcher)),
        Ordering::Greater => node.right = Some(insert(node.right.take(), start, end, watcher)),
    }
    balance(node)
}

fn remove(link: Link, start: &Bytes, end: &End, watcher: Slot) -> Link {
    let mut node = link?;
    match node.order(start, end) {
        Ordering::Less => node.left = remove(node.left.take(), start, end, watcher),
        Ordering::Greater => node.right = remove(node.right.take(), start, end, watcher),
        Ordering::Equal => {
            node.watchers.remove(&watcher);
            if !node.watchers.is_empty() {
                return Some(node);
            }
            return join(node.left.take(), node.right.take());
        }
    }
    Some(balance(node))
}

/// One tree of two whose ranges are in order and whose heights differ by at most one.
fn join(left: Link, right: Link) -> Link {
    let Some(right) = right else { return left };
    let (mut first, rest) = take_first(right);
    first.left = left;
    first.right = rest;
    Some(balance(first))
}

fn take_first(mut node: Box<Node>) -> (Box<Node>, Link) {
    match node.left.take() {
        None => {
            let rest = node.right.take();
            (node, rest)
        }
        Some(left) => {
            let (first, rest) = take_first(left);
            node.left = rest;
            (first, Some(balance(node)))
        }
    }
}

/// Restores the invariant at a node one of whose subtrees changed its height by one.
fn balance(mut node: Box<Node>) -> Box<Node> {
    let (left, right) = (height(&node.left), height(&node.right));
    if left > right + 1 {
        if let Some(child) = node.left.take_if(|child| height(&child.left) < height(&child.right)) {
            node.left = Some(rotate_left(child));
        }
        return rotate_right(node);
    }
    if right > left + 1 {
        if let Some(child) = node.right.take_if(|child| height(&child.right) < height(&child.left))
        {
            node.right = Some(rotate_right(child));
        }
        return rotate_left(node);
    }
    node.refresh();
    node
}

fn rotate_left(mut node: Box<Node>) -> Box<Node> {
    let Some(mut top) = node.right.take() else { return node };
    node.right = top.left.take();
    node.refresh();
    top.left = Some(node);
    top.refresh();
    top
}

fn rotate_right(mut node: Box<Node>) -> Box<Node> {
    let Some(mut top) = node.left.take() else { return node };
    node.left = top.right.take();
    node.refresh();
    top.right = Some(node);
    top.refresh();
    top
}

fn height(link: &Link) -> u32 {
    link.as_ref().map_or(0, |node| node.height)
}

impl Node {
    fn leaf(start: Bytes, end: End, watcher: Slot) -> Box<Self> {
        let (reach, watchers) = (end.clone(), BTreeSet::from([watcher]));
        Box::new(Self { start, end, watchers, reach, height: 1, left: None, right: None })
    }

    /// How `start..end` stands to this node's range.
    fn order(&self, start: &Bytes, end: &End) -> Ordering {
        start.cmp(&self.start).then_with(|| end.cmp(&self.end))
    }

    fn refresh(&mut self) {
        self.height = 1 + height(&self.left).max(height(&self.right));
        let children = [&self.left, &self.right].into_iter().flatten().map(|node| &node.reach);
        let reach = children.chain([&self.end]).max();
        if let Some(reach) = reach.filter(|reach| **reach != self.reach).cloned() {
            self.reach = reach;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(link: &Link) -> (u32, Option<End>) {
        let Some(node) = link else { return (0, None) };
        let (left, left_reach) = check(&node.left);
        let (right, right_reach) = check(&node.right);
        assert!(left.abs_diff(right) <= 1, "out of balance at {:?}", node.start);
        assert_eq!(node.height, 1 + left.max(right));
        assert!(!node.watchers.is_empty());
        let reach = left_reach.max(right_reach).max(Some(node.end.clone()));
        assert_eq!(Some(&node.reach), reach.as_ref());
        (node.height, reach)
    }

    fn visited(link: &Link, key: &[u8]) -> usize {
        let Some(node) = link else { return 0 };
        if !node.reach.is_after(key) {
            return 1;
        }
        let right = if &node.start[..] <= key { visited(&node.right, key) } else { 0 };
        1 + visited(&node.left, key) + right
    }

    #[test]
    fn disjoint_ranges_are_not_all_compared() {
        let mut map = IntervalMap::default();
        for number in 0..10_000u32 {
            let start = Bytes::copy_from_slice(&(2 * number).to_be_bytes());
            let end = End::Before(Bytes::copy_from_slice(&(2 * number + 1).to_be_bytes()));
            map.insert(&start, &end, Slot::new(number));
        }
        check(&map.root);
        for number in [0u32, 1, 4_999, 9_999] {
            let key = (2 * number).to_be_bytes();
            let mut found = Vec::new();
            map.covering(&key, &mut |slot| found.push(slot));
            assert_eq!(found, [Slot::new(number)]);
            assert!(visited(&map.root, &key) < 60, "{}", visited(&map.root, &key));
        }
    }

    type Interval = (u8, Option<u8>);

    fn interval() -> impl Strategy<Value = Interval> {
        (0..20u8, proptest::option::of(1..10u8))
            .prop_map(|(start, length)| (start, length.map(|length| start + length)))
    }

    proptest! {
        /// The model is a list that is searched from end to end.
        #[test]
        fn agrees_with_a_list(
            steps in proptest::collection::vec((any::<bool>(), interval(), 0..4u32), 0..120),
        ) {
            let mut map = IntervalMap::default();
            let mut list: BTreeSet<(Interval, u32)> = BTreeSet::new();
            for (add, (start, end), watcher) in steps {
                let first = Bytes::copy_from_slice(&[start]);
                let last = match end {
                    Some(end) => End::Before(Bytes::copy_from_slice(&[end])),
                    None => End::Never,
                };
                if add {
                    map.insert(&first, &last, Slot::new(watcher));
                    list.insert(((start, end), watcher));
                } else {
                    map.remove(&first, &last, Slot::new(watcher));
                    list.remove(&((start, end), watcher));
                }
                check(&map.root);
                prop_assert_eq!(map.is_empty(), list.is_empty());
            }
            for key in 0..32u8 {
                let mut found = Vec::new();
                map.covering(&[key], &mut |slot| found.push(slot));
                found.sort();
                let covers = |(start, end): &Interval| *start <= key && end.is_none_or(|end| key < end);
                let mut expected: Vec<_> = list.iter().filter(|(interval, _)| covers(interval))
                    .map(|(_, watcher)| Slot::new(*watcher)).collect();
                expected.sort();
                prop_assert_eq!(found, expected);
            }
        }
    }
}
