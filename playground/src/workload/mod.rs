//! A small, steady load on a cluster, every answer of which is recorded.
//!
//! Lanes run side by side: puts, linearizable reads, serializable reads at every member, watches,
//! leases. Each is an open loop: it asks at its own pace and never waits for an earlier answer,
//! so that a stall shows as the length it has for users and not as one slow request. What comes
//! back goes two ways: into a [`Timeline`] (what a user would have felt) and into a
//! [`history::History`] (whether what they were told can be true).
//!
//! # Invariants
//! - A request is sent once and to one member. There are no retries that could hide an error, or
//!   write twice.
//! - An outcome is `Refused` only if the answer promises that nothing was done; else `Unknown`.
//! - All keys are under one prefix, so other users of the cluster are neither touched nor judged.
//!
//! [`calls`] speaks to members, [`generate`] decides what is asked, [`watcher`] watches,
//! [`collect`] reads what the cluster holds before and after, [`timeline`] measures, [`outage`]
//! says what an outage is.

pub mod calls;
pub mod collect;
mod generate;
mod lanes;
pub mod outage;
pub mod timeline;
mod watcher;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use history::History;
use history::record::{MemberHash, Nanos, Operation, Outcome, Put, Request, Watch};
use parking_lot::Mutex;
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

pub use outage::Outage;
pub use timeline::{Cell, Lane, Sample, Seen, Timeline};
pub(crate) use watcher::told;

/// A member to ask.
#[derive(Clone, Debug)]
pub struct Target {
    pub name: String,
    pub channel: Channel,
}

impl Target {
    /// A member at a client URL; the connection is made when it is needed.
    ///
    /// # Errors
    /// If the URL is none.
    pub fn new(name: &str, url: &str) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(url.to_string())?
            .connect_timeout(Duration::from_secs(1))
            .tcp_nodelay(true);
        Ok(Self { name: name.to_string(), channel: endpoint.connect_lazy() })
    }
}

/// What to ask, and how often.
#[derive(Clone, Debug)]
pub struct Options {
    /// All keys begin with it.
    pub prefix: String,
    /// Decides keys and kinds of requests.
    pub seed: u64,
    /// Between two requests of one lane.
    pub pace: Duration,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Between two requests of the lanes that ask one member only; without it there are none.
    pub each: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            prefix: "drill/".into(),
            seed: 1,
            pace: Duration::from_millis(20),
            patience: Duration::from_secs(1),
            each: None,
        }
    }
}

/// What all lanes write into.
pub(crate) struct Recorder {
    origin: Instant,
    stop: AtomicBool,
    operations: Mutex<Vec<Operation>>,
    watches: Mutex<Vec<Watch>>,
    timeline: Mutex<Timeline>,
}

impl Recorder {
    fn now(&self) -> Nanos {
        // 584 years of nanoseconds fit.
        self.origin.elapsed().as_nanos() as Nanos
    }

    fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}

/// A running load.
pub struct Workload {
    recorder: Arc<Recorder>,
    targets: Vec<Target>,
    options: Options,
    start: collect::State,
    lanes: JoinSet<()>,
    watchers: JoinSet<()>,
}

/// A view of a running load.
#[derive(Clone)]
pub struct Monitor {
    recorder: Arc<Recorder>,
}

impl Monitor {
    /// Nanoseconds since the load began, on the clock of everything it records.
    pub fn now(&self) -> Nanos {
        self.recorder.now()
    }

    /// What was measured so far.
    pub fn timeline(&self) -> Timeline {
        self.recorder.timeline.lock().clone()
    }

    /// Looks at what was measured so far; nothing is recorded meanwhile.
    pub fn with<T>(&self, look: impl FnOnce(&Timeline) -> T) -> T {
        look(&self.recorder.timeline.lock())
    }

    /// How many requests of a lane have succeeded so far.
    pub fn succeeded(&self, lane: Lane) -> usize {
        let timeline = self.recorder.timeline.lock();
        timeline.samples(lane).filter(|sample| sample.seen == Seen::Ok).count()
    }
}

/// What a load has seen.
pub struct Recording {
    pub history: History,
    pub timeline: Timeline,
}

impl Workload {
    /// Starts all lanes on the current runtime.
    ///
    /// # Errors
    /// If no member tells the state to begin with.
    pub async fn start(targets: Vec<Target>, options: Options) -> Result<Self, tonic::Status> {
        let start = collect::state(&targets, &options.prefix).await?;
        let recorder = Arc::new(Recorder {
            origin: Instant::now(),
            stop: AtomicBool::new(false),
            operations: Mutex::default(),
            watches: Mutex::default(),
            timeline: Mutex::new(Timeline::new(
                targets.iter().map(|target| target.name.clone()).collect(),
                options.pace,
            )),
        });
        let (mut lanes, mut watchers) = (JoinSet::new(), JoinSet::new());
        lanes::spawn(&mut lanes, &recorder, &targets, &options);
        for (client, target) in targets.iter().enumerate() {
            let watch = watcher::Watcher {
                client: 1000 + client as u32,
                target: target.clone(),
                prefix: options.prefix.clone(),
                from: start.revision + 1,
                recorder: recorder.clone(),
                member: client,
            };
            watchers.spawn(watch.run());
        }
        Ok(Self { recorder, targets, options, start, lanes, watchers })
    }

    /// What can be asked while it runs, from any thread.
    pub fn monitor(&self) -> Monitor {
        Monitor { recorder: self.recorder.clone() }
    }

    fn now(&self) -> Nanos {
        self.recorder.now()
    }

    /// Writes a last key, and tells its revision: everything before it is settled then.
    async fn settle(&self) -> Result<i64, tonic::Status> {
        let deadline = tokio::time::Instant::now() + collect::PATIENCE;
        for (attempt, target) in self.targets.iter().cycle().enumerate() {
            let request = Request::Put(Put {
                key: format!("{}end", self.options.prefix),
                value: format!("end-{attempt}"),
                lease: 0,
            });
            let invoked = self.now();
            let channel = target.channel.clone();
            let outcome = calls::call(channel, &request, self.options.patience).await;
            let finished = Some(self.now()).filter(|_| !matches!(outcome, Outcome::Unknown(_)));
            self.recorder.operations.lock().push(Operation {
                client: 999,
                member: target.name.clone(),
                invoked,
                finished,
                request,
                outcome: outcome.clone(),
            });
            match outcome {
                Outcome::Ok(response) => return Ok(response.revision),
                Outcome::Refused(why) | Outcome::Unknown(why)
                    if tokio::time::Instant::now() >= deadline =>
                {
                    return Err(tonic::Status::unavailable(why));
                }
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        Err(tonic::Status::invalid_argument("there is no member to ask"))
    }

    /// Ends all at once; what the cluster holds is not read.
    pub async fn abandon(mut self) -> Timeline {
        self.recorder.stop.store(true, Ordering::Release);
        self.lanes.abort_all();
        self.watchers.abort_all();
        while self.lanes.join_next().await.is_some() {}
        while self.watchers.join_next().await.is_some() {}
        self.recorder.timeline.lock().clone()
    }

    /// Ends the lanes, lets the watches catch up, and reads what the healed cluster holds.
    ///
    /// # Errors
    /// If no member tells it.
    pub async fn finish(mut self) -> Result<Recording, tonic::Status> {
        self.recorder.stop.store(true, Ordering::Release);
        while self.lanes.join_next().await.is_some() {}
        let end = self.settle().await?;
        watcher::catch_up(&self.recorder, &self.targets, end).await;
        self.watchers.abort_all();
        while self.watchers.join_next().await.is_some() {}
        let events =
            collect::events(&self.targets, &self.options.prefix, self.start.revision, end).await?;
        let hashes: Vec<MemberHash> = collect::hashes(&self.targets, end).await;
        let history = History {
            operations: std::mem::take(&mut *self.recorder.operations.lock()),
            watches: std::mem::take(&mut *self.recorder.watches.lock()),
            start: self.start.pairs,
            start_revision: self.start.revision,
            events,
            hashes,
        };
        let timeline = self.recorder.timeline.lock().clone();
        Ok(Recording { history, timeline })
    }
}
