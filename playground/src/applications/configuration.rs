//! A configuration centre: editors change one key by compare-and-swap, consumers watch it.
//!
//! An editor reads the configuration, thinks, and writes its version only if nothing has changed
//! since (the modification revision is still the one it read). The `latecomer` thinks for so
//! long that somebody else was always faster: it is refused. Consumers watch from the revision
//! they read at, and hear of every version, in order, once.
//!
//! # Invariants
//! - The version counter that etcd keeps for each key goes up by one with every change: by it a
//!   consumer sees by itself that it has missed one.
//! - An edit whose answer did not come is looked up before the next one is made; values are
//!   unique, so an editor knows its own.

use std::collections::BTreeMap;
use std::time::Duration;

use history::record::{
    Answer, Compare, Event as Change, Get, KeyRange, Outcome, Pair, Put, Request, Txn, TxnOp,
};

use super::client::{Client, Effect, Event, Numbers, Question};
use super::follow::{Follow, News};
use super::notes::Notes;
use super::{ClientLine, Ledger, Look};

pub const NAMES: [&str; 5] = ["editor", "latecomer", "consumer-1", "consumer-2", "consumer-3"];
/// The first of them are editors.
const EDITORS: usize = 2;
/// How long they think.
const THINKS: [Duration; EDITORS] = [Duration::from_millis(300), Duration::from_millis(1700)];
const AGAIN: Duration = Duration::from_millis(150);
/// Versions that are remembered for comparison.
const VERSIONS_MAX: usize = 4000;

/// What clients tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// An edit on top of revision `base` was taken.
    Committed {
        base: i64,
        revision: i64,
        value: String,
    },
    /// An edit on top of `base` was refused.
    Conflict {
        base: i64,
    },
    Read(Option<Pair>),
    Saw(Pair),
}

/// The client of that number.
pub fn client(prefix: &str, who: usize, first_number: u64) -> Box<dyn Client<Told>> {
    let (key, numbers) = (format!("{prefix}config/app"), Numbers::from(first_number));
    match THINKS.get(who) {
        Some(thinks) => Box::new(Editor {
            key,
            name: NAMES[who],
            thinks: *thinks,
            question: Question::default(),
            numbers,
            state: State::Reading { at: Duration::ZERO },
            open: None,
        }),
        None => Box::new(Consumer { follow: Follow::new(KeyRange::one(key)), numbers }),
    }
}

/// Edits, one version after the other.
struct Editor {
    key: String,
    name: &'static str,
    thinks: Duration,
    question: Question,
    numbers: Numbers,
    state: State,
    /// The edit whose outcome nobody knows.
    open: Option<Edit>,
}

#[derive(Clone, Debug)]
struct Edit {
    base: i64,
    value: String,
}

enum State {
    Reading { at: Duration },
    Thinking { base: i64, done: Duration },
    Writing(Edit),
}

impl Editor {
    /// What the key is now; the editor goes on from there.
    fn found(&mut self, pair: Option<&Pair>, now: Duration, out: &mut Vec<Effect<Told>>) {
        let base = pair.map_or(0, |pair| pair.mod_revision);
        if let (Some(edit), Some(pair)) = (self.open.take(), pair)
            && edit.value == pair.value
        {
            let Edit { base, value } = edit;
            out.push(Effect::Tell(Told::Committed { base, revision: pair.mod_revision, value }));
        }
        self.state = State::Thinking { base, done: now + self.thinks };
    }

    fn answered(&mut self, outcome: Outcome, now: Duration, out: &mut Vec<Effect<Told>>) {
        let again = State::Reading { at: now + AGAIN };
        let state = std::mem::replace(&mut self.state, again);
        match (state, outcome) {
            (State::Reading { .. }, Outcome::Ok(response)) => {
                if let Answer::Pairs(pairs) = response.answer {
                    self.found(pairs.first(), now, out);
                }
            }
            (State::Writing(edit), Outcome::Ok(response)) => match response.answer {
                Answer::Txn { succeeded: true, .. } => {
                    let (revision, Edit { base, value }) = (response.revision, edit);
                    out.push(Effect::Tell(Told::Committed { base, revision, value }));
                    self.state = State::Thinking { base: revision, done: now + self.thinks };
                }
                Answer::Txn { gets, .. } => {
                    out.push(Effect::Tell(Told::Conflict { base: edit.base }));
                    self.found(gets.first().and_then(|pairs| pairs.first()), now, out);
                }
                _ => {}
            },
            (State::Writing(edit), Outcome::Unknown(_)) => self.open = Some(edit),
            _ => {}
        }
    }

    fn write(&mut self, base: i64) -> (Edit, Request) {
        let value = format!("{}-{:x}", self.name, self.numbers.fresh());
        let key = self.key.clone();
        let get = TxnOp::Get { range: KeyRange::one(key.clone()) };
        let request = Request::Txn(Txn {
            compares: vec![Compare::ModRevisionIs { key: key.clone(), revision: base }],
            success: vec![TxnOp::Put(Put { key, value: value.clone(), lease: 0 })],
            failure: vec![get],
        });
        (Edit { base, value }, request)
    }
}

impl Client<Told> for Editor {
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<Told>> {
        let mut out = Vec::new();
        if let Some(outcome) = self.question.answer(&event) {
            self.answered(outcome, now, &mut out);
        }
        if self.question.is_open() {
            return out;
        }
        match self.state {
            State::Reading { at } if now >= at => {
                let range = KeyRange::one(self.key.clone());
                let get = Request::Get(Get { range, serializable: false, revision: 0 });
                self.question.ask(&mut self.numbers, get, &mut out);
            }
            State::Thinking { base, done } if now >= done => {
                let (edit, request) = self.write(base);
                self.state = State::Writing(edit);
                self.question.ask(&mut self.numbers, request, &mut out);
            }
            _ => {}
        }
        out
    }

    fn wake(&self) -> Option<Duration> {
        let at = match self.state {
            State::Reading { at } => Some(at),
            State::Thinking { done, .. } => Some(done),
            State::Writing(_) => None,
        };
        at.filter(|_| !self.question.is_open())
    }
}

/// Hears of every version.
struct Consumer {
    follow: Follow,
    numbers: Numbers,
}

impl Client<Told> for Consumer {
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<Told>> {
        let mut out = Vec::new();
        match self.follow.on(&event, now, &mut self.numbers, &mut out) {
            News::Nothing => {}
            News::Read { pairs } => out.push(Effect::Tell(Told::Read(pairs.into_iter().next()))),
            News::Changed(changes) => {
                out.extend(changes.into_iter().filter_map(|change| match change {
                    Change::Put(pair) => Some(Effect::Tell(Told::Saw(pair))),
                    Change::Delete { .. } => None,
                }))
            }
        }
        out
    }

    fn wake(&self) -> Option<Duration> {
        self.follow.wake()
    }
}

/// What a consumer has heard last.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    revision: i64,
    version: i64,
}

/// All versions, and who has heard of which.
pub struct Configuration {
    notes: Notes,
    /// Edits that were taken: by revision what they were based on, and the value.
    taken: BTreeMap<i64, (i64, String)>,
    /// What consumers heard, by revision.
    told: BTreeMap<i64, String>,
    /// By consumer, once it has read.
    heard: BTreeMap<usize, Heard>,
    refused: [u64; EDITORS],
    versions: u64,
    most_behind: u64,
    missed: u64,
    doubled: u64,
    alive: Vec<bool>,
    /// The newest revision when the settling began.
    settling: Option<i64>,
}

impl Default for Configuration {
    fn default() -> Self {
        Self {
            notes: Notes::default(),
            taken: BTreeMap::new(),
            told: BTreeMap::new(),
            heard: BTreeMap::new(),
            refused: [0; EDITORS],
            versions: 0,
            most_behind: 0,
            missed: 0,
            doubled: 0,
            alive: vec![true; NAMES.len()],
            settling: None,
        }
    }
}

impl Configuration {
    fn newest(&self) -> i64 {
        self.taken.last_key_value().map_or(0, |(revision, _)| *revision)
    }

    fn committed(&mut self, who: usize, base: i64, revision: i64, value: String, now: Duration) {
        let name = NAMES[who];
        self.versions += 1;
        self.notes.line(now, format!("{name} changed revision {base}, now {revision}"));
        let twin = self.taken.iter().find(|(at, (on, _))| *on == base && **at != revision);
        if let Some((other, _)) = twin {
            let text =
                format!("two edits of revision {base} were taken, at {other} and {revision}");
            self.notes.violation(now, text);
        }
        let passed = self.heard.values().any(|heard| heard.revision > revision);
        match self.told.get(&revision) {
            Some(told) if *told != value => {
                let text =
                    format!("revision {revision} is {value} to {name}, and {told} to others");
                self.notes.violation(now, text);
            }
            None if passed && self.told.first_key_value().is_some_and(|(at, _)| *at < revision) => {
                let text = format!("the change of {name} at {revision} was taken, and is lost");
                self.notes.violation(now, text);
            }
            _ => {}
        }
        self.taken.insert(revision, (base, value));
        self.most_behind = self.most_behind.max(self.behind());
        if self.taken.len() > VERSIONS_MAX {
            self.taken.pop_first();
        }
    }

    /// How many versions the consumer that has heard least has not heard of yet.
    fn behind(&self) -> u64 {
        let behind = |heard: &Heard| self.taken.range(heard.revision + 1..).count();
        self.heard.values().map(behind).max().unwrap_or(0) as u64
    }

    fn saw(&mut self, who: usize, pair: Pair, now: Duration) {
        let (name, revision) = (NAMES[who], pair.mod_revision);
        let last = self.heard.get(&who).copied().unwrap_or_default();
        if revision <= last.revision {
            self.doubled += 1;
            let text = format!("{name} heard of revision {revision} after {}", last.revision);
            self.notes.violation(now, text);
            return;
        }
        let missed = pair.version.saturating_sub(last.version + 1);
        if missed > 0 {
            self.missed += missed.unsigned_abs();
            let text = format!(
                "{name} missed {missed} versions: after version {} it heard of {} (revision \
                 {revision})",
                last.version, pair.version
            );
            self.notes.violation(now, text);
        }
        if let Some((base, _)) = self.taken.get(&revision)
            && missed == 0
            && *base != last.revision
        {
            let text = format!(
                "a stale edit was taken: revision {revision} was made of {base}, and {} came \
                 between",
                last.revision
            );
            self.notes.violation(now, text);
        }
        if let Some(told) = self.told.get(&revision).filter(|told| **told != pair.value) {
            let text = format!("revision {revision} is {} to {name}, {told} to others", pair.value);
            self.notes.violation(now, text);
        }
        self.told.insert(revision, pair.value);
        if self.told.len() > VERSIONS_MAX {
            self.told.pop_first();
        }
        self.heard.insert(who, Heard { revision, version: pair.version });
    }

    fn read(&mut self, who: usize, pair: Option<Pair>, now: Duration) {
        let heard = pair.map_or_else(Heard::default, |pair| Heard {
            revision: pair.mod_revision,
            version: pair.version,
        });
        let last = self.heard.insert(who, heard).unwrap_or_default();
        let name = NAMES[who];
        if heard.revision < last.revision {
            let text = format!(
                "{name} read revision {} after it had heard of {}",
                heard.revision, last.revision
            );
            self.notes.violation(now, text);
        }
        self.notes.line(now, format!("{name} reads version {}", heard.version));
    }
}

impl Ledger for Configuration {
    type Told = Told;

    fn hear(&mut self, who: usize, told: Told, now: Duration) -> Option<Event> {
        match told {
            Told::Committed { base, revision, value } => {
                self.committed(who, base, revision, value, now);
            }
            Told::Conflict { base } => {
                self.refused[who] += 1;
                let text = format!("{} is refused: revision {base} is old", NAMES[who]);
                self.notes.notable(now, text);
            }
            Told::Read(pair) => self.read(who, pair, now),
            Told::Saw(pair) => self.saw(who, pair, now),
        }
        None
    }
}

impl Look for Configuration {
    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("versions", self.versions),
            ("behind", self.behind()),
            ("missed", self.missed),
            ("doubled", self.doubled),
            ("refused-edits", self.refused.iter().sum()),
        ]
    }

    fn peaks(&self) -> Vec<(&'static str, u64)> {
        vec![("behind", self.most_behind)]
    }

    fn client(&self, who: usize) -> ClientLine {
        if let Some(refused) = self.refused.get(who) {
            let text = format!("edits; {refused} edits refused, because they were too late");
            return ClientLine { active: false, text };
        }
        match self.heard.get(&who) {
            None => ClientLine { active: false, text: "has read nothing yet".into() },
            Some(heard) => {
                let behind = self.taken.range(heard.revision + 1..).count();
                let late = if behind == 0 { String::new() } else { format!(", {behind} behind") };
                let text = format!("version {}, revision {}{late}", heard.version, heard.revision);
                ClientLine { active: behind == 0, text }
            }
        }
    }

    fn who(&self, _: &str) -> Option<Vec<usize>> {
        None
    }

    fn ended(&mut self, who: usize, now: Duration) {
        self.notes.notable(now, format!("{} crashed", NAMES[who]));
        self.heard.remove(&who);
    }

    fn settle(&mut self, alive: &[bool]) {
        self.alive = alive.to_vec();
        self.settling = Some(self.newest());
    }

    fn unmet(&self, _: Duration) -> Option<String> {
        let lives = |who: usize| self.alive.get(who).copied().unwrap_or(false);
        let before = self.settling?;
        if (0..EDITORS).any(lives) && self.newest() <= before {
            return Some("nothing could be changed after the cluster was healed".into());
        }
        let mut consumers = (EDITORS..NAMES.len()).filter(|who| lives(*who));
        let late = consumers.find(|who| self.heard.get(who).is_none_or(|it| it.revision < before));
        late.map(|who| format!("{} has not heard of revision {before}", NAMES[who]))
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }
}
