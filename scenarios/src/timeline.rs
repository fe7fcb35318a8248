//! What a run was like over time: how many transactions ended in each interval, how long they took, and what was done to
//! the installation meanwhile. Of one size, however long the run is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Intervals that a run is divided into, about.
const INTERVALS: u32 = 300;
/// Shortest interval.
const SHORTEST: Duration = Duration::from_millis(100);
/// Classes of latencies for each doubling of it: a percentile is at most 9 % too high.
const CLASSES_PER_DOUBLING: f64 = 8.0;
/// Classes of latencies, from 1 µs to more than an hour.
const CLASSES: usize = 256;
/// Marks that are kept.
const MARKS_MAX: usize = 1000;

/// One interval.
#[derive(Clone, Debug)]
struct Interval {
    /// Transactions that ended as they were to end, by class of latency.
    done: Vec<u32>,
    /// Transactions that failed, or of which nobody knows.
    failed: u32,
}

/// Something that was done to the installation.
#[derive(Clone, Debug)]
pub struct Mark {
    /// When it began, from the start on.
    pub from: Duration,
    /// When it was over.
    pub to: Duration,
    /// Its name.
    pub name: String,
    /// What it was, in one sentence.
    pub what: String,
}

/// What is shown of one interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Its middle, from the start on.
    pub at: Duration,
    /// Transactions a second.
    pub per_second: f64,
    /// Failed transactions a second.
    pub failed_per_second: f64,
    /// Half of its transactions took no longer.
    pub p50: Option<Duration>,
    /// 99 in 100 of its transactions took no longer.
    pub p99: Option<Duration>,
}

#[derive(Debug)]
struct Inner {
    start: Instant,
    interval: Duration,
    intervals: Vec<Interval>,
    marks: Vec<Mark>,
}

/// The timeline of a run, shared by all who write into it.
#[derive(Clone, Debug)]
pub struct Timeline(Arc<Mutex<Inner>>);

impl Default for Timeline {
    fn default() -> Self {
        let inner = Inner { start: Instant::now(), interval: SHORTEST, intervals: Vec::new(), marks: Vec::new() };
        Self(Arc::new(Mutex::new(inner)))
    }
}

impl Timeline {
    /// Starts anew, for a load of that length.
    pub fn begin(&self, length: Duration) {
        let interval = (length / INTERVALS).max(SHORTEST);
        *self.lock() = Inner { start: Instant::now(), interval, intervals: Vec::new(), marks: Vec::new() };
    }

    /// A transaction that began at `began` and is done now.
    pub fn done(&self, began: Instant) {
        let class = class_of(began.elapsed());
        self.lock().current().done[class] += 1;
    }

    /// A transaction that failed now.
    pub fn failed(&self) {
        self.lock().current().failed += 1;
    }

    /// Something that was done from `from` to `to`.
    pub fn mark(&self, (from, to): (Instant, Instant), name: &str, what: &str) {
        let mut inner = self.lock();
        if inner.marks.len() < MARKS_MAX {
            let (from, to) = (from.saturating_duration_since(inner.start), to.saturating_duration_since(inner.start));
            inner.marks.push(Mark { from, to, name: name.to_owned(), what: what.to_owned() });
        }
    }

    /// All marks.
    #[must_use]
    pub fn marks(&self) -> Vec<Mark> {
        self.lock().marks.clone()
    }

    /// One point for each interval; the last one, which may not be over, is left out.
    #[must_use]
    pub fn points(&self) -> Vec<Point> {
        let inner = self.lock();
        let seconds = inner.interval.as_secs_f64();
        let whole = inner.intervals.len().saturating_sub(1);
        let points = inner.intervals.iter().take(whole).zip(0_u32..).map(|(interval, number)| Point {
            at: inner.interval * number + inner.interval / 2,
            per_second: f64::from(interval.done.iter().sum::<u32>()) / seconds,
            failed_per_second: f64::from(interval.failed) / seconds,
            p50: percentile(&interval.done, 0.5),
            p99: percentile(&interval.done, 0.99),
        });
        points.collect()
    }

    /// The latency that `share` of all transactions did not exceed.
    #[must_use]
    pub fn latency(&self, share: f64) -> Option<Duration> {
        let inner = self.lock();
        let sum = |class| inner.intervals.iter().map(|interval| interval.done[class]).sum();
        percentile(&(0..CLASSES).map(sum).collect::<Vec<u32>>(), share)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn current(&mut self) -> &mut Interval {
        let number = (self.start.elapsed().as_nanos() / self.interval.as_nanos().max(1)) as usize;
        while self.intervals.len() <= number {
            self.intervals.push(Interval { done: vec![0; CLASSES], failed: 0 });
        }
        &mut self.intervals[number]
    }
}

fn class_of(latency: Duration) -> usize {
    let micros = latency.as_secs_f64() * 1e6;
    ((micros.max(1.0).log2() * CLASSES_PER_DOUBLING) as usize).min(CLASSES - 1)
}

/// The upper end of the class in which that share is reached.
fn percentile(classes: &[u32], share: f64) -> Option<Duration> {
    let all: u32 = classes.iter().sum();
    let wanted = (f64::from(all) * share).ceil().max(1.0) as u32;
    let mut seen = 0;
    let class = classes.iter().position(|count| {
        seen += count;
        seen >= wanted
    })?;
    Some(Duration::from_secs_f64(((class + 1) as f64 / CLASSES_PER_DOUBLING).exp2() / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_at_most_a_class_too_high() {
        let mut classes = vec![0; CLASSES];
        for millis in 1..=100 {
            classes[class_of(Duration::from_millis(millis))] += 1;
        }
        for (share, millis) in [(0.5, 50.0), (0.99, 99.0)] {
            let found = percentile(&classes, share).map_or(0.0, |latency| latency.as_secs_f64() * 1e3);
            assert!(found >= millis && found < millis * 1.1, "{found} for {millis}");
        }
        assert_eq!(percentile(&vec![0; CLASSES], 0.5), None);
    }

    #[test]
    fn an_interval_without_a_transaction_is_a_point_as_well() {
        let timeline = Timeline::default();
        let start = Instant::now();
        timeline.begin(Duration::from_secs(1));
        timeline.done(start);
        std::thread::sleep(SHORTEST * 3);
        timeline.failed();
        timeline.mark((start, Instant::now()), "pause", "nothing was done");
        let points = timeline.points();
        assert!(points.len() >= 3);
        assert!(points[0].per_second > 0.0 && points[1].per_second == 0.0 && points[1].p50.is_none());
        assert_eq!(timeline.marks().len(), 1);
    }
}
