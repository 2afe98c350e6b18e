//! bbolt files, the format of etcd's database: one written in a single pass, one read.
//!
//! ```text
//! page 0, 1   meta: where the tree of buckets begins, with a checksum; the newer one counts
//! others      leaf and branch pages of B+ trees, which may run over into the pages behind
//! ```
//!
//! A bucket is a tree of its own whose root is named by a leaf element of the tree of buckets;
//! a small one lies *inline*, as a page inside that element.
//!
//! # Invariants
//! - [`Reader`] trusts nothing. A page is used at most once, lies below the end that the meta
//!   page gives, which lies within the file; keys rise. So reading ends, and takes no more memory
//!   than the file has bytes in one run of pages, however the file was made. No input panics.
//! - [`Writer`] takes keys in rising order and holds one page for each level of the tree. Every
//!   branch page has two children at least, which bbolt relies on when it removes keys.
//!
//! # What it leaves to others
//! What buckets mean (`backup`), and whether the bytes are those that were written: only the meta
//! pages have a checksum here, the SHA-256 behind a snapshot covers the rest.

mod format;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Entries, Reader};
pub use writer::Writer;

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {0} the database file: {1}")]
    Io(&'static str, #[source] std::io::Error),
    #[error("this is not a database of etcd: no valid meta page ({0})")]
    NoMeta(&'static str),
    #[error("the database file ends after {found} bytes, its meta page names {needed}")]
    Truncated { found: u64, needed: u64 },
    #[error("page {page} of the database file is damaged: {why}")]
    Page { page: u64, why: &'static str },
    #[error("a key of {0} bytes cannot be stored")]
    KeyLength(usize),
    #[error("a value of {0} bytes cannot be stored")]
    ValueLength(usize),
    #[error("keys of a bucket must rise")]
    OutOfOrder,
}
