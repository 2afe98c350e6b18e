//! Service discovery: instances register under a lease they keep alive, consumers keep a list.
//!
//! An instance that crashes stops keeping its lease, and when that ends its key goes, and every
//! consumer hears of it. A change of leader ends no lease: the new leader gives every lease its
//! whole time again.
//!
//! # Invariant
//! The judge ([`Discovery`]) calls an instance lost only if a consumer was told that the very key
//! is gone which the instance holds with a lease that has time left by its own clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use history::record::{Event as Change, Outcome, Put, Request};

use super::client::{Client, Effect, Event, Numbers, Question, earlier};
use super::follow::{Follow, News, below};
use super::notes::Notes;
use super::session::{Session, Turn};
use super::{ClientLine, Ledger, Look};

pub const NAMES: [&str; 5] = ["web-1", "web-2", "web-3", "consumer-1", "consumer-2"];
/// The first of them are instances.
const INSTANCES: usize = 3;
/// Longer than an election takes.
const TTL_SECONDS: i64 = 5;
const AGAIN: Duration = Duration::from_millis(150);

/// What clients tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    Registered {
        lease: i64,
        until: Duration,
    },
    Renewed {
        until: Duration,
    },
    Lost,
    /// Everybody who is registered, with their leases.
    Read(BTreeMap<String, i64>),
    Came {
        name: String,
        lease: i64,
    },
    Went {
        name: String,
    },
}

/// The client of that number.
pub fn client(prefix: &str, who: usize, first_number: u64) -> Box<dyn Client<Told>> {
    let (prefix, numbers) = (format!("{prefix}services/web/"), Numbers::from(first_number));
    if who < INSTANCES {
        let key = format!("{prefix}{}", NAMES[who]);
        let (session, question) = (Session::new(TTL_SECONDS), Question::default());
        return Box::new(Instance { key, session, question, numbers, register: None });
    }
    Box::new(Consumer { follow: Follow::new(below(&prefix)), prefix, numbers })
}

/// Registers, and stays registered.
struct Instance {
    key: String,
    session: Session,
    question: Question,
    numbers: Numbers,
    /// When it is to register; nothing when it is registered or has no lease.
    register: Option<Duration>,
}

impl Client<Told> for Instance {
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<Told>> {
        let mut out = Vec::new();
        match self.session.on(&event, now, &mut self.numbers, &mut out) {
            Turn::Nothing => {}
            Turn::Begun => self.register = Some(now),
            Turn::Renewed => {
                let until = self.session.until().unwrap_or(now);
                out.push(Effect::Tell(Told::Renewed { until }));
            }
            Turn::Lost => {
                self.register = None;
                self.question.forget();
                out.push(Effect::Tell(Told::Lost));
            }
        }
        match (self.question.answer(&event), self.session.until()) {
            (Some(Outcome::Ok(_)), Some(until)) => {
                let lease = self.session.lease();
                out.push(Effect::Tell(Told::Registered { lease, until }));
            }
            (Some(Outcome::Refused(_)), _) => self.session.drop_lease(now),
            (Some(Outcome::Unknown(_)), Some(_)) => self.register = Some(now + AGAIN),
            _ => {}
        }
        if self.register.take_if(|at| now >= *at).is_some() {
            let (key, lease) = (self.key.clone(), self.session.lease());
            let put = Put { key, value: "127.0.0.1:80".into(), lease };
            self.question.ask(&mut self.numbers, Request::Put(put), &mut out);
        }
        out
    }

    fn wake(&self) -> Option<Duration> {
        earlier(self.session.wake(), self.register)
    }
}

/// Keeps the list of those who are there.
struct Consumer {
    prefix: String,
    follow: Follow,
    numbers: Numbers,
}

impl Client<Told> for Consumer {
    fn on(&mut self, event: Event, now: Duration) -> Vec<Effect<Told>> {
        let mut out = Vec::new();
        let news = self.follow.on(&event, now, &mut self.numbers, &mut out);
        let name = |key: &str| key.strip_prefix(&self.prefix).unwrap_or(key).to_string();
        let told = match news {
            News::Nothing => Vec::new(),
            News::Read { pairs } => {
                vec![Told::Read(pairs.iter().map(|it| (name(&it.key), it.lease)).collect())]
            }
            News::Changed(changes) => changes
                .iter()
                .map(|change| match change {
                    Change::Put(pair) => Told::Came { name: name(&pair.key), lease: pair.lease },
                    Change::Delete { key, .. } => Told::Went { name: name(key) },
                })
                .collect(),
        };
        out.extend(told.into_iter().map(Effect::Tell));
        out
    }

    fn wake(&self) -> Option<Duration> {
        self.follow.wake()
    }
}

/// Who is registered, and who is on which list.
pub struct Discovery {
    notes: Notes,
    /// The lease of each instance that believes to be registered, and until when it holds.
    registered: [Option<(i64, Duration)>; INSTANCES],
    /// By consumer, once it has read: names and leases.
    lists: BTreeMap<usize, BTreeMap<String, i64>>,
    lost: u64,
    gone: u64,
    alive: Vec<bool>,
}

impl Default for Discovery {
    fn default() -> Self {
        Self {
            notes: Notes::default(),
            registered: [None; INSTANCES],
            lists: BTreeMap::new(),
            lost: 0,
            gone: 0,
            alive: vec![true; NAMES.len()],
        }
    }
}

impl Discovery {
    fn went(&mut self, who: usize, name: &str, now: Duration) {
        let lease = self.lists.get_mut(&who).and_then(|list| list.remove(name));
        let index = NAMES.iter().position(|known| *known == name);
        let holds = index.and_then(|index| *self.registered.get(index)?);
        match holds.filter(|(held, until)| Some(*held) == lease && *until > now) {
            Some((_, until)) => {
                self.lost += 1;
                let left = (until - now).as_millis();
                let text = format!(
                    "{} was told that {name} is gone while its lease still had {left} ms to live",
                    NAMES[who]
                );
                self.notes.violation(now, text);
            }
            None => {
                self.gone += 1;
                self.notes.notable(now, format!("{} hears that {name} is gone", NAMES[who]));
            }
        }
    }

    fn on_every_list(&self) -> usize {
        let mut lists = self.lists.values();
        let Some(first) = lists.next() else { return 0 };
        let all = (NAMES.len() - INSTANCES) == self.lists.len();
        let rest: Vec<_> = lists.collect();
        let shared = first.keys().filter(|name| rest.iter().all(|it| it.contains_key(*name)));
        if all { shared.count() } else { 0 }
    }
}

impl Ledger for Discovery {
    type Told = Told;

    fn hear(&mut self, who: usize, told: Told, now: Duration) -> Option<Event> {
        let name = NAMES[who];
        match told {
            Told::Registered { lease, until } => {
                self.registered[who] = Some((lease, until));
                self.notes.notable(now, format!("{name} is registered"));
            }
            Told::Renewed { until } => {
                if let Some((_, old)) = &mut self.registered[who] {
                    *old = until.max(*old);
                }
            }
            Told::Lost => {
                self.registered[who] = None;
                self.notes.notable(now, format!("{name} lost its lease, and registers again"));
            }
            Told::Read(list) => {
                self.notes.line(now, format!("{name} reads a list of {}", list.len()));
                self.lists.insert(who, list);
            }
            Told::Came { name: instance, lease } => {
                self.notes.line(now, format!("{name} hears that {instance} is there"));
                self.lists.entry(who).or_default().insert(instance, lease);
            }
            Told::Went { name: instance } => self.went(who, &instance, now),
        }
        None
    }
}

impl Look for Discovery {
    fn facts(&self) -> Vec<(&'static str, u64)> {
        let most = self.lists.values().map(BTreeMap::len).max().unwrap_or(0);
        vec![
            ("registered", self.registered.iter().flatten().count() as u64),
            ("listed", most as u64),
            ("listed-by-all", self.on_every_list() as u64),
            ("gone", self.gone),
            ("lost", self.lost),
        ]
    }

    fn client(&self, who: usize) -> ClientLine {
        match self.registered.get(who) {
            Some(Some(_)) => ClientLine { active: true, text: "registered".into() },
            Some(None) => ClientLine { active: false, text: "not registered".into() },
            None => {
                let list = self.lists.get(&who);
                let names = list.map(|list| list.keys().cloned().collect::<Vec<_>>().join(" "));
                let text =
                    names.map_or_else(|| "has no list yet".into(), |it| format!("sees {it}"));
                ClientLine { active: false, text }
            }
        }
    }

    fn who(&self, _: &str) -> Option<Vec<usize>> {
        None
    }

    fn ended(&mut self, who: usize, now: Duration) {
        self.notes.notable(now, format!("{} crashed", NAMES[who]));
        if let Some(registered) = self.registered.get_mut(who) {
            *registered = None;
        }
        self.lists.remove(&who);
    }

    fn settle(&mut self, alive: &[bool]) {
        self.alive = alive.to_vec();
    }

    fn unmet(&self, _: Duration) -> Option<String> {
        let lives = |who: usize| self.alive.get(who).copied().unwrap_or(false);
        let late = (0..INSTANCES).find(|who| lives(*who) && self.registered[*who].is_none());
        if let Some(who) = late {
            return Some(format!("{} is not registered", NAMES[who]));
        }
        let there: BTreeSet<&str> =
            (0..INSTANCES).filter(|who| lives(*who)).map(|who| NAMES[who]).collect();
        (INSTANCES..NAMES.len()).filter(|who| lives(*who)).find_map(|who| {
            let list = self.lists.get(&who);
            let list: BTreeSet<&str> =
                list.into_iter().flat_map(BTreeMap::keys).map(String::as_str).collect();
            let words = |names: &BTreeSet<&str>| Vec::from_iter(names.iter().copied()).join(" ");
            (list != there).then(|| {
                format!("{} sees [{}], and [{}] are there", NAMES[who], words(&list), words(&there))
            })
        })
    }

    fn notes(&self) -> &Notes {
        &self.notes
    }

    fn notes_mut(&mut self) -> &mut Notes {
        &mut self.notes
    }
}
