//! A book shop on SQLAlchemy: Alembic's migrations, the mapper, Core.

use super::applications::compare;
use crate::clients::run_python;
use crate::{Options, Result, Summary};

pub(super) async fn run(options: Options) -> Result<Summary> {
    compare(options, async |endpoint, features| {
        run_python("sqlalchemy_app/main.py", &[&endpoint.url()], &[("SCENARIO_FEATURES", &features)]).await
    })
    .await
}
