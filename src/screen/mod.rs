//! Between the supervisor and the terminal UI.
//!
//! The UI knows the supervisor as two channels of plain data. This is the task at their other
//! end: it translates the UI's commands into requests, and the supervisor's views and events
//! into updates. A command that takes long runs beside the rest, so the UI sees what happens
//! meanwhile.

mod drills;
mod links;

use std::{
    io::IsTerminal,
    process::ExitCode,
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::bail;
use drills::Bench;
use playground::{
    Client, Event, FleetView, Home, NodeView, PlaygroundError, Request, Verb, launch,
};
use tokio::{sync::mpsc, task::JoinHandle};
use tui::fleet::{FleetCommand, FleetNode, FleetPort, FleetState, FleetUpdate, LogSource, link};

use crate::{learn::Progress, output};

/// Between views when nothing happens; every event is followed by a view at once.
const VIEW_INTERVAL: Duration = Duration::from_secs(1);

/// Events from before the UI was opened that it is told: how many at most, and how old.
const RECENT_EVENTS: u64 = 40;
const RECENT: Duration = Duration::from_secs(3);

/// One frame to print instead of a terminal UI.
#[derive(Debug)]
pub struct Frame {
    width: u16,
    height: u16,
    screen: String,
}

impl Frame {
    /// Reads the two words behind `--snapshot`.
    pub fn parse(words: Option<&[String]>) -> Result<Option<Self>, PlaygroundError> {
        let Some([size, screen]) = words else { return Ok(None) };
        let parsed = size.split_once('x').and_then(|(width, height)| {
            let (width, height) = (width.parse::<u16>().ok()?, height.parse::<u16>().ok()?);
            let fits = (1..=1000).contains(&width) && (1..=1000).contains(&height);
            fits.then(|| Self { width, height, screen: screen.clone() })
        });
        parsed.map(Some).ok_or_else(|| {
            PlaygroundError::Usage(format!(
                "--snapshot {size}: the size is columns x rows up to 1000x1000, like 120x36"
            ))
        })
    }
}

/// Whether there is a terminal to draw on and to read keys from.
pub fn has_terminal() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Opens the terminal UI on a local cluster and does what it is left with.
pub async fn open_local(
    home: &Home,
    client: Client,
    course: Option<Progress>,
) -> anyhow::Result<ExitCode> {
    if !has_terminal() {
        bail!("the terminal UI needs a terminal; `etcd-tui ps` and --snapshot do without");
    }
    let cluster = client.cluster.clone();
    let (session, translating) = local_session(home, client, course).await?;
    let outcome = tui::run(session).await;
    // A drill that runs is rolled back before this program ends. It ends by itself, or by a
    // panic that has been reported.
    let _ = translating.await;
    let leave = match outcome? {
        tui::Outcome::Detached => None,
        tui::Outcome::StopAll { purge } => Some(purge),
    };
    let said = match leave {
        None => vec![format!(
            "cluster {cluster} keeps running: `etcd-tui attach {cluster}` shows it again, \
             `etcd-tui down {cluster}` stops it"
        )],
        Some(purge) => launch::down(home, &cluster, false, purge).await?,
    };
    output::print_lines(&said)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints one frame of the terminal UI on a local cluster.
pub async fn snapshot(
    home: &Home,
    client: Client,
    frame: Frame,
    course: Option<Progress>,
) -> anyhow::Result<ExitCode> {
    let (session, _translating) = local_session(home, client, course).await?;
    let text = tui::snapshot(session, frame.width, frame.height, &frame.screen).await?;
    output::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the terminal UI, or prints one frame of it, on a cluster that runs anywhere.
pub async fn open_remote(
    endpoints: Vec<String>,
    trust: tui::Trust,
    write: bool,
    frame: Option<Frame>,
) -> anyhow::Result<ExitCode> {
    let session = tui::Session {
        title: endpoints.join(","),
        endpoints,
        fleet: None,
        read_only: !write,
        trust,
        no_color: no_color(),
        ..tui::Session::default()
    };
    match frame {
        Some(frame) => {
            let text = tui::snapshot(session, frame.width, frame.height, &frame.screen).await?;
            output::print(&text)?;
        }
        None if !has_terminal() => {
            bail!("the terminal UI needs a terminal; --snapshot 120x36 cluster does without");
        }
        None => {
            // A cluster that is not ours can only be left.
            let _outcome = tui::run(session).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn local_session(
    home: &Home,
    client: Client,
    course: Option<Progress>,
) -> anyhow::Result<(tui::Session, JoinHandle<()>)> {
    let view = client.view().await?;
    let (fleet, port) = link(LogSource::Files);
    let session = tui::Session {
        endpoints: view.endpoints(),
        title: view.cluster.clone(),
        fleet: Some(fleet),
        course: course.as_ref().map(|progress| progress.read.clone()),
        read_only: false,
        no_color: no_color(),
        ..tui::Session::default()
    };
    let bench = Bench::new(home.clone(), view.cluster.clone());
    let translating = tokio::spawn(async move {
        let mut bench = bench;
        translate(Arc::new(client), view, port, course, &mut bench).await;
        bench.close().await;
    });
    Ok((session, translating))
}

fn no_color() -> bool {
    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// Runs until the UI has gone.
async fn translate(
    client: Arc<Client>,
    view: FleetView,
    port: FleetPort,
    course: Option<Progress>,
    bench: &mut Bench,
) {
    let FleetPort { mut commands, updates } = port;
    // The feed shows when it heard of an event, so what is long past must not enter it.
    let since = view.event_seq.saturating_sub(RECENT_EVENTS);
    let mut events = client.subscribe(since).await.ok();
    let mut said = Said::default();
    let mut interval = tokio::time::interval(VIEW_INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let updated = tokio::select! {
            command = commands.recv() => match command {
                Some(FleetCommand::CourseDone(read)) => match &course {
                    Some(progress) => remember(progress, read, &updates).await,
                    None => Ok(()),
                },
                Some(FleetCommand::StartDrill { id, application, own_cluster }) => {
                    match bench.start(&id, application, own_cluster, updates.clone()) {
                        Ok(()) => Ok(()),
                        Err(error) => {
                            updates.send(FleetUpdate::CommandFailed(error.to_string())).await
                        }
                    }
                }
                Some(FleetCommand::StopDrill) => {
                    bench.stop();
                    Ok(())
                }
                Some(command) => {
                    tokio::spawn(obey(Arc::clone(&client), command, updates.clone()));
                    Ok(())
                }
                None => return,
            },
            event = next(&mut events) => {
                let Event { node, text, unix_ms, .. } = event;
                if is_past(unix_ms) {
                    continue;
                }
                let node = node.unwrap_or_default();
                match updates.send(FleetUpdate::Event { node, text }).await {
                    Ok(()) => show(&client, bench, &updates, &mut said).await,
                    Err(error) => Err(error),
                }
            }
            _ = interval.tick() => show(&client, bench, &updates, &mut said).await,
        };
        if updated.is_err() {
            return;
        }
    }
}

fn is_past(unix_ms: u64) -> bool {
    let happened = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    // Fails for an event of the future, which a clock set back can make.
    happened.elapsed().is_ok_and(|age| age > RECENT)
}

/// The next event; never, once the supervisor has gone.
async fn next(events: &mut Option<mpsc::Receiver<Event>>) -> Event {
    if let Some(receiver) = events
        && let Some(event) = receiver.recv().await
    {
        return event;
    }
    *events = None;
    std::future::pending().await
}

/// What the UI was told last, where only changes are told.
#[derive(Default)]
struct Said {
    operation: Option<String>,
    cards: Option<Arc<Vec<tui::lab::drill::DrillCard>>>,
}

type Sent = Result<(), mpsc::error::SendError<FleetUpdate>>;

/// Sends the view of now, and how far a membership change has got.
async fn show(
    client: &Client,
    bench: &Bench,
    updates: &mpsc::Sender<FleetUpdate>,
    said: &mut Said,
) -> Sent {
    let view = match client.view().await {
        Ok(view) => view,
        Err(error) => return updates.send(FleetUpdate::CommandFailed(error.to_string())).await,
    };
    let nodes = view.nodes.iter().map(node).collect();
    updates.send(FleetUpdate::View(nodes)).await?;
    let capabilities = view.capabilities.iter().map(links::capability).collect();
    updates.send(FleetUpdate::Capabilities(capabilities)).await?;
    let peers = view.links.iter().map(links::link).collect();
    updates.send(FleetUpdate::Links(peers)).await?;
    drills::tell_cards(bench, &view, &mut said.cards, updates).await?;
    if view.operation != said.operation {
        let progress = match (&view.operation, &said.operation) {
            (Some(text), _) => {
                let (what, step) = text.split_once(": ").unwrap_or((text, ""));
                FleetUpdate::Progress { what: what.to_owned(), step: step.to_owned(), done: false }
            }
            (None, before) => {
                let before = before.as_deref().unwrap_or_default();
                let what = before.split_once(": ").map_or(before, |(what, _)| what).to_owned();
                FleetUpdate::Progress { what, step: "done".to_owned(), done: true }
            }
        };
        updates.send(progress).await?;
        said.operation = view.operation;
    }
    Ok(())
}

async fn remember(
    progress: &Progress,
    read: Vec<String>,
    updates: &mpsc::Sender<FleetUpdate>,
) -> Sent {
    match progress.save(read) {
        Ok(()) => Ok(()),
        Err(why) => updates.send(FleetUpdate::CommandFailed(why)).await,
    }
}

async fn obey(client: Arc<Client>, command: FleetCommand, updates: mpsc::Sender<FleetUpdate>) {
    if let Err(error) = carry_out(&client, command).await {
        // The UI may have gone.
        let _ = updates.send(FleetUpdate::CommandFailed(error.to_string())).await;
    }
}

async fn carry_out(client: &Client, command: FleetCommand) -> Result<(), PlaygroundError> {
    let act = |verb, selector| Request::Act { verb, selector };
    let request = match command {
        FleetCommand::Kill(node) => act(Verb::Kill, node),
        FleetCommand::Stop(node) => act(Verb::Stop, node),
        FleetCommand::Start(node) => act(Verb::Start, node),
        FleetCommand::Restart(node) => act(Verb::Restart, node),
        FleetCommand::Pause(node) => act(Verb::Pause, node),
        FleetCommand::Resume(node) => act(Verb::Resume, node),
        FleetCommand::Wipe(node) => act(Verb::Wipe, node),
        FleetCommand::Replace(node) => Request::Replace { selector: node },
        FleetCommand::Grow(nodes) => Request::Grow { nodes: Some(nodes) },
        FleetCommand::Shrink(nodes) => Request::Shrink { nodes: Some(nodes) },
        FleetCommand::DownAll => act(Verb::Stop, "all".to_owned()),
        FleetCommand::Links(changes) => return links::change(client, changes).await,
        FleetCommand::Heal => Request::Heal,
        FleetCommand::Backup => Request::Backup,
        FleetCommand::LoseAll => {
            client.act(Verb::Kill, "all").await?;
            act(Verb::Wipe, "all".to_owned())
        }
        FleetCommand::Restore => {
            client.perform(Request::Restore { file: None, bump_revision: 0 }).await?;
            act(Verb::Start, "all".to_owned())
        }
        FleetCommand::Fault(node, words) => links::fault(node, &words)?,
        FleetCommand::StartDrill { .. } | FleetCommand::StopDrill => return Ok(()),
        FleetCommand::Detach | FleetCommand::CourseDone(_) => return Ok(()),
    };
    client.perform(request).await.map(|_| ())
}

fn node(node: &NodeView) -> FleetNode {
    FleetNode {
        name: node.name.clone(),
        state: FleetState::from_word(node.state.word()).unwrap_or_default(),
        pid: node.pid,
        uptime_s: node.uptime_seconds.unwrap_or(0),
        restarts: node.restarts,
        why: node.why.clone().unwrap_or_default(),
        client_url: node.client_url.clone(),
        member_id: node.member_id.as_ref().and_then(|id| u64::from_str_radix(id, 16).ok()),
        log_path: node.log_path.clone().into(),
        cut_off: node.cut_off,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_columns_by_rows() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let frame = Frame::parse(Some(&words("120x36 cluster"))).unwrap().unwrap();
        assert_eq!((frame.width, frame.height, frame.screen.as_str()), (120, 36, "cluster"));
        assert!(Frame::parse(None).unwrap().is_none());
        for wrong in ["120 cluster", "0x10 cluster", "ax10 cluster", "99999x10 cluster"] {
            assert!(Frame::parse(Some(&words(wrong))).unwrap_err().is_usage());
        }
    }
}
