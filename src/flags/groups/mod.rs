//! The flags, one file for each section of the help text.
//!
//! A group is a `SECTION` (its flags, their defaults, one line about each) and a `build` that
//! turns the settings into what the node is to be told, usually a part of
//! [`node::config::Config`]. To add a flag: one row in its group's `SECTION`, one field in
//! what `build` returns, one line in `build`. To add a group: one file, one line in
//! [`SECTIONS`], one field of [`super::NodeOptions`].

pub mod auth;
pub mod clustering;
pub mod compaction;
pub mod danger;
pub mod discovery;
pub mod gateway;
pub mod http;
pub mod internal;
pub mod legacy;
pub mod limits;
pub mod listen;
pub mod logging;
pub mod member;
pub mod monitoring;
pub mod proxy;
pub mod tls;
pub mod tuning;
pub mod upkeep;

use super::table::Section;

/// All groups, in the order of the help text.
pub const SECTIONS: &[Section] = &[
    member::SECTION,
    listen::SECTION,
    gateway::SECTION,
    clustering::SECTION,
    discovery::SECTION,
    tls::SECTION,
    http::SECTION,
    limits::SECTION,
    compaction::SECTION,
    auth::SECTION,
    upkeep::SECTION,
    logging::SECTION,
    monitoring::SECTION,
    tuning::SECTION,
    proxy::SECTION,
    danger::SECTION,
    legacy::SECTION,
    internal::SECTION,
];
