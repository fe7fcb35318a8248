//! What belongs to a database but is not in its dump: settings, privileges, comment, connection limit.

use super::RebuildError;
use super::endpoint::{Endpoint, literal};
use crate::members::pg::maintenance::Maintenance;

/// Statements that set what `pg_db_role_setting` holds for the rows that `filter` picks. Of a list of names
/// (`search_path`) the stored text is no literal: it is set for the session first, then taken over from there.
/// Columns: role, statement before, statement.
pub(super) fn statements_of_settings(head: &str, filter: &str) -> String {
    format!(
        "SELECT role, CASE WHEN list THEN format('SELECT set_config(%L, %L, false)', name, value) ELSE '' END, \
         head || CASE WHEN list THEN format(' SET %I FROM CURRENT', name) ELSE format(' SET %I TO %L', name, value) END \
         FROM (SELECT {head} AS head, CASE WHEN s.setrole = 0 THEN '' ELSE pg_get_userbyid(s.setrole) END AS role, \
         split_part(c, '=', 1) AS name, substr(c, strpos(c, '=') + 1) AS value, lower(split_part(c, '=', 1)) IN \
         ('search_path', 'local_preload_libraries', 'session_preload_libraries') AS list \
         FROM pg_db_role_setting s, unnest(s.setconfig) c \
         WHERE {filter} AND lower(split_part(c, '=', 1)) <> 'temp_tablespaces') x"
    )
}

/// Gives the target's database `staging` what the donor's has.
pub(super) async fn copy(
    donor: &Endpoint,
    from: &mut Maintenance,
    target: &Endpoint,
    to: &mut Maintenance,
    staging: &str,
) -> Result<(), RebuildError> {
    let what = "copy the settings of the database";
    let name = literal(staging);
    let head = format!(
        "CASE WHEN s.setrole = 0 THEN format('ALTER DATABASE %I', {name}) \
         ELSE format('ALTER ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), {name}) END"
    );
    let this = "(SELECT oid FROM pg_database WHERE datname = current_database())";
    let settings = statements_of_settings(&head, &format!("s.setdatabase = {this}"));
    for [_, before, statement] in donor.rows::<3>(from, what, &settings).await? {
        target.query(to, what, &[&before, &statement, "RESET ALL"]).await?;
    }
    for [statement] in donor.rows::<1>(from, what, &properties(&name)).await? {
        target.query(to, what, &[&statement]).await?;
    }
    Ok(())
}

/// A query for statements that set privileges, comment and limit of the database called by the literal `name`.
fn properties(name: &str) -> String {
    format!(
        "WITH d AS (SELECT * FROM pg_database WHERE datname = current_database()) \
         SELECT statement FROM ( \
         SELECT 1 AS step, format('REVOKE ALL ON DATABASE %I FROM PUBLIC', {name}) AS statement \
         FROM d WHERE datacl IS NOT NULL \
         UNION ALL SELECT 1, format('REVOKE ALL ON DATABASE %I FROM %I', {name}, pg_get_userbyid(datdba)) \
         FROM d WHERE datacl IS NOT NULL \
         UNION ALL SELECT 2, format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, {name}, \
         CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, \
         CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM d, aclexplode(d.datacl) a \
         UNION ALL SELECT 3, format('COMMENT ON DATABASE %I IS %L', {name}, shobj_description(d.oid, 'pg_database')) \
         FROM d WHERE shobj_description(d.oid, 'pg_database') IS NOT NULL \
         UNION ALL SELECT 4, format('ALTER DATABASE %I CONNECTION LIMIT %s', {name}, datconnlimit) \
         FROM d WHERE datconnlimit >= 0) x ORDER BY step"
    )
}
