//! Runs a drill: the shell around [`Machine`].
//!
//! It owns the clock, the cluster it may have made, the load and the observer; all decisions are
//! the machine's, all judgements are [`judge`]'s. The one future that is being carried out is
//! dropped when it is abandoned, which cancels nothing the supervisor has begun; the rollback
//! asks what is there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

use super::format::Drill;
use super::machine::{Effect, Ended, Event, Machine, Phase, Unfit};
use super::mark::{self, Mark};
use super::observe::{self, Seen};
use super::progress::Progress;
use super::report::Report;
use super::stage::Stage;
use super::{finish, live, perform, place, rollback};
use crate::applications::run::Setup;
use crate::applications::{Application, ApplicationReport, Kind};
use crate::engine::{Choice, Engine};
use crate::launch::{self, UpRequest};
use crate::workload::{self, Monitor, Recording, Target, Timeline, Workload};
use crate::{Client, Home, PlaygroundError};

/// How often those who watch hear something.
const TELL: Duration = Duration::from_millis(200);
/// Between two requests of a lane that asks one member.
const EACH_PACE: Duration = Duration::from_millis(100);

/// What is run, and on what.
#[derive(Clone, Debug)]
pub struct Options {
    pub home: Home,
    /// This program, for a supervisor of a cluster of the drill's own.
    pub program: PathBuf,
    pub version: String,
    /// A cluster that runs; without one the drill makes its own and takes it down.
    pub cluster: Option<String>,
    /// What the nodes of the drill's own cluster run.
    pub engine: Choice,
    pub seed: u64,
    /// What uses the cluster beside the load, if the drill does not say so itself.
    pub application: Option<Kind>,
    /// Client URLs by node, for what stands between clients and a node.
    pub detours: BTreeMap<String, String>,
}

/// The means of one run.
pub(super) struct Means {
    pub options: Options,
    pub drill: Drill,
    pub cluster: String,
    pub load: Mutex<Option<Load>>,
    pub recording: Mutex<Option<Recording>>,
    /// The last picture of the application.
    pub application: Mutex<Option<ApplicationReport>>,
    pub members_after: Mutex<Vec<String>>,
    pub mark: Mutex<Option<mark::Held>>,
}

/// What runs beside the steps.
pub(super) struct Load {
    pub stage: Arc<Stage>,
    pub workload: Option<Workload>,
    pub monitor: Monitor,
    pub members: Vec<String>,
    /// When the load began, on the machine's clock.
    pub began: Duration,
    pub origin: Instant,
    pub seen: Arc<Mutex<Seen>>,
    pub observer: tokio::task::JoinHandle<()>,
    pub engine: (String, String),
}

type Doing = Pin<Box<dyn Future<Output = Event> + Send>>;

/// Runs a drill to its report. `stop` becomes true when somebody wants it to end; `progress`
/// hears how it goes.
pub async fn run(
    options: Options,
    drill: Drill,
    mut stop: watch::Receiver<bool>,
    progress: &watch::Sender<Progress>,
) -> Report {
    let started = Instant::now();
    let cluster = options.cluster.clone().unwrap_or_else(|| temporary_name(&drill));
    let means = Arc::new(Means {
        options,
        drill: drill.clone(),
        cluster,
        load: Mutex::default(),
        recording: Mutex::default(),
        application: Mutex::default(),
        members_after: Mutex::default(),
        mark: Mutex::default(),
    });
    let mut machine = Machine::new(&drill);
    let mut effects = machine.on(Event::Begin, Duration::ZERO);
    let (mut doing, mut wake): (Option<Doing>, Option<Duration>) = (None, None);
    let mut tell = tokio::time::interval(TELL);
    // On a machine with much to do a picture that is late is left out, not drawn twice.
    tell.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while machine.phase != Phase::Done {
        for effect in effects.drain(..) {
            match effect {
                Effect::WakeAt(at) => wake = Some(at),
                Effect::Abandon => doing = None,
                Effect::Finish => {}
                effect => doing = Some(begin(effect, &means, &machine, started)),
            }
        }
        let deadline = [wake, machine.deadline()].into_iter().flatten().min();
        let event = tokio::select! {
            biased;
            event = answered(&mut doing) => { doing = None; Some(event) }
            () = stopped(&mut stop) => Some(Event::Interrupted),
            () = until(deadline, started) => { wake = None; Some(Event::Woke) }
            _ = tell.tick() => None,
        };
        if let Some(event) = event {
            effects = machine.on(event, started.elapsed());
        }
        progress.send_replace(live::progress(&means, &machine));
    }
    // The last look at what was measured: the report takes it.
    let mut last = live::progress(&means, &machine);
    let report = finish::report(&means, &machine, started).await;
    (last.verdict, last.why) = (Some(report.verdict), report.why.clone());
    progress.send_replace(last);
    report
}

/// A name that nobody else has.
fn temporary_name(drill: &Drill) -> String {
    let short: String = drill.id.chars().take(20).collect();
    format!("drill-{}-{:08x}", short.trim_end_matches('-'), rand::random::<u32>())
}

/// The answer of what is being done; never, if nothing is.
async fn answered(doing: &mut Option<Doing>) -> Event {
    match doing {
        Some(doing) => doing.await,
        None => std::future::pending().await,
    }
}

/// Once, when somebody wants it to end; it is not said twice.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    match stop.changed().await {
        Ok(()) if *stop.borrow_and_update() => {}
        _ => std::future::pending().await,
    }
}

async fn until(at: Option<Duration>, started: Instant) {
    match at {
        Some(at) => tokio::time::sleep_until(started + at).await,
        None => std::future::pending().await,
    }
}

/// The future that carries an effect out.
fn begin(effect: Effect, means: &Arc<Means>, machine: &Machine, started: Instant) -> Doing {
    let means = means.clone();
    match effect {
        Effect::Prepare => Box::pin(async move {
            match prepare(&means, started).await {
                Ok(load) => {
                    *means.load.lock() = Some(load);
                    Event::Ready(Ok(()))
                }
                Err(unfit) => Event::Ready(Err(unfit)),
            }
        }),
        Effect::Perform(step) => Box::pin(async move {
            let stage = means.load.lock().as_ref().map(|load| load.stage.clone());
            let outcome = match (stage, means.drill.steps.get(step)) {
                (Some(stage), Some(step)) => perform::step(&stage, step).await,
                // The machine performs only what is planned, after it is ready.
                _ => super::machine::Outcome { ok: false, said: "there is no such step".into() },
            };
            Event::Answered(outcome)
        }),
        Effect::RollBack => Box::pin(async move { Event::RolledBack(roll_back(&means).await) }),
        Effect::Settle => {
            let completed = machine.ended == Ended::Completed;
            Box::pin(async move { Event::Settled(settle(&means, completed).await) })
        }
        // Judging is done when the report is written; nothing is left to wait for.
        _ => Box::pin(std::future::ready(Event::Judged)),
    }
}

/// Everything before the first step: a cluster that is well, the load, the observer.
async fn prepare(means: &Means, started: Instant) -> Result<Load, Unfit> {
    let broken = |error: PlaygroundError| Unfit::Broken(error.to_string());
    let (options, drill) = (&means.options, &means.drill);
    one_application(drill, options)?;
    let temporary = options.cluster.is_none();
    let mut mark = Mark {
        cluster: means.cluster.clone(),
        drill: drill.id.clone(),
        nodes: drill.cluster.nodes,
        temporary,
    };
    // What a drill left behind is no reason to say that the cluster is not well.
    mark::check(&options.home, &means.cluster).map_err(broken)?;
    let client = if temporary {
        *means.mark.lock() = Some(mark::set(&options.home, &mark).map_err(broken)?);
        let request = UpRequest {
            name: means.cluster.clone(),
            nodes: Some(drill.cluster.nodes),
            ephemeral: true,
            settings: drill.cluster.settings,
            engine: options.engine.clone(),
            ..UpRequest::default()
        };
        let up = launch::up(&options.home, &request, &options.program, None).await;
        up.map_err(broken)?.client
    } else {
        Client::connect(&options.home, &means.cluster).await.map_err(broken)?
    };
    if temporary {
        launch::wait_ready(&client).await.map_err(broken)?;
    }
    let view = client.view().await.map_err(broken)?;
    fit(drill, &view, temporary)?;
    if !temporary {
        mark.nodes = view.nodes.len();
        *means.mark.lock() = Some(mark::set(&options.home, &mark).map_err(broken)?);
    }
    let observing = Client::connect(&options.home, &means.cluster).await.map_err(broken)?;
    let stage = Arc::new(Stage::new(client, drill.clone(), &view, options.seed));
    let targets = targets(&stage, options, &view).map_err(Unfit::Broken)?;
    let load = workload::Options {
        prefix: format!("drill/{:x}/", rand::random::<u32>()),
        seed: options.seed,
        pace: drill.workload.pace.0,
        patience: drill.workload.timeout.0,
        each: Some(EACH_PACE),
    };
    let workload = Workload::start(targets.clone(), load).await.map_err(|status| {
        Unfit::Broken(format!("the cluster does not answer: {}", status.message()))
    })?;
    if let Some(kind) = drill.application.or(options.application) {
        let prefix = format!("application/{:x}/", rand::random::<u32>());
        let setup = Setup { targets, prefix, patience: drill.workload.timeout.0 };
        // It is set once, here.
        let _ = stage.uses.set(Application::start(kind, setup));
    }
    let (origin, seen) = (Instant::now(), Arc::new(Mutex::new(Seen::default())));
    let observer = tokio::spawn(observe::run(Arc::new(observing), origin, seen.clone()));
    Ok(Load {
        monitor: workload.monitor(),
        workload: Some(workload),
        members: view.nodes.iter().map(|node| node.name.clone()).collect(),
        began: started.elapsed(),
        origin,
        seen,
        observer,
        engine: (view.engine.clone(), version_of(&view, &options.version)),
        stage,
    })
}

/// Whom the load asks: the nodes, or what stands before them.
fn targets(
    stage: &Stage,
    options: &Options,
    view: &crate::FleetView,
) -> Result<Vec<Target>, String> {
    let target = |node: &crate::NodeView| match options.detours.get(&node.name) {
        Some(url) => Target::new(&node.name, url).map_err(|error| error.to_string()),
        None => stage.target(node),
    };
    view.nodes.iter().map(target).collect()
}

/// Of our own nodes the version of this program, of others what they say, each once.
fn version_of(view: &crate::FleetView, own: &str) -> String {
    if view.engine == Engine::Builtin.word() {
        return own.to_owned();
    }
    let mut versions: Vec<&str> =
        view.nodes.iter().filter_map(|node| node.version.as_deref()).collect();
    versions.sort_unstable();
    versions.dedup();
    versions.join("+")
}

/// Why the drill makes no sense on this cluster, if it does not.
fn skipped(drill: &Drill, view: &crate::FleetView, temporary: bool) -> Option<String> {
    let elsewhere = || {
        let why = place::unsuitable(drill, view).filter(|_| !temporary)?;
        Some(format!("{why}: run it without --cluster"))
    };
    place::impossible(drill, view).or_else(elsewhere)
}

/// Whether the application that is wanted can be the drill's.
fn one_application(drill: &Drill, options: &Options) -> Result<(), Unfit> {
    match (drill.application, options.application) {
        (Some(own), Some(wanted)) if own != wanted => {
            Err(Unfit::Skipped(format!("it has an application of its own: {own}")))
        }
        _ => Ok(()),
    }
}

/// Whether the drill can begin on this cluster.
fn fit(drill: &Drill, view: &crate::FleetView, temporary: bool) -> Result<(), Unfit> {
    if let Some(why) = skipped(drill, view, temporary) {
        return Err(Unfit::Skipped(why));
    }
    match place::unwell(view) {
        Some(why) => Err(Unfit::Broken(format!("{why}, and a drill would tell nothing"))),
        None => Ok(()),
    }
}

async fn roll_back(means: &Means) -> Result<String, String> {
    let Some(stage) = means.load.lock().as_ref().map(|load| load.stage.clone()) else {
        return Ok("nothing was touched".into());
    };
    let mut failed = Vec::new();
    for undo in &means.drill.rollback {
        if let Err(why) = perform::action(&stage, &undo.action, None).await {
            failed.push(format!("{}: {why}", undo.action));
        }
    }
    let rest = rollback::everything(&stage.client, stage.beginning.nodes).await;
    match (failed.is_empty(), rest) {
        (true, rest) => rest,
        // What a step of its own could not do may be undone all the same.
        (false, Ok(said)) => Ok(format!("{said} (but {})", failed.join("; "))),
        (false, Err(why)) => Err(format!("{why}; {}", failed.join("; "))),
    }
}

/// Ends the load. What the healed cluster holds is read only when it will be judged, and only
/// applications that must keep their promises are given time to come to rest.
async fn settle(means: &Means, completed: bool) -> Result<(), String> {
    let whole = completed && means.drill.workload.unjudged.is_none();
    let bound = completed && means.drill.workload.promises_may_break.is_none();
    let taken = means
        .load
        .lock()
        .as_mut()
        .and_then(|load| Some((load.workload.take()?, load.stage.clone())));
    let Some((workload, stage)) = taken else { return Ok(()) };
    if let Ok(view) = stage.view().await {
        *means.members_after.lock() = super::stage::members(&view);
    }
    let application = match stage.uses.get() {
        Some(application) if bound => Some(application.finish().await),
        Some(application) => {
            let report = application.report();
            application.end().await;
            Some(report)
        }
        None => None,
    };
    *means.application.lock() = application;
    if !whole {
        let timeline = workload.abandon().await;
        *means.recording.lock() =
            Some(Recording { history: history::History::default(), timeline });
        return Ok(());
    }
    let monitor = workload.monitor();
    match workload.finish().await {
        Ok(recording) => {
            *means.recording.lock() = Some(recording);
            Ok(())
        }
        Err(status) => {
            let timeline: Timeline = monitor.timeline();
            let history = history::History::default();
            *means.recording.lock() = Some(Recording { history, timeline });
            Err(format!("the healed cluster did not tell what it holds: {}", status.message()))
        }
    }
}
