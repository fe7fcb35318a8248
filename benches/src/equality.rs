//! Are the members still equal after the loads? A fast target that loses rows is no target.

use crate::error::{Failure, Result};
use crate::member::Member;

/// Row counts and order-free row hashes of every table that a load writes.
const DIGEST: &str = "\
SELECT format('branches %s %s', count(*), sum(hashtext(b::text)::bigint)) FROM pgbench_branches b \
UNION ALL SELECT format('tellers %s %s', count(*), sum(hashtext(t::text)::bigint)) FROM pgbench_tellers t \
UNION ALL SELECT format('accounts %s %s', count(*), sum(hashtext(a::text)::bigint)) FROM pgbench_accounts a \
UNION ALL SELECT format('history %s %s', count(*), sum(hashtext((tid, bid, aid, delta)::text)::bigint)) \
    FROM pgbench_history h \
UNION ALL SELECT format('insert %s %s', count(*), sum(hashtext(i::text)::bigint)) FROM bench_insert i";

/// Fails when two members differ.
pub(crate) fn check(members: &[Member], database: &str) -> Result<()> {
    let mut digests = Vec::new();
    for member in members {
        digests.push((member.name.as_str(), member.sql(database, DIGEST)?));
    }
    for pair in digests.windows(2) {
        if pair[0].1 != pair[1].1 {
            return Err(Failure::new(format!(
                "members differ: {} has\n{}\n{} has\n{}",
                pair[0].0, pair[0].1, pair[1].0, pair[1].1
            )));
        }
    }
    Ok(())
}
