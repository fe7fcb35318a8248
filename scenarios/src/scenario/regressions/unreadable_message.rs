//! A syntax error in a message of several statements: nothing of it runs, and a block that it was sent in has failed.

use super::support::{error_code, expect_on_all, kinds, query};
use crate::clients::Raw;
use crate::cluster::Cluster;
use crate::{Result, fail};

/// Statements, and the kinds of the answers that PostgreSQL gives.
const MESSAGES: &[(&str, &str)] = &[
    ("create table unreadable(id int primary key)", "CZ"),
    ("insert into unreadable values (1); selec 1", "EZ"),
    ("insert into unreadable values (2); select (1", "EZ"),
    ("insert into unreadable values (3); select 'a", "EZ"),
    ("begin", "CZ"),
    ("insert into unreadable values (4)", "CZ"),
    ("savepoint s", "CZ"),
    ("insert into unreadable values (5); selec 1", "EZ"),
    ("rollback to s", "CZ"),
    ("insert into unreadable values (6); insert into unreadable values (7)", "CCZ"),
    ("commit", "CZ"),
    ("insert into unreadable values (8); insert into unreadable values (8)", "CEZ"),
];

pub(super) async fn run(cluster: &mut Cluster) -> Result<()> {
    let mut raw = Raw::connect(&cluster.endpoint(), &[]).await?;
    for (sql, wanted) in MESSAGES {
        let answers = query(&mut raw, sql).await?;
        if kinds(&answers) != *wanted {
            return fail(format!("{sql}: {} in place of {wanted} ({:?})", kinds(&answers), error_code(&answers)));
        }
    }
    expect_on_all(&cluster.members, "select string_agg(id::text, ',' order by id) from unreadable", "4,6,7").await
}
