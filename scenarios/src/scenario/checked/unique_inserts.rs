//! Keys that are used once: what was acknowledged is there, and nothing else.

use crate::workloads::checked::inserts::Inserts;
use crate::{Options, Result, Summary};

pub(in super::super) async fn run(options: Options) -> Result<Summary> {
    super::run(options, Inserts::default()).await
}
