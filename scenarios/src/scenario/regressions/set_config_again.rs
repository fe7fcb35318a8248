//! A setting that is in force already is answered as its statement is: SET with a tag, SELECT set_config with a row too.

use super::support::{kinds, query};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let mut raw = Raw::connect(&cluster.endpoint(), &[]).await?;
    let select = "select pg_catalog.set_config('search_path', 'public', false)";
    for (sql, wanted) in [(select, "TDCZ"), ("set search_path = public", "CZ")] {
        for round in 1..=3 {
            let found = kinds(&query(&mut raw, sql).await?);
            if found != wanted {
                return fail(format!("{sql}, time {round}: {found} in place of {wanted}"));
            }
        }
    }
    Ok(())
}
