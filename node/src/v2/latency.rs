//! Running statistics of a time span, in milliseconds: what `/v2/stats/leader` tells of each
//! follower.

use std::time::Duration;

use parking_lot::Mutex;

/// See the module.
#[derive(Default)]
pub struct Latency(Mutex<Sums>);

#[derive(Clone, Copy, Default)]
struct Sums {
    count: u64,
    current: f64,
    sum: f64,
    sum_of_squares: f64,
    minimum: f64,
    maximum: f64,
}

/// The statistics at a moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Read {
    pub count: u64,
    pub current: f64,
    pub average: f64,
    pub deviation: f64,
    pub minimum: f64,
    pub maximum: f64,
}

impl Latency {
    /// Takes one span in.
    pub fn observe(&self, span: Duration) {
        let span = span.as_secs_f64() * 1e3;
        let mut sums = self.0.lock();
        sums.minimum = if sums.count == 0 { span } else { sums.minimum.min(span) };
        sums.maximum = sums.maximum.max(span);
        sums.count += 1;
        sums.current = span;
        sums.sum += span;
        sums.sum_of_squares += span * span;
    }

    /// What has been seen so far.
    pub fn read(&self) -> Read {
        let sums = *self.0.lock();
        let count = sums.count.max(1) as f64;
        let average = sums.sum / count;
        // Rounding may take it a little below zero.
        let variance = (sums.sum_of_squares / count - average * average).max(0.0);
        Read {
            count: sums.count,
            current: sums.current,
            average,
            deviation: variance.sqrt(),
            minimum: sums.minimum,
            maximum: sums.maximum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_spans() {
        let latency = Latency::default();
        assert_eq!(latency.read().average, 0.0);
        for millis in [2, 4, 4, 4, 5, 5, 7, 9] {
            latency.observe(Duration::from_millis(millis));
        }
        let read = latency.read();
        assert_eq!((read.count, read.current), (8, 9.0));
        assert_eq!((read.minimum, read.maximum), (2.0, 9.0));
        assert!((read.average - 5.0).abs() < 1e-9 && (read.deviation - 2.0).abs() < 1e-6);
    }
}
