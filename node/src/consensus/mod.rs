//! Consensus: the raft log and what keeps it.
//!
//! [`core`] is raft as a pure state machine; [`router`] decides, as purely, where proposals
//! and reads go; [`drive`] is the thread around both. What raft wants done goes three ways: messages to [`transport`], records to the write-ahead log
//! ([`persist`], [`wal`]), committed entries to the applier. [`handle`] is how the rest of
//! the member proposes and reads.
//!
//! ```text
//!  API ──propose──▶ ┌───────┐ ──messages──▶ transport ──▶ peers
//!                   │ drive │ ──records───▶ wal thread ──one fdatasync──▶ messages that promise
//!  peers ─────────▶ └───────┘ ──committed─▶ applier ──▶ replies, watchers
//!                       ▲   persisted / applied   │
//!                       └─────────────────────────┘
//! ```
//!
//! Commands are opaque bytes here. Nothing but [`router`] touches raft.

pub mod configuration;
pub mod core;
pub mod drive;
mod guard;
pub mod handle;
pub mod log_view;
pub mod logger;
pub mod message;
pub mod pending;
pub mod persist;
pub mod reads;
pub mod router;
#[cfg(test)]
mod simulation;
pub mod transport;
pub mod wal;
