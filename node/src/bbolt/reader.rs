//! Reading a file that anybody may have made.

use std::io::{Read, Seek, SeekFrom};

use super::Error;
use super::format::{
    ELEMENT, ELEMENT_BUCKET, FLAG_BRANCH, FLAG_LEAF, KEY_BYTES_MAX, META, Meta, PAGE_HEADER,
    PageHeader, u32_at, u64_at,
};

/// The first page sizes at which the second meta page is looked for when the first is broken.
const PAGE_SIZES: [u64; 8] = [4096, 512, 1024, 2048, 8192, 16_384, 32_768, 65_536];
/// Branch pages above one another; a page has two children at least, so more cannot be.
const DEPTH_MAX: usize = 64;
/// etcd has ten.
const BUCKETS_MAX: usize = 1024;

/// An open file.
pub struct Reader<F> {
    file: F,
    meta: Meta,
    /// One bit for each page that has been used.
    used: Vec<u64>,
    buckets: Vec<(Vec<u8>, Root)>,
}

/// Where the tree of a bucket is.
#[derive(Clone, Debug)]
enum Root {
    Page(u64),
    Inline(Vec<u8>),
}

/// A page in memory; `number` is only for complaints.
struct Page {
    number: u64,
    header: PageHeader,
    bytes: Vec<u8>,
}

/// One element of a leaf.
struct Leaf {
    flags: u32,
    key: Vec<u8>,
    value: Vec<u8>,
}

impl<F: Read + Seek> Reader<F> {
    /// Opens a file and reads the names of its buckets.
    pub fn open(mut file: F) -> Result<Self, Error> {
        let size = file.seek(SeekFrom::End(0)).map_err(|error| Error::Io("read", error))?;
        let meta = find_meta(&mut file)?;
        let needed = meta.end.saturating_mul(u64::from(meta.page_size));
        if needed > size {
            return Err(Error::Truncated { found: size, needed });
        }
        // Not more than a bit for each page there is.
        let used = vec![0; usize::try_from(meta.end / 64 + 1).unwrap_or(0)];
        let mut reader = Self { file, meta, used, buckets: Vec::new() };
        let mut walk = Walk::new(Root::Page(meta.root));
        while let Some(leaf) = walk.next(&mut reader)? {
            let bad = |why| Error::Page { page: meta.root, why };
            if leaf.flags & ELEMENT_BUCKET == 0 {
                return Err(bad("an entry outside all buckets"));
            }
            let root = u64_at(&leaf.value, 0).ok_or(bad("the head of a bucket is cut off"))?;
            let inline = leaf.value.get(ELEMENT..).unwrap_or_default();
            if reader.buckets.len() >= BUCKETS_MAX || inline.len() > meta.page_size as usize {
                return Err(bad("more buckets, or larger ones, than can be"));
            }
            let root = if root == 0 { Root::Inline(inline.to_vec()) } else { Root::Page(root) };
            reader.buckets.push((leaf.key, root));
        }
        Ok(reader)
    }

    /// Bytes of the database; a file may be longer.
    pub fn size(&self) -> u64 {
        self.meta.end * u64::from(self.meta.page_size)
    }

    /// The names of all buckets, in order.
    pub fn buckets(&self) -> Vec<Vec<u8>> {
        self.buckets.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The entries of a bucket; none if there is no such bucket. A bucket can be read once.
    pub fn entries(&mut self, bucket: &[u8]) -> Entries<'_, F> {
        let found = self.buckets.iter().position(|(name, _)| name == bucket);
        let walk = found.map(|at| Walk::new(self.buckets[at].1.clone()));
        Entries { reader: self, walk }
    }

    /// Reads a page with those it runs over into, unless one of them was used before.
    fn page(&mut self, number: u64) -> Result<Page, Error> {
        let bad = |why| Error::Page { page: number, why };
        let page_size = u64::from(self.meta.page_size);
        if number < 2 || number >= self.meta.end {
            return Err(bad("it lies outside the file"));
        }
        let failed = |error| Error::Io("read", error);
        self.file.seek(SeekFrom::Start(number * page_size)).map_err(failed)?;
        let mut head = [0; PAGE_HEADER];
        self.file.read_exact(&mut head).map_err(failed)?;
        let header = PageHeader::decode(&head).ok_or(bad("its header is cut off"))?;
        if header.id != number {
            return Err(bad("it has the number of another page"));
        }
        let last = number + u64::from(header.overflow);
        if last >= self.meta.end {
            return Err(bad("it runs over the end of the file"));
        }
        for page in number..=last {
            // The bit is there: the page is below the end.
            let (word, bit) = ((page / 64) as usize, 1 << (page % 64));
            let word = self.used.get_mut(word).ok_or(bad("it lies outside the file"))?;
            if *word & bit != 0 {
                return Err(bad("it is in use twice"));
            }
            *word |= bit;
        }
        let size = (last - number + 1) * page_size - PAGE_HEADER as u64;
        let mut bytes = head.to_vec();
        (&mut self.file).take(size).read_to_end(&mut bytes).map_err(failed)?;
        Page { number, header, bytes }.checked()
    }
}

/// The newer of the two meta pages that is whole.
fn find_meta<F: Read + Seek>(file: &mut F) -> Result<Meta, Error> {
    let mut meta_at = |offset: u64| -> Result<Result<Meta, &'static str>, Error> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(offset))
            .and_then(|_| file.take((PAGE_HEADER + META) as u64).read_to_end(&mut bytes))
            .map_err(|error| Error::Io("read", error))?;
        Ok(Meta::decode(&bytes))
    };
    let first = meta_at(0)?;
    let sizes = match &first {
        Ok(meta) => vec![u64::from(meta.page_size)],
        Err(_) => PAGE_SIZES.to_vec(),
    };
    let mut best = first;
    for size in sizes {
        match (meta_at(size)?, &best) {
            (Ok(second), Ok(first)) if second.transaction > first.transaction => best = Ok(second),
            (Ok(second), Err(_)) if u64::from(second.page_size) == size => best = Ok(second),
            _ => {}
        }
    }
    best.map_err(Error::NoMeta)
}

impl Page {
    /// Keys and values that overlap would be more than the page has bytes.
    fn checked(self) -> Result<Self, Error> {
        let mut sizes = 0;
        if self.header.flags == FLAG_LEAF {
            for index in 0..self.header.count {
                let [_, _, key_size, value_size] = self.numbers(self.element(index))?;
                sizes += u64::from(key_size) + u64::from(value_size);
            }
        }
        if sizes > self.bytes.len() as u64 {
            return Err(self.bad("its elements overlap"));
        }
        Ok(self)
    }

    fn bad(&self, why: &'static str) -> Error {
        Error::Page { page: self.number, why }
    }

    fn element(&self, index: u16) -> usize {
        PAGE_HEADER + usize::from(index) * ELEMENT
    }

    /// `length` bytes at `position` from the element at `element`.
    fn slice(&self, element: usize, position: u32, length: u32) -> Result<&[u8], Error> {
        // Sums of 32-bit numbers: no overflow in 64 bits.
        let from = element as u64 + u64::from(position);
        let to = from + u64::from(length);
        let range = usize::try_from(from).ok().zip(usize::try_from(to).ok());
        range
            .and_then(|(from, to)| self.bytes.get(from..to))
            .ok_or_else(|| self.bad("an element lies outside the page"))
    }

    fn numbers<const N: usize>(&self, element: usize) -> Result<[u32; N], Error> {
        let mut numbers = [0; N];
        for (at, number) in numbers.iter_mut().enumerate() {
            *number = u32_at(&self.bytes, element + 4 * at)
                .ok_or_else(|| self.bad("it has more elements than fit"))?;
        }
        Ok(numbers)
    }

    fn leaf(&self, index: u16) -> Result<Leaf, Error> {
        let element = self.element(index);
        let [flags, position, key_size, value_size] = self.numbers(element)?;
        let key = self.slice(element, position, key_size)?.to_vec();
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(self.bad("the size of a key is impossible"));
        }
        let value = self.slice(element, position.saturating_add(key_size), value_size)?.to_vec();
        Ok(Leaf { flags, key, value })
    }

    fn child(&self, index: u16) -> Result<u64, Error> {
        let element = self.element(index);
        u64_at(&self.bytes, element + 8).ok_or_else(|| self.bad("it has more elements than fit"))
    }
}

/// A walk over the leaves of a tree, in key order.
struct Walk {
    /// Where to begin, until begun.
    root: Option<Root>,
    /// Pages from the root down, each with the element that is next.
    path: Vec<(Page, u16)>,
    last: Option<Vec<u8>>,
}

impl Walk {
    fn new(root: Root) -> Self {
        Self { root: Some(root), path: Vec::new(), last: None }
    }

    fn next<F: Read + Seek>(&mut self, reader: &mut Reader<F>) -> Result<Option<Leaf>, Error> {
        match self.root.take() {
            Some(Root::Page(number)) => self.path.push((reader.page(number)?, 0)),
            Some(Root::Inline(bytes)) => {
                let number = reader.meta.root;
                let header = PageHeader::decode(&bytes)
                    .ok_or(Error::Page { page: number, why: "an inline bucket is cut off" })?;
                if header.flags != FLAG_LEAF {
                    return Err(Error::Page { page: number, why: "an inline bucket is no leaf" });
                }
                self.path.push((Page { number, header, bytes }.checked()?, 0));
            }
            None => {}
        }
        while let Some((page, index)) = self.path.last_mut() {
            if *index >= page.header.count {
                self.path.pop();
                continue;
            }
            let at = *index;
            *index += 1;
            match page.header.flags {
                FLAG_LEAF => {
                    let leaf = page.leaf(at)?;
                    if self.last.as_ref().is_some_and(|last| *last >= leaf.key) {
                        return Err(page.bad("its keys do not rise"));
                    }
                    self.last = Some(leaf.key.clone());
                    return Ok(Some(leaf));
                }
                FLAG_BRANCH => {
                    let child = page.child(at)?;
                    if self.path.len() >= DEPTH_MAX {
                        return Err(Error::Page { page: child, why: "the tree is too deep" });
                    }
                    self.path.push((reader.page(child)?, 0));
                }
                _ => return Err(page.bad("it is neither branch nor leaf")),
            }
        }
        Ok(None)
    }
}

/// The entries of one bucket, in key order. After an error there are no more.
pub struct Entries<'a, F> {
    reader: &'a mut Reader<F>,
    walk: Option<Walk>,
}

impl<F: Read + Seek> Iterator for Entries<'_, F> {
    type Item = Result<(Vec<u8>, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let walk = self.walk.as_mut()?;
        let next = match walk.next(self.reader) {
            Ok(Some(leaf)) if leaf.flags & ELEMENT_BUCKET != 0 => {
                let page = self.reader.meta.root;
                Some(Err(Error::Page { page, why: "a bucket inside a bucket" }))
            }
            Ok(Some(leaf)) => Some(Ok((leaf.key, leaf.value))),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        };
        if !matches!(next, Some(Ok(_))) {
            self.walk = None;
        }
        next
    }
}
