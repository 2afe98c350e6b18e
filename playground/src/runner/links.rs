//! Links in the hands of the supervisor: proxies for nodes, faults on request, honest views.
//!
//! Faults belong to the cluster, not to processes: a node that is started again finds its links
//! as they were. They end with the supervisor.

use std::time::Duration;

use super::{Supervisor, requests::refuse};
use crate::{
    engine::Capability,
    links::{Cut, LinkFault, Plane, resolve},
    protocol::{Refusal, Reply},
    view::{FleetView, NodeState},
};

/// Members that have served for so long have spoken with each other.
const SPOKEN: Duration = Duration::from_secs(5);

impl Supervisor {
    /// Starts the thread that carries the links. Without it there are nodes, and no faults.
    pub(super) fn start_plane() -> Option<Plane> {
        Plane::start().inspect_err(|error| tracing::warn!(%error, "links cannot be had")).ok()
    }

    /// Opens the proxy of a node. The port, or none if there is no proxy; then the node
    /// reaches its peers straight.
    pub(super) fn open_proxy(&mut self, node: &str) -> Option<u16> {
        let spec = self.spec.node(node)?;
        let (peer_port, proxy_port) = (spec.peer_port, spec.peer_proxy_port());
        match self.plane.as_ref()?.open(node, peer_port, proxy_port) {
            Ok(()) => Some(proxy_port),
            Err(error) => {
                let text = format!("has no faults on its links: port {proxy_port}: {error}");
                self.journal.note(Some(node.to_owned()), text);
                None
            }
        }
    }

    pub(super) fn close_proxy(&self, node: &str) {
        if let Some(plane) = &self.plane {
            plane.close(node);
        }
    }

    pub(super) fn link(
        &mut self,
        from: &str,
        to: &str,
        fault: LinkFault,
    ) -> Result<Reply, Refusal> {
        fault.check().map_err(Refusal::from)?;
        let view = self.view();
        let cut = Cut::OneWay(from.to_owned(), to.to_owned());
        let pairs = resolve(&cut, &view).map_err(Refusal::from)?;
        if let Some(why) = pairs.iter().find_map(|(from, to)| self.pretence(&view, from, to)) {
            return Err(refuse(why));
        }
        let Some(plane) = &self.plane else { return Err(refuse("links cannot be had here")) };
        plane.set(pairs.iter().map(|(from, to)| (&**from, &**to)), fault);
        let texts: Vec<String> =
            pairs.iter().map(|(from, to)| format!("link {from}>{to} {}", fault.state())).collect();
        for text in &texts {
            self.journal.note(None, text.clone());
        }
        Ok(Reply::Done(texts))
    }

    pub(super) fn heal_links(&mut self) -> Reply {
        let healed = self.plane.as_ref().map(Plane::heal).unwrap_or_default();
        if healed.is_empty() {
            return Reply::Done(vec!["every link is ok already".to_owned()]);
        }
        let links: Vec<String> = healed.iter().map(|(from, to)| format!("{from}>{to}")).collect();
        let text = format!("links healed: {}", links.join(", "));
        self.journal.note(None, text.clone());
        Reply::Done(vec![text])
    }

    /// Adds what is known of the links.
    pub(super) fn show_links(&self, view: &mut FleetView) {
        let Some(plane) = &self.plane else { return };
        view.links = plane.views();
        let missing = self.link_capability(view);
        for capability in &mut view.capabilities {
            if let Some(reason) = &missing
                && capability.available
                && is_about_links(capability)
            {
                capability.available = false;
                capability.reason.clone_from(reason);
            }
        }
    }

    fn link_capability(&self, view: &FleetView) -> Option<String> {
        let names = || view.nodes.iter().map(|node| &node.name);
        let mut pairs = names().flat_map(|from| names().map(move |to| (from, to)));
        pairs.find_map(|(from, to)| (from != to).then(|| self.pretence(view, from, to))?)
    }

    /// Why a fault of this link would do nothing, if that is known: what passes between the
    /// nodes does not pass here.
    fn pretence(&self, view: &FleetView, from: &str, to: &str) -> Option<String> {
        let plane = self.plane.as_ref()?;
        let started = |name: &str| view.node(name).is_some_and(|node| node.state.is_live());
        for node in [from, to] {
            if started(node) && plane.proxy_port(node).is_none() {
                let port = self.spec.node(node)?.peer_proxy_port();
                return Some(format!(
                    "{node} runs without a proxy: free port {port} and `etcd-tui restart {node}`"
                ));
            }
        }
        let has_served = |name: &str| {
            let node = view.node(name);
            node.is_some_and(|node| {
                node.state == NodeState::Running
                    && node.uptime_seconds.is_some_and(|it| it >= SPOKEN.as_secs())
            })
        };
        let silent = !plane.has_seen(from, to) && !plane.has_faults();
        (silent && has_served(from) && has_served(to)).then(|| {
            format!(
                "links have no faults here: {from} and {to} serve, and nothing from {from} to \
                 {to} has passed their proxies"
            )
        })
    }
}

fn is_about_links(capability: &Capability) -> bool {
    capability.name == "link" || capability.name.starts_with("link.")
}
