//! What the fleet concludes from reports: leader, roles, health.
//!
//! Reports are opinions, and the nodes may disagree for a while after a failure. The opinion
//! of the highest term counts; a leader counts only while its own process answers.
//!
//! A voter serves if it answers, names a leader, and is in touch: a member that hears a leader which
//! does not hear it names one, and can do nothing. While no leader is known that says nothing,
//! because reads wait for the next one.

use std::time::Duration;

use super::{Fleet, FleetEffect, Node, note};
use crate::{
    engine,
    probe::Report,
    spec::FleetSpec,
    view::{FleetView, Health, NodeState, NodeView, Role},
};

impl Fleet {
    /// The name of the node that leads: the one that the highest term names as its leader, if
    /// its process answers. It may not have told so itself yet, but must not deny it.
    pub fn leader_name(&self) -> Option<String> {
        self.leader().map(|(_, name)| name)
    }

    /// The present term and its leader.
    fn leader(&self) -> Option<(u64, String)> {
        let term = self.fresh().map(|(_, report)| report.term).max()?;
        let named = |report: &Report| report.term == term && report.leader != 0;
        let leader = self.fresh().map(|(_, it)| it).find(|it| named(it))?.leader;
        let denies = |report: &Report| report.term == term && report.leader != leader;
        self.fresh()
            .find(|(_, report)| report.member_id == leader && !denies(report))
            .map(|(name, _)| (term, name.clone()))
    }

    /// The most recent opinion about the members: the leader's, or that of the highest term.
    pub fn latest_report(&self) -> Option<&Report> {
        self.fresh()
            .map(|(_, report)| report)
            .max_by_key(|report| (report.term, report.leader == report.member_id, report.applied))
    }

    /// How many members vote, and how many of those serve under a leader.
    pub fn voters(&self) -> (usize, usize) {
        let led = self.leader().is_some();
        let serving = self.nodes.values().filter(|node| node.is_fresh());
        let serving = serving.filter(|node| !(led && node.is_cut_off()));
        let serving: Vec<&Report> = serving
            .filter_map(|node| node.report.as_ref())
            .filter(|report| report.leader != 0)
            .collect();
        match self.latest_report().filter(|report| !report.members.is_empty()) {
            Some(latest) => {
                let voters = || latest.members.iter().filter(|member| !member.learner);
                let serves = |id: u64| serving.iter().any(|report| report.member_id == id);
                (voters().count(), voters().filter(|member| serves(member.id)).count())
            }
            None => (self.nodes.len(), serving.len()),
        }
    }

    /// Whether the node serves, and is known to the cluster as a voter.
    pub fn serves_as_voter(&self, name: &str) -> bool {
        let Some(node) = self.nodes.get(name) else { return false };
        let listed = |id| {
            let members = self.latest_report().map(|report| report.members.iter());
            members.is_some_and(|mut it| it.any(|member| member.id == id && !member.learner))
        };
        node.state == NodeState::Running && node.is_fresh() && node.member_id.is_some_and(listed)
    }

    /// Whether the cluster, as far as is known, lists the node as a member.
    pub fn is_listed(&self, name: &str) -> bool {
        let id = self.member_id(name);
        let members = self.latest_report().map(|report| report.members.iter());
        members.is_some_and(|mut it| it.any(|member| Some(member.id) == id))
    }

    /// The member id last reported by a node, which outlives its process.
    pub fn member_id(&self, name: &str) -> Option<u64> {
        self.nodes.get(name).and_then(|node| node.member_id)
    }

    /// Forgets the identity of a node whose data is gone.
    pub fn forget_member_id(&mut self, name: &str) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.member_id = None;
            node.why = None;
            node.state = NodeState::Stopped;
        }
    }

    /// A copy of everything worth showing.
    pub fn view(&self, spec: &FleetSpec, now: Duration) -> FleetView {
        let (voters, serving) = self.voters();
        FleetView {
            cluster: spec.name.clone(),
            engine: spec.engine.word().to_owned(),
            health: Health::of(serving, voters),
            voters,
            serving,
            operation: None,
            ephemeral: spec.ephemeral,
            event_seq: 0,
            nodes: self
                .nodes
                .iter()
                .map(|(name, node)| NodeView {
                    token: spec.node(name).and_then(|node| node.token.clone()),
                    ..self.node_view(name, node, now)
                })
                .collect(),
            capabilities: engine::capabilities(spec),
            links: Vec::new(),
        }
    }

    fn node_view(&self, name: &str, node: &Node, now: Duration) -> NodeView {
        let report = node.report.as_ref().filter(|_| node.is_fresh());
        NodeView {
            name: name.to_owned(),
            state: node.state,
            pid: node.pid,
            client_url: node.client_url.clone(),
            peer_url: node.peer_url.clone(),
            member_id: node.member_id.map(|id| format!("{id:x}")),
            role: report.map_or(Role::Unknown, |report| self.role(name, report)),
            term: report.map(|report| report.term),
            applied_index: report.map(|report| report.applied),
            commit_index: report.map(|report| report.commit),
            db_size: report.map(|report| report.db_size),
            db_size_in_use: report.map(|report| report.db_size_in_use),
            why: node.why.clone(),
            uptime_seconds: node.pid.map(|_| now.saturating_sub(node.since).as_secs()),
            restarts: u32::try_from(node.epoch.saturating_sub(1)).unwrap_or(u32::MAX),
            log_path: node.log_path.clone(),
            version: report.map(|report| report.version.clone()),
            faults: Vec::new(),
            cut_off: node.is_cut_off() && self.leader().is_some(),
            cluster_id: report.map(|report| format!("{:x}", report.cluster_id)),
            token: None,
        }
    }

    fn role(&self, name: &str, report: &Report) -> Role {
        if report.learner {
            Role::Learner
        } else if self.leader_name().as_deref() == Some(name) {
            Role::Leader
        } else if report.leader == 0 || report.leader == report.member_id {
            // No leader, or a leader that a higher term has already replaced.
            Role::Unknown
        } else {
            Role::Follower
        }
    }

    /// Says when the leader changes. Losing it is said once, not for every node that notices.
    pub(super) fn note_leader(&mut self, effects: &mut Vec<FleetEffect>) {
        let leader = self.leader();
        if leader == self.last_leader {
            return;
        }
        match (&leader, &self.last_leader) {
            (Some((term, name)), _) => {
                effects.push(note(name, format!("is leader in term {term}")));
            }
            (None, Some((term, name))) if !self.closing => {
                effects.push(note(name, format!("no longer leads (term {term})")));
            }
            _ => {}
        }
        self.last_leader = leader;
    }

    fn fresh(&self) -> impl Iterator<Item = (&String, &Report)> {
        self.nodes
            .iter()
            .filter(|(_, node)| node.is_fresh())
            .filter_map(|(name, node)| node.report.as_ref().map(|report| (name, report)))
    }
}
