//! All applications against a model of the cluster in one thread, without a clock or a socket:
//! whatever can go wrong for a client is made to, and what is planted must be found.

use std::collections::BTreeMap;
use std::time::Duration;

use history::record::{
    Answer, Compare, Event as Change, KeyRange, Outcome, Pair, Put, Request, Response, TxnOp,
};

use super::client::{Client, Effect, Event, Outside};
use super::lock::{self, Lock, Register};
use super::{Ledger, Look, configuration, discovery, election};

/// From a question to its answer, and from a change to those who watch.
const LATENCY: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(1);

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a cluster with etcd's promises does; and what one without them would.
#[derive(Default)]
struct Store {
    revision: i64,
    pairs: BTreeMap<String, Pair>,
    leases: BTreeMap<i64, (Duration, Duration)>,
    log: Vec<Change>,
    /// Leases end so much too early.
    early: Duration,
}

impl Store {
    fn put(&mut self, put: &Put) {
        self.revision += 1;
        let revision = self.revision;
        let old = self.pairs.get(&put.key);
        let pair = Pair {
            key: put.key.clone(),
            value: put.value.clone(),
            create_revision: old.map_or(revision, |old| old.create_revision),
            mod_revision: revision,
            version: old.map_or(1, |old| old.version + 1),
            lease: put.lease,
        };
        self.pairs.insert(put.key.clone(), pair.clone());
        self.log.push(Change::Put(pair));
    }

    fn delete(&mut self, which: impl Fn(&Pair) -> bool) {
        let gone: Vec<String> =
            self.pairs.values().filter(|it| which(it)).map(|it| it.key.clone()).collect();
        self.revision += i64::from(!gone.is_empty());
        for key in gone {
            self.pairs.remove(&key);
            self.log.push(Change::Delete { key, revision: self.revision });
        }
    }

    fn expire(&mut self, now: Duration) {
        let over = self.leases.iter().filter(|(_, (_, end))| *end <= now + self.early);
        let over: Vec<i64> = over.map(|(lease, _)| *lease).collect();
        for lease in over {
            self.leases.remove(&lease);
            self.delete(|pair| pair.lease == lease);
        }
    }

    fn get(&self, range: &KeyRange) -> Vec<Pair> {
        self.pairs.values().filter(|pair| range.contains(&pair.key)).cloned().collect()
    }

    fn holds(&self, compare: &Compare) -> bool {
        let pair = |key: &String| self.pairs.get(key);
        match compare {
            Compare::ValueIs { key, value } => pair(key).is_some_and(|it| it.value == *value),
            Compare::ModRevisionIs { key, revision } => {
                pair(key).map_or(0, |it| it.mod_revision) == *revision
            }
            Compare::CreateRevisionIs { key, revision } => {
                pair(key).map_or(0, |it| it.create_revision) == *revision
            }
        }
    }

    fn ask(&mut self, request: &Request, now: Duration) -> Outcome {
        let missing = |store: &Self, lease: i64| lease != 0 && !store.leases.contains_key(&lease);
        let refused = || Outcome::Refused("requested lease not found".into());
        let answer = match request {
            Request::Put(put) if missing(self, put.lease) => return refused(),
            Request::Put(put) => {
                self.put(put);
                Answer::Done
            }
            Request::Get(get) => Answer::Pairs(self.get(&get.range)),
            Request::Delete { range } => {
                self.delete(|pair| range.contains(&pair.key));
                Answer::Deleted(1)
            }
            Request::Txn(txn) => {
                let succeeded = txn.compares.iter().all(|it| self.holds(it));
                let mut gets = Vec::new();
                for operation in if succeeded { &txn.success } else { &txn.failure } {
                    match operation {
                        TxnOp::Put(put) if missing(self, put.lease) => return refused(),
                        TxnOp::Put(put) => self.put(put),
                        TxnOp::Get { range } => gets.push(self.get(range)),
                        TxnOp::Delete { range } => self.delete(|it| range.contains(&it.key)),
                    }
                }
                Answer::Txn { succeeded, gets }
            }
            Request::Grant { lease, ttl_seconds } => {
                let ttl = Duration::from_secs(ttl_seconds.unsigned_abs());
                self.leases.insert(*lease, (ttl, now + ttl));
                Answer::Ttl(*ttl_seconds)
            }
            Request::Revoke { lease } => {
                if self.leases.remove(lease).is_none() {
                    return refused();
                }
                self.delete(|pair| pair.lease == *lease);
                Answer::Done
            }
            Request::KeepAlive { lease } => match self.leases.get_mut(lease) {
                Some((ttl, end)) => {
                    *end = now + *ttl;
                    Answer::Ttl(ttl.as_secs() as i64)
                }
                None => Answer::Ttl(0),
            },
        };
        Outcome::Ok(Response { revision: self.revision, answer })
    }
}

type Maker<T> = fn(&str, usize, u64) -> Box<dyn Client<T>>;

struct World<L: Ledger> {
    now: Duration,
    ledger: L,
    store: Store,
    make: Maker<L::Told>,
    clients: Vec<Option<Box<dyn Client<L::Told>>>>,
    paused: Vec<bool>,
    /// What is on its way, by time and order.
    mail: BTreeMap<(Duration, u64), (usize, Event)>,
    number: u64,
    watches: BTreeMap<usize, (KeyRange, i64)>,
    /// Requests that are made before then are carried out, and their answers lost.
    deaf_until: Duration,
    /// Changes that this client is never told.
    withheld: Option<(usize, i64)>,
}

impl<L: Ledger> World<L> {
    fn new(ledger: L, count: usize, make: Maker<L::Told>) -> Self {
        let mut world = Self {
            now: Duration::ZERO,
            ledger,
            store: Store::default(),
            make,
            clients: Vec::new(),
            paused: vec![false; count],
            mail: BTreeMap::new(),
            number: 0,
            watches: BTreeMap::new(),
            deaf_until: Duration::ZERO,
            withheld: None,
        };
        world.clients.resize_with(count, || None);
        (0..count).for_each(|who| world.start(who));
        world
    }

    fn start(&mut self, who: usize) {
        self.number += 1;
        self.clients[who] = Some((self.make)("x/", who, (self.number << 32) + who as u64));
        self.send(who, Event::Born, Duration::ZERO);
    }

    fn crash(&mut self, who: usize) {
        self.clients[who] = None;
        self.watches.remove(&who);
        self.mail.retain(|_, (to, _)| *to != who);
        self.ledger.ended(who, self.now);
    }

    fn send(&mut self, who: usize, event: Event, after: Duration) {
        self.number += 1;
        self.mail.insert((self.now + after, self.number), (who, event));
    }

    fn fact(&self, name: &str) -> u64 {
        let facts = self.ledger.facts();
        facts.into_iter().find(|(known, _)| *known == name).expect("a fact of that name").1
    }

    /// Runs until it holds, at most a minute.
    fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now + Duration::from_secs(60);
        while !holds(self) {
            assert!(self.now < end, "waited in vain for {what}: {:?}", self.ledger.facts());
            self.step();
        }
    }

    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.step();
        }
    }

    /// A millisecond.
    fn step(&mut self) {
        self.now += millis(1);
        self.store.expire(self.now);
        self.tell_watchers();
        let due: Vec<_> = self
            .mail
            .iter()
            .filter(|((at, _), (to, _))| *at <= self.now && !self.paused[*to])
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            if let Some((who, event)) = self.mail.remove(&key) {
                self.deliver(who, event);
            }
        }
        for who in 0..self.clients.len() {
            let wake = self.clients[who].as_ref().and_then(|client| client.wake());
            if !self.paused[who] && wake.is_some_and(|at| at <= self.now) {
                self.deliver(who, Event::Woke);
            }
        }
    }

    fn tell_watchers(&mut self) {
        let mut told = Vec::new();
        for (who, (range, from)) in &mut self.watches {
            let fits = |it: &&Change| it.revision() >= *from && range.contains(it.key());
            let changes: Vec<Change> = self.store.log.iter().filter(fits).cloned().collect();
            let Some(last) = changes.iter().map(Change::revision).max() else { continue };
            *from = last + 1;
            let kept =
                changes.into_iter().filter(|it| self.withheld != Some((*who, it.revision())));
            told.push((*who, Event::Changed(kept.collect())));
        }
        told.into_iter().for_each(|(who, event)| self.send(who, event, LATENCY));
    }

    fn deliver(&mut self, who: usize, event: Event) {
        let mut events = std::collections::VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let Some(client) = &mut self.clients[who] else { return };
            for effect in client.on(event, self.now) {
                match effect {
                    Effect::Tell(told) => events.extend(self.ledger.hear(who, told, self.now)),
                    Effect::Watch { range, from } => {
                        self.watches.insert(who, (range, from));
                    }
                    Effect::Ask { number, request } => {
                        let outcome = self.store.ask(&request, self.now);
                        if self.now < self.deaf_until {
                            let outcome = Outcome::Unknown("no answer".into());
                            self.send(who, Event::Answered { number, outcome }, PATIENCE);
                        } else {
                            self.send(who, Event::Answered { number, outcome }, LATENCY);
                        }
                    }
                }
            }
        }
    }

    fn violations(&self) -> &[String] {
        self.ledger.notes().violations()
    }

    /// The clients come to rest.
    fn settle(&mut self) {
        let alive: Vec<bool> = self.clients.iter().map(Option::is_some).collect();
        self.ledger.settle(&alive);
        self.until("rest", |world| world.ledger.unmet(world.now).is_none());
    }
}

fn locks(ledger: Lock) -> World<Lock> {
    World::new(ledger, lock::NAMES.len(), |prefix, who, first| {
        Box::new(lock::Contender::new(prefix, lock::NAMES[who], first))
    })
}

fn elections() -> World<election::Election> {
    World::new(election::Election::default(), election::NAMES.len(), election::client)
}

fn discoveries() -> World<discovery::Discovery> {
    World::new(discovery::Discovery::default(), discovery::NAMES.len(), discovery::client)
}

fn configurations() -> World<configuration::Configuration> {
    let ledger = configuration::Configuration::default();
    World::new(ledger, configuration::NAMES.len(), configuration::client)
}

/// Whoever is in a role sleeps until two believe that they are, and a second more.
fn oversleep<L: Ledger>(world: &mut World<L>, role: &str, fact: &str) {
    world.until("somebody", |world| !world.ledger.who(role).expect("a role").is_empty());
    let who = world.ledger.who(role).expect("a role")[0];
    world.paused[who] = true;
    world.until("two of them", |world| world.fact(fact) == 2);
    world.run(millis(1000));
    world.paused[who] = false;
    world.run(millis(100));
}

#[test]
fn without_fencing_a_holder_that_sleeps_costs_an_update() {
    let mut world = locks(Lock::new(false));
    world.until("writes", |world| world.fact("writes") >= 3);
    assert_eq!((world.fact("lost-updates"), world.fact("stale-writes")), (0, 0));
    oversleep(&mut world, "holder", "holders");
    assert!(world.fact("lost-updates") >= 1 && world.fact("stale-writes") == 1);
    world.settle();
    assert!(world.violations().is_empty(), "nobody promised more: {:?}", world.violations());
}

#[test]
fn with_fencing_it_is_refused() {
    let mut world = locks(Lock::new(true));
    world.until("writes", |world| world.fact("writes") >= 3);
    oversleep(&mut world, "holder", "holders");
    assert_eq!((world.fact("refused-writes"), world.fact("lost-updates")), (1, 0));
    world.settle();
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}

/// Says that it looks at tokens, and does not.
struct Planted(u64);

impl Register for Planted {
    fn read(&mut self, _: i64) -> Outside {
        Outside::Value(self.0)
    }

    fn write(&mut self, _: i64, value: u64) -> Outside {
        self.0 = value;
        Outside::Written
    }
}

#[test]
fn a_resource_that_lets_an_old_token_in_is_unsafe() {
    use crate::drill::machine::Machine;
    use crate::drill::{Drill, Verdict, catalogue, judge, report};
    let mut world = locks(Lock::guarding(Box::new(Planted(0)), true));
    oversleep(&mut world, "holder", "holders");
    let violations = world.violations().to_vec();
    assert!(violations[0].contains("wrote with token"), "{violations:?}");
    let text = catalogue::text("lock-with-fencing").expect("a drill");
    let drill = Drill::parse("x", text).expect("it is right");
    let machine = Machine::new(&drill);
    let found = super::ApplicationReport {
        application: "fenced-lock".into(),
        violations,
        ..Default::default()
    };
    let judged = report::Consistency { acknowledged_writes: 1, ..Default::default() };
    let (verdict, why) = judge::verdict(&drill, &machine, &[], &judged, Some(&found));
    assert_eq!(verdict, Verdict::Unsafe, "{why}");
    let found = super::ApplicationReport { unmet: Some("no rest".into()), ..Default::default() };
    assert_eq!(judge::verdict(&drill, &machine, &[], &judged, Some(&found)).0, Verdict::Fail);
}

#[test]
fn a_lease_that_ends_early_is_found_by_all_who_rely_on_leases() {
    let mut world = locks(Lock::new(false));
    world.store.early = millis(1800);
    world.run(Duration::from_secs(10));
    assert!(world.violations().iter().any(|it| it.contains("still had")));
    let mut world = elections();
    world.store.early = millis(2600);
    world.run(Duration::from_secs(10));
    assert!(world.violations().iter().any(|it| it.contains("still had")));
    let mut world = discoveries();
    world.store.early = millis(4000);
    world.run(Duration::from_secs(10));
    assert!(world.fact("lost") > 0 && world.violations()[0].contains("is gone while"));
}

#[test]
fn lost_answers_confuse_nobody() {
    fn deafened<L: Ledger>(mut world: World<L>) {
        for round in 1..20 {
            world.run(millis(1500 + 130 * round));
            world.deaf_until = world.now + millis(40 * round);
        }
        world.run(Duration::from_secs(6));
        world.settle();
        assert!(world.violations().is_empty(), "{:?}", world.violations());
    }
    deafened(locks(Lock::new(true)));
    deafened(elections());
    deafened(discoveries());
    deafened(configurations());
}

#[test]
fn an_instance_that_crashes_leaves_the_list_when_its_lease_ends() {
    let mut world = discoveries();
    world.until("all", |world| world.fact("listed-by-all") == 3);
    world.crash(1);
    world.run(millis(3000));
    assert_eq!(world.fact("listed-by-all"), 3, "its lease has not ended");
    world.until("its end", |world| world.fact("listed") == 2);
    world.settle();
    world.start(1);
    world.until("its return", |world| world.fact("listed-by-all") == 3);
    world.settle();
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}

#[test]
fn a_version_that_is_withheld_is_missed() {
    let mut world = configurations();
    world.until("versions", |world| world.fact("versions") >= 3);
    assert!(world.fact("refused-edits") == 0 && world.fact("behind") <= 1);
    let next = world.store.revision + 2;
    world.withheld = Some((3, next));
    world.until("more", |world| world.store.revision > next + 1);
    world.run(millis(100));
    assert_eq!(world.fact("missed"), 1);
    assert!(world.violations()[0].contains("consumer-2 missed 1 versions"));
}

#[test]
fn an_editor_that_thinks_too_long_is_refused() {
    let mut world = configurations();
    world.until("a refusal", |world| world.fact("refused-edits") >= 3);
    world.settle();
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}

#[test]
fn a_version_that_is_told_twice_is_doubled() {
    let mut world = configurations();
    world.until("versions", |world| world.fact("versions") >= 3);
    let again = world.store.log[1].clone();
    world.send(2, Event::Changed(vec![again]), Duration::ZERO);
    world.run(millis(100));
    assert_eq!(world.fact("doubled"), 1);
}

#[test]
fn whenever_it_falls_asleep_it_is_refused_afterwards() {
    // Before it has said anything, while an answer is on its way, between two of them.
    for after in (0..12).chain([100, 390, 398, 401, 404, 408]) {
        let mut world = elections();
        world.until("a leader", |world| world.fact("terms") == 1);
        world.run(millis(after));
        oversleep(&mut world, "leader", "leaders");
        assert_eq!(world.fact("refused-proclamations"), 1, "{after} ms after it was elected");
        assert!(world.violations().is_empty(), "{:?}", world.violations());
    }
    for after in (0..12).chain([60, 100, 200]) {
        let mut world = locks(Lock::new(true));
        world.until("a holder", |world| world.fact("holders") == 1);
        world.run(millis(after));
        oversleep(&mut world, "holder", "holders");
        assert_eq!(world.fact("refused-writes"), 1, "{after} ms after it got the lock");
    }
}

#[test]
fn a_leader_that_oversleeps_is_refused_and_one_that_crashes_replaced() {
    let mut world = elections();
    world.until("words", |world| world.fact("proclamations") >= 3);
    oversleep(&mut world, "leader", "leaders");
    assert_eq!((world.fact("refused-proclamations"), world.fact("leaders")), (1, 1));
    let leader = world.ledger.who("leader").expect("a role")[0];
    let terms = world.fact("terms");
    world.crash(leader);
    world.until("another", |world| world.fact("terms") > terms);
    world.settle();
    assert!(world.violations().is_empty(), "{:?}", world.violations());
}
