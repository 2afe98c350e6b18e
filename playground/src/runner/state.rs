//! `state.json`: what a supervisor knows that its successor needs.
//!
//! Member ids are shown for nodes that are down. Processes are recorded because a supervisor
//! that was killed takes its nodes with it only if they asked the kernel for that; a successor
//! ends what is left, after checking that it is the recorded process and no other.

use std::{collections::BTreeMap, path::Path};

use serde::{Deserialize, Serialize};

use crate::{fleet::Signal, process::ProcessIdentity};

/// One node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct NodeRecord {
    pub process: Option<ProcessIdentity>,
    pub member_id: Option<String>,
}

/// The whole file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StateFile {
    pub supervisor: Option<ProcessIdentity>,
    pub nodes: BTreeMap<String, NodeRecord>,
}

impl StateFile {
    pub(crate) fn member_id(&self, name: &str) -> Option<u64> {
        let id = self.nodes.get(name)?.member_id.as_deref()?;
        u64::from_str_radix(id, 16).ok()
    }
}

/// Reads the file. It can be rebuilt from life, so a missing or damaged one is an empty one.
pub(crate) fn load(path: &Path) -> StateFile {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

pub(crate) fn save(path: &Path, nodes: BTreeMap<String, NodeRecord>) {
    let state = StateFile { supervisor: ProcessIdentity::of(std::process::id()), nodes };
    let written =
        serde_json::to_vec_pretty(&state).map_err(|error| error.to_string()).and_then(|json| {
            crate::dirs::write_atomically(path, &json).map_err(|error| error.to_string())
        });
    if let Err(error) = written {
        tracing::warn!(%error, "the state file was not written");
    }
}

/// Kills nodes that an earlier supervisor left behind.
pub(crate) fn end_leftovers(state: &StateFile, path: &Path) {
    for (node, record) in &state.nodes {
        if let Some(process) = &record.process
            && process.signal(Signal::Kill)
        {
            let (pid, path) = (process.pid, path.display());
            tracing::warn!(%node, pid, %path, "killed a node that an earlier supervisor left");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper() -> Child {
        Command::new("/bin/sleep").arg("600").spawn().unwrap()
    }

    fn record(process: ProcessIdentity) -> StateFile {
        let node = NodeRecord { process: Some(process), member_id: Some("ff".into()) };
        StateFile { supervisor: None, nodes: [("n1".to_owned(), node)].into() }
    }

    #[test]
    fn a_recorded_node_is_ended_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let (mut left, mut bystander) = (sleeper(), sleeper());
        let identity = |child: &Child| ProcessIdentity::of(child.id()).unwrap();
        // The pid of the bystander, but the start time of another process.
        let mut impostor = serde_json::to_value(identity(&bystander)).unwrap();
        impostor["start_time"] = 1.into();
        end_leftovers(&record(serde_json::from_value(impostor).unwrap()), &path);
        end_leftovers(&record(identity(&left)), &path);
        assert!(!left.wait().unwrap().success());
        assert!(bystander.try_wait().unwrap().is_none());
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[test]
    fn the_file_survives_and_a_damaged_one_is_empty() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.json");
        let me = ProcessIdentity::of(std::process::id()).unwrap();
        save(&path, record(me.clone()).nodes);
        let known = load(&path);
        assert_eq!(known.member_id("n1"), Some(0xff));
        assert_eq!(known.member_id("n2"), None);
        assert_eq!(known.supervisor, Some(me));
        std::fs::write(&path, "{").unwrap();
        assert!(load(&path).nodes.is_empty());
    }
}
