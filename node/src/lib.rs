//! One member of a cluster: raft consensus, the multi-version key space, and etcd's v3 API.
//!
//! Top to bottom, each module may use those below it and never those above:
//! `server` (composition root) → `api` (gRPC and HTTP edge) → `watch`, `lease`, `consensus`
//! (services) → `machine` (deterministic apply) → `kv`, `lease::state`, `cluster` (pure
//! replicated state) → `storage` (files). The pure modules know no clock, socket, thread or
//! random number; `ARCHITECTURE.md` says why, and a test checks it.

pub mod api;
mod applier;
pub mod auth;
pub mod backup;
pub mod bbolt;
mod bootstrap;
pub mod cluster;
pub mod config;
pub mod consensus;
mod disaster;
mod discovery;
pub mod faults;
pub mod features;
pub mod founders;
pub mod kv;
pub mod lease;
pub mod login;
pub mod machine;
pub mod mailbox;
mod member;
mod metrics;
pub mod net;
mod ports;
pub mod proxy;
mod raw;
mod server;
mod snapshots;
pub mod spelling;
pub mod storage;
mod tasks;
mod upkeep;
pub mod v2;
pub mod wall_clock;
pub mod watch;

pub use bootstrap::Error;
pub use config::Config;
pub use server::Server;
