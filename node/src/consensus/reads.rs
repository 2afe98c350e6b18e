//! ReadIndex rounds: many linearizable reads share one confirmation of leadership.
//!
//! Reads that arrive while a round is under way join the next one. Only the leader runs
//! rounds, and every round's context is new (term, member, counter): raft 0.7 releases stale
//! reads when a context is used twice or travels between members (the flaw of etcd issue
//! 20418), so a round that must be repeated gets a new context and followers ask the leader
//! by a message of our own.
//!
//! Pure: the caller says when a round may start and what raft answered.

/// Who waits for a read index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// A request of this member.
    Local(u64),
    /// A request of another member.
    Peer { member: u64, id: u64 },
}

/// The rounds of one leader; see the module.
#[derive(Default)]
pub struct ReadRounds {
    waiting: Vec<Waiter>,
    round: Option<Round>,
    counter: u64,
}

struct Round {
    context: Vec<u8>,
    waiters: Vec<Waiter>,
    age_ticks: u32,
}

/// Heartbeats may be lost: after this many ticks a round is tried again.
const RETRY_TICKS: u32 = 5;

impl ReadRounds {
    /// Adds a read to the next round.
    pub fn ask(&mut self, waiter: Waiter) {
        self.waiting.push(waiter);
    }

    /// The context of a round to begin now, if one is due.
    pub fn begin(&mut self, term: u64, member: u64) -> Option<Vec<u8>> {
        if self.round.is_some() || self.waiting.is_empty() {
            return None;
        }
        self.counter += 1;
        let context = [term, member, self.counter].map(u64::to_be_bytes).concat();
        let waiters = std::mem::take(&mut self.waiting);
        self.round = Some(Round { context: context.clone(), waiters, age_ticks: 0 });
        Some(context)
    }

    /// Raft confirmed `context`: who may read now.
    pub fn confirmed(&mut self, context: &[u8]) -> Vec<Waiter> {
        match self.round.take_if(|round| round.context == context) {
            Some(round) => round.waiters,
            None => Vec::new(),
        }
    }

    /// A tick: a round that got no answer goes back to the queue.
    pub fn tick(&mut self) {
        let Some(round) = &mut self.round else { return };
        round.age_ticks += 1;
        if round.age_ticks >= RETRY_TICKS
            && let Some(mut round) = self.round.take()
        {
            round.waiters.append(&mut self.waiting);
            self.waiting = round.waiters;
        }
    }

    /// Whether nobody waits.
    pub fn is_idle(&self) -> bool {
        self.round.is_none() && self.waiting.is_empty()
    }

    /// Leadership is gone: nobody may read.
    pub fn refuse_all(&mut self) -> Vec<Waiter> {
        let mut all = self.round.take().map(|round| round.waiters).unwrap_or_default();
        all.append(&mut self.waiting);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_during_a_round_waits_for_the_next() {
        let mut rounds = ReadRounds::default();
        rounds.ask(Waiter::Local(1));
        let first = rounds.begin(3, 7).expect("a round is due");
        rounds.ask(Waiter::Local(2));
        assert!(rounds.begin(3, 7).is_none(), "one round at a time");
        assert_eq!(rounds.confirmed(&first), vec![Waiter::Local(1)]);
        let second = rounds.begin(3, 7).expect("the next round is due");
        assert_ne!(first, second);
        assert_eq!(rounds.confirmed(&second), vec![Waiter::Local(2)]);
    }

    #[test]
    fn a_late_answer_to_a_repeated_round_releases_nobody() {
        let mut rounds = ReadRounds::default();
        rounds.ask(Waiter::Local(1));
        let lost = rounds.begin(3, 7).expect("a round is due");
        for _ in 0..RETRY_TICKS {
            rounds.tick();
        }
        let again = rounds.begin(3, 7).expect("the round is tried again");
        assert_ne!(lost, again);
        assert!(rounds.confirmed(&lost).is_empty());
        assert_eq!(rounds.confirmed(&again), vec![Waiter::Local(1)]);
    }

    #[test]
    fn losing_leadership_refuses_everyone_once() {
        let mut rounds = ReadRounds::default();
        rounds.ask(Waiter::Local(1));
        rounds.begin(3, 7);
        rounds.ask(Waiter::Peer { member: 9, id: 4 });
        assert_eq!(rounds.refuse_all().len(), 2);
        assert!(rounds.refuse_all().is_empty());
    }
}
