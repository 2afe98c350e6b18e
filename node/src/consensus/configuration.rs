//! The configuration the state machine is at.
//!
//! Raft takes over a snapshot's configuration as soon as it accepts the snapshot, while the
//! applier may still be working on entries before it. A change among those must not be made
//! in raft any more (it would undo a later one), but the state machine has to save it with
//! its entry: a crash may come before the snapshot is installed.
//!
//! Invariant: [`Configuration::current`] is what all changes up to the last applied entry, or
//! installed snapshot, have made of the configuration.

use std::collections::VecDeque;

use raft::eraftpb::{ConfChange, ConfChangeType, ConfState};

/// See the module.
pub struct Configuration {
    current: ConfState,
    /// Snapshots to be installed, oldest first: their indexes and configurations.
    installing: VecDeque<(u64, ConfState)>,
}

impl Configuration {
    /// The configuration at a start.
    pub fn new(current: ConfState) -> Self {
        Self { current, installing: VecDeque::new() }
    }

    /// The state machine's configuration.
    pub fn current(&self) -> &ConfState {
        &self.current
    }

    /// Raft has made a change.
    pub fn set(&mut self, current: ConfState) {
        self.current = current;
    }

    /// A change that raft must not make any more.
    pub fn change(&mut self, change: &ConfChange) {
        let id = change.node_id;
        self.current.mut_voters().retain(|voter| *voter != id);
        self.current.mut_learners().retain(|learner| *learner != id);
        match change.get_change_type() {
            ConfChangeType::AddNode => self.current.mut_voters().push(id),
            ConfChangeType::AddLearnerNode => self.current.mut_learners().push(id),
            ConfChangeType::RemoveNode => {}
        }
    }

    /// A snapshot is handed to the state machine.
    pub fn installs(&mut self, index: u64, configuration: ConfState) {
        self.installing.push_back((index, configuration));
    }

    /// The state machine is at `index`.
    pub fn applied(&mut self, index: u64) {
        while let Some((_, configuration)) = self.installing.pop_front_if(|(at, _)| *at <= index) {
            self.current = configuration;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(voters: &[u64], learners: &[u64]) -> ConfState {
        let mut state = ConfState::default();
        state.set_voters(voters.to_vec());
        state.set_learners(learners.to_vec());
        state
    }

    fn change(kind: ConfChangeType, id: u64) -> ConfChange {
        let mut change = ConfChange::default();
        change.set_change_type(kind);
        change.node_id = id;
        change
    }

    #[test]
    fn changes_before_a_snapshot_are_made_one_by_one() {
        let mut configuration = Configuration::new(state(&[1, 2], &[]));
        configuration.installs(20, state(&[1, 3], &[]));
        configuration.change(&change(ConfChangeType::AddLearnerNode, 3));
        assert_eq!(configuration.current(), &state(&[1, 2], &[3]));
        configuration.change(&change(ConfChangeType::AddNode, 3));
        assert_eq!(configuration.current(), &state(&[1, 2, 3], &[]));
        configuration.applied(19);
        assert_eq!(configuration.current(), &state(&[1, 2, 3], &[]));
        configuration.applied(20);
        assert_eq!(configuration.current(), &state(&[1, 3], &[]));
    }

    #[test]
    fn a_second_snapshot_does_not_hide_the_first() {
        let mut configuration = Configuration::new(state(&[], &[]));
        configuration.installs(10, state(&[1], &[]));
        configuration.installs(20, state(&[1, 2], &[]));
        configuration.applied(10);
        assert_eq!(configuration.current(), &state(&[1], &[]));
        configuration.applied(25);
        assert_eq!(configuration.current(), &state(&[1, 2], &[]));
    }
}
