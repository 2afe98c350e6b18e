//! The playground: local clusters of real node processes, and the supervisor that owns them.
//!
//! `etcd-tui up` plans a cluster ([`spec`], [`ports`], [`dirs`]), starts a detached supervisor
//! ([`runner`]) and talks to it over a Unix socket ([`protocol`], [`client`]). Every decision is
//! made by pure machines: [`fleet`] for processes, [`members`] for membership changes,
//! [`selector`] for what `leader` or `majority` means, [`classify`] for why a process ended.
//! What goes wrong between the nodes is made by [`links`], [`applications`] live on them meanwhile.
//!
//! Invariants:
//! - Killing a client, the terminal UI included, never touches a node. Killing the supervisor
//!   leaves no node behind.
//! - Names, ports and directories are decided once and then read from the plan.
//! - Only a process that is known by more than its pid is ever signalled.
//!
//! This crate never imports the node: nodes are whatever program it is given, started as real
//! processes and asked over etcd's API like any other server.

pub mod applications;
pub mod classify;
pub mod client;
pub mod dirs;
pub mod drill;
pub mod engine;
mod error;
pub mod faults;
pub mod fleet;
pub mod journal;
pub mod launch;
pub mod links;
pub mod logs;
pub mod members;
pub mod ports;
pub mod probe;
mod process;
pub mod protocol;
mod remote;
pub mod runner;
pub mod selector;
pub mod spec;
pub mod view;
pub mod workload;

pub use client::Client;
pub use dirs::Home;
pub use engine::{Capability, Engine, Settings};
pub use error::PlaygroundError;
pub use faults::NodeFault;
pub use journal::Event;
pub use links::{LinkFault, LinkView};
pub use protocol::{Request, Verb};
pub use view::{FleetView, Health, NodeState, NodeView, Role};
