//! A distributed lock, and the resource it is meant to guard.
//!
//! Three clients take turns ([`Place`]). Whoever holds the lock reads a number from the
//! [`Register`], works for a while, and writes the number plus one. The register is outside of
//! the cluster, as disks and databases are: the cluster cannot stop a write to it. A holder looks
//! at its lease *before* it works, and a client that stops in between (a long garbage collection,
//! a suspended virtual machine) wakes up after its lease and writes all the same. A check right
//! before the write would make that rarer, not impossible.
//!
//! With fencing every access shows the token of the turn, and the register refuses tokens that
//! are older than the newest it has seen. Reads show it too: a new holder that has only read must
//! not lose its update to the old one.
//!
//! # Invariant
//! The judge ([`Lock`]) does not ask the register what it should have refused; it remembers
//! tokens itself.

use std::time::Duration;

use super::client::{Client, Effect, Event, Numbers, Outside, earlier};
use super::notes::Notes;
use super::place::{Place, Step};
use super::tenure::{Tenures, Turn};
use super::{ClientLine, Ledger, Look};

/// Who wants the lock.
pub const NAMES: [&str; 3] = ["a", "b", "c"];
const TTL_SECONDS: i64 = 2;
/// From reading the register to writing it.
const WORK: Duration = Duration::from_millis(400);
/// Between two turns of one client.
const REST: Duration = Duration::from_millis(200);

/// What a client tells, and does to the register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Waits { behind: String },
    Acquired(Turn),
    Renewed { until: Duration },
    Read { token: i64 },
    Write { token: i64, value: u64 },
    Released,
    Lost,
}

/// A client that wants the lock again and again.
pub struct Contender {
    place: Place,
    numbers: Numbers,
    work: Option<Work>,
}

struct Work {
    token: i64,
    value: u64,
    done: Duration,
}

impl Contender {
    pub fn new(prefix: &str, name: &str, first_number: u64) -> Self {
        Self {
            place: Place::new(&format!("{prefix}lock/"), name, TTL_SECONDS),
            numbers: Numbers::from(first_number),
            work: None,
        }
    }
}

impl Client<Told> for Contender {
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<Told>> {
        let mut out = Vec::new();
        // The work is done: it is written before anything else is noticed.
        if let Some(work) = self.work.take_if(|work| now >= work.done) {
            out.push(Effect::Tell(Told::Write { token: work.token, value: work.value }));
        }
        match event {
            Event::Outside(Outside::Value(value)) => {
                self.work = self.place.token().map(|token| Work {
                    token,
                    value: value + 1,
                    done: now + WORK,
                });
            }
            Event::Outside(Outside::Written | Outside::Refused { .. }) => {
                out.push(Effect::Tell(Told::Released));
                self.place.leave(now, now + REST);
            }
            _ => {}
        }
        match self.place.on(&event, now, &mut self.numbers, &mut out) {
            Step::Nothing => {}
            Step::Waits { behind } => out.push(Effect::Tell(Told::Waits { behind })),
            Step::First { token, until } => {
                out.push(Effect::Tell(Told::Acquired(Turn { token, until })));
                out.push(Effect::Tell(Told::Read { token }));
            }
            Step::Renewed { until } => out.push(Effect::Tell(Told::Renewed { until })),
            Step::Lost => {
                self.work = None;
                out.push(Effect::Tell(Told::Lost));
            }
        }
        out
    }

    fn wake(&self) -> Option<Duration> {
        earlier(self.place.wake(), self.work.as_ref().map(|work| work.done))
    }
}

/// What the lock is for.
pub trait Register: Send {
    fn read(&mut self, token: i64) -> Outside;
    fn write(&mut self, token: i64, value: u64) -> Outside;
}

/// Takes whatever comes.
#[derive(Debug, Default)]
pub struct Unfenced {
    value: u64,
}

impl Register for Unfenced {
    fn read(&mut self, _: i64) -> Outside {
        Outside::Value(self.value)
    }

    fn write(&mut self, _: i64, value: u64) -> Outside {
        self.value = value;
        Outside::Written
    }
}

/// Refuses tokens that are older than the newest.
#[derive(Debug, Default)]
pub struct Fenced {
    value: u64,
    newest: i64,
}

impl Fenced {
    fn admit(&mut self, token: i64) -> Result<(), Outside> {
        if token < self.newest {
            return Err(Outside::Refused { newest: self.newest });
        }
        self.newest = token;
        Ok(())
    }
}

impl Register for Fenced {
    fn read(&mut self, token: i64) -> Outside {
        self.admit(token).map_or_else(|refused| refused, |()| Outside::Value(self.value))
    }

    fn write(&mut self, token: i64, value: u64) -> Outside {
        self.admit(token).map_or_else(
            |refused| refused,
            |()| {
                self.value = value;
                Outside::Written
            },
        )
    }
}

/// The ledger of the lock: the register, and who did what to it.
pub struct Lock {
    fenced: bool,
    names: Vec<String>,
    register: Box<dyn Register>,
    notes: Notes,
    tenures: Tenures,
    clients: Vec<Seen>,
    /// The newest token that was shown to the register.
    newest: i64,
    /// Writes that the register took.
    writes: u64,
    stale: u64,
    refused: u64,
    lost: u64,
    /// What the last write was.
    last: String,
    /// Writes when the settling began.
    settling: Option<u64>,
}

#[derive(Clone, Default)]
struct Seen {
    text: String,
    /// How many writes the register had taken when this client read it.
    read_at: u64,
}

impl Lock {
    pub fn new(fenced: bool) -> Self {
        let register: Box<dyn Register> = match fenced {
            true => Box::<Fenced>::default(),
            false => Box::<Unfenced>::default(),
        };
        Self::guarding(register, fenced)
    }

    /// A lock in front of some register; `fenced` is what the register promises.
    pub fn guarding(register: Box<dyn Register>, fenced: bool) -> Self {
        Self {
            fenced,
            names: NAMES.map(str::to_string).to_vec(),
            register,
            notes: Notes::default(),
            tenures: Tenures::new(NAMES.len()),
            clients: vec![Seen::default(); NAMES.len()],
            newest: 0,
            writes: 0,
            stale: 0,
            refused: 0,
            lost: 0,
            last: "never written".into(),
            settling: None,
        }
    }

    fn acquired(&mut self, who: usize, turn: Turn, now: Duration) {
        let name = self.names[who].clone();
        let others = self.tenures.believers();
        if let Some(wrong) = self.tenures.begin(who, turn, now) {
            self.notes.violation(now, wrong.sentence(&name, &self.names));
        }
        let token = turn.token;
        match others.iter().find(|other| **other != who) {
            Some(other) => {
                let other = &self.names[*other];
                let text = format!(
                    "two holders: {name} has the lock with token {token}, and {other} still \
                     believes it has it"
                );
                self.notes.notable(now, text);
            }
            None => self.notes.line(now, format!("{name} has the lock, token {token}")),
        }
        self.clients[who].text = format!("has the lock, token {token}");
    }

    fn wrote(&mut self, who: usize, token: i64, value: u64, now: Duration) -> Outside {
        let name = self.names[who].clone();
        let answer = self.register.write(token, value);
        if answer != Outside::Written {
            self.refused += 1;
            let text = format!(
                "the write of {name} with token {token} is refused: {} was seen",
                self.newest
            );
            self.clients[who].text = format!("was refused: token {token} is old");
            self.notes.notable(now, text);
            return answer;
        }
        let overwritten = self.writes - self.clients[who].read_at;
        self.writes += 1;
        self.last = format!("{value}, by {name} with token {token}");
        self.notes.line(now, format!("{name} wrote {value} with token {token}"));
        if token < self.newest {
            self.stale += 1;
            let text = format!(
                "{name} wrote with token {token} after token {} had been seen",
                self.newest
            );
            self.bad(now, text);
        }
        if overwritten > 0 {
            self.lost += overwritten;
            let text = format!("{name} wrote over {overwritten} updates it had not read: lost");
            self.bad(now, text);
        }
        self.newest = self.newest.max(token);
        answer
    }

    /// Broken where the register promised it, and only what happens where it did not.
    fn bad(&mut self, now: Duration, text: String) {
        match self.fenced {
            true => self.notes.violation(now, text),
            false => self.notes.notable(now, text),
        }
    }
}

impl Ledger for Lock {
    type Told = Told;

    fn hear(&mut self, who: usize, told: Told, now: Duration) -> Option<Event> {
        match told {
            Told::Waits { behind } => self.clients[who].text = format!("waits behind {behind}"),
            Told::Acquired(turn) => self.acquired(who, turn, now),
            Told::Renewed { until } => self.tenures.renew(who, until),
            Told::Read { token } => {
                let answer = self.register.read(token);
                self.newest = self.newest.max(token);
                self.clients[who].read_at = self.writes;
                return Some(Event::Outside(answer));
            }
            Told::Write { token, value } => {
                return Some(Event::Outside(self.wrote(who, token, value, now)));
            }
            Told::Released => {
                self.tenures.end(who);
                if !self.clients[who].text.starts_with("was refused") {
                    self.clients[who].text = "rests".into();
                }
            }
            Told::Lost => {
                self.tenures.end(who);
                self.clients[who].text = "lost its lease".into();
                let name = self.names[who].clone();
                self.notes.line(now, format!("{name} lost its lease"));
            }
        }
        None
    }
}

impl Look for Lock {
    fn facts(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("holders", self.tenures.believers().len() as u64),
            ("turns", self.tenures.begun),
            ("writes", self.writes),
            ("stale-writes", self.stale),
            ("refused-writes", self.refused),
            ("lost-updates", self.lost),
        ]
    }

    fn peaks(&self) -> Vec<(&'static str, u64)> {
        vec![("holders", self.tenures.most)]
    }

    fn client(&self, who: usize) -> ClientLine {
        let seen = self.clients.get(who).map(|seen| seen.text.clone());
        ClientLine { active: self.tenures.turn(who).is_some(), text: seen.unwrap_or_default() }
    }

    fn outside(&self) -> Option<String> {
        let guard = match self.fenced {
            true => format!("refuses tokens below {}", self.newest),
            false => "takes every write".into(),
        };
        Some(format!("resource: {}; {guard}", self.last))
    }

    fn who(&self, role: &str) -> Option<Vec<usize>> {
        let newest = || self.tenures.believers().pop().into_iter().collect();
        (role == "holder").then(newest)
    }

    fn ended(&mut self, who: usize, now: Duration) {
        self.tenures.end(who);
        self.clients[who].text.clear();
        let name = self.names[who].clone();
        self.notes.notable(now, format!("{name} crashed"));
    }

    fn settle(&mut self, _: &[bool]) {
        self.settling = Some(self.writes);
    }

    fn unmet(&self, _: Duration) -> Option<String> {
        let handed_on = self.settling.is_none_or(|before| self.writes > before);
        (!handed_on).then(|| "nobody got the lock and wrote after the cluster was healed".into())
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }
}
