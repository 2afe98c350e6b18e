//! A fixed ring of samples for a chart, one a second, with gaps kept as gaps.

use std::collections::VecDeque;

/// One second of a chart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    Value(f64),
    /// It was asked, and failed.
    Failed,
    /// Nobody asked.
    Gap,
}

/// As wide as any terminal: more would never be drawn.
const SAMPLES_KEPT: usize = 512;

#[derive(Clone, Debug, Default)]
pub struct Series {
    samples: VecDeque<Sample>,
}

impl Series {
    pub fn push(&mut self, sample: Sample) {
        if self.samples.len() == SAMPLES_KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The newest `n`, oldest first.
    pub fn newest(&self, n: usize) -> impl Iterator<Item = Sample> + '_ {
        self.samples.iter().skip(self.samples.len().saturating_sub(n)).copied()
    }

    pub fn last(&self) -> Option<Sample> {
        self.samples.back().copied()
    }

    /// The largest value among the newest `n`.
    pub fn max(&self, n: usize) -> f64 {
        self.newest(n).fold(0.0, |max, sample| match sample {
            Sample::Value(value) => value.max(max),
            _ => max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_forgets_the_oldest_and_keeps_gaps() {
        let mut series = Series::default();
        for i in 0..SAMPLES_KEPT + 3 {
            series.push(Sample::Value(i as f64));
        }
        series.push(Sample::Failed);
        assert_eq!(series.newest(usize::MAX).count(), SAMPLES_KEPT);
        assert_eq!(series.newest(1).next(), Some(Sample::Failed));
        assert_eq!(series.max(2), (SAMPLES_KEPT + 2) as f64);
    }
}
