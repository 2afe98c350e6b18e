//! A drill as a file: what is claimed, what is done, what must be seen.
//!
//! Built-in drills and users' own are the same TOML (`assets/drills/README.md`, and
//! `assets/drills/schema.json` for editors). A file that is wrong is refused as a whole, with its
//! line, the key and what would be right; nothing of it runs.
//!
//! # Invariants
//! - Every name that is used (`{victim}`, `from = "kill"`) is given by a step before.
//! - An expectation says exactly one thing.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::action::{Action, Condition, Span};
use crate::applications::Kind;

/// How much one should know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Basic,
    Intermediate,
    Advanced,
}

impl Level {
    /// The word of the format.
    pub fn word(self) -> &'static str {
        match self {
            Self::Basic => "basic",
            Self::Intermediate => "intermediate",
            Self::Advanced => "advanced",
        }
    }
}

/// A drill.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drill {
    /// What it is called on the command line.
    pub id: String,
    pub title: String,
    /// Where it stands in the catalogue; users' own come last.
    #[serde(default = "last")]
    pub number: u32,
    pub level: Level,
    /// One sentence that can turn out to be false.
    pub hypothesis: String,
    /// What one knows afterwards.
    pub teaches: String,
    /// Where etcd's documentation says more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// After this it is stopped and rolled back.
    #[serde(default = "two_minutes")]
    pub abort_after: Span,
    #[serde(default)]
    pub requires: Requires,
    #[serde(default)]
    pub cluster: ClusterNeeds,
    #[serde(default)]
    pub workload: Load,
    /// Small clients that use the cluster for something, beside the load.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<Kind>,
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    #[serde(default, rename = "expect")]
    pub expectations: Vec<Expectation>,
    /// Done before the rollback that every drill has.
    #[serde(default, rename = "rollback")]
    pub rollback: Vec<Undo>,
}

fn last() -> u32 {
    1000
}

fn two_minutes() -> Span {
    Span(Duration::from_secs(120))
}

/// Without these it is skipped.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Requires {
    /// Engines it makes sense on; empty: all.
    pub engines: Vec<String>,
    /// What the supervisor must be able to do, beyond what the steps show.
    pub capabilities: Vec<String>,
    /// It is not run on a cluster of the user's, and this is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub own_cluster: Option<String>,
}

/// The cluster it runs on when it makes its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClusterNeeds {
    pub nodes: usize,
    /// Flags that every node gets.
    pub settings: crate::Settings,
}

impl Default for ClusterNeeds {
    fn default() -> Self {
        Self { nodes: 3, settings: crate::Settings::default() }
    }
}

/// What runs all the time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// Between two requests of one client.
    pub pace: Span,
    /// How long an answer is waited for.
    pub timeout: Span,
    /// Before the first step.
    pub warm_up: Span,
    /// Why the history is not judged; a drill that destroys data on purpose says so.
    pub unjudged: Option<String>,
    /// Why applications may break their promises here; otherwise that fails the drill.
    pub promises_may_break: Option<String>,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            pace: Span(Duration::from_millis(25)),
            timeout: Span(Duration::from_secs(1)),
            warm_up: Span(Duration::from_secs(1)),
            unjudged: None,
            promises_may_break: None,
        }
    }
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    #[serde(rename = "do")]
    pub action: Action,
    /// What expectations call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What later steps call its nodes.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// How long to wait before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Span>,
    /// It must be refused, with this in the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// A row of the table of what is expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
}

/// One step of the rollback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Undo {
    #[serde(rename = "do")]
    pub action: Action,
}

/// A kind of request that the load makes all the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LaneName {
    Put,
    Get,
    SerializableGet,
    Watch,
    Keepalive,
}

impl LaneName {
    /// For people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "linearizable get",
            Self::SerializableGet => "serializable get",
            Self::Watch => "watch",
            Self::Keepalive => "lease keepalive",
        }
    }
}

/// What clients must have felt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub lane: LaneName,
    /// `cluster` (any member), `each`, nodes, or `not` and nodes.
    #[serde(default = "cluster")]
    pub at: String,
    /// The step it begins with [default: the first that changes something].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The step it ends before [default: the rollback].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The longest time without service may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_at_most: Option<Span>,
    /// The longest time without service must be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outage_at_least: Option<Span>,
    /// No request may succeed.
    #[serde(default)]
    pub never_served: bool,
    /// The row of the table.
    pub says: String,
}

fn cluster() -> String {
    "cluster".into()
}

/// Why a file is no drill.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{place}: {reason}")]
pub struct FormatError {
    pub file: String,
    /// `:LINE`, if it is known.
    pub place: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

impl Drill {
    /// Reads a drill; `file` is only for the error.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(file: &str, text: &str) -> Result<Self, FormatError> {
        let drill: Self = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_of(text, span.start));
            FormatError {
                file: file.into(),
                place: line.map_or_else(String::new, |line| format!(":{line}")),
                reason: explained(error.message()),
            }
        })?;
        drill.check().map_err(|(word, reason)| {
            let at = text.find(&word).filter(|_| !word.is_empty());
            let place = at.map_or_else(String::new, |at| format!(":{}", line_of(text, at)));
            FormatError { file: file.into(), place, reason }
        })?;
        Ok(drill)
    }

    /// What serde cannot check: a word of the file to point at, and what is wrong with it.
    fn check(&self) -> Result<(), (String, String)> {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.id.is_empty() || self.id.len() > 40 || !self.id.bytes().all(good) {
            let reason = format!("id {:?}: use up to 40 lower-case letters, digits, -", self.id);
            return Err(("id".into(), reason));
        }
        if self.steps.is_empty() {
            return Err((String::new(), "there is no [[step]]: a drill does something".into()));
        }
        if !(1..=crate::spec::NODES_MAX).contains(&self.cluster.nodes) {
            let max = crate::spec::NODES_MAX;
            return Err(("nodes".into(), format!("cluster.nodes must be 1 to {max}")));
        }
        if let Err(error) = self.cluster.settings.check() {
            return Err(("[cluster".into(), error.to_string()));
        }
        if self.workload.pace.0.is_zero() || self.workload.timeout.0.is_zero() {
            return Err(("[workload]".into(), "pace and timeout must be above 0ms".into()));
        }
        let mut aliases = BTreeSet::new();
        let mut names = BTreeSet::new();
        for step in &self.steps {
            let text = step.action.to_string();
            check_names(&text, &aliases)?;
            for nodes in step.action.selectors() {
                check_selector(nodes)?;
            }
            self.check_application(&step.action)?;
            if let Some(alias) = &step.alias {
                if step.action.nodes().is_none() {
                    let reason = format!("`as` needs a step about nodes, and `{text}` is none");
                    return Err((format!("\"{alias}\""), reason));
                }
                aliases.insert(alias.as_str());
            }
            if let Some(name) = &step.name
                && !names.insert(name.as_str())
            {
                return Err((format!("\"{name}\""), format!("two steps have the name {name:?}")));
            }
        }
        for undo in &self.rollback {
            check_names(&undo.action.to_string(), &aliases)?;
        }
        self.expectations.iter().try_for_each(|it| check_expectation(it, &names, &aliases))
    }

    /// A step about the application needs one, and one that counts such a thing.
    fn check_application(&self, action: &Action) -> Result<(), (String, String)> {
        let text = action.to_string();
        let fact = match action {
            Action::Client { .. } => None,
            Action::Check(Condition::Application { fact, .. })
            | Action::Await { condition: Condition::Application { fact, .. }, .. } => Some(fact),
            _ => return Ok(()),
        };
        let Some(kind) = self.application else {
            let reason = format!("`{text}` needs an application, as in `application = \"lock\"`");
            return Err((text, reason));
        };
        match fact.filter(|fact| !kind.facts().contains(&fact.as_str())) {
            None => Ok(()),
            Some(fact) => {
                let known = kind.facts().join(", ");
                Err((text, format!("{kind} does not count {fact:?}; it counts {known}")))
            }
        }
    }

    /// Everything it needs the supervisor to be able to do.
    pub fn capabilities(&self) -> BTreeSet<String> {
        let of_steps = self.steps.iter().filter_map(|step| step.action.capability());
        of_steps.map(str::to_string).chain(self.requires.capabilities.iter().cloned()).collect()
    }
}

fn check_expectation(
    it: &Expectation,
    names: &BTreeSet<&str>,
    aliases: &BTreeSet<&str>,
) -> Result<(), (String, String)> {
    let at = format!("says = {:?}", it.says);
    check_names(&it.at, aliases)?;
    for step in [&it.from, &it.to].into_iter().flatten() {
        if !names.contains(step.as_str()) {
            let known: Vec<&str> = names.iter().copied().collect();
            let known = known.join(", ");
            let reason = format!("no step has the name {step:?}; named are: {known}");
            return Err((format!("\"{step}\""), reason));
        }
    }
    let outage = it.outage_at_most.is_some() || it.outage_at_least.is_some();
    if outage == it.never_served {
        let reason = "an [[expect]] says one thing: outage_at_most and/or outage_at_least, or \
                      never_served = true";
        return Err((at, reason.into()));
    }
    Ok(())
}

/// Every `{name}` of the text is known.
fn check_names(text: &str, known: &BTreeSet<&str>) -> Result<(), (String, String)> {
    for part in text.split('{').skip(1) {
        let Some((name, _)) = part.split_once('}') else {
            return Err((text.into(), format!("{text:?}: a brace is not closed")));
        };
        if !known.contains(name) {
            let reason = format!(
                "{text:?}: no step before has `as = \"{name}\"`, which gives {{{name}}} its nodes"
            );
            return Err((text.into(), reason));
        }
    }
    Ok(())
}

/// The text selects nodes, whichever those are that steps have given names to.
fn check_selector(text: &str) -> Result<(), (String, String)> {
    let mut known = String::new();
    for (at, part) in text.split('{').enumerate() {
        match part.split_once('}') {
            Some((_, rest)) if at > 0 => known.extend(["n1", rest]),
            _ => known.push_str(part),
        }
    }
    let list = known.strip_prefix("not ").unwrap_or(&known);
    if matches!(list, "random" | "rest") || list.starts_with("client:") {
        return Ok(());
    }
    let parsed = list.parse::<crate::selector::Selector>();
    parsed.map(drop).map_err(|error| (text.into(), error.to_string()))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.get(..offset).unwrap_or_default().matches('\n').count() + 1
}

/// TOML's words, and what to do.
fn explained(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    match message.contains("unknown field") {
        true => {
            format!("{message}; see `etcd-tui drill show kill-leader` for a drill that is right")
        }
        false => message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
id = "mine"
title = "Mine"
level = "basic"
hypothesis = "It holds."
teaches = "Something."

[[step]]
do = "kill leader"
as = "victim"
name = "kill"

[[step]]
do = "await leader other than {victim} within 10s"
says = "another leader"

[[expect]]
lane = "put"
from = "kill"
outage_at_most = "4s"
says = "a short outage"
"#;

    #[test]
    fn a_good_file_is_read_and_has_defaults() {
        let drill = Drill::parse("mine.toml", GOOD).unwrap();
        assert_eq!((drill.cluster.nodes, drill.number), (3, 1000));
        assert_eq!(drill.expectations[0].at, "cluster");
        assert_eq!(drill.capabilities().into_iter().collect::<Vec<_>>(), ["proc.kill"]);
        let again = toml::to_string(&drill).unwrap();
        assert_eq!(Drill::parse("again", &again).unwrap(), drill);
    }

    #[test]
    fn a_wrong_file_names_line_key_and_fix() {
        let cases = [
            ("kill leader", "explode leader", "mine.toml:9", "steps are:"),
            ("title = \"Mine\"", "titel = \"Mine\"", "mine.toml:3", "unknown field `titel`"),
            ("level = \"basic\"", "level = \"hard\"", "mine.toml:4", "intermediate"),
            ("title = \"Mine\"\n", "", "mine.toml", "missing field `title`"),
            ("\"4s\"", "\"soon\"", "mine.toml:20", "write 500ms, 3s or 2m"),
            ("from = \"kill\"", "from = \"boom\"", "mine.toml:19", "named are: kill"),
            ("than {victim}", "than {other}", "mine.toml:14", "as = \"other\""),
            ("than {victim}", "than {victim", "mine.toml:14", "not closed"),
            ("outage_at_most = \"4s\"", "never_served = false", "mine.toml:21", "says one thing"),
            ("kill leader", "kill followers", "mine.toml:9", "selects no node"),
            ("than {victim}", "than {victim},m2", "mine.toml:14", "selects no node"),
            ("lane = \"put\"", "lane = \"puts\"", "mine.toml:18", "serializable-get"),
            ("kill leader", "client pause holder", "mine.toml:9", "needs an application"),
            (
                "level = ",
                "application = \"locks\"\nlevel = ",
                "mine.toml:4",
                "applications are: lock",
            ),
            ("\"mine\"", "\"My Drill\"", "mine.toml:2", "lower-case"),
            ("id = \"mine\"", "id = 7", "mine.toml:2", "expected a string"),
            ("[[step]]", "[[step]", "mine.toml:8", "]"),
            ("as = \"victim\"", "as = \"victim\"\nrefusd = \"x\"", "mine.toml:11", "refusd"),
        ];
        for (from, to, place, reason) in cases {
            assert!(GOOD.contains(from), "{from}");
            let error = Drill::parse("mine.toml", &GOOD.replacen(from, to, 1)).unwrap_err();
            let text = error.to_string();
            assert!(text.starts_with(place), "{to}: {text}");
            assert!(text.contains(reason), "{to}: {text}");
        }
    }

    #[test]
    fn steps_cannot_be_missing() {
        let head = GOOD.split("[[step]]").next().unwrap();
        let error = Drill::parse("x", &format!("{head}step = []\n")).unwrap_err();
        assert!(error.reason.contains("no [[step]]"), "{error}");
    }
}
