//! The shell's loop: wait for something, update, carry out effects, draw if needed.
//!
//! A frame is drawn only when something changed, at most sixty times a second, and messages
//! that arrive together are drawn together. While nothing happens nothing runs but the
//! once-a-second poll.

use crate::client::Client;
use crate::effect::{Effect, Outcome};
use crate::fleet::{FleetCommand, FleetLink, FleetUpdate};
use crate::hit::Hits;
use crate::model::cluster::Tone;
use crate::model::time::Now;
use crate::model::{Model, Screen};
use crate::msg::Msg;
use crate::terminal::Terminal;
use crate::theme::Theme;
use crate::{Trust, TuiError, input, update, view};
use futures::StreamExt;
use ratatui::backend::TestBackend;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

const FRAME: Duration = Duration::from_millis(16);
/// Messages in flight from the client; a slow terminal makes the senders wait.
const MESSAGES: usize = 1_024;
/// Messages taken in before input is looked at again.
const BATCH: usize = 256;
/// How long a snapshot waits for the cluster.
const SETTLE_WITHIN: Duration = Duration::from_secs(6);
const SETTLE_LEAST: Duration = Duration::from_millis(400);

/// Model, executor and clocks: all that a loop needs besides a terminal.
pub struct Shell {
    model: Model,
    client: Client,
    messages: mpsc::Receiver<Msg>,
    commands: Option<mpsc::Sender<FleetCommand>>,
    updates: Option<mpsc::Receiver<FleetUpdate>>,
    started: Instant,
}

impl Shell {
    pub fn new(model: Model, fleet: Option<FleetLink>, trust: Trust) -> Self {
        let (sender, messages) = mpsc::channel(MESSAGES);
        let (commands, updates) = match fleet {
            Some(link) => (Some(link.commands), Some(link.updates)),
            None => (None, None),
        };
        let client = Client::start(sender, trust);
        Self { model, client, messages, commands, updates, started: Instant::now() }
    }

    fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { mono_ms: self.started.elapsed().as_millis() as u64, unix_ms: unix.as_millis() as u64 }
    }

    fn begin(&mut self) {
        let now = self.now();
        let effects = update::start(&mut self.model, now);
        self.execute(effects);
    }

    /// Takes a message in; `Some` ends the session.
    fn take(&mut self, msg: Msg) -> Option<Outcome> {
        let now = self.now();
        let effects = update::update(&mut self.model, msg, now);
        self.execute(effects)
    }

    fn execute(&mut self, effects: Vec<Effect>) -> Option<Outcome> {
        let mut outcome = None;
        for effect in effects {
            match self.client.execute(effect) {
                Some(Effect::Quit(how)) => outcome = Some(how),
                Some(Effect::Fleet(command)) => self.command(command),
                _ => {}
            }
        }
        outcome
    }

    fn command(&mut self, command: FleetCommand) {
        let sent = self.commands.as_ref().map(|sender| sender.try_send(command));
        if !matches!(sent, Some(Ok(()))) {
            self.model.say(Tone::Bad, "the supervisor does not take commands");
        }
    }

    /// The next thing that is not input. Pends for ever when every source is gone.
    async fn next(&mut self) -> Msg {
        let update = async {
            match &mut self.updates {
                Some(updates) => updates.recv().await,
                None => std::future::pending().await,
            }
        };
        let msg = tokio::select! {
            Some(msg) = self.messages.recv() => return msg,
            update = update => update,
        };
        match msg {
            Some(update) => Msg::Fleet(update),
            None => {
                self.updates = None;
                Msg::FleetGone
            }
        }
    }

    /// Takes in what else has arrived already.
    fn drain(&mut self) -> Option<Outcome> {
        for _ in 0..BATCH {
            let Ok(msg) = self.messages.try_recv() else { break };
            if let Some(outcome) = self.take(msg) {
                return Some(outcome);
            }
        }
        None
    }
}

/// Runs the UI on the terminal until the user leaves.
pub async fn run(mut shell: Shell, theme: Theme) -> Result<Outcome, TuiError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(TuiError::Signal)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(TuiError::Signal)?;
    // Ctrl-C arrives as a key; this one is sent from elsewhere.
    let mut interrupt = signal(SignalKind::interrupt()).map_err(TuiError::Signal)?;
    let mut terminal = Terminal::open().map_err(TuiError::Terminal)?;
    shell.model.size = terminal.size().map_err(TuiError::Terminal)?;
    let mut events = crossterm::event::EventStream::new();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut hits = Hits::default();
    let mut dirty = true;
    let mut drawn = Instant::now() - FRAME;
    shell.begin();
    loop {
        if dirty && drawn.elapsed() >= FRAME {
            let model = &shell.model;
            terminal
                .draw(|frame| hits = view::draw(model, &theme, frame))
                .map_err(TuiError::Terminal)?;
            drawn = Instant::now();
            dirty = false;
        }
        let ages = shell.model.ages();
        let outcome = tokio::select! {
            biased;
            event = events.next() => match event {
                Some(Ok(event)) => match input::message(event, &hits) {
                    Some(msg) => shell.take(msg),
                    None => continue,
                },
                // The terminal is gone; so is whoever could want anything.
                Some(Err(_)) | None => Some(Outcome::Detached),
            },
            _ = terminate.recv() => shell.take(Msg::Terminate),
            _ = hangup.recv() => shell.take(Msg::Terminate),
            _ = interrupt.recv() => shell.take(Msg::Terminate),
            () = sleep_until(drawn + FRAME), if dirty => continue,
            msg = shell.next() => shell.take(msg).or_else(|| shell.drain()),
            _ = second.tick(), if ages => shell.take(Msg::Tick),
        };
        dirty = true;
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
    }
}

/// One settled frame as text, without a terminal.
pub async fn snapshot(mut shell: Shell, screen: Screen) -> Result<String, TuiError> {
    let (width, height) = shell.model.size;
    shell.model.screen = screen;
    shell.begin();
    let started = Instant::now();
    let deadline = started + SETTLE_WITHIN;
    while !(settled(&shell.model) && started.elapsed() > SETTLE_LEAST) {
        let msg = tokio::select! {
            () = sleep_until(deadline) => break,
            () = tokio::time::sleep(SETTLE_LEAST) => Msg::Tick,
            msg = shell.next() => msg,
        };
        shell.take(msg);
        shell.drain();
    }
    let mut terminal = match ratatui::Terminal::new(TestBackend::new(width, height)) {
        Ok(terminal) => terminal,
        Err(never) => match never {},
    };
    let theme = Theme::default();
    let drawn = terminal.draw(|frame| {
        view::draw(&shell.model, &theme, frame);
    });
    if let Err(never) = drawn {
        match never {}
    }
    Ok(plain_text(terminal.backend().buffer()))
}

/// Whether the first answers are in.
fn settled(model: &Model) -> bool {
    // Two rounds: the second has the rate of writes and the leader's member list.
    let asked = model.cluster.rounds >= 2;
    let screen_ready = match model.screen {
        Screen::Cluster => true,
        Screen::Keys => {
            let loading = model.keys.listings.values().any(|listing| listing.loading.is_some());
            let pane = &model.keys.pane;
            !loading && pane.waiting.is_none() && pane.count_waiting.is_none()
        }
        Screen::Logs => !model.logs.is_empty(),
        Screen::Links | Screen::Drills | Screen::Learn => true,
    };
    asked && screen_ready
}

/// The characters of a buffer, one line a row, without trailing blanks.
pub fn plain_text(buffer: &ratatui::buffer::Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let mut line = String::new();
        let mut x = 0;
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            // A wide character covers the cell after it.
            x += (unicode_width::UnicodeWidthStr::width(symbol) as u16).max(1);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
