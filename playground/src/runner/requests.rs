//! Requests of clients: what they become, and when they are answered.
//!
//! A request that changes nodes is answered when the nodes have got there, not when the order
//! was given: `etcd-tui start n2` that returns means that n2 serves. Until then it is a
//! [`Pending`], looked at after every input.

use std::{cmp::Reverse, time::Duration};

use super::{Answered, Due, Supervisor};
use crate::{
    classify,
    faults::at_rest,
    fleet::Order,
    logs,
    protocol::{Refusal, Reply, Request, Verb},
    selector::{Eligible, Selector},
    view::{FleetView, NodeState, Role, quorum},
};

/// How long a started node may take to serve before the request says so.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// What a request waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Goal {
    /// The nodes have no process.
    Down,
    /// The nodes serve.
    Ready,
    /// The nodes have been restarted, and serve.
    Restarted,
    /// The whole cluster is down.
    Closed,
}

/// A request that is not answered yet.
pub(super) struct Pending {
    goal: Goal,
    nodes: Vec<String>,
    done: Vec<String>,
    deadline: Duration,
    answered: Option<Answered>,
}

impl Supervisor {
    pub(super) async fn on_request(&mut self, request: Request, answered: Answered) {
        let answer = match request {
            Request::View => Ok(Reply::View(Box::new(self.view()))),
            // Connections answer this themselves.
            Request::Subscribe { .. } => Ok(Reply::Done(Vec::new())),
            Request::Act { verb, selector } => match self.act(verb, &selector).await {
                Ok((done, None)) => Ok(Reply::Done(done)),
                Ok((done, Some((goal, nodes)))) => {
                    return self.wait_for(goal, nodes, done, answered);
                }
                Err(refusal) => Err(refusal),
            },
            Request::Fault { selector, fault } => {
                return self.fault(&selector, fault, answered).await;
            }
            Request::Replace { selector } => return self.replace(&selector, answered).await,
            Request::Grow { nodes } => return self.grow(nodes, answered).await,
            Request::Shrink { nodes } => return self.shrink(nodes, answered).await,
            Request::Link { from, to, fault } => self.link(&from, &to, fault),
            Request::Heal => Ok(self.heal_links()),
            Request::Backup => return self.backup(answered),
            Request::Restore { file, bump_revision } => {
                return self.restore(file, bump_revision, answered);
            }
            Request::Bootstrap { selector, state, token } => {
                self.bootstrap(&selector, state, &token).await
            }
            Request::Down { now } => {
                let done = vec![format!("cluster {} is down", self.spec.name)];
                self.wait_for(Goal::Closed, Vec::new(), done, answered);
                return self.close(now).await;
            }
        };
        // The client may have gone.
        let _ = answered.send(answer);
    }

    pub(super) fn view(&self) -> FleetView {
        let mut view = self.fleet.view(&self.spec, self.now());
        view.event_seq = self.journal.seq();
        for node in &mut view.nodes {
            node.faults = self.faults_of(&node.name);
        }
        self.show_links(&mut view);
        view.operation = self.active.as_ref().map(|active| active.procedure.title());
        view
    }

    async fn act(
        &mut self,
        verb: Verb,
        selector: &str,
    ) -> Result<(Vec<String>, Option<(Goal, Vec<String>)>), Refusal> {
        let (order, eligible) = match verb {
            Verb::Kill => (Order::Kill, Eligible::Live),
            Verb::Stop => (Order::Stop, Eligible::Live),
            Verb::Start => (Order::Start, Eligible::Dead),
            Verb::Restart => (Order::Restart, Eligible::Any),
            Verb::Pause => (Order::Pause, Eligible::Live),
            Verb::Resume => (Order::Resume, Eligible::Paused),
            Verb::Wipe => return self.wipe(selector).map(|done| (done, None)),
        };
        let selector: Selector = selector.parse().map_err(Refusal::from)?;
        let view = self.view();
        if selector == Selector::All && order == Order::Start && view.all_running() {
            return Ok((vec!["every node runs already".to_owned()], None));
        }
        let nodes = selector.resolve(&view, eligible).map_err(Refusal::from)?;
        self.refuse_during_change(&nodes)?;
        let effects = self.fleet.order(order, &nodes, self.now()).map_err(refuse)?;
        self.execute(effects).await;
        let was = |name: &String| {
            view.node(name).map_or("", |node| match node.role {
                Role::Leader => " (it was the leader)",
                _ => "",
            })
        };
        let sentence = |name: &String| match verb {
            Verb::Kill => format!("{name} is killed{}", was(name)),
            Verb::Stop => format!("{name} is stopped{}", was(name)),
            Verb::Start => format!("{name} is ready"),
            Verb::Restart => format!("{name} is ready again"),
            Verb::Pause => format!("{name} is paused{}", was(name)),
            Verb::Resume => format!("{name} is resumed"),
            Verb::Wipe => format!("{name} is wiped"),
        };
        let done = nodes.iter().map(sentence).collect();
        let goal = match verb {
            Verb::Kill | Verb::Stop => Some((Goal::Down, nodes)),
            Verb::Start => Some((Goal::Ready, nodes)),
            Verb::Restart => Some((Goal::Restarted, nodes)),
            Verb::Pause | Verb::Resume | Verb::Wipe => None,
        };
        Ok((done, goal))
    }

    fn wipe(&mut self, selector: &str) -> Result<Vec<String>, Refusal> {
        let selector: Selector = selector.parse().map_err(Refusal::from)?;
        let nodes = selector.resolve(&self.view(), Eligible::Any).map_err(Refusal::from)?;
        self.refuse_during_change(&nodes)?;
        if let Some(live) = nodes.iter().find(|name| self.fleet.is_live(name)) {
            return Err(refuse(format!("{live} runs: `etcd-tui stop {live}` first, then wipe it")));
        }
        let mut done = Vec::new();
        for node in &nodes {
            done.push(match self.dirs.trash_data(node).map_err(Refusal::from)? {
                Some(trash) => format!("{node} is wiped; its data is in {}", trash.display()),
                None => format!("{node} had no data"),
            });
            at_rest::flip_back(&self.dirs.bit_flip(node)).map_err(Refusal::from)?;
            self.journal.note(Some(node.clone()), "wiped".to_owned());
        }
        Ok(done)
    }

    /// A membership change and an order about the same node would work against each other.
    pub(super) fn refuse_during_change(&self, nodes: &[String]) -> Result<(), Refusal> {
        match &self.active {
            Some(active) if nodes.iter().any(|node| active.procedure.concerns(node)) => {
                Err(refuse(format!("wait until this is over: {}", active.procedure.title())))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn wait_for(
        &mut self,
        goal: Goal,
        nodes: Vec<String>,
        done: Vec<String>,
        answered: Answered,
    ) {
        let patience = READY_PATIENCE * u32::try_from(nodes.len().max(1)).unwrap_or(1);
        let deadline = self.now() + patience;
        self.due.push(Reverse((deadline, Due::Pending)));
        self.pending.push(Pending { goal, nodes, done, deadline, answered: Some(answered) });
        self.settle_pending();
    }

    /// Answers every request that has got what it waits for, or never will.
    pub(super) fn settle_pending(&mut self) {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain_mut(|request| match self.settle(request) {
            None => true,
            Some(result) => {
                if let Some(answered) = request.answered.take() {
                    // The client may have gone.
                    let _ = answered.send(result.map(Reply::Done).map_err(refuse));
                }
                false
            }
        });
        self.pending = pending;
    }

    fn settle(&self, request: &Pending) -> Option<Result<Vec<String>, String>> {
        let nodes = || request.nodes.iter();
        let done = match request.goal {
            Goal::Closed => self.fleet.is_closed(),
            Goal::Down => nodes().all(|node| !self.fleet.is_live(node)),
            Goal::Restarted if nodes().any(|node| self.fleet.has_turn(node)) => false,
            Goal::Ready | Goal::Restarted => {
                let failed: Vec<String> = nodes().filter_map(|node| self.failed(node)).collect();
                if !failed.is_empty() {
                    return Some(Err(failed.join("; ")));
                }
                if let Some(quorum) = self.missing_quorum() {
                    let waits = |node: &String| {
                        format!("{node} is started and will serve once {quorum} nodes run")
                    };
                    return Some(Ok(nodes().map(waits).collect()));
                }
                nodes().all(|node| self.is_running(node))
            }
        };
        if done {
            return Some(Ok(request.done.clone()));
        }
        // A cluster that goes down is waited for as long as it takes.
        if request.goal == Goal::Closed || self.now() < request.deadline {
            return None;
        }
        let late: Vec<String> = nodes()
            .filter(|node| !self.is_running(node))
            .map(|node| self.not_ready(node))
            .collect();
        Some(Err(late.join("; ")))
    }

    /// How many nodes would have to run, if too few do: then none can become ready.
    fn missing_quorum(&self) -> Option<usize> {
        let names = self.fleet.names();
        let awake = |name: &&String| {
            matches!(self.fleet.state(name), Some((NodeState::Starting | NodeState::Running, _)))
        };
        let quorum = quorum(names.len());
        (names.iter().filter(awake).count() < quorum).then_some(quorum)
    }

    pub(super) fn is_running(&self, node: &str) -> bool {
        matches!(self.fleet.state(node), Some((NodeState::Running, _)))
    }

    /// Why a node that should become ready never will.
    fn failed(&self, node: &str) -> Option<String> {
        let (state, why) = self.fleet.state(node)?;
        let why = why.unwrap_or("it was ordered to");
        (!state.is_live()).then(|| format!("{node} is not ready, it {}: {why}", state.word()))
    }

    fn not_ready(&self, node: &str) -> String {
        let tail = logs::tail(&self.dirs.log(node), 0, 20).unwrap_or_default();
        let last = classify::last_words(&tail).unwrap_or_else(|| "its log is empty".to_owned());
        let (_, serving) = self.fleet.voters();
        format!("{node} does not serve yet ({serving} nodes do); it last said: {last}")
    }
}

pub(super) fn refuse(text: impl Into<String>) -> Refusal {
    Refusal { usage: false, text: text.into() }
}
