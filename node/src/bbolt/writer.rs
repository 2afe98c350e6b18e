//! Writing a file in one pass, from sorted input.
//!
//! Pages are written in the order they fill: leaves as they come, a branch page when its level
//! has enough children. The two meta pages, which name the root, come last, into the place kept
//! for them; a writer that is dropped before leaves a file that no reader accepts.

use std::io::{Seek, SeekFrom, Write};

use super::Error;
use super::format::{
    ELEMENT, ELEMENT_BUCKET, FLAG_BRANCH, FLAG_FREELIST, FLAG_LEAF, FLAG_META, KEY_BYTES_MAX, Meta,
    PAGE_HEADER, PageHeader, VALUE_BYTES_MAX,
};

const PAGE_BYTES: usize = 4096;
/// Children that a branch page keeps back when the page before it is written, so that none
/// ends with fewer.
const CHILDREN_MIN: usize = 2;

/// A file in the making.
pub struct Writer<F> {
    file: F,
    next_page: u64,
    /// Name and root of each finished bucket.
    buckets: Vec<(Vec<u8>, u64)>,
}

/// One tree in the making.
#[derive(Default)]
struct Tree {
    leaf: Vec<Item>,
    leaf_bytes: usize,
    last: Option<Vec<u8>>,
    /// Children that wait for their branch page, lowest level first.
    levels: Vec<Vec<(Vec<u8>, u64)>>,
}

struct Item {
    flags: u32,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl Item {
    fn bytes(&self) -> usize {
        ELEMENT + self.key.len() + self.value.len()
    }
}

impl<F: Write + Seek> Writer<F> {
    /// Begins a file; `file` must be empty.
    pub fn new(mut file: F) -> Result<Self, Error> {
        let place = [0; 2 * PAGE_BYTES];
        file.write_all(&place).map_err(|error| Error::Io("write", error))?;
        Ok(Self { file, next_page: 2, buckets: Vec::new() })
    }

    /// Writes one bucket. Its entries must rise.
    pub fn bucket<E: From<Error>>(
        &mut self,
        name: &[u8],
        entries: impl IntoIterator<Item = Result<(Vec<u8>, Vec<u8>), E>>,
    ) -> Result<(), E> {
        let mut bucket = self.begin(name);
        for entry in entries {
            let (key, value) = entry?;
            bucket.put(key, value)?;
        }
        Ok(bucket.finish()?)
    }

    /// Begins one bucket, to be filled entry by entry.
    pub fn begin(&mut self, name: &[u8]) -> Bucket<'_, F> {
        Bucket { writer: self, name: name.to_vec(), tree: Tree::default() }
    }

    /// Completes the file; gives it back with its size in bytes.
    pub fn finish(mut self) -> Result<(F, u64), Error> {
        self.buckets.sort();
        let mut tree = Tree::default();
        for (name, root) in std::mem::take(&mut self.buckets) {
            let value = [root.to_le_bytes(), 0u64.to_le_bytes()].concat();
            self.put(&mut tree, Item { flags: ELEMENT_BUCKET, key: name, value })?;
        }
        let root = self.finish_tree(tree)?;
        let freelist = self.page(FLAG_FREELIST, 0, Vec::new())?;
        let end = self.next_page;
        for transaction in [0, 1] {
            let page_size = PAGE_BYTES as u32;
            let meta = Meta { page_size, root, freelist, end, transaction };
            let mut page = Vec::with_capacity(PAGE_BYTES);
            PageHeader { id: transaction, flags: FLAG_META, count: 0, overflow: 0 }
                .encode(&mut page);
            meta.encode(&mut page);
            self.file
                .seek(SeekFrom::Start(transaction * PAGE_BYTES as u64))
                .and_then(|_| self.file.write_all(&page))
                .map_err(|error| Error::Io("write", error))?;
        }
        self.file.flush().map_err(|error| Error::Io("write", error))?;
        Ok((self.file, end * PAGE_BYTES as u64))
    }

    fn put(&mut self, tree: &mut Tree, item: Item) -> Result<(), Error> {
        if item.key.is_empty() || item.key.len() > KEY_BYTES_MAX {
            return Err(Error::KeyLength(item.key.len()));
        }
        if item.value.len() > VALUE_BYTES_MAX {
            return Err(Error::ValueLength(item.value.len()));
        }
        if tree.last.as_ref().is_some_and(|last| *last >= item.key) {
            return Err(Error::OutOfOrder);
        }
        tree.last = Some(item.key.clone());
        if !tree.leaf.is_empty() && PAGE_HEADER + tree.leaf_bytes + item.bytes() > PAGE_BYTES {
            self.flush_leaf(tree)?;
        }
        tree.leaf_bytes += item.bytes();
        tree.leaf.push(item);
        Ok(())
    }

    fn flush_leaf(&mut self, tree: &mut Tree) -> Result<(), Error> {
        let items = std::mem::take(&mut tree.leaf);
        tree.leaf_bytes = 0;
        let first = items.first().map(|item| item.key.clone()).unwrap_or_default();
        let id = self.leaf(&items)?;
        self.child(tree, 0, first, id)
    }

    /// Hangs a page into the level above it.
    fn child(
        &mut self,
        tree: &mut Tree,
        level: usize,
        first: Vec<u8>,
        id: u64,
    ) -> Result<(), Error> {
        if tree.levels.len() == level {
            tree.levels.push(Vec::new());
        }
        let children = &mut tree.levels[level];
        children.push((first, id));
        let bytes: usize = children.iter().map(|(key, _)| ELEMENT + key.len()).sum();
        if PAGE_HEADER + bytes <= PAGE_BYTES || children.len() < 2 * CHILDREN_MIN {
            return Ok(());
        }
        let kept = children.split_off(children.len() - CHILDREN_MIN);
        let full = std::mem::replace(children, kept);
        self.branch_into(tree, level, full)
    }

    fn branch_into(
        &mut self,
        tree: &mut Tree,
        level: usize,
        children: Vec<(Vec<u8>, u64)>,
    ) -> Result<(), Error> {
        let first = children.first().map(|(key, _)| key.clone()).unwrap_or_default();
        let id = self.branch(&children)?;
        self.child(tree, level + 1, first, id)
    }

    /// Writes what still waits; gives the root.
    fn finish_tree(&mut self, mut tree: Tree) -> Result<u64, Error> {
        if tree.levels.is_empty() {
            return self.leaf(&std::mem::take(&mut tree.leaf));
        }
        if !tree.leaf.is_empty() {
            self.flush_leaf(&mut tree)?;
        }
        let mut level = 0;
        loop {
            let children = std::mem::take(&mut tree.levels[level]);
            let top = level + 1 == tree.levels.len();
            match children.as_slice() {
                [(_, only)] if top => return Ok(*only),
                _ if top => return self.branch(&children),
                _ => self.branch_into(&mut tree, level, children)?,
            }
            level += 1;
        }
    }

    fn leaf(&mut self, items: &[Item]) -> Result<u64, Error> {
        let mut elements = Vec::new();
        let mut data = Vec::new();
        for (at, item) in items.iter().enumerate() {
            let position = (items.len() - at) * ELEMENT + data.len();
            for number in [position, item.key.len(), item.value.len()] {
                if elements.len() % ELEMENT == 0 {
                    elements.extend_from_slice(&item.flags.to_le_bytes());
                }
                // All three are below 2^31: one large item is alone in its page.
                elements.extend_from_slice(&(number as u32).to_le_bytes());
            }
            data.extend_from_slice(&item.key);
            data.extend_from_slice(&item.value);
        }
        elements.append(&mut data);
        self.page(FLAG_LEAF, items.len(), elements)
    }

    fn branch(&mut self, children: &[(Vec<u8>, u64)]) -> Result<u64, Error> {
        let mut elements = Vec::new();
        let mut data = Vec::new();
        for (at, (key, id)) in children.iter().enumerate() {
            let position = (children.len() - at) * ELEMENT + data.len();
            elements.extend_from_slice(&(position as u32).to_le_bytes());
            elements.extend_from_slice(&(key.len() as u32).to_le_bytes());
            elements.extend_from_slice(&id.to_le_bytes());
            data.extend_from_slice(key);
        }
        elements.append(&mut data);
        self.page(FLAG_BRANCH, children.len(), elements)
    }

    /// Writes a page, and those it runs over into.
    fn page(&mut self, flags: u16, count: usize, contents: Vec<u8>) -> Result<u64, Error> {
        let id = self.next_page;
        let pages = (PAGE_HEADER + contents.len()).div_ceil(PAGE_BYTES);
        let mut page = Vec::with_capacity(pages * PAGE_BYTES);
        // A page of small elements holds a few hundred; a value ends below 2^31 bytes.
        PageHeader { id, flags, count: count as u16, overflow: (pages - 1) as u32 }
            .encode(&mut page);
        page.extend_from_slice(&contents);
        page.resize(pages * PAGE_BYTES, 0);
        self.file.write_all(&page).map_err(|error| Error::Io("write", error))?;
        self.next_page += pages as u64;
        Ok(id)
    }
}

/// A bucket that is being filled.
pub struct Bucket<'a, F> {
    writer: &'a mut Writer<F>,
    name: Vec<u8>,
    tree: Tree,
}

impl<F: Write + Seek> Bucket<'_, F> {
    /// Adds an entry; its key must be above all before.
    pub fn put(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), Error> {
        self.writer.put(&mut self.tree, Item { flags: 0, key, value })
    }

    /// Completes the bucket.
    pub fn finish(self) -> Result<(), Error> {
        let root = self.writer.finish_tree(self.tree)?;
        self.writer.buckets.push((self.name, root));
        Ok(())
    }
}
