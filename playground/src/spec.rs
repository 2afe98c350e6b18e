//! `cluster.toml`: the plan of one cluster, and the command lines that follow from it.
//!
//! The plan is written before the first process starts and is the only source of ports, names
//! and directories from then on: a restart never picks anything anew. What a node was started
//! with (`initial_cluster`) is kept word for word, because it is true only for the moment at
//! which the node joined.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    PlaygroundError,
    dirs::ClusterDirs,
    engine::{Engine, Settings},
};

/// Most nodes of one cluster. Etcd itself advises against more than seven.
pub const NODES_MAX: usize = 9;
/// Ports set aside for one node; two are in use.
pub const PORTS_PER_NODE: u16 = 10;

const FORMAT: u32 = 1;

/// How a node comes to the cluster at its very first start.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InitialState {
    /// Founds the cluster together with the others.
    New,
    /// Joins a cluster that has already added it as a member.
    Existing,
}

/// One node of the plan.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are etcd's flags")]
pub struct NodeSpec {
    pub name: String,
    pub client_port: u16,
    pub peer_port: u16,
    pub initial_cluster: String,
    pub initial_cluster_state: InitialState,
}

impl NodeSpec {
    /// Where clients reach it.
    pub fn client_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.client_port)
    }

    /// All its ports.
    pub fn ports(&self) -> [u16; 3] {
        [self.client_port, self.peer_port, self.peer_proxy_port()]
    }

    /// Where the supervisor takes its connections to peers, to pass them on.
    pub fn peer_proxy_port(&self) -> u16 {
        self.client_port.saturating_add(3)
    }

    /// Where peers reach it.
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.peer_port)
    }
}

/// The plan of one cluster.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct FleetSpec {
    format: u32,
    /// The name users say.
    pub name: String,
    /// What the nodes run.
    pub engine: Engine,
    /// Unique per creation, so that a leftover node of an older cluster under the same name
    /// and ports can never join.
    pub token: String,
    /// Whether `down` deletes the data.
    pub ephemeral: bool,
    /// First port of the block.
    pub base_port: u16,
    /// Knobs for every node.
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// In the order of their names.
    pub nodes: Vec<NodeSpec>,
}

impl FleetSpec {
    /// A plan for `count` founding nodes on the block at `base_port`. `nonce` makes the
    /// cluster token unique.
    pub fn new(name: &str, count: usize, base_port: u16, nonce: u64, ephemeral: bool) -> Self {
        let mut spec = Self {
            format: FORMAT,
            name: name.to_owned(),
            engine: Engine::Builtin,
            token: format!("{name}-{nonce:016x}"),
            ephemeral,
            base_port,
            settings: Settings::default(),
            nodes: Vec::new(),
        };
        spec.nodes = (1..=count).map(|number| spec.plan_node(number)).collect();
        let everyone = spec.initial_cluster();
        for node in &mut spec.nodes {
            node.initial_cluster.clone_from(&everyone);
        }
        spec
    }

    /// Checks a number of nodes asked for by a user.
    pub fn check_count(count: usize) -> Result<(), PlaygroundError> {
        if (1..=NODES_MAX).contains(&count) {
            return Ok(());
        }
        Err(PlaygroundError::Usage(format!(
            "--nodes {count} is out of range: a cluster has 1 to {NODES_MAX} nodes, 3 or 5 are \
             the usual choices"
        )))
    }

    /// Checks a cluster name given by a user: it becomes a directory.
    pub fn check_name(name: &str) -> Result<(), PlaygroundError> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let starts_well = name.as_bytes().first().is_some_and(|byte| *byte != b'-' && good(*byte));
        if starts_well && name.len() <= 40 && name.bytes().all(good) {
            return Ok(());
        }
        Err(PlaygroundError::Usage(format!(
            "{name:?} cannot name a cluster: use up to 40 lower-case letters, digits and dashes"
        )))
    }

    /// Plans one more node that will join as a learner: the lowest number that is free.
    pub fn plan_joining(&self) -> Result<NodeSpec, PlaygroundError> {
        let is_free = |number: &usize| self.node(&format!("n{number}")).is_none();
        let number = (1..=NODES_MAX).find(is_free).ok_or_else(|| {
            PlaygroundError::Refused(format!("a cluster has at most {NODES_MAX} nodes"))
        })?;
        let mut node = self.plan_node(number);
        node.initial_cluster_state = InitialState::Existing;
        Ok(node)
    }

    /// Adds a planned node.
    pub fn enroll(&mut self, node: NodeSpec) {
        self.nodes.push(node);
        self.nodes.sort_by(|left, right| left.name.cmp(&right.name));
    }

    /// Makes a node join the cluster as it is now at its next start.
    pub fn rejoin(&mut self, name: &str) {
        let everyone = self.initial_cluster();
        if let Some(node) = self.nodes.iter_mut().find(|node| node.name == name) {
            node.initial_cluster = everyone;
            node.initial_cluster_state = InitialState::Existing;
        }
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The arguments of `node`'s process, the first being the subcommand.
    pub fn argv(&self, node: &NodeSpec, dirs: &ClusterDirs, supervisor: u32) -> Vec<String> {
        let state = match node.initial_cluster_state {
            InitialState::New => "new",
            InitialState::Existing => "existing",
        };
        let data_dir = dirs.data(&node.name).display().to_string();
        let flags: [(&str, &str); 11] = [
            ("--name", &node.name),
            ("--data-dir", &data_dir),
            ("--listen-client-urls", &node.client_url()),
            ("--advertise-client-urls", &node.client_url()),
            ("--listen-peer-urls", &node.peer_url()),
            ("--initial-advertise-peer-urls", &node.peer_url()),
            ("--initial-cluster", &node.initial_cluster),
            ("--initial-cluster-token", &self.token),
            ("--initial-cluster-state", state),
            ("--log-format", "json"),
            ("--die-with-parent", &supervisor.to_string()),
        ];
        let mut argv = vec!["node".to_owned()];
        for (flag, value) in flags {
            argv.push(flag.to_owned());
            argv.push(value.to_owned());
        }
        argv.extend(self.settings.flags());
        argv
    }

    /// Reads a plan.
    pub fn load(path: &Path) -> Result<Self, PlaygroundError> {
        let text = std::fs::read_to_string(path).map_err(PlaygroundError::file("read", path))?;
        let damaged = |why: String| PlaygroundError::Damaged { path: path.to_owned(), why };
        let spec: Self = toml::from_str(&text).map_err(|error| damaged(error.message().into()))?;
        if spec.format != FORMAT {
            return Err(damaged(format!("format {} is not known", spec.format)));
        }
        Ok(spec)
    }

    /// Writes the plan so that a crash leaves the old one or the new one.
    pub fn save(&self, path: &Path) -> Result<(), PlaygroundError> {
        let text = toml::to_string(self).map_err(|error| PlaygroundError::Damaged {
            path: path.to_owned(),
            why: error.to_string(),
        })?;
        crate::dirs::write_atomically(path, text.as_bytes())
    }

    fn plan_node(&self, number: usize) -> NodeSpec {
        // At most NODES_MAX, so this neither truncates nor overflows.
        let offset = (number as u16 - 1) * PORTS_PER_NODE;
        let client_port = self.base_port.saturating_add(offset);
        NodeSpec {
            name: format!("n{number}"),
            client_port,
            peer_port: client_port.saturating_add(1),
            initial_cluster: String::new(),
            initial_cluster_state: InitialState::New,
        }
    }

    fn initial_cluster(&self) -> String {
        let pair = |node: &NodeSpec| format!("{}={}", node.name, node.peer_url());
        self.nodes.iter().map(pair).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> FleetSpec {
        FleetSpec::new("default", 3, 23790, 7, false)
    }

    #[test]
    fn a_plan_survives_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.toml");
        three().save(&path).unwrap();
        assert_eq!(FleetSpec::load(&path).unwrap(), three());
    }

    #[test]
    fn a_damaged_plan_is_refused_with_its_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cluster.toml");
        for text in ["", "format = 1", "x ="] {
            std::fs::write(&path, text).unwrap();
            let error = FleetSpec::load(&path).unwrap_err().to_string();
            assert!(error.contains("cluster.toml") && error.contains("damaged"), "{error}");
        }
        let newer = toml::to_string(&three()).unwrap().replace("format = 1", "format = 2");
        std::fs::write(&path, newer).unwrap();
        assert!(FleetSpec::load(&path).unwrap_err().to_string().contains("format 2"));
    }

    #[test]
    fn founders_know_each_other_and_joiners_know_the_cluster_they_join() {
        let mut spec = three();
        let founders =
            "n1=http://127.0.0.1:23791,n2=http://127.0.0.1:23801,n3=http://127.0.0.1:23811";
        assert!(spec.nodes.iter().all(|node| node.initial_cluster == founders));
        let fourth = spec.plan_joining().unwrap();
        assert_eq!((fourth.name.as_str(), fourth.client_port), ("n4", 23820));
        spec.enroll(fourth);
        spec.rejoin("n4");
        let expected = format!("{founders},n4=http://127.0.0.1:23821");
        assert_eq!(spec.node("n4").unwrap().initial_cluster, expected);
        assert_eq!(spec.node("n4").unwrap().initial_cluster_state, InitialState::Existing);
        // What the founders were started with stays what it was.
        assert_eq!(spec.node("n1").unwrap().initial_cluster, founders);
    }

    #[test]
    fn a_freed_number_is_used_again_with_its_own_ports() {
        let mut spec = three();
        spec.nodes.remove(1);
        let node = spec.plan_joining().unwrap();
        assert_eq!((node.name.as_str(), node.client_port, node.peer_port), ("n2", 23800, 23801));
        let mut full = FleetSpec::new("x", NODES_MAX, 23790, 7, false);
        assert!(full.plan_joining().is_err());
        full.nodes.pop();
        assert_eq!(full.plan_joining().unwrap().name, "n9");
    }

    #[test]
    fn counts_and_names_are_checked() {
        for count in [0, 10, usize::MAX] {
            assert!(FleetSpec::check_count(count).unwrap_err().is_usage());
        }
        assert!(FleetSpec::check_count(9).is_ok());
        for name in ["", "-a", "../x", "A", "a b", "a/b", "ä", &"x".repeat(41)] {
            assert!(FleetSpec::check_name(name).unwrap_err().is_usage(), "{name:?}");
        }
        assert!(FleetSpec::check_name("my-cluster-2").is_ok());
    }

    #[test]
    fn the_command_line_is_complete() {
        let spec = three();
        let home = crate::dirs::Home::new("/state");
        let argv = spec.argv(&spec.nodes[1], &home.cluster("default"), 42).join(" ");
        assert_eq!(
            argv,
            "node --name n2 --data-dir /state/clusters/default/nodes/n2/data \
             --listen-client-urls http://127.0.0.1:23800 \
             --advertise-client-urls http://127.0.0.1:23800 \
             --listen-peer-urls http://127.0.0.1:23801 \
             --initial-advertise-peer-urls http://127.0.0.1:23801 \
             --initial-cluster n1=http://127.0.0.1:23791,n2=http://127.0.0.1:23801,\
             n3=http://127.0.0.1:23811 --initial-cluster-token default-0000000000000007 \
             --initial-cluster-state new --log-format json --die-with-parent 42"
        );
    }
}
