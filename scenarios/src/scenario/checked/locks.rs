//! Row locks and leases: at most one holder at any time.

use crate::workloads::checked::locks::Locks;
use crate::{Options, Result, Summary};

pub(in super::super) async fn run(options: Options) -> Result<Summary> {
    super::run(options, Locks::default()).await
}
