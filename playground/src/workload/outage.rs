//! When a lane was out: somebody waited, and nobody was answered.
//!
//! # Invariant
//! An outage lies between two acknowledgements as they arrived, and begins when the first of the
//! requests was made that were still waiting in it. A request that waits for a second and is
//! answered then was out for that second, as it was for its user; time in which nobody asked is
//! no outage. The loops never wait for an answer, so when a request is made does not depend on
//! the cluster.
//!
//! How short an outage is still noticed is the [`Timeline`](super::Timeline)'s matter.

use history::record::Nanos;

use super::timeline::{Sample, Seen};

/// A time without service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outage {
    pub from: Nanos,
    pub to: Nanos,
    /// Requests that waited in it and failed.
    pub failed: usize,
    /// Requests that waited in it for a time that is noticed, and were answered after it.
    pub late: usize,
    /// Whether it lasted until the end.
    pub open: bool,
}

impl Outage {
    /// Whole milliseconds.
    pub fn millis(&self) -> u64 {
        (self.to - self.from) / 1_000_000
    }

    /// Whether the answer to this request had to wait for the end of it, for `noticed` at least.
    /// The one that ends an outage of failures may have been as quick as ever.
    pub fn delayed(&self, sample: &Sample, noticed: Nanos) -> bool {
        sample.seen == Seen::Ok
            && sample.took >= noticed
            && sample.made < self.to
            && sample.ended() >= self.to
    }

    fn failed(&self, sample: &Sample) -> bool {
        sample.seen != Seen::Ok && sample.made < self.to && sample.ended() > self.from
    }

    /// With those counted that waited in it.
    pub fn counted(self, samples: &[Sample], noticed: Nanos) -> Self {
        let failed = samples.iter().filter(|sample| self.failed(sample)).count();
        let late = samples.iter().filter(|sample| self.delayed(sample, noticed)).count();
        Self { failed, late, ..self }
    }
}

/// What makes a silence an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Only while a request waits.
    Asked,
    /// All the time until then: nobody asks a watch for an event.
    Always { until: Nanos },
}

/// Every time between two answers in which somebody waited, however short; nobody is counted.
pub fn gaps(mut samples: Vec<Sample>, wanted: Wanted) -> Vec<Outage> {
    // They were added as they ended, or nearly.
    samples.sort_by_key(Sample::ended);
    // When the first of those was made that end here or later.
    let mut earliest: Vec<Nanos> = samples.iter().map(|sample| sample.made).collect();
    for at in (1..earliest.len()).rev() {
        earliest[at - 1] = earliest[at - 1].min(earliest[at]);
    }
    let mut answered = 0;
    // The first that ended after that answer.
    let mut waiting = 0;
    let mut gaps = Vec::new();
    let begun = |answered: Nanos, waiting: usize| match wanted {
        Wanted::Always { .. } => Some(answered),
        Wanted::Asked => earliest.get(waiting).map(|made| answered.max(*made)),
    };
    let gap = |from: Nanos, to: Nanos, open: bool| Outage { from, to, failed: 0, late: 0, open };
    for (at, sample) in samples.iter().enumerate().filter(|(_, it)| it.seen == Seen::Ok) {
        if let Some(from) = begun(answered, waiting) {
            gaps.push(gap(from, sample.ended().max(from), false));
        }
        (answered, waiting) = (sample.ended(), at + 1);
    }
    let end = match wanted {
        Wanted::Always { until } => until,
        Wanted::Asked => samples.last().map_or(0, Sample::ended),
    };
    if let Some(from) = begun(answered, waiting).filter(|from| *from < end) {
        gaps.push(gap(from, end, true));
    }
    gaps
}

/// The longest part of a gap that lies in a window.
pub fn longest(gaps: &[Outage], from: Nanos, to: Nanos) -> Nanos {
    let within = |gap: &Outage| gap.to.min(to).saturating_sub(gap.from.max(from));
    gaps.iter().map(within).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(made: Nanos, took: Nanos, seen: Seen) -> Sample {
        Sample { made, took, seen }
    }

    fn spans(samples: &[Sample]) -> Vec<(Nanos, Nanos)> {
        let gaps = gaps(samples.to_vec(), Wanted::Asked);
        gaps.iter().map(|gap| (gap.from, gap.to)).collect()
    }

    #[test]
    fn who_waits_and_is_answered_in_the_end_was_out_all_the_same() {
        let samples = [
            sample(0, 5, Seen::Ok),
            sample(10, 905, Seen::Ok),
            sample(20, 900, Seen::Ok),
            sample(930, 5, Seen::Ok),
        ];
        assert_eq!(spans(&samples), [(0, 5), (10, 915), (915, 920), (930, 935)]);
        let outage = gaps(samples.to_vec(), Wanted::Asked)[1].counted(&samples, 100);
        assert_eq!((outage.failed, outage.late, outage.open), (0, 2, false));
    }

    #[test]
    fn failures_end_nothing_and_others_who_are_served_do() {
        let samples = [
            sample(0, 5, Seen::Ok),
            sample(10, 1000, Seen::Unknown),
            sample(20, 1, Seen::Refused),
            sample(400, 5, Seen::Ok),
            sample(500, 1000, Seen::Unknown),
        ];
        // The first failure goes on waiting after 405, so that is where the last one begins.
        assert_eq!(spans(&samples), [(0, 5), (10, 405), (405, 1500)]);
        let all = gaps(samples.to_vec(), Wanted::Asked);
        assert_eq!(all[1].counted(&samples, 100).failed, 2);
        assert!(all[2].open && !all[1].open);
    }

    #[test]
    fn when_nobody_asks_nobody_is_out() {
        let samples = [sample(0, 5, Seen::Ok), sample(5000, 3, Seen::Ok)];
        assert_eq!(spans(&samples), [(0, 5), (5000, 5003)]);
        // But a watch is wanted all the time.
        let told = gaps(samples.to_vec(), Wanted::Always { until: 6000 });
        assert_eq!(longest(&told, 0, Nanos::MAX), 4998);
        assert_eq!(longest(&told, 4900, 5010), 103);
        let silent = gaps(Vec::new(), Wanted::Always { until: 50 });
        assert_eq!(longest(&silent, 10, 90), 40);
        assert!(gaps(Vec::new(), Wanted::Asked).is_empty());
    }

    #[test]
    fn only_the_part_in_the_window_counts() {
        let gaps =
            gaps(vec![sample(10, 90, Seen::Ok), sample(95, 400, Seen::Unknown)], Wanted::Asked);
        assert_eq!(longest(&gaps, 0, 1000), 395);
        assert_eq!(longest(&gaps, 20, 60), 40);
        assert_eq!(longest(&gaps, 90, 200), 100);
        assert_eq!(longest(&gaps, 600, 900), 0);
    }
}
