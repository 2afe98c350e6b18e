//! Drills in the terminal UI: the catalogue as cards, a run as pictures, its report as text.
//!
//! One drill runs at a time: on the cluster that is on screen or, where that one cannot hold it, on
//! a cluster of its own that runs the same programs. Whoever leaves the UI meanwhile stops it, and
//! this program ends only after the rollback.

use std::sync::Arc;

use playground::applications::{ApplicationReport, ClientReport, ClientState};
use playground::drill::progress::{Cell, StepState};
use playground::drill::{
    Drill, Progress, Report, catalogue, machine::Phase, place::Place, report, run,
};
use playground::{FleetView, Home, PlaygroundError, engine::Choice, spec::FleetSpec};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tui::fleet::FleetUpdate;
use tui::lab::application as applied;
use tui::lab::drill as shown;
use tui::lab::timeline;

/// The drills of one session.
pub struct Bench {
    home: Home,
    cluster: String,
    drills: Vec<Drill>,
    running: Option<(watch::Sender<bool>, JoinHandle<()>)>,
}

impl Bench {
    pub fn new(home: Home, cluster: String) -> Self {
        // A test proves that the built-in drills can be read.
        Self { home, cluster, drills: catalogue::all().unwrap_or_default(), running: None }
    }

    /// The catalogue, each drill with where it would run.
    pub fn cards(&self, view: &FleetView) -> Vec<shown::DrillCard> {
        self.drills.iter().map(|drill| card(drill, view)).collect()
    }

    /// Starts a drill; what becomes of it goes to `updates`.
    pub fn start(
        &mut self,
        id: &str,
        application: Option<String>,
        own_cluster: bool,
        updates: mpsc::Sender<FleetUpdate>,
    ) -> Result<(), PlaygroundError> {
        if self.running.as_ref().is_some_and(|(_, task)| !task.is_finished()) {
            return Err(PlaygroundError::Refused("another drill is running: ! stops it".into()));
        }
        let Some(drill) = self.drills.iter().find(|drill| drill.id == id).cloned() else {
            return Err(PlaygroundError::Usage(format!("there is no drill {id}")));
        };
        let application = application.map(|name| name.parse()).transpose();
        let application = application.map_err(PlaygroundError::Usage)?;
        let program = std::env::current_exe().map_err(|error| {
            PlaygroundError::Refused(format!("this program does not find itself: {error}"))
        })?;
        let engine = match own_cluster {
            true => {
                let plan = FleetSpec::load(&self.home.cluster(&self.cluster).spec())?;
                Choice::like(&plan, drill.cluster.nodes)
            }
            false => Choice::default(),
        };
        let options = run::Options {
            home: self.home.clone(),
            program,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: (!own_cluster).then(|| self.cluster.clone()),
            engine,
            seed: 1,
            application,
            detours: Default::default(),
        };
        let (stop, stopped) = watch::channel(false);
        self.running = Some((stop, tokio::spawn(carry_out(options, drill, stopped, updates))));
        Ok(())
    }

    pub fn stop(&self) {
        if let Some((stop, _)) = &self.running {
            stop.send_replace(true);
        }
    }

    /// Stops what runs, and waits until it is rolled back.
    pub async fn close(&mut self) {
        self.stop();
        if let Some((_stop, task)) = self.running.take() {
            if !task.is_finished() {
                eprintln!("etcd-tui: the drill is stopped and rolled back…");
            }
            // It ended by itself, or by a panic that has been reported.
            let _ = task.await;
        }
    }
}

async fn carry_out(
    options: run::Options,
    drill: Drill,
    stopped: watch::Receiver<bool>,
    updates: mpsc::Sender<FleetUpdate>,
) {
    let (tell, mut heard) = watch::channel(Progress::default());
    let own_cluster = options.cluster.is_none();
    let progress = |it: &Progress| progress(it, own_cluster);
    let running = run::run(options, drill, stopped, &tell);
    tokio::pin!(running);
    let report = loop {
        tokio::select! {
            report = &mut running => break report,
            Ok(()) = heard.changed() => {
                let picture = progress(&heard.borrow_and_update());
                // A picture that finds no room is replaced by the next one; the rollback must
                // not wait for a terminal.
                let _ = updates.try_send(FleetUpdate::Drill(Box::new(picture)));
            }
        }
    };
    let last = progress(&tell.borrow());
    // The UI may have gone.
    let _ = updates.send(FleetUpdate::Drill(Box::new(last))).await;
    let _ = updates.send(FleetUpdate::DrillEnded(Box::new(ended(&report)))).await;
}

fn card(drill: &Drill, view: &FleetView) -> shown::DrillCard {
    let said = drill.steps.iter().filter_map(|step| step.says.as_ref());
    let mut expected: Vec<(String, String)> =
        drill.expectations.iter().map(|it| (it.lane.title().to_owned(), it.says.clone())).collect();
    let (own_cluster, skipped) = match Place::of(drill, view) {
        Place::Here => (None, None),
        Place::Own(why) => (Some(why), None),
        Place::Nowhere(why) => (None, Some(why)),
    };
    expected.extend(said.map(|says| ("cluster".to_owned(), says.clone())));
    shown::DrillCard {
        id: drill.id.clone(),
        title: drill.title.clone(),
        level: drill.level.word().to_owned(),
        hypothesis: drill.hypothesis.clone(),
        steps: drill.steps.iter().map(|step| step.action.to_string()).collect(),
        expected,
        teaches: drill.teaches.clone(),
        docs: drill.docs.clone(),
        nodes: drill.cluster.nodes,
        application: drill.application.map(|kind| kind.word().to_owned()),
        own_cluster,
        skipped,
    }
}

fn phase(phase: Phase, own_cluster: bool) -> &'static str {
    match phase {
        Phase::Preflight if own_cluster => "starts a cluster of its own",
        Phase::Preflight => "looks at the cluster",
        Phase::WarmUp => "warms up",
        Phase::Steps => "runs",
        Phase::Rollback => "rolls back",
        Phase::Settle => "settles",
        Phase::Checks => "checks the history",
        Phase::Done => "done",
    }
}

fn progress(progress: &Progress, own_cluster: bool) -> shown::DrillProgress {
    shown::DrillProgress {
        own_cluster: own_cluster.then(|| progress.cluster.clone()),
        id: progress.drill.clone(),
        title: progress.title.clone(),
        phase: phase(progress.phase, own_cluster).to_owned(),
        elapsed_ms: progress.elapsed_ms,
        steps: progress.steps.iter().map(step).collect(),
        timeline: picture(progress),
        application: progress.application.as_ref().map(application),
        feed: progress.feed.iter().map(|line| (line.at_ms, line.text.clone())).collect(),
    }
}

fn application(it: &ApplicationReport) -> applied::ApplicationPicture {
    let client = |client: &ClientReport| applied::ClientLine {
        name: client.name.clone(),
        state: match client.state {
            ClientState::Running => applied::ClientState::Running,
            ClientState::Paused => applied::ClientState::Paused,
            ClientState::Crashed => applied::ClientState::Crashed,
        },
        active: client.active,
        text: client.text.clone(),
    };
    applied::ApplicationPicture {
        name: it.application.clone(),
        clients: it.clients.iter().map(client).collect(),
        outside: it.outside.clone(),
        counts: it.counts(),
        broken: it.violations.first().cloned(),
    }
}

fn step(step: &playground::drill::progress::StepProgress) -> shown::DrillStep {
    shown::DrillStep {
        text: step.text.clone(),
        state: match step.state {
            StepState::Waiting => shown::StepState::Waiting,
            StepState::Running => shown::StepState::Running,
            StepState::Done => shown::StepState::Done,
            StepState::Failed => shown::StepState::Failed,
        },
        started_ms: step.started_ms,
        said: step.said.clone(),
    }
}

/// Lanes and leaders; every step that changes something is a band until the next such step.
fn picture(progress: &Progress) -> timeline::Timeline {
    let cell = |cell: &Cell| match cell {
        Cell::Empty => timeline::Cell::Empty,
        Cell::Ok => timeline::Cell::Ok,
        Cell::Late => timeline::Cell::Slow,
        Cell::Refused => timeline::Cell::Refused,
        Cell::Unknown => timeline::Cell::Unknown,
    };
    let mut bands: Vec<timeline::Band> = Vec::new();
    for step in progress.steps.iter().filter(|step| step.fault) {
        let Some(from_ms) = step.started_ms else { continue };
        if let Some(before) = bands.last_mut() {
            before.to_ms = Some(from_ms);
        }
        bands.push(timeline::Band { from_ms, to_ms: None, label: step.text.clone() });
    }
    timeline::Timeline {
        cell_ms: playground::drill::progress::CELL_MS,
        from_ms: 0,
        lanes: progress
            .lanes
            .iter()
            .map(|lane| timeline::Lane {
                name: lane.name.clone(),
                cells: lane.cells.iter().map(cell).collect(),
            })
            .collect(),
        bands,
        leaders: progress
            .leader
            .iter()
            .map(|span| timeline::Leader {
                from_ms: span.from_ms,
                name: span.node.clone().unwrap_or_default(),
                term: span.term,
            })
            .collect(),
    }
}

fn ended(report: &Report) -> shown::DrillReport {
    shown::DrillReport {
        id: report.drill.clone(),
        title: report.title.clone(),
        verdict: report.verdict.word().to_owned(),
        why: report.why.clone(),
        text: report::markdown::render(report),
    }
}

/// The cards again only if something about them has changed.
pub async fn tell_cards(
    bench: &Bench,
    view: &FleetView,
    told: &mut Option<Arc<Vec<shown::DrillCard>>>,
    updates: &mpsc::Sender<FleetUpdate>,
) -> Result<(), mpsc::error::SendError<FleetUpdate>> {
    let cards = bench.cards(view);
    if told.as_deref() == Some(&cards) {
        return Ok(());
    }
    *told = Some(Arc::new(cards.clone()));
    updates.send(FleetUpdate::Drills(cards)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_offers_the_applications_there_are() {
        let there = playground::applications::Kind::ALL.map(|kind| (kind.word(), kind.about()));
        assert_eq!(applied::ALL, there);
    }

    #[test]
    fn a_fault_is_a_band_until_the_next_one() {
        let step = |text: &str, fault: bool, started_ms: Option<u64>| {
            playground::drill::progress::StepProgress {
                text: text.into(),
                state: StepState::Done,
                fault,
                started_ms,
                finished_ms: None,
                said: String::new(),
            }
        };
        let progress = Progress {
            steps: vec![
                step("kill n1", true, Some(1_000)),
                step("wait 3s", false, Some(1_100)),
                step("start n1", true, Some(4_000)),
                step("kill n2", true, None),
            ],
            ..Progress::default()
        };
        let bands = picture(&progress).bands;
        let spans: Vec<(u64, Option<u64>)> = bands.iter().map(|b| (b.from_ms, b.to_ms)).collect();
        assert_eq!(spans, [(1_000, Some(4_000)), (4_000, None)]);
    }
}
