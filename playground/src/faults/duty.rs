//! A slow node: how a process that knows nothing of it is made to run part of the time only.
//!
//! In every period the process is frozen for its share and runs for the rest. The machine says
//! which signal comes now and when the next one is due; it never sends one.

use std::time::Duration;

use crate::{fleet::Signal, view::NodeState};

/// Short against heartbeats and elections, so that the node is slow and not paused in turns.
const PERIOD: Duration = Duration::from_millis(100);

/// The turns of one process.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Duty {
    percent: u8,
    frozen: bool,
    /// Tells the timers of this fault from those of one that it replaced.
    pub number: u64,
}

/// What to do now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Turn {
    /// The signal to send, if any.
    pub signal: Option<Signal>,
    /// When to ask again; `None` is never.
    pub after: Option<Duration>,
}

impl Duty {
    /// Freezes for `percent` of the time.
    pub fn new(percent: u8, number: u64) -> Self {
        Self { percent, frozen: false, number }
    }

    /// The next turn of a process in this state.
    pub fn turn(&mut self, state: NodeState) -> Turn {
        let frozen_for = PERIOD * u32::from(self.percent.min(99)) / 100;
        match state {
            NodeState::Starting | NodeState::Running => {
                self.frozen = !self.frozen;
                let (signal, after) = match self.frozen {
                    true => (Signal::Stop, frozen_for),
                    false => (Signal::Continue, PERIOD - frozen_for),
                };
                Turn { signal: Some(signal), after: Some(after) }
            }
            // It was frozen on request and must stay so; it goes on being slow afterwards.
            NodeState::Paused => {
                self.frozen = true;
                Turn { signal: None, after: Some(PERIOD) }
            }
            // A frozen process does not see that it shall end.
            NodeState::Stopping => Turn { signal: Some(Signal::Continue), after: None },
            NodeState::Stopped | NodeState::Exited | NodeState::Removed => {
                Turn { signal: None, after: None }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_the_time_is_what_was_asked_for() {
        for percent in [1, 50, 95] {
            let mut duty = Duty::new(percent, 1);
            let (mut frozen, mut running) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..20 {
                let turn = duty.turn(NodeState::Running);
                let after = turn.after.unwrap();
                match turn.signal.unwrap() {
                    Signal::Stop => frozen += after,
                    Signal::Continue => running += after,
                    other => panic!("{other:?}"),
                }
            }
            assert_eq!(frozen * 100, (frozen + running) * u32::from(percent));
        }
    }

    #[test]
    fn a_paused_node_stays_paused_and_a_stopping_one_wakes() {
        let mut duty = Duty::new(50, 1);
        assert_eq!(duty.turn(NodeState::Running).signal, Some(Signal::Stop));
        for _ in 0..3 {
            assert_eq!(duty.turn(NodeState::Paused).signal, None);
        }
        // Resumed: the process runs, or is about to.
        assert_eq!(duty.turn(NodeState::Running).signal, Some(Signal::Continue));
        assert_eq!(duty.turn(NodeState::Running).signal, Some(Signal::Stop));
        let last = duty.turn(NodeState::Stopping);
        assert_eq!((last.signal, last.after), (Some(Signal::Continue), None));
        assert_eq!(duty.turn(NodeState::Exited), Turn { signal: None, after: None });
    }
}
