//! Replace, grow and shrink as a pure step machine.
//!
//! A [`Procedure`] is a list of [`Step`]s. It hands out one step at a time and is told how it
//! went ([`Answer`]); what the answer means (go on, wait and ask again, give up) is decided
//! here, doing it is the runner's business. Time is an argument.
//!
//! The order is what keeps a cluster alive:
//! - *Replace* removes the dead member before it adds the new one. The other way round, a
//!   cluster of three with one dead would become a cluster of four with one dead and one that
//!   never started, which etcd refuses, rightly.
//! - New members join as learners and are promoted when they have caught up, so a slow or
//!   broken newcomer never counts towards the quorum.
//! - *Shrink* removes the node added last first, and moves leadership away before it.
//!
//! Two refusals are part of normal life and are waited out with a countdown: `unhealthy
//! cluster`, which etcd says until all peers have been connected for 5 s, and `can only promote
//! a learner member which is in sync with leader`.

use std::{collections::VecDeque, time::Duration};

use crate::view::{FleetView, NodeState, Role, quorum};

/// How long refusals for lack of health are waited out.
const HEALTH_PATIENCE: Duration = Duration::from_secs(30);
/// How long a learner may take to catch up.
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(300);
/// How long an election, or a silent node, is waited out.
const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// How long a promoted node may take to serve: an etcd says what its address is every 7 s until
/// the others have heard it, and serves nobody before.
const SERVE_PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(250);

/// One thing to do, about one node.
#[derive(Clone, Debug, Eq, PartialEq)]
#[allow(missing_docs, reason = "all fields are the node's name")]
pub enum Step {
    /// Hand leadership to another voter, if this node leads.
    MoveAway { node: String },
    /// End the process, if there is one.
    Stop { node: String },
    /// Remove the member with this node's peer URL, if it is listed.
    Remove { node: String },
    /// Add the node's peer URL as a learner, unless it is listed already.
    Add { node: String },
    /// Move the data aside and plan the node, new or not, as joining the cluster of now.
    Renew { node: String },
    /// Start the process.
    Start { node: String },
    /// Make the learner a voter, unless it is one.
    Promote { node: String },
    /// Wait until the node serves as a voter.
    Serve { node: String },
    /// Drop the node from the plan, data moved aside.
    Forget { node: String },
    /// Compare the hash of the key space on every member at one revision.
    Verify,
}

/// How a step went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Answer {
    /// Done, or there was nothing to do.
    Done,
    /// etcd said no, in these words.
    Refused(String),
    /// No answer, or no leader to ask.
    Unreachable(String),
    /// It cannot be done, and trying again will not help.
    Failed(String),
}

/// What to do next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// Do this step and answer.
    Do(Step),
    /// Ask again at this time. The text is for the user, when there is something new to say.
    Wait {
        /// When.
        until: Duration,
        /// What is waited for.
        note: Option<String>,
    },
    /// Finished; the sentence says how.
    Finished(Result<String, String>),
}

/// A membership change in progress.
#[derive(Debug)]
pub struct Procedure {
    title: String,
    done: String,
    steps: VecDeque<Step>,
    /// When the present step was first tried.
    since: Option<Duration>,
    noted: Option<u64>,
}

impl Procedure {
    /// Replaces one node: its member is removed, an empty one takes its name and ports.
    pub fn replace(view: &FleetView, node: &str) -> Result<Self, String> {
        let target = view.node(node).ok_or_else(|| format!("there is no node {node}"))?;
        // A node that does not serve is no loss; one that does is killed first.
        let others = view.serving - usize::from(serves(view, node) && target.role != Role::Learner);
        if view.voters <= 1 {
            return Err(format!(
                "{node} holds the only copy of the data: `etcd-tui grow` first, then replace it"
            ));
        }
        if others < quorum(view.voters) {
            let fix = if others + 1 == view.voters { "grow" } else { "start all" };
            return Err(format!(
                "replacing {node} needs {} other voters that serve, and there are {others}: \
                 `etcd-tui {fix}` first",
                quorum(view.voters)
            ));
        }
        let node = || node.to_owned();
        let steps = [
            Step::MoveAway { node: node() },
            Step::Stop { node: node() },
            Step::Remove { node: node() },
            Step::Add { node: node() },
            Step::Renew { node: node() },
            Step::Start { node: node() },
            Step::Promote { node: node() },
            Step::Serve { node: node() },
            Step::Verify,
        ];
        Ok(Self::new(
            format!("replacing {}", node()),
            format!("{} is replaced, every member holds the same data", node()),
            steps,
        ))
    }

    /// Adds `nodes`, which are not in the plan yet, one after the other.
    pub fn grow(view: &FleetView, nodes: &[String]) -> Result<Self, String> {
        if view.serving < quorum(view.voters) {
            return Err(format!(
                "members are added by the cluster itself, and {}: `etcd-tui start all` first",
                view.explain()
            ));
        }
        let mut steps = Vec::new();
        for node in nodes {
            let node = || node.clone();
            steps.extend([
                Step::Add { node: node() },
                Step::Renew { node: node() },
                Step::Start { node: node() },
                Step::Promote { node: node() },
                Step::Serve { node: node() },
            ]);
        }
        steps.push(Step::Verify);
        let total = view.nodes.len() + nodes.len();
        Ok(Self::new(
            format!("growing to {}", count(total)),
            format!("the cluster has {}, every member holds the same data", count(total)),
            steps,
        ))
    }

    /// Removes nodes, the last first, until `total` are left.
    pub fn shrink(view: &FleetView, total: usize) -> Result<Self, String> {
        let leaving: Vec<String> =
            view.nodes.iter().skip(total).rev().map(|node| node.name.clone()).collect();
        let (mut voters, mut serving) = (view.voters, view.serving);
        let mut steps = Vec::new();
        for node in &leaving {
            // Each removal is agreed on by the voters there are before it, and must leave a
            // quorum of those there are after it.
            let remaining = serving - usize::from(serves(view, node));
            if serving < quorum(voters) || remaining < quorum(voters - 1) {
                return Err(format!(
                    "removing {node} would leave {remaining} of {} voters that serve, fewer than \
                     a quorum: `etcd-tui start all` first",
                    voters - 1
                ));
            }
            (voters, serving) = (voters - 1, remaining);
            let node = || node.clone();
            steps.extend([
                Step::MoveAway { node: node() },
                Step::Remove { node: node() },
                Step::Stop { node: node() },
                Step::Forget { node: node() },
            ]);
        }
        steps.push(Step::Verify);
        Ok(Self::new(
            format!("shrinking to {}", count(total)),
            format!("the cluster has {}", count(total)),
            steps,
        ))
    }

    fn new(title: String, done: String, steps: impl IntoIterator<Item = Step>) -> Self {
        let steps = steps.into_iter().collect();
        Self { title, done, steps, since: None, noted: None }
    }

    /// What is going on, for the view.
    pub fn title(&self) -> String {
        match self.steps.front() {
            Some(step) => format!("{}: {}", self.title, describe(step)),
            None => self.title.clone(),
        }
    }

    /// Whether a step still to do is about this node.
    pub fn concerns(&self, name: &str) -> bool {
        self.steps.iter().any(|step| match step {
            Step::MoveAway { node }
            | Step::Stop { node }
            | Step::Remove { node }
            | Step::Add { node }
            | Step::Renew { node }
            | Step::Start { node }
            | Step::Promote { node }
            | Step::Serve { node }
            | Step::Forget { node } => node == name,
            Step::Verify => false,
        })
    }

    /// The first step, or the next attempt after a wait.
    pub fn resume(&mut self, now: Duration) -> Next {
        match self.steps.front() {
            Some(step) => {
                self.since.get_or_insert(now);
                Next::Do(step.clone())
            }
            None => Next::Finished(Ok(self.done.clone())),
        }
    }

    /// Takes the answer to the step handed out last.
    pub fn answer(&mut self, answer: Answer, now: Duration) -> Next {
        match answer {
            Answer::Done => {
                self.steps.pop_front();
                (self.since, self.noted) = (None, None);
                self.resume(now)
            }
            Answer::Failed(why) => self.fail(&why),
            Answer::Refused(why) => match patience(&why) {
                Some(patience) => self.wait(&why, patience, now),
                None => self.fail(&why),
            },
            Answer::Unreachable(why) => {
                let patience = match self.steps.front() {
                    Some(Step::Serve { .. }) => SERVE_PATIENCE,
                    _ => ANSWER_PATIENCE,
                };
                match self.wait(&why, patience, now) {
                    // An election takes about as long; not worth a word yet.
                    Next::Wait { until, .. } if self.is_fresh(now) => {
                        Next::Wait { until, note: None }
                    }
                    next => next,
                }
            }
        }
    }

    fn wait(&mut self, why: &str, patience: Duration, now: Duration) -> Next {
        let waited = now.saturating_sub(*self.since.get_or_insert(now));
        let Some(left) = patience.checked_sub(waited).filter(|left| !left.is_zero()) else {
            return self.fail(&format!("{why} (waited {} s)", waited.as_secs()));
        };
        // Said once a second, so that the user sees a countdown and not a flood.
        let seconds = left.as_secs();
        let note = (self.noted != Some(seconds)).then(|| {
            let what = self.steps.front().map(describe).unwrap_or_default();
            format!("{what}: {why}; trying again, up to {} s more", seconds + 1)
        });
        self.noted = Some(seconds);
        Next::Wait { until: now + PAUSE, note }
    }

    fn is_fresh(&self, now: Duration) -> bool {
        self.since.is_none_or(|since| now.saturating_sub(since) < Duration::from_secs(1))
    }

    fn fail(&self, why: &str) -> Next {
        let at = self.steps.front().map(describe).unwrap_or_default();
        Next::Finished(Err(format!("{} stopped at {at}: {why}", self.title)))
    }
}

/// How long a refusal in these words is worth waiting out; `None` is not at all.
fn patience(why: &str) -> Option<Duration> {
    if why.contains("in sync with leader") {
        return Some(CATCH_UP_PATIENCE);
    }
    let transient = [
        "unhealthy cluster",
        "not enough started members",
        "too many learner",
        "no leader",
        "leader changed",
        "not leader",
        "timed out",
        "future revision",
        "hashes differ",
    ];
    transient.iter().any(|text| why.contains(text)).then_some(HEALTH_PATIENCE)
}

fn serves(view: &FleetView, name: &str) -> bool {
    view.node(name).is_some_and(|node| {
        node.state == NodeState::Running && matches!(node.role, Role::Leader | Role::Follower)
    })
}

fn count(nodes: usize) -> String {
    if nodes == 1 { "1 node".to_owned() } else { format!("{nodes} nodes") }
}

/// A step in words.
pub fn describe(step: &Step) -> String {
    match step {
        Step::MoveAway { node } => format!("move leadership away from {node}"),
        Step::Stop { node } => format!("stop {node}"),
        Step::Remove { node } => format!("remove member {node}"),
        Step::Add { node } => format!("add {node} as a learner"),
        Step::Renew { node } => format!("give {node} an empty data directory"),
        Step::Start { node } => format!("start {node} as existing"),
        Step::Promote { node } => format!("promote {node} to voter"),
        Step::Serve { node } => format!("wait until {node} serves"),
        Step::Forget { node } => format!("forget {node}"),
        Step::Verify => "compare the hashes of all members".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{Health, tests::node_view};

    fn view(total: usize, serving: usize) -> FleetView {
        let nodes = (1..=total)
            .map(|number| {
                let (state, role) = match number {
                    1 => (NodeState::Running, Role::Leader),
                    _ if number <= serving => (NodeState::Running, Role::Follower),
                    _ => (NodeState::Exited, Role::Unknown),
                };
                node_view(&format!("n{number}"), state, role)
            })
            .collect();
        FleetView {
            cluster: "c".into(),
            engine: "builtin".into(),
            health: Health::of(serving, total),
            voters: total,
            serving,
            operation: None,
            ephemeral: false,
            event_seq: 0,
            nodes,
            capabilities: Vec::new(),
            links: Vec::new(),
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Answers every step with `Done` and lists the steps.
    fn steps(mut procedure: Procedure) -> Vec<String> {
        let mut seen = Vec::new();
        let mut next = procedure.resume(seconds(0));
        while let Next::Do(step) = next {
            seen.push(describe(&step));
            next = procedure.answer(Answer::Done, seconds(0));
        }
        assert!(matches!(next, Next::Finished(Ok(_))));
        seen
    }

    #[test]
    fn replace_removes_before_it_adds_and_promotes_last() {
        assert_eq!(
            steps(Procedure::replace(&view(3, 2), "n3").unwrap()),
            [
                "move leadership away from n3",
                "stop n3",
                "remove member n3",
                "add n3 as a learner",
                "give n3 an empty data directory",
                "start n3 as existing",
                "promote n3 to voter",
                "wait until n3 serves",
                "compare the hashes of all members",
            ]
        );
    }

    #[test]
    fn replace_never_costs_the_quorum() {
        assert!(Procedure::replace(&view(3, 3), "n1").is_ok());
        assert!(Procedure::replace(&view(3, 2), "n2").unwrap_err().contains("2 other voters"));
        assert!(Procedure::replace(&view(3, 1), "n3").is_err());
        assert!(Procedure::replace(&view(2, 2), "n2").unwrap_err().contains("etcd-tui grow"));
        assert!(Procedure::replace(&view(2, 1), "n2").unwrap_err().contains("etcd-tui grow"));
        assert!(Procedure::replace(&view(5, 2), "n5").unwrap_err().contains("start all"));
        assert!(Procedure::replace(&view(1, 1), "n1").unwrap_err().contains("only copy"));
        assert!(Procedure::replace(&view(5, 3), "n5").is_ok());
        assert!(Procedure::replace(&view(5, 3), "n3").is_err());
    }

    #[test]
    fn shrink_takes_the_last_first_and_keeps_a_quorum_after_each_removal() {
        let removed: Vec<String> = steps(Procedure::shrink(&view(5, 5), 3).unwrap())
            .into_iter()
            .filter(|step| step.starts_with("remove"))
            .collect();
        assert_eq!(removed, ["remove member n5", "remove member n4"]);
        // The dead go first here, so what is left is whole.
        assert!(Procedure::shrink(&view(5, 3), 3).is_ok());
        assert!(Procedure::shrink(&view(5, 2), 3).is_err());
        // Three voters, n1 and n2 serve: without n3 both are needed and there; without n2 not.
        assert!(Procedure::shrink(&view(3, 2), 1).is_ok());
    }

    #[test]
    fn the_five_second_rule_is_waited_out_with_a_countdown() {
        let mut procedure = Procedure::grow(&view(3, 3), &["n4".into()]).unwrap();
        assert!(matches!(procedure.resume(seconds(0)), Next::Do(Step::Add { .. })));
        let refused = || Answer::Refused("etcdserver: unhealthy cluster".into());
        let Next::Wait { until, note } = procedure.answer(refused(), seconds(0)) else { panic!() };
        assert_eq!(until, PAUSE);
        assert!(note.unwrap().contains("up to 31 s more"));
        procedure.resume(until);
        // Within the same second nothing new is said.
        let soon = Duration::from_millis(100);
        procedure.answer(refused(), soon);
        let again = procedure.answer(refused(), soon + soon);
        assert!(matches!(again, Next::Wait { note: None, .. }), "{again:?}");
        assert!(matches!(procedure.answer(Answer::Done, seconds(5)), Next::Do(Step::Renew { .. })));
    }

    #[test]
    fn patience_ends() {
        let mut procedure = Procedure::grow(&view(3, 3), &["n4".into()]).unwrap();
        procedure.resume(seconds(0));
        let refused = || Answer::Refused("etcdserver: unhealthy cluster".into());
        assert!(matches!(procedure.answer(refused(), seconds(29)), Next::Wait { .. }));
        let Next::Finished(Err(why)) = procedure.answer(refused(), seconds(30)) else { panic!() };
        assert!(why.contains("add n4 as a learner") && why.contains("waited 30 s"), "{why}");
    }

    #[test]
    fn each_step_has_its_own_patience() {
        let mut procedure = Procedure::grow(&view(3, 3), &["n4".into()]).unwrap();
        procedure.resume(seconds(0));
        for now in [29, 29, 29] {
            procedure.answer(Answer::Done, seconds(now));
        }
        let behind = "etcdserver: can only promote a learner member which is in sync with leader";
        let next = procedure.answer(Answer::Refused(behind.into()), seconds(200));
        assert!(matches!(next, Next::Wait { .. }), "{next:?}");
        let next = procedure.answer(Answer::Refused(behind.into()), seconds(329));
        assert!(matches!(next, Next::Finished(Err(_))), "{next:?}");
    }

    #[test]
    fn a_refusal_that_will_not_change_ends_it_at_once() {
        let mut procedure = Procedure::replace(&view(3, 3), "n2").unwrap();
        procedure.resume(seconds(0));
        let next = procedure
            .answer(Answer::Refused("etcdserver: Peer URLs already exists".into()), seconds(0));
        assert!(matches!(next, Next::Finished(Err(_))), "{next:?}");
    }

    #[test]
    fn silence_is_waited_out_for_an_election_and_then_some() {
        let mut procedure = Procedure::replace(&view(3, 3), "n2").unwrap();
        procedure.resume(seconds(0));
        let silent = || Answer::Unreachable("no answer from n1".into());
        assert!(matches!(procedure.answer(silent(), seconds(3)), Next::Wait { .. }));
        assert!(matches!(procedure.answer(silent(), seconds(21)), Next::Finished(Err(_))));
    }
}
