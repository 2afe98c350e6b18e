//! Versions of etcd, and which of them can be run here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A version of etcd. What follows the third number (`-rc.0`, `+git`) is not kept.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[allow(missing_docs, reason = "the names are what they are")]
pub struct Version {
    pub major: u16,
    pub minor: u16,
    pub patch: u16,
}

impl Version {
    /// The line `etcd Version: 3.5.1` of what `etcd --version` prints.
    pub fn in_output(text: &str) -> Option<Self> {
        text.lines().find_map(|line| line.strip_prefix("etcd Version: ")?.trim().parse().ok())
    }

    /// Whether the launcher knows the flags and habits of this version.
    pub fn is_known(self) -> bool {
        self.major == 3 && (4..=6).contains(&self.minor)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no version of etcd");
        let end = text.find(|it: char| !it.is_ascii_digit() && it != '.').unwrap_or(text.len());
        let numbers: Result<Vec<u16>, _> = text[..end].split('.').map(str::parse).collect();
        match numbers.map_err(|_| wrong())?.as_slice() {
            [major, minor, patch] => Ok(Self { major: *major, minor: *minor, patch: *patch }),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for Version {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

/// How the command line of a version of etcd differs from the others'.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dialect {
    /// Logs in an older format unless told otherwise.
    pub names_logger: bool,
    /// Asks for votes without asking before, unless told otherwise.
    pub names_pre_vote: bool,
}

impl Dialect {
    /// The dialect of a version.
    pub fn of(version: Version) -> Self {
        let before_3_5 = (version.major, version.minor) < (3, 5);
        Self { names_logger: before_3_5, names_pre_vote: before_3_5 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_etcd_says() {
        let text = "etcd Version: 3.5.1\nGit SHA: e8732fb5f\nGo Version: go1.16.3\n";
        assert_eq!(Version::in_output(text).unwrap().to_string(), "3.5.1");
        assert_eq!(Version::in_output("etcd Version: 3.6.0-rc.2\n").unwrap().minor, 6);
        for text in ["", "etcdctl version: 3.5.1", "etcd Version: three", "etcd Version: 3.5"] {
            assert_eq!(Version::in_output(text), None, "{text:?}");
        }
    }

    #[test]
    fn three_minor_versions_are_known() {
        let known = |text: &str| text.parse::<Version>().unwrap().is_known();
        assert!(known("3.4.0") && known("3.5.21") && known("3.6.6"));
        assert!(!known("3.3.27") && !known("3.7.0") && !known("2.4.6") && !known("4.5.0"));
    }

    #[test]
    fn only_3_4_has_to_be_told() {
        let dialect = |text: &str| Dialect::of(text.parse().unwrap());
        assert!(dialect("3.4.23").names_logger && dialect("3.4.23").names_pre_vote);
        assert!(!dialect("3.5.1").names_logger && !dialect("3.6.6").names_pre_vote);
    }
}
