//! The terminal UI.
//!
//! ```text
//! terminal events ─┐                       ┌─▶ client/ (gRPC)  ─┐
//! cluster replies ─┼─▶ Msg ─▶ update(&mut Model, Msg, now) ─▶ Effects ─┼─▶ supervisor ─┼─▶ Msg …
//! supervisor views ┘            │                          └─▶ quit
//!                               └─▶ draw(&Model, &Theme, &mut Frame)   only when something changed
//! ```
//!
//! `update` is the only writer of the model and `draw` only reads it; neither knows tokio,
//! tonic or crossterm, and both are tested without a terminal or a network. The shells
//! around them (`runtime`, `terminal`, `input`, `client`) decide nothing.
//!
//! Any etcd v3 cluster can be looked at. A cluster started here also has a supervisor, to
//! which the UI is connected by a [`FleetLink`]; without one, everything that needs a
//! process is absent. The UI never links the node: it talks gRPC like any other client.

mod action;
mod client;
mod clock;
mod effect;
pub mod fleet;
mod fuzzy;
#[cfg(test)]
mod golden;
mod hit;
mod input;
mod key;
mod keymap;
pub mod lab;
mod layout;
mod model;
mod msg;
mod quorum;
mod reach;
mod runtime;
#[cfg(test)]
mod scene;
mod terminal;
mod text;
mod theme;
mod trust;
mod update;
mod value;
mod view;
mod walk;

pub use effect::Outcome;
pub use fleet::{
    FleetCommand, FleetLink, FleetNode, FleetPort, FleetState, FleetUpdate, LogSource,
};
pub use trust::{Trust, User};
pub use update::faults::WORDS as NODE_FAULTS;

use model::learn::Learn;
use model::{About, Model, Screen};
use runtime::Shell;
use theme::Theme;

/// What to show, and how.
#[derive(Debug, Default)]
pub struct Session {
    /// Client URLs to begin with; others are found in the member list.
    pub endpoints: Vec<String>,
    /// What to call the cluster.
    pub title: String,
    /// The supervisor of a local cluster.
    pub fleet: Option<FleetLink>,
    /// Begin with the guided course: the pages that were read before.
    pub course: Option<Vec<String>>,
    /// Whether to refuse every change. Remote clusters should be looked at this way unless
    /// the user asked to write.
    pub read_only: bool,
    /// Use no colour (`NO_COLOR`).
    pub no_color: bool,
    /// For client URLs with TLS.
    pub trust: Trust,
    /// `ansi` (the default), `dark`, `light` or `mono`.
    pub theme: Option<String>,
}

/// Why the UI could not run.
#[derive(Debug, thiserror::Error)]
pub enum TuiError {
    #[error("cannot use the terminal: {0}; run this in an interactive terminal")]
    Terminal(std::io::Error),
    #[error("cannot listen for signals: {0}")]
    Signal(std::io::Error),
    #[error("there is no screen `{0}`: choose cluster, keys, logs, links, drills or learn")]
    Screen(String),
    #[error("the logs screen is there for local clusters only")]
    NoLogs,
    #[error("the course has a cluster of its own: `etcd-tui learn` shows it")]
    NoCourse,
    #[error("a frame of {0}x{1} is too small: ask for 40x12 or more")]
    Size(u16, u16),
    #[error("give at least one endpoint, such as --endpoints http://127.0.0.1:2379")]
    NoEndpoints,
    #[error(transparent)]
    Theme(#[from] theme::ThemeError),
}

impl Session {
    fn theme(&self) -> Result<Theme, TuiError> {
        let name = if self.no_color { "mono" } else { self.theme.as_deref().unwrap_or("ansi") };
        Ok(Theme::named(name)?)
    }

    fn shell(self, size: (u16, u16)) -> Result<Shell, TuiError> {
        if self.endpoints.is_empty() && self.fleet.is_none() {
            return Err(TuiError::NoEndpoints);
        }
        let about = About {
            title: self.title,
            local: self.fleet.is_some(),
            read_only: self.read_only,
            seeds: self.endpoints,
            utc_offset_s: clock::utc_offset_s(),
            logs_pushed: self.fleet.as_ref().is_some_and(|link| link.logs == LogSource::Pushed),
        };
        let mut model = Model::new(about, size);
        if let Some(done) = self.course {
            model.learn = Some(Learn::new(lab::course::builtin(), done));
            model.screen = Screen::Learn;
        }
        Ok(Shell::new(model, self.fleet, self.trust))
    }
}

/// Shows the session on the terminal until the user leaves.
pub async fn run(session: Session) -> Result<Outcome, TuiError> {
    let theme = session.theme()?;
    runtime::run(session.shell((0, 0))?, theme).await
}

/// One frame of a screen as text, once the cluster has answered or had time to.
pub async fn snapshot(
    session: Session,
    width: u16,
    height: u16,
    screen: &str,
) -> Result<String, TuiError> {
    if layout::is_too_small((width, height)) {
        return Err(TuiError::Size(width, height));
    }
    let wanted = Screen::by_name(screen).ok_or_else(|| TuiError::Screen(screen.to_owned()))?;
    if wanted == Screen::Logs && session.fleet.is_none() {
        return Err(TuiError::NoLogs);
    }
    if wanted == Screen::Learn && session.course.is_none() {
        return Err(TuiError::NoCourse);
    }
    runtime::snapshot(session.shell((width, height))?, wanted).await
}
