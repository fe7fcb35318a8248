//! As `cut_at_commit`, for serializable transactions, of which the lead's COMMIT decides.
//!
//! `skewed` in the summary counts pairs of which the lead had to refuse one, and both were acknowledged: the lead's connection
//! was cut before it could certify, and the others committed without it (a known gap, docs/adr/0003).

use super::crash_points::Work;
use super::cut_at_commit::cut;
use crate::{Options, Result, Summary};

/// Points of a serializable transaction.
const POINTS: &[&str] = &["commit.before_intent", "commit.intent_durable", "commit.certified"];

pub(super) async fn run(options: Options) -> Result<Summary> {
    cut(options, Work::Certified, POINTS).await
}
