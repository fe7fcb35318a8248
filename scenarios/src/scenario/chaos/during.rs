//! Faults one after the other for as long as a load runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::time::sleep;

use super::{ENABLED_LIMIT, Fault, MEMBER_TIMEOUT, RUN_UP_MS, Watch};
use crate::cluster::Cluster;
use crate::timeline::Timeline;
use crate::{Result, fail};

/// Which faults, in an order that comes from the seed.
pub(in super::super) struct Faults<'a> {
    chosen: Vec<Fault>,
    chance: StdRng,
    watch: &'a Watch,
    timeline: Timeline,
}

impl<'a> Faults<'a> {
    pub(in super::super) fn new(chosen: Vec<Fault>, seed: u64, watch: &'a Watch, timeline: Timeline) -> Self {
        Self { chosen, chance: StdRng::seed_from_u64(seed), watch, timeline }
    }

    /// Runs the load to its end under faults; returns what it was told, and how many faults there were. When it ends all
    /// members are enabled.
    pub(in super::super) async fn during<T>(
        &mut self,
        cluster: &mut Cluster,
        load: impl Future<Output = Result<T>>,
    ) -> Result<(T, u64)> {
        let is_over = AtomicBool::new(false);
        let load = async {
            let told = load.await;
            is_over.store(true, Ordering::SeqCst);
            told
        };
        let (told, count) = tokio::try_join!(load, self.one_by_one(cluster, &is_over))?;
        if count == 0 { fail("the load was over before the first fault") } else { Ok((told, count)) }
    }

    async fn one_by_one(&mut self, cluster: &mut Cluster, is_over: &AtomicBool) -> Result<u64> {
        let mut count = 0;
        loop {
            let mut round = self.chosen.clone();
            round.shuffle(&mut self.chance);
            for fault in round {
                sleep(Duration::from_millis(self.chance.random_range(RUN_UP_MS))).await;
                if is_over.load(Ordering::SeqCst) {
                    return Ok(count);
                }
                self.one(fault, cluster, is_over).await?;
                count += 1;
            }
        }
    }

    /// One fault, and the wait until all members are enabled again.
    async fn one(&mut self, fault: Fault, cluster: &mut Cluster, is_over: &AtomicBool) -> Result<()> {
        let done = fault.inflict(cluster, &mut self.chance, MEMBER_TIMEOUT).await?;
        self.timeline.mark((done.at, done.back), fault.name(), &done.what);
        let out = done.out.as_deref();
        let back = self.watch.all_enabled((done.at, done.back), out, ENABLED_LIMIT).await;
        let Err(failure) = back else {
            return self.watch.expect_not_out(done.stays.as_deref(), done.at);
        };
        if is_over.load(Ordering::SeqCst) {
            // Without a load nobody may have noticed.
            return self.watch.all_enabled((done.at, done.back), None, ENABLED_LIMIT).await;
        }
        Err(failure.during(done.what))
    }
}
