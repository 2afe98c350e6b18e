//! `cluster.toml`: the plan of one cluster.
//!
//! The plan is written before the first process starts and is the only source of ports, names
//! and directories from then on: a restart never picks anything anew. What a node was started
//! with (`initial_cluster`) is kept word for word, because it is true only for the moment at
//! which the node joined.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{
    PlaygroundError,
    engine::{Binary, Engine, Settings, Version},
};

/// Most nodes of one cluster. Etcd itself advises against more than seven.
pub const NODES_MAX: usize = 9;
/// Ports set aside for one node: clients, peers, metrics, and the proxy to its peers.
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

impl InitialState {
    /// The word of etcd's flag.
    pub fn word(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Existing => "existing",
        }
    }
}

/// One node of the plan.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are etcd's flags")]
pub struct NodeSpec {
    pub name: String,
    pub client_port: u16,
    pub peer_port: u16,
    /// The host under which peers reach it; it listens on 127.0.0.1 whatever they are told.
    #[serde(default = "loopback")]
    pub peer_host: String,
    pub initial_cluster: String,
    pub initial_cluster_state: InitialState,
    /// Its own token, if it was started with another one than the cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The program of this node alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<Binary>,
}

fn loopback() -> String {
    "127.0.0.1".to_owned()
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
        format!("http://{}:{}", self.peer_host, self.peer_port)
    }

    /// Where it listens for peers.
    pub fn listen_peer_url(&self) -> String {
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
    /// The program of every node that has none of its own, if the engine is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binary: Option<Binary>,
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
            token: Self::token(name, nonce),
            ephemeral,
            base_port,
            settings: Settings::default(),
            binary: None,
            nodes: Vec::new(),
        };
        spec.nodes = (1..=count).map(|number| spec.plan_node(number)).collect();
        spec.introduce_founders();
        spec
    }

    /// A token for a cluster of this name.
    pub fn token(name: &str, nonce: u64) -> String {
        format!("{name}-{nonce:016x}")
    }

    /// The same plan for another engine, as long as no node has been started.
    pub fn run_by(mut self, engine: Engine, binary: Option<Binary>) -> Self {
        self.engine = engine;
        self.binary = binary;
        for node in &mut self.nodes {
            node.peer_host = peer_host(engine);
        }
        self.introduce_founders();
        self
    }

    /// The program of a node; none is our own.
    pub fn binary_of<'a>(&'a self, node: &'a NodeSpec) -> Option<&'a Binary> {
        node.binary.as_ref().or(self.binary.as_ref())
    }

    /// Why a node cannot join the others, if that is so. Members agree on the oldest version
    /// among them, and never go back: a member that is older than all others may stay, but once
    /// it is gone, nobody of its version comes in again.
    pub fn too_old_to_join(&self, node: &NodeSpec) -> Option<String> {
        let minor = |binary: &Binary| (binary.version.major, binary.version.minor);
        let own = self.binary_of(node)?;
        let others = self.nodes.iter().filter(|other| other.name != node.name);
        let oldest =
            others.filter_map(|other| self.binary_of(other)).min_by_key(|it| it.version)?;
        (minor(own) < minor(oldest)).then(|| {
            format!(
                "{name} runs etcd {own}, and every other node {oldest} or later: they agree on \
                 {major}.{minor} without it, and would not let it in. Give it their program first: \
                 `etcd-tui down {cluster}`, then `etcd-tui up {cluster} --node-bin {name}={path}`",
                name = node.name,
                own = own.version,
                oldest = oldest.version,
                major = oldest.version.major,
                minor = oldest.version.minor,
                cluster = self.name,
                path = oldest.path.display(),
            )
        })
    }

    /// The oldest version of etcd among the nodes.
    pub fn oldest_version(&self) -> Option<Version> {
        self.nodes.iter().filter_map(|node| self.binary_of(node)).map(|it| it.version).min()
    }

    fn introduce_founders(&mut self) {
        let everyone = self.initial_cluster();
        for node in &mut self.nodes {
            node.initial_cluster.clone_from(&everyone);
        }
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
            node.token = None;
        }
    }

    /// Makes a node begin its next start with a token of its own.
    pub fn start_with_own_token(&mut self, name: &str, state: InitialState, token: &str) {
        let everyone = self.initial_cluster();
        if let Some(node) = self.nodes.iter_mut().find(|node| node.name == name) {
            node.initial_cluster = everyone;
            node.initial_cluster_state = state;
            node.token = Some(token.to_owned());
        }
    }

    /// Makes all nodes the founders of another cluster.
    pub fn found_again(&mut self, token: String) {
        self.token = token;
        self.introduce_founders();
        for node in &mut self.nodes {
            node.initial_cluster_state = InitialState::New;
            node.token = None;
        }
    }

    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeSpec> {
        self.nodes.iter().find(|node| node.name == name)
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
            peer_host: peer_host(self.engine),
            initial_cluster: String::new(),
            initial_cluster_state: InitialState::New,
            token: None,
            binary: None,
        }
    }

    /// All nodes as the flag of this name has them.
    pub fn initial_cluster(&self) -> String {
        let pair = |node: &NodeSpec| format!("{}={}", node.name, node.peer_url());
        self.nodes.iter().map(pair).collect::<Vec<_>>().join(",")
    }
}

/// See [`crate::engine::command`]: Go asks no proxy for loopback addresses.
fn peer_host(engine: Engine) -> String {
    match engine {
        Engine::Builtin => loopback(),
        Engine::Etcd => "0.0.0.0".to_owned(),
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
    fn the_last_node_of_an_old_version_could_never_come_back() {
        let etcd = |version: &str| Binary {
            path: format!("/opt/{version}/etcd").into(),
            version: version.parse().unwrap(),
            sha256: String::new(),
        };
        let new = Some(etcd("3.5.1"));
        let mut spec = FleetSpec::new("x", 3, 23790, 7, false).run_by(Engine::Etcd, new);
        spec.nodes[2].binary = Some(etcd("3.4.23"));
        assert_eq!(spec.too_old_to_join(&spec.nodes[0]), None, "there is a 3.4 to agree on");
        let why = spec.too_old_to_join(&spec.nodes[2]).unwrap();
        assert!(why.contains("agree on 3.5") && why.contains("--node-bin n3=/opt/3.5.1"), "{why}");
        spec.nodes[1].binary = Some(etcd("3.4.23"));
        assert_eq!(spec.too_old_to_join(&spec.nodes[2]), None, "another one of 3.4 stays");
        spec.nodes[2].binary = Some(etcd("3.5.0"));
        spec.nodes[1].binary = None;
        assert_eq!(spec.too_old_to_join(&spec.nodes[2]), None, "patches do not matter");
        assert_eq!(FleetSpec::new("x", 3, 23790, 7, false).too_old_to_join(&spec.nodes[2]), None);
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
}
