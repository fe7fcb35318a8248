//! As `cut_at_once`, while single INSERTs of several sessions run as one transaction on one session's connections: that one's are cut.
//! Nobody is told anything but that his INSERT is done.

use super::crash_points::Work;
use super::cut_at_commit::cut;
use crate::{Options, Result, Summary};

/// Points of such a transaction.
const POINTS: &[&str] = &["combined.answered", "at_once.before_ticket", "commit.intent_durable", "at_once.sent_to_all"];

pub(super) async fn run(options: Options) -> Result<Summary> {
    cut(options, &[Work::Crowd], POINTS).await
}
