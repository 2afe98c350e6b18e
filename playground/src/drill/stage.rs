//! What a drill acts on and looks at: the cluster, its members' API, and what was true when it
//! began. Everything steps share is here, behind one lock that is never held across a wait.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use super::format::Drill;
use crate::applications::Application;
use crate::selector::{Eligible, Selector};
use crate::view::{FleetView, NodeState, NodeView, Role};
use crate::workload::Target;
use crate::{Client, PlaygroundError, logs};

/// What was true when the drill began.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    pub leader: Option<String>,
    pub term: u64,
    pub nodes: usize,
    pub members: Vec<String>,
    pub cluster_id: Option<String>,
    pub member_ids: BTreeMap<String, String>,
    /// Where each node's log ended.
    pub log_ends: BTreeMap<String, u64>,
}

/// The cluster as a drill sees it.
pub struct Stage {
    pub client: Client,
    pub drill: Drill,
    pub beginning: Beginning,
    /// Names that steps gave, and their nodes.
    pub aliases: Mutex<BTreeMap<String, Vec<String>>>,
    /// The highest revision that a step was told.
    pub revision: Mutex<i64>,
    /// What uses the cluster beside the load.
    pub uses: OnceLock<Application>,
    targets: Mutex<BTreeMap<String, Target>>,
    random: Mutex<StdRng>,
}

impl Stage {
    /// Looks at a cluster that is ready.
    pub fn new(client: Client, drill: Drill, view: &FleetView, seed: u64) -> Self {
        let size = |node: &NodeView| (node.name.clone(), logs::size(Path::new(&node.log_path)));
        let id = |node: &NodeView| Some((node.name.clone(), node.member_id.clone()?));
        let beginning = Beginning {
            leader: leader(view).map(|node| node.name.clone()),
            term: term(view),
            nodes: view.nodes.len(),
            members: members(view),
            cluster_id: leader(view).and_then(|node| node.cluster_id.clone()),
            member_ids: view.nodes.iter().filter_map(id).collect(),
            log_ends: view.nodes.iter().map(size).collect(),
        };
        Self {
            client,
            drill,
            beginning,
            aliases: Mutex::default(),
            revision: Mutex::default(),
            uses: OnceLock::new(),
            targets: Mutex::default(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
        }
    }

    /// The member's API; connections are kept.
    pub fn target(&self, node: &NodeView) -> Result<Target, String> {
        if let Some(target) = self.targets.lock().get(&node.name) {
            return Ok(target.clone());
        }
        let target = Target::new(&node.name, &node.client_url).map_err(|it| it.to_string())?;
        self.targets.lock().insert(node.name.clone(), target.clone());
        Ok(target)
    }

    /// Remembers what a write was answered with.
    pub fn note_revision(&self, revision: i64) {
        let mut known = self.revision.lock();
        *known = revision.max(*known);
    }

    /// The application that runs.
    pub fn application(&self) -> Result<&Application, String> {
        self.uses.get().ok_or_else(|| "no application runs".into())
    }

    /// The cluster as the supervisor sees it now.
    pub async fn view(&self) -> Result<FleetView, String> {
        self.client.view().await.map_err(|error| error.to_string())
    }

    /// `{victim}` replaced by its nodes.
    pub fn substitute(&self, text: &str) -> String {
        self.aliases.lock().iter().fold(text.to_string(), |text, (name, nodes)| {
            text.replace(&format!("{{{name}}}"), &nodes.join(","))
        })
    }

    /// The nodes that are meant now.
    pub fn names(
        &self,
        text: &str,
        view: &FleetView,
        eligible: Eligible,
    ) -> Result<Vec<String>, String> {
        let text = self.substitute(text);
        let said = |error: PlaygroundError| error.to_string();
        if text == "random" {
            let running = |node: &&NodeView| node.state == NodeState::Running;
            let nodes: Vec<&NodeView> = view.nodes.iter().filter(running).collect();
            if nodes.is_empty() {
                return Err("no node runs that could be chosen".into());
            }
            let at = self.random.lock().random_range(0..nodes.len());
            return Ok(vec![nodes[at].name.clone()]);
        }
        if let Some(clients) = text.strip_prefix("client:") {
            let members = self.application()?.members(clients)?;
            let none = || format!("no client {clients} stays at a member of its own");
            return (!members.is_empty()).then_some(members).ok_or_else(none);
        }
        if let Some(list) = text.strip_prefix("not ") {
            let without = list.parse::<Selector>().map_err(said)?;
            let without = without.resolve(view, Eligible::Any).map_err(said)?;
            let all = view.nodes.iter().map(|node| node.name.clone());
            return Ok(all.filter(|name| !without.contains(name)).collect());
        }
        let selector: Selector = text.parse().map_err(said)?;
        selector.resolve(view, eligible).map_err(said)
    }

    /// Lines that nodes have logged since the drill began and that have this text.
    pub fn logged(&self, node: &NodeView, text: &str) -> Option<String> {
        let since = self.beginning.log_ends.get(&node.name).copied().unwrap_or(0);
        let lines = logs::tail(Path::new(&node.log_path), since, usize::MAX).ok()?;
        lines.into_iter().find(|line| line.contains(text))
    }
}

/// Who leads, by the highest term: a leader that is cut off may still believe it does.
pub fn leader(view: &FleetView) -> Option<&NodeView> {
    let leads = |node: &&NodeView| node.role == Role::Leader && node.state == NodeState::Running;
    view.nodes.iter().filter(leads).max_by_key(|node| node.term)
}

/// The highest term anybody knows.
pub fn term(view: &FleetView) -> u64 {
    view.nodes.iter().filter_map(|node| node.term).max().unwrap_or(0)
}

/// Members in words, for before and after.
pub fn members(view: &FleetView) -> Vec<String> {
    let line = |node: &NodeView| {
        let id = node.member_id.as_deref().unwrap_or("-");
        format!("{} {} {} {id}", node.name, node.state.word(), node.role.word())
    };
    view.nodes.iter().map(line).collect()
}
