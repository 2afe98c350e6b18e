//! Who differs: a function of the members' answers.
//!
//! # Invariant
//! A member is accused only if its answer is about the very same revisions as the others',
//! and only by a majority of all voters and learners, so by none when too few answer.

use std::collections::BTreeMap;

/// One member's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    pub member: u64,
    pub hash: u32,
    pub compact_revision: i64,
    /// The newest revision the member had.
    pub current_revision: i64,
}

/// What the answers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All members answered, and hold the same.
    Same,
    /// Those that could be compared hold the same, but some could not.
    Incomplete,
    /// These differ from the majority.
    Corrupt(Vec<u64>),
    /// Answers differ and none has a majority.
    Undecided,
}

impl Verdict {
    /// Whom the alarm is to name.
    pub fn accused(&self) -> Vec<u64> {
        match self {
            Self::Same | Self::Incomplete => Vec::new(),
            Self::Corrupt(members) => members.clone(),
            Self::Undecided => vec![0],
        }
    }
}

/// Compares the hashes of one revision. `own` is the asking member's; `members` counts all
/// of the cluster, whether they answered or not.
pub fn compare(own: Answer, others: &[Answer], members: usize) -> Verdict {
    let mut by_hash: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
    by_hash.entry(own.hash).or_default().push(own.member);
    let mut compared = 1;
    for answer in others {
        // Another compaction meanwhile: the hash covers something else.
        if answer.compact_revision != own.compact_revision {
            continue;
        }
        compared += 1;
        by_hash.entry(answer.hash).or_default().push(answer.member);
    }
    if by_hash.len() == 1 {
        return if compared >= members { Verdict::Same } else { Verdict::Incomplete };
    }
    let majority = members / 2 + 1;
    let Some(right) = by_hash.iter().find(|(_, who)| who.len() >= majority).map(|(hash, _)| *hash)
    else {
        return Verdict::Undecided;
    };
    let wrong = by_hash.into_iter().filter(|(hash, _)| *hash != right).flat_map(|(_, who)| who);
    let mut wrong: Vec<u64> = wrong.collect();
    wrong.sort_unstable();
    Verdict::Corrupt(wrong)
}

/// Members that claim to be ahead of the leader, which read its own revisions later and
/// linearizably: they hold what was never agreed on.
pub fn ahead(revision: i64, compact_revision: i64, others: &[Answer]) -> Vec<u64> {
    let further = |answer: &&Answer| {
        answer.current_revision > revision || answer.compact_revision > compact_revision
    };
    others.iter().filter(further).map(|answer| answer.member).collect()
}

/// Others that differ from a member that starts: it alone is in doubt, whoever is right.
pub fn differing(own: Answer, others: &[Answer]) -> Vec<u64> {
    let differs = |answer: &&Answer| {
        answer.compact_revision == own.compact_revision && answer.hash != own.hash
    };
    others.iter().filter(differs).map(|answer| answer.member).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(member: u64, hash: u32) -> Answer {
        Answer { member, hash, compact_revision: 5, current_revision: 9 }
    }

    #[test]
    fn the_minority_is_named_even_if_it_leads() {
        let others = [answer(2, 7), answer(3, 7)];
        assert_eq!(compare(answer(1, 7), &others, 3), Verdict::Same);
        assert_eq!(compare(answer(1, 8), &others, 3), Verdict::Corrupt(vec![1]));
        let others = [answer(2, 8), answer(3, 7)];
        assert_eq!(compare(answer(1, 7), &others, 3), Verdict::Corrupt(vec![2]));
    }

    #[test]
    fn without_a_majority_nobody_is_named() {
        assert_eq!(compare(answer(1, 7), &[answer(2, 8)], 2), Verdict::Undecided);
        let verdict = compare(answer(1, 7), &[answer(2, 8), answer(3, 9)], 3);
        assert_eq!(verdict.accused(), [0]);
        // Two of five agree, one differs, two are silent.
        let verdict = compare(answer(1, 7), &[answer(2, 7), answer(3, 9)], 5);
        assert_eq!(verdict, Verdict::Undecided);
    }

    #[test]
    fn another_compaction_is_not_compared() {
        let behind = Answer { compact_revision: 4, ..answer(2, 8) };
        assert_eq!(compare(answer(1, 7), &[behind, answer(3, 7)], 3), Verdict::Incomplete);
        assert!(differing(answer(1, 7), &[behind]).is_empty());
        assert_eq!(differing(answer(1, 7), &[answer(2, 8), answer(3, 7)]), [2]);
        assert_eq!(compare(answer(1, 7), &[], 1), Verdict::Same);
    }

    #[test]
    fn whoever_is_ahead_of_the_leader_is_wrong() {
        let others = [answer(2, 7), Answer { current_revision: 10, ..answer(3, 7) }];
        assert_eq!(ahead(9, 5, &others), [3]);
        assert_eq!(ahead(10, 4, &others), [2, 3]);
        assert!(ahead(10, 5, &others).is_empty());
    }

    proptest! {
        /// The model counts for every accused how many others say something else.
        #[test]
        fn nobody_is_accused_but_by_a_majority(
            hashes in proptest::collection::vec((0..3u32, 0..4u8), 1..7),
        ) {
            let members = hashes.len();
            let answers: Vec<Answer> = hashes.iter().zip(1..)
                .filter(|((_, silent), id)| *silent != 0 || *id == 1)
                .map(|((hash, _), id)| answer(id, *hash)).collect();
            let verdict = compare(answers[0], &answers[1..], members);
            let says = |hash: u32| answers.iter().filter(|answer| answer.hash == hash).count();
            let distinct = answers.iter().any(|answer| answer.hash != answers[0].hash);
            let majority = answers.iter().find(|answer| 2 * says(answer.hash) > members);
            let expected = match (distinct, majority) {
                (false, _) if answers.len() == members => Verdict::Same,
                (false, _) => Verdict::Incomplete,
                (true, None) => Verdict::Undecided,
                (true, Some(right)) => Verdict::Corrupt(
                    answers.iter().filter(|answer| answer.hash != right.hash)
                        .map(|answer| answer.member).collect()),
            };
            prop_assert_eq!(verdict, expected);
        }
    }
}
