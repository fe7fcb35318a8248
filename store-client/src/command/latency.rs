//! How long things took.

use std::time::Duration;

/// Times of single operations, each in microseconds: four bytes an operation.
#[derive(Debug, Default)]
pub(super) struct Latencies(Vec<u32>);

impl Latencies {
    pub(super) fn add(&mut self, time: Duration) {
        self.0.push(u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
    }

    pub(super) fn absorb(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// In milliseconds: so many of a hundred took no longer.
    pub(super) fn percentile(&mut self, percent: usize) -> f64 {
        if self.0.is_empty() {
            return 0.0;
        }
        let rank = (self.0.len() * percent).div_ceil(100).clamp(1, self.0.len()) - 1;
        f64::from(*self.0.select_nth_unstable(rank).1) / 1000.0
    }
}

/// So many a second.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub(super) fn rate(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64().max(1e-9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_ranks() {
        let mut latencies = Latencies::default();
        assert!(latencies.percentile(50).abs() < f64::EPSILON);
        (1..=100).rev().for_each(|number| latencies.add(Duration::from_millis(number)));
        assert!((latencies.percentile(50) - 50.0).abs() < 1e-9 && (latencies.percentile(99) - 99.0).abs() < 1e-9);
    }
}
