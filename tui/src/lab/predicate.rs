//! What a tick of the course waits for: a few words, and whether they are true now.
//!
//! `down 1`, `put stopped`, `get paused 400`, `new leader`. A predicate compares the facts of
//! now with those of the moment the step began; it never remembers anything itself. The words
//! are parsed once, when the course is read, so that a wrong one is found by a test.

use super::lanes::Doing;

/// The cluster as the predicates see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub healthy: bool,
    pub voters: usize,
    /// Voters that do not answer.
    pub down: usize,
    /// Member and term.
    pub leader: Option<(u64, u64)>,
    pub members: Vec<u64>,
    pub learners: usize,
    pub alarms: Vec<String>,
    /// Links that do not pass messages.
    pub cut: usize,
    /// Snapshots that were reported.
    pub backups: usize,
    pub doing: Vec<Doing>,
    /// The longest time without an answer since the step began, in each lane.
    pub gaps_ms: Vec<u64>,
    /// How often a drill has ended that the step is about.
    pub drills_ended: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Predicate {
    Healthy,
    Voters(usize),
    Down(usize),
    Leader,
    NoLeader,
    /// Another one than when the step began.
    NewLeader,
    /// A member has joined that was not there when the step began.
    NewMember,
    Alarm(String),
    NoAlarm,
    /// A snapshot has been saved since the step began.
    BackedUp,
    Cut,
    Uncut,
    Serves(usize),
    Stopped(usize),
    /// It was without an answer for this long since the step began.
    Paused(usize, u64),
    /// The drill of the step has ended since it began.
    Drilled,
}

impl Predicate {
    /// Reads the words of a course page.
    pub fn parse(words: &str) -> Result<Self, String> {
        let wrong = || format!("`{words}` is nothing that can be waited for");
        let parts: Vec<&str> = words.split_whitespace().collect();
        let number = |text: &str| text.parse::<usize>().map_err(|_| wrong());
        let lane = |text: &str| {
            let found = ["put", "get", "local"].iter().position(|known| *known == text);
            found.ok_or_else(wrong)
        };
        Ok(match parts.as_slice() {
            ["healthy"] => Self::Healthy,
            ["leader"] => Self::Leader,
            ["no", "leader"] => Self::NoLeader,
            ["new", "leader"] => Self::NewLeader,
            ["new", "member"] => Self::NewMember,
            ["no", "alarm"] => Self::NoAlarm,
            ["alarm", kind] => Self::Alarm((*kind).to_owned()),
            ["backed", "up"] => Self::BackedUp,
            ["links", "cut"] => Self::Cut,
            ["links", "ok"] => Self::Uncut,
            ["drill", "ended"] => Self::Drilled,
            ["voters", count] => Self::Voters(number(count)?),
            ["down", count] => Self::Down(number(count)?),
            [name, "serves"] => Self::Serves(lane(name)?),
            [name, "stopped"] => Self::Stopped(lane(name)?),
            [name, "paused", ms] => Self::Paused(lane(name)?, number(ms)? as u64),
            _ => return Err(wrong()),
        })
    }

    /// Whether it holds, for a step that began with `before`.
    pub fn holds(&self, now: &Facts, before: &Facts) -> bool {
        let doing = |lane: usize| now.doing.get(lane).copied().unwrap_or(Doing::Unknown);
        match self {
            Self::Healthy => now.healthy,
            Self::Voters(count) => now.voters == *count && now.learners == 0,
            Self::Down(count) => now.down == *count,
            Self::Leader => now.leader.is_some(),
            Self::NoLeader => now.leader.is_none(),
            Self::NewLeader => now.leader.is_some() && now.leader != before.leader,
            Self::NewMember => now.members.iter().any(|id| !before.members.contains(id)),
            Self::Alarm(kind) => now.alarms.contains(kind),
            Self::NoAlarm => now.alarms.is_empty(),
            Self::BackedUp => now.backups > before.backups,
            Self::Cut => now.cut > 0,
            Self::Uncut => now.cut == 0,
            Self::Serves(lane) => doing(*lane) == Doing::Serves,
            Self::Stopped(lane) => doing(*lane) == Doing::Stopped,
            Self::Paused(lane, ms) => now.gaps_ms.get(*lane).is_some_and(|gap| gap >= ms),
            Self::Drilled => now.drills_ended > before.drills_ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        assert_eq!(Predicate::parse("down 2"), Ok(Predicate::Down(2)));
        assert_eq!(Predicate::parse("local serves"), Ok(Predicate::Serves(2)));
        assert_eq!(Predicate::parse("put paused 400"), Ok(Predicate::Paused(0, 400)));
        for wrong in ["", "down", "down x", "moon serves", "put sings", "healthy now"] {
            assert!(Predicate::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_new_leader_is_another_one_or_the_same_in_a_later_term() {
        let before = Facts { leader: Some((1, 3)), ..Facts::default() };
        let now = |leader| Facts { leader, ..Facts::default() };
        assert!(!Predicate::NewLeader.holds(&now(None), &before));
        assert!(!Predicate::NewLeader.holds(&now(Some((1, 3))), &before));
        assert!(Predicate::NewLeader.holds(&now(Some((1, 4))), &before));
        assert!(Predicate::NewLeader.holds(&now(Some((2, 4))), &before));
    }

    #[test]
    fn a_learner_is_no_voter_yet() {
        let growing = Facts { voters: 5, learners: 1, ..Facts::default() };
        assert!(!Predicate::Voters(5).holds(&growing, &Facts::default()));
    }
}
