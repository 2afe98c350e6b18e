//! In which order endpoints are tried for a connection.
//!
//! The rule of DNS service records: only the lowest priority counts of which an endpoint works;
//! among those, weights say how often each is first, and without weights they take turns. One that
//! failed is left out until it works again. When all have failed they are tried all the same,
//! after everything else: nothing is lost by it, and a client need not wait for a timer.
//!
//! The invariant: an order names every endpoint once, those that work before the others.

/// One endpoint's place among the others.
#[derive(Clone, Copy, Debug)]
struct Entry {
    priority: u16,
    weight: u16,
    works: bool,
}

/// All endpoints, by their index.
#[derive(Debug)]
pub struct Picks {
    entries: Vec<Entry>,
    turn: usize,
}

/// An endpoint without a weight, beside others that have one, is first this rarely.
const SCALE: u64 = 100;

impl Picks {
    /// Endpoints by priority and weight.
    pub fn new(endpoints: impl IntoIterator<Item = (u16, u16)>) -> Self {
        let entry = |(priority, weight)| Entry { priority, weight, works: true };
        Self { entries: endpoints.into_iter().map(entry).collect(), turn: 0 }
    }

    /// Notes whether an endpoint works; true if that is news.
    pub fn note(&mut self, index: usize, works: bool) -> bool {
        let Some(entry) = self.entries.get_mut(index) else { return false };
        std::mem::replace(&mut entry.works, works) != works
    }

    /// Those that do not work.
    pub fn failed(&self) -> Vec<usize> {
        (0..self.entries.len()).filter(|index| !self.entries[*index].works).collect()
    }

    /// The order for one connection; `random(n)` is a number below `n`.
    pub fn order(&mut self, mut random: impl FnMut(u64) -> u64) -> Vec<usize> {
        self.turn = self.turn.wrapping_add(1);
        let mut order = Vec::with_capacity(self.entries.len());
        for works in [true, false] {
            let of_kind = |index: &usize| self.entries[*index].works == works;
            let mut kind: Vec<usize> = (0..self.entries.len()).filter(of_kind).collect();
            kind.sort_by_key(|index| self.entries[*index].priority);
            let same = |one: &usize, other: &usize| {
                self.entries[*one].priority == self.entries[*other].priority
            };
            for class in kind.chunk_by(same) {
                order.extend(self.shuffled(class, &mut random));
            }
        }
        order
    }

    /// A class of equal priority in its order.
    fn shuffled(&self, class: &[usize], random: &mut impl FnMut(u64) -> u64) -> Vec<usize> {
        let mut left: Vec<usize> = class.to_vec();
        left.rotate_left(self.turn % class.len());
        if class.iter().all(|index| self.entries[*index].weight == 0) {
            return left;
        }
        let share = |index: usize| (u64::from(self.entries[index].weight) * SCALE).max(1);
        let mut order = Vec::with_capacity(left.len());
        while !left.is_empty() {
            let mut at = random(left.iter().map(|index| share(*index)).sum());
            let chosen = left.iter().position(|index| {
                let own = share(*index);
                let is_it = at < own;
                at = at.saturating_sub(own);
                is_it
            });
            // A number below the sum is always in somebody's share.
            order.push(left.remove(chosen.unwrap_or(0)));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn firsts(picks: &mut Picks, count: usize) -> Vec<usize> {
        let mut state = 7_u64;
        let random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut random = random;
        (0..count).map(|_| picks.order(&mut random)[0]).collect()
    }

    #[test]
    fn equals_take_turns_and_one_that_failed_is_left_out_until_it_works() {
        let mut picks = Picks::new([(0, 0); 3]);
        let seen = firsts(&mut picks, 6);
        assert_eq!(seen[..3], seen[3..]);
        let mut once = seen[..3].to_vec();
        once.sort();
        assert_eq!(once, [0, 1, 2]);
        assert!(picks.note(1, false) && !picks.note(1, false));
        assert!(!firsts(&mut picks, 10).contains(&1));
        assert_eq!(picks.failed(), [1]);
        assert!(picks.note(1, true));
        assert!(firsts(&mut picks, 10).contains(&1));
    }

    #[test]
    fn a_later_priority_waits_until_the_first_has_failed() {
        let mut picks = Picks::new([(2, 0), (1, 0), (1, 0)]);
        assert!(!firsts(&mut picks, 10).contains(&0));
        picks.note(1, false);
        assert_eq!(firsts(&mut picks, 3), [2, 2, 2]);
        picks.note(2, false);
        assert_eq!(firsts(&mut picks, 3), [0, 0, 0]);
        picks.note(0, false);
        assert_ne!(firsts(&mut picks, 1), [0]);
    }

    #[test]
    fn weights_say_how_often() {
        let mut picks = Picks::new([(0, 3), (0, 1), (0, 0)]);
        let seen = firsts(&mut picks, 4000);
        let count = |index: usize| seen.iter().filter(|seen| **seen == index).count();
        assert!((2800..3200).contains(&count(0)), "{}", count(0));
        assert!(count(2) < 60, "{}", count(2));
    }

    proptest! {
        #[test]
        fn everybody_is_named_once(
            entries in proptest::collection::vec((0_u16..3, 0_u16..3, any::<bool>()), 1..8),
            seed in any::<u64>(),
        ) {
            let mut picks = Picks::new(entries.iter().map(|(priority, weight, _)| (*priority, *weight)));
            for (index, (_, _, works)) in entries.iter().enumerate() {
                picks.note(index, *works);
            }
            let order = picks.order(|below| seed % below);
            let working = entries.iter().filter(|entry| entry.2).count();
            prop_assert!(order[..working].iter().all(|index| entries[*index].2));
            let mut sorted = order;
            sorted.sort();
            prop_assert_eq!(sorted, (0..entries.len()).collect::<Vec<_>>());
        }
    }
}
