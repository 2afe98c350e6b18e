//! What a flag is, how one is found, and the help text made from all of them.
//!
//! The flags themselves stand in [`super::groups`], a section each; what is missing there is
//! unknown everywhere.

use super::groups::SECTIONS;

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// Between commas; a flag that is given again adds to it.
    List,
    Number,
    /// Like `1h30m` or `100ms`.
    Duration,
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
    pub about: &'static str,
}

/// Flags that stand together in the help text.
#[derive(Debug)]
pub struct Section {
    /// The heading; a section without one is not shown.
    pub title: &'static str,
    pub flags: &'static [Flag],
}

pub const fn text(name: &'static str, default: &'static str, about: &'static str) -> Flag {
    Flag { name, kind: Kind::Text, default, about }
}

pub const fn list(name: &'static str, default: &'static str, about: &'static str) -> Flag {
    Flag { name, kind: Kind::List, default, about }
}

pub const fn number(name: &'static str, default: &'static str, about: &'static str) -> Flag {
    Flag { name, kind: Kind::Number, default, about }
}

pub const fn duration(name: &'static str, default: &'static str, about: &'static str) -> Flag {
    Flag { name, kind: Kind::Duration, default, about }
}

pub const fn boolean(name: &'static str, default: &'static str, about: &'static str) -> Flag {
    Flag { name, kind: Kind::Boolean, default, about }
}

/// All flags of a node.
pub fn flags() -> impl Iterator<Item = &'static Flag> {
    flags_of(SECTIONS)
}

/// All flags of these sections.
pub fn flags_of(sections: &'static [Section]) -> impl Iterator<Item = &'static Flag> {
    sections.iter().flat_map(|section| section.flags)
}

/// The node's flag of that name.
pub fn find(name: &str) -> Option<&'static Flag> {
    find_in(SECTIONS, name)
}

/// The flag of that name in these sections.
pub fn find_in(sections: &'static [Section], name: &str) -> Option<&'static Flag> {
    flags_of(sections).find(|flag| flag.name == name)
}

/// `listen-peer-urls` → `ETCD_LISTEN_PEER_URLS`.
pub fn variable(name: &str) -> String {
    format!("ETCD_{}", name.to_uppercase().replace('-', "_"))
}

/// What `--help` prints.
pub fn help() -> String {
    let usage = "Usage: etcd-tui node [flags]\n\n  Runs one member of a cluster that speaks etcd's v3 API.\n  \
                 Every --a-b may also be given as ETCD_A_B; the flag wins.\n";
    help_of(usage, SECTIONS)
}

/// Help text about these flags.
pub fn help_of(usage: &str, sections: &[Section]) -> String {
    let mut out = String::from(usage);
    for section in sections.iter().filter(|section| !section.title.is_empty()) {
        out.push_str(&format!("\n{}:\n", section.title));
        for flag in section.flags {
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
        let names: BTreeSet<_> = flags().map(|flag| flag.name).collect();
        assert_eq!(names.len(), flags().count());
        let help = help();
        for section in SECTIONS {
            for flag in section.flags {
                let word = format!("--{}", flag.name);
                let shown = help.lines().any(|line| line.split_whitespace().next() == Some(&word));
                assert_eq!(shown, !section.title.is_empty(), "--{}", flag.name);
            }
        }
    }

    #[test]
    fn variables_are_the_upper_case_names() {
        assert_eq!(variable("listen-peer-urls"), "ETCD_LISTEN_PEER_URLS");
    }
}
