//! From a snapshot file to data directories: which program does it, and what it is told.
//!
//! The words are etcd's and the same for every program that can do it: this program for our own
//! node, `etcdutl` beside an etcd, or, for etcd before 3.6, the `etcdctl` beside it. What is
//! missing is said before anything is lost.

use std::path::{Path, PathBuf};

use super::{Binary, Engine, Version};
use crate::spec::{FleetSpec, NodeSpec};

/// From this version on a restore can raise the revision.
const BUMPS_SINCE: Version = Version { major: 3, minor: 6, patch: 0 };
/// From this version on `etcdctl` does not restore any more.
const CTL_UNTIL: Version = Version { major: 3, minor: 6, patch: 0 };

/// What one node is to be made of.
#[derive(Clone, Copy, Debug)]
pub struct Restore<'a> {
    /// The snapshot.
    pub file: &'a Path,
    /// Where the data goes; nothing may be there.
    pub data_dir: &'a Path,
    /// The token of the new cluster.
    pub token: &'a str,
    /// How far the revision is raised; everything older is marked as compacted then.
    pub bump_revision: u64,
}

/// The program that restores data for this node. `own` is this program.
pub fn program(spec: &FleetSpec, node: &NodeSpec, own: &Path) -> Result<PathBuf, String> {
    match (spec.engine, spec.binary_of(node)) {
        (Engine::Etcd, Some(binary)) => tool(binary),
        (Engine::Builtin | Engine::Etcd, _) => Ok(own.to_owned()),
    }
}

/// Why no snapshot can be restored here, if none can.
pub fn missing(spec: &FleetSpec, bump: bool) -> Option<String> {
    let binaries = spec.nodes.iter().filter_map(|node| spec.binary_of(node));
    let mut binaries = binaries.filter(|_| spec.engine == Engine::Etcd);
    binaries.find_map(|binary| match tool(binary) {
        Err(why) => Some(why),
        Ok(_) if bump && binary.version < BUMPS_SINCE => Some(format!(
            "the tools of etcd {} cannot raise the revision: those of 3.6 can",
            binary.version
        )),
        Ok(_) => None,
    })
}

fn tool(binary: &Binary) -> Result<PathBuf, String> {
    let beside = |name: &str| Some(binary.path.with_file_name(name)).filter(|path| path.is_file());
    let ctl = || beside("etcdctl").filter(|_| binary.version < CTL_UNTIL);
    beside("etcdutl").or_else(ctl).ok_or_else(|| {
        let wanted = if binary.version < CTL_UNTIL { "etcdutl or etcdctl" } else { "etcdutl" };
        format!(
            "no {wanted} that could restore a snapshot is beside {}: put it there",
            binary.path.display()
        )
    })
}

/// What the program is told.
pub fn arguments(spec: &FleetSpec, node: &NodeSpec, restore: Restore<'_>) -> Vec<String> {
    let mut words = vec!["snapshot".to_owned(), "restore".to_owned()];
    words.push(restore.file.display().to_string());
    let everyone = spec.initial_cluster();
    let data_dir = restore.data_dir.display().to_string();
    let flags: [(&str, &str); 5] = [
        ("name", &node.name),
        ("data-dir", &data_dir),
        ("initial-cluster", &everyone),
        ("initial-cluster-token", restore.token),
        ("initial-advertise-peer-urls", &node.peer_url()),
    ];
    words.extend(flags.iter().map(|(flag, value)| format!("--{flag}={value}")));
    if restore.bump_revision > 0 {
        words.push(format!("--bump-revision={}", restore.bump_revision));
        words.push("--mark-compacted".to_owned());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn etcd(version: &str, tools: &[&str]) -> (tempfile::TempDir, FleetSpec) {
        let dir = tempfile::tempdir().unwrap();
        for tool in tools {
            std::fs::write(dir.path().join(tool), "").unwrap();
        }
        let path = dir.path().join("etcd");
        let binary = Binary { path, version: version.parse().unwrap(), sha256: String::new() };
        let spec = FleetSpec::new("a", 3, 23790, 7, false).run_by(Engine::Etcd, Some(binary));
        (dir, spec)
    }

    #[test]
    fn who_can_restore_is_known_before_anything_is_lost() {
        let own = FleetSpec::new("a", 3, 23790, 7, false);
        assert_eq!((missing(&own, false), missing(&own, true)), (None, None));
        assert_eq!(program(&own, &own.nodes[0], Path::new("/own")).unwrap(), Path::new("/own"));
        let (_dir, both) = etcd("3.5.1", &["etcdctl", "etcdutl"]);
        assert!(program(&both, &both.nodes[0], Path::new("/own")).unwrap().ends_with("etcdutl"));
        assert!(missing(&both, true).unwrap().contains("cannot raise the revision"));
        let (_dir, old) = etcd("3.4.23", &["etcdctl"]);
        assert!(program(&old, &old.nodes[0], Path::new("/own")).unwrap().ends_with("etcdctl"));
        let (_dir, new) = etcd("3.6.6", &["etcdctl"]);
        assert!(missing(&new, false).unwrap().contains("no etcdutl that could"));
        let (_dir, whole) = etcd("3.6.6", &["etcdutl"]);
        assert_eq!(missing(&whole, true), None);
    }

    #[test]
    fn a_revision_is_raised_only_together_with_a_compaction() {
        let spec = FleetSpec::new("a", 1, 23790, 7, false);
        let of = |bump_revision| {
            let restore = Restore {
                file: Path::new("/f"),
                data_dir: Path::new("/d"),
                token: "t",
                bump_revision,
            };
            arguments(&spec, &spec.nodes[0], restore).join(" ")
        };
        assert_eq!(
            of(0),
            "snapshot restore /f --name=n1 --data-dir=/d \
             --initial-cluster=n1=http://127.0.0.1:23791 --initial-cluster-token=t \
             --initial-advertise-peer-urls=http://127.0.0.1:23791"
        );
        assert!(of(9).ends_with("--bump-revision=9 --mark-compacted"));
    }
}
