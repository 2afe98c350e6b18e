//! One step of a drill as it is written: `kill leader`, `await healthy within 20s`.
//!
//! Words in, an [`Action`] out, or one sentence that says what is understood. Which nodes a
//! selector means is left to the runner, because it depends on the moment; `{name}` stands for
//! nodes that an earlier step has named with `as`.
//!
//! # Invariant
//! What an action prints parses to the same action.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::disaster::{Disaster, Identity};
use crate::applications::run::ClientVerb;
use crate::{LinkFault, NodeFault, Verb};

/// A duration as people write it: `500ms`, `3s`, `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

impl Span {
    /// Whole milliseconds.
    pub fn millis(self) -> u64 {
        u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX)
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no duration: write 500ms, 3s or 2m");
        let at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(at);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let millis = match unit {
            "ms" => Some(number),
            "s" => number.checked_mul(1_000),
            "m" => number.checked_mul(60_000),
            _ => None,
        };
        let hour = 3_600_000;
        let millis = millis.filter(|millis| *millis <= hour).ok_or_else(wrong)?;
        Ok(Self(Duration::from_millis(millis)))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.millis() {
            millis if millis % 60_000 == 0 && millis > 0 => write!(f, "{}m", millis / 60_000),
            millis if millis % 1_000 == 0 => write!(f, "{}s", millis / 1_000),
            millis => write!(f, "{millis}ms"),
        }
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

/// A kind of request that a check makes once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    Put,
    Get,
    SerializableGet,
}

impl Probe {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Put, "put"), (Self::Get, "get"), (Self::SerializableGet, "serializable-get")];

    /// The word of the format.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(probe, _)| *probe == self).map_or("", |(_, word)| word)
    }
}

/// What is waited for or checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Every node runs and there is a leader.
    Healthy,
    /// Quorum arithmetic in one word: `at-risk`, `no-quorum`, ….
    Health(String),
    /// A leader that is not one of these nodes.
    Leader {
        other_than: Option<String>,
    },
    /// The leader of the beginning still leads, or another one does.
    LeaderSame(bool),
    /// The term of the beginning still holds, or has gone up.
    TermSame(bool),
    /// So many voting members.
    Voters(usize),
    /// Nodes in a state: `exited`, `removed`, `running`, ….
    State {
        nodes: String,
        state: String,
    },
    /// The cluster raises this alarm, or none.
    Alarm(Option<String>),
    /// A request succeeds, or does not.
    Probe {
        probe: Probe,
        works: bool,
        at: Option<String>,
    },
    /// A key has this value; without one, the key is not there.
    Value {
        key: String,
        value: Option<String>,
    },
    /// The nodes have applied all that the leader has committed.
    CaughtUp(String),
    /// The log of one of the nodes has this text since the drill began.
    Logged {
        nodes: String,
        text: String,
    },
    Identity(Identity),
    /// What the application counts: exactly so much, or at least.
    Application {
        fact: String,
        at_least: bool,
        count: u64,
    },
}

/// One thing a drill does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Action {
    Act {
        verb: Verb,
        nodes: String,
    },
    Replace(String),
    Grow(usize),
    Shrink(usize),
    /// Leadership to another member, gracefully.
    MoveLeader,
    /// Announces a member that does not exist.
    MemberAdd(String),
    MemberRemove(String),
    /// Puts so many values of so many bytes, one after the other.
    Fill {
        count: usize,
        bytes: usize,
    },
    Put {
        key: String,
        value: String,
    },
    DeleteAll,
    Compact,
    Defragment,
    Disarm,
    /// Every link from these nodes to those.
    Link {
        from: String,
        to: String,
        fault: LinkFault,
    },
    /// No byte between the two sides, either way.
    Partition {
        left: String,
        right: String,
    },
    Isolate(String),
    /// No byte between two sides, which both reach the third.
    Bridge {
        one: String,
        other: String,
        via: String,
    },
    Heal,
    Fault {
        nodes: String,
        fault: NodeFault,
    },
    Disaster(Disaster),
    /// Clients of the application: names, a role, or `all`.
    Client {
        verb: ClientVerb,
        clients: String,
    },
    /// Only gives nodes a name, for later steps.
    Pick(String),
    Wait(Span),
    /// A sentence for the one who watches.
    Say(String),
    Await {
        condition: Condition,
        within: Span,
    },
    Check(Condition),
}

const WORDS: &str = "kill|stop|start|restart|pause|resume|wipe NODES, replace NODES, grow N, \
                     shrink N, move-leader, member-add URL|NODE, member-remove NODES, fill COUNT SIZE, \
                     put KEY VALUE, delete-all, compact, defragment, disarm, link A>B FAULT, \
                     partition A|B, isolate NODES, bridge A B via C, heal, fault NODES FAULT, backup, \
                     restore [bump N], bootstrap NODES new|existing TOKEN, \
                     client pause|resume|crash|start CLIENTS, pick NODES, wait TIME, say TEXT, \
                     await CONDITION within TIME, check CONDITION";

const CONDITIONS: &str = "healthy, health WORD, leader, leader other than NODES, leader same, \
                          leader changed, term same, term up, voters N, node NODES STATE, \
                          alarm NAME, no alarm, put|get|serializable-get works|fails [at NODES], \
                          value KEY VALUE, no value KEY, caught-up NODES, logged NODES TEXT, \
                          cluster-id|member-id same|other [at NODES], revision back|onward, \
                          application FACT [at-least] N";

/// Verbs by their words.
const VERBS: [(&str, Verb); 7] = [
    ("kill", Verb::Kill),
    ("stop", Verb::Stop),
    ("start", Verb::Start),
    ("restart", Verb::Restart),
    ("pause", Verb::Pause),
    ("resume", Verb::Resume),
    ("wipe", Verb::Wipe),
];

const STATES: [&str; 7] =
    ["starting", "running", "paused", "stopping", "stopped", "exited", "removed"];

const HEALTHS: [&str; 4] = ["healthy", "degraded", "at-risk", "no-quorum"];

impl Action {
    /// Whether it changes something in the cluster; the timeline marks it as a fault.
    pub fn is_fault(&self) -> bool {
        !matches!(
            self,
            Self::Pick(_) | Self::Wait(_) | Self::Say(_) | Self::Await { .. } | Self::Check(_)
        )
    }

    /// What the supervisor must be able to do for it.
    pub fn capability(&self) -> Option<&'static str> {
        match self {
            Self::Act { verb: Verb::Pause | Verb::Resume, .. } => Some("proc.pause"),
            Self::Act { .. } => Some("proc.kill"),
            Self::Link { .. } | Self::Partition { .. } | Self::Isolate(_) | Self::Bridge { .. } => {
                Some("link")
            }
            Self::Disaster(disaster) => disaster.capability(),
            Self::Fault { fault, .. } => fault.capability(),
            _ => None,
        }
    }

    /// The nodes it is about, as they are written.
    pub fn nodes(&self) -> Option<&str> {
        match self {
            Self::Act { nodes, .. }
            | Self::Replace(nodes)
            | Self::MemberRemove(nodes)
            | Self::Isolate(nodes)
            | Self::Pick(nodes)
            | Self::Fault { nodes, .. } => Some(nodes),
            Self::Disaster(disaster) => disaster.nodes(),
            _ => None,
        }
    }
}

impl FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is no step; steps are: {WORDS}");
        let text = text.trim();
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let rest = rest.trim();
        let needs = |what: &str| -> Result<String, String> {
            match rest {
                "" => Err(format!("{word:?} needs {what}, as in the list: {WORDS}")),
                rest => Ok(rest.to_string()),
            }
        };
        let number = || -> Result<usize, String> {
            rest.parse().map_err(|_| format!("{text:?}: {word} needs a number of nodes"))
        };
        if let Some((_, verb)) = VERBS.iter().find(|(known, _)| *known == word) {
            return Ok(Self::Act { verb: *verb, nodes: needs("nodes")? });
        }
        if let Some(disaster) = Disaster::parse(word, rest) {
            return disaster.map(Self::Disaster);
        }
        let bare = |action: Self| if rest.is_empty() { Ok(action) } else { Err(unknown()) };
        match word {
            "pick" => Ok(Self::Pick(needs("nodes")?)),
            "client" => client(rest)
                .ok_or_else(|| format!("{text:?}: write it as in `client pause holder`")),
            "replace" => Ok(Self::Replace(needs("nodes")?)),
            "grow" => Ok(Self::Grow(number()?)),
            "shrink" => Ok(Self::Shrink(number()?)),
            "move-leader" => bare(Self::MoveLeader),
            "member-add" => Ok(Self::MemberAdd(needs("a peer URL")?)),
            "member-remove" => Ok(Self::MemberRemove(needs("nodes")?)),
            "fill" => fill(rest).ok_or_else(|| format!("{text:?}: write `fill 10 1000000`")),
            "put" => match rest.split_once(' ') {
                Some((key, value)) => Ok(Self::Put { key: key.into(), value: value.into() }),
                None => Err(format!("{text:?}: put needs a key and a value")),
            },
            "delete-all" => bare(Self::DeleteAll),
            "compact" => bare(Self::Compact),
            "defragment" => bare(Self::Defragment),
            "disarm" => bare(Self::Disarm),
            "link" | "partition" | "isolate" | "bridge" | "heal" | "fault" => {
                broken(word, rest, text)
            }
            "wait" => Ok(Self::Wait(needs("a time")?.parse()?)),
            "say" => Ok(Self::Say(needs("a sentence")?)),
            "check" => Ok(Self::Check(rest.parse()?)),
            "await" => {
                let (condition, within) = rest.rsplit_once(" within ").ok_or_else(|| {
                    format!("{text:?}: await needs a limit, as in `await healthy within 20s`")
                })?;
                Ok(Self::Await { condition: condition.parse()?, within: within.parse()? })
            }
            _ => Err(unknown()),
        }
    }
}

/// Steps about links and about what is wrong with nodes.
fn broken(word: &str, rest: &str, text: &str) -> Result<Action, String> {
    let wrong = |example: &str| format!("{text:?}: write it as in `{example}`");
    let ends = |text: &str, by: char| -> Option<(String, String)> {
        let (left, right) = text.split_once(by)?;
        let (left, right) = (left.trim(), right.trim());
        (!left.is_empty() && !right.is_empty()).then(|| (left.into(), right.into()))
    };
    match word {
        "link" => {
            let example = || wrong("link {leader}>{rest} freeze");
            let (from, rest) = ends(rest, '>').ok_or_else(example)?;
            let all_but = rest.strip_prefix("not ");
            let (to, fault) = ends(all_but.unwrap_or(&rest), ' ').ok_or_else(example)?;
            let to = if all_but.is_some() { format!("not {to}") } else { to };
            let fault = fault.parse::<LinkFault>().map_err(|error| error.to_string())?;
            Ok(Action::Link { from, to, fault })
        }
        "partition" => {
            let (left, right) = ends(rest, '|').ok_or_else(|| wrong("partition leader|n3"))?;
            Ok(Action::Partition { left, right })
        }
        "isolate" if !rest.is_empty() => Ok(Action::Isolate(rest.into())),
        "bridge" => match rest.split_whitespace().collect::<Vec<_>>()[..] {
            [one, other, "via", via] => {
                Ok(Action::Bridge { one: one.into(), other: other.into(), via: via.into() })
            }
            _ => Err(wrong("bridge leader {far} via {middle}")),
        },
        "heal" if rest.is_empty() => Ok(Action::Heal),
        "fault" => {
            let example = || wrong("fault leader disk-full");
            let (nodes, fault) = ends(rest, ' ').ok_or_else(example)?;
            let fault = fault.parse::<NodeFault>().map_err(|error| error.to_string())?;
            Ok(Action::Fault { nodes, fault })
        }
        _ => Err(wrong("isolate leader")),
    }
}

/// A step about clients of the application.
fn client(rest: &str) -> Option<Action> {
    let (word, clients) = rest.split_once(' ')?;
    let (_, verb) = ClientVerb::ALL.into_iter().find(|(known, _)| *known == word)?;
    Some(Action::Client { verb, clients: clients.trim().into() })
}

fn fill(rest: &str) -> Option<Action> {
    let (count, bytes) = rest.split_once(' ')?;
    Some(Action::Fill { count: count.parse().ok()?, bytes: bytes.parse().ok()? })
}

impl FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let unknown = || format!("{text:?} is no condition; conditions are: {CONDITIONS}");
        let words: Vec<&str> = text.split_whitespace().collect();
        let probe = |word: &str| Probe::ALL.iter().find(|(_, known)| *known == word);
        Ok(match words.as_slice() {
            ["healthy"] => Self::Healthy,
            ["health", word] if HEALTHS.contains(word) => Self::Health((*word).into()),
            ["leader"] => Self::Leader { other_than: None },
            ["leader", "other", "than", nodes] => {
                Self::Leader { other_than: Some((*nodes).into()) }
            }
            ["leader", "same"] => Self::LeaderSame(true),
            ["leader", "changed"] => Self::LeaderSame(false),
            ["term", "same"] => Self::TermSame(true),
            ["term", "up"] => Self::TermSame(false),
            ["voters", count] => Self::Voters(count.parse().map_err(|_| unknown())?),
            ["node", nodes, state] if STATES.contains(state) => {
                Self::State { nodes: (*nodes).into(), state: (*state).into() }
            }
            ["alarm", name] => Self::Alarm(Some((*name).into())),
            ["no", "alarm"] => Self::Alarm(None),
            ["value", key, value] => {
                Self::Value { key: (*key).into(), value: Some((*value).into()) }
            }
            ["no", "value", key] => Self::Value { key: (*key).into(), value: None },
            ["caught-up", nodes] => Self::CaughtUp((*nodes).into()),
            ["logged", nodes, text @ ..] if !text.is_empty() => {
                Self::Logged { nodes: (*nodes).into(), text: text.join(" ") }
            }
            ["application", fact, rest @ ..] => {
                let (at_least, count) = match rest {
                    [count] => (false, count),
                    ["at-least", count] => (true, count),
                    _ => return Err(unknown()),
                };
                let count = count.parse().map_err(|_| unknown())?;
                Self::Application { fact: (*fact).into(), at_least, count }
            }
            [word, verb @ ("works" | "fails"), at @ ..] => {
                let at = match at {
                    [] => None,
                    ["at", nodes @ ..] if !nodes.is_empty() => Some(nodes.join(" ")),
                    _ => return Err(unknown()),
                };
                let (probe, _) = probe(word).ok_or_else(unknown)?;
                Self::Probe { probe: *probe, works: *verb == "works", at }
            }
            words => Self::Identity(Identity::parse(words).ok_or_else(unknown)?),
        })
    }
}

impl TryFrom<String> for Action {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.to_string()
    }
}

/// The word of a verb.
pub fn verb_word(verb: Verb) -> &'static str {
    VERBS.iter().find(|(_, known)| *known == verb).map_or("", |(word, _)| word)
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Act { verb, nodes } => write!(f, "{} {nodes}", verb_word(*verb)),
            Self::Pick(nodes) => write!(f, "pick {nodes}"),
            Self::Replace(nodes) => write!(f, "replace {nodes}"),
            Self::Grow(count) => write!(f, "grow {count}"),
            Self::Shrink(count) => write!(f, "shrink {count}"),
            Self::MoveLeader => f.write_str("move-leader"),
            Self::MemberAdd(url) => write!(f, "member-add {url}"),
            Self::MemberRemove(nodes) => write!(f, "member-remove {nodes}"),
            Self::Fill { count, bytes } => write!(f, "fill {count} {bytes}"),
            Self::Put { key, value } => write!(f, "put {key} {value}"),
            Self::DeleteAll => f.write_str("delete-all"),
            Self::Compact => f.write_str("compact"),
            Self::Defragment => f.write_str("defragment"),
            Self::Disarm => f.write_str("disarm"),
            Self::Link { from, to, fault } => write!(f, "link {from}>{to} {fault}"),
            Self::Partition { left, right } => write!(f, "partition {left}|{right}"),
            Self::Isolate(nodes) => write!(f, "isolate {nodes}"),
            Self::Bridge { one, other, via } => write!(f, "bridge {one} {other} via {via}"),
            Self::Heal => f.write_str("heal"),
            Self::Disaster(disaster) => disaster.fmt(f),
            Self::Fault { nodes, fault } => write!(f, "fault {nodes} {fault}"),
            Self::Client { verb, clients } => write!(f, "client {} {clients}", verb.word()),
            Self::Wait(span) => write!(f, "wait {span}"),
            Self::Say(text) => write!(f, "say {text}"),
            Self::Await { condition, within } => write!(f, "await {condition} within {within}"),
            Self::Check(condition) => write!(f, "check {condition}"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let either = |yes: bool, a: &'static str, b: &'static str| if yes { a } else { b };
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Health(word) => write!(f, "health {word}"),
            Self::Leader { other_than: None } => f.write_str("leader"),
            Self::Leader { other_than: Some(nodes) } => write!(f, "leader other than {nodes}"),
            Self::LeaderSame(same) => write!(f, "leader {}", either(*same, "same", "changed")),
            Self::TermSame(same) => write!(f, "term {}", either(*same, "same", "up")),
            Self::Voters(count) => write!(f, "voters {count}"),
            Self::State { nodes, state } => write!(f, "node {nodes} {state}"),
            Self::Alarm(Some(name)) => write!(f, "alarm {name}"),
            Self::Alarm(None) => f.write_str("no alarm"),
            Self::Probe { probe, works, at } => {
                write!(f, "{} {}", probe.word(), either(*works, "works", "fails"))?;
                at.as_ref().map_or(Ok(()), |nodes| write!(f, " at {nodes}"))
            }
            Self::Value { key, value: Some(value) } => write!(f, "value {key} {value}"),
            Self::Value { key, value: None } => write!(f, "no value {key}"),
            Self::CaughtUp(nodes) => write!(f, "caught-up {nodes}"),
            Self::Logged { nodes, text } => write!(f, "logged {nodes} {text}"),
            Self::Identity(identity) => identity.fmt(f),
            Self::Application { fact, at_least, count } => {
                write!(f, "application {fact} {}{count}", either(*at_least, "at-least ", ""))
            }
        }
    }
}

#[cfg(test)]
#[path = "action_tests.rs"]
mod tests;
