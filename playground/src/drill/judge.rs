//! What was expected against what was observed, and the verdict: pure.
//!
//! # Invariants
//! - UNSAFE needs a violation that the history checker or the ledger of an application found,
//!   which is proof; nothing else overrides it. Where a drill destroys data on purpose a ledger
//!   proves nothing against the cluster: a broken promise is FAIL there, unless the drill allows it.
//! - PASS needs every row, an undisturbed course, a rollback that succeeded and a history that
//!   was judged (or a drill that says why it cannot be).

use std::collections::BTreeMap;
use std::time::Duration;

use history::record::Nanos;

use super::format::{Drill, Expectation, LaneName};
use super::machine::{Ended, Machine};
use super::report::{Consistency, Row, Verdict};
use crate::applications::ApplicationReport;
use crate::workload::{Lane, Seen, Timeline};

/// Failures shorter than this after a fault begins are requests already on their way.
const GRACE: Nanos = 300_000_000;

/// What judging needs to know.
pub struct Evidence<'a> {
    pub drill: &'a Drill,
    pub machine: &'a Machine,
    /// Names that steps have given, and the nodes they stand for.
    pub aliases: &'a BTreeMap<String, Vec<String>>,
    /// The members that the load asked, in the order of its lanes.
    pub members: &'a [String],
    pub timeline: &'a Timeline,
    /// When the load began, on the machine's clock.
    pub load_began: Duration,
}

impl Evidence<'_> {
    /// The table: steps that say what they expect, then what clients had to feel.
    pub fn table(&self) -> Vec<Row> {
        let steps = self.drill.steps.iter().enumerate().filter_map(|(index, step)| {
            let record = self.machine.records.iter().find(|record| record.step == index);
            let says = step.says.clone();
            let failed = record.is_none_or(|record| !record.ok);
            // A step without a row gets one when it fails.
            if says.is_none() && (!failed || record.is_none()) {
                return None;
            }
            let what = step.action.to_string();
            Some(Row {
                expected: says.unwrap_or_else(|| match &step.refused {
                    Some(text) => format!("refused: {text}"),
                    None => "done".into(),
                }),
                observed: record.map_or_else(|| "not reached".into(), |it| it.said.clone()),
                ok: !failed,
                what,
                outage_ms: None,
            })
        });
        let felt = self.drill.expectations.iter().map(|it| self.row(it));
        steps.chain(felt).collect()
    }

    fn row(&self, it: &Expectation) -> Row {
        let what = match it.at.as_str() {
            "cluster" => it.lane.title().to_string(),
            at => format!("{} at {}", it.lane.title(), self.substitute(at)),
        };
        let row = |ok: bool, observed: String, outage_ms: Option<u64>| Row {
            what,
            expected: it.says.clone(),
            observed,
            ok,
            outage_ms,
        };
        let Some((from, to)) = self.window(it) else {
            return row(false, "not reached".into(), None);
        };
        let places = match self.lanes(it) {
            Ok(places) => places,
            Err(why) => return row(false, why, None),
        };
        if it.never_served {
            let served: usize = places.iter().map(|lanes| self.served(lanes, from, to)).sum();
            return row(served == 0, format!("{served} requests succeeded"), None);
        }
        let measure = |lanes: &Vec<Lane>| self.timeline.longest_within(lanes, from, to);
        let worst = places.iter().map(measure).max().unwrap_or(0) / 1_000_000;
        let best = places.iter().map(measure).min().unwrap_or(0) / 1_000_000;
        let fits_most = it.outage_at_most.is_none_or(|limit| worst <= limit.millis());
        let fits_least = it.outage_at_least.is_none_or(|limit| best >= limit.millis());
        let served = places.iter().all(|lanes| self.timeline.asked(lanes, from, to) > 0)
            || it.lane == LaneName::Watch;
        let observed = match (served, worst) {
            (false, _) => "nothing was asked".into(),
            (true, 0) => "no outage".into(),
            (true, ms) => format!("longest outage {ms} ms"),
        };
        row(fits_most && fits_least && served, observed, Some(worst))
    }

    /// When the expectation holds, on the clock of the load.
    fn window(&self, it: &Expectation) -> Option<(Nanos, Nanos)> {
        let records = &self.machine.records;
        let named = |name: &String| {
            let index = self.drill.steps.iter().position(|s| s.name.as_ref() == Some(name))?;
            records.iter().find(|record| record.step == index).map(|record| record.started)
        };
        let first_fault = || {
            let is_fault = |step: usize| self.drill.steps[step].action.is_fault();
            records.iter().find(|record| is_fault(record.step)).map(|record| record.started)
        };
        let from = it.from.as_ref().map_or_else(first_fault, named)?;
        let to = match &it.to {
            Some(name) => named(name)?,
            None => self.machine.rolled_back_at?,
        };
        let nanos = |at: Duration| at.saturating_sub(self.load_began).as_nanos() as Nanos;
        Some((nanos(from), nanos(to)))
    }

    fn served(&self, lanes: &[Lane], from: Nanos, to: Nanos) -> usize {
        // A request that was made just before the end may be answered after it.
        let patience = self.drill.workload.timeout.0.as_nanos() as Nanos;
        let window = from + GRACE..to.saturating_sub(patience);
        let samples = lanes.iter().flat_map(|lane| self.timeline.samples(*lane));
        samples.filter(|it| window.contains(&it.made) && it.seen == Seen::Ok).count()
    }

    /// `{victim}` replaced by its nodes.
    fn substitute(&self, text: &str) -> String {
        self.aliases.iter().fold(text.to_string(), |text, (name, nodes)| {
            text.replace(&format!("{{{name}}}"), &nodes.join(","))
        })
    }

    /// The lanes that are meant: for each place those that count together.
    fn lanes(&self, it: &Expectation) -> Result<Vec<Vec<Lane>>, String> {
        let at = |index: usize| match it.lane {
            LaneName::Put => Lane::PutAt(index),
            LaneName::Get => Lane::GetAt(index),
            LaneName::SerializableGet => Lane::SerializableGet(index),
            LaneName::Watch => Lane::Watch(index),
            LaneName::Keepalive => Lane::KeepAlive,
        };
        let all = 0..self.members.len();
        let text = self.substitute(&it.at);
        let named = |list: &str| -> Result<Vec<usize>, String> {
            let place = |name: &str| self.members.iter().position(|member| member == name);
            let wrong = |name: &str| format!("no member {name} was asked by the load");
            list.split(',').map(|name| place(name).ok_or_else(|| wrong(name))).collect()
        };
        match (text.as_str(), it.lane) {
            ("cluster", LaneName::Put) => Ok(vec![vec![Lane::Put]]),
            ("cluster", LaneName::Get) => Ok(vec![vec![Lane::Get]]),
            ("cluster", LaneName::Keepalive) => Ok(vec![vec![Lane::KeepAlive]]),
            ("cluster", _) => Ok(vec![all.map(at).collect()]),
            ("each", _) => Ok(all.map(|index| vec![at(index)]).collect()),
            (text, _) => match text.strip_prefix("not ") {
                Some(list) => {
                    let without = named(list)?;
                    Ok(all.filter(|it| !without.contains(it)).map(|it| vec![at(it)]).collect())
                }
                None => Ok(named(text)?.into_iter().map(|index| vec![at(index)]).collect()),
            },
        }
    }
}

/// The verdict and its sentence.
pub fn verdict(
    drill: &Drill,
    machine: &Machine,
    table: &[Row],
    consistency: &Consistency,
    application: Option<&ApplicationReport>,
) -> (Verdict, String) {
    if let Some(violation) = consistency.violations.first() {
        let first = violation.lines().next().unwrap_or_default();
        return (Verdict::Unsafe, format!("a promise to clients was broken: {first}"));
    }
    let application = application.filter(|it| it.excused.is_none());
    let broken =
        application.and_then(|it| Some(format!("{}: {}", it.application, it.violations.first()?)));
    if let Some(broken) = broken.clone().filter(|_| drill.workload.unjudged.is_none()) {
        return (Verdict::Unsafe, broken);
    }
    match &machine.ended {
        Ended::Skipped(why) => return (Verdict::Skipped, why.clone()),
        Ended::Broken(why) => return (Verdict::Aborted, why.clone()),
        Ended::Interrupted => return (Verdict::Aborted, "it was stopped".into()),
        Ended::Expired => return (Verdict::Aborted, "it took longer than abort_after".into()),
        Ended::StepFailed(why) => return (Verdict::Fail, format!("a step failed: {why}")),
        Ended::Completed => {}
    }
    if let Some(Err(why)) = &machine.rollback {
        return (Verdict::Fail, format!("the cluster did not come back: {why}"));
    }
    if let Some(row) = table.iter().find(|row| !row.ok) {
        let sentence =
            format!("{}: expected {}, observed {}", row.what, row.expected, row.observed);
        return (Verdict::Fail, sentence);
    }
    if let Some(record) = machine.records.iter().find(|record| !record.ok) {
        return (Verdict::Fail, record.said.clone());
    }
    if let Some(broken) = broken {
        return (Verdict::Fail, broken);
    }
    if let Some((application, unmet)) =
        application.and_then(|it| Some((&it.application, it.unmet.as_ref()?)))
    {
        return (Verdict::Fail, format!("{application}: {unmet}"));
    }
    if consistency.unjudged.is_none()
        && consistency.acknowledged_writes + consistency.linearizable_reads == 0
    {
        return (Verdict::Unknown, "the load saw nothing that could be judged".into());
    }
    let judged = match &consistency.unjudged {
        Some(why) => format!("the history is not judged: {why}"),
        None => format!(
            "no promise was broken in {} writes and {} reads",
            consistency.acknowledged_writes,
            consistency.linearizable_reads + consistency.serializable_reads
        ),
    };
    (Verdict::Pass, format!("all {} expectations hold, {judged}", table.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::machine::Record;
    use crate::workload::Sample;

    const MS: Nanos = 1_000_000;

    fn drill(expectation: &str) -> Drill {
        let text = format!(
            "id = \"x\"\ntitle = \"X\"\nlevel = \"basic\"\nhypothesis = \"h\"\nteaches = \"t\"\n\
             [[step]]\ndo = \"kill leader\"\nas = \"victim\"\nname = \"kill\"\nsays = \"it dies\"\n\
             [[step]]\ndo = \"check term up\"\nname = \"check\"\n\
             [[expect]]\nlane = \"put\"\nsays = \"s\"\n{expectation}\n"
        );
        Drill::parse("x", &text).unwrap()
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn machine(drill: &Drill, oks: [bool; 2]) -> Machine {
        let mut machine = Machine::new(drill);
        machine.records = oks
            .into_iter()
            .enumerate()
            .map(|(step, ok)| Record {
                step,
                started: millis(1000 + 2000 * step as u64),
                finished: millis(2000 + 2000 * step as u64),
                ok,
                said: "so it was".into(),
            })
            .collect();
        machine.rolled_back_at = Some(millis(5000));
        machine.rollback = Some(Ok("as it was".into()));
        machine
    }

    /// Puts every 100 ms, failing from 1.5 s to 2.5 s on the load's clock, which began at 0.5 s.
    fn timeline() -> Timeline {
        let mut timeline = Timeline::new(vec!["n1".into(), "n2".into()], millis(25));
        for at in (0..6000).step_by(100) {
            let seen = if (1500..2500).contains(&at) { Seen::Unknown } else { Seen::Ok };
            timeline.add(Lane::Put, Sample { made: at * MS, took: MS, seen });
            timeline.add(Lane::PutAt(0), Sample { made: at * MS, took: MS, seen: Seen::Ok });
            timeline.add(Lane::PutAt(1), Sample { made: at * MS, took: MS, seen });
        }
        timeline
    }

    fn table(expectation: &str, oks: [bool; 2]) -> Vec<Row> {
        let drill = drill(expectation);
        let machine = machine(&drill, oks);
        let aliases = BTreeMap::from([("victim".to_string(), vec!["n2".to_string()])]);
        let members = ["n1".to_string(), "n2".to_string()];
        let evidence = Evidence {
            drill: &drill,
            machine: &machine,
            aliases: &aliases,
            members: &members,
            timeline: &timeline(),
            load_began: millis(500),
        };
        evidence.table()
    }

    #[test]
    fn outages_are_held_against_what_was_expected() {
        let cases = [
            ("outage_at_most = \"4s\"", true, Some(1001)),
            ("outage_at_most = \"900ms\"", false, Some(1001)),
            ("outage_at_most = \"4s\"\noutage_at_least = \"2s\"", false, Some(1001)),
            ("outage_at_most = \"0ms\"\nto = \"check\"", false, Some(1000)),
            ("outage_at_most = \"0ms\"\nfrom = \"check\"", true, Some(0)),
            ("outage_at_most = \"0ms\"\nat = \"not {victim}\"", true, Some(0)),
            ("outage_at_most = \"0ms\"\nat = \"each\"", false, Some(1001)),
            ("never_served = true\nat = \"{victim}\"", false, None),
            ("outage_at_most = \"0ms\"\nat = \"n9\"", false, None),
        ];
        for (expectation, ok, outage) in cases {
            let rows = table(expectation, [true, true]);
            let row = rows.last().unwrap();
            assert_eq!((row.ok, row.outage_ms), (ok, outage), "{expectation}: {row:?}");
        }
    }

    #[test]
    fn a_step_without_a_row_gets_one_when_it_fails() {
        let rows = table("outage_at_most = \"4s\"", [true, true]);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].expected.as_str(), rows[0].ok), ("it dies", true));
        let rows = table("outage_at_most = \"4s\"", [true, false]);
        assert_eq!((rows.len(), rows[1].what.as_str(), rows[1].ok), (3, "check term up", false));
    }

    #[test]
    fn the_verdict_knows_what_outweighs_what() {
        let drill = drill("outage_at_most = \"4s\"");
        let judged = Consistency { acknowledged_writes: 1, ..Consistency::default() };
        let broken = Consistency { violations: vec!["LostWrite: x".into()], ..judged.clone() };
        let good = table("outage_at_most = \"4s\"", [true, true]);
        let bad = table("outage_at_most = \"1ms\"", [true, true]);
        let verdict = |change: fn(&mut Machine), table: &[Row], consistency: &Consistency| {
            let mut machine = machine(&drill, [true, true]);
            change(&mut machine);
            super::verdict(&drill, &machine, table, consistency, None).0
        };
        assert_eq!(verdict(|_| {}, &good, &judged), Verdict::Pass);
        assert_eq!(verdict(|_| {}, &bad, &judged), Verdict::Fail);
        assert_eq!(verdict(|_| {}, &good, &Consistency::default()), Verdict::Unknown);
        assert_eq!(verdict(|_| {}, &bad, &broken), Verdict::Unsafe);
        assert_eq!(verdict(|it| it.ended = Ended::Interrupted, &good, &judged), Verdict::Aborted);
        assert_eq!(verdict(|it| it.ended = Ended::Expired, &good, &broken), Verdict::Unsafe);
        assert_eq!(
            verdict(|it| it.rollback = Some(Err("no".into())), &good, &judged),
            Verdict::Fail
        );
        let skipped = |it: &mut Machine| it.ended = Ended::Skipped("no".into());
        assert_eq!(verdict(skipped, &[], &Consistency::default()), Verdict::Skipped);
    }

    #[test]
    fn an_application_that_breaks_its_promise_decides_unless_it_may() {
        let mut drill = drill("outage_at_most = \"4s\"");
        let machine = machine(&drill, [true, true]);
        let table = table("outage_at_most = \"4s\"", [true, true]);
        let mut broken = ApplicationReport {
            application: "lock".into(),
            violations: vec!["two holders".into()],
            ..ApplicationReport::default()
        };
        let judged = Consistency { acknowledged_writes: 1, ..Consistency::default() };
        let verdict = |drill: &Drill, consistency: &Consistency, it: &ApplicationReport| {
            super::verdict(drill, &machine, &table, consistency, Some(it))
        };
        assert_eq!(verdict(&drill, &judged, &broken).0, Verdict::Unsafe);
        drill.workload.unjudged = Some("it destroys data".into());
        let unjudged = Consistency { unjudged: Some("so".into()), ..Consistency::default() };
        let (word, why) = verdict(&drill, &unjudged, &broken);
        assert_eq!((word, why.as_str()), (Verdict::Fail, "lock: two holders"));
        let restless = ApplicationReport {
            unmet: Some("a waits".into()),
            violations: Vec::new(),
            ..broken.clone()
        };
        assert_eq!(verdict(&drill, &unjudged, &restless).0, Verdict::Fail);
        broken.excused = Some("its data is gone".into());
        assert_eq!(verdict(&drill, &unjudged, &broken).0, Verdict::Pass);
        assert!(broken.verdict().starts_with("broken, as it may be here (its data is gone)"));
        assert!(broken.is_well() && !broken.held() && !restless.is_well());
    }
}
