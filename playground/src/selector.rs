//! `n2`, `leader`, `follower:2`, `minority`, `majority`, `all`: which nodes a verb means.
//!
//! A selector is resolved once, against one view, and only among the nodes that the verb can
//! be applied to ([`Eligible`]): `start majority` chooses among dead nodes, `kill majority`
//! among live ones. A node named outright is returned whatever its state; whether the verb
//! fits it is for the fleet to say, which can say it better.

use std::str::FromStr;

use crate::{
    PlaygroundError,
    view::{FleetView, NodeState, NodeView, Role, quorum},
};

/// A parsed selector.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Selector {
    /// Nodes by name.
    Named(Vec<String>),
    /// The node that leads now.
    Leader,
    /// The k-th follower in the order of names, from 1.
    Follower(usize),
    /// As many nodes as the cluster can lose, followers before the leader.
    Minority,
    /// As few nodes as the cluster cannot lose, followers before the leader.
    Majority,
    /// Every node.
    All,
}

/// Which nodes a verb can be applied to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Eligible {
    /// Those with a process that is not already ending.
    Live,
    /// Those without a process.
    Dead,
    /// Those frozen.
    Paused,
    /// Any.
    Any,
}

impl Eligible {
    fn admits(self, node: &NodeView) -> bool {
        match self {
            Self::Live => node.state.is_live() && node.state != NodeState::Stopping,
            Self::Dead => !node.state.is_live(),
            Self::Paused => node.state == NodeState::Paused,
            Self::Any => true,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Live => "runs",
            Self::Dead => "is down",
            Self::Paused => "is paused",
            Self::Any => "exists",
        }
    }
}

impl FromStr for Selector {
    type Err = PlaygroundError;

    fn from_str(text: &str) -> Result<Self, PlaygroundError> {
        let wrong = || {
            PlaygroundError::Usage(format!(
                "{text:?} selects no node: say a node like n2, or leader, follower, follower:2, \
                 minority, majority, all"
            ))
        };
        match text {
            "leader" => return Ok(Self::Leader),
            "follower" => return Ok(Self::Follower(1)),
            "minority" => return Ok(Self::Minority),
            "majority" => return Ok(Self::Majority),
            "all" => return Ok(Self::All),
            _ => {}
        }
        if let Some(number) = text.strip_prefix("follower:") {
            let number: usize = number.parse().map_err(|_| wrong())?;
            return if number == 0 { Err(wrong()) } else { Ok(Self::Follower(number)) };
        }
        let names: Vec<String> = text.split(',').map(str::to_owned).collect();
        let is_name = |name: &String| {
            name.strip_prefix('n').is_some_and(|number| {
                !number.starts_with('0') && number.parse::<usize>().is_ok_and(|number| number > 0)
            })
        };
        if names.iter().all(is_name) { Ok(Self::Named(names)) } else { Err(wrong()) }
    }
}

impl Selector {
    /// The names of the nodes meant, in the order of names; never empty.
    pub fn resolve(
        &self,
        view: &FleetView,
        eligible: Eligible,
    ) -> Result<Vec<String>, PlaygroundError> {
        let all: Vec<&NodeView> = view.nodes.iter().filter(|node| eligible.admits(node)).collect();
        let names = match self {
            Self::Named(names) => return named(view, names),
            Self::Leader => vec![leader(view)?],
            Self::Follower(number) => vec![follower(view, *number)?],
            Self::Minority => some(&all, view.nodes.len() - quorum(view.nodes.len())),
            Self::Majority => some(&all, quorum(view.nodes.len())),
            Self::All => all.iter().map(|node| node.name.clone()).collect(),
        };
        if names.is_empty() {
            let why = if matches!(self, Self::Minority) && view.nodes.len() < 3 {
                format!("a cluster of {} has no minority that it can lose", view.nodes.len())
            } else {
                format!("no node of cluster {} {}", view.cluster, eligible.word())
            };
            return Err(PlaygroundError::Refused(why));
        }
        Ok(names)
    }
}

fn named(view: &FleetView, names: &[String]) -> Result<Vec<String>, PlaygroundError> {
    if let Some(unknown) = names.iter().find(|name| view.node(name).is_none()) {
        let known: Vec<&str> = view.nodes.iter().map(|node| node.name.as_str()).collect();
        return Err(PlaygroundError::Refused(format!(
            "cluster {} has no node {unknown}: its nodes are {}",
            view.cluster,
            known.join(", ")
        )));
    }
    // In the order of the view, each once.
    let meant = view.nodes.iter().filter(|node| names.contains(&node.name));
    Ok(meant.map(|node| node.name.clone()).collect())
}

fn leader(view: &FleetView) -> Result<String, PlaygroundError> {
    view.leader().map(|node| node.name.clone()).ok_or_else(|| {
        PlaygroundError::Refused(format!(
            "cluster {} has no leader now ({}): name a node instead, like n1",
            view.cluster,
            view.explain()
        ))
    })
}

fn follower(view: &FleetView, number: usize) -> Result<String, PlaygroundError> {
    let followers: Vec<&NodeView> =
        view.nodes.iter().filter(|node| node.role == Role::Follower).collect();
    followers.get(number - 1).map(|node| node.name.clone()).ok_or_else(|| {
        PlaygroundError::Refused(format!(
            "cluster {} has {} followers now, so there is no follower:{number}",
            view.cluster,
            followers.len()
        ))
    })
}

/// Up to `count` of `nodes`, the leader last to be chosen.
fn some(nodes: &[&NodeView], count: usize) -> Vec<String> {
    let mut order: Vec<&&NodeView> = nodes.iter().collect();
    order.sort_by_key(|node| node.role == Role::Leader);
    let mut names: Vec<String> =
        order.into_iter().take(count).map(|node| node.name.clone()).collect();
    names.sort();
    names
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::view::{Health, tests::node_view};

    pub(crate) fn view(nodes: &[(&str, NodeState, Role)]) -> FleetView {
        FleetView {
            cluster: "default".into(),
            engine: "builtin".into(),
            health: Health::Healthy,
            voters: nodes.len(),
            serving: nodes.len(),
            operation: None,
            ephemeral: false,
            event_seq: 0,
            nodes: nodes.iter().map(|(name, state, role)| node_view(name, *state, *role)).collect(),
            capabilities: Vec::new(),
            links: Vec::new(),
        }
    }

    fn five() -> FleetView {
        use NodeState::*;
        use Role::*;
        view(&[
            ("n1", Running, Leader),
            ("n2", Running, Follower),
            ("n3", Exited, Unknown),
            ("n4", Running, Follower),
            ("n5", Paused, Unknown),
        ])
    }

    fn names(selector: &str, eligible: Eligible) -> Vec<String> {
        selector.parse::<Selector>().unwrap().resolve(&five(), eligible).unwrap()
    }

    #[test]
    fn roles_select_among_nodes_that_answer() {
        assert_eq!(names("leader", Eligible::Live), ["n1"]);
        assert_eq!(names("follower", Eligible::Live), ["n2"]);
        assert_eq!(names("follower:2", Eligible::Live), ["n4"]);
    }

    #[test]
    fn sets_spare_the_leader_and_fit_the_verb() {
        assert_eq!(names("minority", Eligible::Live), ["n2", "n4"]);
        assert_eq!(names("majority", Eligible::Live), ["n2", "n4", "n5"]);
        assert_eq!(names("all", Eligible::Live), ["n1", "n2", "n4", "n5"]);
        assert_eq!(names("all", Eligible::Dead), ["n3"]);
        assert_eq!(names("all", Eligible::Paused), ["n5"]);
        assert_eq!(names("majority", Eligible::Dead), ["n3"]);
    }

    #[test]
    fn names_are_taken_whatever_their_state_and_each_once() {
        assert_eq!(names("n3,n1,n3", Eligible::Live), ["n1", "n3"]);
    }

    #[test]
    fn what_cannot_be_selected_is_said_in_a_sentence() {
        let refused = |selector: &str, view: &FleetView| {
            let selector: Selector = selector.parse().unwrap();
            selector.resolve(view, Eligible::Live).unwrap_err().to_string()
        };
        assert!(refused("n9", &five()).contains("its nodes are n1, n2, n3, n4, n5"));
        assert!(refused("follower:3", &five()).contains("no follower:3"));
        let leaderless = view(&[("n1", NodeState::Running, Role::Unknown)]);
        assert!(refused("leader", &leaderless).contains("no leader now"));
        assert!(refused("minority", &leaderless).contains("no minority"));
    }

    #[test]
    fn nonsense_is_a_usage_error() {
        for text in ["", "x", "n0", "n01", "n-1", "follower:0", "follower:x", "n1,", "Leader"] {
            assert!(text.parse::<Selector>().unwrap_err().is_usage(), "{text:?}");
        }
    }
}
