//! Files under a data directory: the applied state in sled, snapshots, identity.
//!
//! Nothing here is on the path of an acknowledgement: that is the write-ahead log's work.
//! The sled directory may be deleted at any moment and is rebuilt from snapshot and log.

pub(crate) mod codec;
pub mod data_dir;
pub(crate) mod files;
pub mod filesystem;
pub mod record_codec;
pub mod snapshot_file;
pub mod store;
