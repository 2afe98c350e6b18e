//! The course of a drill as a pure machine: events and time in, effects out.
//!
//! Preflight → warm-up → steps → rollback → settle → checks → done. The shell (`run`) does what
//! it is told and says how it went.
//!
//! # Invariants
//! - Once the cluster may have been touched, the rollback is done, whatever happens: a step that
//!   fails, a limit that passes, a person who stops it. It is done once.
//! - A step is performed after the one before has answered, never at the same time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::format::Drill;

/// Where a drill is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    #[default]
    Preflight,
    WarmUp,
    Steps,
    Rollback,
    Settle,
    Checks,
    Done,
}

/// How a step went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub ok: bool,
    /// One sentence.
    pub said: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Begin,
    /// The cluster is ready and the load runs; or it cannot be done, and why.
    Ready(Result<(), Unfit>),
    /// The time asked for has come.
    Woke,
    /// To [`Effect::Perform`].
    Answered(Outcome),
    /// Somebody wants it to stop.
    Interrupted,
    /// To [`Effect::RollBack`]: what is not as it was.
    RolledBack(Result<String, String>),
    /// To [`Effect::Settle`].
    Settled(Result<(), String>),
    /// To [`Effect::Judge`].
    Judged,
}

/// Why a drill does not begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// It makes no sense here.
    Skipped(String),
    /// The cluster is not fit for it.
    Broken(String),
}

/// What the shell has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Look whether it can be done, and start the load. Answer: [`Event::Ready`].
    Prepare,
    /// Say [`Event::Woke`] at that time.
    WakeAt(Duration),
    /// Do this step. Answer: [`Event::Answered`].
    Perform(usize),
    /// Give up the step that is being performed.
    Abandon,
    /// Put everything back. Answer: [`Event::RolledBack`].
    RollBack,
    /// End the load, compare members. Answer: [`Event::Settled`].
    Settle,
    /// Judge what was recorded. Answer: [`Event::Judged`].
    Judge,
    Finish,
}

/// How it ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    #[default]
    Completed,
    Interrupted,
    /// It took longer than it may.
    Expired,
    /// A fault could not be made: what comes after would mean nothing.
    StepFailed(String),
    Skipped(String),
    Broken(String),
}

/// One step, as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub step: usize,
    pub started: Duration,
    pub finished: Duration,
    pub ok: bool,
    pub said: String,
}

/// A drill that runs.
#[derive(Debug)]
pub struct Machine {
    /// Wait before each step, and whether what follows a failure is meaningless.
    plan: Vec<(Duration, bool)>,
    warm_up: Duration,
    abort_after: Duration,
    pub phase: Phase,
    pub ended: Ended,
    pub records: Vec<Record>,
    /// When the rollback began.
    pub rolled_back_at: Option<Duration>,
    /// What the rollback said.
    pub rollback: Option<Result<String, String>>,
    /// The step that is performed, and since when.
    current: Option<(usize, Duration)>,
    deadline: Option<Duration>,
}

impl Machine {
    pub fn new(drill: &Drill) -> Self {
        let wait = |span: Option<super::action::Span>| span.map_or(Duration::ZERO, |span| span.0);
        let step = |step: &super::format::Step| (wait(step.after), step.action.is_fault());
        Self {
            plan: drill.steps.iter().map(step).collect(),
            warm_up: drill.workload.warm_up.0,
            abort_after: drill.abort_after.0,
            phase: Phase::Preflight,
            ended: Ended::Completed,
            records: Vec::new(),
            rolled_back_at: None,
            rollback: None,
            current: None,
            deadline: None,
        }
    }

    /// The step that is performed or comes next.
    pub fn next_step(&self) -> usize {
        self.records.len()
    }

    /// When it may take no longer; nothing once the rollback has begun.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline.filter(|_| matches!(self.phase, Phase::WarmUp | Phase::Steps))
    }

    /// Takes an event.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            return self.stop(Ended::Expired, now);
        }
        match (self.phase, event) {
            (Phase::Preflight, Event::Begin) => vec![Effect::Prepare],
            (Phase::Preflight, Event::Ready(Ok(()))) => {
                self.phase = Phase::WarmUp;
                self.deadline = Some(now + self.abort_after);
                vec![Effect::WakeAt(now + self.warm_up)]
            }
            (Phase::Preflight, Event::Ready(Err(unfit))) => {
                self.ended = match unfit {
                    Unfit::Skipped(why) => Ended::Skipped(why),
                    Unfit::Broken(why) => Ended::Broken(why),
                };
                self.finish()
            }
            (Phase::Preflight, Event::Interrupted) => {
                self.ended = Ended::Interrupted;
                self.finish()
            }
            (Phase::WarmUp, Event::Woke) => {
                self.phase = Phase::Steps;
                self.go_on(now)
            }
            (Phase::Steps, Event::Woke) => self.perform(now),
            (Phase::Steps, Event::Answered(outcome)) => self.answered(outcome, now),
            (Phase::WarmUp | Phase::Steps, Event::Interrupted) => {
                self.stop(Ended::Interrupted, now)
            }
            (Phase::Rollback, Event::RolledBack(result)) => {
                self.rollback = Some(result);
                self.phase = Phase::Settle;
                vec![Effect::Settle]
            }
            (Phase::Settle, Event::Settled(result)) => {
                if let (Err(why), Ended::Completed) = (result, &self.ended) {
                    self.ended = Ended::Broken(why);
                }
                self.phase = Phase::Checks;
                vec![Effect::Judge]
            }
            (Phase::Checks, Event::Judged) => self.finish(),
            // A second Ctrl-C, or an answer to what was abandoned.
            _ => Vec::new(),
        }
    }

    fn finish(&mut self) -> Vec<Effect> {
        self.phase = Phase::Done;
        vec![Effect::Finish]
    }

    /// To the next step, or to the rollback after the last.
    fn go_on(&mut self, now: Duration) -> Vec<Effect> {
        match self.plan.get(self.next_step()) {
            None => self.roll_back(now),
            Some((wait, _)) if wait.is_zero() => self.perform(now),
            Some((wait, _)) => vec![Effect::WakeAt(now + *wait)],
        }
    }

    fn perform(&mut self, now: Duration) -> Vec<Effect> {
        if self.current.is_some() {
            return Vec::new();
        }
        let step = self.next_step();
        self.current = Some((step, now));
        vec![Effect::Perform(step)]
    }

    fn answered(&mut self, outcome: Outcome, now: Duration) -> Vec<Effect> {
        let Some((step, started)) = self.current.take() else { return Vec::new() };
        let Outcome { ok, said } = outcome;
        let is_fault = self.plan.get(step).is_some_and(|(_, is_fault)| *is_fault);
        self.records.push(Record { step, started, finished: now, ok, said: said.clone() });
        if !ok && is_fault {
            self.ended = Ended::StepFailed(said);
            return self.roll_back(now);
        }
        self.go_on(now)
    }

    fn roll_back(&mut self, now: Duration) -> Vec<Effect> {
        self.phase = Phase::Rollback;
        self.rolled_back_at = Some(now);
        vec![Effect::RollBack]
    }

    fn stop(&mut self, why: Ended, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if let Some((step, started)) = self.current.take() {
            let said = "abandoned".to_string();
            self.records.push(Record { step, started, finished: now, ok: false, said });
            effects.push(Effect::Abandon);
        }
        self.ended = why;
        effects.extend(self.roll_back(now));
        effects
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn drill() -> Drill {
        let text = r#"
id = "x"
title = "X"
level = "basic"
hypothesis = "h"
teaches = "t"
abort_after = "60s"
[[step]]
do = "kill leader"
[[step]]
do = "check put works"
after = "2s"
[[step]]
do = "start all"
"#;
        Drill::parse("x", text).unwrap()
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn answer(ok: bool) -> Event {
        Event::Answered(Outcome { ok, said: "so".into() })
    }

    /// Ready, warmed up, the first step being performed at second 1.
    fn at_first_step() -> Machine {
        let mut machine = Machine::new(&drill());
        assert_eq!(machine.on(Event::Begin, seconds(0)), [Effect::Prepare]);
        let effects = machine.on(Event::Ready(Ok(())), seconds(0));
        assert_eq!(effects, [Effect::WakeAt(seconds(1))]);
        assert_eq!(machine.on(Event::Woke, seconds(1)), [Effect::Perform(0)]);
        machine
    }

    #[test]
    fn it_goes_from_preflight_to_the_verdict() {
        let mut machine = at_first_step();
        assert_eq!(machine.on(answer(true), seconds(2)), [Effect::WakeAt(seconds(4))]);
        assert_eq!(machine.on(Event::Woke, seconds(4)), [Effect::Perform(1)]);
        assert_eq!(machine.on(answer(true), seconds(5)), [Effect::Perform(2)]);
        assert_eq!(machine.on(answer(true), seconds(6)), [Effect::RollBack]);
        let rolled_back = Event::RolledBack(Ok("as it was".into()));
        assert_eq!(machine.on(rolled_back, seconds(7)), [Effect::Settle]);
        assert_eq!(machine.on(Event::Settled(Ok(())), seconds(8)), [Effect::Judge]);
        assert_eq!(machine.on(Event::Judged, seconds(9)), [Effect::Finish]);
        assert_eq!((machine.phase, &machine.ended), (Phase::Done, &Ended::Completed));
        assert_eq!(machine.records.len(), 3);
        assert_eq!(
            (machine.records[1].started, machine.records[1].finished),
            (seconds(4), seconds(5))
        );
    }

    #[test]
    fn a_check_that_fails_goes_on_and_a_fault_that_fails_rolls_back() {
        let mut machine = at_first_step();
        machine.on(answer(true), seconds(2));
        machine.on(Event::Woke, seconds(4));
        assert_eq!(machine.on(answer(false), seconds(5)), [Effect::Perform(2)]);
        assert_eq!(machine.on(answer(false), seconds(6)), [Effect::RollBack]);
        assert_eq!(machine.ended, Ended::StepFailed("so".into()));
    }

    #[test]
    fn who_stops_it_gets_a_rollback_once() {
        let mut machine = at_first_step();
        let effects = machine.on(Event::Interrupted, seconds(2));
        assert_eq!(effects, [Effect::Abandon, Effect::RollBack]);
        assert!(machine.on(Event::Interrupted, seconds(3)).is_empty());
        assert!(machine.on(answer(true), seconds(3)).is_empty(), "the abandoned step");
        assert_eq!(machine.ended, Ended::Interrupted);
    }

    #[test]
    fn what_takes_too_long_is_rolled_back() {
        let mut machine = at_first_step();
        assert_eq!(machine.deadline(), Some(seconds(60)));
        let effects = machine.on(Event::Woke, seconds(60));
        assert_eq!(effects, [Effect::Abandon, Effect::RollBack]);
        assert_eq!((&machine.ended, machine.deadline()), (&Ended::Expired, None));
    }

    #[test]
    fn what_cannot_begin_touches_nothing() {
        for (event, ended) in [
            (Event::Ready(Err(Unfit::Skipped("no".into()))), Ended::Skipped("no".into())),
            (Event::Ready(Err(Unfit::Broken("no".into()))), Ended::Broken("no".into())),
            (Event::Interrupted, Ended::Interrupted),
        ] {
            let mut machine = Machine::new(&drill());
            machine.on(Event::Begin, seconds(0));
            assert_eq!(machine.on(event, seconds(1)), [Effect::Finish]);
            assert_eq!(machine.ended, ended);
        }
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Begin),
            Just(Event::Ready(Ok(()))),
            Just(Event::Woke),
            any::<bool>().prop_map(answer),
            Just(Event::Interrupted),
            Just(Event::RolledBack(Err("no".into()))),
            Just(Event::Settled(Err("no".into()))),
            Just(Event::Judged),
        ]
    }

    proptest! {
        /// In any order of events: nothing is touched without a rollback after it, and there is
        /// one rollback at most.
        #[test]
        fn every_order_of_events_keeps_the_invariants(
            events in proptest::collection::vec((event(), 0u64..30), 0..40)
        ) {
            let mut machine = Machine::new(&drill());
            let (mut now, mut seen) = (Duration::ZERO, Vec::new());
            for (event, passed) in events {
                now += seconds(passed);
                seen.extend(machine.on(event, now));
            }
            let count = |effect: &Effect| seen.iter().filter(|it| *it == effect).count();
            prop_assert!(count(&Effect::RollBack) <= 1);
            let performed = seen.iter().any(|it| matches!(it, Effect::Perform(_)));
            if performed && matches!(machine.phase, Phase::Settle | Phase::Checks | Phase::Done) {
                prop_assert_eq!(count(&Effect::RollBack), 1);
            }
            let last = seen.iter().rposition(|it| matches!(it, Effect::Perform(_)));
            let back = seen.iter().position(|it| *it == Effect::RollBack);
            prop_assert!(last.zip(back).is_none_or(|(last, back)| last < back));
        }
    }
}
