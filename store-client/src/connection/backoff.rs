//! When to try again: exponential pauses with jitter, until a limit.

use std::time::{Duration, Instant};

use crate::options::Options;

/// The tries of one request. The limit runs from the first failure.
#[derive(Debug)]
pub(crate) struct Backoff {
    pause: Duration,
    pause_max: Duration,
    limit: Duration,
    since: Option<Instant>,
}

impl Backoff {
    pub(crate) fn new(options: &Options) -> Self {
        Self { pause: options.pause_first, pause_max: options.pause_max, limit: options.retry_limit, since: None }
    }

    /// The pause before the next try, after a failure at `now`; none when the limit is reached. `chance` is from 0 to 1.
    pub(crate) fn next(&mut self, now: Instant, chance: f64) -> Option<Duration> {
        let since = *self.since.get_or_insert(now);
        if now.duration_since(since) >= self.limit {
            return None;
        }
        let pause = self.pause;
        self.pause = (pause * 2).min(self.pause_max);
        Some(pause.mul_f64(chance))
    }

    /// Waits before the next try. False when the limit is reached: give up.
    pub(crate) async fn wait(&mut self) -> bool {
        let Some(pause) = self.next(Instant::now(), rand::random::<f64>()) else { return false };
        tokio::time::sleep(pause).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end_at_the_limit() {
        let options = Options {
            pause_first: Duration::from_millis(10),
            pause_max: Duration::from_millis(25),
            retry_limit: Duration::from_secs(1),
            ..Options::default()
        };
        let (mut backoff, now) = (Backoff::new(&options), Instant::now());
        let pauses: Vec<_> = (0..4).map(|_| backoff.next(now, 1.0).expect("a pause").as_millis()).collect();
        assert_eq!(pauses, [10, 20, 25, 25]);
        assert_eq!(backoff.next(now, 0.0), Some(Duration::ZERO));
        assert_eq!(backoff.next(now + Duration::from_secs(1), 1.0), None);
    }
}
