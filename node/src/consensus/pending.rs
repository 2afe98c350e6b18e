//! Proposals of this member that are not applied yet, and when they may be sent again.
//!
//! # The rule
//! A proposal is sent in a term: the leader appends it, or a follower asks the leader of
//! that term to append it (and that leader refuses in any other term). Log terms never go
//! down, so once an entry of a *later* term is committed, a proposal of the earlier term
//! that is not in the log before it can never get there. It is then safe to send it again:
//! it will be applied exactly once. This is how a write survives a change of leader without
//! the client hearing of it.
//!
//! Until that moment its fate is open, and it is never sent twice.
//!
//! # Numbers
//! A proposal is known again in the log by its member and its number. Entries of an earlier life
//! of the member may still get committed, so a number that is given twice would answer the wrong
//! request, and take the right one for done. A life therefore begins at a random place among
//! 2^63 ([`first_id`]): a clock can be set back, and a counter in a file can be restored with an
//! old copy of it.
//!
//! Pure: time comes in as ticks.

use std::collections::BTreeMap;

use bytes::Bytes;

/// What is proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Counter of the proposing member.
    pub id: u64,
    /// The encoded command or member change.
    pub data: Bytes,
    /// A change of the raft configuration rather than a command.
    pub member_change: bool,
}

/// The number of a life's first proposal, from a number drawn at random. There is room for every
/// proposal that a life can make, and none is 0.
pub fn first_id(random: u64) -> u64 {
    (random >> 1).max(1)
}

struct Sent {
    proposal: Proposal,
    /// 0: not sent yet.
    term: u64,
    deadline_tick: u64,
}

/// See the module.
#[derive(Default)]
pub struct Pending {
    proposals: BTreeMap<u64, Sent>,
    unsent: Vec<u64>,
    oldest_term: u64,
    tick: u64,
}

impl Pending {
    /// Takes a proposal over, to be sent within `ticks`.
    pub fn add(&mut self, proposal: Proposal, ticks: u64) {
        self.unsent.push(proposal.id);
        let sent = Sent { term: 0, deadline_tick: self.tick + ticks, proposal };
        self.proposals.insert(sent.proposal.id, sent);
    }

    /// Whether anything waits to be sent.
    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What is to be sent in `term` now, in order of arrival. Each counts as sent.
    pub fn take_unsent(&mut self, term: u64) -> Vec<Proposal> {
        let ids = std::mem::take(&mut self.unsent);
        let mut out = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(sent) = self.proposals.get_mut(&id) {
                sent.term = term;
                out.push(sent.proposal.clone());
            }
        }
        if !out.is_empty() && (self.oldest_term == 0 || term < self.oldest_term) {
            self.oldest_term = term;
        }
        out
    }

    /// It certainly did not get into the log of `term`: it may be sent again.
    pub fn not_sent(&mut self, id: u64, term: u64) {
        if let Some(sent) = self.proposals.get_mut(&id)
            && sent.term == term
            && term != 0
        {
            sent.term = 0;
            self.unsent.push(id);
        }
    }

    /// An entry of this member's is committed.
    pub fn committed(&mut self, id: u64) {
        self.proposals.remove(&id);
    }

    /// An entry of `term` is committed; whatever was sent in an earlier term and did not come
    /// before it is lost, and goes back to be sent. Call after [`Pending::committed`].
    pub fn entry_of_term(&mut self, term: u64) {
        if self.oldest_term == 0 || term <= self.oldest_term {
            return;
        }
        self.oldest_term = 0;
        for (id, sent) in &mut self.proposals {
            if sent.term == 0 {
                continue;
            }
            if sent.term < term {
                sent.term = 0;
                self.unsent.push(*id);
            } else if self.oldest_term == 0 || sent.term < self.oldest_term {
                self.oldest_term = sent.term;
            }
        }
    }

    /// A snapshot took the place of log entries we did not see: what was sent may be among
    /// them, so it must not be sent again. Whoever waits for it runs into the time limit.
    pub fn skipped_entries(&mut self) {
        self.proposals.retain(|_, sent| sent.term == 0);
        self.oldest_term = 0;
    }

    /// A tick; forgets what nobody waits for any more.
    pub fn tick(&mut self) {
        self.tick += 1;
        let now = self.tick;
        if self.proposals.values().next().is_some_and(|sent| sent.deadline_tick <= now) {
            self.proposals.retain(|_, sent| sent.deadline_tick > now);
        }
    }

    /// Proposals whose fate is open.
    pub fn len(&self) -> usize {
        self.proposals.len()
    }

    /// Whether nothing is open.
    pub fn is_empty(&self) -> bool {
        self.proposals.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proposal(id: u64) -> Proposal {
        Proposal { id, data: Bytes::from_static(b"x"), member_change: false }
    }

    fn ids(proposals: Vec<Proposal>) -> Vec<u64> {
        proposals.into_iter().map(|proposal| proposal.id).collect()
    }

    #[test]
    fn no_two_lives_share_a_number_whatever_the_clock_says() {
        use rand::{RngCore as _, SeedableRng as _};
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let mut lives: Vec<u64> = (0..100).map(|_| first_id(random.next_u64())).collect();
        lives.sort_unstable();
        // More proposals than a member makes in a year at 30 000 a second.
        let most = 1 << 40;
        assert!(lives.windows(2).all(|pair| pair[1] - pair[0] > most));
        assert!(first_id(0) > 0 && first_id(u64::MAX).checked_add(most).is_some());
    }

    #[test]
    fn sent_again_only_once_a_later_term_is_committed() {
        let mut pending = Pending::default();
        pending.add(proposal(1), 100);
        pending.add(proposal(2), 100);
        assert_eq!(ids(pending.take_unsent(5)), [1, 2]);
        pending.entry_of_term(5);
        assert!(!pending.has_unsent(), "its fate in term 5 is open");
        pending.committed(1);
        pending.entry_of_term(6);
        assert_eq!(ids(pending.take_unsent(6)), [2], "1 was committed before term 6 began");
        pending.entry_of_term(6);
        assert!(!pending.has_unsent());
    }

    #[test]
    fn a_refusal_of_an_earlier_attempt_is_ignored() {
        let mut pending = Pending::default();
        pending.add(proposal(1), 100);
        pending.take_unsent(5);
        pending.entry_of_term(6);
        pending.take_unsent(6);
        pending.not_sent(1, 5);
        assert!(!pending.has_unsent());
        pending.not_sent(1, 6);
        assert_eq!(ids(pending.take_unsent(7)), [1]);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut pending = Pending::default();
        pending.add(proposal(1), 2);
        pending.take_unsent(5);
        pending.tick();
        pending.tick();
        pending.entry_of_term(6);
        assert!(!pending.has_unsent() && pending.is_empty());
    }
}
