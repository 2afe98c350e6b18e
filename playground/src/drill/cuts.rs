//! Steps about links: which of them are meant, and what the supervisor is asked for.
//!
//! The words mean what they mean on the command line: one side may be `rest`, every node that the
//! other does not name.

use std::collections::BTreeMap;

use super::action::Action;
use super::perform::requested;
use super::stage::Stage;
use crate::links::{Cut, resolve};
use crate::selector::Eligible;
use crate::view::FleetView;
use crate::{LinkFault, Request};

/// Does a step that is only about links.
pub async fn set(stage: &Stage, view: &FleetView, action: &Action) -> Result<String, String> {
    match action {
        Action::Partition { left, right } => {
            let (left, right) = sides(stage, view, left, right)?;
            cut(stage, &left, &right).await
        }
        Action::Link { from, to, fault } => {
            let (from, to) = sides(stage, view, from, to)?;
            let request = Request::Link { from: from.join(","), to: to.join(","), fault: *fault };
            requested(stage, request).await
        }
        Action::Bridge { one, other, via } => {
            let side = |text: &String| stage.substitute(text);
            bridge(stage, view, &side(one), &side(other), &side(via)).await
        }
        Action::Heal => requested(stage, Request::Heal).await,
        other => Err(format!("{other} is not about links")),
    }
}

/// Cuts nodes off from the rest.
pub async fn isolate(stage: &Stage, view: &FleetView, names: &[String]) -> Result<String, String> {
    cut(stage, names, &others(view, names)).await
}

/// Two sides of links; one of them may be the rest.
fn sides(
    stage: &Stage,
    view: &FleetView,
    one: &str,
    other: &str,
) -> Result<(Vec<String>, Vec<String>), String> {
    let of = |side: &str| stage.names(side, view, Eligible::Any);
    Ok(match (one, other) {
        (one, "rest") => {
            let one = of(one)?;
            let rest = others(view, &one);
            (one, rest)
        }
        ("rest", other) => {
            let other = of(other)?;
            (others(view, &other), other)
        }
        (one, other) => (of(one)?, of(other)?),
    })
}

fn others(view: &FleetView, without: &[String]) -> Vec<String> {
    let names = view.nodes.iter().map(|node| node.name.clone());
    names.filter(|name| !without.contains(name)).collect()
}

/// No byte between the two sides, either way.
async fn cut(stage: &Stage, left: &[String], right: &[String]) -> Result<String, String> {
    for (from, to) in [(left, right), (right, left)] {
        let fault = LinkFault::Freeze;
        requested(stage, Request::Link { from: from.join(","), to: to.join(","), fault }).await?;
    }
    Ok(format!("{} and {} are cut off from each other", left.join(", "), right.join(", ")))
}

/// No byte between two sides; both reach the third.
async fn bridge(
    stage: &Stage,
    view: &FleetView,
    one: &str,
    other: &str,
    via: &str,
) -> Result<String, String> {
    let said = |error: crate::PlaygroundError| error.to_string();
    let cut = Cut::bridge(one, other, via).map_err(said)?;
    let mut targets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (from, to) in resolve(&cut, view).map_err(said)? {
        targets.entry(from).or_default().push(to);
    }
    for (from, to) in targets {
        let request = Request::Link { from, to: to.join(","), fault: LinkFault::Freeze };
        requested(stage, request).await?;
    }
    Ok(format!("{one} and {other} reach each other only via {via}"))
}
