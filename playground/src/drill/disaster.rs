//! Steps and conditions about the identity of a cluster: losing it as a whole and restoring it
//! from a snapshot, and a node that is started with the token of another one.
//!
//! Words in, a [`Disaster`] or an [`Identity`] out, and what is asked of the supervisor and the
//! members for it. What the other steps do is in [`super::action`] and [`super::perform`].
//!
//! # Invariant
//! What is printed parses to the same.

use std::fmt;

use super::etcd::{self, Meaning};
use super::stage::{Stage, leader};
use crate::Request;
use crate::selector::Eligible;
use crate::spec::InitialState;
use crate::view::{FleetView, NodeView};

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// Saves a snapshot beside the cluster's data.
    Backup,
    /// Makes a new cluster of all nodes, which are down, from the last backup.
    Restore { bump_revision: u64 },
    /// Starts nodes without data with a token of their own.
    Bootstrap { nodes: String, state: InitialState, token: String },
}

/// What is compared with the beginning of the drill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The id of the cluster that the nodes are in.
    ClusterId { same: bool, at: Option<String> },
    /// The ids of the nodes' members.
    MemberId { same: bool, at: Option<String> },
    /// Whether revisions that steps were told are given again, to other writes.
    Revision { back: bool },
}

const STATES: [InitialState; 2] = [InitialState::New, InitialState::Existing];

impl Disaster {
    /// Reads a step, if its word is one of these.
    pub fn parse(word: &str, rest: &str) -> Option<Result<Self, String>> {
        let words: Vec<&str> = rest.split_whitespace().collect();
        let wrong = |example: &str| Err(format!("{word} {rest:?}: write it as in `{example}`"));
        Some(match (word, words.as_slice()) {
            ("backup", []) => Ok(Self::Backup),
            ("restore", []) => Ok(Self::Restore { bump_revision: 0 }),
            ("restore", ["bump", count]) => match count.parse() {
                Ok(bump_revision) if bump_revision > 0 => Ok(Self::Restore { bump_revision }),
                _ => wrong("restore bump 1000000"),
            },
            ("bootstrap", [nodes, state, token]) => {
                match STATES.into_iter().find(|known| known.word() == *state) {
                    Some(state) => Ok(Self::Bootstrap {
                        nodes: (*nodes).into(),
                        state,
                        token: (*token).into(),
                    }),
                    None => wrong("bootstrap {victim} new another-token"),
                }
            }
            ("backup", _) => wrong("backup"),
            ("restore", _) => wrong("restore"),
            ("bootstrap", _) => wrong("bootstrap {victim} new another-token"),
            _ => return None,
        })
    }

    /// What the supervisor must be able to do for it.
    pub fn capability(&self) -> Option<&'static str> {
        match self {
            Self::Backup => None,
            Self::Restore { bump_revision: 0 } => Some("restore"),
            Self::Restore { .. } => Some("restore.bump"),
            Self::Bootstrap { .. } => Some("proc.kill"),
        }
    }

    /// The nodes it is about, as they are written.
    pub fn nodes(&self) -> Option<&str> {
        match self {
            Self::Bootstrap { nodes, .. } => Some(nodes),
            _ => None,
        }
    }

    /// What the supervisor is asked for. `names` are the nodes that are meant.
    pub fn request(&self, names: &[String]) -> Request {
        match self {
            Self::Backup => Request::Backup,
            Self::Restore { bump_revision } => {
                Request::Restore { file: None, bump_revision: *bump_revision }
            }
            Self::Bootstrap { state, token, .. } => Request::Bootstrap {
                selector: names.join(","),
                state: *state,
                token: token.clone(),
            },
        }
    }
}

impl fmt::Display for Disaster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backup => f.write_str("backup"),
            Self::Restore { bump_revision: 0 } => f.write_str("restore"),
            Self::Restore { bump_revision } => write!(f, "restore bump {bump_revision}"),
            Self::Bootstrap { nodes, state, token } => {
                write!(f, "bootstrap {nodes} {} {token}", state.word())
            }
        }
    }
}

impl Identity {
    /// Reads a condition, if it is one of these.
    pub fn parse(words: &[&str]) -> Option<Self> {
        let (same, at) = match words {
            ["revision", "back"] => return Some(Self::Revision { back: true }),
            ["revision", "onward"] => return Some(Self::Revision { back: false }),
            [_, same @ ("same" | "other")] => (*same == "same", None),
            [_, same @ ("same" | "other"), "at", nodes @ ..] if !nodes.is_empty() => {
                (*same == "same", Some(nodes.join(" ")))
            }
            _ => return None,
        };
        match words.first() {
            Some(&"cluster-id") => Some(Self::ClusterId { same, at }),
            Some(&"member-id") => Some(Self::MemberId { same, at }),
            _ => None,
        }
    }

    /// The nodes it is about, as they are written.
    pub fn nodes(&self) -> Option<&str> {
        match self {
            Self::ClusterId { at, .. } | Self::MemberId { at, .. } => at.as_deref(),
            Self::Revision { .. } => None,
        }
    }

    /// Whether it holds, and what was seen.
    pub async fn holds(&self, stage: &Stage, view: &FleetView) -> Result<String, String> {
        match self {
            Self::Revision { back } => revision(stage, view, *back).await,
            Self::ClusterId { same, at } => {
                let before = |_: &NodeView| stage.beginning.cluster_id.clone();
                ids(stage, view, *same, at.as_deref(), &|node| node.cluster_id.clone(), &before)
            }
            Self::MemberId { same, at } => {
                let before = |node: &NodeView| stage.beginning.member_ids.get(&node.name).cloned();
                ids(stage, view, *same, at.as_deref(), &|node| node.member_id.clone(), &before)
            }
        }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, same, at) = match self {
            Self::Revision { back: true } => return f.write_str("revision back"),
            Self::Revision { back: false } => return f.write_str("revision onward"),
            Self::ClusterId { same, at } => ("cluster-id", same, at),
            Self::MemberId { same, at } => ("member-id", same, at),
        };
        write!(f, "{word} {}", if *same { "same" } else { "other" })?;
        at.as_ref().map_or(Ok(()), |nodes| write!(f, " at {nodes}"))
    }
}

type Id<'a> = &'a dyn Fn(&NodeView) -> Option<String>;

/// Compares what every node that is meant says now with what was said at the beginning.
fn ids(
    stage: &Stage,
    view: &FleetView,
    same: bool,
    at: Option<&str>,
    now: Id<'_>,
    before: Id<'_>,
) -> Result<String, String> {
    let names = stage.names(at.unwrap_or("all"), view, Eligible::Any)?;
    let nodes = view.nodes.iter().filter(|node| names.contains(&node.name));
    let mut told = Vec::new();
    let mut holds = true;
    for node in nodes {
        let (Some(before), Some(now)) = (before(node), now(node)) else {
            return Err(format!("{} does not say its id", node.name));
        };
        holds &= (before == now) == same;
        told.push(match before == now {
            true => format!("{}: {now}", node.name),
            false => format!("{}: {before}, then {now}", node.name),
        });
    }
    let text = told.join("; ");
    if holds && !told.is_empty() { Ok(text) } else { Err(text) }
}

/// By what the last revision that a step was told stands for. The revision of now does not tell:
/// the load may have overtaken the step's since the restore.
async fn revision(stage: &Stage, view: &FleetView, back: bool) -> Result<String, String> {
    let node = leader(view).ok_or("nobody leads")?;
    let told = *stage.revision.lock();
    let meaning = etcd::meaning(stage.target(node)?.channel, told).await?;
    let text = format!("a step was told revision {told}, and {}", describe(meaning));
    let is_back = matches!(meaning, Meaning::Another | Meaning::Future);
    if is_back == back { Ok(text) } else { Err(text) }
}

fn describe(meaning: Meaning) -> &'static str {
    match meaning {
        Meaning::Step => "its write is still there",
        Meaning::Another => "the number was given again, to another write",
        Meaning::Compacted => "who asks for it hears that it is compacted",
        Meaning::Future => "the cluster has not come to that number yet",
    }
}

#[cfg(test)]
mod tests {
    use super::super::action::Action;

    #[test]
    fn what_is_printed_parses_to_the_same() {
        let lines = [
            "backup",
            "restore",
            "restore bump 1000",
            "bootstrap {victim} existing another",
            "check cluster-id other",
            "await cluster-id same at {victim} within 5s",
            "check member-id other at n1,n2",
            "check revision back",
            "check revision onward",
        ];
        for line in lines {
            assert_eq!(line.parse::<Action>().unwrap().to_string(), line);
        }
    }

    #[test]
    fn nonsense_is_answered_with_an_example() {
        let table = [
            ("backup now", "`backup`"),
            ("restore bump 0", "restore bump 1000000"),
            ("restore yesterday", "`restore`"),
            ("bootstrap n1 old token", "new another-token"),
            ("check revision sideways", "conditions are:"),
            ("check cluster-id same at", "conditions are:"),
        ];
        for (line, part) in table {
            let error = line.parse::<Action>().unwrap_err();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
