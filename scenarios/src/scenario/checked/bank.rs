//! Money moves between accounts: every read, on whichever member, has the same total.

use crate::workloads::checked::bank::Bank;
use crate::{Options, Result, Summary};

pub(in super::super) async fn run(options: Options) -> Result<Summary> {
    super::run(options, Bank::default()).await
}
