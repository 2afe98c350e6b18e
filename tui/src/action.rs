//! What a key can mean.
//!
//! One closed list: the keymap, the hint bar, the help screen and the palette all speak in
//! these actions, so none of them can describe something that does not exist. What an
//! action does to the model is left to `update/`.

/// An intention of the user, independent of the key that expressed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Open,
    Unfold,
    Close,
    Back,
    NextPane,
    PreviousPane,
    Screen(u8),
    Palette,
    Help,
    Filter,
    Refresh,
    Quit,
    Interrupt,
    // Members
    Kill,
    Stop,
    Start,
    Restart,
    Pause,
    Replace,
    Wipe,
    MoveLeader,
    MemberLogs,
    // Keys
    New,
    Edit,
    Delete,
    Flat,
    Jump,
    Parent,
    Format,
    // Logs
    Follow,
    NextNode,
    PreviousNode,
    Wrap,
    Raw,
    ClearLogs,
    // Links
    Freeze,
    Reset,
    Delay,
    Rate,
    Flap,
    LinkOk,
    BothWays,
    Isolate,
    Partition,
    Heal,
    // Drills
    StopDrill,
    Application,
    // Course
    Next,
    NextPage,
    PreviousPage,
    PageDrill,
    // Overlays
    Submit,
    Yes,
    Cancel,
    Save,
    NextField,
    Left,
    Right,
}

/// Name in the keymap, word in the hint bar, sentence in the help.
pub struct Description {
    pub action: Action,
    pub name: &'static str,
    pub hint: &'static str,
    pub help: &'static str,
}

const fn d(
    action: Action,
    name: &'static str,
    hint: &'static str,
    help: &'static str,
) -> Description {
    Description { action, name, hint, help }
}

/// Every action, in the order the help shows them.
pub const DESCRIPTIONS: &[Description] = &[
    d(Action::Up, "up", "up", "move the cursor up"),
    d(Action::Down, "down", "down", "move the cursor down"),
    d(Action::PageUp, "page-up", "page up", "move one page up"),
    d(Action::PageDown, "page-down", "page down", "move one page down"),
    d(Action::First, "first", "top", "go to the first row"),
    d(Action::Last, "last", "end", "go to the last row that is loaded"),
    d(Action::Open, "open", "open", "open what the cursor is on; fold or unfold a directory"),
    d(Action::Unfold, "unfold", "unfold", "unfold the directory, or go to what is in it"),
    d(Action::Close, "close", "close", "fold the directory, or go to the one it is in"),
    d(Action::Back, "back", "back", "go back: close, clear the filter"),
    d(Action::NextPane, "next-pane", "pane", "move to the next pane"),
    d(Action::PreviousPane, "previous-pane", "pane", "move to the previous pane"),
    d(Action::Screen(1), "screen-1", "cluster", "show the cluster"),
    d(Action::Screen(2), "screen-2", "keys", "show the keys"),
    d(Action::Screen(3), "screen-3", "logs", "show the logs (local clusters)"),
    d(Action::Screen(4), "screen-4", "links", "show the links between nodes"),
    d(Action::Screen(5), "screen-5", "drills", "show the drills"),
    d(Action::Screen(6), "screen-6", "learn", "show the course"),
    d(Action::Palette, "palette", "command", "run a command by name"),
    d(Action::Help, "help", "help", "show every key"),
    d(Action::Filter, "filter", "filter", "filter what is shown"),
    d(Action::Refresh, "refresh", "refresh", "ask the cluster again, now"),
    d(Action::Quit, "quit", "quit", "leave"),
    d(Action::Interrupt, "interrupt", "quit", "leave; twice to leave without questions"),
    d(Action::Kill, "kill", "kill", "kill the member's process (SIGKILL)"),
    d(Action::Stop, "stop", "stop", "stop the member's process gracefully"),
    d(Action::Start, "start", "start", "start the member's process"),
    d(Action::Restart, "restart", "restart", "stop the member and start it again"),
    d(Action::Pause, "pause", "pause/resume", "freeze the process, or let it run again"),
    d(Action::Replace, "replace", "replace", "remove the member and add a fresh one"),
    d(Action::Wipe, "wipe", "wipe", "throw the stopped member's data away"),
    d(Action::MoveLeader, "move-leader", "make leader", "move leadership to this member"),
    d(Action::MemberLogs, "member-logs", "logs", "show this member's log"),
    d(Action::New, "new", "new", "put a new key"),
    d(Action::Edit, "edit", "edit", "edit the value (refused if it changed meanwhile)"),
    d(Action::Delete, "delete", "delete", "delete the key (refused if it changed meanwhile)"),
    d(Action::Flat, "flat", "tree/flat", "switch between tree and flat list"),
    d(Action::Jump, "jump", "go to prefix", "show only keys that begin with a prefix"),
    d(Action::Parent, "parent", "up a level", "show the directory above"),
    d(Action::Format, "format", "format", "show the value as JSON, text or hex"),
    d(Action::Follow, "follow", "follow", "follow the end of the log, or stop there"),
    d(Action::NextNode, "next-node", "next node", "show the next node's log"),
    d(Action::PreviousNode, "previous-node", "previous node", "show the previous node's log"),
    d(Action::Wrap, "wrap", "wrap", "show long lines whole, over several rows"),
    d(Action::Raw, "raw", "raw/pretty", "show log lines as written, or readable"),
    d(Action::ClearLogs, "clear", "clear", "forget the lines shown so far"),
    d(Action::Freeze, "freeze", "freeze", "freeze the link: nothing passes, nothing is lost"),
    d(Action::Reset, "reset", "reset", "break the link: connections end and are refused"),
    d(Action::Delay, "delay", "delay", "delay what is sent over the link"),
    d(Action::Rate, "rate", "limit", "limit how much passes in a second"),
    d(Action::Flap, "flap", "flap", "open and freeze the link in turn"),
    d(Action::LinkOk, "link-ok", "ok", "let the link pass everything again"),
    d(Action::BothWays, "both-ways", "both ways", "mean both directions, or one"),
    d(Action::Isolate, "isolate", "isolate", "cut the node of the row off from all others"),
    d(Action::Partition, "partition", "partition", "cut the cluster into two sides"),
    d(Action::Heal, "heal", "heal all", "let every link pass everything again"),
    d(Action::StopDrill, "stop-drill", "stop drill", "stop the drill that runs, and roll back"),
    d(Action::Application, "application", "application", "choose what uses the cluster meanwhile"),
    d(Action::Next, "next", "next", "let the course do it, or go on"),
    d(Action::NextPage, "next-page", "next page", "turn to the next page"),
    d(Action::PreviousPage, "previous-page", "previous page", "turn back a page"),
    d(Action::PageDrill, "page-drill", "drill", "show the page's drill, its run or its report"),
    d(Action::Submit, "submit", "ok", "accept"),
    d(Action::Yes, "yes", "yes", "say yes to the question"),
    d(Action::Cancel, "cancel", "cancel", "close without doing anything"),
    d(Action::Save, "save", "save", "write the value"),
    d(Action::NextField, "next-field", "field", "move between key and value"),
    d(Action::Left, "left", "left", "move left"),
    d(Action::Right, "right", "right", "move right"),
];

impl Action {
    pub fn by_name(name: &str) -> Option<Self> {
        DESCRIPTIONS.iter().find(|d| d.name == name).map(|d| d.action)
    }

    pub fn describe(self) -> Option<&'static Description> {
        DESCRIPTIONS.iter().find(|d| d.action == self)
    }
}
