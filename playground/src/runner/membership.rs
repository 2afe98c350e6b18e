//! Driving a membership change: each [`Step`] is done here, or asked of the cluster.

use std::cmp::Reverse;

use super::{ActiveProcedure, Answered, Due, Input, Supervisor, requests::refuse};
use crate::{
    faults::at_rest,
    fleet::{Identity, Order},
    members::{Answer, Next, Procedure, Step},
    ports,
    protocol::{Refusal, Reply},
    remote::{self, Ask},
    selector::{Eligible, Selector},
    spec::{FleetSpec, NODES_MAX, NodeSpec},
    view::NodeState,
};

impl Supervisor {
    pub(super) async fn replace(&mut self, selector: &str, answered: Answered) {
        let planned = (|| {
            let selector: Selector = selector.parse().map_err(Refusal::from)?;
            let view = self.view();
            let mut nodes = selector.resolve(&view, Eligible::Any).map_err(Refusal::from)?;
            // The dead first: each one replaced makes the next replacement safer.
            nodes.sort_by_key(|name| view.node(name).is_some_and(|node| node.state.is_live()));
            nodes.reverse();
            let first = nodes.pop().ok_or_else(|| refuse("no node is selected"))?;
            for node in nodes.iter().chain([&first]) {
                self.refuse_too_old(self.spec.node(node))?;
            }
            let procedure = Procedure::replace(&view, &first).map_err(refuse)?;
            Ok((procedure, nodes))
        })();
        match planned {
            Ok((procedure, queue)) => self.begin(procedure, queue, answered).await,
            Err(refusal) => drop(answered.send(Err(refusal))),
        }
    }

    pub(super) async fn grow(&mut self, nodes: Option<usize>, answered: Answered) {
        let planned = (|| {
            let present = self.spec.nodes.len();
            let total = nodes.unwrap_or(present + 1 + present % 2);
            FleetSpec::check_count(total).map_err(Refusal::from)?;
            if total <= present {
                return Err(refuse(format!(
                    "the cluster has {present} nodes already: --nodes is how many it shall have, \
                     {} to {NODES_MAX}",
                    present + 1
                )));
            }
            let mut planned = self.spec.clone();
            let mut names = Vec::new();
            for _ in present..total {
                let node = planned.plan_joining().map_err(Refusal::from)?;
                self.refuse_too_old(Some(&node))?;
                names.push(node.name.clone());
                planned.enroll(node);
            }
            Procedure::grow(&self.view(), &names).map_err(refuse)
        })();
        match planned {
            Ok(procedure) => self.begin(procedure, Vec::new(), answered).await,
            Err(refusal) => drop(answered.send(Err(refusal))),
        }
    }

    pub(super) async fn shrink(&mut self, nodes: Option<usize>, answered: Answered) {
        let planned = (|| {
            let present = self.spec.nodes.len();
            let total = nodes.unwrap_or(present.saturating_sub(1 + present % 2));
            if total >= present || total == 0 {
                return Err(refuse(format!(
                    "the cluster has {present} nodes: --nodes is how many it shall keep, 1 to {}",
                    present.saturating_sub(1).max(1)
                )));
            }
            Procedure::shrink(&self.view(), total).map_err(refuse)
        })();
        match planned {
            Ok(procedure) => self.begin(procedure, Vec::new(), answered).await,
            Err(refusal) => drop(answered.send(Err(refusal))),
        }
    }

    fn refuse_too_old(&self, node: Option<&NodeSpec>) -> Result<(), Refusal> {
        let why = node.and_then(|node| self.spec.too_old_to_join(node));
        why.map_or(Ok(()), |why| Err(refuse(why)))
    }

    async fn begin(&mut self, mut procedure: Procedure, queue: Vec<String>, answered: Answered) {
        if let Some(active) = &self.active {
            let text = format!("one change at a time: wait until {}", active.procedure.title());
            return drop(answered.send(Err(refuse(text))));
        }
        let next = procedure.resume(self.now());
        self.procedures += 1;
        self.active = Some(ActiveProcedure {
            number: self.procedures,
            procedure,
            queue,
            said: Vec::new(),
            answered: Some(answered),
        });
        self.advance(next).await;
    }

    /// The time to try again has come, or a local step may have got further.
    pub(super) async fn resume_procedure(&mut self, number: u64) {
        let now = self.now();
        let Some(active) = self.active.as_mut().filter(|active| active.number == number) else {
            return;
        };
        let next = active.procedure.resume(now);
        self.advance(next).await;
    }

    pub(super) async fn on_answer(&mut self, number: u64, answer: Answer) {
        let now = self.now();
        let Some(active) = self.active.as_mut().filter(|active| active.number == number) else {
            return;
        };
        let next = active.procedure.answer(answer, now);
        self.advance(next).await;
    }

    /// Ends a membership change that can go no further because the cluster goes down.
    pub(super) async fn abandon_procedure(&mut self, why: &str) {
        if self.active.is_some() {
            self.advance(Next::Finished(Err(format!("given up: {why}")))).await;
        }
    }

    async fn advance(&mut self, mut next: Next) {
        loop {
            let Some(number) = self.active.as_ref().map(|active| active.number) else { return };
            match next {
                Next::Wait { until, note } => {
                    if let Some(note) = note {
                        self.journal.note(None, note);
                    }
                    return self.due.push(Reverse((until, Due::Procedure(number))));
                }
                Next::Do(step) => {
                    let Some(answer) = self.perform(number, step).await else { return };
                    let now = self.now();
                    let Some(active) = self.active.as_mut() else { return };
                    next = active.procedure.answer(answer, now);
                }
                Next::Finished(result) => match self.finish(result) {
                    Some(following) => next = following,
                    None => return,
                },
            }
        }
    }

    /// Ends the present procedure; the first step of the following one, if nodes are queued.
    fn finish(&mut self, result: Result<String, String>) -> Option<Next> {
        let mut active = self.active.take()?;
        let text = match &result {
            Ok(text) | Err(text) => text.clone(),
        };
        self.journal.note(None, text.clone());
        active.said.push(text);
        if result.is_ok()
            && let Some(node) = active.queue.pop()
        {
            match Procedure::replace(&self.view(), &node) {
                Ok(mut procedure) => {
                    let next = procedure.resume(self.now());
                    self.procedures += 1;
                    self.active =
                        Some(ActiveProcedure { number: self.procedures, procedure, ..active });
                    return Some(next);
                }
                Err(why) => active.said.push(why.clone()),
            }
            active.queue.push(node);
        }
        let answer = match result {
            Ok(_) if active.queue.is_empty() => Ok(Reply::Done(active.said)),
            _ => Err(refuse(active.said.join("; "))),
        };
        if let Some(answered) = active.answered.take() {
            // The client may have gone; the change is made all the same.
            let _ = answered.send(answer);
        }
        None
    }

    /// Does a step. `None` when its answer comes later, by message.
    async fn perform(&mut self, number: u64, step: Step) -> Option<Answer> {
        tracing::debug!(?step, "membership change");
        match step {
            Step::Stop { node } => Some(self.stop_step(&node).await),
            Step::Renew { node } => Some(self.renew(&node)),
            Step::Start { node } => Some(self.start_step(&node).await),
            Step::Forget { node } => Some(self.forget(&node)),
            Step::Promote { ref node } | Step::Serve { ref node } if self.has_ended(node) => {
                let (state, why) = self.fleet.state(node)?;
                Some(Answer::Failed(format!("{node} {}: {}", state.word(), why.unwrap_or("?"))))
            }
            Step::Serve { node } => Some(match self.fleet.serves_as_voter(&node) {
                true => Answer::Done,
                false => Answer::Unreachable(format!("{node} does not serve yet")),
            }),
            Step::MoveAway { node } => {
                self.ask(number, &node, |peer_url| Ask::MoveAway { peer_url })
            }
            Step::Remove { node } => self.ask(number, &node, |peer_url| Ask::Remove { peer_url }),
            Step::Add { node } => self.ask(number, &node, |peer_url| Ask::Add { peer_url }),
            Step::Promote { node } => self.ask(number, &node, |peer_url| Ask::Promote { peer_url }),
            Step::Verify => {
                let running =
                    self.fleet.names().into_iter().filter(|name| {
                        matches!(self.fleet.state(name), Some((NodeState::Running, _)))
                    });
                let clients = running
                    .filter_map(|name| Some((name.clone(), self.channels.get(&name)?.clone())))
                    .collect();
                self.ask_leader(number, Ask::Verify { clients })
            }
        }
    }

    fn has_ended(&self, node: &str) -> bool {
        !self.fleet.is_live(node)
    }

    fn ask(&self, number: u64, node: &str, ask: impl FnOnce(String) -> Ask) -> Option<Answer> {
        match self.plan_of(node) {
            Ok(spec) => self.ask_leader(number, ask(spec.peer_url())),
            Err(why) => Some(Answer::Failed(why)),
        }
    }

    fn ask_leader(&self, number: u64, ask: Ask) -> Option<Answer> {
        let leader = self.fleet.leader_name().and_then(|name| self.channels.get(&name));
        let Some(leader) = leader.cloned() else {
            return Some(Answer::Unreachable("there is no leader now".to_owned()));
        };
        let inbox = self.inbox.clone();
        tokio::spawn(async move {
            let answer = remote::ask(leader, ask).await;
            // The supervisor may have ended.
            let _ = inbox.send(Input::Stepped(number, answer)).await;
        });
        None
    }

    /// The node as planned, or as it would be planned now.
    fn plan_of(&self, node: &str) -> Result<NodeSpec, String> {
        if let Some(spec) = self.spec.node(node) {
            return Ok(spec.clone());
        }
        let spec = self.spec.plan_joining().map_err(|error| error.to_string())?;
        for port in spec.ports() {
            if let Some(why) = ports::busy(port) {
                return Err(why);
            }
        }
        if spec.name == node { Ok(spec) } else { Err(format!("there is no node {node}")) }
    }

    /// Waits for the end by being asked again: `Unreachable` is what is waited out.
    async fn stop_step(&mut self, node: &str) -> Answer {
        if self.has_ended(node) {
            return Answer::Done;
        }
        if !self.fleet.has_turn(node) {
            match self.fleet.order(Order::Stop, &[node.to_owned()], self.now()) {
                Ok(effects) => self.execute(effects).await,
                Err(why) => return Answer::Failed(why),
            }
        }
        Answer::Unreachable(format!("{node} is still stopping"))
    }

    fn renew(&mut self, node: &str) -> Answer {
        let renewed = (|| {
            let spec = self.plan_of(node)?;
            let text = |error: crate::PlaygroundError| error.to_string();
            self.dirs.create_node(node).map_err(text)?;
            self.dirs.trash_data(node).map_err(text)?;
            at_rest::flip_back(&self.dirs.bit_flip(node)).map_err(text)?;
            if self.spec.node(node).is_none() {
                self.spec.enroll(spec.clone());
                self.fleet.enroll(Identity {
                    name: node.to_owned(),
                    client_url: spec.client_url(),
                    peer_url: spec.peer_url(),
                    log_path: self.dirs.log(node).display().to_string(),
                    member_id: None,
                });
            }
            self.spec.rejoin(node);
            self.fleet.forget_member_id(node);
            self.spec.save(&self.dirs.spec()).map_err(text)
        })();
        renewed.map_or_else(Answer::Failed, |()| Answer::Done)
    }

    async fn start_step(&mut self, node: &str) -> Answer {
        match self.fleet.order(Order::Start, &[node.to_owned()], self.now()) {
            Ok(effects) => self.execute(effects).await,
            Err(why) => return Answer::Failed(why),
        }
        Answer::Done
    }

    fn forget(&mut self, node: &str) -> Answer {
        if self.fleet.is_listed(node) {
            return Answer::Unreachable(format!("the others still list {node}"));
        }
        if !self.fleet.forget(node) {
            return Answer::Failed(format!("{node} still runs"));
        }
        self.close_proxy(node);
        self.spec.nodes.retain(|spec| spec.name != node);
        let kept = self.dirs.trash_data(node).and_then(|_| self.spec.save(&self.dirs.spec()));
        self.journal.note(Some(node.to_owned()), "left the cluster".to_owned());
        self.save_state();
        kept.map_or_else(|error| Answer::Failed(error.to_string()), |()| Answer::Done)
    }
}
