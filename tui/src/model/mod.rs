//! The model: every fact the screen is drawn from.
//!
//! `update` is the only writer, `view` only reads. It holds facts (the last answer and when
//! it came), not texts; whatever can be derived is derived when drawn.

pub mod browser;
pub mod cluster;
pub mod drills;
pub mod learn;
pub mod line;
pub mod links;
pub mod logs;
pub mod overlay;
pub mod series;
pub mod time;

use crate::fleet::Capability;
use crate::keymap::{Keymap, Mode};
use crate::msg::RequestId;
use browser::Browser;
use cluster::{Cluster, Row, Tone};
use drills::Drills;
use learn::Learn;
use links::Links;
use logs::Logs;
use overlay::Overlay;
use std::sync::Arc;
use time::Now;

/// What the session is about; never changes.
#[derive(Clone, Debug, Default)]
pub struct About {
    pub title: String,
    /// Whether a supervisor runs the members' processes for us.
    pub local: bool,
    pub read_only: bool,
    pub seeds: Vec<String>,
    /// Seconds the user's clock is east of UTC.
    pub utc_offset_s: i32,
    /// Whether log lines are pushed to us, so that files need not be followed.
    pub logs_pushed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    #[default]
    Cluster,
    Keys,
    Logs,
    Links,
    Drills,
    Learn,
}

impl Screen {
    pub const ALL: [Self; 6] =
        [Self::Cluster, Self::Keys, Self::Logs, Self::Links, Self::Drills, Self::Learn];

    pub fn title(self) -> &'static str {
        match self {
            Self::Cluster => "Cluster",
            Self::Keys => "Keys",
            Self::Logs => "Logs",
            Self::Links => "Links",
            Self::Drills => "Drills",
            Self::Learn => "Learn",
        }
    }

    pub fn number(self) -> u8 {
        match self {
            Self::Cluster => 1,
            Self::Keys => 2,
            Self::Logs => 3,
            Self::Links => 4,
            Self::Drills => 5,
            Self::Learn => 6,
        }
    }

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|screen| screen.number() == number)
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|screen| screen.title().eq_ignore_ascii_case(name))
    }

    pub fn mode(self) -> Mode {
        match self {
            Self::Cluster => Mode::Cluster,
            Self::Keys => Mode::Keys,
            Self::Logs => Mode::Logs,
            Self::Links => Mode::Links,
            Self::Drills => Mode::Drills,
            Self::Learn => Mode::Learn,
        }
    }
}

/// A sentence shown for a few seconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Toast {
    pub tone: Tone,
    pub text: String,
    pub until: Now,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub about: About,
    pub now: Now,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    pub screen: Screen,
    pub overlay: Option<Overlay>,
    pub cluster: Cluster,
    pub keys: Browser,
    pub logs: Logs,
    pub links: Links,
    pub drills: Drills,
    /// What can be done to the nodes; empty until the supervisor tells.
    pub capabilities: Vec<Capability>,
    /// The guided course, in a session that was begun for it.
    pub learn: Option<Learn>,
    pub toast: Option<Toast>,
    pub keymap: Arc<Keymap>,
    pub last_id: RequestId,
    /// Leadership moves under way, with what to say when they end.
    pub moving: Vec<(RequestId, String)>,
    /// When ctrl-c was pressed last.
    pub interrupted: Option<Now>,
    /// Whether the supervisor hung up.
    pub fleet_gone: bool,
}

/// Long enough to read a sentence twice.
const TOAST_MS: u64 = 6_000;

impl Model {
    pub fn new(about: About, size: (u16, u16)) -> Self {
        Self { about, size, keymap: Arc::new(Keymap::builtin()), ..Self::default() }
    }

    /// A number no request has had.
    pub fn next_id(&mut self) -> RequestId {
        self.last_id += 1;
        self.last_id
    }

    pub fn say(&mut self, tone: Tone, text: impl Into<String>) {
        let until = self.now.plus_ms(TOAST_MS);
        self.toast = Some(Toast { tone, text: text.into(), until });
    }

    /// The mode keys are looked up in.
    pub fn mode(&self) -> Mode {
        self.overlay.as_ref().map_or(self.screen.mode(), Overlay::mode)
    }

    /// Screens this session has.
    pub fn screens(&self) -> impl Iterator<Item = Screen> + '_ {
        Screen::ALL.into_iter().filter(|screen| match screen {
            Screen::Cluster | Screen::Keys => true,
            Screen::Logs => self.about.local,
            Screen::Links => {
                let able = |it: &Capability| it.name == "link" && it.available;
                self.about.local && self.capabilities.iter().any(able)
            }
            Screen::Drills => self.about.local && !self.drills.cards.is_empty(),
            Screen::Learn => self.learn.is_some(),
        })
    }

    /// The member under the cursor.
    pub fn current_member(&self) -> Option<Row> {
        self.cluster.rows().into_iter().nth(self.cluster.cursor)
    }

    /// Whether anything on screen grows old without a message arriving.
    pub fn ages(&self) -> bool {
        self.toast.is_some() || (self.screen == Screen::Keys && self.keys.pane.lease.is_some())
    }
}
