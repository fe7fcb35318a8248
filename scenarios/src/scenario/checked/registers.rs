//! Rows that are read, written and swapped by their key: each has the history of one copy.

use crate::workloads::checked::registers::Registers;
use crate::{Options, Result, Summary};

pub(in super::super) async fn run(options: Options) -> Result<Summary> {
    super::run(options, Registers::default()).await
}
