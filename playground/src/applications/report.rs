//! What there was to see of an application: plain data, at one moment or in the end.

use serde::{Deserialize, Serialize};

/// Whether a client runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientState {
    #[default]
    Running,
    /// It does nothing and hears nothing, as in a long garbage collection.
    Paused,
    Crashed,
}

impl ClientState {
    /// Before what the client does; nothing when it runs.
    pub fn words(self) -> &'static str {
        match self {
            Self::Running => "",
            Self::Paused => "paused: ",
            Self::Crashed => "crashed: ",
        }
    }
}

/// One client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientReport {
    pub name: String,
    pub state: ClientState,
    /// Whether it has what the application is about.
    pub active: bool,
    pub text: String,
}

/// An application at one moment; in a report, the last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationReport {
    pub application: String,
    pub about: String,
    /// What must hold.
    pub claim: String,
    pub clients: Vec<ClientReport>,
    /// What stands outside of the cluster.
    pub outside: Option<String>,
    pub facts: Vec<Fact>,
    /// Promises that were broken.
    pub violations: Vec<String>,
    /// What did not come to rest after the cluster was healed.
    pub unmet: Option<String>,
    /// Why it may break its promises here, if it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excused: Option<String>,
    /// What of weight happened.
    pub happened: Vec<Happened>,
}

/// Something that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub name: String,
    pub count: u64,
    /// Of what goes up and down, the most there was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub most: Option<u64>,
}

impl std::fmt::Display for Fact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.name, self.count)?;
        self.most.map_or(Ok(()), |most| write!(f, " (at most {most})"))
    }
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happened {
    /// Since the application began.
    pub at_ms: u64,
    pub text: String,
}

impl ApplicationReport {
    /// The verdict on the claim, in one sentence.
    pub fn verdict(&self) -> String {
        match (self.violations.first(), &self.unmet) {
            (Some(violation), _) if let Some(why) = &self.excused => {
                format!("broken, as it may be here ({why}): {violation}")
            }
            (Some(violation), _) => format!("broken: {violation}"),
            (None, Some(unmet)) => format!("not at rest: {unmet}"),
            (None, None) => "it held".into(),
        }
    }

    /// Whether it held, or did not have to.
    pub fn is_well(&self) -> bool {
        self.held() || self.excused.is_some()
    }

    /// Whether no promise was broken, and all came to rest.
    pub fn held(&self) -> bool {
        self.violations.is_empty() && self.unmet.is_none()
    }

    /// The counts in one line.
    pub fn counts(&self) -> String {
        self.facts.iter().map(Fact::to_string).collect::<Vec<_>>().join(", ")
    }
}
