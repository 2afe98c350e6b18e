//! The guided course: pages in `assets/learn/*.toml`, read once.
//!
//! A page is a story of steps. A step may ask what will happen before it lets anything happen;
//! then something is done, by the reader or on request; ticks say live whether it can be seen;
//! when all of them hold, the step explains. The texts are data, so that correcting one needs
//! no program, and everything they refer to is checked when they are read.

use super::predicate::Predicate;
use crate::fleet::FleetCommand;
use serde::Deserialize;

/// The pages, in the order of the course.
const PAGES: [&str; 10] = [
    include_str!("../../../assets/learn/01-one-of-three.toml"),
    include_str!("../../../assets/learn/02-the-leader.toml"),
    include_str!("../../../assets/learn/03-two-of-three.toml"),
    include_str!("../../../assets/learn/04-replace.toml"),
    include_str!("../../../assets/learn/05-grow.toml"),
    include_str!("../../../assets/learn/06-quota.toml"),
    include_str!("../../../assets/learn/07-restore.toml"),
    include_str!("../../../assets/learn/08-isolate-leader.toml"),
    include_str!("../../../assets/learn/09-deaf-leader.toml"),
    include_str!("../../../assets/learn/10-lock.toml"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub id: String,
    pub title: String,
    /// The drill that examines the same.
    pub drill: Option<String>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub say: String,
    pub question: Option<Question>,
    /// How to do it by hand.
    pub hint: String,
    /// What is done on request, in order.
    pub acts: Vec<Act>,
    pub ticks: Vec<Tick>,
    pub reveal: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub text: String,
    pub answers: Vec<String>,
    /// Index of the right one.
    pub right: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tick {
    pub text: String,
    pub when: Predicate,
}

/// Something the course does for the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    Fleet(FleetCommand),
    /// Replace whatever node is down.
    ReplaceDead,
    /// Nothing passes to the leader, and nothing from it either if that is said.
    CutLeader {
        both_ways: bool,
    },
    /// Run the drill of this name.
    Drill(String),
}

/// What is wrong with a page.
#[derive(Debug, thiserror::Error)]
pub enum CourseError {
    #[error("page {0} of the course cannot be read: {1}")]
    Syntax(usize, toml::de::Error),
    #[error("page `{0}` of the course: {1}")]
    Content(String, String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPage {
    id: String,
    title: String,
    drill: Option<String>,
    step: Vec<RawStep>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStep {
    say: String,
    question: Option<String>,
    #[serde(default)]
    answers: Vec<String>,
    right: Option<usize>,
    #[serde(default)]
    hint: String,
    #[serde(default)]
    act: Vec<String>,
    #[serde(default)]
    ticks: Vec<RawTick>,
    reveal: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTick {
    text: String,
    when: String,
}

/// The course that ships with the program; a test proves that it can be read.
pub fn builtin() -> Vec<Page> {
    parse(&PAGES).unwrap_or_default()
}

/// Reads pages, in order.
pub fn parse(texts: &[&str]) -> Result<Vec<Page>, CourseError> {
    let mut pages = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let raw: RawPage =
            toml::from_str(text).map_err(|error| CourseError::Syntax(index + 1, error))?;
        let steps = raw.step.into_iter().map(step).collect::<Result<_, _>>();
        let steps = steps.map_err(|why| CourseError::Content(raw.id.clone(), why))?;
        pages.push(Page { id: raw.id, title: raw.title, drill: raw.drill, steps });
    }
    Ok(pages)
}

fn step(raw: RawStep) -> Result<Step, String> {
    let question = match (raw.question, raw.right) {
        (None, None) if raw.answers.is_empty() => None,
        (Some(text), Some(right)) if right < raw.answers.len() && raw.answers.len() > 1 => {
            Some(Question { text, answers: raw.answers, right })
        }
        _ => return Err("a question has answers, and `right` is the index of one".to_owned()),
    };
    let ticks = raw
        .ticks
        .into_iter()
        .map(|tick| Predicate::parse(&tick.when).map(|when| Tick { text: tick.text, when }));
    let acts = raw.act.iter().map(|words| Act::parse(words));
    Ok(Step {
        say: paragraphs(&raw.say),
        question,
        hint: raw.hint,
        acts: acts.collect::<Result<_, _>>()?,
        ticks: ticks.collect::<Result<_, _>>()?,
        reveal: paragraphs(&raw.reveal),
    })
}

/// Lines that follow each other are one paragraph; an empty line begins the next.
fn paragraphs(text: &str) -> String {
    let joined = text.trim().split("\n\n").map(|part| {
        part.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
    });
    joined.collect::<Vec<_>>().join("\n")
}

impl Act {
    /// Reads `kill follower`, `grow 5`, `replace dead`.
    fn parse(words: &str) -> Result<Self, String> {
        let (verb, rest) = words.split_once(' ').unwrap_or((words, ""));
        let node = || rest.to_owned();
        let count = || rest.parse::<usize>().map_err(|_| format!("`{words}` needs a number"));
        Ok(Self::Fleet(match verb {
            "kill" => FleetCommand::Kill(node()),
            "stop" => FleetCommand::Stop(node()),
            "start" => FleetCommand::Start(node()),
            "pause" => FleetCommand::Pause(node()),
            "resume" => FleetCommand::Resume(node()),
            "isolate" if rest == "leader" => return Ok(Self::CutLeader { both_ways: true }),
            "deafen" if rest == "leader" => return Ok(Self::CutLeader { both_ways: false }),
            "heal" if rest.is_empty() => FleetCommand::Heal,
            "drill" if !rest.is_empty() => return Ok(Self::Drill(node())),
            "backup" if rest.is_empty() => FleetCommand::Backup,
            "lose" if rest == "all" => FleetCommand::LoseAll,
            "restore" if rest.is_empty() => FleetCommand::Restore,
            "replace" if rest == "dead" => return Ok(Self::ReplaceDead),
            "grow" => FleetCommand::Grow(count()?),
            "shrink" => FleetCommand::Shrink(count()?),
            _ => return Err(format!("`{words}` is nothing the course can do")),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_course_can_be_read_and_every_step_ends() {
        let pages = parse(&PAGES).expect("a course");
        assert_eq!(pages.len(), PAGES.len());
        for page in &pages {
            assert!(!page.steps.is_empty(), "{}", page.id);
            for step in &page.steps {
                let ends = !step.ticks.is_empty() || step.acts.is_empty();
                assert!(ends, "{}: what is done must be seen", page.id);
                assert!(!step.reveal.is_empty(), "{}: a step explains", page.id);
                assert_eq!(step.acts.is_empty(), step.hint.is_empty(), "{}", page.id);
            }
            let same = pages.iter().filter(|other| other.id == page.id).count();
            assert_eq!(same, 1, "{} is there once", page.id);
        }
    }

    #[test]
    fn mistakes_are_named() {
        let page =
            |step: &str| format!("id = 'a'\ntitle = 'A'\n[[step]]\nsay = ''\nreveal = ''\n{step}");
        let error = |step: &str| parse(&[&page(step)]).expect_err(step).to_string();
        assert!(error("act = ['explode n1']").contains("`explode n1`"));
        assert!(error("ticks = [{ text = '', when = 'moon' }]").contains("`moon`"));
        assert!(error("question = '?'\nanswers = ['a', 'b']\nright = 2").contains("right"));
        assert!(error("question = '?'\nanswers = ['a', 'b']").contains("right"));
        assert!(error("colour = 'red'").contains("page 1"));
        assert!(error("act = ['grow much']").contains("number"));
    }

    #[test]
    fn paragraphs_are_joined() {
        assert_eq!(paragraphs("\na\n b\n\nc\n"), "a b\nc");
    }
}
