//! Roles belong to the server, not to a database: those that the target lacks are made, those that it has stay as they
//! are. So the password of the login that we use cannot change under us.

use std::collections::HashSet;

use super::endpoint::Endpoint;
use super::settings::statements_of_settings;
use super::{QUERY_TIME_MAX, RebuildError};
use crate::members::pg::maintenance::{Maintenance, QueryError};

/// `duplicate_object`.
const EXISTS: [u8; 5] = *b"42710";

/// Whether passwords (as hashes) may be read.
const PASSWORDS_READABLE: &str = "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')";

const MEMBERSHIPS: &str = "SELECT r.rolname, m.rolname, format('GRANT %I TO %I%s', r.rolname, m.rolname, \
    CASE WHEN to_jsonb(a) ? 'set_option' THEN format(' WITH ADMIN %s, INHERIT %s, SET %s', \
    to_jsonb(a)->>'admin_option', to_jsonb(a)->>'inherit_option', to_jsonb(a)->>'set_option') \
    WHEN a.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END) \
    FROM pg_auth_members a JOIN pg_roles r ON r.oid = a.roleid JOIN pg_roles m ON m.oid = a.member ORDER BY 1, 2";

const COMMENTS: &str = "SELECT rolname, format('COMMENT ON ROLE %I IS %L', rolname, shobj_description(oid, 'pg_authid')) \
    FROM pg_roles WHERE shobj_description(oid, 'pg_authid') IS NOT NULL";

/// What was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roles {
    pub(super) created: Vec<String>,
    pub(super) without_password: Vec<String>,
}

/// Makes the roles that the target lacks, with password, settings and comment, and grants memberships that it lacks.
pub(super) async fn copy(
    donor: &Endpoint,
    from: &mut Maintenance,
    target: &Endpoint,
    to: &mut Maintenance,
) -> Result<Roles, RebuildError> {
    let what = "copy roles";
    // For `VALID UNTIL`: the target must read it as it is meant.
    donor.query(from, what, &["SET datestyle = 'ISO'"]).await?;
    let [readable] = donor.row(from, what, PASSWORDS_READABLE).await?;
    let known = target.rows::<1>(to, what, "SELECT rolname FROM pg_roles").await?;
    let known: HashSet<String> = known.into_iter().flatten().collect();
    let mut roles = Roles::default();
    for [name, statement, without_password] in donor.rows::<3>(from, what, &definitions(readable == "t")).await? {
        if known.contains(&name) {
            continue;
        }
        match to.query(&[&statement], QUERY_TIME_MAX).await {
            // Made by somebody else meanwhile.
            Err(QueryError::Server { sqlstate: EXISTS, .. }) => continue,
            other => other.map_err(|source| target.failed(&format!("create role {name}"), source))?,
        };
        if without_password == "t" {
            roles.without_password.push(name.clone());
        }
        roles.created.push(name);
    }
    let settings = statements_of_settings("format('ALTER ROLE %I', pg_get_userbyid(s.setrole))", "s.setdatabase = 0");
    for [name, before, statement] in donor.rows::<3>(from, what, &settings).await? {
        if roles.created.contains(&name) {
            target.query(to, what, &[&before, &statement, "RESET ALL"]).await?;
        }
    }
    for [name, statement] in donor.rows::<2>(from, what, COMMENTS).await? {
        if roles.created.contains(&name) {
            target.query(to, what, &[&statement]).await?;
        }
    }
    let memberships = target.rows::<3>(to, what, MEMBERSHIPS).await?;
    let memberships: HashSet<[String; 2]> = memberships.into_iter().map(|[role, member, _]| [role, member]).collect();
    for [role, member, statement] in donor.rows::<3>(from, what, MEMBERSHIPS).await? {
        if !memberships.contains(&[role, member]) {
            target.query(to, what, &[&statement]).await?;
        }
    }
    Ok(roles)
}

/// A query for name and `CREATE ROLE` of each role, and whether it has a log-in but no password there.
fn definitions(passwords_readable: bool) -> String {
    let (table, password) =
        if passwords_readable { ("pg_authid", "r.rolpassword") } else { ("pg_roles", "NULL::text") };
    let without_password = if passwords_readable { "false" } else { "r.rolcanlogin" };
    let attribute = |column: &str, word: &str| format!("CASE WHEN r.{column} THEN ' ' ELSE ' NO' END || '{word}'");
    let attributes = [
        attribute("rolsuper", "SUPERUSER"),
        attribute("rolinherit", "INHERIT"),
        attribute("rolcreaterole", "CREATEROLE"),
        attribute("rolcreatedb", "CREATEDB"),
        attribute("rolcanlogin", "LOGIN"),
        attribute("rolreplication", "REPLICATION"),
        attribute("rolbypassrls", "BYPASSRLS"),
    ];
    // `quote_literal` of NULL is NULL, where `%L` would be the word.
    format!(
        "SELECT r.rolname, format('CREATE ROLE %I WITH', r.rolname) || {} || ' CONNECTION LIMIT ' || r.rolconnlimit \
         || coalesce(' PASSWORD ' || quote_literal({password}), '') \
         || coalesce(' VALID UNTIL ' || quote_literal(r.rolvaliduntil::text), ''), \
         {without_password} FROM {table} r WHERE r.rolname !~ '^pg_' ORDER BY 1",
        attributes.join(" || ")
    )
}
