//! What can lie over a screen: at most one of these at a time, drawn last.

use super::line::TextInput;
use super::links::LinkDeed;
use crate::effect::Outcome;
use crate::keymap::Mode;
use crate::msg::{KeyMeta, RequestId};
use crate::text;

/// An action on one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Kill,
    Stop,
    Start,
    Restart,
    Pause,
    Resume,
    Replace,
    Wipe,
    MoveLeader,
}

impl Verb {
    pub const ALL: [Self; 9] = [
        Self::Kill,
        Self::Stop,
        Self::Start,
        Self::Restart,
        Self::Pause,
        Self::Resume,
        Self::Replace,
        Self::Wipe,
        Self::MoveLeader,
    ];

    pub fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Replace => "replace",
            Self::Wipe => "wipe",
            Self::MoveLeader => "move-leader",
        }
    }

    /// Whether it needs the process, so that only a local cluster has it.
    pub fn local_only(self) -> bool {
        self != Self::MoveLeader
    }
}

/// Something to be done, chosen in a dialog or the palette.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Nothing,
    /// Ask first, if the verb is one to ask about.
    Member(Verb, String),
    /// The question has been answered.
    MemberNow(Verb, String),
    Screen(u8),
    Jump(Vec<u8>),
    Filter(String),
    New(Vec<u8>),
    Logs(Option<String>),
    Action(crate::action::Action),
    /// The question about links has been answered.
    LinksNow(LinkDeed),
    /// The preflight of a drill has been read, which also said whether it makes a cluster of
    /// its own.
    DrillNow(String, bool),
    /// A node and a fault, in the words of the command line: ask first.
    Fault(String, String),
    FaultNow(String, String),
    DeleteNow(KeyMeta),
    Leave(Outcome),
    /// Ask once more before data is deleted.
    AskPurge,
}

/// What a question is about; its text is worked out when drawn, so that it is never stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Member(Verb, String),
    Delete(KeyMeta),
    Links(LinkDeed),
    Fault(String, String),
    /// And whether on a cluster of its own.
    Drill(String, bool),
    Quit,
    Purge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirm {
    pub subject: Subject,
    pub buttons: Vec<(String, Command)>,
    pub focus: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Jump,
    Filter,
    LogFilter,
    Delay,
    Rate,
    Flap,
    Partition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub purpose: Purpose,
    pub input: TextInput,
    pub problem: Option<String>,
}

/// A key and its value being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Editor {
    pub key: TextInput,
    pub value: TextInput,
    /// Revision of the version the text was made from; 0 for a key that must not exist.
    pub expect: i64,
    pub creating: bool,
    pub in_value: bool,
    pub saving: Option<RequestId>,
    pub problem: Option<String>,
    /// What is there now instead, after a refused write.
    pub theirs: Option<Vec<String>>,
    /// Whether text was typed.
    pub touched: bool,
    /// Whether leaving would lose text and was asked for once already.
    pub leaving: bool,
}

impl Editor {
    /// Nothing typed yet. `expect` is what the key is expected to be, 0 for absent.
    pub fn new(key: &[u8], value: &str, expect: i64) -> Self {
        Self {
            key: TextInput::line(&text::escape(key)),
            value: TextInput::multiline(value),
            expect,
            creating: false,
            in_value: true,
            saving: None,
            problem: None,
            theirs: None,
            touched: false,
            leaving: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub text: String,
    pub about: String,
    pub command: Command,
    /// Why it cannot be done now.
    pub refused: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Palette {
    pub input: TextInput,
    pub cursor: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    Help { scroll: usize },
    Palette(Palette),
    Confirm(Confirm),
    Prompt(Prompt),
    Editor(Box<Editor>),
}

impl Overlay {
    pub fn mode(&self) -> Mode {
        match self {
            Self::Help { .. } => Mode::Help,
            Self::Palette(_) => Mode::Palette,
            Self::Confirm(_) => Mode::Confirm,
            Self::Prompt(_) => Mode::Prompt,
            Self::Editor(_) => Mode::Editor,
        }
    }
}
