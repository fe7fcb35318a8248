//! The original model's sixteen statements with delayed followers: the keyed path alone.

use super::model_delayed::run_mix;
use crate::workloads::model::Mix;
use crate::{Options, Result, Summary};

pub(super) async fn run(options: Options) -> Result<Summary> {
    run_mix(options, Mix::Keyed).await
}
