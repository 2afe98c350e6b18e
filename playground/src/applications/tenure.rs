//! Who has a turn, as told by the clients themselves; it judges what etcd promises of leases.
//!
//! # Invariants
//! - A turn whose lease has time left by the clock of its holder cannot have ended, so nobody
//!   else can have begun one. Only the one who gives it up may end it before.
//! - Tokens go up.

use std::time::Duration;

/// The turn of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub token: i64,
    /// The lease holds until then, at least.
    pub until: Duration,
}

/// The turns of all clients.
#[derive(Debug)]
pub struct Tenures {
    turns: Vec<Option<Turn>>,
    newest: i64,
    /// How many turns there were.
    pub begun: u64,
    /// How many believed at one time that it was theirs, at most.
    pub most: u64,
}

impl Tenures {
    pub fn new(clients: usize) -> Self {
        Self { turns: vec![None; clients], newest: 0, begun: 0, most: 0 }
    }

    /// A turn begins; the answer is what is wrong with that.
    pub fn begin(&mut self, who: usize, turn: Turn, now: Duration) -> Option<Wrong> {
        let mut wrong = None;
        if turn.token <= self.newest {
            wrong = Some(Wrong::TokenWentDown { token: turn.token, newest: self.newest });
        }
        for (other, old) in self.turns.iter().enumerate() {
            if let Some(old) = old.filter(|_| other != who)
                && old.until > now
            {
                wrong = Some(Wrong::EndedEarly { other, left: old.until - now });
            }
        }
        self.newest = self.newest.max(turn.token);
        self.begun += 1;
        if let Some(place) = self.turns.get_mut(who) {
            *place = Some(turn);
        }
        self.most = self.most.max(self.believers().len() as u64);
        wrong
    }

    /// The lease of the turn was renewed.
    pub fn renew(&mut self, who: usize, until: Duration) {
        if let Some(Some(turn)) = self.turns.get_mut(who) {
            turn.until = turn.until.max(until);
        }
    }

    /// The client does not believe in its turn any more.
    pub fn end(&mut self, who: usize) {
        if let Some(place) = self.turns.get_mut(who) {
            *place = None;
        }
    }

    pub fn turn(&self, who: usize) -> Option<Turn> {
        self.turns.get(who).copied().flatten()
    }

    /// Those who believe that it is their turn, the newest last.
    pub fn believers(&self) -> Vec<usize> {
        let mut all: Vec<(i64, usize)> = self
            .turns
            .iter()
            .enumerate()
            .filter_map(|(who, turn)| Some((turn.as_ref()?.token, who)))
            .collect();
        all.sort_unstable();
        all.into_iter().map(|(_, who)| who).collect()
    }
}

/// A promise of the cluster that was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    TokenWentDown { token: i64, newest: i64 },
    EndedEarly { other: usize, left: Duration },
}

impl Wrong {
    /// One sentence.
    pub fn sentence(self, who: &str, names: &[String]) -> String {
        match self {
            Self::TokenWentDown { token, newest } => {
                format!("{who} got its turn with token {token} after somebody had had {newest}")
            }
            Self::EndedEarly { other, left } => {
                let other = names.get(other).map_or("another", String::as_str);
                let left = left.as_millis();
                format!("{who} got its turn while the lease of {other} still had {left} ms to live")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(token: i64, until: u64) -> Turn {
        Turn { token, until: Duration::from_secs(until) }
    }

    #[test]
    fn a_turn_that_begins_within_another_one_is_wrong() {
        let at = Duration::from_secs;
        let mut tenures = Tenures::new(3);
        assert_eq!(tenures.begin(0, turn(10, 5), at(1)), None);
        tenures.renew(0, at(9));
        let wrong = tenures.begin(1, turn(11, 12), at(8));
        assert_eq!(wrong, Some(Wrong::EndedEarly { other: 0, left: at(1) }));
        // A holder that sleeps beyond its lease still believes, and that is nobody's fault.
        assert_eq!(tenures.begin(2, turn(12, 20), at(13)), None);
        assert_eq!(tenures.believers(), [0, 1, 2]);
        tenures.end(2);
        let wrong = tenures.begin(0, turn(12, 30), at(21));
        assert_eq!(wrong, Some(Wrong::TokenWentDown { token: 12, newest: 12 }));
    }
}
