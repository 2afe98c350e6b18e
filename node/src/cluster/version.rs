//! The versions that a cluster agrees on, and the way back to an older one.
//!
//! The cluster version is what all members can do; the leader writes it down. A downgrade is
//! announced first ([`check_target`]), which lowers the cluster version so that nothing newer
//! is used, and ends when every member runs the target or somebody cancels it. Members of
//! ours all speak one version, so for them a downgrade is what etcd's tools see of it.
//!
//! Pure: whoever calls knows the members' versions.

use std::fmt;

/// `major.minor`, the part that matters between members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u64,
    pub minor: u64,
}

/// As etcd stores it: `3.6.0`.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.0", self.major, self.minor)
    }
}

/// Why a downgrade is refused, with etcd's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DowngradeError {
    #[error("etcdserver: wrong downgrade target version format")]
    Format,
    #[error("etcdserver: invalid downgrade target version")]
    Target,
    #[error("etcdserver: cluster has a downgrade job in progress")]
    InProgress,
    #[error("etcdserver: cluster version not found during downgrade")]
    NoClusterVersion,
}

impl Version {
    /// Reads `3.5`, `3.5.0` or `3.5.0-rc.1`.
    pub fn parse(text: &str) -> Option<Self> {
        let core = text.split(['-', '+']).next().unwrap_or_default();
        let mut parts = core.split('.').map(|part| part.parse::<u64>().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        let patch = parts.next();
        if patch == Some(None) || parts.next().is_some() {
            return None;
        }
        Some(Self { major, minor })
    }

    /// `3.6`, as etcdctl prints it.
    pub fn short(self) -> String {
        format!("{}.{}", self.major, self.minor)
    }

    fn goes_down_to(self, target: Self) -> bool {
        self.major == target.major && self.minor == target.minor + 1
    }
}

/// Whether the cluster may begin to go down to `target`: exactly one minor version.
pub fn check_target(
    cluster: Version,
    target: Version,
    in_progress: bool,
) -> Result<(), DowngradeError> {
    if !cluster.goes_down_to(target) {
        return Err(DowngradeError::Target);
    }
    if in_progress { Err(DowngradeError::InProgress) } else { Ok(()) }
}

/// The cluster version to write down, if it is another one. `lowest` is the version that
/// every member can do.
pub fn decide(
    cluster: Option<Version>,
    lowest: Version,
    downgrade: Option<Version>,
) -> Option<Version> {
    let Some(cluster) = cluster else { return Some(lowest) };
    match downgrade {
        Some(target) if target == cluster => None,
        Some(target) => {
            (cluster.goes_down_to(target) && lowest.goes_down_to(target)).then_some(target)
        }
        None => (cluster < lowest).then_some(lowest),
    }
}

/// Whether a downgrade is over: every member runs the target.
pub fn is_reached(target: Version, members: &[Option<Version>]) -> bool {
    !members.is_empty() && members.iter().all(|version| *version == Some(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn versions_are_read_as_etcd_reads_them() {
        for text in ["3.5", "3.5.0", "3.5.9", "3.5.0-rc.1", "3.5.0+git"] {
            assert_eq!(version(text).to_string(), "3.5.0", "{text}");
        }
        for text in ["", "3", "x", "3.x", "3.5.x", "3.5.0.1", "v3.5", "-3.5", "3.5."] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
        assert_eq!(version("3.6.4").short(), "3.6");
    }

    #[test]
    fn only_the_minor_version_below_is_a_target() {
        let cluster = version("3.6");
        for wrong in ["3.4", "3.6", "3.7", "2.5", "4.5"] {
            let judged = check_target(cluster, version(wrong), true);
            assert_eq!(judged, Err(DowngradeError::Target), "{wrong}");
        }
        assert_eq!(check_target(cluster, version("3.5"), false), Ok(()));
        let judged = check_target(cluster, version("3.5"), true);
        assert_eq!(judged, Err(DowngradeError::InProgress));
        // 3.0 has no minor version below.
        let judged = check_target(version("3.0"), version("3.0"), false);
        assert_eq!(judged, Err(DowngradeError::Target));
    }

    #[test]
    fn a_downgrade_lowers_the_cluster_version_once_and_its_end_raises_it() {
        let (six, five) = (version("3.6"), version("3.5"));
        assert_eq!(decide(None, six, None), Some(six));
        assert_eq!(decide(Some(six), six, None), None);
        assert_eq!(decide(Some(six), six, Some(five)), Some(five));
        assert_eq!(decide(Some(five), six, Some(five)), None);
        assert_eq!(decide(Some(five), six, None), Some(six));
        // Too far for the members that run.
        assert_eq!(decide(Some(five), six, Some(version("3.4"))), None);
    }

    #[test]
    fn a_downgrade_is_over_when_all_run_the_target() {
        let (six, five) = (Some(version("3.6")), Some(version("3.5")));
        let target = version("3.5");
        assert!(is_reached(target, &[five, five]));
        assert!(!is_reached(target, &[five, six]));
        assert!(!is_reached(target, &[five, None]), "one that cannot be asked");
        assert!(!is_reached(target, &[]));
    }
}
