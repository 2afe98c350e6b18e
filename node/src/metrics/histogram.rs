//! Histograms: how often a value was at most so much.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::page::Page;

/// Values, counted by size. Observing takes no lock.
#[derive(Debug)]
pub struct Histogram {
    bounds: Vec<f64>,
    buckets: Vec<AtomicU64>,
    count: AtomicU64,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Default for Histogram {
    /// One for disk operations: 1 ms to 8 s.
    fn default() -> Self {
        Self::doubling(0.001, 14)
    }
}

impl Histogram {
    /// `count` bounds, each twice the one before.
    pub fn doubling(first: f64, count: i32) -> Self {
        Self::of((0..count).map(|power| first * 2f64.powi(power)).collect())
    }

    /// These bounds.
    pub fn of(bounds: Vec<f64>) -> Self {
        let buckets = bounds.iter().map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, count: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }

    /// Counts a duration, in seconds.
    pub fn observe(&self, duration: Duration) {
        self.observe_value(duration.as_secs_f64());
    }

    /// Counts a duration, in milliseconds.
    pub fn observe_ms(&self, duration: Duration) {
        self.observe_value(duration.as_secs_f64() * 1e3);
    }

    /// Counts a value.
    pub fn observe_value(&self, value: f64) {
        let at = self.bounds.partition_point(|bound| *bound < value);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        let _ = self.sum.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Writes the one series of a family.
    pub fn write(&self, page: &mut Page, name: &str, help: &str) {
        page.head(name, "histogram", help);
        self.write_series(page, name, "");
    }

    /// The lines of one series; `labels` is empty or `key="value",…`.
    pub fn write_series(&self, page: &mut Page, name: &str, labels: &str) {
        // Read first: a value that comes meanwhile must not make a bucket exceed the count.
        let count = self.count.load(Ordering::Relaxed);
        let comma = if labels.is_empty() { "" } else { "," };
        let mut total = 0;
        for (bucket, bound) in self.buckets.iter().zip(&self.bounds) {
            total = (total + bucket.load(Ordering::Relaxed)).min(count);
            page.line(&format!("{name}_bucket{{{labels}{comma}le=\"{bound}\"}}"), total as f64);
        }
        page.line(&format!("{name}_bucket{{{labels}{comma}le=\"+Inf\"}}"), count as f64);
        let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let sum = f64::from_bits(self.sum.load(Ordering::Relaxed));
        page.line(&format!("{name}_sum{labels}"), sum);
        page.line(&format!("{name}_count{labels}"), count as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_bounds_inclusive() {
        let histogram = Histogram::doubling(1.0, 3);
        for value in [0.5, 1.0, 1.5, 4.0, 9.0] {
            histogram.observe_value(value);
        }
        let mut page = Page::default();
        histogram.write(&mut page, "x", "About x.");
        assert_eq!(
            page.into_text(),
            "# HELP x About x.\n# TYPE x histogram\nx_bucket{le=\"1\"} 2\nx_bucket{le=\"2\"} 3\n\
             x_bucket{le=\"4\"} 4\nx_bucket{le=\"+Inf\"} 5\nx_sum 16\nx_count 5\n"
        );
    }

    #[test]
    fn labels_stand_before_the_bound() {
        let histogram = Histogram::of(vec![0.005]);
        histogram.observe(Duration::from_millis(2));
        let mut page = Page::default();
        histogram.write_series(&mut page, "x", "a=\"b\"");
        assert_eq!(
            page.into_text(),
            "x_bucket{a=\"b\",le=\"0.005\"} 1\nx_bucket{a=\"b\",le=\"+Inf\"} 1\n\
             x_sum{a=\"b\"} 0.002\nx_count{a=\"b\"} 1\n"
        );
    }
}
