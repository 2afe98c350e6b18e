//! What a cluster looks like from outside: plain data for `ps --json` and the terminal UI.
//!
//! A view is a copy of facts at one moment. It holds no handles, and nothing in it is
//! formatted for a screen except sentences that the machine wrote itself (`why`).
//!
//! [`Health`] is quorum arithmetic over voters and is kept here, because the word must mean
//! the same on every surface.

use serde::{Deserialize, Serialize};

use crate::{engine::Capability, faults::NodeFault, links::LinkView};

/// The life of one node process.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Spawned, but not yet seen serving under a leader.
    Starting,
    /// Has been seen serving under a leader since it was spawned.
    Running,
    /// Frozen by SIGSTOP: it holds its connections and answers nothing.
    Paused,
    /// Asked to end.
    Stopping,
    /// Ended because it was asked to.
    Stopped,
    /// Ended on its own, or was killed.
    Exited,
    /// Ended because the cluster removed it.
    Removed,
}

impl NodeState {
    /// Whether there is a process behind this state.
    pub fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running | Self::Paused | Self::Stopping)
    }

    /// The word used on every surface.
    pub fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Exited => "exited",
            Self::Removed => "removed",
        }
    }
}

/// What a node last said about its place in raft.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Leads the term it reports.
    Leader,
    /// Votes and follows.
    Follower,
    /// Receives the log, does not vote.
    Learner,
    /// Does not answer, or knows no leader.
    Unknown,
}

impl Role {
    /// The word used on every surface.
    pub fn word(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::Learner => "learner",
            Self::Unknown => "unknown",
        }
    }
}

/// How far the cluster is from losing the power to write.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Every voter serves.
    Healthy,
    /// Some voters are lost; at least one more may be.
    Degraded,
    /// Writes work; the next loss stops them.
    AtRisk,
    /// Writes and linearizable reads fail.
    NoQuorum,
}

impl Health {
    /// The state of a cluster of `voters`, of which `serving` answer under a leader.
    pub fn of(serving: usize, voters: usize) -> Self {
        let quorum = quorum(voters);
        if serving < quorum {
            Self::NoQuorum
        } else if serving >= voters {
            Self::Healthy
        } else if serving == quorum {
            Self::AtRisk
        } else {
            Self::Degraded
        }
    }

    /// The word used on every surface.
    pub fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::AtRisk => "at-risk",
            Self::NoQuorum => "no-quorum",
        }
    }
}

/// How many of `voters` must agree.
pub fn quorum(voters: usize) -> usize {
    voters / 2 + 1
}

/// One node, seen from outside. Facts that are not known are `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are etcd's")]
pub struct NodeView {
    pub name: String,
    pub state: NodeState,
    pub pid: Option<u32>,
    pub client_url: String,
    pub peer_url: String,
    /// Lower-case hexadecimal, as etcdctl prints it.
    pub member_id: Option<String>,
    pub role: Role,
    pub term: Option<u64>,
    pub applied_index: Option<u64>,
    pub commit_index: Option<u64>,
    pub db_size: Option<i64>,
    pub db_size_in_use: Option<i64>,
    /// Why the node is in a state that nobody asked for, in one sentence.
    pub why: Option<String>,
    pub uptime_seconds: Option<u64>,
    /// Starts after the first one, under this supervisor.
    pub restarts: u32,
    pub log_path: String,
    /// The version of etcd that it reports.
    #[serde(default)]
    pub version: Option<String>,
    /// What was done to it and not taken back.
    #[serde(default)]
    pub faults: Vec<NodeFault>,
    /// Whether it answers for itself, but what needs the others does not come back.
    #[serde(default)]
    pub cut_off: bool,
    /// Lower-case hexadecimal.
    #[serde(default)]
    pub cluster_id: Option<String>,
    /// The token it was started with, if that is not the cluster's.
    #[serde(default)]
    pub token: Option<String>,
}

/// One cluster, seen from outside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetView {
    /// The name it was created under.
    pub cluster: String,
    /// What the nodes run; `builtin` is this program.
    pub engine: String,
    /// Quorum arithmetic in one word.
    pub health: Health,
    /// Members that vote, as the most recent leader lists them.
    pub voters: usize,
    /// Voters that answer, know a leader and are in touch with it.
    pub serving: usize,
    /// The membership change in progress, if there is one.
    pub operation: Option<String>,
    /// Whether `down` deletes the data.
    pub ephemeral: bool,
    /// Number of the latest event.
    pub event_seq: u64,
    /// In the order of their names.
    pub nodes: Vec<NodeView>,
    /// What can be done to the nodes, and why the rest cannot.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Every directed link between them, by `from` and then by `to`; none while no supervisor
    /// runs.
    #[serde(default)]
    pub links: Vec<LinkView>,
}

impl FleetView {
    /// The node of this name.
    pub fn node(&self, name: &str) -> Option<&NodeView> {
        self.nodes.iter().find(|node| node.name == name)
    }

    /// The node that leads, if one is known to. One that is cut off may still believe it does:
    /// the later term is right.
    pub fn leader(&self) -> Option<&NodeView> {
        self.nodes.iter().filter(|node| node.role == Role::Leader).max_by_key(|node| node.term)
    }

    /// Whether every node is ready to serve.
    pub fn all_running(&self) -> bool {
        self.nodes.iter().all(|node| node.state == NodeState::Running)
    }

    /// The client URLs, for `ETCDCTL_ENDPOINTS`.
    pub fn endpoints(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.client_url.clone()).collect()
    }

    /// The arithmetic behind [`Health`], as a sentence.
    pub fn explain(&self) -> String {
        let quorum = quorum(self.voters);
        let margin = self.serving.checked_sub(quorum);
        let rest = match margin {
            None => "writes and linearizable reads fail".to_owned(),
            Some(0) => "one more loss stops writes".to_owned(),
            Some(1) => "one more may fail".to_owned(),
            Some(more) => format!("{more} more may fail"),
        };
        format!("{} of {} voters serve, quorum is {quorum}: {rest}", self.serving, self.voters)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn health_follows_the_quorum_arithmetic() {
        use Health::*;
        let table = [
            (1, 1, Healthy),
            (0, 1, NoQuorum),
            (2, 2, Healthy),
            (1, 2, NoQuorum),
            (3, 3, Healthy),
            (2, 3, AtRisk),
            (1, 3, NoQuorum),
            (4, 4, Healthy),
            (3, 4, AtRisk),
            (2, 4, NoQuorum),
            (4, 5, Degraded),
            (3, 5, AtRisk),
            (2, 5, NoQuorum),
            (5, 7, Degraded),
        ];
        for (serving, voters, health) in table {
            assert_eq!(Health::of(serving, voters), health, "{serving} of {voters}");
        }
    }

    #[test]
    fn words_agree_with_the_serialised_form() {
        for health in [Health::Healthy, Health::Degraded, Health::AtRisk, Health::NoQuorum] {
            assert_eq!(serde_json::to_value(health).unwrap(), health.word());
        }
        for role in [Role::Leader, Role::Follower, Role::Learner, Role::Unknown] {
            assert_eq!(serde_json::to_value(role).unwrap(), role.word());
        }
        use NodeState::*;
        for state in [Starting, Running, Paused, Stopping, Stopped, Exited, Removed] {
            assert_eq!(serde_json::to_value(state).unwrap(), state.word());
        }
    }

    #[test]
    fn the_explanation_counts_what_may_still_fail() {
        let mut view = FleetView {
            cluster: "c".into(),
            engine: "builtin".into(),
            health: Health::Healthy,
            voters: 5,
            serving: 5,
            operation: None,
            ephemeral: false,
            event_seq: 0,
            nodes: Vec::new(),
            capabilities: Vec::new(),
            links: Vec::new(),
        };
        assert_eq!(view.explain(), "5 of 5 voters serve, quorum is 3: 2 more may fail");
        view.serving = 3;
        assert!(view.explain().ends_with("one more loss stops writes"));
        view.serving = 2;
        assert!(view.explain().ends_with("linearizable reads fail"));
    }

    pub(crate) fn node_view(name: &str, state: NodeState, role: Role) -> NodeView {
        NodeView {
            name: name.into(),
            state,
            pid: state.is_live().then_some(1),
            client_url: format!("http://127.0.0.1:{name}"),
            peer_url: String::new(),
            member_id: None,
            role,
            term: None,
            applied_index: None,
            commit_index: None,
            db_size: None,
            db_size_in_use: None,
            why: None,
            uptime_seconds: None,
            restarts: 0,
            log_path: String::new(),
            version: None,
            faults: Vec::new(),
            cut_off: false,
            cluster_id: None,
            token: None,
        }
    }
}
