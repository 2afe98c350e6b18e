//! What is known about the members: the last answers, and when they came.
//!
//! Facts only. Rows, roles and health are derived on demand from the member list, each
//! endpoint's last Status, and the supervisor's view, so that they cannot drift apart.

use super::series::Series;
use super::time::Now;
use crate::fleet::{FleetNode, FleetState};
use crate::msg::{Alarm, Failure, FailureKind, MemberFacts, StatusFacts};
use crate::quorum::{Health, Voters};
use std::collections::VecDeque;

/// A single slow answer is not a dead member; two in a row are.
const TIMEOUTS_TO_BE_DOWN: u32 = 2;
/// The same for reads that the leader has to answer for: during an election one is late.
const MISSES_TO_BE_CUT_OFF: u32 = 2;
/// Members hear of a new leader one after the other, and are asked once a second.
const LEADERLESS_TO_BE_CUT_OFF_MS: u64 = 1_500;
/// The feed is for reading; older history is in the logs.
const EVENTS_KEPT: usize = 500;

/// An endpoint that is asked for its status.
#[derive(Clone, Debug, Default)]
pub struct EndpointFacts {
    pub url: String,
    pub status: Option<StatusFacts>,
    pub answered: Option<Now>,
    pub rtt_us: u64,
    pub failure: Option<Failure>,
    /// Timeouts in a row.
    pub timeouts: u32,
    /// Reads in a row that it could not answer for want of the others.
    pub misses: u32,
    /// Since when it has said that it knows no leader.
    pub leaderless: Option<Now>,
}

impl EndpointFacts {
    /// Whether its last answer still counts.
    pub fn answers(&self) -> bool {
        self.status.is_some()
            && match &self.failure {
                None => true,
                Some(failure) => {
                    failure.kind == FailureKind::Timeout && self.timeouts < TIMEOUTS_TO_BE_DOWN
                }
            }
    }

    /// Whether it has known no leader for longer than it may take to hear of the next one.
    fn is_alone(&self) -> bool {
        let alone = self.leaderless.zip(self.answered);
        alone.is_some_and(|(since, now)| now.since(since) >= LEADERLESS_TO_BE_CUT_OFF_MS)
    }

    /// Whether it answers for itself, but has lost touch with the others. Who supervises the node
    /// asks it more often than we do: there is one answer to this, and it is the supervisor's.
    fn is_cut_off(&self, node: Option<&FleetNode>) -> bool {
        let mute = node.map_or(self.misses >= MISSES_TO_BE_CUT_OFF, |node| node.cut_off);
        self.is_alone() || mute
    }

    fn fresher_than(&self, other: &Self) -> bool {
        let freshness =
            |facts: &Self| (facts.answers(), facts.answered.map(|answered| answered.mono_ms));
        freshness(self) > freshness(other)
    }
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Plain,
    Good,
    Warn,
    Bad,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub at: Now,
    pub tone: Tone,
    pub text: String,
}

#[derive(Clone, Debug, Default)]
pub struct Cluster {
    pub endpoints: Vec<EndpointFacts>,
    pub members: Vec<MemberFacts>,
    /// The member whose view of the membership this is.
    pub members_from: u64,
    pub alarms: Vec<Alarm>,
    pub fleet: Vec<FleetNode>,
    /// Leader and term last put into the feed.
    pub announced_leader: Option<(u64, u64)>,
    pub announced_health: Option<Health>,
    pub writes: Series,
    pub reads: Series,
    pub local_reads: Series,
    /// Outcomes of this round's probes, put into the series when the round ends.
    pub probe: Option<Result<u64, Failure>>,
    pub local_probe: Option<Result<u64, Failure>>,
    /// Revision and time of the last sample of writes.
    pub sampled: Option<(i64, Now)>,
    pub rounds: u64,
    pub events: VecDeque<Event>,
    pub events_scroll: usize,
    /// Index of the row under the cursor.
    pub cursor: usize,
    /// A long operation of the supervisor, as it reports it.
    pub progress: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Leader,
    Follower,
    Learner,
    Unknown,
}

/// Whether the member's server answers, from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    NotAskedYet,
    Answers,
    /// It answered before, and one answer is overdue.
    Slow,
    Silent,
}

/// A member, or a node that is no member (yet, any more), as the table shows it.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub id: Option<u64>,
    pub voter: bool,
    pub role: Role,
    pub reach: Reach,
    pub status: Option<StatusFacts>,
    pub answered: Option<Now>,
    pub rtt_us: u64,
    pub failure: Option<Failure>,
    pub endpoint: Option<String>,
    pub fleet: Option<FleetNode>,
    /// Entries the member has yet to apply, measured against the furthest commit known.
    pub lag: Option<u64>,
    /// Whether it answers for itself, but not for the cluster.
    pub cut_off: bool,
}

impl Row {
    pub fn healthy(&self) -> bool {
        let frozen = self
            .fleet
            .as_ref()
            .is_some_and(|node| !node.state.has_process() || node.state == FleetState::Paused);
        matches!(self.reach, Reach::Answers | Reach::Slow) && !frozen
    }

    fn is_denied(&self) -> bool {
        self.failure.as_ref().is_some_and(|failure| failure.kind == FailureKind::Denied)
    }

    /// Whether it answers, and says that it knows no leader.
    pub fn leaderless(&self) -> bool {
        self.healthy() && self.status.as_ref().is_some_and(|status| status.leader == 0)
    }

    /// Whether its vote counts now: it answers, and is in touch with the leader that there is.
    /// While nobody knows a leader, all that answer may elect one.
    pub fn counts(&self, leader_known: bool) -> bool {
        self.healthy() && !(leader_known && self.cut_off)
    }

    /// The state as one word: the process's if we run it, else what the network shows.
    pub fn state_word(&self) -> &'static str {
        match (&self.fleet, self.reach) {
            (Some(node), Reach::Silent) if node.state == FleetState::Running => "not answering",
            (Some(node), _) => node.state.word(),
            (None, Reach::Answers) => "up",
            (None, Reach::Slow) => "slow",
            (None, Reach::Silent) if self.is_denied() => "no access",
            (None, Reach::Silent) => "unreachable",
            (None, Reach::NotAskedYet) if self.endpoint.is_none() => "not started",
            (None, Reach::NotAskedYet) => "asking",
        }
    }
}

impl Cluster {
    pub fn note(&mut self, at: Now, tone: Tone, text: impl Into<String>) {
        if self.events.len() == EVENTS_KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Event { at, tone, text: text.into() });
    }

    /// The answers that count.
    pub fn answers(&self) -> impl Iterator<Item = &StatusFacts> {
        self.endpoints.iter().filter(|e| e.answers()).filter_map(|e| e.status.as_ref())
    }

    /// Whether the members are there, and tell this user nothing of themselves: etcd 3.6 answers
    /// such questions of root alone. Keys may be readable all the same.
    pub fn tells_nothing(&self) -> bool {
        let mut failures = self.endpoints.iter().filter_map(|e| e.failure.as_ref());
        self.answers().next().is_none()
            && failures.any(|failure| failure.kind == FailureKind::Denied)
    }

    /// The leader and its term, as the member with the newest term sees it.
    pub fn leader(&self) -> Option<(u64, u64)> {
        let newest = self.answers().map(|s| s.term).max()?;
        self.answers()
            .filter(|s| s.term == newest && s.leader != 0)
            .map(|s| (s.leader, s.term))
            .next()
            // A leader whose own server is gone is a memory of those that have not noticed.
            .filter(|(id, _)| self.member_may_lead(*id))
    }

    fn member_may_lead(&self, id: u64) -> bool {
        let Some(row) = self.rows_without_roles().into_iter().find(|row| row.id == Some(id)) else {
            return true;
        };
        let ended = row.fleet.as_ref().is_some_and(|node| !node.state.has_process());
        !ended && (row.reach != Reach::Silent || row.fleet.is_none())
    }

    pub fn revision(&self) -> Option<i64> {
        self.answers().map(|s| s.revision).max()
    }

    pub fn term(&self) -> Option<u64> {
        self.answers().map(|s| s.term).max()
    }

    /// Ids of clusters that answered: more than one means the endpoints do not belong
    /// together.
    pub fn cluster_ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> =
            self.answers().map(|s| s.cluster_id).filter(|id| *id != 0).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    pub fn voters(&self) -> Voters {
        let rows = self.rows_without_roles();
        let voters = || rows.iter().filter(|row| row.voter);
        let led = self.leader().is_some();
        Voters { total: voters().count(), healthy: voters().filter(|row| row.counts(led)).count() }
    }

    pub fn health(&self) -> Health {
        let first_look = self.announced_health.is_none();
        if first_look && (!self.all_asked() || self.starting_up()) {
            return Health::Unknown;
        }
        self.voters().health(self.leader().is_some())
    }

    /// Whether nobody has answered yet, but there are processes that may.
    fn starting_up(&self) -> bool {
        self.endpoints.iter().all(|endpoint| endpoint.status.is_none())
            && self.fleet.iter().any(|node| node.state.has_process())
    }

    /// Whether every voter has been asked once: before that, each count would be too low.
    pub fn all_asked(&self) -> bool {
        let mut voters = self.rows_without_roles().into_iter().filter(|row| row.voter).peekable();
        voters.peek().is_some() && voters.all(|row| row.reach != Reach::NotAskedYet)
    }

    /// The rows of the member table, by name.
    pub fn rows(&self) -> Vec<Row> {
        let leader = self.leader().map(|(id, _)| id);
        let commit = self.answers().map(|s| s.commit_index).max();
        let mut rows = self.rows_without_roles();
        for row in &mut rows {
            let answers = row.healthy();
            row.role = match (&row.status, row.id) {
                _ if !row.voter && row.id.is_some() => Role::Learner,
                (_, Some(id)) if leader == Some(id) => Role::Leader,
                (Some(_), Some(_)) if answers => Role::Follower,
                _ => Role::Unknown,
            };
            if let (Some(status), Some(commit), true) = (&row.status, commit, answers) {
                row.lag = Some(commit.saturating_sub(status.applied_index));
            }
        }
        rows
    }

    fn rows_without_roles(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = self.members.iter().map(|m| self.member_row(m)).collect();
        for node in &self.fleet {
            let shown =
                rows.iter().any(|row| row.fleet.as_ref().is_some_and(|f| f.name == node.name));
            if !shown {
                rows.push(self.node_row(node));
            }
        }
        if self.members.is_empty() && self.fleet.is_empty() {
            rows.extend(self.endpoints.iter().map(|endpoint| endpoint_row(endpoint, None)));
        }
        rows.sort_by_key(|row| natural(&row.name));
        rows
    }

    fn member_row(&self, member: &MemberFacts) -> Row {
        let node = self
            .fleet
            .iter()
            .find(|n| n.member_id == Some(member.id))
            .or_else(|| self.fleet.iter().find(|n| n.member_id.is_none() && n.name == member.name))
            .or_else(|| {
                self.fleet
                    .iter()
                    .find(|n| n.member_id.is_none() && member.client_urls.contains(&n.client_url))
            })
            // A member that has just started has neither name nor URLs in the list yet: what
            // answers at the node's address says which member it is.
            .or_else(|| self.fleet.iter().find(|n| self.answers_as(&n.client_url, member.id)));
        let mut best: Option<&EndpointFacts> = None;
        for endpoint in &self.endpoints {
            let ours = endpoint.status.as_ref().is_some_and(|s| s.member_id == member.id)
                || endpoint.status.is_none() && member.client_urls.contains(&endpoint.url);
            if ours && best.is_none_or(|best| endpoint.fresher_than(best)) {
                best = Some(endpoint);
            }
        }
        let mut row = best.map_or_else(|| empty_row(""), |best| endpoint_row(best, node));
        let given = node.map_or(member.name.as_str(), |n| n.name.as_str());
        row.name = if given.is_empty() { "(not started)" } else { given }.to_owned();
        row.id = Some(member.id);
        row.voter = !member.learner;
        row.fleet = node.cloned();
        row
    }

    fn answers_as(&self, url: &str, member: u64) -> bool {
        let answer = self.endpoints.iter().find(|e| e.url == url).and_then(|e| e.status.as_ref());
        answer.is_some_and(|status| status.member_id == member)
    }

    /// A process that no member entry belongs to: before the first answer, or after removal.
    fn node_row(&self, node: &FleetNode) -> Row {
        let endpoint = self.endpoints.iter().find(|e| e.url == node.client_url);
        let mut row =
            endpoint.map_or_else(|| empty_row(""), |endpoint| endpoint_row(endpoint, Some(node)));
        row.name.clone_from(&node.name);
        row.id = node.member_id.or(row.id);
        // Until the first member list is there, the nodes are all we know of the voters.
        row.voter = self.members.is_empty() && node.state != FleetState::Removed;
        row.fleet = Some(node.clone());
        row
    }

    /// The endpoint to send a request for the leader to.
    pub fn leader_endpoint(&self) -> Option<String> {
        let (leader, _) = self.leader()?;
        self.endpoints
            .iter()
            .find(|e| e.answers() && e.status.as_ref().is_some_and(|s| s.member_id == leader))
            .map(|e| e.url.clone())
    }

    /// What to call a member in a sentence.
    pub fn member_name(&self, id: u64) -> String {
        self.rows_without_roles()
            .into_iter()
            .find(|row| row.id == Some(id))
            .map_or_else(|| format!("member {id:x}"), |row| row.name)
    }
}

fn empty_row(name: &str) -> Row {
    Row {
        name: name.to_owned(),
        id: None,
        voter: false,
        role: Role::Unknown,
        reach: Reach::NotAskedYet,
        status: None,
        answered: None,
        rtt_us: 0,
        failure: None,
        endpoint: None,
        fleet: None,
        lag: None,
        cut_off: false,
    }
}

fn endpoint_row(endpoint: &EndpointFacts, node: Option<&FleetNode>) -> Row {
    let reach = match (&endpoint.failure, endpoint.answers()) {
        (None, false) => Reach::NotAskedYet,
        (None, true) => Reach::Answers,
        (Some(_), true) => Reach::Slow,
        (Some(_), false) => Reach::Silent,
    };
    Row {
        id: endpoint.status.as_ref().map(|s| s.member_id),
        reach,
        status: endpoint.status.clone(),
        answered: endpoint.answered,
        rtt_us: endpoint.rtt_us,
        failure: endpoint.failure.clone(),
        endpoint: Some(endpoint.url.clone()),
        cut_off: endpoint.is_cut_off(node),
        ..empty_row(&endpoint.url)
    }
}

/// Orders `n2` before `n10`.
pub fn natural(name: &str) -> (String, u64, String) {
    let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let (stem, number) = name.split_at(name.len() - digits);
    (stem.to_owned(), number.parse().unwrap_or(0), name.to_owned())
}

/// An endpoint as it is compared: with a scheme and without a trailing slash.
pub fn normal_url(url: &str) -> String {
    let url = url.trim().trim_end_matches('/');
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}
