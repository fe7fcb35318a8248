//! As `cut_at_commit`, for serializable transactions, of which the lead's COMMIT decides.
//!
//! Of a pair of transactions that skew each other's reads one must be refused, also if the lead's connection is cut before it
//! can certify.

use super::crash_points::Work;
use super::cut_at_commit::cut;
use crate::{Options, Result, Summary};

/// Points of a serializable transaction.
const POINTS: &[&str] = &["commit.before_intent", "commit.intent_durable", "commit.certified"];

pub(super) async fn run(options: Options) -> Result<Summary> {
    cut(options, &[Work::Certified], POINTS).await
}
