//! Whether large objects are alike. They are not rows of a table: a difference needs a copy.

use super::ScrubError;
use super::connection::Connection;

/// Numbers and sums of all pages, owners and rights.
const DIGEST: &str = "SELECT pg_catalog.concat_ws(' ', \
     (SELECT count(*) FROM pg_catalog.pg_largeobject_metadata), \
     (SELECT pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', m.oid, pg_catalog.pg_get_userbyid(m.lomowner), \
        m.lomacl) COLLATE \"C\", 1)::numeric) FROM pg_catalog.pg_largeobject_metadata m), \
     (SELECT pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', l.loid, l.pageno, l.data) COLLATE \"C\", 1)::numeric) \
        FROM pg_catalog.pg_largeobject l), \
     (SELECT pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', l.loid, l.pageno, l.data) COLLATE \"C\", 2)::numeric) \
        FROM pg_catalog.pg_largeobject l))";

/// Compares.
pub(super) async fn compare(base: &mut Connection, target: &mut Connection) -> Result<(), ScrubError> {
    let (here, there) = tokio::join!(base.value("large objects", DIGEST), target.value("large objects", DIGEST));
    if here? == there? {
        return Ok(());
    }
    Err(ScrubError::NeedsCopy("large objects differ".into()))
}
