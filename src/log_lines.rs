//! `logs`: the logs of one node, or of all merged by time.

use std::{process::ExitCode, time::Duration};

use anyhow::bail;
use playground::{
    FleetView, Home, launch,
    logs::{self, Follower},
};

use crate::{cli, output};

/// Lines shown of each node's past.
const LINES: usize = 1000;
/// Between looks at the files while following.
const INTERVAL: Duration = Duration::from_millis(200);

pub async fn run(home: &Home, arguments: &cli::Logs) -> anyhow::Result<ExitCode> {
    let (view, node) = find(home, arguments).await?;
    let nodes: Vec<(&str, &str)> = view
        .nodes
        .iter()
        .filter(|it| node.as_ref().is_none_or(|node| it.name == *node))
        .map(|it| (it.name.as_str(), it.log_path.as_str()))
        .collect();
    if nodes.is_empty() {
        let known: Vec<&str> = view.nodes.iter().map(|it| it.name.as_str()).collect();
        let node = node.unwrap_or_default();
        bail!("cluster {} has no node {node}: its nodes are {}", view.cluster, known.join(", "));
    }
    let labelled = nodes.len() > 1;
    let mut followers: Vec<(&str, Follower)> =
        nodes.iter().map(|(name, path)| (*name, Follower::from_end(*path))).collect();
    let mut past = Vec::new();
    for (name, path) in &nodes {
        let lines = logs::tail(path.as_ref(), 0, LINES)?;
        past.extend(lines.into_iter().map(|line| ((*name).to_owned(), line)));
    }
    output::print(&render(past, labelled))?;
    if !arguments.follow {
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        tokio::time::sleep(INTERVAL).await;
        let mut fresh = Vec::new();
        for (name, follower) in &mut followers {
            fresh.extend(follower.poll()?.into_iter().map(|line| ((*name).to_owned(), line)));
        }
        output::print(&render(fresh, labelled))?;
    }
}

/// One name alone may be a cluster, or a node of the default cluster.
async fn find(home: &Home, arguments: &cli::Logs) -> anyhow::Result<(FleetView, Option<String>)> {
    let default = launch::NAME_DEFAULT;
    match (&arguments.name, &arguments.node) {
        (None, _) => Ok((launch::view(home, default).await?, None)),
        (Some(name), None) if !home.cluster(name).exists() && home.cluster(default).exists() => {
            let view = launch::view(home, default).await?;
            if view.node(name).is_none() {
                bail!(
                    "{name} is neither a cluster nor a node of cluster {default}: see `etcd-tui ls`"
                );
            }
            Ok((view, Some(name.clone())))
        }
        (Some(name), node) => Ok((launch::view(home, name).await?, node.clone())),
    }
}

/// Lines in the order of their times, as far as they say any; each node's own order is kept.
fn render(mut lines: Vec<(String, String)>, labelled: bool) -> String {
    if labelled {
        let mut times = std::collections::HashMap::new();
        let mut keyed: Vec<(String, (String, String))> = Vec::new();
        for (node, line) in lines {
            // A line without a time belongs to the one before it.
            let last: &mut String = times.entry(node.clone()).or_default();
            if let Some(time) = timestamp(&line) {
                *last = time;
            }
            keyed.push((last.clone(), (node, line)));
        }
        keyed.sort_by(|left, right| left.0.cmp(&right.0));
        lines = keyed.into_iter().map(|(_, line)| line).collect();
    }
    lines
        .into_iter()
        .map(|(node, line)| if labelled { format!("{node} | {line}\n") } else { line + "\n" })
        .collect()
}

/// The time of a JSON log line; ISO times of one format sort as text.
fn timestamp(line: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value.get("ts")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_merged_by_time_and_stack_traces_stay_together() {
        let line = |node: &str, text: &str| (node.to_owned(), text.to_owned());
        let merged = render(
            vec![
                line("n1", r#"{"ts":"2026-01-01T00:00:01Z","msg":"a"}"#),
                line("n1", "trace of a"),
                line("n1", r#"{"ts":"2026-01-01T00:00:03Z","msg":"c"}"#),
                line("n2", r#"{"ts":"2026-01-01T00:00:02Z","msg":"b"}"#),
            ],
            true,
        );
        let order: Vec<&str> = merged.lines().map(|line| &line[line.len() - 4..]).collect();
        assert_eq!(order, ["\"a\"}", "of a", "\"b\"}", "\"c\"}"]);
        assert!(merged.starts_with("n1 | {"));
    }

    #[test]
    fn one_node_is_printed_as_it_wrote() {
        assert_eq!(render(vec![("n1".into(), "x".into())], false), "x\n");
    }
}
