//! The list of flags, their defaults, and the help text made from it.
//!
//! The one place that knows which flags exist: a flag missing here is unknown everywhere.

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Number,
    /// Value only after `=`; the bare flag means true.
    Boolean,
}

/// One flag.
#[derive(Debug)]
pub struct Flag {
    pub name: &'static str,
    pub kind: Kind,
    /// What holds when neither flag nor environment says anything; empty = derived.
    pub default: &'static str,
    pub group: Group,
    pub about: &'static str,
}

/// Sections of the help text; `Internal` is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Member,
    Clustering,
    Limits,
    Compaction,
    Logging,
    Unsafe,
    Internal,
}

const fn text(
    name: &'static str,
    default: &'static str,
    group: Group,
    about: &'static str,
) -> Flag {
    Flag { name, kind: Kind::Text, default, group, about }
}

const fn number(
    name: &'static str,
    default: &'static str,
    group: Group,
    about: &'static str,
) -> Flag {
    Flag { name, kind: Kind::Number, default, group, about }
}

const fn boolean(
    name: &'static str,
    default: &'static str,
    group: Group,
    about: &'static str,
) -> Flag {
    Flag { name, kind: Kind::Boolean, default, group, about }
}

use Group::{Clustering, Compaction, Internal, Limits, Logging, Member, Unsafe};

pub const FLAGS: &[Flag] = &[
    text("name", "default", Member, "Human-readable name of this member."),
    text("data-dir", "", Member, "Path to the data directory (default: <name>.etcd)."),
    text("wal-dir", "", Member, "Path to a separate directory for the write-ahead log."),
    text("listen-peer-urls", "http://localhost:2380", Member, "URLs to listen on for members."),
    text("listen-client-urls", "http://localhost:2379", Member, "URLs to listen on for clients."),
    number("snapshot-count", "10000", Member, "Applied entries that trigger a snapshot."),
    number("snapshot-catchup-entries", "5000", Member, "Entries kept for slow followers."),
    number("heartbeat-interval", "100", Member, "Milliseconds between heartbeats."),
    number("election-timeout", "1000", Member, "Milliseconds without a leader until an election."),
    text(
        "initial-advertise-peer-urls",
        "http://localhost:2380",
        Clustering,
        "Peer URLs of this member as the others reach it.",
    ),
    text(
        "advertise-client-urls",
        "http://localhost:2379",
        Clustering,
        "Client URLs of this member as clients reach it.",
    ),
    text(
        "initial-cluster",
        "",
        Clustering,
        "Members at bootstrap, name=url,name=url (default: <name>=<initial-advertise-peer-urls>).",
    ),
    text("initial-cluster-token", "etcd-cluster", Clustering, "Token that tells clusters apart."),
    text("initial-cluster-state", "new", Clustering, "'new' or 'existing'."),
    boolean(
        "strict-reconfig-check",
        "true",
        Clustering,
        "Refuse membership changes that would lose quorum.",
    ),
    boolean("pre-vote", "true", Clustering, "Ask before an election whether it could be won."),
    boolean(
        "enable-v2",
        "true",
        Clustering,
        "Serve etcd's v2 API as etcd 3.4 does (off there; on here, so that old tools work).",
    ),
    number("quota-backend-bytes", "0", Limits, "Database size limit (0: 2GiB, negative: none)."),
    number("max-request-bytes", "1572864", Limits, "Largest client request in bytes."),
    number("max-txn-ops", "128", Limits, "Most operations in one transaction."),
    text("auto-compaction-mode", "periodic", Compaction, "'periodic' or 'revision'."),
    text(
        "auto-compaction-retention",
        "0",
        Compaction,
        "periodic: hours, or a duration like 30m; revision: revisions to keep; 0: off.",
    ),
    text("log-level", "info", Logging, "debug, info, warn, error, panic or fatal."),
    text("log-format", "json", Logging, "'json' or 'console'."),
    text("logger", "zap", Logging, "Accepted for compatibility; only 'zap'."),
    boolean("version", "false", Logging, "Print the version and exit."),
    boolean("force-new-cluster", "false", Unsafe, "Start as a cluster of this member alone."),
    boolean("unsafe-no-fsync", "false", Unsafe, "Never wait for the disk; a crash loses data."),
    number("die-with-parent", "", Internal, "End with the process of this pid."),
];

/// The flag of that name.
pub fn find(name: &str) -> Option<&'static Flag> {
    FLAGS.iter().find(|flag| flag.name == name)
}

/// `listen-peer-urls` → `ETCD_LISTEN_PEER_URLS`.
pub fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_uppercase().replace('-', "_"))
}

const SECTIONS: &[(Group, &str)] = &[
    (Member, "Member"),
    (Clustering, "Clustering"),
    (Limits, "Limits"),
    (Compaction, "Compaction"),
    (Logging, "Logging and version"),
    (Unsafe, "Unsafe"),
];

/// What `--help` prints.
pub fn help() -> String {
    let mut out = String::from(
        "Usage: etcd-tui node [flags]\n\n  Runs one member of a cluster that speaks etcd's v3 API.\n  \
         Every --a-b may also be given as ETCD_A_B; the flag wins.\n",
    );
    for (group, title) in SECTIONS {
        out.push_str(&format!("\n{title}:\n"));
        for flag in FLAGS.iter().filter(|flag| flag.group == *group) {
            let default = match flag.default {
                "" => String::new(),
                default => format!(" '{default}'"),
            };
            out.push_str(&format!("  --{}{default}\n        {}\n", flag.name, flag.about));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_and_help_shows_each_public_one() {
        let names: BTreeSet<_> = FLAGS.iter().map(|flag| flag.name).collect();
        assert_eq!(names.len(), FLAGS.len());
        let help = help();
        for flag in FLAGS {
            let shown = help.contains(&format!("  --{}", flag.name));
            assert_eq!(shown, flag.group != Internal, "--{}", flag.name);
        }
    }

    #[test]
    fn variables_are_the_upper_case_names() {
        assert_eq!(variable("listen-peer-urls"), "ETCD_LISTEN_PEER_URLS");
    }
}
