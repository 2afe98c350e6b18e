//! Quorum arithmetic, in numbers and in words.
//!
//! Everything the UI says about how many members may fail, and about what an action on a
//! member does to writes, is computed here from counts. Pure: no model, no clock. A voter
//! counts as healthy when its member answers; who asked it is left to the caller.

/// Voters of a cluster, and how many of them take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Voters {
    pub total: usize,
    pub healthy: usize,
}

/// The four states of `ps --json`, and the moment between two leaders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// Nothing is known yet.
    Unknown,
    Healthy,
    /// Voters are missing, and one more may fail.
    Degraded,
    /// Voters are missing, and the next loss stops writes.
    AtRisk,
    /// Enough voters answer, but none of them sees a leader.
    NoLeader,
    NoQuorum,
}

impl Health {
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "connecting",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::AtRisk => "at risk",
            Self::NoLeader => "no leader",
            Self::NoQuorum => "no quorum",
        }
    }
}

impl Voters {
    /// How many must agree.
    pub fn quorum(self) -> usize {
        self.total / 2 + 1
    }

    pub fn has_quorum(self) -> bool {
        self.healthy >= self.quorum()
    }

    /// How many healthy voters may still be lost.
    pub fn spare(self) -> usize {
        self.healthy.saturating_sub(self.quorum())
    }

    pub fn health(self, leader_known: bool) -> Health {
        if self.total == 0 {
            Health::Unknown
        } else if !self.has_quorum() {
            Health::NoQuorum
        } else if !leader_known {
            Health::NoLeader
        } else if self.healthy == self.total {
            Health::Healthy
        } else if self.spare() > 0 {
            Health::Degraded
        } else {
            Health::AtRisk
        }
    }

    /// The arithmetic as one sentence.
    pub fn sentence(self, leader_known: bool) -> String {
        let Self { total, healthy } = self;
        let head =
            format!("{}, quorum {}, {healthy} healthy", count(total, "voter"), self.quorum());
        let tail = match self.health(leader_known) {
            Health::Unknown => return "no member has answered yet".to_owned(),
            Health::NoQuorum => {
                let missing = self.quorum() - healthy;
                format!(
                    "writes and linearizable reads fail until {} back",
                    if missing == 1 { "one more is".into() } else { format!("{missing} more are") }
                )
            }
            Health::NoLeader => "an election is under way".to_owned(),
            _ => match self.spare() {
                0 if healthy == total => "any loss stops writes".to_owned(),
                0 => "one more loss stops writes".to_owned(),
                1 if healthy == total => "may lose 1".to_owned(),
                1 => "may lose 1 more".to_owned(),
                n => format!("may lose {n}"),
            },
        };
        format!("{head}: {tail}")
    }
}

/// The member an action is aimed at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    pub voter: bool,
    pub healthy: bool,
    pub leader: bool,
}

/// What is about to be done to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    Kill,
    Stop,
    Restart,
    Pause,
    Replace,
    Wipe,
    MoveLeader,
}

/// How bad it would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Harmless,
    /// Writes go on, with nothing to spare.
    Narrow,
    /// Writes stop.
    Outage,
    /// The cluster itself would refuse.
    Refused,
}

/// The effect of an action, before it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consequence {
    pub severity: Severity,
    pub sentence: String,
}

/// What `deed` on `target` does to a cluster of `voters`.
pub fn consequence(voters: Voters, target: Target, deed: Deed) -> Consequence {
    match deed {
        Deed::MoveLeader => Consequence {
            severity: Severity::Harmless,
            sentence: "leadership moves; writes wait for a moment and go on".to_owned(),
        },
        Deed::Replace => replace(voters, target),
        _ => lose(voters, target, deed),
    }
}

fn lose(voters: Voters, target: Target, deed: Deed) -> Consequence {
    let harmless = |sentence: &str| Consequence {
        severity: Severity::Harmless,
        sentence: sentence.to_owned(),
    };
    if !target.voter {
        return harmless("a learner does not vote: writes go on");
    }
    if !target.healthy {
        let sentence = match (deed, voters.has_quorum()) {
            (Deed::Wipe, true) => "its data is lost; the other voters have it".to_owned(),
            (Deed::Wipe, false) => {
                "its data is lost, and there is no quorum to restore it from".to_owned()
            }
            (_, true) => format!(
                "{}: it takes no part now, nothing changes for writes",
                arrow(voters, voters)
            ),
            (_, false) => format!("{}: writes have already stopped", arrow(voters, voters)),
        };
        let severity = if deed == Deed::Wipe && !voters.has_quorum() {
            Severity::Outage
        } else {
            Severity::Harmless
        };
        return Consequence { severity, sentence };
    }
    let after = Voters { healthy: voters.healthy - 1, ..voters };
    let change = arrow(voters, after);
    if !voters.has_quorum() {
        return harmless(&format!("{change}: writes have already stopped"));
    }
    if !after.has_quorum() {
        let until =
            if deed == Deed::Restart { "writes stop until it is back" } else { "writes stop" };
        return Consequence { severity: Severity::Outage, sentence: format!("{change}: {until}") };
    }
    let margin = match after.spare() {
        0 => "one more loss stops them".to_owned(),
        n => format!("{n} more may be lost"),
    };
    let go_on = match (target.leader, deed) {
        (true, Deed::Kill | Deed::Pause) => {
            "it leads: writes stop for about a second until a new leader is elected, then go on"
        }
        (true, _) => "it leads and hands over first: writes go on",
        (false, _) => "writes go on",
    };
    let severity = if after.spare() == 0 { Severity::Narrow } else { Severity::Harmless };
    Consequence { severity, sentence: format!("{change}: {go_on}; {margin}") }
}

/// Replacing removes the old member first; etcd checks the voters that would remain.
fn replace(voters: Voters, target: Target) -> Consequence {
    if !target.voter {
        return Consequence {
            severity: Severity::Harmless,
            sentence: "a learner does not vote: writes go on while a fresh one catches up".into(),
        };
    }
    if voters.total <= 1 {
        return Consequence {
            severity: Severity::Refused,
            sentence: "it is the only voter: with it removed no data would be left".to_owned(),
        };
    }
    let lost = usize::from(target.healthy);
    let during = Voters { total: voters.total - 1, healthy: voters.healthy.saturating_sub(lost) };
    let path = format!(
        "{}, {} healthy → {}, {} healthy while it is replaced",
        count(voters.total, "voter"),
        voters.healthy,
        count(during.total, "voter"),
        during.healthy
    );
    if !voters.has_quorum() {
        return Consequence {
            severity: Severity::Refused,
            sentence: "there is no quorum: members cannot be changed until more voters are back"
                .to_owned(),
        };
    }
    if !during.has_quorum() {
        return Consequence {
            severity: Severity::Refused,
            sentence: format!("{path}: below the quorum of {}, so it is refused", during.quorum()),
        };
    }
    let severity = if during.spare() == 0 { Severity::Narrow } else { Severity::Harmless };
    let margin = if during.spare() == 0 { "; a loss meanwhile stops writes" } else { "" };
    Consequence { severity, sentence: format!("{path}: writes go on{margin}") }
}

fn arrow(before: Voters, after: Voters) -> String {
    let voters = count(before.total, "voter");
    if before == after {
        return format!("{voters}, {} healthy", before.healthy);
    }
    format!("{voters}, {} healthy → {} healthy", before.healthy, after.healthy)
}

fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOLLOWER: Target = Target { voter: true, healthy: true, leader: false };
    const LEADER: Target = Target { voter: true, healthy: true, leader: true };
    const DEAD: Target = Target { voter: true, healthy: false, leader: false };

    fn v(total: usize, healthy: usize) -> Voters {
        Voters { total, healthy }
    }

    #[test]
    fn the_sentence_names_the_margin() {
        assert_eq!(v(3, 3).sentence(true), "3 voters, quorum 2, 3 healthy: may lose 1");
        assert_eq!(
            v(3, 2).sentence(true),
            "3 voters, quorum 2, 2 healthy: one more loss stops writes"
        );
        assert_eq!(
            v(5, 1).sentence(false),
            "5 voters, quorum 3, 1 healthy: writes and linearizable reads fail until 2 more are back"
        );
        assert_eq!(v(1, 1).sentence(true), "1 voter, quorum 1, 1 healthy: any loss stops writes");
        assert_eq!(v(5, 4).sentence(true), "5 voters, quorum 3, 4 healthy: may lose 1 more");
    }

    #[test]
    fn the_four_states() {
        assert_eq!(v(3, 3).health(true), Health::Healthy);
        assert_eq!(v(5, 4).health(true), Health::Degraded);
        assert_eq!(v(3, 2).health(true), Health::AtRisk);
        assert_eq!(v(3, 2).health(false), Health::NoLeader);
        assert_eq!(v(3, 1).health(true), Health::NoQuorum, "a stale leader does not count");
        assert_eq!(v(1, 1).health(true), Health::Healthy);
    }

    #[test]
    fn killing_below_quorum_says_that_writes_stop() {
        let effect = consequence(v(3, 2), FOLLOWER, Deed::Kill);
        assert_eq!(effect.severity, Severity::Outage);
        assert_eq!(effect.sentence, "3 voters, 2 healthy → 1 healthy: writes stop");
    }

    #[test]
    fn killing_the_leader_mentions_the_election_and_stopping_it_the_handover() {
        assert!(consequence(v(3, 3), LEADER, Deed::Kill).sentence.contains("elected"));
        assert!(consequence(v(3, 3), LEADER, Deed::Stop).sentence.contains("hands over"));
    }

    #[test]
    fn acting_on_a_dead_member_changes_nothing() {
        let effect = consequence(v(3, 2), DEAD, Deed::Kill);
        assert_eq!(effect.severity, Severity::Harmless);
        assert!(effect.sentence.contains("nothing changes"), "{}", effect.sentence);
    }

    #[test]
    fn replacing_the_dead_one_of_three_works_and_a_healthy_one_then_is_refused() {
        assert_eq!(consequence(v(3, 2), DEAD, Deed::Replace).severity, Severity::Narrow);
        assert_eq!(consequence(v(3, 2), FOLLOWER, Deed::Replace).severity, Severity::Refused);
        assert_eq!(consequence(v(1, 1), LEADER, Deed::Replace).severity, Severity::Refused);
        assert_eq!(consequence(v(3, 1), DEAD, Deed::Replace).severity, Severity::Refused);
        assert_eq!(consequence(v(5, 5), FOLLOWER, Deed::Replace).severity, Severity::Harmless);
    }

    #[test]
    fn losing_a_healthy_voter_is_an_outage_exactly_when_quorum_goes() {
        for total in 1..=9 {
            for healthy in 1..=total {
                let before = v(total, healthy);
                let goes = before.has_quorum() && !v(total, healthy - 1).has_quorum();
                for deed in [Deed::Kill, Deed::Stop, Deed::Restart, Deed::Pause] {
                    let effect = consequence(before, FOLLOWER, deed);
                    assert_eq!(effect.severity == Severity::Outage, goes, "{before:?} {deed:?}");
                }
            }
        }
    }
}
