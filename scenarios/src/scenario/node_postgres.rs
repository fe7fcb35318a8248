//! A JavaScript application on node-postgres: pool, prepared statements, transactions, COPY, cursors, types, errors.

use super::applications::compare;
use crate::clients::run_node;
use crate::{Options, Result, Summary};

pub(super) async fn run(options: Options) -> Result<Summary> {
    compare(options, async |endpoint, features| {
        run_node("node_app/main.js", &[&endpoint.url()], &[("SCENARIO_FEATURES", &features)]).await
    })
    .await
}
