//! The table of bad input: each row is something no client, operator or disk should hand us,
//! and the exact answer.
//!
//! Where etcd 3.5.1 has an answer of its own the same row asks it, too; a row that expects
//! something else of it says why. One process answers all rows of a table, so a row also shows
//! that the one before did no harm.
//!
//! Rows that need more than one request are tests with names of their own:
//! * watches: `wire_watch::{bad_ranges_are_cancelled, ids_are_given_and_taken,
//!   compaction_cancels_with_its_revision}`, denied ones `auth_wire::watch_refusals`
//! * users, tokens, permissions: `auth::{refused_changes, enabling, passwords}`,
//!   `auth_wire::{tokens, empty_ranges, methods_without_keys}`
//! * no quorum: `cluster::without_quorum`; learners: `members::a_learner_serves_little`;
//!   the five-second rule: `members::{the_five_second_rule, refusals}`
//! * moving the leader: `wire::leader_moves_are_the_leaders`
//! * over quota: `maintenance::a_full_database_and_the_way_out`; corrupt:
//!   `upkeep::a_corrupt_cluster`
//! * the gateway's JSON: `gateway::{refusals, requests_that_are_no_json, paths_and_methods,
//!   a_message_over_the_limit}`; v2: `v2`
//! * TLS to a port without it and the reverse: `tls::clients`
//! * certificates and keys: `tls::clients::what_does_not_go_together_is_said_at_the_start`;
//!   words that are no flags: `node_command`
//! * every byte of the log and of snapshots: `consensus::wal::tests::damage`,
//!   `storage::snapshot_file::tests`

mod disk;
mod flags;
mod grpc;
mod http;
