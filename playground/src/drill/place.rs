//! Where a drill can run: on the cluster there is, on one of its own, or not at all.
//!
//! # Invariants
//! - Only what no cluster of this engine can do is a reason not to run a drill. What merely this
//!   cluster lacks, or what is wrong with it now, is a reason to make another for it.
//! - A cluster whose faults somebody has made is left alone: the rollback would undo them.
//!
//! Who says on which cluster a drill is to run is held to less: [`super::run`] refuses what
//! cannot be done there, and asks nothing about faults.

use super::format::Drill;
use super::stage::leader;
use crate::links::LinkFault;
use crate::view::{FleetView, Health, NodeState};

/// Where a drill can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this cluster.
    Here,
    /// On a cluster made for it, and why.
    Own(String),
    /// On none of this engine, and why.
    Nowhere(String),
}

impl Place {
    /// The place for a drill, as the cluster is now.
    pub fn of(drill: &Drill, view: &FleetView) -> Self {
        if let Some(why) = impossible(drill, view) {
            return Self::Nowhere(why);
        }
        match unsuitable(drill, view).or_else(|| unwell(view)).or_else(|| disturbed(view)) {
            Some(why) => Self::Own(why),
            None => Self::Here,
        }
    }
}

/// Why no cluster of this engine can hold the drill.
pub(super) fn impossible(drill: &Drill, view: &FleetView) -> Option<String> {
    let engines = &drill.requires.engines;
    if !engines.is_empty() && !engines.contains(&view.engine) {
        return Some(format!("it is about {}, and this is {}", engines.join(", "), view.engine));
    }
    drill.capabilities().into_iter().find_map(|name| {
        match view.capabilities.iter().find(|it| it.name == name) {
            Some(it) if it.available => None,
            Some(it) => Some(format!("it needs {name}: {}", it.reason)),
            None => Some(format!("{name} is nothing that can be done here")),
        }
    })
}

/// Why this cluster can never hold the drill, and another could.
pub(super) fn unsuitable(drill: &Drill, view: &FleetView) -> Option<String> {
    if !drill.cluster.settings.is_empty() {
        return Some("it needs nodes with other flags".to_owned());
    }
    if let Some(why) = &drill.requires.own_cluster {
        return Some(why.clone());
    }
    let (wanted, there) = (drill.cluster.nodes, view.nodes.len());
    (there < wanted)
        .then(|| format!("it needs {wanted} nodes, and cluster {} has {there}", view.cluster))
}

/// What is wrong with this cluster now: what a drill finds would be no news.
pub(super) fn unwell(view: &FleetView) -> Option<String> {
    if view.all_running() && view.voters == view.nodes.len() && leader(view).is_some() {
        return None;
    }
    let odd = view.nodes.iter().filter(|node| node.state != NodeState::Running);
    let odd: String = odd.map(|node| format!(", {} is {}", node.name, node.state.word())).collect();
    Some(format!("{}{odd}", sick(view)))
}

fn sick(view: &FleetView) -> String {
    format!("cluster {} is not well: {}", view.cluster, view.explain())
}

/// What somebody has done to this cluster, or is doing.
fn disturbed(view: &FleetView) -> Option<String> {
    if view.health != Health::Healthy {
        return Some(sick(view));
    }
    if let Some(operation) = &view.operation {
        let what = operation.split_once(": ").map_or(operation.as_str(), |(what, _)| what);
        return Some(format!("a membership change is under way, {what}"));
    }
    let nodes = view.nodes.iter().flat_map(|node| {
        node.faults.iter().map(|fault| format!("{} has the fault {fault}", node.name))
    });
    let links = view.links.iter().filter(|link| link.fault != LinkFault::Ok);
    let links = links.map(|it| format!("the link {}>{} is {}", it.from, it.to, it.fault.state()));
    let all: Vec<String> = nodes.chain(links).collect();
    let more = match all.len() {
        0 => return None,
        1 => String::new(),
        more => format!(", and {} more", more - 1),
    };
    Some(format!("in cluster {} {}{more}", view.cluster, all[0]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::catalogue;
    use crate::engine::{Engine, capabilities};
    use crate::faults::NodeFault;
    use crate::links::LinkView;
    use crate::spec::FleetSpec;
    use crate::view::{Role, tests::node_view};

    fn drill(id: &str) -> Drill {
        catalogue::all().unwrap().into_iter().find(|drill| drill.id == id).unwrap()
    }

    fn cluster(nodes: usize, engine: Engine) -> FleetView {
        let spec = FleetSpec::new("c", nodes, 23790, 7, false).run_by(engine, None);
        let mut view = crate::fleet::Fleet::default().view(&spec, std::time::Duration::ZERO);
        view.capabilities = capabilities(&spec);
        let role = |number| if number == 1 { Role::Leader } else { Role::Follower };
        let node = |number| node_view(&format!("n{number}"), NodeState::Running, role(number));
        view.nodes = (1..=nodes).map(node).collect();
        (view.voters, view.serving, view.health) = (nodes, nodes, Health::Healthy);
        view
    }

    fn why(place: Place) -> String {
        match place {
            Place::Own(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_cluster_that_is_too_small_is_spared_and_one_that_is_large_enough_taken() {
        let bridge = drill("bridge-of-five");
        let small = why(Place::of(&bridge, &cluster(3, Engine::Builtin)));
        assert_eq!(small, "it needs 5 nodes, and cluster c has 3");
        assert_eq!(Place::of(&bridge, &cluster(5, Engine::Builtin)), Place::Here);
        assert_eq!(Place::of(&drill("kill-leader"), &cluster(5, Engine::Etcd)), Place::Here);
    }

    #[test]
    fn a_drill_that_destroys_or_needs_other_flags_never_runs_here() {
        let destroys = Place::of(&drill("quota"), &cluster(3, Engine::Builtin));
        assert_eq!(why(destroys), "it needs nodes with other flags");
        let mut restore = drill("restore");
        restore.requires.capabilities.clear();
        assert!(restore.requires.own_cluster.is_some());
        let place = Place::of(&restore, &cluster(3, Engine::Builtin));
        assert!(why(place).contains("loses all data"));
    }

    #[test]
    fn what_no_cluster_of_the_engine_can_do_is_done_nowhere() {
        for nodes in [1, 3] {
            let place = Place::of(&drill("clock-jump"), &cluster(nodes, Engine::Etcd));
            assert!(matches!(&place, Place::Nowhere(why) if why.contains("clock")), "{place:?}");
        }
    }

    #[test]
    fn a_cluster_that_is_sick_or_disturbed_is_left_alone() {
        let kill = drill("kill-leader");
        let mut down = cluster(3, Engine::Builtin);
        down.nodes[1].state = NodeState::Exited;
        (down.serving, down.health) = (2, Health::AtRisk);
        assert!(why(Place::of(&kill, &down)).ends_with("n2 is exited"));
        let mut mute = cluster(3, Engine::Builtin);
        (mute.serving, mute.health) = (2, Health::AtRisk);
        assert!(why(Place::of(&kill, &mute)).contains("2 of 3 voters serve"));
        assert_eq!(unwell(&mute), None, "a moment of that is no reason not to do what was said");
        let mut changing = cluster(3, Engine::Builtin);
        changing.operation = Some("replacing n2: adds the member".into());
        let place = why(Place::of(&kill, &changing));
        assert_eq!(place, "a membership change is under way, replacing n2");
        let mut slow = cluster(3, Engine::Builtin);
        slow.nodes[2].faults = vec![NodeFault::Slow { percent: 50 }];
        slow.links = vec![LinkView {
            from: "n1".into(),
            to: "n2".into(),
            fault: LinkFault::Freeze,
            bytes_per_second: 0,
            connections: 0,
        }];
        let place = why(Place::of(&kill, &slow));
        assert_eq!(place, "in cluster c n3 has the fault slow 50, and 1 more");
        slow.nodes[2].faults.clear();
        assert!(why(Place::of(&kill, &slow)).ends_with("n1>n2 is frozen"));
    }
}
