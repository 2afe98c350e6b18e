//! Which directed links a user means: one way, both ways, a partition, a bridge.
//!
//! A side is a selector, or `rest`: every node that the other sides do not name. All sides are
//! resolved against one view, so that `leader|rest` means one leader throughout.

use std::collections::BTreeSet;

use crate::{
    PlaygroundError,
    selector::{Eligible, Selector},
    view::FleetView,
};

/// The word for all nodes that are not named.
const REST: &str = "rest";

/// Directed links, each once.
pub type Pairs = BTreeSet<(String, String)>;

/// What is to be cut, in the words of the user.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Cut {
    /// From the first side to the second: `n1>n2`.
    OneWay(String, String),
    /// Between the two sides: `n1<>n2`.
    BothWays(String, String),
    /// Between each side and each other: `n1|n2,n3`.
    Partition(Vec<String>),
    /// Between two sides, which both still reach the third.
    Bridge(String, String, String),
}

impl Cut {
    /// Reads `n1>n2` or `n1<>n2`.
    pub fn link(text: &str) -> Result<Self, PlaygroundError> {
        let (arrow, both) = if text.contains("<>") { ("<>", true) } else { (">", false) };
        let (from, to) = text.split_once(arrow).ok_or_else(|| {
            PlaygroundError::Usage(format!(
                "{text:?} is no link: say which way bytes go, with quotes so that the shell does \
                 not take the arrow: 'n1>n2', 'leader>rest', 'n1<>n2' for both ways"
            ))
        })?;
        let side = |text: &str| text.trim().trim_end_matches('-').to_owned();
        let (from, to) = (side(from), side(to));
        let cut = if both { Self::BothWays(from, to) } else { Self::OneWay(from, to) };
        cut.check()?;
        Ok(cut)
    }

    /// Reads `n1|n2,n3`, `leader|rest`; the sides may also be words of their own.
    pub fn partition(words: &[String]) -> Result<Self, PlaygroundError> {
        let sides: Vec<String> = words
            .iter()
            .flat_map(|word| word.split('|'))
            .map(|side| side.trim().to_owned())
            .filter(|side| !side.is_empty())
            .collect();
        if sides.len() < 2 {
            return Err(PlaygroundError::Usage(
                "a partition has two sides or more, with quotes so that the shell does not take \
                 the bar: 'n1|n2,n3', 'leader|rest'"
                    .to_owned(),
            ));
        }
        let cut = Self::Partition(sides);
        cut.check()?;
        Ok(cut)
    }

    /// A node, or several together, on their own.
    pub fn isolate(selector: &str) -> Result<Self, PlaygroundError> {
        let cut = Self::BothWays(selector.to_owned(), REST.to_owned());
        cut.check()?;
        Ok(cut)
    }

    /// Two sides that only a third reaches.
    pub fn bridge(one: &str, other: &str, via: &str) -> Result<Self, PlaygroundError> {
        let cut = Self::Bridge(one.to_owned(), other.to_owned(), via.to_owned());
        cut.check()?;
        Ok(cut)
    }

    fn sides(&self) -> Vec<&str> {
        match self {
            Self::OneWay(one, other) | Self::BothWays(one, other) => vec![one, other],
            Self::Partition(sides) => sides.iter().map(String::as_str).collect(),
            Self::Bridge(one, other, via) => vec![one, other, via],
        }
    }

    fn check(&self) -> Result<(), PlaygroundError> {
        let mut rests = 0;
        for side in self.sides() {
            match side {
                REST => rests += 1,
                _ => drop(side.parse::<Selector>()?),
            }
        }
        if rests > 1 {
            let why = "only one side can be the rest: name the nodes of the others";
            return Err(PlaygroundError::Usage(why.to_owned()));
        }
        Ok(())
    }
}

/// The directed links meant, in a cluster that looks like this.
pub fn resolve(cut: &Cut, view: &FleetView) -> Result<Pairs, PlaygroundError> {
    cut.check()?;
    let sides = cut.sides();
    let mut named: Vec<Option<Vec<String>>> = Vec::new();
    for side in &sides {
        named.push(match *side {
            REST => None,
            side => Some(side.parse::<Selector>()?.resolve(view, Eligible::Any)?),
        });
    }
    let taken: BTreeSet<String> = named.iter().flatten().flatten().cloned().collect();
    let rest = || view.nodes.iter().map(|node| &node.name).filter(|name| !taken.contains(*name));
    let sides: Vec<Vec<String>> =
        named.into_iter().map(|side| side.unwrap_or_else(|| rest().cloned().collect())).collect();
    if sides.iter().any(Vec::is_empty) {
        let why = "no node is left for the rest: name fewer on the other side";
        return Err(PlaygroundError::Refused(why.to_owned()));
    }
    let mut pairs = Pairs::new();
    let mut add = |from: &[String], to: &[String]| {
        for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (from, to))) {
            if from != to {
                pairs.insert((from.clone(), to.clone()));
            }
        }
    };
    match (cut, &sides[..]) {
        (Cut::OneWay(..), [from, to]) => add(from, to),
        _ => {
            disjoint(&sides)?;
            // The last side of a bridge is the one that both others reach.
            let apart = sides.len() - usize::from(matches!(cut, Cut::Bridge(..)));
            for (at, one) in sides[..apart].iter().enumerate() {
                for other in &sides[at + 1..apart] {
                    add(one, other);
                    add(other, one);
                }
            }
        }
    }
    if pairs.is_empty() {
        let why = "that is no link: a node has none to itself";
        return Err(PlaygroundError::Refused(why.to_owned()));
    }
    Ok(pairs)
}

fn disjoint(sides: &[Vec<String>]) -> Result<(), PlaygroundError> {
    let mut seen = BTreeSet::new();
    match sides.iter().flatten().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(name) => Err(PlaygroundError::Refused(format!(
            "{name} would be on two sides: name each node once"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::tests::view;
    use crate::view::{NodeState::Running, Role::*};

    fn five() -> FleetView {
        view(&[
            ("n1", Running, Follower),
            ("n2", Running, Leader),
            ("n3", Running, Follower),
            ("n4", Running, Follower),
            ("n5", Running, Follower),
        ])
    }

    fn text(pairs: &Pairs) -> String {
        let links = pairs.iter().map(|(from, to)| format!("{}{}", &from[1..], &to[1..]));
        links.collect::<Vec<_>>().join(" ")
    }

    fn pairs(cut: Cut) -> String {
        text(&resolve(&cut, &five()).unwrap())
    }

    #[test]
    fn links_have_a_direction() {
        assert_eq!(pairs(Cut::link("n1>n2").unwrap()), "12");
        assert_eq!(pairs(Cut::link("n1->n2,n3").unwrap()), "12 13");
        assert_eq!(pairs(Cut::link("n1 <> n2").unwrap()), "12 21");
        assert_eq!(pairs(Cut::link("leader>rest").unwrap()), "21 23 24 25");
        assert_eq!(pairs(Cut::link("rest>leader").unwrap()), "12 32 42 52");
        assert_eq!(pairs(Cut::link("all>n1").unwrap()), "21 31 41 51");
    }

    #[test]
    fn partitions_cut_both_ways_and_bridges_spare_one_side() {
        let partition = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|it| it.to_string()).collect();
            pairs(Cut::partition(&words).unwrap())
        };
        assert_eq!(partition(&["n1,n2|n3"]), "13 23 31 32");
        assert_eq!(partition(&["n1,n2", "n3"]), "13 23 31 32");
        assert_eq!(partition(&["n1|n3|n5"]), "13 15 31 35 51 53");
        assert_eq!(pairs(Cut::isolate("leader").unwrap()), "12 21 23 24 25 32 42 52");
        assert_eq!(pairs(Cut::bridge("n1,n2", "n4,n5", "n3").unwrap()), "14 15 24 25 41 42 51 52");
        assert_eq!(pairs(Cut::bridge("n1", "rest", "n3").unwrap()), "12 14 15 21 41 51");
    }

    #[test]
    fn what_is_no_cut_is_said_in_a_sentence() {
        for text in ["n1", "", "n1>", ">n1", "x>n1", "rest>rest", "n1>n2>n3", "n1<n2"] {
            let error = Cut::link(text).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(' '), "{text:?}: {error}");
        }
        assert!(Cut::partition(&["n1".to_owned()]).unwrap_err().is_usage());
        let refused = |cut: Cut| resolve(&cut, &five()).unwrap_err().to_string();
        assert!(refused(Cut::link("n1>n1").unwrap()).contains("none to itself"));
        assert!(refused(Cut::link("n1<>n1").unwrap()).contains("two sides"));
        assert!(refused(Cut::link("all>rest").unwrap()).contains("no node is left"));
        assert!(refused(Cut::link("n1>n9").unwrap()).contains("no node n9"));
    }
}
