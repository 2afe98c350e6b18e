//! The shell around the clients of an application: a task each, connections, the clock, and the
//! hand that pauses, crashes and starts them.
//!
//! # Invariants
//! - What a client believes and whether it runs change under one lock. Whoever pauses the holder
//!   of a lock pauses it while it holds it.
//! - A paused client hears nothing and does nothing: answers and timers wait for it, as they
//!   would for a stopped process. A crashed one is gone; what it had asked may still be done.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use history::record::{KeyRange, Outcome, Request};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::Status;

use super::client::{Client, Effect, Event};
use super::follow::below;
use super::notes::Line;
use super::report::{ApplicationReport, ClientReport, ClientState, Fact, Happened};
use super::{Kind, Ledger, Look, configuration, discovery, election, lock};
use crate::workload::{Target, calls, told};

/// Answers and changes that wait for a client.
const WAITING_MAX: usize = 256;
/// How long somebody in a role is waited for.
const ROLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long a healed cluster and its clients are given to come to rest.
const REST_PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks.
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// What is done to clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientVerb {
    Pause,
    Resume,
    Crash,
    Start,
}

impl ClientVerb {
    pub const ALL: [(&'static str, Self); 4] = [
        ("pause", Self::Pause),
        ("resume", Self::Resume),
        ("crash", Self::Crash),
        ("start", Self::Start),
    ];

    /// The word of the format.
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, verb)| *verb == self).map_or("", |(word, _)| word)
    }
}

/// Where an application runs.
#[derive(Clone, Debug)]
pub struct Setup {
    pub targets: Vec<Target>,
    /// All its keys begin with it.
    pub prefix: String,
    /// How long an answer is waited for.
    pub patience: Duration,
}

/// An application that runs; copies are the same application.
#[derive(Clone)]
pub struct Application {
    inner: Arc<Inner>,
}

struct Inner {
    kind: Kind,
    setup: Setup,
    look: Arc<Mutex<dyn Look>>,
    controls: Vec<watch::Sender<ClientState>>,
    tasks: Mutex<JoinSet<()>>,
    origin: Instant,
}

/// Makes a client: its number, and the first of the numbers it may use.
type Maker<T> = Arc<dyn Fn(usize, u64) -> Box<dyn Client<T>> + Send + Sync>;

/// What an application counts.
pub fn names_of_facts(kind: Kind) -> Vec<&'static str> {
    let names = |look: &dyn Look| look.facts().into_iter().map(|(name, _)| name).collect();
    match kind {
        Kind::Lock | Kind::FencedLock => names(&lock::Lock::new(false)),
        Kind::Discovery => names(&discovery::Discovery::default()),
        Kind::Configuration => names(&configuration::Configuration::default()),
        Kind::Election => names(&election::Election::default()),
    }
}

impl Application {
    /// Starts all clients on the current runtime.
    pub fn start(kind: Kind, setup: Setup) -> Self {
        let prefix = setup.prefix.clone();
        match kind {
            Kind::Lock | Kind::FencedLock => {
                let ledger = lock::Lock::new(kind == Kind::FencedLock);
                let make: Maker<lock::Told> = Arc::new(move |who, first| {
                    Box::new(lock::Contender::new(&prefix, lock::NAMES[who], first))
                });
                Self::spawn(kind, setup, ledger, make)
            }
            Kind::Discovery => {
                let make: Maker<discovery::Told> =
                    Arc::new(move |who, first| discovery::client(&prefix, who, first));
                Self::spawn(kind, setup, discovery::Discovery::default(), make)
            }
            Kind::Configuration => {
                let make: Maker<configuration::Told> =
                    Arc::new(move |who, first| configuration::client(&prefix, who, first));
                Self::spawn(kind, setup, configuration::Configuration::default(), make)
            }
            Kind::Election => {
                let make: Maker<election::Told> =
                    Arc::new(move |who, first| election::client(&prefix, who, first));
                Self::spawn(kind, setup, election::Election::default(), make)
            }
        }
    }

    fn spawn<L: Ledger + 'static>(
        kind: Kind,
        setup: Setup,
        ledger: L,
        make: Maker<L::Told>,
    ) -> Self {
        let origin = Instant::now();
        let ledger = Arc::new(Mutex::new(ledger));
        let mut tasks = JoinSet::new();
        let (mut controls, targets) = (Vec::new(), Arc::new(setup.targets.clone()));
        for who in 0..kind.clients().len() {
            let (control, state) = watch::channel(ClientState::Running);
            controls.push(control);
            let life = Life {
                who,
                ledger: ledger.clone(),
                make: make.clone(),
                state,
                targets: targets.clone(),
                turn: Arc::new(AtomicUsize::new(who)),
                stays: kind.stays(who),
                patience: setup.patience,
                origin,
            };
            tasks.spawn(life.run());
        }
        let look: Arc<Mutex<dyn Look>> = ledger;
        let tasks = Mutex::new(tasks);
        Self { inner: Arc::new(Inner { kind, setup, look, controls, tasks, origin }) }
    }

    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// What is counted under a name.
    pub fn fact(&self, name: &str) -> Option<u64> {
        let facts = self.inner.look.lock().facts();
        facts.into_iter().find(|(known, _)| *known == name).map(|(_, count)| count)
    }

    /// Lines from number `from` on, and the number of the next one.
    pub fn since(&self, from: usize) -> (Vec<Line>, usize) {
        self.inner.look.lock().notes().since(from)
    }

    /// Everything there is to see now.
    pub fn report(&self) -> ApplicationReport {
        let inner = &self.inner;
        let look = inner.look.lock();
        let clients = inner.kind.clients().iter().enumerate().map(|(who, name)| {
            let line = look.client(who);
            ClientReport {
                name: (*name).to_string(),
                state: *inner.controls[who].borrow(),
                active: line.active,
                text: line.text,
            }
        });
        let peaks = look.peaks();
        let most = |name: &str| peaks.iter().find(|(known, _)| *known == name).map(|(_, it)| *it);
        let fact = |(name, count): (&str, u64)| Fact { name: name.into(), count, most: most(name) };
        let happened = |line: &Line| Happened {
            at_ms: u64::try_from(line.at.as_millis()).unwrap_or(u64::MAX),
            text: line.text.clone(),
        };
        ApplicationReport {
            application: inner.kind.word().into(),
            about: inner.kind.about().into(),
            claim: inner.kind.claim().into(),
            clients: clients.collect(),
            outside: look.outside(),
            facts: look.facts().into_iter().map(fact).collect(),
            violations: look.notes().violations().to_vec(),
            unmet: None,
            excused: None,
            happened: look.notes().notables().iter().map(happened).collect(),
        }
    }

    /// The members that clients stay at: names, a role, or `all`.
    ///
    /// # Errors
    /// If there is nobody of that name.
    pub fn members(&self, clients: &str) -> Result<Vec<String>, String> {
        let inner = &self.inner;
        let chosen = choose(inner.kind, &*inner.look.lock(), clients)?;
        let targets = &inner.setup.targets;
        let stay = chosen.into_iter().filter(|who| inner.kind.stays(*who));
        let member = |who: usize| Some(targets.get(who % targets.len().max(1))?.name.clone());
        Ok(stay.filter_map(member).collect())
    }

    /// Pauses, resumes, crashes or starts clients: names, a role, or `all`.
    ///
    /// # Errors
    /// If there is nobody of that name, or nobody gets into that role in time.
    pub async fn act(&self, verb: ClientVerb, clients: &str) -> Result<String, String> {
        let deadline = Instant::now() + ROLE_PATIENCE;
        loop {
            if let Some(said) = self.act_now(verb, clients)? {
                return Ok(said);
            }
            if Instant::now() >= deadline {
                let limit = ROLE_PATIENCE.as_secs();
                return Err(format!("nobody was {clients} within {limit} s"));
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        }
    }

    /// Does it; nothing if nobody is in that role now.
    fn act_now(&self, verb: ClientVerb, clients: &str) -> Result<Option<String>, String> {
        let inner = &self.inner;
        let names = inner.kind.clients();
        let mut look = inner.look.lock();
        let chosen = choose(inner.kind, &*look, clients)?;
        let now = inner.origin.elapsed();
        let mut done = Vec::new();
        for who in chosen {
            let control = &inner.controls[who];
            let old = *control.borrow();
            let (new, past) = match (verb, old) {
                (ClientVerb::Pause, ClientState::Running) => (ClientState::Paused, "is paused"),
                (ClientVerb::Resume, ClientState::Paused) => (ClientState::Running, "goes on"),
                (ClientVerb::Start, ClientState::Crashed) => (ClientState::Running, "is started"),
                (ClientVerb::Crash, ClientState::Running | ClientState::Paused) => {
                    look.ended(who, now);
                    (ClientState::Crashed, "has crashed")
                }
                _ => continue,
            };
            control.send_replace(new);
            if new != ClientState::Crashed {
                look.notes_mut().notable(now, format!("{} {past}", names[who]));
            }
            done.push(format!("{} {past}", names[who]));
        }
        let everybody = clients == "all";
        Ok((everybody || !done.is_empty()).then(|| match done.is_empty() {
            true => format!("there was nobody to {}", verb.word()),
            false => done.join(", "),
        }))
    }

    /// Once the cluster is healed: lets the clients come to rest, takes the last picture, ends.
    pub async fn finish(&self) -> ApplicationReport {
        // Whoever is paused goes on; "all" is never nobody.
        let _ = self.act_now(ClientVerb::Resume, "all");
        let states = self.inner.controls.iter().map(|control| *control.borrow());
        let alive: Vec<bool> = states.map(|state| state == ClientState::Running).collect();
        self.inner.look.lock().settle(&alive);
        let deadline = Instant::now() + REST_PATIENCE;
        let unmet = loop {
            let unmet = self.inner.look.lock().unmet(self.inner.origin.elapsed());
            if unmet.is_none() || Instant::now() >= deadline {
                break unmet;
            }
            tokio::time::sleep(LOOK_PAUSE).await;
        };
        let report = ApplicationReport { unmet, ..self.report() };
        self.end().await;
        report
    }

    /// Ends all clients and deletes their keys, as far as the cluster lets it.
    pub async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.inner.tasks.lock());
        tasks.shutdown().await;
        let Setup { targets, prefix, patience } = &self.inner.setup;
        let range = below(prefix);
        for target in targets {
            let request = Request::Delete { range: range.clone() };
            let outcome = calls::call(target.channel.clone(), &request, *patience).await;
            if matches!(outcome, Outcome::Ok(_)) {
                return;
            }
        }
    }
}

/// Who is meant: names, a role that may be nobody's now, or `all`.
fn choose(kind: Kind, look: &dyn Look, clients: &str) -> Result<Vec<usize>, String> {
    let names = kind.clients();
    if clients == "all" {
        return Ok((0..names.len()).collect());
    }
    if let Some(chosen) = look.who(clients) {
        return Ok(chosen);
    }
    let number = |name: &str| names.iter().position(|known| *known == name.trim());
    clients
        .split(',')
        .map(number)
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{kind} has no client {clients:?}: it has {}", names.join(", ")))
}

/// One client, through all its lives.
struct Life<L: Ledger> {
    who: usize,
    ledger: Arc<Mutex<L>>,
    make: Maker<L::Told>,
    state: watch::Receiver<ClientState>,
    targets: Arc<Vec<Target>>,
    /// Which member it asks; the next one after an answer that did not come.
    turn: Arc<AtomicUsize>,
    stays: bool,
    patience: Duration,
    origin: Instant,
}

impl<L: Ledger> Life<L> {
    async fn run(mut self) {
        // It ends when nobody holds the other side any more.
        while self.state.wait_for(|state| *state == ClientState::Running).await.is_ok() {
            self.live().await;
        }
    }

    /// From birth to a crash.
    async fn live(&mut self) {
        // Numbers of one life are far from those of any other; leases must be nobody else's.
        let mut client = (self.make)(self.who, rand::random::<u64>() >> 2);
        let (tell, mut heard) = mpsc::channel(WAITING_MAX);
        let (mut asked, mut watching) = (JoinSet::new(), JoinSet::new());
        let mut waiting = Some(Event::Born);
        loop {
            let state = *self.state.borrow_and_update();
            match state {
                ClientState::Crashed => return,
                ClientState::Paused => {
                    if self.state.changed().await.is_err() {
                        return;
                    }
                    continue;
                }
                ClientState::Running => {}
            }
            if let Some(event) = waiting.take() {
                match self.handle(client.as_mut(), event) {
                    Ok(wishes) => wishes
                        .into_iter()
                        .for_each(|wish| self.carry_out(wish, &tell, &mut asked, &mut watching)),
                    Err(event) => waiting = Some(event),
                }
                while asked.try_join_next().is_some() {}
                continue;
            }
            tokio::select! {
                biased;
                changed = self.state.changed() => if changed.is_err() { return },
                event = heard.recv() => waiting = event,
                () = until(client.wake(), self.origin) => waiting = Some(Event::Woke),
            }
        }
    }

    /// Lets the client take the event, and the ledger what it tells; the event back if it was
    /// paused or crashed in between.
    fn handle(
        &self,
        client: &mut dyn Client<L::Told>,
        event: Event,
    ) -> Result<Vec<Effect<L::Told>>, Event> {
        let mut ledger = self.ledger.lock();
        if *self.state.borrow() != ClientState::Running {
            return Err(event);
        }
        let now = self.origin.elapsed();
        let (mut events, mut wishes) = (VecDeque::from([event]), Vec::new());
        while let Some(event) = events.pop_front() {
            for effect in client.on(event, now) {
                match effect {
                    Effect::Tell(told) => events.extend(ledger.hear(self.who, told, now)),
                    wish => wishes.push(wish),
                }
            }
        }
        Ok(wishes)
    }

    fn carry_out(
        &self,
        wish: Effect<L::Told>,
        tell: &mpsc::Sender<Event>,
        asked: &mut JoinSet<()>,
        watching: &mut JoinSet<()>,
    ) {
        let (tell, turn, at) = (tell.clone(), self.turn.clone(), self.turn.load(Ordering::Relaxed));
        let Some(target) = self.targets.get(at % self.targets.len().max(1)) else { return };
        let (channel, patience) = (target.channel.clone(), self.patience);
        let step = usize::from(!self.stays);
        let next = move || {
            // Only the first of many failures moves on.
            let _ = turn.compare_exchange(at, at + step, Ordering::Relaxed, Ordering::Relaxed);
        };
        match wish {
            Effect::Ask { number, request } => {
                asked.spawn(async move {
                    let outcome = calls::call(channel, &request, patience).await;
                    if matches!(outcome, Outcome::Unknown(_)) {
                        next();
                    }
                    // A client that has crashed hears nothing.
                    let _ = tell.send(Event::Answered { number, outcome }).await;
                });
            }
            Effect::Watch { range, from } => {
                watching.abort_all();
                watching.spawn(async move {
                    let compacted = observe(channel, &range, from, &tell).await;
                    next();
                    let _ = tell.send(Event::Broke { compacted }).await;
                });
            }
            // The ledger has heard it.
            Effect::Tell(_) => {}
        }
    }
}

async fn until(at: Option<Duration>, origin: Instant) {
    match at {
        Some(at) => tokio::time::sleep_until(origin + at).await,
        None => std::future::pending().await,
    }
}

/// One watch to its end; tells whether its beginning is compacted away.
async fn observe(
    channel: tonic::transport::Channel,
    range: &KeyRange,
    from: i64,
    tell: &mpsc::Sender<Event>,
) -> bool {
    let watching = async {
        let mut stream = calls::watch(channel, range, from, false).await?;
        while let Some(response) = stream.message().await? {
            if response.canceled {
                return Ok::<bool, Status>(response.compact_revision > 0);
            }
            let changes: Vec<_> =
                response.events.into_iter().filter_map(told).map(|it| it.event).collect();
            if !changes.is_empty() && tell.send(Event::Changed(changes)).await.is_err() {
                break;
            }
        }
        Ok(false)
    };
    watching.await.unwrap_or(false)
}
