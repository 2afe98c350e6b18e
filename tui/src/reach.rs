//! What cut links do to a quorum, in words.
//!
//! A leader needs a majority that it can send to and hear from; so does a candidate. So one
//! broken direction between two members is as bad for them as both. Everything the UI says
//! about a link fault before it is made is worked out here. Pure: no model, no clock.

use crate::quorum::{Consequence, Severity};

/// The voters and the links between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Net {
    /// Names of the healthy voters.
    pub healthy: Vec<String>,
    /// All voters, healthy or not.
    pub voters: usize,
    pub leader: Option<String>,
    /// Directed links that pass nothing, from and to.
    pub cut: Vec<(String, String)>,
}

impl Net {
    fn talk(&self, a: &str, b: &str) -> bool {
        let cut = |from: &str, to: &str| self.cut.iter().any(|(f, t)| f == from && t == to);
        a == b || !(cut(a, b) || cut(b, a))
    }

    fn quorum(&self) -> usize {
        self.voters / 2 + 1
    }

    /// How many voters, itself included, can work with `node` as their leader.
    fn followers_of(&self, node: &str) -> usize {
        self.healthy.iter().filter(|other| self.talk(node, other)).count()
    }

    fn could_lead(&self) -> Vec<&String> {
        let able = |node: &&String| self.followers_of(node) >= self.quorum();
        self.healthy.iter().filter(able).collect()
    }
}

/// What becomes of writes when `before` turns into `after`.
pub fn consequence(before: &Net, after: &Net) -> Consequence {
    let of = |severity, sentence: String| Consequence { severity, sentence };
    if before.could_lead().is_empty() {
        return of(Severity::Harmless, "writes have already stopped".to_owned());
    }
    let able = after.could_lead();
    if able.is_empty() {
        let sentence = format!(
            "no member can reach a majority any more ({} of {} voters): writes stop",
            after.quorum(),
            after.voters
        );
        return of(Severity::Outage, sentence);
    }
    let Some(leader) = &before.leader else {
        return of(Severity::Narrow, "there is no leader now; one can still be elected".to_owned());
    };
    if !able.contains(&leader) {
        let names: Vec<&str> = able.iter().map(|name| name.as_str()).collect();
        let sentence = format!(
            "{leader} leads and keeps {} of {} voters: it loses the majority; writes stop for a \
             few seconds until {} is elected, then go on there",
            after.followers_of(leader),
            after.voters,
            names.join(" or ")
        );
        return of(Severity::Narrow, sentence);
    }
    let alone: Vec<&str> =
        after.healthy.iter().filter(|node| !after.talk(leader, node)).map(String::as_str).collect();
    let spare = after.followers_of(leader) - after.quorum();
    let margin = if spare == 0 { "nothing to spare" } else { "more may be lost" };
    if alone.is_empty() {
        return of(Severity::Harmless, format!("{leader} goes on leading all: writes go on"));
    }
    let verbs = match alone.len() {
        1 => "falls behind and answers",
        _ => "fall behind and answer",
    };
    let sentence = format!(
        "writes go on under {leader} with {} of {} voters, {margin}; {} {verbs} only serializable \
         reads",
        after.followers_of(leader),
        after.voters,
        alone.join(" and "),
    );
    let severity = if spare == 0 { Severity::Narrow } else { Severity::Harmless };
    of(severity, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(nodes: usize, cut: &[(usize, usize)]) -> Net {
        let name = |node: usize| format!("n{node}");
        Net {
            healthy: (1..=nodes).map(name).collect(),
            voters: nodes,
            leader: Some(name(1)),
            cut: cut.iter().map(|(from, to)| (name(*from), name(*to))).collect(),
        }
    }

    fn effect(nodes: usize, cut: &[(usize, usize)]) -> Consequence {
        consequence(&net(nodes, &[]), &net(nodes, cut))
    }

    #[test]
    fn a_cut_follower_falls_behind_and_a_cut_leader_loses_office() {
        let one = effect(3, &[(1, 3)]);
        assert_eq!(one.severity, Severity::Narrow);
        assert!(one.sentence.contains("writes go on under n1 with 2 of 3"), "{}", one.sentence);
        assert!(one.sentence.contains("n3 falls behind and answers only"), "{}", one.sentence);
        let leader = effect(3, &[(1, 2), (1, 3), (2, 1), (3, 1)]);
        assert!(leader.sentence.contains("until n2 or n3 is elected"), "{}", leader.sentence);
    }

    #[test]
    fn one_direction_is_enough_to_lose_a_majority() {
        for cut in [[(1, 2), (1, 3)], [(2, 1), (3, 1)]] {
            assert!(effect(3, &cut).sentence.contains("loses the majority"), "{cut:?}");
        }
    }

    #[test]
    fn a_bridge_keeps_the_leader_that_sees_the_bridge() {
        // 1 and 2, 3 between, 4 and 5; the leader is on one side.
        let sides = [(1, 4), (1, 5), (2, 4), (2, 5)];
        let effect = effect(5, &sides);
        assert_eq!(effect.severity, Severity::Narrow);
        assert!(
            effect.sentence.contains("n4 and n5 fall behind and answer "),
            "{}",
            effect.sentence
        );
    }

    #[test]
    fn when_nobody_reaches_a_majority_writes_stop_and_nothing_stops_twice() {
        let all = [(1, 2), (1, 3), (2, 3)];
        assert_eq!(effect(3, &all).severity, Severity::Outage);
        let before = net(3, &all);
        assert_eq!(consequence(&before, &before).severity, Severity::Harmless);
    }

    #[test]
    fn an_outage_is_foretold_exactly_when_no_voter_keeps_a_majority() {
        // Every set of links of four voters, against counting by hand.
        let links: Vec<(usize, usize)> =
            (1..=4).flat_map(|a| (1..=4).map(move |b| (a, b))).filter(|(a, b)| a != b).collect();
        for set in 0..1u32 << links.len() {
            let cut: Vec<(usize, usize)> = links
                .iter()
                .enumerate()
                .filter(|(bit, _)| set & (1 << bit) != 0)
                .map(|(_, link)| *link)
                .collect();
            let reachable = |node: usize| {
                let broken = |a, b| cut.contains(&(a, b)) || cut.contains(&(b, a));
                (1..=4).filter(|other| node == *other || !broken(node, *other)).count()
            };
            let works = (1..=4).any(|node| reachable(node) >= 3);
            assert_eq!(effect(4, &cut).severity == Severity::Outage, !works, "{cut:?}");
        }
    }
}
