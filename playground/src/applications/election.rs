//! An election: candidates campaign, the one that leads proclaims, an observer follows.
//!
//! Candidates stand in a line of keys ([`Place`]), each at a member of its own, so that a cut
//! between members also cuts a candidate off. A proclamation is a transaction that holds only
//! while the leader's key is the one it was elected with: what a leader says that has been
//! replaced without noticing is refused by the cluster. (A resource outside of the cluster needs
//! the token for that; see the fenced lock.)
//!
//! # Invariant
//! In the order of revisions the tokens of proclamations never go down: there are never two
//! leaders at one revision.

use std::collections::BTreeMap;
use std::time::Duration;

use history::record::{Answer, Compare, Event as Change, Outcome, Put, Request, Txn, TxnOp};

use super::client::{Client, Effect, Event, Numbers, Question, earlier};
use super::follow::{Follow, News, below};
use super::notes::Notes;
use super::place::{Place, Step};
use super::tenure::{Tenures, Turn};
use super::{ClientLine, Ledger, Look};

pub const NAMES: [&str; 4] = ["a", "b", "c", "observer"];
/// The first of them are candidates.
pub const CANDIDATES: usize = 3;
const TTL_SECONDS: i64 = 3;
/// Between two proclamations.
const PACE: Duration = Duration::from_millis(400);
/// After it was told that it leads no more.
const REST: Duration = Duration::from_millis(500);
/// Proclamations that are remembered for comparison.
const PROCLAMATIONS_MAX: usize = 4000;

/// What clients tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Waits {
        behind: String,
    },
    Won(Turn),
    Renewed {
        until: Duration,
    },
    /// Its lease has ended, by its own clock or by what the cluster says.
    Lost,
    Proclaimed {
        token: i64,
        revision: i64,
    },
    /// It does not lead any more, and is told so.
    Refused {
        token: i64,
    },
    /// What the observer sees: who leads, with which token.
    Sees(Option<(String, i64)>),
}

/// The client of that number.
pub fn client(prefix: &str, who: usize, first_number: u64) -> Box<dyn Client<Told>> {
    let (prefix, numbers) = (format!("{prefix}election/"), Numbers::from(first_number));
    if who < CANDIDATES {
        return Box::new(Candidate {
            place: Place::new(&prefix, NAMES[who], TTL_SECONDS),
            name: NAMES[who],
            numbers,
            question: Question::default(),
            leads: None,
            said: 0,
        });
    }
    Box::new(Observer { follow: Follow::new(below(&prefix)), numbers, keys: BTreeMap::new() })
}

/// Wants to lead.
struct Candidate {
    place: Place,
    name: &'static str,
    numbers: Numbers,
    question: Question,
    /// With which token it leads, and when it says something next.
    leads: Option<(i64, Duration)>,
    said: u64,
}

impl Candidate {
    fn proclaim(&mut self, token: i64) -> Request {
        self.said += 1;
        let key = self.place.key();
        let value = format!("{} {}", self.name, self.said);
        Request::Txn(Txn {
            compares: vec![Compare::CreateRevisionIs { key: key.clone(), revision: token }],
            success: vec![TxnOp::Put(Put { key, value, lease: self.place.lease() })],
            failure: Vec::new(),
        })
    }

    fn answered(&mut self, outcome: &Outcome, now: Duration, out: &mut Vec<Effect<Told>>) {
        let Some((token, _)) = self.leads else { return };
        match outcome {
            Outcome::Ok(response) if response.answer == done() => {
                let revision = response.revision;
                out.push(Effect::Tell(Told::Proclaimed { token, revision }));
            }
            Outcome::Ok(_) => {
                self.leads = None;
                out.push(Effect::Tell(Told::Refused { token }));
                self.place.leave(now, now + REST);
            }
            // Nobody knows, or the cluster takes no writes now: it says the next one in time.
            Outcome::Refused(_) | Outcome::Unknown(_) => {}
        }
    }
}

/// The answer to a proclamation that holds.
fn done() -> Answer {
    Answer::Txn { succeeded: true, gets: Vec::new() }
}

impl Client<Told> for Candidate {
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<Told>> {
        let mut out = Vec::new();
        if let Some(outcome) = self.question.answer(&event) {
            self.answered(&outcome, now, &mut out);
        }
        // What it had in mind to say it says before it notices anything else.
        if let Some((token, next)) = self.leads
            && now >= next
            && !self.question.is_open()
        {
            // From question to question: who sleeps over an answer has something to say at once.
            self.leads = Some((token, now + PACE));
            let request = self.proclaim(token);
            self.question.ask(&mut self.numbers, request, &mut out);
        }
        match self.place.on(&event, now, &mut self.numbers, &mut out) {
            Step::Nothing => {}
            Step::Waits { behind } => out.push(Effect::Tell(Told::Waits { behind })),
            Step::First { token, until } => {
                self.leads = Some((token, now));
                self.question.forget();
                out.push(Effect::Tell(Told::Won(Turn { token, until })));
            }
            Step::Renewed { until } => out.push(Effect::Tell(Told::Renewed { until })),
            // What it has just said is still on its way: the answer tells that it is deposed.
            Step::Lost => out.push(Effect::Tell(Told::Lost)),
        }
        if self.place.token().is_none() && !self.question.is_open() {
            self.leads = None;
        }
        out
    }

    fn wake(&self) -> Option<Duration> {
        let next = self.leads.map(|(_, next)| next).filter(|_| !self.question.is_open());
        earlier(self.place.wake(), next)
    }
}

/// Knows who leads.
struct Observer {
    follow: Follow,
    numbers: Numbers,
    /// Candidates' keys: create revision and what they say.
    keys: BTreeMap<String, (i64, String)>,
}

impl Client<Told> for Observer {
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<Told>> {
        let mut out = Vec::new();
        match self.follow.on(&event, now, &mut self.numbers, &mut out) {
            News::Nothing => return out,
            News::Read { pairs } => {
                let keys = pairs.into_iter().map(|it| (it.key, (it.create_revision, it.value)));
                self.keys = keys.collect();
            }
            News::Changed(changes) => {
                for change in changes {
                    match change {
                        Change::Put(it) => {
                            self.keys.insert(it.key, (it.create_revision, it.value));
                        }
                        Change::Delete { key, .. } => {
                            self.keys.remove(&key);
                        }
                    }
                }
            }
        }
        let first = self.keys.values().min_by_key(|(token, _)| *token);
        let name = |said: &str| said.split(' ').next().unwrap_or_default().to_string();
        out.push(Effect::Tell(Told::Sees(first.map(|(token, said)| (name(said), *token)))));
        out
    }

    fn wake(&self) -> Option<Duration> {
        self.follow.wake()
    }
}

/// Who leads, who believes so, and what was said.
pub struct Election {
    names: Vec<String>,
    notes: Notes,
    tenures: Tenures,
    texts: Vec<String>,
    /// Tokens of proclamations that were taken, by revision.
    said: BTreeMap<i64, i64>,
    proclamations: u64,
    refused: u64,
    sees: Option<(String, i64)>,
    alive: Vec<bool>,
    settling: Option<u64>,
}

impl Default for Election {
    fn default() -> Self {
        Self {
            names: NAMES.map(str::to_string).to_vec(),
            notes: Notes::default(),
            tenures: Tenures::new(CANDIDATES),
            texts: vec![String::new(); NAMES.len()],
            said: BTreeMap::new(),
            proclamations: 0,
            refused: 0,
            sees: None,
            alive: vec![true; NAMES.len()],
            settling: None,
        }
    }
}

impl Election {
    fn won(&mut self, who: usize, turn: Turn, now: Duration) {
        let name = NAMES[who];
        let others: Vec<usize> =
            self.tenures.believers().into_iter().filter(|other| *other != who).collect();
        if let Some(wrong) = self.tenures.begin(who, turn, now) {
            self.notes.violation(now, wrong.sentence(name, &self.names));
        }
        let token = turn.token;
        let text = match others.first() {
            Some(other) => format!(
                "two leaders: {name} is elected with token {token}, and {} still believes",
                NAMES[*other]
            ),
            None => format!("{name} is elected, token {token}"),
        };
        self.notes.notable(now, text);
    }

    fn proclaimed(&mut self, who: usize, token: i64, revision: i64, now: Duration) {
        self.proclamations += 1;
        self.texts[who] = format!("leads with token {token}, spoke at revision {revision}");
        let before = self.said.range(..revision).next_back().map(|(_, token)| *token);
        let after = self.said.range(revision + 1..).next().map(|(_, token)| *token);
        if before.is_some_and(|before| before > token) || after.is_some_and(|it| it < token) {
            let text = format!(
                "{} spoke with token {token} at revision {revision}, between others with {:?}",
                NAMES[who],
                (before, after)
            );
            self.notes.violation(now, format!("two leaders at one time: {text}"));
        }
        self.said.insert(revision, token);
        if self.said.len() > PROCLAMATIONS_MAX {
            self.said.pop_first();
        }
    }
}

impl Ledger for Election {
    type Told = Told;

    fn hear(&mut self, who: usize, told: Told, now: Duration) -> Option<Event> {
        let name = NAMES[who];
        match told {
            Told::Waits { behind } => {
                let behind = behind.split(' ').next().unwrap_or_default().to_string();
                self.texts[who] = format!("waits behind {behind}");
            }
            Told::Won(turn) => self.won(who, turn, now),
            Told::Renewed { until } => self.tenures.renew(who, until),
            Told::Lost => {
                self.tenures.end(who);
                self.texts[who] = "stepped down: its lease has ended".into();
                self.notes.notable(now, format!("{name} steps down: its lease has ended"));
            }
            Told::Proclaimed { token, revision } => self.proclaimed(who, token, revision, now),
            Told::Refused { token } => {
                self.refused += 1;
                self.tenures.end(who);
                self.texts[who] = format!("was refused: token {token} leads no more");
                let text = format!("what {name} says with token {token} is refused");
                self.notes.notable(now, text);
            }
            Told::Sees(sees) => {
                if sees != self.sees {
                    let text = match &sees {
                        Some((leader, token)) => format!("sees {leader} lead, token {token}"),
                        None => "sees nobody lead".into(),
                    };
                    self.notes.line(now, format!("{name} {text}"));
                    self.texts[who] = text;
                    self.sees = sees;
                }
            }
        }
        None
    }
}

impl Look for Election {
    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("leaders", self.tenures.believers().len() as u64),
            ("terms", self.tenures.begun),
            ("proclamations", self.proclamations),
            ("refused-proclamations", self.refused),
        ]
    }

    fn peaks(&self) -> Vec<(&'static str, u64)> {
        vec![("leaders", self.tenures.most)]
    }

    fn client(&self, who: usize) -> ClientLine {
        let text = self.texts.get(who).cloned().unwrap_or_default();
        ClientLine { active: self.tenures.turn(who).is_some(), text }
    }

    fn who(&self, role: &str) -> Option<Vec<usize>> {
        let newest = || self.tenures.believers().pop().into_iter().collect();
        (role == "leader").then(newest)
    }

    fn ended(&mut self, who: usize, now: Duration) {
        self.tenures.end(who);
        self.texts[who].clear();
        self.notes.notable(now, format!("{} crashed", NAMES[who]));
    }

    fn settle(&mut self, alive: &[bool]) {
        self.alive = alive.to_vec();
        self.settling = Some(self.proclamations);
    }

    fn unmet(&self, _: Duration) -> Option<String> {
        let lives = |who: usize| self.alive.get(who).copied().unwrap_or(false);
        let before = self.settling?;
        if !(0..CANDIDATES).any(lives) {
            return None;
        }
        let believers = self.tenures.believers();
        if self.proclamations <= before || believers.len() != 1 {
            return Some(format!(
                "{} believe that they lead, and {} spoke after the cluster was healed",
                believers.len(),
                self.proclamations - before
            ));
        }
        let leader = believers.first().map(|who| NAMES[*who]);
        let seen = self.sees.as_ref().map(|(name, _)| name.as_str());
        (lives(CANDIDATES) && leader != seen).then(|| {
            let word = |name: Option<&str>| name.unwrap_or("nobody").to_string();
            format!("{} leads, and the observer sees {}", word(leader), word(seen))
        })
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }
}
