//! The texts of a step that select nodes, so that a wrong one is found when the drill is read and
//! not when half of it has been done.

use super::action::{Action, Condition};

impl Action {
    /// Every text of it that has to select nodes.
    pub fn selectors(&self) -> Vec<&str> {
        match self {
            Self::Link { from, to, .. } => vec![from, to],
            Self::Partition { left, right } => vec![left, right],
            Self::Bridge { one, other, via } => vec![one, other, via],
            Self::Await { condition, .. } | Self::Check(condition) => {
                condition.nodes().into_iter().collect()
            }
            other => other.nodes().into_iter().collect(),
        }
    }
}

impl Condition {
    /// The nodes it is about, as they are written.
    fn nodes(&self) -> Option<&str> {
        match self {
            Self::Leader { other_than: nodes } | Self::Probe { at: nodes, .. } => nodes.as_deref(),
            Self::State { nodes, .. } | Self::CaughtUp(nodes) | Self::Logged { nodes, .. } => {
                Some(nodes)
            }
            Self::Identity(identity) => identity.nodes(),
            _ => None,
        }
    }
}
