//! Numbers and layouts of the format, all little-endian.
//!
//! ```text
//! page header    id u64 · flags u16 · count u16 · overflow u32
//! leaf element   flags u32 · position u32 · key size u32 · value size u32
//! branch element position u32 · key size u32 · page u64
//! bucket         root page u64 · sequence u64
//! meta           magic u32 · version u32 · page size u32 · flags u32 · bucket · freelist u64 ·
//!                end u64 · transaction u64 · FNV-64a of all that u64
//! ```
//!
//! Positions count from the element they stand in. Elements follow the page header, keys and
//! values follow the elements.

pub(super) const MAGIC: u32 = 0xed0c_daed;
pub(super) const VERSION: u32 = 2;
pub(super) const PAGE_HEADER: usize = 16;
pub(super) const ELEMENT: usize = 16;
pub(super) const META: usize = 64;
/// Where the checksum of a meta begins.
const META_SUM: usize = 56;

pub(super) const FLAG_BRANCH: u16 = 1;
pub(super) const FLAG_LEAF: u16 = 2;
pub(super) const FLAG_META: u16 = 4;
pub(super) const FLAG_FREELIST: u16 = 16;
/// The value of this leaf element is a bucket.
pub(super) const ELEMENT_BUCKET: u32 = 1;

pub(super) const KEY_BYTES_MAX: usize = 32_768;
pub(super) const VALUE_BYTES_MAX: usize = (1 << 31) - 2;

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// FNV-1a in 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The header of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageHeader {
    pub id: u64,
    pub flags: u16,
    pub count: u16,
    pub overflow: u32,
}

impl PageHeader {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.to_le_bytes());
        out.extend_from_slice(&self.flags.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.overflow.to_le_bytes());
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            id: u64_at(bytes, 0)?,
            flags: u16_at(bytes, 8)?,
            count: u16_at(bytes, 10)?,
            overflow: u32_at(bytes, 12)?,
        })
    }
}

/// The meta of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub page_size: u32,
    /// Root page of the tree of buckets.
    pub root: u64,
    pub freelist: u64,
    /// The first page number that is not in use.
    pub end: u64,
    pub transaction: u64,
}

impl Meta {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let begin = out.len();
        for number in [MAGIC, VERSION, self.page_size, 0] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for number in [self.root, 0, self.freelist, self.end, self.transaction] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        let sum = fnv(&out[begin..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Reads a meta page; says what is wrong with one that cannot be used.
    pub(super) fn decode(page: &[u8]) -> Result<Self, &'static str> {
        let header = PageHeader::decode(page).ok_or("the file is too short")?;
        let bytes = page.get(PAGE_HEADER..PAGE_HEADER + META).ok_or("the file is too short")?;
        let number = |at| u32_at(bytes, at).unwrap_or_default();
        let long = |at| u64_at(bytes, at).unwrap_or_default();
        if number(0) != MAGIC {
            return Err("the magic number is another");
        }
        if number(4) != VERSION {
            return Err("the format version is another");
        }
        if long(META_SUM) != fnv(&bytes[..META_SUM]) {
            return Err("the checksum is wrong");
        }
        if header.flags & FLAG_META == 0 {
            return Err("the page is of another kind");
        }
        let page_size = number(8);
        if !page_size.is_power_of_two() || !(512..=1 << 20).contains(&page_size) {
            return Err("the page size is impossible");
        }
        let meta = Self {
            page_size,
            root: long(16),
            freelist: long(32),
            end: long(40),
            transaction: long(48),
        };
        if meta.root < 2 || meta.root >= meta.end {
            return Err("the root lies outside the file");
        }
        Ok(meta)
    }
}
