//! A Django project: makemigrations, migrate, models, transactions, the admin site, manage.py's commands.

use super::applications::compare;
use crate::clients::run_python;
use crate::{Options, Result, Summary};

pub(super) async fn run(options: Options) -> Result<Summary> {
    compare(options, async |endpoint, features| {
        run_python("django_app/main.py", &[&endpoint.url()], &[("SCENARIO_FEATURES", &features)]).await
    })
    .await
}
