//! What users felt: when each lane was served, and for how long it was not.
//!
//! # Invariant
//! An outage lasts from the first request that failed to the first one after it that succeeded,
//! by the time they were *made*: that is how long a user who asks all the time goes without.

use std::collections::BTreeMap;

use history::record::Nanos;

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

/// A time without service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    pub from: Nanos,
    pub to: Nanos,
    /// Requests that failed.
    pub failed: usize,
    /// Whether it lasted until the end.
    pub open: bool,
}

impl Outage {
    /// Whole milliseconds.
    pub fn millis(&self) -> u64 {
        (self.to - self.from) / 1_000_000
    }
}

/// All samples by lane.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    members: Vec<String>,
    lanes: BTreeMap<Lane, Vec<Sample>>,
}

impl Timeline {
    /// For members of these names.
    pub fn new(members: Vec<String>) -> Self {
        Self { members, lanes: BTreeMap::new() }
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
        self.lanes.entry(lane).or_default().push(sample);
    }

    /// In the order in which they ended.
    pub fn samples(&self, lane: Lane) -> impl Iterator<Item = &Sample> {
        self.lanes.get(&lane).into_iter().flatten()
    }

    fn by_time(&self, lane: Lane) -> Vec<Sample> {
        let mut samples: Vec<Sample> = self.samples(lane).copied().collect();
        samples.sort_by_key(|sample| sample.made);
        samples
    }

    /// The times without service of a lane, of requests made from `from` on.
    pub fn outages(&self, lane: Lane, from: Nanos) -> Vec<Outage> {
        let mut outages: Vec<Outage> = Vec::new();
        let mut current: Option<Outage> = None;
        for sample in self.by_time(lane).iter().filter(|sample| sample.made >= from) {
            match (sample.seen, &mut current) {
                (Seen::Ok, Some(outage)) => {
                    outages.push(Outage { to: sample.made, open: false, ..*outage });
                    current = None;
                }
                (Seen::Ok, None) => {}
                (_, Some(outage)) => {
                    outage.failed += 1;
                    outage.to = sample.made + sample.took;
                }
                (_, None) => {
                    let to = sample.made + sample.took;
                    current = Some(Outage { from: sample.made, to, failed: 1, open: true });
                }
            }
        }
        outages.extend(current);
        outages
    }

    /// The longest of [`Timeline::outages`], in milliseconds; 0 if there was none.
    pub fn longest_outage(&self, lane: Lane, from: Nanos) -> u64 {
        self.outages(lane, from).iter().map(Outage::millis).max().unwrap_or(0)
    }

    /// Requests of these lanes made in a window.
    pub fn asked(&self, lanes: &[Lane], from: Nanos, to: Nanos) -> usize {
        let samples = lanes.iter().flat_map(|lane| self.samples(*lane));
        samples.filter(|sample| (from..to).contains(&sample.made)).count()
    }

    /// The longest time in a window for which nobody was served who asked any of these lanes:
    /// from the first failure to the next success, or between two events of a watch. 0 if there
    /// was none.
    pub fn longest_gap(&self, lanes: &[Lane], from: Nanos, to: Nanos) -> Nanos {
        let mut samples: Vec<&Sample> = lanes.iter().flat_map(|lane| self.samples(*lane)).collect();
        samples.retain(|sample| (from..to).contains(&sample.made));
        samples.sort_by_key(|sample| sample.made);
        if lanes.iter().all(|lane| matches!(lane, Lane::Watch(_))) {
            let made = samples.iter().map(|sample| sample.made);
            let ends: Vec<Nanos> = [from].into_iter().chain(made).chain([to]).collect();
            return ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
        }
        let (mut longest, mut since) = (0, None);
        for sample in samples {
            match (sample.seen, since) {
                (Seen::Ok, Some(start)) => {
                    longest = longest.max(sample.made - start);
                    since = None;
                }
                (Seen::Ok, None) => {}
                (_, None) => since = Some(sample.made),
                (_, Some(_)) => {}
            }
        }
        since.map_or(longest, |start| longest.max(to - start))
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

    /// The worst that was seen in each cell of `width` from 0 on; nothing where nothing was asked.
    pub fn cells(&self, lane: Lane, width: Nanos, until: Nanos) -> Vec<Option<Seen>> {
        let count = usize::try_from(until.div_ceil(width.max(1))).unwrap_or(0);
        let mut cells = vec![None; count];
        for sample in self.samples(lane) {
            let at = usize::try_from(sample.made / width.max(1)).unwrap_or(usize::MAX);
            if let Some(cell) = cells.get_mut(at) {
                *cell = (*cell).max(Some(sample.seen));
            }
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

    fn timeline(samples: &[Sample]) -> Timeline {
        let mut timeline = Timeline::new(vec!["n1".into()]);
        samples.iter().for_each(|sample| timeline.add(Lane::Put, *sample));
        timeline
    }

    #[test]
    fn an_outage_lasts_from_the_first_failure_to_the_next_success_as_they_were_made() {
        // The failed requests end long after later ones have succeeded.
        let timeline = timeline(&[
            sample(0, 5, Seen::Ok),
            sample(40, 5, Seen::Ok),
            sample(10, 1000, Seen::Unknown),
            sample(20, 5, Seen::Refused),
            sample(50, 1000, Seen::Unknown),
        ]);
        let outages = timeline.outages(Lane::Put, 0);
        assert_eq!(outages.len(), 2);
        assert_eq!((outages[0].from, outages[0].to), (10 * MS, 40 * MS));
        assert_eq!((outages[0].failed, outages[0].open), (2, false));
        assert!(outages[1].open && outages[1].millis() == 1000);
        assert_eq!(timeline.longest_outage(Lane::Put, 0), 1000);
        assert_eq!(timeline.longest_outage(Lane::Get, 0), 0);
    }

    #[test]
    fn gaps_are_of_a_window_and_of_all_lanes_together() {
        let mut timeline = timeline(&[
            sample(0, 5, Seen::Refused),
            sample(10, 5, Seen::Ok),
            sample(20, 5, Seen::Unknown),
            sample(60, 5, Seen::Ok),
            sample(90, 5, Seen::Unknown),
        ]);
        let gap =
            |timeline: &Timeline, lanes: &[Lane]| timeline.longest_gap(lanes, 5 * MS, 95 * MS);
        assert_eq!(gap(&timeline, &[Lane::Put]), 40 * MS);
        // Somebody else was served meanwhile.
        timeline.add(Lane::PutAt(1), sample(30, 1, Seen::Ok));
        assert_eq!(gap(&timeline, &[Lane::Put, Lane::PutAt(1)]), 10 * MS);
        // What never ends lasts to the end of the window.
        assert_eq!(timeline.longest_gap(&[Lane::Put], 85 * MS, 200 * MS), 110 * MS);
        assert_eq!(timeline.asked(&[Lane::Put], 5 * MS, 90 * MS), 3);
        // Nobody asks a watch: what counts is when it last told something.
        timeline.add(Lane::Watch(0), sample(25, 0, Seen::Ok));
        assert_eq!(gap(&timeline, &[Lane::Watch(0)]), 70 * MS);
    }

    #[test]
    fn what_was_made_before_the_fault_does_not_count() {
        let timeline = timeline(&[sample(0, 1, Seen::Refused), sample(30, 1, Seen::Ok)]);
        assert_eq!(timeline.longest_outage(Lane::Put, 10 * MS), 0);
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
        assert_eq!(cells, [Some(Seen::Unknown), None, Some(Seen::Ok)]);
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
