//! The store client under faults: nothing lost, nothing doubled.

use crate::workloads::checked::messages::Messages;
use crate::{Options, Result, Summary};

pub(in super::super) async fn run(options: Options) -> Result<Summary> {
    super::run(options, Messages::default()).await
}
