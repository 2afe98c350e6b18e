//! The open loops: each asks at its own pace and never waits for an earlier answer.
//!
//! What one member acknowledged is read back from another one at once, beside the loops. They tick
//! together, so their reads begin a whole pace after the writes before them: a member that answers
//! from its own data and is behind for less than that would never be asked while it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use history::record::{Answer, Get, KeyRange, Nanos, Operation, Outcome, Request};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::generate::Generator;
use super::timeline::{Lane, Sample, Seen};
use super::{Options, Recorder, Target, calls};

/// Requests of one lane that wait for an answer; more would only measure this program.
const IN_FLIGHT_MAX: usize = 256;

/// What the number of a client is raised by where it reads back.
const READER: u32 = 100;

/// Seconds that kept leases live without being kept.
const KEPT_TTL: i64 = 5;

/// Seconds after which forgotten leases end.
const FORGOTTEN_TTL: i64 = 2;

/// One open loop.
#[derive(Clone)]
struct Loop {
    client: u32,
    lane: Lane,
    targets: Vec<Target>,
    /// The member that is asked; the next one after a failure.
    turn: Arc<AtomicUsize>,
    recorder: Arc<Recorder>,
    patience: Duration,
    in_flight: Arc<AtomicUsize>,
    /// Whom what was written is read back from, in turn.
    readers: Vec<Target>,
}

/// Starts all lanes.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    recorder: &Arc<Recorder>,
    targets: &[Target],
    options: &Options,
) {
    let one = |client: u32, lane: Lane, targets: &[Target]| Loop {
        client,
        lane,
        targets: targets.to_vec(),
        turn: Arc::new(AtomicUsize::new(client as usize)),
        recorder: recorder.clone(),
        patience: options.patience,
        in_flight: Arc::default(),
        readers: Vec::new(),
    };
    let generator = |client| Generator::new(&options.prefix, client, options.seed);
    for client in 0..3 {
        let mut requests = generator(client);
        tasks.spawn(one(client, Lane::Put, targets).run(options.pace, move || requests.write()));
        let client = client + 10;
        let mut requests = generator(client);
        let get = one(client, Lane::Get, targets);
        tasks.spawn(get.run(options.pace, move || requests.read(false)));
    }
    if let Some(pace) = options.each {
        for (index, target) in targets.iter().enumerate() {
            let only = std::slice::from_ref(target);
            let client = 40 + index as u32;
            let (mut puts, mut gets) = (generator(client), generator(client + 20));
            let readers = others(targets, index);
            let put = Loop { readers, ..one(client, Lane::PutAt(index), only) };
            tasks.spawn(put.run(pace, move || puts.write_at(index)));
            let get = one(client + 20, Lane::GetAt(index), only);
            // What another member was asked to write: its own writes a member always knows.
            let other = (index + 1) % targets.len();
            tasks.spawn(get.run(pace, move || gets.read_at(other)));
        }
    }
    for (index, target) in targets.iter().enumerate() {
        let client = 20 + index as u32;
        let mut requests = generator(client);
        let lane = Lane::SerializableGet(index);
        let get = one(client, lane, std::slice::from_ref(target));
        tasks.spawn(get.run(options.pace, move || requests.read(true)));
    }
    tasks.spawn(keep(one(90, Lane::KeepAlive, targets), generator(90)));
    tasks.spawn(forget(one(91, Lane::Put, targets), generator(91)));
}

/// All but one, beginning with the next.
fn others(targets: &[Target], index: usize) -> Vec<Target> {
    let rest = targets.iter().cycle().skip(index + 1);
    rest.take(targets.len().saturating_sub(1)).cloned().collect()
}

impl Loop {
    /// Asks every `pace` until the load ends.
    async fn run(self, pace: Duration, mut next: impl FnMut() -> Request) {
        let mut ticks = tokio::time::interval(pace);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut asked = JoinSet::new();
        let mut number = 0;
        while !self.recorder.is_stopping() {
            ticks.tick().await;
            while asked.try_join_next().is_some() {}
            if self.in_flight.load(Ordering::Relaxed) >= IN_FLIGHT_MAX {
                continue;
            }
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            number += 1;
            let (this, request) = (self.clone(), next());
            let back = self.reader(number, &request);
            asked.spawn(async move {
                let outcome = this.ask(request).await;
                if let (Outcome::Ok(_), Some((reader, read))) = (outcome, back) {
                    this.send(&reader, this.client + READER, read).await;
                }
                this.in_flight.fetch_sub(1, Ordering::Relaxed);
            });
        }
        while asked.join_next().await.is_some() {}
    }

    /// Asks one member once, and records it.
    async fn ask(&self, request: Request) -> Outcome {
        let turn = self.turn.load(Ordering::Relaxed);
        let target = &self.targets[turn % self.targets.len()];
        let (outcome, made, took) = self.send(target, self.client, request).await;
        let seen = match &outcome {
            Outcome::Ok(_) => Seen::Ok,
            Outcome::Refused(_) => Seen::Refused,
            Outcome::Unknown(_) => Seen::Unknown,
        };
        if seen != Seen::Ok {
            // Only the first of many failures moves on.
            let _ =
                self.turn.compare_exchange(turn, turn + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        self.recorder.timeline.lock().add(self.lane, Sample { made, took, seen });
        outcome
    }

    /// Who is asked for what a put writes, if anybody is.
    fn reader(&self, number: usize, request: &Request) -> Option<(Target, Request)> {
        let reader = self.readers.get(number % self.readers.len().max(1))?;
        let Request::Put(put) = request else { return None };
        let range = KeyRange::one(put.key.clone());
        let get = Get { range, serializable: false, revision: 0 };
        Some((reader.clone(), Request::Get(get)))
    }

    /// Asks a member once, for the history; when that was, and how long it took.
    async fn send(&self, to: &Target, client: u32, request: Request) -> (Outcome, Nanos, Nanos) {
        let made = self.recorder.now();
        let outcome = calls::call(to.channel.clone(), &request, self.patience).await;
        let finished = self.recorder.now();
        let is_known = !matches!(outcome, Outcome::Unknown(_));
        self.recorder.operations.lock().push(Operation {
            client,
            member: to.name.clone(),
            invoked: made,
            finished: is_known.then_some(finished),
            request,
            outcome: outcome.clone(),
        });
        (outcome, made, finished - made)
    }

    /// Asks until it succeeds or the load ends.
    async fn insist(&self, request: impl Fn() -> Request) -> bool {
        while !self.recorder.is_stopping() {
            match self.ask(request()).await {
                Outcome::Ok(_) => return true,
                Outcome::Refused(_) => return false,
                Outcome::Unknown(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        false
    }
}

/// Keeps a lease alive five times as often as it must be; takes another one when it is lost.
async fn keep(lane: Loop, mut requests: Generator) {
    while !lane.recorder.is_stopping() {
        let lease = requests.lease();
        let grant = Request::Grant { lease, ttl_seconds: KEPT_TTL };
        if !matches!(lane.ask(grant).await, Outcome::Ok(_)) {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        let leased = requests.leased(lease);
        lane.ask(leased).await;
        let mut ticks = tokio::time::interval(Duration::from_secs(KEPT_TTL as u64) / 5);
        while !lane.recorder.is_stopping() {
            ticks.tick().await;
            match lane.ask(Request::KeepAlive { lease }).await {
                Outcome::Ok(response) if matches!(response.answer, Answer::Ttl(1..)) => {}
                Outcome::Ok(_) => break,
                _ => {}
            }
        }
    }
}

/// Leaves leases to end by themselves, one after the other.
async fn forget(lane: Loop, mut requests: Generator) {
    while !lane.recorder.is_stopping() {
        let lease = requests.lease();
        let grant = || Request::Grant { lease, ttl_seconds: FORGOTTEN_TTL };
        if lane.insist(grant).await {
            let leased = requests.leased(lease);
            lane.ask(leased).await;
        }
        tokio::time::sleep(Duration::from_secs(FORGOTTEN_TTL as u64 / 2)).await;
    }
}

#[cfg(test)]
mod tests {
    use history::record::Put;
    use parking_lot::Mutex;

    use super::*;
    use crate::workload::Timeline;

    #[tokio::test]
    async fn what_one_member_acknowledged_is_read_from_each_other_one_in_turn() {
        let target = |name: &str| Target::new(name, "http://127.0.0.1:1").unwrap();
        let targets = ["n1", "n2", "n3"].map(target);
        let recorder = Recorder {
            origin: std::time::Instant::now(),
            stop: false.into(),
            operations: Mutex::default(),
            watches: Mutex::default(),
            timeline: Mutex::new(Timeline::new(Vec::new(), Duration::ZERO)),
        };
        let put = Loop {
            client: 41,
            lane: Lane::PutAt(1),
            targets: vec![targets[1].clone()],
            turn: Arc::default(),
            recorder: Arc::new(recorder),
            patience: Duration::ZERO,
            in_flight: Arc::default(),
            readers: others(&targets, 1),
        };
        let request = Request::Put(Put { key: "k".into(), value: "v".into(), lease: 0 });
        let mut asked = Vec::new();
        for number in 0..4 {
            let (reader, read) = put.reader(number, &request).expect("a reader");
            let range = KeyRange::one("k");
            assert_eq!(read, Request::Get(Get { range, serializable: false, revision: 0 }));
            assert_eq!(put.reader(number, &read).map(|_| ()), None, "a read is not read back");
            asked.push(reader.name);
        }
        assert_eq!(asked, ["n3", "n1", "n3", "n1"]);
        assert!(others(&targets[..1], 0).is_empty());
    }
}
