//! As `cut_at_commit`, for a single INSERT, and for transactions that wait for each other's row on the lead: no follower has
//! heard of them before they are decided.

use super::crash_points::Work;
use super::cut_at_commit::cut;
use crate::{Options, Result, Summary};

/// Points of one such transaction.
const POINTS: &[&str] =
    &["at_once.before_ticket", "commit.before_intent", "commit.intent_durable", "at_once.sent_to_all"];

pub(super) async fn run(options: Options) -> Result<Summary> {
    cut(options, &[Work::Insert, Work::Brief, Work::Keyed], POINTS).await
}
