//! The links between nodes, as last reported, and the one under the cursor.

use crate::fleet::PeerLink;
use crate::lab::link::LinkState;

#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Every directed link, in no particular order; empty until the supervisor tells.
    pub all: Vec<PeerLink>,
    /// Row and column of the matrix: from and to. On the diagonal it is a node.
    pub cursor: (usize, usize),
    /// Whether what is done to a link is done to the way back as well.
    pub both_ways: bool,
}

/// What is to be done to links: shown in a question, then sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDeed {
    /// In words: `isolate n1`.
    pub title: String,
    /// From, to, and what becomes of the link.
    pub changes: Vec<(String, String, LinkState)>,
}

impl Links {
    pub fn between(&self, from: &str, to: &str) -> Option<&PeerLink> {
        self.all.iter().find(|link| link.from == from && link.to == to)
    }

    pub fn faulty(&self) -> usize {
        self.all.iter().filter(|link| link.state != LinkState::Ok).count()
    }
}
