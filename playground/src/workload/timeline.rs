//! What users felt: when each lane was served, and for how long it was not.
//!
//! # Invariant
//! An outage that is shorter than [`Timeline::noticed`] is none: between two answers there is
//! always some time, by the pace of the load and the turns of the processor. What an outage is
//! says [`outage`](super::outage).

use std::collections::BTreeMap;
use std::time::Duration;

use history::record::Nanos;
use serde::{Deserialize, Serialize};

use super::outage::{self, Outage, Wanted};

/// Shorter outages are not noticed.
const NOTICED: Duration = Duration::from_millis(100);

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Writes to any member.
    Put,
    /// Linearizable reads from any member.
    Get,
    /// Writes to the member of that number.
    PutAt(usize),
    /// Linearizable reads from the member of that number.
    GetAt(usize),
    /// Serializable reads from the member of that number.
    SerializableGet(usize),
    /// Events that the member of that number told.
    Watch(usize),
    /// Leases kept alive.
    KeepAlive,
}

/// How a request ended, for the one who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    Ok,
    /// An error that promises that nothing was done.
    Refused,
    /// No answer, or an error that leaves it open.
    Unknown,
}

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub made: Nanos,
    pub took: Nanos,
    pub seen: Seen,
}

impl Sample {
    /// When it was answered, or given up.
    pub fn ended(&self) -> Nanos {
        self.made + self.took
    }
}

/// What was seen in a cell of time; the later ones are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cell {
    /// Nothing was asked.
    Empty,
    Ok,
    /// Answered, but only after an outage.
    Late,
    Refused,
    Unknown,
}

/// All samples by lane.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    members: Vec<String>,
    noticed: Nanos,
    /// When the last request was made: what watches tell later is only the rest.
    asked_until: Nanos,
    lanes: BTreeMap<Lane, Vec<Sample>>,
}

impl Timeline {
    /// For members of these names, which are asked at this pace.
    pub fn new(members: Vec<String>, pace: Duration) -> Self {
        let noticed = NOTICED.max(pace * 4).as_nanos() as Nanos;
        Self { members, noticed, ..Self::default() }
    }

    /// How long an outage is at least.
    pub fn noticed(&self) -> Nanos {
        self.noticed
    }

    /// What a lane is called on screen.
    pub fn name(&self, lane: Lane) -> String {
        let member = |index: usize| self.members.get(index).map_or("?", String::as_str);
        match lane {
            Lane::Put => "put".into(),
            Lane::Get => "linearizable get".into(),
            Lane::PutAt(index) => format!("put {}", member(index)),
            Lane::GetAt(index) => format!("linearizable get {}", member(index)),
            Lane::SerializableGet(index) => format!("serializable get {}", member(index)),
            Lane::Watch(index) => format!("watch {}", member(index)),
            Lane::KeepAlive => "keepalive".into(),
        }
    }

    /// Lanes with samples, in order.
    pub fn lanes(&self) -> impl Iterator<Item = Lane> {
        self.lanes.keys().copied()
    }

    pub fn add(&mut self, lane: Lane, sample: Sample) {
        if !matches!(lane, Lane::Watch(_)) {
            self.asked_until = self.asked_until.max(sample.made);
        }
        self.lanes.entry(lane).or_default().push(sample);
    }

    /// In the order in which they ended.
    pub fn samples(&self, lane: Lane) -> impl Iterator<Item = &Sample> {
        self.lanes.get(&lane).into_iter().flatten()
    }

    /// All gaps of lanes that count as one.
    fn gaps(&self, lanes: &[Lane]) -> Vec<Outage> {
        let is_watch = |lane: &Lane| matches!(lane, Lane::Watch(_));
        let wanted = if lanes.iter().all(is_watch) {
            Wanted::Always { until: self.asked_until }
        } else {
            Wanted::Asked
        };
        let samples = lanes.iter().flat_map(|lane| self.samples(*lane)).copied().collect();
        outage::gaps(samples, wanted)
    }

    /// The outages of a lane, without counts: they are drawn while a load runs, and counting takes
    /// as long as there are outages times requests.
    fn drawn(&self, lane: Lane) -> Vec<Outage> {
        let mut outages = self.gaps(&[lane]);
        outages.retain(|outage| outage.to - outage.from >= self.noticed);
        outages
    }

    /// The times without service of a lane.
    pub fn outages(&self, lane: Lane) -> Vec<Outage> {
        let outages = self.drawn(lane);
        let Some(samples) = self.lanes.get(&lane) else { return outages };
        outages.into_iter().map(|outage| outage.counted(samples, self.noticed)).collect()
    }

    /// The longest of [`Timeline::outages`], in milliseconds; 0 if there was none.
    pub fn longest_outage(&self, lane: Lane) -> u64 {
        self.drawn(lane).iter().map(Outage::millis).max().unwrap_or(0)
    }

    /// Requests of these lanes made in a window.
    pub fn asked(&self, lanes: &[Lane], from: Nanos, to: Nanos) -> usize {
        let samples = lanes.iter().flat_map(|lane| self.samples(*lane));
        samples.filter(|sample| (from..to).contains(&sample.made)).count()
    }

    /// The longest outage, as far as it lies in a window, of all lanes together: whoever asks any
    /// of them is not served. 0 if there was none.
    pub fn longest_within(&self, lanes: &[Lane], from: Nanos, to: Nanos) -> Nanos {
        let longest = outage::longest(&self.gaps(lanes), from, to);
        if longest < self.noticed { 0 } else { longest }
    }

    /// How long the `share` (0 to 1) fastest successful requests took at most.
    pub fn percentile(&self, lane: Lane, share: f64) -> Option<Nanos> {
        let ok = self.samples(lane).filter(|sample| sample.seen == Seen::Ok);
        let mut took: Vec<Nanos> = ok.map(|sample| sample.took).collect();
        took.sort_unstable();
        let last = took.len().checked_sub(1)?;
        let at = (last as f64 * share.clamp(0.0, 1.0)).round() as usize;
        took.get(at).copied()
    }

    /// The worst that was seen in each cell of `width` from 0 on, by when requests were made.
    pub fn cells(&self, lane: Lane, width: Nanos, until: Nanos) -> Vec<Cell> {
        let count = usize::try_from(until.div_ceil(width.max(1))).unwrap_or(0);
        let mut cells = vec![Cell::Empty; count];
        // Nobody waits for the answer of a watch.
        let outages = match lane {
            Lane::Watch(_) => Vec::new(),
            lane => self.drawn(lane),
        };
        for sample in self.samples(lane) {
            let at = usize::try_from(sample.made / width.max(1)).unwrap_or(usize::MAX);
            let Some(cell) = cells.get_mut(at) else { continue };
            // They are in order; only the first that ends later can have held it up.
            let before = outages.partition_point(|outage| outage.to <= sample.made);
            let outage = outages.get(before);
            let seen = match sample.seen {
                Seen::Ok if outage.is_some_and(|it| it.delayed(sample, self.noticed)) => Cell::Late,
                Seen::Ok => Cell::Ok,
                Seen::Refused => Cell::Refused,
                Seen::Unknown => Cell::Unknown,
            };
            *cell = (*cell).max(seen);
        }
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn sample(made: Nanos, took: Nanos, seen: Seen) -> Sample {
        Sample { made: made * MS, took: took * MS, seen }
    }

    const PACE: Duration = Duration::from_millis(25);

    fn timeline(samples: &[Sample]) -> Timeline {
        let mut timeline = Timeline::new(vec!["n1".into()], PACE);
        samples.iter().for_each(|sample| timeline.add(Lane::Put, *sample));
        timeline
    }

    #[test]
    fn a_put_that_waits_and_is_answered_within_its_patience_is_an_outage() {
        let timeline = timeline(&[
            sample(0, 5, Seen::Ok),
            sample(25, 900, Seen::Ok),
            sample(50, 875, Seen::Ok),
            sample(950, 5, Seen::Ok),
        ]);
        assert_eq!(timeline.longest_outage(Lane::Put), 900);
        let outages = timeline.outages(Lane::Put);
        assert_eq!((outages.len(), outages[0].failed, outages[0].late), (1, 0, 2));
        assert_eq!(timeline.longest_outage(Lane::Get), 0);
        let cells = timeline.cells(Lane::Put, 500 * MS, 1000 * MS);
        assert_eq!(cells, [Cell::Late, Cell::Ok]);
    }

    #[test]
    fn the_time_between_two_requests_is_no_outage_at_any_pace() {
        let samples: Vec<_> = (0..20).map(|n| sample(n * 400, 350, Seen::Ok)).collect();
        assert_eq!(timeline(&samples).longest_outage(Lane::Put), 350);
        let mut slow = Timeline::new(vec!["n1".into()], Duration::from_millis(400));
        samples.iter().for_each(|sample| slow.add(Lane::Put, *sample));
        samples.iter().for_each(|it| slow.add(Lane::Watch(0), Sample { took: 0, ..*it }));
        assert_eq!(slow.noticed(), 1600 * MS);
        assert_eq!((slow.longest_outage(Lane::Put), slow.longest_outage(Lane::Watch(0))), (0, 0));
    }

    #[test]
    fn outages_are_of_a_window_and_of_all_lanes_together() {
        let mut timeline = timeline(&[
            sample(0, 50, Seen::Refused),
            sample(100, 50, Seen::Ok),
            sample(200, 50, Seen::Unknown),
            sample(600, 50, Seen::Ok),
            sample(900, 50, Seen::Unknown),
            sample(1900, 50, Seen::Unknown),
        ]);
        let within = |timeline: &Timeline, lanes: &[Lane]| {
            timeline.longest_within(lanes, 50 * MS, 950 * MS) / MS
        };
        assert_eq!(within(&timeline, &[Lane::Put]), 450);
        // Somebody else was served meanwhile.
        timeline.add(Lane::PutAt(1), sample(340, 10, Seen::Ok));
        assert_eq!(within(&timeline, &[Lane::Put, Lane::PutAt(1)]), 150);
        // What does not end in the window lasts to the end of it.
        assert_eq!(timeline.longest_within(&[Lane::Put], 850 * MS, 1200 * MS), 300 * MS);
        assert_eq!(timeline.longest_within(&[Lane::Put], 850 * MS, 930 * MS), 0, "too short");
        assert_eq!(timeline.asked(&[Lane::Put], 50 * MS, 900 * MS), 3);
        // Nobody asks a watch: what counts is when it last told something.
        timeline.add(Lane::Watch(0), sample(250, 0, Seen::Ok));
        assert_eq!(within(&timeline, &[Lane::Watch(0)]), 700);
    }

    #[test]
    fn a_cell_shows_the_worst_that_was_in_it() {
        let timeline = timeline(&[
            sample(1, 1, Seen::Ok),
            sample(2, 1, Seen::Unknown),
            sample(3, 1, Seen::Refused),
            sample(250, 1, Seen::Ok),
        ]);
        let cells = timeline.cells(Lane::Put, 100 * MS, 300 * MS);
        assert_eq!(cells, [Cell::Unknown, Cell::Empty, Cell::Ok]);
    }

    #[test]
    fn percentiles_are_of_what_succeeded() {
        let mut samples: Vec<_> = (1..=100).map(|n| sample(n, n, Seen::Ok)).collect();
        samples.push(sample(200, 5000, Seen::Unknown));
        let timeline = timeline(&samples);
        assert_eq!(timeline.percentile(Lane::Put, 0.99), Some(99 * MS));
        assert_eq!(timeline.percentile(Lane::Put, 1.0), Some(100 * MS));
        assert_eq!(timeline.percentile(Lane::Get, 0.5), None);
    }
}
