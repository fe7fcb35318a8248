//! Members of somebody's own installation, disabled and enabled again by its admin address while a load runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::against::Installation;
use crate::cluster::operate;
use crate::timeline::Timeline;
use crate::{Options, Result, fail};

/// All members enabled for so many milliseconds before the next one is disabled.
const BEFORE_MS: std::ops::Range<u64> = 1500..4000;
/// How long a member stays away.
const AWAY_MS: std::ops::Range<u64> = 1000..3000;
/// Longest way back.
const BACK_LIMIT: Duration = Duration::from_secs(120);
/// Time between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// Who is disabled, and when: from the seed.
pub(super) struct Disabling<'a> {
    installation: &'a Installation,
    chance: StdRng,
    timeline: Timeline,
}

impl<'a> Disabling<'a> {
    pub(super) fn new(installation: &'a Installation, options: &Options) -> Self {
        let chance = StdRng::seed_from_u64(options.seed);
        Self { installation, chance, timeline: options.timeline.clone() }
    }

    /// One member after the other, until the load is over. Returns how often. A member that was disabled is enabled again
    /// in any case.
    pub(super) async fn run(&mut self, is_over: &AtomicBool) -> Result<u64> {
        let before = self.installation.enabled().await?;
        if before.len() < 2 {
            return fail(format!("at most one member may be taken out, and enabled are: {before:?}"));
        }
        let mut count = 0;
        loop {
            self.pause(BEFORE_MS, is_over).await;
            if is_over.load(Ordering::SeqCst) {
                return if count == 0 { fail("the load was over before a member was disabled") } else { Ok(count) };
            }
            let victim = before[self.chance.random_range(0..before.len())].clone();
            let at = Instant::now();
            self.act(&victim, "disable").await?;
            self.pause(AWAY_MS, is_over).await;
            self.act(&victim, "enable").await?;
            self.wait_enabled(&victim).await?;
            self.timeline.mark((at, Instant::now()), "member-disable", &format!("{victim} disabled and enabled again"));
            count += 1;
        }
    }

    async fn pause(&mut self, length: std::ops::Range<u64>, is_over: &AtomicBool) {
        let until = Instant::now() + Duration::from_millis(self.chance.random_range(length));
        while Instant::now() < until && !is_over.load(Ordering::SeqCst) {
            sleep(EVERY).await;
        }
    }

    async fn act(&self, member: &str, verb: &str) -> Result<()> {
        let Installation { admin, database, .. } = self.installation;
        operate(admin, database, (member, verb)).await
    }

    async fn wait_enabled(&self, member: &str) -> Result<()> {
        let start = Instant::now();
        while !self.installation.enabled().await?.iter().any(|name| name == member) {
            if start.elapsed() > BACK_LIMIT {
                return fail(format!("{member} is not enabled {BACK_LIMIT:?} after it was to be"));
            }
            sleep(EVERY).await;
        }
        Ok(())
    }
}
